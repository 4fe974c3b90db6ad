//! Sends a call to where it can be answered, and brings the answer back.

use super::{
    call::Call,
    groq,
    meter::{self, Meter},
    refusal,
    watch::{self, Refusal},
};
use crate::{
    App, Error,
    host::{Cut, EndCause, FetchError, RelayOptions, Relayed, StreamEnd, random},
    keys::{Caller, KeyError},
    nodes::{self, CallGuard, Chosen, Node},
};
use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Either},
};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use shared::{
    id::{NodeId, RequestId},
    node::{HEADERS, sign},
    usage::Usage,
};

/// How many nodes a call is offered to before it is given up.
const NODES_TRIED: usize = 3;

/// Largest whole answer.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// How much of a failed answer is read.
const REFUSAL_BYTES: usize = 64 * 1024;

/// An answer on its way, and the node's guard, which lasts as long as the node works on it.
struct Sent {
    relayed: Relayed,
    guard: Option<CallGuard>,
}

/// Answers `call`, and settles `meter` when the answer is over.
pub(super) async fn run(
    app: &App,
    id: RequestId,
    caller: Caller,
    call: Call,
    mut meter: Meter,
) -> Result<Response, Error> {
    let refusal = Refusal::default();
    let slot = meter.slot();
    let result = async {
        let Sent { relayed, guard } = send(app, id, &call, &refusal, &mut meter).await?;
        meter.first_byte();
        match relayed {
            Relayed::Stream { response, end, cut } => Ok(Answer::Stream(response, end, cut, guard)),
            Relayed::Answer(response) => whole(app, response).await,
        }
    };
    match slot.hold(result).await {
        Ok(Answer::Stream(response, end, cut, guard)) => {
            let task = app.clone();
            app.host.defer(
                async move {
                    let ended = watch::ended(&task, caller, meter.started(), end, cut, &refusal);
                    let end = slot.hold(ended).await;
                    drop(guard);
                    meter.end_stream(&end);
                }
                .boxed(),
            );
            Ok(stream_head(response))
        }
        Ok(Answer::Whole(body, usage)) => {
            meter.complete(usage);
            Ok(json_response(body))
        }
        Err(error) => {
            meter.fail(&error);
            Err(error)
        }
    }
}

