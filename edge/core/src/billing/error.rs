//! What can go wrong with money.

use super::stripe::{StripeError, signature::SignatureError};
use http::StatusCode;

/// Why a call or an act was refused for money's sake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillingError {
    #[error(
        "the organisation's credit does not cover the most that this call may cost: add credit, or ask for fewer tokens"
    )]
    Credit,
    #[error("the organisation owes for a payment that was taken back: add credit to go on")]
    Owed,
    #[error(
        "the spend cap of this {scope} does not cover the most that this call may cost: raise it, ask for fewer tokens, or wait until its period ends"
    )]
    SpendCap { scope: SpendScope },
    #[error("the organisation's subscription is {state}: see its billing page")]
    Subscription { state: &'static str },
    #[error("the model `{model}` has no price here yet, so nobody can call it")]
    NoPrice { model: String },
    #[error("this needs an `Idempotency-Key` header of 1 to 255 characters: tries with one key act once")]
    IdempotencyKeyMissing,
    #[error("this idempotency key was used for another request: use a new one")]
    IdempotencyKeyReused,
    #[error("a request with this idempotency key is being answered: ask again")]
    IdempotencyInFlight,
    #[error("payments are off on this service")]
    PaymentsOff,
    #[error("Stripe, which takes payments, cannot be asked now; try again soon")]
    StripeAway,
    #[error("Stripe, which takes payments, refused this: write to support")]
    StripeRefused,
    #[error("this is not signed by Stripe: {0}")]
    Signature(SignatureError),
    #[error("no such plan can be subscribed to")]
    NoPlan,
    #[error("the organisation has a plan already: change or end it in the billing portal")]
    Subscribed,
    #[error("another checkout of a plan is being begun: ask again")]
    CheckoutInFlight,
    #[error("this was paid or has expired: begin anew, with a new idempotency key")]
    PageGone,
    #[error("there is no card to pay with: buy credit once on the payment page")]
    NoCard,
    #[error("{message}")]
    Field { field: &'static str, message: String },
}

/// Whose spend a cap bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpendScope {
    Key,
    Member,
    Org,
}

impl std::fmt::Display for SpendScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key => "API key",
            Self::Member => "member",
            Self::Org => "organisation",
        })
    }
}

impl BillingError {
    /// Status, and the stable code for programs.
    pub fn face(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Credit => (StatusCode::PAYMENT_REQUIRED, "insufficient_credit"),
            Self::Owed => (StatusCode::PAYMENT_REQUIRED, "credit_owed"),
            Self::SpendCap { .. } => (StatusCode::PAYMENT_REQUIRED, "spend_cap_reached"),
            Self::Subscription { .. } => (StatusCode::PAYMENT_REQUIRED, "subscription_inactive"),
            Self::NoPrice { .. } => (StatusCode::FORBIDDEN, "model_not_priced"),
            Self::IdempotencyKeyMissing => (StatusCode::BAD_REQUEST, "idempotency_key_missing"),
            Self::IdempotencyKeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused"),
            Self::IdempotencyInFlight => (StatusCode::CONFLICT, "idempotency_in_flight"),
            Self::PaymentsOff => (StatusCode::SERVICE_UNAVAILABLE, "payments_off"),
            Self::StripeAway => (StatusCode::SERVICE_UNAVAILABLE, "payments_unavailable"),
            Self::StripeRefused => (StatusCode::BAD_GATEWAY, "payments_failed"),
            Self::Signature(_) => (StatusCode::BAD_REQUEST, "invalid_signature"),
            Self::NoPlan => (StatusCode::NOT_FOUND, "plan_not_found"),
            Self::Subscribed => (StatusCode::CONFLICT, "already_subscribed"),
            Self::CheckoutInFlight => (StatusCode::CONFLICT, "checkout_in_flight"),
            Self::PageGone => (StatusCode::CONFLICT, "checkout_gone"),
            Self::NoCard => (StatusCode::CONFLICT, "payment_method_missing"),
            Self::Field { .. } => (StatusCode::BAD_REQUEST, "invalid_value"),
        }
    }

    /// The part of the request that is wrong.
    pub(crate) fn param(&self) -> Option<&'static str> {
        match self {
            Self::NoPrice { .. } => Some("model"),
            Self::Field { field, .. } => Some(field),
            _ => None,
        }
    }
}

impl From<StripeError> for BillingError {
    /// What Stripe said is for the log alone.
    fn from(error: StripeError) -> Self {
        match &error {
            StripeError::Off => return Self::PaymentsOff,
            StripeError::Away(_) => tracing::warn!(error = %error, "Stripe cannot be asked"),
            StripeError::Refused { .. } => tracing::error!(error = %error, "Stripe refuses what it was asked"),
        }
        if error.is_passing() { Self::StripeAway } else { Self::StripeRefused }
    }
}
