//! The edge on Cloudflare Workers: Postgres through Hyperdrive, the runtime's own `fetch` and streams.
//!
//! An isolate has one thread, and what JavaScript lends belongs to the request that it was lent to: so the edge with
//! its caches is the isolate's, and a [`host::Worker`] is made for each request. JavaScript's futures and values are
//! not `Send`, and the core's are: they are wrapped at this border, which one thread makes sound.
#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

mod border;
mod fetch;
mod host;
mod leaving;
mod log;
mod postgres;
mod relay;

use edge_core::{Config, Edge, misconfigured};
use futures_channel::oneshot;
use std::{
    rc::Rc,
    sync::{Arc, OnceLock},
};
use worker::{Context, Env, ScheduleContext, ScheduledEvent, event, web_sys};

/// The name of the Hyperdrive binding.
const HYPERDRIVE: &str = "HYPERDRIVE";

/// One edge an isolate; none if its configuration is wrong.
static EDGE: OnceLock<Option<Edge>> = OnceLock::new();

#[event(fetch)]
async fn fetch(request: web_sys::Request, env: Env, context: Context) -> worker::Result<web_sys::Response> {
    let Some(edge) = edge(&env) else { return border::response(misconfigured()).await };
    let context = Rc::new(context);
    // The handle is copied; `Request::clone` would split the body.
    let client: web_sys::Request = Clone::clone(&request);
    let request = border::request(request)?;
    let defer = context.clone();
    let host = Arc::new(host::Worker::new(env, Some(Clone::clone(&client)), move |task| defer.wait_until(task)));
    let (answer, answered) = oneshot::channel();
    // The runtime forgets a request whose client has left, unless something goes on behind it. So the call does, and is
    // dropped in good order: that tells the upstream, and settles what is to be settled.
    context.wait_until(async move {
        if let Some(response) = leaving::unless_left(&client, call(edge, host, request)).await {
            let _ = answer.send(response);
        }
    });
    match answered.await {
        Ok(response) => border::response(response).await,
        Err(_) => Err(worker::Error::RustError("the client has left".to_owned())),
    }
}

#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, context: ScheduleContext) {
    let Some(edge) = edge(&env) else { return };
    edge.tick(Arc::new(host::Worker::new(env, None, move |task| context.wait_until(task)))).await;
}

#[cfg(feature = "contract")]
use nest_contract::{call, edge as build};

#[cfg(not(feature = "contract"))]
fn build(config: Config) -> Edge {
    Edge::new(config)
}

#[cfg(not(feature = "contract"))]
async fn call(
    edge: &Edge,
    host: Arc<dyn edge_core::Host>,
    request: http::Request<axum::body::Body>,
) -> axum::response::Response {
    edge.call(host, request).await
}

fn edge(env: &Env) -> Option<&'static Edge> {
    EDGE.get_or_init(|| {
        log::start(env);
        match Config::load(&|name| setting(env, name)).and_then(Config::without_smtp) {
            Ok(config) => Some(build(config)),
            Err(problems) => {
                tracing::error!(%problems, "the edge's settings are wrong: every request is answered with 500");
                None
            }
        }
    })
    .as_ref()
}

/// A variable or secret of the Worker. The database's address is the binding's, whose parts `postgres` reads.
fn setting(env: &Env, name: &str) -> Option<String> {
    match name {
        "DATABASE_URL" => {
            let bound = env.hyperdrive(HYPERDRIVE).is_ok();
            Some(if bound { "postgres://hyperdrive" } else { "there is no Hyperdrive binding" }.to_owned())
        }
        _ => env.var(name).ok().map(|it| it.to_string()),
    }
}