enum Answer {
    Stream(Response<Body>, BoxFuture<'static, StreamEnd>, Cut, Option<CallGuard>),
    Whole(Bytes, Option<Usage>),
}

/// Sends `call` to a node that serves its model, else to the upstream. Another node is tried only when the one before
/// has certainly done nothing: no connection, or a refusal to take the call at all.
async fn send(app: &App, id: RequestId, call: &Call, refusal: &Refusal, meter: &mut Meter) -> Result<Sent, Error> {
    let mut tried: Vec<NodeId> = Vec::new();
    let mut last_error = None;
    while tried.len() < NODES_TRIED {
        let Chosen { node, guard } = match nodes::choose(app, &call.model, call.endpoint.task(), &tried).await {
            Ok(Some(chosen)) => chosen,
            Ok(None) => return to_upstream(app, id, call, refusal, meter).await,
            Err(error) => return Err(last_error.unwrap_or(error)),
        };
        tried.push(node.id);
        meter.sent_to(format!("node:{}", node.id));
        match exchange(app, id, refusal, node_request(app, id, &node, call)).await {
            Ok(relayed) => return Ok(Sent { relayed, guard: Some(guard) }),
            Err(Error::Upstream(FetchError::Connect(cause))) => {
                tracing::warn!(node.id = %node.id, cause = %cause, "node {} refuses connections", node.id);
                app.nodes.mark_down(node.id, app.host.now());
                last_error = Some(Error::NodeAway { model: call.model.clone() });
            }
            Err(error @ Error::UpstreamBusy { .. }) => last_error = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last_error.unwrap_or(Error::NodeAway { model: call.model.clone() }))
}

async fn to_upstream(
    app: &App,
    id: RequestId,
    call: &Call,
    refusal: &Refusal,
    meter: &mut Meter,
) -> Result<Sent, Error> {
    let no_model = || Error::NoModel { model: call.model.clone() };
    let upstream = app.config.upstream.as_ref().ok_or_else(no_model)?;
    if !groq::models(app).await.contains(&call.model) {
        return Err(no_model());
    }
    meter.sent_to("groq".to_owned());
    let relayed = exchange(app, id, refusal, groq::relay_request(upstream, call)).await?;
    Ok(Sent { relayed, guard: None })
}

/// The signed request to a node.
fn node_request(app: &App, id: RequestId, node: &Node, call: &Call) -> Request<Bytes> {
    let path = format!("/v1{}", call.endpoint.path());
    let signed = sign(&app.config.call_key, "POST", &path, &call.body, app.host.now(), random(&*app.host));
    let base = node.base_url.trim_end_matches('/');
    let request = Request::post(format!("{base}{path}"))
        .header(header::ACCEPT, "*/*")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", id.to_string());
    HEADERS
        .into_iter()
        .zip(signed)
        .fold(request, |request, (name, value)| request.header(name, value))
        .body(call.body.clone())
        .expect("a registered base URL with a static path is a URI")
}

/// Waits for the head of an answer, and reads it to the end if it is a refusal.
async fn exchange(app: &App, id: RequestId, refusal: &Refusal, request: Request<Bytes>) -> Result<Relayed, Error> {
    let refusal = refusal.clone();
    let close = move |end: &StreamEnd| closing(end, refusal.get(), id);
    let options = RelayOptions { idle_ms: app.config.idle_timeout_ms, close: Box::new(close) };
    let timeout = app.host.sleep(app.config.first_byte_timeout_ms);
    let relayed = match future::select(app.host.relay(request, options), timeout).await {
        Either::Left((relayed, _)) => relayed?,
        Either::Right(_) => return Err(Error::UpstreamTimeout),
    };
    match relayed {
        Relayed::Answer(response) if response.status() != StatusCode::OK => {
            let (head, body) = response.into_parts();
            let body = collect(app, body, REFUSAL_BYTES).await.unwrap_or_default();
            let error = refusal::read(head.status, &head.headers, &body);
            if error.status() == StatusCode::BAD_GATEWAY {
                tracing::error!(http.status = head.status.as_u16(), "the upstream refuses our call");
            }
            Err(error)
        }
        relayed => Ok(relayed),
    }
}

/// What follows an upstream's last byte: nothing, or the error that tells why there is no more. `refusal` is what
/// became of the stream's key.
fn closing(end: &StreamEnd, refusal: Option<KeyError>, id: RequestId) -> Bytes {
    let error = match end.cause {
        EndCause::Cut if !end.said.finished => refusal.map_or(Error::UpstreamCut, Error::Key),
        _ if meter::is_cut(end) => Error::UpstreamCut,
        _ => return Bytes::new(),
    };
    // An event that was cut in its middle is ended first, so that it cannot swallow the error.
    let separator = if end.tail.is_empty() || end.tail.ends_with(b"\n\n") { "" } else { "\n\n" };
    format!("{separator}{}", error.openai(Some(id)).to_event()).into()
}

/// A whole answer: held until it is complete, so that it goes out with its length, or as an error.
async fn whole(app: &App, response: Response<Body>) -> Result<Answer, Error> {
    #[derive(Deserialize)]
    struct Counted {
        // Counts that cannot be read are none; the answer is whole without them.
        #[serde(default)]
        usage: Option<serde_json::Value>,
    }
    let status = response.status();
    let body = collect(app, response.into_body(), ANSWER_BYTES).await?;
    match serde_json::from_slice::<Counted>(&body) {
        Ok(counted) => Ok(Answer::Whole(body, counted.usage.and_then(|it| serde_json::from_value(it).ok()))),
        Err(error) => {
            tracing::error!(%error, http.status = status.as_u16(), "the upstream's answer is not JSON");
            Err(Error::UpstreamFailed { status })
        }
    }
}

/// Reads a body up to `limit`, with the configured bound on silence.
async fn collect(app: &App, mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let mut bytes = BytesMut::new();
    loop {
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => match future::select(body.frame(), app.host.sleep(app.config.idle_timeout_ms)).await {
                Either::Left((frame, _)) => frame,
                Either::Right(_) => return Err(Error::UpstreamTimeout),
            },
        };
        match frame {
            None => return Ok(bytes.freeze()),
            Some(Err(_)) => return Err(Error::UpstreamCut),
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |it| &it[..])),
        }
        if bytes.len() > limit {
            return Err(Error::UpstreamFailed { status: StatusCode::OK });
        }
    }
}

/// The head of a stream is ours; the upstream's own headers stay behind. What a host has put into the extensions is
/// how it knows its own stream again.
fn stream_head(upstream: Response<Body>) -> Response {
    let (head, body) = upstream.into_parts();
    let mut response = Response::new(body);
    *response.extensions_mut() = head.extensions;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies such as nginx would gather events into larger pieces.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn json_response(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
