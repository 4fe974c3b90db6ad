//! From what an event is about to its effect: the object is fetched as it is now, and one statement brings our state in
//! line with it. So neither the order of events nor how often they come matters.

use super::{
    client::{self, StripeError, form},
    objects::{self, Invoice, PaymentIntent, Session, Subscription, Withdrawal},
    rules,
    sql::Effect,
};
use crate::{
    App,
    billing::subscription::{GRACE_MS, State, renews},
    error::chain,
    mail::{Letter, Template},
    sql::SqlError,
};
use serde_json::{Value, json};

/// Fetches of one object whose effect somebody else's has overtaken.
const TURNS: u32 = 8;
/// Owners who are told of a payment that failed, at most.
const LETTERS: usize = 3;

/// What owners are told.
pub(in crate::billing) const CARD_REFUSED: &str =
    "The card for your automatic top-ups was refused, so there will be none until you set them anew.";
const PLAN_LATE: &str = "The payment for your plan has failed. Please see to your card, or the plan will end.";

/// What an event may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Session,
    Subscription,
    Invoice,
    PaymentIntent,
    Charge,
    Refund,
    Dispute,
    Customer,
    PaymentMethod,
}

/// Why there was no effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApplyError {
    #[error("{0}")]
    Stripe(#[from] StripeError),
    #[error("the database did not take it: {}", chain(.0))]
    Sql(#[from] SqlError),
    /// It tells of a payment that another event is still to tell of.
    #[error("the payment is not known yet")]
    Waits,
    #[error("others apply the same object without end")]
    Overtaken,
    /// The object is none that we may act on.
    #[error("{0}")]
    Unfit(&'static str),
}

impl ApplyError {
    /// Whether time alone may mend it.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Stripe(error) => error.is_passing(),
            Self::Sql(error) => matches!(error, SqlError::Unavailable(_)),
            Self::Waits | Self::Overtaken => true,
            Self::Unfit(_) => false,
        }
    }
}

impl Kind {
    /// As Stripe's objects call themselves; none for what concerns us not.
    pub(super) fn read(object: &str) -> Option<Self> {
        Some(match object {
            "checkout.session" => Self::Session,
            "subscription" => Self::Subscription,
            "invoice" => Self::Invoice,
            "payment_intent" => Self::PaymentIntent,
            "charge" => Self::Charge,
            "refund" => Self::Refund,
            "dispute" => Self::Dispute,
            "customer" => Self::Customer,
            "payment_method" => Self::PaymentMethod,
            _ => return None,
        })
    }

    fn collection(self) -> &'static str {
        match self {
            Self::Session => "checkout/sessions",
            Self::Subscription => "subscriptions",
            Self::Invoice => "invoices",
            Self::PaymentIntent => "payment_intents",
            Self::Charge => "charges",
            Self::Refund => "refunds",
            Self::Dispute => "disputes",
            Self::Customer => "customers",
            Self::PaymentMethod => "payment_methods",
        }
    }
}

/// An object to be applied, and the event that tells of it, if one does.
#[derive(Clone, Copy)]
pub(super) struct Told<'a> {
    pub(super) id: &'a str,
    pub(super) event: Option<&'a str>,
    /// The event's type, for the one thing that no object says.
    pub(super) kind: &'a str,
}

impl<'a> Told<'a> {
    /// An object that nobody told of.
    pub(super) fn unasked(id: &'a str) -> Self {
        Self { id, event: None, kind: "" }
    }
}

/// Brings our state in line with an object.
pub(super) async fn apply(app: &App, kind: Kind, told: Told<'_>) -> Result<(), ApplyError> {
    match kind {
        Kind::Session => session(app, told).await,
        Kind::Subscription => subscription(app, told).await,
        Kind::Invoice => invoice(app, told).await,
        Kind::PaymentIntent => payment_intent(app, told).await,
        Kind::Charge => charge(app, told).await,
        Kind::Refund | Kind::Dispute => withdrawal(app, kind, told).await,
        Kind::Customer => customer(app, told).await,
        Kind::PaymentMethod => payment_method(app, told).await,
    }
}

