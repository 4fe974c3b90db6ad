//! One request, its connection, and the check of its answer.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::mock;
use crate::usage::find;

/// A stream may lack a few of the mock's events (some gateways drop the empty or the usage one), not more.
const EVENTS_MIN: usize = mock::EVENTS - 3;
/// How much of a bad answer an error shows.
const SHOWN: usize = 300;

/// A loopback URL. Load goes nowhere else: the generator must be useless as a weapon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: String,
    path: String,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse()?;
        ensure!(uri.scheme_str() == Some("http"), "only http:// URLs can be measured");
        let host = uri.host().context("the URL needs a host")?;
        ensure!(is_loopback(host), "{host} is not a loopback address");
        let port = uri.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self { authority: format!("{host}:{port}"), path: path.to_owned() })
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What kind of answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Plain,
    Stream { include_usage: bool },
}

/// The request that is sent again and again.
#[derive(Clone, Debug)]
pub struct Call {
    pub target: Target,
    pub shape: Shape,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Call {
    pub fn new(target: Target, shape: Shape, model: &str, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self { target, shape, headers, body: body(model, shape) }
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::post(&self.target.path)
            .header(HOST, &self.target.authority)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "*/*");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(Full::new(self.body.clone()))?)
    }
}

fn body(model: &str, shape: Shape) -> Bytes {
    let mut body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "You are a helpful assistant." },
            { "role": "user", "content": "Tell me about the fox and the dog in one sentence, please." },
        ],
        "max_tokens": 64,
        "temperature": 0.2,
    });
    if let Shape::Stream { include_usage } = shape {
        body["stream"] = json!(true);
        if include_usage {
            body["stream_options"] = json!({ "include_usage": true });
        }
    }
    Bytes::from(body.to_string())
}

/// How long one answer took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) total: Duration,
    pub(super) first_byte: Duration,
}

/// A kept-alive connection to the target.
pub(super) struct Connection(SendRequest<Full<Bytes>>);

impl Connection {
    pub(super) async fn open(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&target.authority).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        Ok(Self(sender))
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Asks once and checks the answer; times count from `due`.
    pub(super) async fn ask(&mut self, call: &Call, due: Instant) -> anyhow::Result<Sample> {
        self.0.ready().await?;
        let response = self.0.send_request(call.request()?).await?;
        let status = response.status();
        let mut incoming = response.into_body();
        let mut answer = Vec::new();
        let mut first_byte = None;
        while let Some(frame) = incoming.frame().await {
            if let Some(data) = frame?.data_ref().filter(|data| !data.is_empty()) {
                first_byte.get_or_insert_with(|| due.elapsed());
                answer.extend_from_slice(data);
            }
        }
        let total = due.elapsed();
        ensure!(status.is_success(), "{status}: {}", shown(&answer));
        check(call.shape, &answer)?;
        Ok(Sample { total, first_byte: first_byte.unwrap_or(total) })
    }
}

fn check(shape: Shape, answer: &[u8]) -> anyhow::Result<()> {
    match shape {
        Shape::Plain if find(answer, mock::TEXT.as_bytes()).is_none() => {
            bail!("not the mock's text: {}", shown(answer))
        }
        Shape::Plain => {}
        Shape::Stream { .. } => {
            let events = answer.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"data:")).count();
            ensure!(events >= EVENTS_MIN, "{events} events of {}: {}", mock::EVENTS, shown(answer));
            ensure!(find(answer, b"data: [DONE]").is_some(), "the stream has no end");
        }
    }
    Ok(())
}

fn shown(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(SHOWN)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_goes_to_loopback_only() {
        for (url, good) in [
            ("http://127.0.0.1:9100/v1/chat/completions", true),
            ("http://127.3.2.1/v1", true),
            ("http://localhost:80", true),
            ("http://[::1]:9100/", true),
            ("http://127.example.com/", false), // a name that only looks local
            ("http://10.0.0.1/", false),
            ("http://example.com/", false),
            ("https://127.0.0.1/", false),
            ("127.0.0.1:9100", false),
            ("/v1", false),
        ] {
            assert_eq!(url.parse::<Target>().is_ok(), good, "{url}");
        }
    }

    #[test]
    fn a_target_keeps_its_path_and_fills_in_the_port() {
        let target: Target = "http://localhost/v1/chat/completions?x=1".parse().unwrap();
        assert_eq!(target.authority, "localhost:80");
        assert_eq!(target.path, "/v1/chat/completions?x=1");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let shape = Shape::Stream { include_usage: false };
        let events = "data: {}\n\n".repeat(mock::EVENTS - 1);
        assert!(check(shape, events.as_bytes()).is_err());
        assert!(check(shape, format!("{events}data: [DONE]\n\n").as_bytes()).is_ok());
        assert!(check(shape, b"data: [DONE]\n\n").is_err());
    }

    #[test]
    fn another_text_is_an_error() {
        assert!(check(Shape::Plain, format!(r#"{{"content":"{}"}}"#, mock::TEXT).as_bytes()).is_ok());
        assert!(check(Shape::Plain, b"{}").is_err());
    }

    #[test]
    fn usage_is_asked_for_only_on_demand() {
        let asks = |shape| find(&body("m", shape), b"include_usage").is_some();
        assert!(asks(Shape::Stream { include_usage: true }));
        assert!(!asks(Shape::Stream { include_usage: false }));
        assert!(!asks(Shape::Plain));
    }
}
