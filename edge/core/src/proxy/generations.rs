//! `GET /generations/{id}`: what became of a call, what it cost, and its receipt.

use crate::{
    App, Error,
    auth::Jwks,
    billing::{Settled, receipt_keys, sign_receipt},
    keys::Caller,
    orgs::Member,
    usage::{self, Generation, Tokens},
};
use axum::{Json, extract::Path};
use serde::Serialize;
use shared::{
    id::{KeyId, OrgId, RequestId},
    money::Nanos,
    time::Timestamp,
};
use utoipa::ToSchema;

/// A call that was recorded.
#[derive(Serialize, ToSchema)]
#[schema(as = Generation)]
pub(super) struct View {
    request_id: RequestId,
    key_id: KeyId,
    endpoint: String,
    model: String,
    stream: bool,
    /// The status that the client was answered with.
    status: i64,
    outcome: String,
    /// What the call was billed for.
    prompt_tokens: i64,
    completion_tokens: i64,
    /// Part of `prompt_tokens`.
    cached_tokens: i64,
    /// Part of `completion_tokens`.
    reasoning_tokens: i64,
    /// Who counted: `upstream`, or `counted` for our own count; `none` without an answer.
    tokens_source: String,
    cost_usd: Nanos,
    /// The table of prices that held; null when there was none.
    price_version: Option<i64>,
    started_at: Timestamp,
    first_byte_ms: Option<i64>,
    latency_ms: i64,
    /// Signed by a key of `/.well-known/receipt-keys.json`; null for what cost nothing.
    receipt: Option<String>,
}

/// `GET /v1/generations/{id}`: with the key that made the call.
pub(super) async fn of_key(app: App, caller: Caller, Path(id): Path<String>) -> Result<Json<View>, Error> {
    show(&app, caller.org_id, Some(caller.key_id), &id).await
}

/// `GET /generations/{id}`
pub(super) async fn of_org(app: App, member: Member, Path(id): Path<String>) -> Result<Json<View>, Error> {
    show(&app, member.org_id, None, &id).await
}

/// `GET /.well-known/receipt-keys.json`
pub(super) async fn keys(app: App) -> Jwks {
    receipt_keys(&app)
}

async fn show(app: &App, org: OrgId, key: Option<KeyId>, id: &str) -> Result<Json<View>, Error> {
    let id = id.parse().map_err(|_| Error::NoGeneration)?;
    let found = usage::find(&app.store, org, key, id).await?.ok_or(Error::NoGeneration)?;
    Ok(Json(view(app, found)))
}

fn view(app: &App, it: Generation) -> View {
    let tokens = Tokens {
        prompt_tokens: it.prompt_tokens,
        completion_tokens: it.completion_tokens,
        cached_tokens: it.cached_tokens,
        reasoning_tokens: it.reasoning_tokens,
    };
    let settled = Settled {
        request_id: it.request_id,
        org_id: it.org_id,
        key_id: it.key_id,
        model: it.model.clone(),
        tokens,
        price_version: it.price_version,
        cost: Nanos(it.cost_nanos),
        ended_at: it.started_at.plus_ms(it.latency_ms),
        ledger: it.ledger,
    };
    View {
        receipt: sign_receipt(app, &settled),
        request_id: it.request_id,
        key_id: it.key_id,
        endpoint: it.endpoint,
        model: it.model,
        stream: it.stream,
        status: it.status,
        outcome: it.outcome,
        prompt_tokens: it.prompt_tokens,
        completion_tokens: it.completion_tokens,
        cached_tokens: it.cached_tokens,
        reasoning_tokens: it.reasoning_tokens,
        tokens_source: it.tokens_source,
        cost_usd: settled.cost,
        price_version: it.price_version,
        started_at: it.started_at,
        first_byte_ms: it.first_byte_ms,
        latency_ms: it.latency_ms,
    }
}
