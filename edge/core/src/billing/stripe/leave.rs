//! What ends at Stripe because it has ended here, or the other way round: the subscription of an organisation that was
//! deleted, and a card that its owner has taken away.

use super::{
    apply::{Kind, Told, apply},
    client,
};
use crate::{
    App, Store,
    error::chain,
    sql::{SqlError, row, sql},
};

/// Subscriptions that one round ends; the next minute goes on.
const ROUND: i64 = 20;

row! {
    struct Left {
        id: String,
    }
}

row! {
    struct Count {
        count: i64,
    }
}

sql! {
    LEFT_BEHIND(i64) -> Left = "
        select subscription.id from subscriptions subscription
        join orgs on orgs.id = subscription.org_id and orgs.deleted_at is not null
        where not subscription.ended order by subscription.id limit $1::int8";

    FORGET_CARD(String) -> Count = "
        with forgotten as (
            update stripe_customers set payment_method = null where payment_method = $1::text returning 1
        )
        select count(*)::int8 as count from forgotten";
}

/// Ends the subscriptions of organisations that were deleted, so that nobody pays for what nobody can use.
pub(super) async fn tick(app: &App) {
    if app.config.stripe.secret_key.is_none() {
        return;
    }
    let left = match app.store.all(&LEFT_BEHIND, (ROUND,)).await {
        Ok(left) => left,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "subscriptions of deleted organisations could not be looked for");
            return;
        }
    };
    for Left { id } in left {
        // One that has ended meanwhile is refused; what it says now is applied in either case.
        if let Err(error) = client::delete(app, "subscriptions", &id).await {
            tracing::warn!(subscription = id, %error, "Stripe did not end subscription {id}");
        }
        if let Err(error) = apply(app, Kind::Subscription, Told::unasked(&id)).await {
            tracing::error!(subscription = id, %error, "subscription {id} of a deleted organisation goes on");
        }
    }
}

impl Store {
    /// Forgets a card: nothing is taken from it any more.
    pub(super) async fn forget_card(&self, payment_method: &str) -> Result<(), SqlError> {
        let row = self.first(&FORGET_CARD, (payment_method.to_owned(),)).await?;
        debug_assert!(row.is_some_and(|it| it.count <= 1), "a card is one customer's");
        Ok(())
    }
}
