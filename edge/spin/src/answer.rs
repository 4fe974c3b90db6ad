//! The response on its way to the client: chunk by chunk, at the client's pace, and given up when the client has left.

use crate::host::sleep;
use axum::body::Body;
use futures_util::future::{self, Either};
use http::{Response, header::CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use spin_sdk::{
    wasip3::{
        http::types::{ErrorCode, Fields, Response as WasiResponse, Trailers},
        spawn, wit_future, wit_stream,
    },
    wit_bindgen::{FutureWriter, StreamResult, StreamWriter},
};

/// How long a silent body may go on before the client is looked for.
const LOOK_EVERY_MS: u64 = 500;

/// Hands `response` to Spin; the body follows from a task of its own.
pub(crate) fn send(response: Response<Body>) -> Result<WasiResponse, ErrorCode> {
    let (mut head, body) = response.into_parts();
    if let (None, Some(length)) = (head.headers.get(CONTENT_LENGTH), body.size_hint().exact()) {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    let headers = Fields::try_from(head.headers).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    let (contents, contents_end) = wit_stream::new();
    let (trailers, trailers_end) = wit_future::new(|| Ok(None));
    let (response, _sent) = WasiResponse::new(headers, Some(contents_end), trailers_end);
    response.set_status_code(head.status.as_u16()).map_err(|()| ErrorCode::HttpProtocolError)?;
    spawn(write(body, contents, trailers));
    Ok(response)
}

/// Writes `body` until it ends, breaks, or nobody reads it any more.
///
/// WASI tells a writer that its reader is gone only when it writes. A stream whose upstream is silent would so keep
/// its upstream long after the client has left; an empty write now and then asks without sending anything.
async fn write(
    mut body: Body,
    mut contents: StreamWriter<u8>,
    trailers: FutureWriter<Result<Option<Trailers>, ErrorCode>>,
) {
    let mut look = sleep(LOOK_EVERY_MS);
    let mut wrote = false;
    let end = loop {
        match future::select(body.frame(), &mut look).await {
            Either::Left((Some(Ok(frame)), _)) => {
                // The core sends no trailers, and those of an upstream mean nothing to its clients.
                let Ok(chunk) = frame.into_data() else { continue };
                if !contents.write_all(chunk.into()).await.is_empty() {
                    return;
                }
                wrote = true;
            }
            Either::Left((Some(Err(error)), _)) => break Err(ErrorCode::InternalError(Some(error.to_string()))),
            Either::Left((None, _)) => break Ok(None),
            Either::Right(((), _)) => {
                if !std::mem::take(&mut wrote) && contents.write(Vec::new()).await.0 == StreamResult::Dropped {
                    return;
                }
                look = sleep(LOOK_EVERY_MS);
            }
        }
    };
    drop(contents);
    // Whoever does not wait for the end has left; there is nobody to tell.
    let _ = trailers.write(end).await;
}
