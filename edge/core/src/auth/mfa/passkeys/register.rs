//! Making a passkey.

use super::{
    CHALLENGE_BYTES, Descriptor, TIMEOUT_MS,
    ceremony::{Registration, Site, registration},
    cose, descriptors, origin, rp_id,
};
use crate::{
    App, Error,
    auth::{
        AuthError, Person,
        mfa::{overview::Factors, recovery::Codes, rules, sql::NewPasskey, totp::change},
        session::no_store,
    },
    host::random,
    limits::Client,
    mail,
    openapi::{Describe, Draft},
    payload::Input,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::id::PasskeyId;
use utoipa::ToSchema;

/// For `navigator.credentials.create`, through `PublicKeyCredential.parseCreationOptionsFromJSON`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreationOptions {
    rp: RelyingParty,
    user: UserEntity,
    challenge: String,
    pub_key_cred_params: Vec<Parameters>,
    timeout: i64,
    exclude_credentials: Vec<Descriptor>,
    authenticator_selection: Selection,
    /// `none`
    attestation: &'static str,
}

#[derive(Serialize, ToSchema)]
struct RelyingParty {
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UserEntity {
    id: String,
    name: String,
    display_name: String,
}

#[derive(Serialize, ToSchema)]
struct Parameters {
    /// `public-key`
    r#type: &'static str,
    /// As COSE numbers algorithms.
    alg: i64,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    user_verification: &'static str,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Register {
    /// What the person calls it.
    name: String,
    /// What the browser gave for the options.
    credential: Registration,
}

/// A passkey that was added. With the first second factor come recovery codes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Added {
    id: PasskeyId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_codes: Option<Vec<String>>,
}

/// `POST /auth/mfa/passkeys/options`
pub(crate) async fn options(app: App, person: Person) -> Result<Json<CreationOptions>, Error> {
    rules::may_change(Factors::of(&app, person.user_id).await?.any(), &person.amr)?;
    let challenge: [u8; CHALLENGE_BYTES] = random(&*app.host);
    let now = app.host.now();
    let hash = Sha256::digest(challenge).to_vec();
    let known = app.store.begin_passkey(person.user_id, hash, now, now.plus_ms(TIMEOUT_MS)).await?;
    let display_name = if person.name.is_empty() { person.email.clone() } else { person.name };
    Ok(Json(CreationOptions {
        rp: RelyingParty { id: rp_id(&app), name: app.config.project_name.clone() },
        // No address: an authenticator may show this handle to whoever holds it.
        user: UserEntity { id: BASE64URL.encode(person.user_id.uuid()), name: person.email, display_name },
        challenge: BASE64URL.encode(challenge),
        pub_key_cred_params: [cose::EDDSA, cose::ES256].map(|alg| Parameters { r#type: "public-key", alg }).into(),
        timeout: TIMEOUT_MS,
        exclude_credentials: descriptors(&known),
        authenticator_selection: Selection { resident_key: "preferred", user_verification: "preferred" },
        attestation: "none",
    }))
}

/// `POST /auth/mfa/passkeys`
pub(crate) async fn register(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Register>,
) -> Result<Added, Error> {
    rules::may_change(Factors::of(&app, person.user_id).await?.any(), &person.amr)?;
    let name = rules::passkey_name(&ask.name)?;
    let site = Site { origin: &origin(&app), rp_id: &rp_id(&app) };
    let made = registration(&site, &ask.credential).map_err(|fault| AuthError::Passkey { fault })?;
    let id = PasskeyId::new(app.host.now(), random(&*app.host));
    let codes = Codes::make(&*app.host);
    let mut change = change(&app, &client, &person, "auth.passkey_added", "a passkey was added");
    change.entry = change.entry.target(id);
    let new = NewPasskey {
        id,
        credential_id: made.credential_id,
        credential: serde_json::to_vec(&made.stored).expect("a passkey is plain data"),
        sign_count: made.sign_count.into(),
        name: name.clone(),
    };
    let challenge = Sha256::digest(&made.challenge).to_vec();
    let recovery_codes = match app.store.add_passkey(change, challenge, new, codes.hashes()).await?.as_str() {
        "first" => Some(codes.shown().recovery_codes),
        "added" => None,
        "taken" => return Err(AuthError::PasskeyTaken.into()),
        "many" => return Err(AuthError::TooManyPasskeys.into()),
        _ => return Err(AuthError::ChallengeOver.into()),
    };
    mail::send_soon(&app);
    Ok(Added { id, name, recovery_codes })
}

impl IntoResponse for Added {
    fn into_response(self) -> Response {
        no_store((StatusCode::CREATED, Json(self)).into_response())
    }
}

impl Describe for Added {
    fn describe(draft: &mut Draft) {
        crate::openapi::Created::<Self>::describe(draft);
    }
}
