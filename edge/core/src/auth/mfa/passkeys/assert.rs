//! Signing with a passkey, for a log-in that waits for its second factor.

use super::{
    CHALLENGE_BYTES, Descriptor, Stored, TIMEOUT_MS,
    ceremony::{Asked, Assertion, Fault, Site, assertion},
    descriptors, origin, rp_id,
};
use crate::{
    App, Error,
    auth::{
        AuthError,
        mfa::{
            challenge as waiting,
            factor::{Factor, Refusal},
            sql::Try,
        },
    },
    host::random,
    payload::Input,
};
use axum::Json;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use shared::id::UserId;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Ask {
    /// Of the log-in.
    #[schema(value_type = String)]
    challenge: SecretString,
}

/// For `navigator.credentials.get`, through `PublicKeyCredential.parseRequestOptionsFromJSON`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestOptions {
    challenge: String,
    timeout: i64,
    rp_id: String,
    allow_credentials: Vec<Descriptor>,
    /// `preferred`
    user_verification: &'static str,
}

/// `POST /auth/mfa/passkeys/challenge`
pub(crate) async fn challenge(app: App, Input(ask): Input<Ask>) -> Result<Json<RequestOptions>, Error> {
    let hash = waiting::hash(&ask.challenge).ok_or(AuthError::ChallengeOver)?;
    let challenge: [u8; CHALLENGE_BYTES] = random(&*app.host);
    let rows = app.store.ask_passkey(hash, challenge.to_vec(), app.host.now()).await?;
    if rows.is_empty() {
        return Err(AuthError::ChallengeOver.into());
    }
    let allow_credentials = descriptors(&rows);
    // An empty list would ask for any passkey of the site.
    if allow_credentials.is_empty() {
        return Err(AuthError::NoSecondFactor.into());
    }
    Ok(Json(RequestOptions {
        challenge: BASE64URL.encode(challenge),
        timeout: TIMEOUT_MS,
        rp_id: rp_id(&app),
        allow_credentials,
        user_verification: "preferred",
    }))
}

/// Judges a signature by the passkey that the try has found.
pub(in crate::auth::mfa) fn check_assertion(
    app: &App,
    user: UserId,
    row: &Try,
    offered: &Assertion,
) -> Result<Factor, Refusal> {
    let (Some(id), Some(stored), Some(sign_count)) = (row.passkey_id, &row.passkey, row.sign_count) else {
        return Err(Refusal::NotSetUp);
    };
    let passkey = Stored::parse(stored).ok_or(Refusal::Unreadable)?;
    let challenge = row.passkey_challenge.as_deref().ok_or(Refusal::Wrong)?;
    let site = Site { origin: &origin(app), rp_id: &rp_id(app) };
    let handle = user.uuid();
    let asked = Asked { challenge, user_handle: handle.as_bytes(), passkey: &passkey, sign_count };
    match assertion(&site, &asked, offered) {
        Ok(count) => {
            Ok(Factor::Passkey { passkey: id.uuid(), sign_count: count.into(), synced: passkey.backup_eligible })
        }
        Err(Fault::SignCount) => Err(Refusal::SignCount),
        Err(fault) => Err(Refusal::Ceremony(fault)),
    }
}
