//! A hold: money kept for one call, from before it is sent until it is settled.

use super::{
    BillingError,
    lease::{self, Drawn},
    prices::{self, Priced},
};
use crate::{App, Error, keys::Caller, usage::Charge};
use shared::{money::Nanos, price, usage::Usage};

/// The most that a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worst {
    pub(crate) prompt_tokens: u64,
    /// Of all answers together.
    pub(crate) completion_tokens: u64,
}

/// Holds the most that a call of `model` may cost.
pub(crate) async fn hold(app: &App, caller: &Caller, model: &str, worst: Worst) -> Result<Hold, Error> {
    let id = (caller.org_id, caller.key_id);
    let mut hold = Hold { app: app.clone(), id, tariff: None, drawn: None, sent: false };
    let Some(table) = prices::current(app).await? else { return Ok(hold) };
    let priced = table.price(model).ok_or_else(|| BillingError::NoPrice { model: model.to_owned() })?;
    hold.tariff = Some((table.version, priced));
    if !priced.price.is_free() {
        let most = Usage::new(worst.prompt_tokens, worst.completion_tokens);
        // What cannot even be told, no credit covers.
        let need = price::cost(&priced.price.dearest(), &most, 0).ok_or(BillingError::Credit)?;
        hold.drawn = Some(lease::draw(app, id, need.0.max(1)).await?);
    }
    Ok(hold)
}

/// Money that is kept for one call. Dropped before anything was sent, it goes back whole; dropped later and not settled,
/// it stays kept until its lease ends, since nobody knows what was used of it.
pub(crate) struct Hold {
    app: App,
    id: lease::Id,
    /// The version and the prices by which the money was held; none while nothing costs anything.
    tariff: Option<(i64, Priced)>,
    /// None for a call that costs nothing in any case, and after the end.
    drawn: Option<Drawn>,
    sent: bool,
}

impl Hold {
    /// Notes that an upstream was asked: from now on the money only goes back by [`Hold::settle`], or when the lease ends.
    pub(crate) fn sent(&mut self) {
        self.sent = true;
    }

    /// What `usage` costs under the prices by which the money was held. A cost that cannot be told is what was held.
    pub(crate) fn price(&self, usage: &Usage) -> Charge {
        let Some((version, priced)) = &self.tariff else { return Charge::default() };
        let held = Nanos(self.drawn.as_ref().map_or(0, |it| it.nanos));
        let cost = price::cost(&priced.price, usage, 0).unwrap_or(held);
        let upstream_cost = priced.upstream.and_then(|it| price::cost(&it, usage, 0)).unwrap_or_default();
        Charge { cost, upstream_cost, price_version: Some(*version), lease_id: self.drawn.as_ref().map(|it| it.lease) }
    }

    /// The head of the ledger's chain when the money was leased.
    pub(crate) fn ledger_head(&self) -> Option<[u8; 32]> {
        self.drawn.as_ref().and_then(|it| it.head.as_slice().try_into().ok())
    }

    /// Ends the hold: what `charge` leaves of it is free for others.
    pub(crate) fn settle(mut self, charge: &Charge) {
        if let Some(drawn) = self.drawn.take() {
            lease::settle(&self.app, self.id, &drawn, charge.cost.0);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        match self.drawn.take() {
            Some(drawn) if self.sent => lease::lose(&self.app, self.id, &drawn),
            Some(drawn) => lease::settle(&self.app, self.id, &drawn, 0),
            None => {}
        }
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, tariff, drawn, sent, .. } = self;
        let mut shown = f.debug_struct("Hold");
        shown.field("id", id).field("tariff", tariff).field("drawn", drawn).field("sent", sent);
        shown.finish_non_exhaustive()
    }
}
