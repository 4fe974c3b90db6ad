//! The fake as it listens.

use crate::{
    control::{SECRET_KEY, WEBHOOK_SECRET},
    deliveries::{self, SignedBy},
    http::{self, Cut},
    pages,
    shared::Shared,
    world::World,
};
use axum::{Router, body::Body, routing::any};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};
use tower::ServiceExt as _;

/// How the fake is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub address: SocketAddr,
    /// The only key that it takes.
    pub secret_key: String,
    /// What it signs events with to the endpoint that [`FakeStripe::tell`] registers.
    pub webhook_secret: String,
    /// The file that keeps everything between runs; without it, everything is forgotten.
    pub file: Option<PathBuf>,
    /// The pause before an event is tried a second time; each later one is twice as long.
    pub first_pause: Duration,
    pub signed_by: SignedBy,
}

impl Default for Options {
    fn default() -> Self {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        Self {
            address,
            secret_key: SECRET_KEY.to_owned(),
            webhook_secret: WEBHOOK_SECRET.to_owned(),
            file: None,
            first_pause: Duration::from_millis(20),
            signed_by: SignedBy::OwnClock,
        }
    }
}

/// A running fake; it stops with this value, and its connections with it.
pub struct FakeStripe {
    /// Without a slash at its end: what `STRIPE_BASE_URL` is set to.
    pub url: String,
    pub(crate) shared: Shared,
    tasks: [JoinHandle<()>; 3],
}

impl FakeStripe {
    /// On a free port of this machine, with nothing in it.
    pub async fn start() -> Self {
        Self::open(Options::default()).await.expect("this machine has a free port")
    }

    /// Errs if the address is taken, or the file cannot be read.
    pub async fn open(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let saved = match options.file.as_ref().map(fs::read_to_string) {
            Some(Ok(text)) => serde_json::from_str(&text).map_err(io::Error::from)?,
            Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => serde_json::Value::Null,
        };
        let mut world = World::new(url.clone(), &saved);
        world.deliveries.first_pause = options.first_pause;
        world.deliveries.signed_by = options.signed_by;
        let shared = Shared::new(world, options.secret_key, options.webhook_secret, options.file);
        let router = Router::new()
            .route("/v1/{*path}", any(http::api))
            .merge(pages::routes())
            .fallback(http::api)
            .with_state(shared.clone());
        let tasks = [
            tokio::spawn(serve(listener, router)),
            tokio::spawn(deliveries::run(shared.clone())),
            tokio::spawn(tick(shared.clone())),
        ];
        Ok(Self { url, shared, tasks })
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Does what falls due while nobody asks.
async fn tick(shared: Shared) {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if shared.look(|world| world.is_due()) {
            shared.act(|_| ());
        }
    }
}

/// Accepts for ever; dropping the future closes every connection.
async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let router = router.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let router = router.clone();
            async move {
                let response = router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {});
                // An error makes the connection end without an answer.
                if response.extensions().get::<Cut>().is_some() { Err(io::Error::other("cut")) } else { Ok(response) }
            }
        });
        connections.spawn(async move {
            // Ends in an error when the client goes away or a fault cuts it off.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
