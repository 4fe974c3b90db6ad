//! How much an organisation's keys may do together: what operators set, or else what its plan gives, or else what the
//! edge is configured with.

use super::OrgError;
use crate::{
    Error, Store,
    audit::Entry,
    auth::{Change, Operator},
    limits::Quota,
    sql::{row, sql},
};
use serde_json::json;
use shared::id::OrgId;

row! {
    struct Row {
        limits: Option<String>,
        plan_limits: Option<String>,
    }
}

row! {
    struct Outcome {
        known: bool,
        acted: bool,
    }
}

sql! {
    LIMITS(OrgId) -> Row = "
        select limits::text, plan_limits::text from orgs where id = $1::text::uuid and deleted_at is null";

    SET(OrgId, Option<String>, Entry) -> Outcome = "
        with acted as (
            update orgs set limits = $2::text::jsonb
            where id = $1::text::uuid and deleted_at is null and limits is distinct from $2::text::jsonb
            returning id
        ),
        told as materialized (select audit($3::text) as entry from acted)
        select exists (select from orgs where id = $1::text::uuid and deleted_at is null) as known,
            exists (select from told where entry > 0) as acted";
}

/// The limits that were set for an organisation alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLimits {
    /// By operators, which counts more.
    pub set: Option<Quota>,
    /// By its plan.
    pub plan: Option<Quota>,
}

impl OwnLimits {
    /// Those that hold; none where what the edge is configured with does.
    pub fn held(self) -> Option<Quota> {
        self.set.or(self.plan)
    }
}

/// The limits that were set for an organisation alone.
pub async fn limits(store: &Store, org: OrgId) -> Result<OwnLimits, Error> {
    let row = store.first(&LIMITS, (org,)).await?.ok_or(OrgError::Unknown)?;
    let read = |text: Option<String>| text.and_then(|it| serde_json::from_str(&it).ok());
    Ok(OwnLimits { set: read(row.limits), plan: read(row.plan_limits) })
}

/// Sets an organisation's limits, or, without any, lets the configured ones hold again. Edges notice within seconds.
pub async fn set_limits(
    store: &Store,
    operator: &Operator,
    org: OrgId,
    limits: Option<&Quota>,
) -> Result<Change, Error> {
    let detail = json!({ "limits": limits });
    let entry = operator.entry("admin.org_limits_set").org(org).target(org).detail(&detail);
    let text = limits.map(|it| serde_json::to_string(it).expect("limits are plain data"));
    match store.first(&SET, (org, text, entry)).await? {
        Some(Outcome { acted: true, .. }) => Ok(Change::Made),
        Some(Outcome { known: true, acted: false }) => Ok(Change::NotNeeded),
        Some(Outcome { known: false, .. }) | None => Err(OrgError::Unknown.into()),
    }
}
