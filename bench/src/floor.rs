//! The floor: the least that a gateway can cost while doing a gateway's work.
//!
//! For each request: SHA-256 of the bearer key and its look-up among 10,000, a token bucket, an atomic budget
//! reservation, the JSON fields that admission needs, a pooled upstream, the answer passed through with a scan
//! for usage, and settlement. It keeps all its state in memory, so it is a yardstick and not a product: what the
//! edge costs above it is the price of everything that makes a product.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::serve::serve;
use crate::usage;

const KEYS: u32 = 10_000;
const NANOS_PER_TOKEN: i64 = 600;
/// Charged for an answer that ends without saying what it used.
const TOKENS_UNKNOWN: u64 = 1_000;
/// Deep enough that no run empties it: the floor measures admission, not refusal.
const PLENTY: i64 = i64::MAX / 4;

/// The `n`th of the keys that the floor accepts, for `n` below 10,000.
pub fn key(n: u32) -> String {
    format!("sk-test-{n}")
}

/// Scheme and authority of the upstream, without a path: `http://127.0.0.1:9100`.
#[derive(Clone, Debug)]
pub struct Upstream(String);

impl FromStr for Upstream {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse()?;
        ensure!(uri.scheme_str() == Some("http"), "the upstream must be an http:// URL");
        ensure!(uri.path() == "/" && uri.query().is_none(), "the upstream has no path: requests bring their own");
        let authority = uri.authority().context("the upstream needs a host")?;
        Ok(Self(format!("http://{authority}")))
    }
}

/// Serves the floor on `listener`; never returns.
pub async fn run(listener: TcpListener, upstream: Upstream) {
    let floor = Arc::new(Floor::new(upstream));
    let service = service_fn(move |request| {
        let floor = floor.clone();
        async move { Ok::<_, hyper::Error>(floor.relay(request).await.unwrap_or_else(Refusal::into_response)) }
    });
    serve(listener, service).await;
}

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

struct Floor {
    keys: HashMap<[u8; 32], Arc<Account>>,
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: Upstream,
}

impl Floor {
    fn new(upstream: Upstream) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1_024).build(connector);
        let keys = (0..KEYS).map(|n| (hash(&key(n)), Arc::new(Account::new()))).collect();
        Self { keys, client, upstream }
    }

    async fn relay(&self, request: Request<Incoming>) -> Result<Answer, Refusal> {
        let account = self.recognise(request.headers())?;
        account.take()?;
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.map_err(|_| Refusal::Body)?.to_bytes();
        let asked: Asked = serde_json::from_slice(&body).map_err(|_| Refusal::Json)?;
        let stream = asked.stream;
        let hold = account.reserve(asked.nanos_max(body.len()))?;

        let outgoing = Request::post(format!("{}{path}", self.upstream.0))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, "Bearer sk-upstream")
            .body(Full::new(body))
            .map_err(|_| Refusal::Path)?;
        let (mut head, incoming) = self.client.request(outgoing).await.map_err(|_| Refusal::Upstream)?.into_parts();
        head.headers.remove(CONNECTION);
        let meter = Meter { inner: incoming, hold, tail: Vec::new(), stream };
        Ok(Response::from_parts(head, BodyExt::boxed(meter)))
    }

    fn recognise(&self, headers: &HeaderMap) -> Result<Arc<Account>, Refusal> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Refusal::NoKey)?;
        let key = bearer.strip_prefix("Bearer ").ok_or(Refusal::NoKey)?;
        self.keys.get(&hash(key)).cloned().ok_or(Refusal::BadKey)
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// The fields that admission needs; serde checks the rest of the JSON as it skips it.
#[derive(serde::Deserialize)]
struct Asked<'a> {
    #[serde(borrow, rename = "model")]
    _model: Cow<'a, str>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    max_tokens: Option<u32>,
}

impl Asked<'_> {
    /// The most that this request can cost, taking three bytes for a token.
    fn nanos_max(&self, body_bytes: usize) -> i64 {
        let prompt = i64::try_from(body_bytes / 3).unwrap_or(i64::MAX);
        prompt.saturating_add(self.max_tokens.unwrap_or(1_024).into()).saturating_mul(NANOS_PER_TOKEN)
    }
}

