//! What a request carries: its body, read whole up to the configured limit, and its query.

use crate::{App, Error};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Query as Pairs},
};
use bytes::{Bytes, BytesMut};
use http::{Request, header::CONTENT_LENGTH, request::Parts};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;

/// A JSON body of type `T`.
pub(crate) struct Input<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Error> {
        let Payload(body) = Payload::from_request(request, state).await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| Error::Json { detail: error.to_string() })
    }
}

/// Parameters of the query, as `T` has them.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let read = Pairs::try_from_uri(&parts.uri).map(|Pairs(read)| Self(read));
        let message = || "the query is not what this route takes: each parameter once, well-formed".to_owned();
        read.map_err(|_| Error::Invalid { message: message(), param: None })
    }
}

/// The whole body of a request.
pub(crate) struct Payload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Error> {
        Self::up_to(usize::MAX, request, state).await
    }
}

impl Payload {
    /// The whole body, if it is no longer than `limit` and the configured limit.
    pub(crate) async fn up_to<S: Send + Sync>(limit: usize, request: Request<Body>, state: &S) -> Result<Self, Error> {
        let (mut parts, mut body) = request.into_parts();
        let Ok(app) = App::from_request_parts(&mut parts, state).await;
        let limit = limit.min(app.config.body_limit_bytes);
        let declared = parts.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<usize>().ok());
        let mut bytes = BytesMut::with_capacity(declared.unwrap_or(0).min(limit));
        let mut discarded = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Error::BodyCut)?.into_data() else { continue };
            if discarded == 0 && bytes.len() + data.len() <= limit {
                bytes.extend_from_slice(&data);
                continue;
            }
            // A client that is still sending reads no answer, so most of what is too much is read and thrown away.
            discarded += data.len();
            if discarded > limit.saturating_mul(8) {
                break;
            }
        }
        if discarded > 0 { Err(Error::BodyTooLarge { limit }) } else { Ok(Self(bytes.freeze())) }
    }
}
