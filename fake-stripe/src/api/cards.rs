//! Cards, and what becomes of a payment with each. Source: docs.stripe.com/testing.

use crate::{refusal::Refusal, world::World};
use serde_json::{Value, json};

/// A card of Stripe's test cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    /// Pays always.
    Good,
    /// Is refused always.
    Declined,
    /// Can be saved, and is refused when it is charged.
    DeclinedLater,
    /// Has not enough behind it.
    Empty,
    /// Pays when its holder is there to confirm, and is refused when they are not.
    Authenticated,
}

/// What becomes of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Paid,
    Declined {
        code: &'static str,
        message: &'static str,
    },
    /// Its holder must confirm it.
    Authentication,
}

const DECLINED: Verdict = Verdict::Declined { code: "generic_decline", message: "Your card was declined." };
const EMPTY: Verdict = Verdict::Declined { code: "insufficient_funds", message: "Your card has insufficient funds." };

impl Card {
    pub(crate) const ALL: [Self; 5] =
        [Self::Good, Self::Declined, Self::DeclinedLater, Self::Empty, Self::Authenticated];

    pub(crate) fn last4(self) -> &'static str {
        match self {
            Self::Good => "4242",
            Self::Declined => "0002",
            Self::DeclinedLater => "0341",
            Self::Empty => "9995",
            Self::Authenticated => "3184",
        }
    }

    pub(crate) fn of_last4(last4: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.last4() == last4)
    }

    /// By the name of one of Stripe's own test payment methods.
    pub(crate) fn of_token(token: &str) -> Option<Self> {
        match token {
            "pm_card_visa" | "tok_visa" => Some(Self::Good),
            "pm_card_visa_chargeDeclined" | "tok_chargeDeclined" => Some(Self::Declined),
            "pm_card_chargeCustomerFail" | "tok_chargeCustomerFail" => Some(Self::DeclinedLater),
            "pm_card_visa_chargeDeclinedInsufficientFunds" => Some(Self::Empty),
            "pm_card_authenticationRequired" => Some(Self::Authenticated),
            _ => None,
        }
    }

    /// What becomes of a payment; `present` says whether its holder is there.
    pub(crate) fn verdict(self, present: bool) -> Verdict {
        match self {
            Self::Good => Verdict::Paid,
            Self::Declined => DECLINED,
            Self::DeclinedLater if present => Verdict::Paid,
            Self::DeclinedLater => DECLINED,
            Self::Empty => EMPTY,
            Self::Authenticated if present => Verdict::Paid,
            Self::Authenticated => Verdict::Authentication,
        }
    }
}

impl Verdict {
    /// The error as a client gets it; nothing when it is paid.
    pub(crate) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Paid => None,
            Self::Declined { code, message } => {
                Some(Refusal::card("card_declined", message).with("decline_code", code.into()))
            }
            Self::Authentication => {
                let message = "Your card was declined. This transaction requires authentication.";
                let refusal = Refusal::card("authentication_required", message);
                Some(refusal.with("decline_code", "authentication_required".into()))
            }
        }
    }
}

impl World {
    /// A card as a payment method, with nobody's name on it.
    pub(crate) fn new_card(&mut self, card: Card) -> String {
        self.add(json!({
            "object": "payment_method",
            "allow_redisplay": "unspecified",
            "billing_details": billing_details(&Value::Null, &Value::Null),
            "card": {
                "brand": "visa",
                "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
                "country": "US",
                "display_brand": "visa",
                "exp_month": 12,
                "exp_year": 2034,
                "fingerprint": "FakeFingerprint0",
                "funding": "credit",
                "generated_from": null,
                "last4": card.last4(),
                "networks": { "available": ["visa"], "preferred": null },
                "regulated_status": "unregulated",
                "three_d_secure_usage": { "supported": true },
                "wallet": null,
            },
            "customer": null,
            "customer_account": null,
            "livemode": false,
            "metadata": {},
            "type": "card",
        }))
    }

    /// The card behind a payment method.
    pub(crate) fn card(&self, method: &str) -> Option<Card> {
        let method = self.objects.find("payment_method", method)?;
        Card::of_last4(method["card"]["last4"].as_str()?)
    }
}

pub(crate) fn billing_details(email: &Value, name: &Value) -> Value {
    json!({
        "address": { "city": null, "country": null, "line1": null, "line2": null, "postal_code": null, "state": null },
        "email": email,
        "name": name,
        "phone": null,
        "tax_id": null,
    })
}

/// A card as a charge shows it.
pub(crate) fn charged(method: &Value) -> Value {
    let card = &method["card"];
    json!({
        "card": {
            "amount_authorized": null,
            "authorization_code": null,
            "brand": card["brand"],
            "checks": card["checks"],
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "extended_authorization": { "status": "disabled" },
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "incremental_authorization": { "status": "unavailable" },
            "installments": null,
            "last4": card["last4"],
            "mandate": null,
            "multicapture": { "status": "unavailable" },
            "network": "visa",
            "network_token": { "used": false },
            "network_transaction_id": "104102978678771",
            "overcapture": { "maximum_amount_capturable": 0, "status": "unavailable" },
            "regulated_status": "unregulated",
            "three_d_secure": null,
            "wallet": null,
        },
        "type": "card",
    })
}