struct Account {
    bucket: AtomicI64,
    budget_nanos: AtomicI64,
    used_tokens: AtomicU64,
}

impl Account {
    fn new() -> Self {
        Self { bucket: AtomicI64::new(PLENTY), budget_nanos: AtomicI64::new(PLENTY), used_tokens: AtomicU64::new(0) }
    }

    fn take(&self) -> Result<(), Refusal> {
        if self.bucket.fetch_sub(1, Ordering::Relaxed) <= 0 { Err(Refusal::Rate) } else { Ok(()) }
    }

    fn reserve(self: Arc<Self>, nanos: i64) -> Result<Hold, Refusal> {
        if self.budget_nanos.fetch_sub(nanos, Ordering::AcqRel) < nanos {
            self.budget_nanos.fetch_add(nanos, Ordering::AcqRel);
            return Err(Refusal::Budget);
        }
        Ok(Hold { account: self, nanos })
    }
}

/// Reserved money. Dropped, it gives back whatever was not spent.
struct Hold {
    account: Arc<Account>,
    nanos: i64,
}

impl Hold {
    fn spend(&mut self, tokens: u64) {
        let cost = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(NANOS_PER_TOKEN);
        self.nanos = self.nanos.saturating_sub(cost);
        self.account.used_tokens.fetch_add(tokens, Ordering::Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.budget_nanos.fetch_add(self.nanos, Ordering::AcqRel);
    }
}

/// An answer on its way to the client; it settles when it ends or is cut.
struct Meter {
    inner: Incoming,
    hold: Hold,
    /// The last frame that mentions usage; for a plain answer, the last frame.
    tail: Vec<u8>,
    stream: bool,
}

impl Body for Meter {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref())
            && (!self.stream || usage::mentioned(data))
        {
            self.tail.clear();
            self.tail.extend_from_slice(data);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.hold.spend(usage::total_tokens(&self.tail).unwrap_or(TOKENS_UNKNOWN));
    }
}

#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoKey,
    BadKey,
    Budget,
    Rate,
    Body,
    Json,
    Path,
    Upstream,
}

impl Refusal {
    fn into_response(self) -> Answer {
        let (status, message) = match self {
            Self::NoKey => (StatusCode::UNAUTHORIZED, "no key"),
            Self::BadKey => (StatusCode::UNAUTHORIZED, "bad key"),
            Self::Budget => (StatusCode::PAYMENT_REQUIRED, "budget"),
            Self::Rate => (StatusCode::TOO_MANY_REQUESTS, "rate"),
            Self::Body => (StatusCode::BAD_REQUEST, "body"),
            Self::Json => (StatusCode::BAD_REQUEST, "json"),
            Self::Path => (StatusCode::BAD_REQUEST, "path"),
            Self::Upstream => (StatusCode::BAD_GATEWAY, "upstream"),
        };
        let body = format!(r#"{{"error":{{"message":"{message}","code":{}}}}}"#, status.as_u16());
        let mut response = Response::new(Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed());
        *response.status_mut() = status;
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_hold_costs_what_was_used() {
        let account = Arc::new(Account::new());
        let mut hold = account.clone().reserve(1_000 * NANOS_PER_TOKEN).unwrap();
        hold.spend(75);
        drop(hold);
        assert_eq!(account.budget_nanos.load(Ordering::Relaxed), PLENTY - 75 * NANOS_PER_TOKEN);
        assert_eq!(account.used_tokens.load(Ordering::Relaxed), 75);
    }

    #[test]
    fn a_budget_is_never_overdrawn() {
        let account = Arc::new(Account::new());
        account.budget_nanos.store(10, Ordering::Relaxed);
        let first = account.clone().reserve(6).unwrap();
        assert!(matches!(account.clone().reserve(6), Err(Refusal::Budget)));
        drop(first);
        assert_eq!(account.budget_nanos.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn an_upstream_is_an_origin() {
        for (text, good) in [
            ("http://127.0.0.1:9100", true),
            ("http://127.0.0.1:9100/", true),
            ("http://127.0.0.1:9100/v1", false),
            ("https://127.0.0.1:9100", false),
            ("127.0.0.1:9100", false),
        ] {
            assert_eq!(text.parse::<Upstream>().is_ok(), good, "{text}");
        }
    }
}
