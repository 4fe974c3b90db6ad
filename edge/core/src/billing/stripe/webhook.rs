//! `POST /webhooks/stripe`: what Stripe has signed is kept, byte for byte, before it is answered. What it means is found
//! out behind the answer.

use super::{events, signature};
use crate::{App, Error, billing::BillingError, payload::Payload};
use axum::Json;
use http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct Received {
    received: bool,
}

pub(crate) async fn receive(app: App, headers: HeaderMap, Payload(raw): Payload) -> Result<Json<Received>, Error> {
    let header = headers.get("stripe-signature").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let secrets = &app.config.stripe.webhook_secrets;
    signature::verify(&raw, header, secrets, app.host.now()).map_err(BillingError::Signature)?;
    events::store(&app, &raw).await?;
    events::apply_soon(&app);
    Ok(Json(Received { received: true }))
}

/// An event of Stripe's; its documentation says what is in it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "what is read are the bytes")]
pub(crate) struct StripeEvent {
    id: String,
    #[schema(rename = "type")]
    kind: String,
}
