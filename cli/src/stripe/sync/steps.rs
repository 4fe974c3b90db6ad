//! What is to be done at Stripe, decided from what is wanted and what is there.

use super::{
    Wanted,
    look::{Found, FoundEndpoint, FoundPrice, product_id},
};
use edge_core::billing::{OperatedPlan, Plan, stripe::API_VERSION};
use std::fmt;

/// The events that the edge acts on.
pub(super) const EVENTS: [&str; 25] = [
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.trial_will_end",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice.finalization_failed",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "charge.refunded",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.closed",
    "customer.updated",
    "customer.deleted",
    "payment_method.detached",
];

/// The two prices of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the month.
    Month,
    /// By what is used beyond credit.
    Overage,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    MakeMeter,
    MakeProduct {
        plan: Plan,
    },
    ChangeProduct {
        plan: Plan,
    },
    /// Also takes over the lookup key of `old`, which nobody can subscribe to any more.
    MakePrice {
        plan: Plan,
        kind: Kind,
        old: Option<String>,
    },
    /// Notes in our database what the prices are.
    SavePrices {
        plan: String,
    },
    MakePortal,
    ChangePortal {
        id: String,
    },
    MakeEndpoint {
        url: String,
    },
    ChangeEndpoint {
        id: String,
    },
    /// Told in another version; stays while edges may know only its secret.
    KeepOldEndpoint {
        id: String,
    },
    RemoveOldEndpoint {
        id: String,
    },
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Month, Self::Overage];

    pub(super) fn lookup_key(self, plan: &str) -> String {
        match self {
            Self::Month => format!("nest_{plan}_month"),
            Self::Overage => format!("nest_{plan}_overage"),
        }
    }

    pub(super) fn cents(self, plan: &Plan) -> i64 {
        match self {
            Self::Month => plan.price_cents,
            Self::Overage => plan.overage_price_cents,
        }
    }
}

/// The steps from `found` to `wanted`, in the order in which they can be done.
pub(super) fn between(wanted: &Wanted, found: &Found) -> Vec<Step> {
    let mut steps = Vec::new();
    if found.meter.is_none() {
        steps.push(Step::MakeMeter);
    }
    for plan in &wanted.plans {
        steps.extend(plan_steps(plan, found));
    }
    match &found.portal {
        None => steps.push(Step::MakePortal),
        Some(portal) if !portal.fits => steps.push(Step::ChangePortal { id: portal.id.clone() }),
        Some(_) => {}
    }
    if let Some(url) = &wanted.webhook_url {
        steps.extend(endpoint_steps(url, found, wanted.removes_old_endpoints));
    }
    steps
}

fn plan_steps(operated: &OperatedPlan, found: &Found) -> Vec<Step> {
    let (plan, mut steps) = (&operated.plan, Vec::new());
    match found.products.get(&product_id(&plan.id)) {
        // What was never sold needs not be there.
        None if !plan.active => return steps,
        None => steps.push(Step::MakeProduct { plan: plan.clone() }),
        Some(it) if it.name != plan.name || it.active != plan.active => {
            steps.push(Step::ChangeProduct { plan: plan.clone() });
        }
        Some(_) => {}
    }
    let mut ids = Vec::new();
    for kind in Kind::ALL {
        let price = found.prices.get(&kind.lookup_key(&plan.id));
        let fits = price.is_some_and(|it| fits(it, plan, kind, found.meter.as_deref()));
        // Nobody subscribes to a plan that is not active, whatever its price is.
        if !fits && plan.active {
            steps.push(Step::MakePrice { plan: plan.clone(), kind, old: price.map(|it| it.id.clone()) });
            ids.push(None);
        } else {
            ids.push(price.map(|it| it.id.clone()));
        }
    }
    let known = [operated.stripe_price_id.clone(), operated.stripe_meter_price_id.clone()];
    let makes = steps.iter().any(|it| matches!(it, Step::MakePrice { .. }));
    if plan.active && (makes || ids != known) {
        steps.push(Step::SavePrices { plan: plan.id.clone() });
    }
    steps
}

fn fits(price: &FoundPrice, plan: &Plan, kind: Kind, meter: Option<&str>) -> bool {
    let metered = match kind {
        Kind::Month => price.meter.is_none(),
        Kind::Overage => price.meter.is_some() && price.meter.as_deref() == meter,
    };
    metered
        && price.active
        && price.is_monthly
        && price.currency == "usd"
        && price.cents == Some(kind.cents(plan))
        && price.product == product_id(&plan.id)
}

