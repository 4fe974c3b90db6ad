//! Credit that operators grant.

use super::{
    BillingError,
    once::{Once, Told},
};
use crate::{
    App, Error, Store,
    audit::{self, Actor, Entry},
    auth::Operator,
    orgs::OrgError,
    payload::Input,
    sql::{row, sql},
};
use axum::extract::Path;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{id::OrgId, money::Nanos, time::Timestamp};
use utoipa::ToSchema;
use uuid::Uuid;

/// In one act at most.
const MOST: Nanos = Nanos(1_000_000_000_000_000);

row! {
    struct Outcome {
        known: bool,
        told: bool,
    }
}

sql! {
    // Booked already, it is neither booked nor told again.
    GRANT(OrgId, String, i64, Timestamp, String, Entry) -> Outcome = "
        with known as (
            select id from orgs where id = $1::text::uuid and deleted_at is null
        ),
        booked as materialized (
            select add_credit(id, $2::text, 'grant', 'grants', $3::int8, to_timestamp($4::int8 / 1000.0), $5::text::jsonb)
                as booked
            from known
        ),
        told as materialized (select audit($6::text) as entry from booked where booked.booked)
        select exists (select from known) as known, exists (select from told where entry > 0) as told";
}

/// A gift, which what is owed takes first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// More than nothing.
    pub usd: Nanos,
    /// Why; at most 500 characters. The organisation's ledger shows it.
    #[serde(default)]
    pub note: String,
}

/// What was granted.
#[derive(Serialize, Deserialize, ToSchema)]
pub(super) struct Granted {
    org_id: OrgId,
    usd: Nanos,
    /// The business key of its entry in the ledger.
    business_key: String,
}

/// `POST /admin/orgs/{organisation}/credit`
pub(super) async fn add(
    app: App,
    once: Once,
    operator: Operator,
    Path(organisation): Path<String>,
    Input(ask): Input<Grant>,
) -> Result<Told<Granted>, Error> {
    let org_id: OrgId = organisation.parse().map_err(|_| OrgError::Unknown)?;
    let who = operator.user_id().map_or(Actor::OPERATOR, Actor::user);
    let told = once
        .run(&app, &who, &ask, async |effect| {
            let business_key = grant(&app.store, &operator, org_id, &ask, effect).await?;
            Ok(Granted { org_id, usd: ask.usd, business_key })
        })
        .await?;
    audit::chain_soon(&app);
    Ok(told)
}

/// Grants credit, once for each `effect`, and says under which business key.
pub async fn grant(
    store: &Store,
    operator: &Operator,
    org: OrgId,
    grant: &Grant,
    effect: Uuid,
) -> Result<String, Error> {
    if !(1..=MOST.0).contains(&grant.usd.0) {
        return Err(wrong("usd", format!("`usd` is more than nothing, and at most {MOST}")).into());
    }
    if grant.note.chars().count() > 500 {
        return Err(wrong("note", "`note` has at most 500 characters".to_owned()).into());
    }
    let business_key = format!("grant:{effect}");
    let detail = json!({ "usd": grant.usd, "note": grant.note, "business_key": business_key });
    let entry = operator.entry("billing.credit_granted").org(org).target(org).detail(&detail);
    let details = json!({ "note": grant.note }).to_string();
    let params = (org, business_key.clone(), grant.usd.0, operator.now(), details, entry);
    match store.first(&GRANT, params).await? {
        Some(Outcome { known: true, told }) => {
            tracing::info!(org.id = %org, booked = told, "credit was granted to {org}");
            Ok(business_key)
        }
        _ => Err(OrgError::Unknown.into()),
    }
}

fn wrong(field: &'static str, message: String) -> BillingError {
    BillingError::Field { field, message }
}
