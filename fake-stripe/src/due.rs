//! What falls due by the clock: renewals, ends of trials, payments that are tried again, sessions that expire.

use crate::{
    calendar::DAY_S,
    object::{number, text},
    subscriptions::period,
    world::World,
};
use serde_json::{Value, json};

/// How long before its end a trial says so.
const TRIAL_NOTICE_S: i64 = 3 * DAY_S;

impl World {
    /// Whether something has fallen due that nobody asked for yet.
    pub(crate) fn is_due(&self) -> bool {
        let now = self.now();
        self.next_due().is_some_and(|(due, _)| due <= now)
    }

    /// When the next thing falls due, and to which object.
    pub(crate) fn next_due(&self) -> Option<(i64, String)> {
        let sessions = self.objects.all("checkout.session").into_iter().filter(|it| it["status"] == "open");
        let sessions = sessions.map(|it| (number(it, "expires_at"), it));
        let subscriptions =
            self.objects.all("subscription").into_iter().filter_map(|it| Some((subscription_due(it)?, it)));
        let invoices = self.objects.all("invoice").into_iter().filter(|it| it["status"] == "open");
        let invoices = invoices.filter_map(|it| Some((it["next_payment_attempt"].as_i64()?, it)));
        let all = sessions.chain(subscriptions).chain(invoices);
        all.min_by_key(|(due, it)| (*due, it["_at"].as_u64())).map(|(due, it)| (due, text(it, "id").to_owned()))
    }

    /// Does what is due to an object now.
    pub(crate) fn do_due(&mut self, id: &str) {
        let object = self.copy(id);
        match text(&object, "object") {
            "checkout.session" => self.expire_session(id),
            "invoice" => self.collect_again(id),
            _ if object["cancel_at"].as_i64().is_some_and(|at| at <= self.now()) => {
                self.bill_last(id);
                self.end_subscription(id, "cancellation_requested");
            }
            _ if trial_notice(&object).is_some_and(|at| at <= self.now()) => {
                self.set(id, json!({ "_trial_told": true }));
                self.emit("customer.subscription.trial_will_end", id);
            }
            _ => self.renew(id),
        }
    }
}

fn subscription_due(subscription: &Value) -> Option<i64> {
    if !matches!(text(subscription, "status"), "active" | "trialing" | "past_due") {
        return None;
    }
    let (_, end) = period(subscription);
    [Some(end), subscription["cancel_at"].as_i64(), trial_notice(subscription)].into_iter().flatten().min()
}

/// When a trial says that it will end, unless it has.
fn trial_notice(subscription: &Value) -> Option<i64> {
    let open = subscription["status"] == "trialing" && subscription["_trial_told"] != true;
    subscription["trial_end"]
        .as_i64()
        .filter(|_| open)
        .map(|end| (end - TRIAL_NOTICE_S).max(number(subscription, "created")))
}
