//! What a server answered, read whole, and the events of a stream.

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::{Response, StatusCode, header::HeaderMap};
use serde_json::Value;
use shared::id::RequestId;

/// An answer with its whole body.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap() }
    }

    /// A header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |it| it.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {:?}", self.status, self.body))
    }

    /// The stable code of an error, in OpenAI's shape or in that of a problem document.
    pub fn code(&self) -> String {
        let body = self.json();
        let code = body["error"]["code"].as_str().or(body["code"].as_str());
        code.unwrap_or_default().to_owned()
    }

    /// The `data` of every event.
    pub fn events(&self) -> Vec<String> {
        events(&self.body)
    }

    pub fn request_id(&self) -> RequestId {
        request_id(&self.headers)
    }
}

/// Asks again while the edge says that it cannot do this now, as an honest client does: on a busy machine its database
/// may be out of reach for a moment. A few times only.
pub async fn unless_busy(ask: impl AsyncFn() -> Answer) -> Answer {
    let mut answer = ask().await;
    for _ in 0..5 {
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = ask().await;
    }
    answer
}

/// The id under which an answer's call is recorded.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    headers["x-request-id"].to_str().unwrap().parse().unwrap()
}

/// The `data` of every event in the body of a stream; comments are left out.
pub fn events(body: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(body).unwrap();
    let events = text.split("\n\n").filter(|it| !it.is_empty() && !it.starts_with(':'));
    events.map(|it| it.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {it:?}")).to_owned()).collect()
}

/// A stream that is read event by event.
pub struct EventReader {
    chunks: futures_util::stream::BoxStream<'static, reqwest::Result<Bytes>>,
    unread: Vec<u8>,
}

impl EventReader {
    pub fn new(response: Response) -> Self {
        Self { chunks: response.bytes_stream().boxed(), unread: Vec::new() }
    }

    /// The bytes of the next whole event, its empty line included; none at the stream's orderly end.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|it| it == b"\n\n") {
                let rest = self.unread.split_off(at + 2);
                return Some(std::mem::replace(&mut self.unread, rest));
            }
            match self.chunks.next().await {
                Some(chunk) => self.unread.extend_from_slice(&chunk.unwrap()),
                None => {
                    assert!(self.unread.is_empty(), "the stream ends within an event: {:?}", self.unread);
                    return None;
                }
            }
        }
    }

    /// What follows the last whole event, to the stream's orderly end.
    pub async fn rest(mut self) -> Vec<u8> {
        while let Some(chunk) = self.chunks.next().await {
            self.unread.extend_from_slice(&chunk.unwrap());
        }
        self.unread
    }
}
