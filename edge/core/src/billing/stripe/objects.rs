//! Stripe's objects, as far as we act on them. Whatever is absent or of another form than we know reads as none: what an
//! object lacks is judged where it is needed, and no version of Stripe's API makes one unreadable.

use serde::Serialize;
use serde_json::Value;

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) created_ms: i64,
    pub(super) livemode: bool,
    pub(super) account: Option<String>,
    /// `charge`, `invoice`, ...; empty where the event does not say.
    pub(super) object_kind: String,
    pub(super) object_id: String,
}

/// A visit to Stripe's page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) mode: String,
    pub(super) status: String,
    pub(super) payment_status: String,
    pub(super) amount_total: i64,
    pub(super) currency: String,
    pub(super) customer: Option<String>,
    /// `client_reference_id`: our row.
    pub(super) reference: Option<String>,
    pub(super) payment_intent: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) url: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) customer: Option<String>,
    pub(super) status: String,
    pub(super) cancel_at_period_end: bool,
    pub(super) created_ms: i64,
    pub(super) trial_end_ms: Option<i64>,
    pub(super) items: Vec<Item>,
}

/// A price of a subscription, and its present period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Item {
    price: Option<String>,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Invoice {
    pub(super) id: String,
    pub(super) number: Option<String>,
    pub(super) customer: Option<String>,
    pub(super) subscription: Option<String>,
    pub(super) status: String,
    pub(super) billing_reason: String,
    pub(super) amount_paid: i64,
    pub(super) total: i64,
    pub(super) currency: String,
    pub(super) created_ms: i64,
    pub(super) hosted_invoice_url: Option<String>,
    pub(super) invoice_pdf: Option<String>,
    pub(super) lines: Vec<Line>,
    pub(super) payment_intents: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    price: Option<String>,
    quantity: i64,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    proration: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount_received: i64,
    pub(super) currency: String,
    pub(super) customer: Option<String>,
    pub(super) payment_method: Option<String>,
    /// Our row, as we named it when we asked for the payment.
    pub(super) reference: Option<String>,
}

/// A refund or a dispute: money that goes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Withdrawal {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) amount: i64,
    pub(super) currency: String,
    pub(super) payment_intent: Option<String>,
    pub(super) charge: Option<String>,
}

impl Event {
    /// None for what names no event.
    pub(super) fn read(value: &Value) -> Option<Self> {
        // Events of Stripe's second API carry no object, but say what they are about.
        let object = |name: &str| {
            let of = |parent: &str| text(value, &format!("{parent}/{name}"));
            of("/data/object").or_else(|| of("/related_object"))
        };
        Some(Self {
            id: text(value, "/id").filter(|it| is_id(it))?,
            kind: text(value, "/type").unwrap_or_default(),
            created_ms: seconds(value, "/created").unwrap_or_default(),
            livemode: flag(value, "/livemode"),
            account: text(value, "/account"),
            object_kind: object("object").or_else(|| object("type")).unwrap_or_default(),
            object_id: object("id").filter(|it| is_id(it)).unwrap_or_default(),
        })
    }
}

impl Session {
    pub(super) fn read(value: &Value) -> Self {
        Self {
            id: text(value, "/id").unwrap_or_default(),
            mode: text(value, "/mode").unwrap_or_default(),
            status: text(value, "/status").unwrap_or_default(),
            payment_status: text(value, "/payment_status").unwrap_or_default(),
            amount_total: int(value, "/amount_total"),
            currency: text(value, "/currency").unwrap_or_default(),
            customer: id(value, "/customer"),
            reference: text(value, "/client_reference_id"),
            payment_intent: id(value, "/payment_intent"),
            subscription: id(value, "/subscription"),
            url: text(value, "/url"),
        }
    }
}

impl Subscription {
    pub(super) fn read(value: &Value) -> Self {
        let item = |it: &Value| Item {
            price: id(it, "/price"),
            // Until 2025 the subscription had the period, and not its items.
            start_ms: seconds(it, "/current_period_start").or_else(|| seconds(value, "/current_period_start")),
            end_ms: seconds(it, "/current_period_end").or_else(|| seconds(value, "/current_period_end")),
        };
        Self {
            id: text(value, "/id").unwrap_or_default(),
            customer: id(value, "/customer"),
            status: text(value, "/status").unwrap_or_default(),
            // Stripe's portal may name the moment instead.
            cancel_at_period_end: flag(value, "/cancel_at_period_end") || seconds(value, "/cancel_at").is_some(),
            created_ms: seconds(value, "/created").unwrap_or_default(),
            trial_end_ms: seconds(value, "/trial_end"),
            items: list(value, "/items/data").iter().map(item).collect(),
        }
    }
}

impl Invoice {
    pub(super) fn read(value: &Value) -> Self {
        let line = |it: &Value| Line {
            price: id(it, "/pricing/price_details/price").or_else(|| id(it, "/price")),
            quantity: int(it, "/quantity"),
            start_ms: seconds(it, "/period/start"),
            end_ms: seconds(it, "/period/end"),
            proration: flag(it, "/proration") || flag(it, "/parent/subscription_item_details/proration"),
        };
        let paid = list(value, "/payments/data").iter().filter_map(|it| id(it, "/payment/payment_intent"));
        Self {
            id: text(value, "/id").unwrap_or_default(),
            number: text(value, "/number"),
            customer: id(value, "/customer"),
            subscription: id(value, "/parent/subscription_details/subscription").or_else(|| id(value, "/subscription")),
            status: text(value, "/status").unwrap_or_default(),
            billing_reason: text(value, "/billing_reason").unwrap_or_default(),
            amount_paid: int(value, "/amount_paid"),
            total: int(value, "/total"),
            currency: text(value, "/currency").unwrap_or_default(),
            created_ms: seconds(value, "/created").unwrap_or_default(),
            hosted_invoice_url: text(value, "/hosted_invoice_url"),
            invoice_pdf: text(value, "/invoice_pdf"),
            lines: list(value, "/lines/data").iter().map(line).collect(),
            payment_intents: paid.chain(id(value, "/payment_intent")).collect(),
        }
    }
}

