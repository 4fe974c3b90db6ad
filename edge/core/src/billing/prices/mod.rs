//! Prices: versions, of which each is a whole table. The newest rules; each row of usage names the one it was charged by.

mod cache;
mod publish;
mod sql;

pub(crate) use cache::Prices;
pub(super) use cache::{Priced, current};
pub use publish::{ListedPrice, NewPrices, PriceList, list, publish};
pub(super) use sql::statements;

use super::BillingError;
use crate::{
    App, Error,
    access::Access,
    audit,
    auth::Operator,
    openapi::Created,
    payload::Input,
    route::{Route, get, post},
};
use axum::Json;
use serde::Serialize;
use shared::{price::Price, time::Timestamp};
use utoipa::ToSchema;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/prices", Access::ANYONE, public, "Lists what models cost."),
        get("/admin/prices", Access::OPERATOR, show, "Lists what models cost us and others."),
        post("/admin/prices", Access::OPERATOR.fresh(), add, "Publishes a new table of prices."),
    ]
}

/// What models cost.
#[derive(Serialize, ToSchema)]
pub(crate) struct PublicPrices {
    /// None while nothing costs anything.
    version: Option<i64>,
    data: Vec<PublicPrice>,
}

#[derive(Serialize, ToSchema)]
struct PublicPrice {
    model: String,
    price: Price,
}

/// `GET /prices`
async fn public(app: App) -> Result<Json<PublicPrices>, Error> {
    let Some(table) = current(&app).await? else { return Ok(Json(PublicPrices { version: None, data: Vec::new() })) };
    let mut data: Vec<PublicPrice> =
        table.models().map(|(model, it)| PublicPrice { model: model.to_owned(), price: it.price }).collect();
    data.sort_unstable_by(|a, b| a.model.cmp(&b.model));
    Ok(Json(PublicPrices { version: Some(table.version), data }))
}

/// The newest prices, with what they leave.
#[derive(Serialize, ToSchema)]
pub(crate) struct OperatedPrices {
    version: Option<i64>,
    created_at: Option<Timestamp>,
    note: Option<String>,
    data: Vec<OperatedPrice>,
}

#[derive(Serialize, ToSchema)]
struct OperatedPrice {
    #[serde(flatten)]
    listed: ListedPrice,
    /// How many percent of the price for tokens the upstream leaves; none where either is unknown or nothing.
    input_margin_percent: Option<i64>,
    output_margin_percent: Option<i64>,
}

impl From<ListedPrice> for OperatedPrice {
    fn from(listed: ListedPrice) -> Self {
        let upstream = listed.upstream;
        let margin =
            |part: fn(&Price) -> i64| publish::margin_percent(part(&listed.price), upstream.as_ref().map(part));
        let (input, output) = (margin(|it| it.input.0), margin(|it| it.output.0));
        Self { listed, input_margin_percent: input, output_margin_percent: output }
    }
}

/// `GET /admin/prices`
async fn show(app: App, _: Operator) -> Result<Json<OperatedPrices>, Error> {
    let list = list(&app.store).await?;
    let (version, created_at, note) = match list.published {
        Some((version, at, note)) => (Some(version), Some(at), Some(note)),
        None => (None, None, None),
    };
    Ok(Json(OperatedPrices { version, created_at, note, data: list.data.into_iter().map(Into::into).collect() }))
}

/// Which version there is now.
#[derive(Serialize, ToSchema)]
pub(crate) struct Published {
    version: i64,
}

/// `POST /admin/prices`: the whole table; what it lacks has no price any more.
async fn add(app: App, operator: Operator, Input(new): Input<NewPrices>) -> Result<Created<Published>, Error> {
    let version = publish(&app.store, &operator, &new).await?;
    audit::chain_soon(&app);
    app.prices.forget_age();
    Ok(crate::openapi::Status(Json(Published { version })))
}

/// The error for a table that cannot be published.
fn wrong(message: impl Into<String>) -> BillingError {
    BillingError::Field { field: "data", message: message.into() }
}
