//! `GET /limits`: what an organisation and its keys may use, and what is left of it.

use crate::{
    App, Error, keys,
    limits::{self, Limit, LimitName, Quotas, Scope, Standing},
    orgs::{self, Member},
    payload::Query,
};
use axum::Json;
use serde::{Deserialize, Serialize};
use shared::{
    id::{KeyId, OrgId},
    time::Timestamp,
};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, IntoParams)]
pub(super) struct Ask {
    /// A key of the organisation, whose limits are to be shown, too.
    key_id: Option<String>,
}

/// The limits of an organisation and, if one was named, of a key.
#[derive(Serialize, ToSchema)]
pub(super) struct LimitsView {
    org_id: OrgId,
    /// Of all keys of the organisation together. What is not limited is not listed.
    org: Vec<LimitView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    /// Of the key by itself, besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Vec<LimitView>>,
    on_loss: OnLoss,
}

/// A limit, and how it stands.
#[derive(Serialize, ToSchema)]
struct LimitView {
    #[schema(inline)]
    name: LimitName,
    limit: u64,
    /// What is counted, with what edges have taken ahead and not spent yet.
    used: u64,
    remaining: u64,
    /// When its window ends; of requests at the same time, there is none.
    reset_at: Option<Timestamp>,
}

/// What holds while the store of counters is away.
#[derive(Serialize, ToSchema)]
struct OnLoss {
    /// `local`: each edge counts by itself.
    mode: &'static str,
    /// Percent of a limit that each of them gives then.
    share_percent: u64,
}

/// `GET /limits`
pub(super) async fn show(app: App, member: Member, Query(ask): Query<Ask>) -> Result<Json<LimitsView>, Error> {
    let org_id = member.org_id;
    let org = orgs::limits(&app.store, org_id).await?.held().unwrap_or(app.config.limits.org);
    let named = match &ask.key_id {
        Some(text) => Some(keys::quota(&app, org_id, text).await?),
        None => None,
    };
    let (key_id, key) = named.unzip();
    let quotas = Quotas { org, key: key.unwrap_or_default() };
    let standings = limits::standings(&app, org_id, key_id, quotas).await?;
    let now = app.host.now();
    let of = |scope| {
        let these = standings.iter().filter(move |(limit, ..)| limit.scope == scope);
        these.map(|(limit, value, standing)| view(*limit, *value, *standing, now)).collect()
    };
    let on_loss = OnLoss { mode: "local", share_percent: app.config.limits.share_percent };
    Ok(Json(LimitsView { org_id, org: of(Scope::Org), key_id, key: key_id.map(|_| of(Scope::Key)), on_loss }))
}

fn view(limit: Limit, value: u64, standing: Standing, now: Timestamp) -> LimitView {
    let remaining = standing.remaining.min(value);
    let reset_at = limit.name.window_ms().map(|_| now.plus_ms(standing.reset_ms));
    LimitView { name: limit.name, limit: value, used: value - remaining, remaining, reset_at }
}