fn endpoint_steps(url: &str, found: &Found, removes_old: bool) -> Vec<Step> {
    let is_current = |it: &&FoundEndpoint| it.api_version.as_deref() == Some(API_VERSION);
    let mut steps = Vec::new();
    match found.endpoints.iter().find(is_current) {
        None => steps.push(Step::MakeEndpoint { url: url.to_owned() }),
        Some(it) if !it.enabled || !hears(it) => steps.push(Step::ChangeEndpoint { id: it.id.clone() }),
        Some(_) => {}
    }
    for old in found.endpoints.iter().filter(|it| !is_current(it)) {
        let id = old.id.clone();
        steps.push(if removes_old { Step::RemoveOldEndpoint { id } } else { Step::KeepOldEndpoint { id } });
    }
    steps
}

/// Whether an endpoint is told of all that the edge acts on.
fn hears(endpoint: &FoundEndpoint) -> bool {
    let told = |event: &str| endpoint.events.iter().any(|it| it == event || it == "*");
    EVENTS.iter().all(|it| told(it))
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeMeter => f.write_str("make the meter for use beyond credit"),
            Self::MakeProduct { plan } => write!(f, "make the product {} ({})", product_id(&plan.id), plan.name),
            Self::ChangeProduct { plan } => {
                let sold = if plan.active { "sold" } else { "no longer sold" };
                write!(f, "change the product {}: {}, {sold}", product_id(&plan.id), plan.name)
            }
            Self::MakePrice { plan, kind, old } => {
                let (key, cents) = (kind.lookup_key(&plan.id), kind.cents(plan));
                let unit = if *kind == Kind::Month { "a month" } else { "for each cent's worth of use beyond credit" };
                write!(f, "make the price {key}: ${}.{:02} {unit}", cents / 100, cents % 100)?;
                old.as_ref().map_or(Ok(()), |old| write!(f, ", in place of {old}"))
            }
            Self::SavePrices { plan } => write!(f, "note the prices of the plan {plan}"),
            Self::MakePortal => f.write_str("make the portal's configuration"),
            Self::ChangePortal { id } => write!(f, "change the portal's configuration {id}"),
            Self::MakeEndpoint { url } => write!(f, "make the webhook endpoint {url}, told in version {API_VERSION}"),
            Self::ChangeEndpoint { id } => write!(f, "change what the webhook endpoint {id} is told of"),
            Self::KeepOldEndpoint { id } => write!(f, "keep for now the webhook endpoint {id} of another version"),
            Self::RemoveOldEndpoint { id } => write!(f, "remove the webhook endpoint {id} of another version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::look::{FoundPortal, FoundProduct},
        *,
    };

    fn plan() -> Plan {
        let plan = serde_json::json!({ "id": "pro", "name": "Pro", "price_cents": 2000, "monthly_credit_usd": "25" });
        serde_json::from_value(plan).unwrap()
    }

    fn wanted(plan: Plan) -> Wanted {
        let operated = OperatedPlan {
            plan,
            stripe_price_id: Some("price_month".to_owned()),
            stripe_meter_price_id: Some("price_overage".to_owned()),
        };
        let webhook_url = Some("https://nest.example/webhooks/stripe".to_owned());
        Wanted { plans: vec![operated], webhook_url, removes_old_endpoints: false }
    }

    /// A Stripe that has all that it should have.
    fn complete() -> Found {
        let price = |id: &str, cents, meter: Option<&str>| FoundPrice {
            id: id.to_owned(),
            product: "nest_plan_pro".to_owned(),
            currency: "usd".to_owned(),
            cents: Some(cents),
            is_monthly: true,
            meter: meter.map(str::to_owned),
            active: true,
        };
        let endpoint = FoundEndpoint {
            id: "we_1".to_owned(),
            api_version: Some(API_VERSION.to_owned()),
            events: EVENTS.map(str::to_owned).to_vec(),
            enabled: true,
        };
        Found {
            products: [("nest_plan_pro".to_owned(), FoundProduct { name: "Pro".to_owned(), active: true })].into(),
            prices: [
                ("nest_pro_month".to_owned(), price("price_month", 2_000, None)),
                ("nest_pro_overage".to_owned(), price("price_overage", 1, Some("mtr_1"))),
            ]
            .into(),
            meter: Some("mtr_1".to_owned()),
            portal: Some(FoundPortal { id: "bpc_1".to_owned(), fits: true }),
            endpoints: vec![endpoint],
        }
    }

    #[test]
    fn what_is_there_is_left_alone() {
        assert_eq!(between(&wanted(plan()), &complete()), []);
        let mut all = complete();
        all.endpoints[0].events = vec!["*".to_owned()];
        assert_eq!(between(&wanted(plan()), &all), []);
    }

    #[test]
    fn what_is_missing_is_made_in_the_order_that_it_needs() {
        let mut wanted = wanted(plan());
        // A plan whose prices were never noted, since there were none.
        (wanted.plans[0].stripe_price_id, wanted.plans[0].stripe_meter_price_id) = (None, None);
        let steps = between(&wanted, &Found::default());
        let make = |kind| Step::MakePrice { plan: plan(), kind, old: None };
        let url = "https://nest.example/webhooks/stripe".to_owned();
        let expected = [
            Step::MakeMeter,
            Step::MakeProduct { plan: plan() },
            make(Kind::Month),
            make(Kind::Overage),
            Step::SavePrices { plan: "pro".to_owned() },
            Step::MakePortal,
            Step::MakeEndpoint { url },
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn what_differs_is_changed_and_a_price_is_made_anew() {
        type Change = fn(&mut Wanted, &mut Found);
        let save = || Step::SavePrices { plan: "pro".to_owned() };
        let price = |plan, kind, old: &str| Step::MakePrice { plan, kind, old: Some(old.to_owned()) };
        let cheaper = || Plan { price_cents: 1_000, ..plan() };
        let cases: [(&str, Change, Vec<Step>); 9] = [
            (
                "another amount",
                |it, _| it.plans[0].plan.price_cents = 1_000,
                vec![price(cheaper(), Kind::Month, "price_month"), save()],
            ),
            (
                "another currency",
                |_, it| it.prices.get_mut("nest_pro_month").unwrap().currency = "eur".to_owned(),
                vec![price(plan(), Kind::Month, "price_month"), save()],
            ),
            (
                "switched off",
                |_, it| it.prices.get_mut("nest_pro_overage").unwrap().active = false,
                vec![price(plan(), Kind::Overage, "price_overage"), save()],
            ),
            (
                "another meter",
                |_, it| it.prices.get_mut("nest_pro_overage").unwrap().meter = Some("mtr_0".to_owned()),
                vec![price(plan(), Kind::Overage, "price_overage"), save()],
            ),
            (
                "another name",
                |_, it| it.products.get_mut("nest_plan_pro").unwrap().name = "Old".to_owned(),
                vec![Step::ChangeProduct { plan: plan() }],
            ),
            ("not noted", |it, _| it.plans[0].stripe_meter_price_id = None, vec![save()]),
            (
                "a portal that forbids",
                |_, it| it.portal.as_mut().unwrap().fits = false,
                vec![Step::ChangePortal { id: "bpc_1".to_owned() }],
            ),
            (
                "an endpoint that hears less",
                |_, it| drop(it.endpoints[0].events.pop()),
                vec![Step::ChangeEndpoint { id: "we_1".to_owned() }],
            ),
            (
                "nothing sold",
                |it, _| it.plans[0].plan.active = false,
                vec![Step::ChangeProduct { plan: Plan { active: false, ..plan() } }],
            ),
        ];
        for (name, change, expected) in cases {
            let (mut wanted, mut found) = (wanted(plan()), complete());
            change(&mut wanted, &mut found);
            assert_eq!(between(&wanted, &found), expected, "{name}");
        }
    }

    #[test]
    fn an_endpoint_of_another_version_stays_until_its_secret_is_not_needed() {
        let mut found = complete();
        found.endpoints[0].api_version = Some("2025-03-31.basil".to_owned());
        let mut wanted = wanted(plan());
        let url = wanted.webhook_url.clone().unwrap();
        let (make, id) = (Step::MakeEndpoint { url }, "we_1".to_owned());
        assert_eq!(between(&wanted, &found), [make.clone(), Step::KeepOldEndpoint { id: id.clone() }]);
        wanted.removes_old_endpoints = true;
        assert_eq!(between(&wanted, &found), [make, Step::RemoveOldEndpoint { id }]);
        wanted.webhook_url = None;
        assert_eq!(between(&wanted, &complete()), []);
    }

    #[test]
    fn a_plan_that_was_never_sold_is_not_brought_to_stripe() {
        let found = Found { products: [].into(), prices: [].into(), ..complete() };
        assert_eq!(between(&wanted(Plan { active: false, ..plan() }), &found), []);
    }
}
