//! The edge as one thing to call: what outlives a request, what belongs to one, the routes, and the layers round them.

use crate::{
    Config, Error, Host, Store, admin, audit, auth, billing, clock, host::random, keys, limits, mail, nodes, orgs,
    proxy, route, route::Route, telemetry, usage,
};
use axum::{
    Router,
    body::Body,
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue, Request, StatusCode, header::CONTENT_TYPE, request::Parts};
use shared::id::RequestId;
use std::{convert::Infallible, ops::Deref, sync::Arc};
use tower_service::Service as _;
use tracing::Instrument as _;

/// The edge of one process or isolate.
pub struct Edge {
    router: Router,
    state: Arc<State>,
}

/// The route table: every route that there is.
pub fn routes() -> Vec<Route> {
    [
        auth::routes(),
        orgs::routes(),
        keys::routes(),
        nodes::routes(),
        usage::routes(),
        billing::routes(),
        proxy::routes(),
        admin::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What outlives a request. Everything in here may be empty at any time and is filled again as needed.
pub struct State {
    pub config: Config,
    pub(crate) clock: clock::Skew,
    pub(crate) keys: keys::Cache,
    pub(crate) addresses: limits::Addresses,
    pub(crate) counters: limits::counters::Counters,
    /// Counts while the store of `counters` is away.
    pub(crate) local_counters: limits::counters::Memory,
    pub(crate) leases: limits::Leases,
    pub(crate) nodes: nodes::Registry,
    pub(crate) catalogue: proxy::Catalogue,
    pub(crate) usage: usage::Writer,
    pub(crate) journal: usage::Journal,
    pub(crate) receipt_keys: billing::receipt::Keys,
    pub(crate) token_keys: auth::TokenKeys,
    pub(crate) audit: audit::Chaining,
    pub(crate) oidc: auth::OidcCache,
    pub(crate) prices: billing::Prices,
    /// Credit that was taken ahead of calls.
    pub(crate) credit: billing::Leases,
}

/// What a handler works with: the state, and the host of this request.
#[derive(Clone)]
pub struct App {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) store: Store,
    state: Arc<State>,
}

impl App {
    /// The platform that lends this request what it needs.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }
}

impl Deref for App {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl Edge {
    /// An edge with empty caches.
    pub fn new(config: Config) -> Self {
        Self::with_routes(config, Router::new())
    }

    /// An edge that answers `more` routes, whose handlers may take an [`App`].
    pub fn with_routes(config: Config, more: Router) -> Self {
        let (root, below) = route::routers(routes());
        let router = Router::new()
            .merge(more)
            .merge(mail::routes(&config))
            .merge(root)
            .nest(&config.api_prefix, below)
            .fallback(no_route)
            .method_not_allowed_fallback(wrong_method);
        let counters = limits::counters::Counters::new(config.upstash.as_ref());
        let state = State {
            config,
            clock: clock::Skew::default(),
            keys: keys::Cache::default(),
            addresses: limits::Addresses::default(),
            counters,
            local_counters: limits::counters::Memory::default(),
            leases: limits::Leases::default(),
            nodes: nodes::Registry::default(),
            catalogue: proxy::Catalogue::default(),
            usage: usage::Writer::default(),
            journal: usage::Journal::default(),
            receipt_keys: billing::receipt::Keys::default(),
            token_keys: auth::TokenKeys::default(),
            audit: audit::Chaining::default(),
            oidc: auth::OidcCache::default(),
            prices: billing::Prices::default(),
            credit: billing::Leases::default(),
        };
        Self { router, state: Arc::new(state) }
    }

    /// What the edge was configured with.
    pub fn config(&self) -> &Config {
        &self.state.config
    }

    /// How many milliseconds the host's clock was ahead of the database's at the last tick; none before the first.
    pub fn clock_ahead_ms(&self) -> Option<i64> {
        self.state.clock.ahead_ms()
    }

    /// Does what is due by the clock. To be called once a minute, by any number of edges.
    pub async fn tick(&self, host: Arc<dyn Host>) {
        let app = self.app(host);
        usage::catch_up(&app).await;
        nodes::sweep(&app).await;
        audit::tick(&app).await;
        mail::tick(&app).await;
        auth::sweep(&app).await;
        billing::tick(&app).await;
        clock::compare(&app).await;
    }

    /// Looks through Stripe's lists for what webhooks missed, now, and applies it.
    pub async fn reconcile(&self, host: Arc<dyn Host>) {
        billing::stripe::reconcile(&self.app(host)).await;
    }

    /// Writes what an earlier process has left in the host's journal, before this one begins.
    pub async fn recover(&self, host: Arc<dyn Host>) {
        usage::recover(&self.app(host)).await;
    }

    /// Writes what is still to be written, before the process ends.
    pub async fn flush(&self, host: Arc<dyn Host>) {
        let app = self.app(host);
        usage::flush(&app).await;
        billing::flush(&app).await;
    }

    /// Who calls, by the key on a request: what a route that needs a key asks before anything else.
    pub async fn caller(&self, host: Arc<dyn Host>, parts: &Parts) -> Result<keys::Caller, Error> {
        keys::recognise(&self.app(host), parts).await
    }

    /// Answers a request on behalf of `host`. Never fails: every error is an answer.
    pub async fn call(&self, host: Arc<dyn Host>, mut request: Request<Body>) -> Response {
        let id = RequestId::new(host.now(), random(&*host));
        let span = telemetry::request_span(&request, id);
        let path = request.uri().path().to_owned();
        let app = self.app(host);
        let started = app.host.now();
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(app.clone());
        let Ok(mut response) = self.router.clone().call(request).instrument(span.clone()).await;
        let _entered = span.enter();
        let error = response.extensions().get::<Arc<Error>>().cloned();
        let limits = response.extensions_mut().remove::<limits::Headers>();
        let mut response = match error {
            Some(error) => with_allow(error.render(&path, id), &response),
            None => response,
        };
        response.headers_mut().extend(limits.map(|it| it.0).unwrap_or_default());
        let value = HeaderValue::try_from(id.to_string()).expect("an id is plain ASCII");
        response.headers_mut().insert(REQUEST_ID, value);
        telemetry::answered(response.status(), app.host.now().since_ms(started));
        response
    }

    fn app(&self, host: Arc<dyn Host>) -> App {
        App { store: Store::new(host.clone()), host, state: self.state.clone() }
    }
}

/// Every answer of a host whose configuration is wrong. What is wrong is for the log alone.
pub fn misconfigured() -> Response {
    const BODY: &str = r#"{"type":"about:blank","title":"Internal Server Error","status":500,"detail":"this service is not configured; its log says what is wrong","code":"misconfigured"}"#;
    let headers = [(CONTENT_TYPE, "application/problem+json")];
    (StatusCode::INTERNAL_SERVER_ERROR, headers, BODY).into_response()
}

/// Keeps the `Allow` header that the router found for a refused method.
fn with_allow(mut rendered: Response, original: &Response) -> Response {
    if let Some(allow) = original.headers().get(http::header::ALLOW) {
        rendered.headers_mut().insert(http::header::ALLOW, allow.clone());
    }
    rendered
}

impl<S: Send + Sync> FromRequestParts<S> for App {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().expect("`Edge::call` puts the app into every request").clone())
    }
}

/// The id of the request that a handler answers.
pub(crate) struct Id(pub(crate) RequestId);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(*parts.extensions.get().expect("`Edge::call` puts the id into every request")))
    }
}

async fn no_route(app: App, request: Request<Body>) -> Error {
    let (parts, _) = request.into_parts();
    match limits::take_address(&app, limits::Class::Api, &parts).await {
        Ok(()) => Error::NoRoute { method: parts.method.to_string(), path: parts.uri.path().to_owned() },
        Err(error) => error,
    }
}

async fn wrong_method(app: App, request: Request<Body>) -> Error {
    let (parts, _) = request.into_parts();
    limits::take_address(&app, limits::Class::Api, &parts).await.err().unwrap_or(Error::Method)
}
