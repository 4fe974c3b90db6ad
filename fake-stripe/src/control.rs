//! What a test, or a person at a page, makes happen.

use crate::{
    api::{cards::Card, disputes::Decision},
    calendar,
    deliveries::{Delivery, Disturbance, signature},
    faults::Fault,
    object::shown,
    payer::Way,
    random,
    refusal::Refusal,
    server::FakeStripe,
    world::Seen,
};
use serde_json::{Value, json};

/// The key that a fake takes unless it is started with another.
pub const SECRET_KEY: &str = "sk_test_local_fake_stripe";

/// What it signs with unless it is started with another secret.
pub const WEBHOOK_SECRET: &str = "whsec_local_fake_stripe";

/// Why something that a test asked for is not possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible(pub String);

impl From<Refusal> for Impossible {
    fn from(refusal: Refusal) -> Self {
        Self(refusal.body()["error"]["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl std::fmt::Display for Impossible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

impl FakeStripe {
    /// What an edge needs to call it, and to believe its webhooks.
    pub fn settings(&self) -> [(&str, &str); 3] {
        [
            ("STRIPE_SECRET_KEY", self.shared.secret_key()),
            ("STRIPE_BASE_URL", &self.url),
            ("STRIPE_WEBHOOK_SECRETS", self.shared.webhook_secret()),
        ]
    }

    /// Tells `url` of every event from now on, signed with the webhook secret of its options; gives the endpoint's id. An endpoint
    /// that an earlier run registered there stays the same one.
    pub fn tell(&self, url: &str) -> String {
        self.shared.act(|world| {
            let known = world.objects.all("webhook_endpoint").into_iter().find(|it| it["_local"] == true);
            let id = known.and_then(|it| it["id"].as_str()).map(str::to_owned);
            let secret = self.shared.webhook_secret();
            let id = id.unwrap_or_else(|| world.listen(url, &["*".to_owned()], secret));
            world.set(&id, json!({ "url": url, "_local": true, "_secret": secret }));
            id
        })
    }

    /// Tells another address too, with a secret of its own.
    pub fn tell_also(&self, url: &str, events: &[&str], secret: &str) -> String {
        let events: Vec<String> = events.iter().map(|it| (*it).to_owned()).collect();
        self.shared.act(|world| world.listen(url, &events, secret))
    }

    /// Gives an endpoint another secret; until the old one is forgotten by an empty `old`, both sign.
    pub fn rotate_secret(&self, endpoint: &str, new: &str, old: &str) {
        self.shared.act(|world| world.set(endpoint, json!({ "_secret": new, "_old_secret": old })));
    }

    /// Seconds since 1970 by its clock.
    pub fn now(&self) -> i64 {
        self.shared.look(|world| world.now())
    }

    /// Moves its clock, past everything that falls due on the way.
    pub fn advance_s(&self, seconds: i64) {
        self.shared.act(|world| world.advance(seconds));
    }

    /// The same in days.
    pub fn advance_days(&self, days: i64) {
        self.advance_s(days * calendar::DAY_S);
    }

    /// Pays an open checkout session with a good card.
    pub fn pay(&self, session: &str) -> Result<(), Impossible> {
        self.pay_by(session, Way::By(Card::Good))
    }

    /// Pays it in another way; errs as its page says.
    pub fn pay_by(&self, session: &str, way: Way) -> Result<(), Impossible> {
        Ok(self.shared.act(|world| world.pay(session, way, "payer@example.com"))?)
    }

    /// What the bank says at last of a session that was paid by [`Way::Later`].
    pub fn settle(&self, session: &str, paid: bool) -> Result<(), Impossible> {
        Ok(self.shared.act(|world| world.settle(session, paid))?)
    }

    /// Gives a customer another card, which pays their invoices from now on.
    pub fn change_card(&self, customer: &str, card: Card) -> Result<(), Impossible> {
        self.shared.act(|world| {
            let method = world.new_card(card);
            world.attach(&method, customer)?;
            world.default_card(customer, &method);
            world.emit("customer.updated", customer);
            let theirs = |it: &&Value| it["customer"] == customer;
            let ids: Vec<Value> =
                world.objects.all("subscription").into_iter().filter(theirs).map(|it| it["id"].clone()).collect();
            for id in ids.iter().filter_map(Value::as_str) {
                world.set(id, json!({ "default_payment_method": method }));
            }
            Ok(())
        })
    }

    /// Gives back `amount` of a charge, or all that is left, as somebody in Stripe's dashboard does.
    pub fn refund(&self, charge: &str, amount: Option<i64>) -> Result<String, Impossible> {
        self.shared.act(|world| {
            let id = world.refund(charge, amount)?;
            world.tell_of_refund(&id);
            Ok(id)
        })
    }

    /// The bank cannot give a refund to its customer, and the money comes back.
    pub fn fail_refund(&self, refund: &str) {
        self.shared.act(|world| world.fail_refund(refund));
    }

    /// The payer's bank takes a charge back; gives the dispute's id.
    pub fn dispute(&self, charge: &str) -> Result<String, Impossible> {
        Ok(self.shared.act(|world| world.dispute(charge))?)
    }

    /// The bank decides a dispute.
    pub fn decide(&self, dispute: &str, decision: Decision) {
        self.shared.act(|world| world.decide(dispute, decision));
    }

    /// A person deletes something in Stripe's dashboard, or anything else happens to an object: its fields change, and
    /// an event tells of it.
    pub fn change(&self, id: &str, fields: Value, event: &str) {
        self.shared.act(|world| world.update(id, fields, event));
    }

    /// An event of this type with an object as it is now.
    pub fn emit(&self, event: &str, id: &str) -> String {
        self.shared.act(|world| world.emit(event, id))
    }

    /// A thin event of version 2 of Stripe's API: it names an object, and does not hold it.
    pub fn emit_thin(&self, event: &str, related: &str, kind: &str, path: &str) -> String {
        self.shared.act(|world| {
            let created = calendar::instant(world.now());
            let id = world.add(json!({
                "object": "v2.core.event",
                "created": created,
                "livemode": false,
                "reason": null,
                "related_object": { "id": related, "type": kind, "url": path },
                "type": event,
            }));
            world.deliver(&id);
            id
        })
    }

    /// An object as the API gives it; null if there is none.
    pub fn object(&self, id: &str) -> Value {
        self.shared.look(|world| shown(&world.copy(id)))
    }

    /// All objects of a kind, such as `payment_intent`, the earliest first.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        self.shared.look(|world| world.objects.all(kind).into_iter().rev().map(shown).collect())
    }

    /// All events of a type, the earliest first.
    pub fn events(&self, kind: &str) -> Vec<Value> {
        self.objects("event").into_iter().filter(|it| it["type"] == kind).collect()
    }

    /// Every request to the API, in order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.look(|world| world.seen.clone())
    }

    /// The next `times` requests like `call`, such as `POST /v1/refunds` or `/v1/`, meet this fault.
    pub fn fail_next(&self, call: &str, fault: Fault, times: u32) {
        self.shared.act(|world| world.faults.plan(call, fault, times));
    }

    /// So many of a hundred requests fail by chance, each in one of several ways.
    pub fn fail_percent(&self, percent: u8) {
        self.shared.act(|world| world.faults.by_chance(percent));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.shared.act(|world| world.faults.clear());
    }

    /// What happens to events on their way from now on.
    pub fn disturb(&self, disturbance: Disturbance) {
        self.shared.act(|world| world.deliveries.disturbance = disturbance);
    }

    /// Everything that was or is on its way to an endpoint.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.look(|world| world.deliveries.list())
    }

    /// As soon as every event was taken by its endpoints, or given up.
    pub async fn settled(&self) {
        loop {
            let changed = self.shared.changed();
            if self.shared.look(|world| world.deliveries.is_settled()) {
                return;
            }
            changed.await;
        }
    }

    /// Sends an event once more to every endpoint that wants it, as Stripe's dashboard can.
    pub fn resend(&self, event: &str) {
        self.shared.act(|world| world.deliver(event));
    }

    /// The header with which Stripe would send `payload` now.
    pub fn sign(&self, payload: &str) -> String {
        signature::header(payload, &[self.shared.webhook_secret()], self.now())
    }

    /// An id such as Stripe makes, of nothing.
    pub fn made_up_id(prefix: &str) -> String {
        random::id(prefix)
    }
}