/// Fetches an object, and applies what `given` makes of it, until nobody else has meanwhile.
async fn in_turn(
    app: &App,
    (kind, effect): (Kind, Effect),
    told: Told<'_>,
    query: &client::Form,
    given: impl Fn(&Value) -> Value + Sync,
) -> Result<(), ApplyError> {
    for _ in 0..TURNS {
        let expected = app.store.object_version(told.id).await?;
        let object = fetch(app, kind, told.id, query).await?;
        let mut given = given(&object);
        given["object"] = told.id.into();
        given["event"] = told.event.into();
        given["expected"] = expected.into();
        given["at_ms"] = app.host.now().0.into();
        match app.store.take_effect(effect, &given).await?.as_str() {
            "applied" | "foreign" => return Ok(()),
            "changed" => {}
            "wait" => return Err(ApplyError::Waits),
            "mismatch" => return Err(ApplyError::Unfit("its customer is not the organisation's that asked for it")),
            "currency" => return Err(ApplyError::Unfit("it is not in US dollars")),
            "plan" => return Err(ApplyError::Unfit("no plan has its price")),
            _ => return Err(ApplyError::Unfit("its effect is not known")),
        }
    }
    Err(ApplyError::Overtaken)
}

/// The object as it is now. Ours alone: what moves no money never stands for what does.
async fn fetch(app: &App, kind: Kind, id: &str, query: &client::Form) -> Result<Value, ApplyError> {
    let object = client::object(app, kind.collection(), id, query).await?;
    match object.get("livemode").and_then(Value::as_bool) {
        Some(livemode) if livemode != app.config.stripe.livemode => Err(ApplyError::Unfit("it is of the other mode")),
        _ => Ok(object),
    }
}

async fn session(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let found = Session::read(&fetch(app, Kind::Session, told.id, &Vec::new()).await?);
    match found.mode.as_str() {
        "payment" => top_up_session(app, told, &found).await,
        "subscription" => plan_session(app, told, found.subscription).await,
        _ => done(app, told).await,
    }
}

async fn plan_session(app: &App, told: Told<'_>, bought: Option<String>) -> Result<(), ApplyError> {
    let given = |object: &Value| {
        let it = Session::read(object);
        json!({
            "customer": it.customer, "reference": reference(it.reference.as_deref()),
            "expired": it.status == "expired", "complete": it.status == "complete",
        })
    };
    // The event has had its effect when the subscription has.
    let alone = Told { event: None, ..told };
    in_turn(app, (Kind::Session, Effect::PlanCheckout), alone, &Vec::new(), given).await?;
    match bought {
        Some(id) => subscription(app, Told { id: &id, ..told }).await,
        None => done(app, told).await,
    }
}

async fn top_up_session(app: &App, told: Told<'_>, found: &Session) -> Result<(), ApplyError> {
    let card = match found.payment_intent.as_deref().filter(|_| found.payment_status == "paid") {
        Some(id) => PaymentIntent::read(&fetch(app, Kind::PaymentIntent, id, &Vec::new()).await?).payment_method,
        None => None,
    };
    // Whether a payment that takes days has failed, the session itself does not say.
    let failed = told.kind == "checkout.session.async_payment_failed";
    let given = |object: &Value| {
        let it = Session::read(object);
        let paid = it.payment_status == "paid";
        json!({
            "customer": it.customer, "reference": reference(it.reference.as_deref()), "paid": paid,
            "pending": it.status == "complete" && !paid, "failed": failed && !paid, "expired": it.status == "expired",
            "cents": it.amount_total, "currency": it.currency, "payment_intent": it.payment_intent,
            "payment_method": card, "letters": [],
        })
    };
    in_turn(app, (Kind::Session, Effect::TopUp), told, &Vec::new(), given).await
}

async fn payment_intent(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let given = |object: &Value| {
        let it = PaymentIntent::read(object);
        let failed = matches!(it.status.as_str(), "canceled" | "requires_payment_method" | "requires_action");
        json!({
            "customer": it.customer, "reference": reference(it.reference.as_deref()), "paid": it.status == "succeeded",
            "pending": !failed, "failed": failed, "expired": false, "cents": it.amount_received,
            "currency": it.currency, "payment_intent": it.id, "payment_method": it.payment_method,
            "letters": if failed { letters(app, CARD_REFUSED) } else { Vec::new() },
        })
    };
    in_turn(app, (Kind::PaymentIntent, Effect::TopUp), told, &Vec::new(), given).await
}

