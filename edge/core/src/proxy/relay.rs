//! Sends a call to where it can be answered, and brings the answer back.

use super::{
    bill::Bill,
    call::{Call, Endpoint, tokens_of},
    groq, include,
    meter::Meter,
    refusal,
    settlement::{self, Heard},
    watch::{self, Refusal},
};
use crate::{
    App, Error,
    host::{Cut, EndCause, FetchError, RelayOptions, Relayed, StreamEnd, StreamReader, random},
    keys::{Caller, KeyError},
    nodes::{self, CallGuard, Chosen, Node},
};
use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{
    FutureExt as _,
    future::{self, BoxFuture, Either},
};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use shared::{
    id::{NodeId, RequestId},
    node::{HEADERS, sign},
};
use std::sync::Arc;

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

/// What a call costs, in dollars.
const COST: HeaderName = HeaderName::from_static("x-nest-cost");

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
        meter.bill().first_byte();
        match relayed {
            Relayed::Stream { response, end, cut } => Ok(Answer::Stream(response, end, cut, guard)),
            Relayed::Answer(response) => whole(app, call.endpoint, response).await,
        }
    };
    match slot.hold(result).await {
        Ok(Answer::Stream(response, end, cut, guard)) => {
            let (task, bill) = (app.clone(), meter.bill().clone());
            app.host.defer(
                async move {
                    let ended = watch::ended(&task, caller, meter.started(), end, cut, &refusal);
                    let end = slot.hold(ended).await;
                    drop(guard);
                    meter.end_stream(&end);
                }
                .boxed(),
            );
            let response = stream_head(response);
            Ok(if call.includes_cost { response.map(|body| include::in_stream(body, bill)) } else { response })
        }
        Ok(Answer::Whole(body, heard)) => Ok(whole_response(&call, meter, body, heard)),
        Err(error) => {
            meter.fail(&error);
            Err(error)
        }
    }
}

/// A whole answer on its way out, with what it costs.
fn whole_response(call: &Call, meter: Meter, body: Bytes, heard: Heard) -> Response {
    let usage = call.includes_cost.then(|| meter.bill().price(heard).0);
    let charge = meter.complete(heard);
    let body = match usage {
        Some(usage) => include::in_answer(&body, usage, charge.cost),
        None => body,
    };
    let mut response = json_response(body);
    if charge.price_version.is_some() {
        let cost = HeaderValue::try_from(charge.cost.to_string()).expect("an amount is plain ASCII");
        response.headers_mut().insert(COST, cost);
    }
    response
}

enum Answer {
    Stream(Response<Body>, BoxFuture<'static, StreamEnd>, Cut, Option<CallGuard>),
    Whole(Bytes, Heard),
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
        // A node's work costs nothing but its time, so it is spared the rest, and what it has sent is counted here.
        let options = options(app, id, call, refusal, meter.bill(), 0);
        match exchange(app, options, node_request(app, id, &node, call)).await {
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
    let options = options(app, id, call, refusal, meter.bill(), app.config.drain_ms);
    let relayed = exchange(app, options, groq::relay_request(upstream, call)).await?;
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

/// How the answer to `call` is to be relayed.
fn options(app: &App, id: RequestId, call: &Call, refusal: &Refusal, bill: &Arc<Bill>, drain_ms: u64) -> RelayOptions {
    let (refusal, bill) = (refusal.clone(), bill.clone());
    let close = move |end: &StreamEnd| {
        // Before the client has the last byte, so that a crash right after it loses nothing.
        bill.close_stream(end);
        closing(end, refusal.get(), id, &bill.closing())
    };
    let reader = if call.includes_cost { StreamReader::Core } else { StreamReader::Client };
    RelayOptions { idle_ms: app.config.idle_timeout_ms, drain_ms, reader, close: Box::new(close) }
}

/// Waits for the head of an answer, and reads it to the end if it is a refusal.
async fn exchange(app: &App, options: RelayOptions, request: Request<Bytes>) -> Result<Relayed, Error> {
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

/// What follows an upstream's last byte: the error that tells why there is no more, if any, and `bill`. `refusal` is
/// what became of the stream's key.
fn closing(end: &StreamEnd, refusal: Option<KeyError>, id: RequestId, bill: &str) -> Bytes {
    let error = match end.cause {
        EndCause::Cut if !end.said.finished => Some(refusal.map_or(Error::UpstreamCut, Error::Key)),
        _ => settlement::is_cut(end).then_some(Error::UpstreamCut),
    };
    let error = error.map(|it| it.openai(Some(id)).to_event()).unwrap_or_default();
    if error.is_empty() && bill.is_empty() {
        return Bytes::new();
    }
    // An event that was cut in its middle is ended first, so that it cannot swallow what follows.
    let ended = end.tail.is_empty() || end.tail.ends_with(b"\n\n") || end.tail.ends_with(b"\r\n\r\n");
    let separator = if ended { "" } else { "\n\n" };
    format!("{separator}{error}{bill}").into()
}

/// A whole answer: held until it is complete, so that it goes out with its length, or as an error.
async fn whole(app: &App, endpoint: Endpoint, response: Response<Body>) -> Result<Answer, Error> {
    #[derive(serde::Deserialize)]
    struct Counted {
        // Counts that cannot be read are none; the answer is whole without them.
        #[serde(default)]
        usage: Option<Value>,
    }
    let status = response.status();
    let body = collect(app, response.into_body(), ANSWER_BYTES).await?;
    match serde_json::from_slice::<Counted>(&body) {
        Ok(counted) => {
            let usage = counted.usage.and_then(|it| serde_json::from_value(it).ok());
            let heard = usage.map_or_else(|| heard_of_answer(endpoint, &body), Heard::Reported);
            Ok(Answer::Whole(body, heard))
        }
        Err(error) => {
            tracing::error!(%error, http.status = status.as_u16(), "the upstream's answer is not JSON");
            Err(Error::UpstreamFailed { status })
        }
    }
}

/// What an answer without a count of its own holds.
fn heard_of_answer(endpoint: Endpoint, body: &[u8]) -> Heard {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    match (endpoint, &answer["choices"]) {
        (Endpoint::Embeddings, _) if answer["data"].is_array() => Heard::Output { tokens: 0 },
        (Endpoint::ChatCompletions | Endpoint::Completions, Value::Array(choices)) => {
            let said = choices.iter().flat_map(|it| [&it["message"], &it["text"]]);
            Heard::Output { tokens: tokens_of(said.map(text_bytes).sum()) }
        }
        // An error's text is no output.
        _ => Heard::Nothing,
    }
}

/// Bytes of all texts in a message but its role.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(text_bytes).sum(),
        Value::Object(fields) => fields.iter().filter(|(name, _)| *name != "role").map(|(_, it)| text_bytes(it)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
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
