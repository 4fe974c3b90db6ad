//! Stripe's customer of an organisation: one each, made when it is first needed, and never one that a caller names.

use super::client::{self, StripeError, form};
use crate::{
    App, Error, Store,
    billing::BillingError,
    sql::{row, sql},
};
use shared::id::OrgId;

row! {
    struct Customer {
        id: Option<String>,
        /// How many there were before.
        generation: i64,
        payment_method: Option<String>,
    }
}

sql! {
    // Always one row.
    OF_ORG(OrgId) -> Customer = "
        select case when customer.deleted_at is null then customer.id end as id,
            coalesce(customer.generation + (customer.deleted_at is not null)::int, 0)::int8 as generation,
            customer.payment_method
        from (select 1) as one left join stripe_customers customer on customer.org_id = $1::text::uuid";

    // Whoever is second takes the first one's, which is the same: both asked with one key.
    SAVE(OrgId, String, i64) -> Customer = "
        with saved as (
            insert into stripe_customers as known (org_id, id, generation)
            values ($1::text::uuid, $2::text, $3::int8)
            on conflict (org_id) do update
            set id = excluded.id, generation = excluded.generation, deleted_at = null, payment_method = null
            where known.deleted_at is not null and known.generation < excluded.generation
            returning id, generation, payment_method
        )
        select id, generation, payment_method from saved
        union all
        select id, generation, payment_method from stripe_customers
        where org_id = $1::text::uuid and not exists (select from saved)";
}

/// The customer, if there is one.
pub(in crate::billing) async fn known(store: &Store, org: OrgId) -> Result<Option<String>, Error> {
    Ok(store.first(&OF_ORG, (org,)).await?.and_then(|it| it.id))
}

/// Whether a card was used that may be used again.
pub(in crate::billing) async fn has_card(store: &Store, org: OrgId) -> Result<bool, Error> {
    Ok(store.first(&OF_ORG, (org,)).await?.is_some_and(|it| it.id.is_some() && it.payment_method.is_some()))
}

/// The customer, made if there is none.
pub(in crate::billing) async fn of_org(app: &App, org: OrgId) -> Result<String, Error> {
    let row = app.store.first(&OF_ORG, (org,)).await?;
    let (id, generation) = row.map_or((None, 0), |it| (it.id, it.generation));
    if let Some(id) = id {
        return Ok(id);
    }
    // Nothing in it may differ from try to try: neither a name nor an address.
    let fields = form([("metadata[org_id]", org.to_string().as_str())]);
    let key = format!("customer:{}:{generation}", org.uuid());
    let made = client::post(app, "customers", &fields, &key).await.map_err(BillingError::from)?;
    let unnamed = || StripeError::Away("a customer without an id".to_owned());
    let id = super::objects::id(&made, "").ok_or_else(unnamed).map_err(BillingError::from)?;
    let saved = app.store.first(&SAVE, (org, id, generation)).await?;
    Ok(saved.and_then(|it| it.id).ok_or_else(unnamed).map_err(BillingError::from)?)
}