async fn subscription(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let given = |object: &Value| {
        let it = Subscription::read(object);
        let state = State::read(&it.status);
        json!({
            "customer": it.customer, "items": it.items, "status": it.status,
            "cancel_at_period_end": it.cancel_at_period_end, "created_ms": it.created_ms,
            "trial_end_ms": it.trial_end_ms, "holds": state.holds(), "ended": state.ended(), "late": state.late(),
            "letters": if state.late() { letters(app, PLAN_LATE) } else { Vec::new() },
        })
    };
    in_turn(app, (Kind::Subscription, Effect::Subscription), told, &Vec::new(), given).await
}

/// The subscription first, which says whether what the invoice brings still holds, and that it is late if it is.
async fn invoice(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let query = form([("expand[]", "payments")]);
    let found = Invoice::read(&fetch(app, Kind::Invoice, told.id, &query).await?);
    if let Some(id) = &found.subscription {
        subscription(app, Told::unasked(id)).await?;
    }
    if found.status != "paid" {
        return done(app, told).await;
    }
    let given = |object: &Value| {
        let it = Invoice::read(object);
        json!({
            "customer": it.customer, "subscription": it.subscription, "renews": renews(&it.billing_reason),
            "cents": it.amount_paid, "currency": it.currency, "lines": it.lines, "grace_ms": GRACE_MS,
            "payment_intents": it.payment_intents,
        })
    };
    in_turn(app, (Kind::Invoice, Effect::Invoice), told, &query, given).await
}

/// A charge concerns us by its refunds.
async fn charge(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let refunds = client::list(app, "refunds", &form([("charge", told.id)])).await?;
    for refund in refunds.iter().filter_map(|it| objects::id(it, "")) {
        withdrawal(app, Kind::Refund, Told::unasked(&refund)).await?;
    }
    done(app, told).await
}

async fn withdrawal(app: &App, kind: Kind, told: Told<'_>) -> Result<(), ApplyError> {
    let found = Withdrawal::read(&fetch(app, kind, told.id, &Vec::new()).await?);
    // Whose payment it was, for one that is not in our books yet.
    let customer = match &found.charge {
        Some(charge) => objects::id(&fetch(app, Kind::Charge, charge, &Vec::new()).await?, "/customer"),
        None => None,
    };
    let is_dispute = kind == Kind::Dispute;
    let given = |object: &Value| {
        let it = Withdrawal::read(object);
        let (taken, returned) = rules::withdrawal(is_dispute, &it.status);
        json!({
            "key": format!("{}:{}", if is_dispute { "dispute" } else { "refund" }, told.id), "customer": customer,
            "payment_intent": it.payment_intent, "cents": it.amount, "currency": it.currency, "taken": taken,
            "returned": returned,
        })
    };
    in_turn(app, (kind, Effect::Withdrawal), told, &Vec::new(), given).await
}

async fn customer(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let given = |object: &Value| json!({ "deleted": objects::flag(object, "/deleted") });
    in_turn(app, (Kind::Customer, Effect::Customer), told, &Vec::new(), given).await
}

/// A card that its owner has taken away is charged no more. One that is attached tells us nothing: it is used when a
/// payment names it.
async fn payment_method(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    let object = fetch(app, Kind::PaymentMethod, told.id, &Vec::new()).await?;
    if objects::id(&object, "/customer").is_none() {
        app.store.forget_card(told.id).await?;
    }
    done(app, told).await
}

/// Nothing comes of it.
async fn done(app: &App, told: Told<'_>) -> Result<(), ApplyError> {
    if let Some(event) = told.event {
        app.store.event_applied(event, app.host.now(), None).await?;
    }
    Ok(())
}

/// The id of our row; whatever else stands there is none of ours.
fn reference(text: Option<&str>) -> Option<String> {
    text.and_then(|it| uuid::Uuid::try_parse(it).ok()).map(|it| it.to_string())
}

/// Letters to owners, of which the statement takes as many as there are owners, if it takes any.
pub(in crate::billing) fn letters(app: &App, what: &str) -> Vec<Letter> {
    let fill = || json!({ "what": what, "link": app.config.stripe.return_url });
    (0..LETTERS).map(|_| Letter::new(app, None, Template::PaymentFailed, &fill())).collect()
}
