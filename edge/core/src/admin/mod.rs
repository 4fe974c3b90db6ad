//! The operators' view: people, organisations, the audit log, health.
//!
//! Owns no table: what operators read and write is in the slices that own it. No route here acts in another person's
//! name, gives a token, or opens a session; docs/operators.md says what operators may do, and what not.

mod log;
mod orgs;
mod users;

use crate::{
    App,
    access::Access,
    limits::Class,
    route::{Route, delete, get, post, put},
    sql::{row, sql},
};
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

row! {
    struct One {
        one: i64,
    }
}

sql! {
    PING() -> One = "select 1::int8 as one";
}

/// Reading, and ending sessions, which may be urgent and harms nobody for long.
const OPERATOR: Access = Access::OPERATOR;
/// What gives or takes rights.
const FRESH: Access = Access::OPERATOR.fresh();

pub(crate) fn routes() -> Vec<Route> {
    vec![
        get("/admin/users", OPERATOR, users::list, "Finds people."),
        get("/admin/users/{user}", OPERATOR, users::show, "Shows a person."),
        post("/admin/users/{user}/suspend", FRESH, users::suspend, "Suspends a person and ends their sessions."),
        post("/admin/users/{user}/restore", FRESH, users::restore, "Ends a person's suspension."),
        put("/admin/users/{user}/operator", FRESH, users::set_operator, "Gives or takes the operator's right."),
        get("/admin/users/{user}/sessions", OPERATOR, users::sessions, "Lists a person's live sessions."),
        delete("/admin/users/{user}/sessions", OPERATOR, users::end_sessions, "Ends all of a person's sessions."),
        delete("/admin/users/{user}/sessions/{session}", OPERATOR, users::end_session, "Ends a person's session."),
        get("/admin/orgs", OPERATOR, orgs::list, "Finds organisations."),
        // Not `{org}`: that is what a member's routes are guarded by.
        get("/admin/orgs/{organisation}", OPERATOR, orgs::show, "Shows an organisation and its members."),
        post("/admin/orgs/{organisation}/suspend", FRESH, orgs::suspend, "Suspends an organisation."),
        post("/admin/orgs/{organisation}/restore", FRESH, orgs::restore, "Ends an organisation's suspension."),
        get("/admin/orgs/{organisation}/limits", OPERATOR, orgs::limits, "Shows an organisation's limits."),
        put("/admin/orgs/{organisation}/limits", FRESH, orgs::set_limits, "Sets an organisation's limits."),
        get("/admin/audit", OPERATOR, log::list, "Lists what was done, by whom, newest first."),
        get("/admin/audit/status", OPERATOR, log::status, "Says how far the audit log's chain is."),
        get("/v1/endpoints/health", Access::ANYONE, health, "Says that the edge answers.")
            .at_root()
            .limited(Class::Health),
        get("/healthz", Access::ANYONE, alive, "For orchestrators: 200 while the process lives.").at_root().unlimited(),
        get("/readyz", Access::ANYONE, ready, "For load balancers: 200 while the edge can do its work.")
            .at_root()
            .unlimited()
            .gives::<Health>()
            .answers::<503, Health>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct Health {
    /// `healthy`, `alive`, `ready` or `unready`.
    status: &'static str,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Health {
    const fn of(status: &'static str) -> Self {
        Self { status, reason: None }
    }
}

/// The public health check: it says that the edge answers, not that all it needs is there.
async fn health() -> Json<Health> {
    Json(Health::of("healthy"))
}

/// Alive: an orchestrator restarts a process that does not answer this.
async fn alive() -> Json<Health> {
    Json(Health::of("alive"))
}

/// Ready: a load balancer sends requests only where this is 200.
async fn ready(app: App) -> Response {
    match app.store.first(&PING, ()).await {
        Ok(Some(row)) if row.one == 1 => Json(Health::of("ready")).into_response(),
        Ok(_) => unready("the database gives wrong answers"),
        Err(error) => {
            tracing::warn!(error = %crate::error::chain(&error), "not ready");
            unready("the database cannot be reached")
        }
    }
}

fn unready(reason: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "unready", reason: Some(reason) })).into_response()
}
