//! A request's permit: what it has reserved, until that is settled or given back.

use super::{Ask, Reserved, renew_soon, watch};
use crate::App;
use futures_util::future::{self, Either};
use std::{future::Future, pin::pin};

/// How often a request says that it still runs: thrice before anybody takes it for dead.
const HEAR_MS: u64 = 10_000;

/// The right of one request to run. Its slot comes back when this is dropped, and its tokens do if nothing was sent.
pub(crate) struct Permit {
    app: App,
    ask: Ask,
    /// None when nothing is limited.
    reserved: Option<Reserved>,
    tokens: Tokens,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// Nothing has reached an upstream.
    Unsent,
    /// An upstream works for them.
    Sent,
    Settled,
}

impl Permit {
    pub(super) fn new(app: &App, ask: Ask, reserved: Reserved) -> Self {
        Self { app: app.clone(), ask, reserved: Some(reserved), tokens: Tokens::Unsent }
    }

    pub(super) fn unlimited(app: &App, ask: Ask) -> Self {
        Self { app: app.clone(), ask, reserved: None, tokens: Tokens::Unsent }
    }

    /// Notes that an upstream was asked: from now on the tokens are only given back by [`Permit::settle`].
    pub(crate) fn sent(&mut self) {
        if self.tokens == Tokens::Unsent {
            self.tokens = Tokens::Sent;
        }
    }

    /// Counts the tokens that were used instead of those that were reserved.
    pub(crate) fn settle(&mut self, tokens: u64) {
        if self.tokens == Tokens::Settled {
            return;
        }
        self.tokens = Tokens::Settled;
        let delta = i64::try_from(tokens).unwrap_or(i64::MAX).saturating_sub_unsigned(self.ask.tokens);
        let Some(reserved) = self.reserved.filter(|_| delta != 0) else { return };
        let now = self.app.host.now();
        if self.app.leases.with(&self.ask, now, |lease| lease.settle(&reserved, delta, now)) {
            watch(&self.app, self.ask);
        }
    }

    /// The place of the request among those that run at the same time.
    pub(crate) fn slot(&self) -> Slot {
        Slot { app: self.app.clone(), ask: self.ask, number: self.reserved.map(|it| it.number) }
    }
}

/// What keeps a request's slot while it runs; it comes back with the permit.
pub(crate) struct Slot {
    app: App,
    ask: Ask,
    number: Option<u64>,
}

impl Slot {
    /// Runs a part of the request that may take long, and says now and then that it still does.
    pub(crate) async fn hold<T>(&self, part: impl Future<Output = T>) -> T {
        let Some(number) = self.number else { return part.await };
        let mut part = pin!(part);
        loop {
            match future::select(part.as_mut(), self.app.host.sleep(HEAR_MS)).await {
                Either::Left((done, _)) => return done,
                Either::Right(((), _)) => {
                    let now = self.app.host.now();
                    if self.app.leases.with(&self.ask, now, |lease| lease.hear(&self.ask, number, now)) {
                        renew_soon(&self.app, self.ask, 0);
                    }
                }
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.tokens == Tokens::Unsent {
            self.settle(0);
        }
        let Some(reserved) = self.reserved else { return };
        let now = self.app.host.now();
        if self.app.leases.with(&self.ask, now, |lease| lease.end(reserved.number, now)) {
            watch(&self.app, self.ask);
        }
    }
}
