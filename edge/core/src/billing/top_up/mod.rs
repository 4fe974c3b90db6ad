//! Credit that organisations buy: on Stripe's page, or automatically with a card that was used there.

mod auto;
mod sql;

pub(in crate::billing) use auto::soon;
pub(super) use sql::statements;

use super::{
    BillingError,
    once::{Once, Told},
    stripe,
};
use crate::{
    App, Error, audit,
    limits::Client,
    openapi::{NoContent, Status},
    orgs::Member,
    page::{Page, Paging},
    payload::{Input, Query},
};
use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{id::TopUpId, money::Nanos, time::Timestamp};
use sql::TopUp;
use utoipa::ToSchema;

/// Nano-dollars in a cent.
pub(super) const CENT: i64 = 10_000_000;
/// The least and the most that is bought at once, in cents. Stripe takes no less than half a dollar.
const LEAST_CENTS: i64 = 100;
const MOST_CENTS: i64 = 1_000_000;

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTopUp {
    /// Dollars, in whole cents, from 1 to 10000.
    #[schema(value_type = String, example = "20")]
    usd: Nanos,
}

/// Where a top-up is paid.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct TopUpPage {
    id: TopUpId,
    /// Stripe's page. Credit comes once it is paid there.
    url: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TopUpView {
    id: TopUpId,
    #[schema(value_type = String)]
    usd: Nanos,
    /// Whether nobody was there when it was paid.
    automatic: bool,
    /// `open`, `processing`, `paid`, `failed` or `expired`.
    status: String,
    created_at: Timestamp,
    settled_at: Option<Timestamp>,
}

/// Credit that is bought as soon as there is little. Both amounts, or neither for none.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetAutoTopUp {
    /// Below which credit is bought, in dollars.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, value_type = Option<String>)]
    threshold_usd: Option<Nanos>,
    /// How much is bought, in dollars and whole cents, from 1 to 10000.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required, value_type = Option<String>)]
    amount_usd: Option<Nanos>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AutoTopUpView {
    /// Null while none is set.
    #[schema(value_type = Option<String>)]
    threshold_usd: Option<Nanos>,
    #[schema(value_type = Option<String>)]
    amount_usd: Option<Nanos>,
    /// Since when there is none, because the card was refused; setting it anew ends that.
    failed_at: Option<Timestamp>,
    /// Whether there is a card to pay with: the last one that a top-up was paid with.
    has_card: bool,
}

/// `POST /billing/top-ups`
pub(crate) async fn begin(
    app: App,
    client: Client,
    member: Member,
    once: Once,
    Input(ask): Input<NewTopUp>,
) -> Result<Told<TopUpPage>, Error> {
    super::payments_on(&app)?;
    let cents = cents("usd", ask.usd)?;
    let answer = once.run(&app, &member.actor, &ask, async |effect| {
        let id = TopUpId::from_uuid(effect);
        let detail = json!({ "usd": ask.usd });
        let entry = member.entry(&app, &client, "billing.top_up_begun").target(id).detail(&detail);
        app.store.begin_top_up(id, member.org_id, cents, app.host.now(), entry).await?;
        let page = stripe::top_up_page(&app, member.org_id, effect, cents).await?;
        app.store.save_top_up_session(id, page.session_id).await?;
        Ok(TopUpPage { id, url: page.url })
    });
    let answer = answer.await?;
    audit::chain_soon(&app);
    Ok(answer)
}

/// `GET /billing/top-ups`: newest first.
pub(crate) async fn list(
    app: App,
    member: Member,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<TopUpView>>, Error> {
    let rows = app.store.top_ups(member.org_id, paging.after()?, paging.rows()).await?;
    let view = |row: TopUp| TopUpView {
        id: row.id,
        usd: Nanos(row.cents.saturating_mul(CENT)),
        automatic: row.automatic,
        status: row.status,
        created_at: row.created_at,
        settled_at: row.settled_at,
    };
    Ok(Json(Page::of(&paging, rows, |row| row.id, view)))
}

/// `GET /billing/auto-top-up`
pub(crate) async fn show_auto(app: App, member: Member) -> Result<Json<AutoTopUpView>, Error> {
    let has_card = stripe::has_card(&app.store, member.org_id).await?;
    let set = app.store.auto_top_up(member.org_id).await?;
    Ok(Json(AutoTopUpView {
        threshold_usd: set.as_ref().map(|it| Nanos(it.threshold_nanos)),
        amount_usd: set.as_ref().map(|it| Nanos(it.cents.saturating_mul(CENT))),
        failed_at: set.and_then(|it| it.failed_at),
        has_card,
    }))
}

/// `PUT /billing/auto-top-up`
pub(crate) async fn set_auto(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<SetAutoTopUp>,
) -> Result<NoContent, Error> {
    let auto = match (ask.threshold_usd, ask.amount_usd) {
        (None, None) => None,
        (Some(threshold), Some(amount)) if threshold.0 > 0 => Some((threshold.0, cents("amount_usd", amount)?)),
        _ => {
            let message = "both amounts are needed, and more than zero; or null for both".to_owned();
            return Err(BillingError::Field { field: "threshold_usd", message }.into());
        }
    };
    if auto.is_some() {
        super::payments_on(&app)?;
        if !stripe::has_card(&app.store, member.org_id).await? {
            return Err(BillingError::NoCard.into());
        }
    }
    let detail = json!({ "threshold_usd": ask.threshold_usd, "amount_usd": ask.amount_usd });
    let entry = member.entry(&app, &client, "billing.auto_top_up_set").target(member.org_id).detail(&detail);
    app.store.set_auto_top_up(member.org_id, auto, entry).await?;
    Ok(Status(()))
}

/// Begins those automatic top-ups that are due, and goes on with those whose end is not known.
pub(super) async fn tick(app: &App) {
    auto::tick(app).await;
}

fn cents(field: &'static str, usd: Nanos) -> Result<i64, BillingError> {
    let cents = usd.0 / CENT;
    if usd.0 % CENT == 0 && (LEAST_CENTS..=MOST_CENTS).contains(&cents) {
        return Ok(cents);
    }
    let message = format!("`{field}` must be from 1 to 10000 dollars, in whole cents");
    Err(BillingError::Field { field, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_cents_from_a_dollar_to_ten_thousand_are_sold() {
        for (usd, expected) in [
            ("1", Some(100)),
            ("0.99", None),
            ("12.34", Some(1_234)),
            ("12.345", None),
            ("10000", Some(1_000_000)),
            ("10000.01", None),
            ("0", None),
        ] {
            assert_eq!(cents("usd", usd.parse().unwrap()).ok(), expected, "{usd}");
        }
    }
}
