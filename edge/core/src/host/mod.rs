//! What a platform lends the edge: SQL, outbound HTTP and mail, work after the response, time, sleep and randomness.
//!
//! Cloudflare, Spin and the native server each implement [`Host`] once; `tests/it/host.rs` is the contract they pass.
//! Every future is `Send`; a single-threaded host wraps its own at this border.
#![warn(missing_docs)]

mod journal;
mod mail;
mod passing;

pub use journal::Journal;
pub use mail::{MailError, OutgoingMail};
pub use passing::{is_event_stream, relayed};

pub use crate::sql::{Row, SqlError, Value};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use shared::{
    openai::sse::{Tail, read_tail},
    time::Timestamp,
};
use std::{future::ready, net::IpAddr};

/// The port to a platform.
pub trait Host: Send + Sync + 'static {
    /// Runs one statement; one statement is one transaction.
    fn query(&self, statement: &'static str, params: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>>;

    /// Sends a request and returns as soon as the response head is here; the body streams.
    ///
    /// Redirects are not followed and the environment's proxies are not used: the address is the registry's.
    fn fetch(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>>;

    /// As [`Host::fetch`], but an answer that is an event stream becomes a body for the client that nobody touches.
    fn relay(&self, request: Request<Bytes>, options: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>>;

    /// Gives a mail to the mail server of `SMTP_URL`; a host that speaks no SMTP refuses that setting at start.
    fn smtp(&self, _mail: OutgoingMail) -> BoxFuture<'_, Result<(), MailError>> {
        Box::pin(ready(Err(MailError::Later("this host speaks no SMTP".into()))))
    }

    /// Runs `task` to its end, whether or not the client is still there.
    fn defer(&self, task: BoxFuture<'static, ()>);

    /// Runs heavy work where it holds up no request, at most as much at once as there are cores; refuses it when too
    /// much waits already.
    fn compute(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>>;

    /// What outlives a process that is killed; none where nothing does, or nothing was set up for it.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }

    /// Whether what the process or isolate remembers is likely to be there for the next thousand requests.
    fn remembers(&self) -> bool {
        true
    }

    /// The time.
    fn now(&self) -> Timestamp;

    /// Ends after `ms` milliseconds.
    fn sleep(&self, ms: u64) -> BoxFuture<'static, ()>;

    /// Fills `bytes` from the platform's cryptographic source.
    fn random(&self, bytes: &mut [u8]);
}

/// Random bytes from `host`.
pub fn random<const N: usize>(host: &dyn Host) -> [u8; N] {
    let mut bytes = [0; N];
    host.random(&mut bytes);
    bytes
}

/// The address a request came from, as the host saw it; a host puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerIp(pub IpAddr);

/// Too much heavy work waits already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much heavy work waits already")]
pub struct Busy;

/// How to relay a stream.
pub struct RelayOptions {
    /// Longest silence of the upstream before the stream counts as cut.
    pub idle_ms: u64,
    /// After the client has left, how long the upstream is read on behind it, so that its own count is heard; 0 drops
    /// the call to the upstream at once. [`DRAIN_BYTES`] bounds it, too.
    pub drain_ms: u64,
    /// Who reads the body.
    pub reader: StreamReader,
    /// Called once when the upstream ends or breaks, or the stream is cut (not when the client leaves): what to send
    /// after its last byte.
    pub close: Box<dyn FnOnce(&StreamEnd) -> Bytes + Send>,
}

/// Who reads a relayed body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamReader {
    /// The client alone: the body may be a handle.
    Client,
    /// The core, which changes what passes: the body has its bytes.
    Core,
}

/// How many bytes of a stream are read on behind a client that has left.
pub const DRAIN_BYTES: usize = 4 * 1024 * 1024;

/// An upstream's answer.
pub enum Relayed {
    /// A `200` with `text/event-stream`: hand `response` to the client as it is; `end` says later how it went.
    Stream {
        /// Head and opaque body.
        response: Response<Body>,
        /// Resolves when the stream has ended, whichever way.
        end: BoxFuture<'static, StreamEnd>,
        /// Ends the stream from outside.
        cut: Cut,
    },
    /// Anything else, as [`Host::fetch`] would have answered.
    Answer(Response<Body>),
}

/// Ends a relayed stream at once, if it has not ended yet: the call to the upstream is dropped, even while the client
/// does not read, and what [`RelayOptions::close`] says follows the bytes that have passed.
pub type Cut = Box<dyn FnOnce() + Send>;

/// How a relayed stream ended, and its last bytes.
#[derive(Clone, Debug)]
pub struct StreamEnd {
    /// Who ended it, and how.
    pub cause: EndCause,
    /// The last kilobytes that the upstream sent ([`TAIL_BYTES`] at most).
    pub tail: Bytes,
    /// What these say about the end.
    pub said: Tail,
    /// Whole events that the upstream sent.
    pub events: u64,
}

impl StreamEnd {
    /// Reads the tail, once for all who ask what it says.
    pub fn new(cause: EndCause, tail: Bytes, events: u64) -> Self {
        let said = read_tail(&tail);
        Self { cause, tail, said, events }
    }
}

/// How much of a stream's end is kept.
pub const TAIL_BYTES: usize = 16 * 1024;

/// Why a relayed stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The upstream closed its body properly.
    Eof,
    /// The upstream's connection broke.
    Broken,
    /// The upstream sent nothing for too long.
    Idle,
    /// The client went away first; the upstream was read on for a while, or its call was dropped.
    ClientLeft,
    /// The edge cut it; the upstream call was dropped.
    Cut,
}

/// An upstream could not be asked, or gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection: the upstream has certainly done nothing.
    #[error("upstream could not be reached")]
    Connect(#[source] BoxError),
    /// The connection broke before a response head came.
    #[error("upstream gave no answer")]
    Broken(#[source] BoxError),
}

/// Any cause, for the log.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
