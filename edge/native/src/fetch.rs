//! Outbound HTTP by reqwest: no redirects, no proxies of the environment, streams with back-pressure.

use axum::body::Body;
use bytes::Bytes;
use edge_core::host::{FetchError, RelayOptions, Relayed, relayed};
use futures_util::FutureExt as _;
use http::{Request, Response};
use std::time::Duration;

/// A pooled client.
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new(connect_timeout_ms: u64) -> reqwest::Result<Self> {
        let builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_millis(connect_timeout_ms))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .pool_max_idle_per_host(1024)
            .pool_idle_timeout(Duration::from_secs(30));
        Ok(Self(builder.build()?))
    }

    pub(crate) async fn fetch(&self, request: Request<Bytes>) -> Result<Response<Body>, FetchError> {
        let request = reqwest::Request::try_from(request).map_err(|error| FetchError::Connect(error.into()))?;
        let response = self.0.execute(request).await.map_err(|error| {
            if error.is_connect() { FetchError::Connect(error.into()) } else { FetchError::Broken(error.into()) }
        })?;
        Ok(Response::<reqwest::Body>::from(response).map(Body::new))
    }

    pub(crate) async fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> Result<Relayed, FetchError> {
        let sleep = |ms| tokio::time::sleep(Duration::from_millis(ms)).boxed();
        Ok(relayed(self.fetch(request).await?, sleep, options))
    }
}
