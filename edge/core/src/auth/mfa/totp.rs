//! Authenticator apps: set up, confirmed by a first code, removed by password and factor.

use super::{
    factor::{Offered, Refusal, place},
    overview::Factors,
    qr,
    recovery::{Codes, Letters, RecoveryCodes},
    rules,
    sql::Change,
    verify::{Trying, pass, refuse},
};
use crate::{
    App, Error,
    audit::Entry,
    auth::{AuthError, Person, login::prove_password, session::no_store},
    host::random,
    limits::Client,
    mail::{self, Letter, Template},
    openapi::{Describe, Draft, NoContent, Status},
    payload::Input,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use secrecy::{ExposeSecret as _, SecretString, zeroize::Zeroizing};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

/// How long a secret waits for its first code.
const PENDING_MS: i64 = 600_000;

/// A secret for an authenticator app. It counts once a code of it was sent back.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewSecret {
    /// In base 32, for typing.
    secret: String,
    otpauth_uri: String,
    /// The same as a QR code.
    qr_svg: String,
}

#[derive(Deserialize, ToSchema)]
pub(crate) struct Confirm {
    #[schema(value_type = String)]
    code: SecretString,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = RemoveTotp)]
pub(crate) struct Remove {
    #[schema(value_type = String)]
    password: SecretString,
    /// Of the app, or a recovery code.
    #[schema(value_type = String)]
    code: SecretString,
}

/// What is on now. With the first second factor come recovery codes.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Confirmed {
    First(RecoveryCodes),
    Added {},
}

/// `POST /auth/mfa/totp`
pub(crate) async fn begin(app: App, client: Client, person: Person) -> Result<NewSecret, Error> {
    rules::may_change(Factors::of(&app, person.user_id).await?.any(), &person.amr)?;
    let secret = Zeroizing::new(random::<{ rules::SECRET_BYTES }>(&*app.host));
    let row = person.user_id.uuid().to_string();
    let sealed = app.config.keyring.seal(&*app.host, place(&row), &*secret);
    let now = app.host.now();
    let entry = Entry::new(now, &person.actor(), &client.origin, "auth.totp_begun").target(person.user_id);
    if !app.store.begin_totp(person.user_id, sealed, now, entry).await? {
        return Err(AuthError::TotpSetUp.into());
    }
    let otpauth_uri = rules::otpauth_uri(&app.config.project_name, &person.email, &*secret);
    let qr_svg = qr::svg(&otpauth_uri).unwrap_or_default();
    Ok(NewSecret { secret: rules::in_base32(&*secret), otpauth_uri, qr_svg })
}

/// `POST /auth/mfa/totp/confirm`
pub(crate) async fn confirm(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Confirm>,
) -> Result<Confirmed, Error> {
    let now = app.host.now();
    let pending = app.store.pending_totp(person.user_id, now.plus_ms(-PENDING_MS)).await?;
    let sealed = pending.ok_or(AuthError::NothingToConfirm)?.sealed;
    let row = person.user_id.uuid().to_string();
    let secret = app.config.keyring.open(place(&row), &sealed).map_err(|_| AuthError::NothingToConfirm)?;
    let Some(step) = rules::step(&secret, ask.code.expose_secret(), now) else {
        return Err(refuse(&app, &client, person.user_id, "totp", Refusal::Wrong).await);
    };
    let codes = Codes::make(&*app.host);
    let change = change(&app, &client, &person, "auth.totp_added", "an authenticator app was added");
    let verdict = app.store.confirm_totp(change, sealed, step, codes.hashes()).await?;
    let confirmed = match verdict.as_str() {
        "first" => Confirmed::First(codes.shown()),
        "added" => Confirmed::Added {},
        _ => return Err(AuthError::NothingToConfirm.into()),
    };
    mail::send_soon(&app);
    Ok(confirmed)
}

/// `DELETE /auth/mfa/totp`
pub(crate) async fn remove(
    app: App,
    client: Client,
    person: Person,
    Input(ask): Input<Remove>,
) -> Result<NoContent, Error> {
    prove_password(&app, &client, &person, ask.password).await?;
    let offered = Offered::code(ask.code);
    let passed = pass(&app, &client, Trying::Person(person.user_id), &offered).await?;
    let change = change(&app, &client, &person, "auth.totp_removed", "the authenticator app was removed");
    if !app.store.remove_totp(change, passed.factor, Letters::few_left(&app)).await? {
        return Err(refuse(&app, &client, person.user_id, offered.method(), Refusal::Used).await);
    }
    mail::send_soon(&app);
    Ok(Status(()))
}

/// What every change of a person's factors carries with it: its time, its entry, and a mail to the person.
pub(super) fn change(app: &App, client: &Client, person: &Person, action: &'static str, what: &str) -> Change {
    let now = app.host.now();
    Change {
        user_id: person.user_id,
        now,
        entry: Entry::new(now, &person.actor(), &client.origin, action).target(person.user_id),
        letter: Letter::new(app, None, Template::FactorChanged, &json!({ "what": what })),
    }
}

impl IntoResponse for NewSecret {
    fn into_response(self) -> Response {
        no_store(Json(self).into_response())
    }
}

impl Describe for NewSecret {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}

impl IntoResponse for Confirmed {
    fn into_response(self) -> Response {
        no_store(Json(self).into_response())
    }
}

impl Describe for Confirmed {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}
