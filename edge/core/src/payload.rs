//! Request bodies: read whole, up to the configured limit.

use crate::{App, Error};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts as _},
};
use bytes::{Bytes, BytesMut};
use http::{Request, header::CONTENT_LENGTH};
use http_body_util::BodyExt as _;

/// The whole body of a request.
pub(crate) struct Payload(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for Payload {
    type Rejection = Error;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, Error> {
        let (mut parts, mut body) = request.into_parts();
        let Ok(app) = App::from_request_parts(&mut parts, state).await;
        let limit = app.config.body_limit_bytes;
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