impl PaymentIntent {
    pub(super) fn read(value: &Value) -> Self {
        Self {
            id: text(value, "/id").unwrap_or_default(),
            status: text(value, "/status").unwrap_or_default(),
            amount_received: int(value, "/amount_received"),
            currency: text(value, "/currency").unwrap_or_default(),
            customer: id(value, "/customer"),
            payment_method: id(value, "/payment_method"),
            reference: text(value, "/metadata/top_up"),
        }
    }
}

impl Withdrawal {
    pub(super) fn read(value: &Value) -> Self {
        Self {
            id: text(value, "/id").unwrap_or_default(),
            status: text(value, "/status").unwrap_or_default(),
            amount: int(value, "/amount"),
            currency: text(value, "/currency").unwrap_or_default(),
            payment_intent: id(value, "/payment_intent"),
            charge: id(value, "/charge"),
        }
    }
}

/// Whether a text can be an id of Stripe's: it becomes part of a path.
pub(super) fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().map(str::to_owned)
}

pub(super) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn int(value: &Value, pointer: &str) -> i64 {
    value.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}

/// A moment, which Stripe tells in seconds, in milliseconds.
fn seconds(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer)?.as_i64()?.checked_mul(1_000)
}

/// An object's id, which may stand for it or in it.
pub(super) fn id(value: &Value, pointer: &str) -> Option<String> {
    let found = value.pointer(pointer)?;
    let text = found.as_str().or_else(|| found.get("id")?.as_str())?;
    is_id(text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn both_shapes_of_an_invoice_say_the_same() {
        let line = |more: Value| {
            let mut line = json!({ "quantity": 3, "period": { "start": 10, "end": 20 } });
            line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            line
        };
        let old = json!({
            "id": "in_1", "subscription": { "id": "sub_1" }, "payment_intent": "pi_1",
            "lines": { "data": [line(json!({ "price": { "id": "price_1" }, "proration": true }))] },
        });
        let new = json!({
            "id": "in_1", "parent": { "subscription_details": { "subscription": "sub_1" } },
            "payments": { "data": [{ "payment": { "type": "payment_intent", "payment_intent": "pi_1" } }] },
            "lines": { "data": [line(json!({
                "pricing": { "price_details": { "price": "price_1" } },
                "parent": { "subscription_item_details": { "proration": true } },
            }))] },
        });
        let (old, new) = (Invoice::read(&old), Invoice::read(&new));
        assert_eq!(old, new);
        assert_eq!(
            (new.subscription.as_deref(), new.payment_intents.as_slice()),
            (Some("sub_1"), &["pi_1".to_owned()][..])
        );
        assert_eq!(new.lines[0].price.as_deref(), Some("price_1"));
        assert_eq!((new.lines[0].start_ms, new.lines[0].proration), (Some(10_000), true));
    }

    #[test]
    fn the_period_is_where_either_version_has_it() {
        let old = json!({ "current_period_end": 7, "items": { "data": [{ "price": { "id": "price_1" } }] } });
        let new = json!({ "items": { "data": [{ "price": "price_1", "current_period_end": 7 }] } });
        assert_eq!(Subscription::read(&old), Subscription::read(&new));
        assert_eq!(Subscription::read(&new).items[0].end_ms, Some(7_000));
    }

    #[test]
    fn an_event_names_itself_and_its_object_and_no_path() {
        let event = |id: &str, object: &str| json!({ "id": id, "type": "charge.refunded", "data": { "object": { "id": object, "object": "charge" } } });
        let read = Event::read(&event("evt_1", "ch_1")).unwrap();
        assert_eq!((read.object_kind.as_str(), read.object_id.as_str()), ("charge", "ch_1"));
        assert_eq!(Event::read(&event("evt_1", "../../v1/charges/ch_1")).unwrap().object_id, "");
        assert!(Event::read(&event("evt/1", "ch_1")).is_none());
        let thin = json!({ "id": "evt_2", "related_object": { "id": "mtr_1", "type": "billing.meter" } });
        assert_eq!(Event::read(&thin).unwrap().object_kind, "billing.meter");
    }

    /// JSON of any shape.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            let name = prop_oneof![
                Just("id"),
                Just("object"),
                Just("data"),
                Just("items"),
                Just("lines"),
                Just("price"),
                Just("customer"),
                Just("period"),
                Just("created"),
                Just("payments"),
                Just("amount_total"),
                Just("status"),
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..6)
                    .prop_map(|it| it.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Value>()),
            ]
        })
    }

    proptest! {
        /// Checklist 92: whatever an object looks like, reading it never fails.
        #[test]
        fn nothing_makes_an_object_unreadable(value in any_json()) {
            let event = Event::read(&value);
            prop_assert!(event.is_none_or(|it| is_id(&it.id)));
            let customers = [
                Session::read(&value).customer, Subscription::read(&value).customer, Invoice::read(&value).customer,
                PaymentIntent::read(&value).customer, Withdrawal::read(&value).charge,
            ];
            prop_assert!(customers.iter().flatten().all(|it| is_id(it)));
        }
    }
}
