//! The second half of a log-in, and everything else that a second factor allows.

use super::{
    challenge::{self, Pending},
    factor::{Factor, Offered, Refusal, check},
    passkeys::Assertion,
    recovery::Letters,
    sql::{Finish, Try},
};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{
        AuthError,
        login::{FirstFactor, Outcome},
        session::{Proven, Session, Terms, open},
    },
    limits::Client,
    mail,
    payload::Input,
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use shared::id::UserId;
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Verify {
    #[schema(value_type = String)]
    challenge: SecretString,
    method: Method,
    /// Of an authenticator app, or a recovery code.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    code: Option<SecretString>,
    /// What the browser gave for the options of `/auth/mfa/passkeys/challenge`.
    #[serde(default)]
    assertion: Option<Box<Assertion>>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    Totp,
    RecoveryCode,
    Passkey,
}

/// Who tries: whoever holds a challenge, or someone that we know already.
pub(super) enum Trying {
    Challenge(Vec<u8>),
    Person(UserId),
}

/// A try whose factor is right, but not used up yet.
pub(super) struct Passed {
    pub(super) user_id: UserId,
    pub(super) factor: Factor,
    version: i64,
    state: Option<String>,
}

/// `POST /auth/mfa/verify`
pub(crate) async fn verify(app: App, client: Client, Input(ask): Input<Verify>) -> Result<Outcome, Error> {
    let hash = challenge::hash(&ask.challenge).ok_or(AuthError::ChallengeOver)?;
    let offered = offered(ask.method, ask.code, ask.assertion)?;
    let passed = pass(&app, &client, Trying::Challenge(hash.clone()), &offered).await?;
    let pending = passed.state.as_deref().and_then(Pending::parse).ok_or(AuthError::ChallengeOver)?;
    let end =
        End { user_id: passed.user_id, version: passed.version, challenge: Some(hash), factor: Some(passed.factor) };
    Ok(Outcome::Session(finish(&app, &client, end, pending).await?))
}

fn offered(
    method: Method,
    code: Option<SecretString>,
    assertion: Option<Box<Assertion>>,
) -> Result<Offered, AuthError> {
    let code = |make: fn(SecretString) -> Offered| {
        code.map(make).ok_or(AuthError::Field { field: "code", reason: "this method takes a code" })
    };
    match method {
        Method::Totp => code(Offered::Totp),
        Method::RecoveryCode => code(Offered::RecoveryCode),
        Method::Passkey => assertion
            .map(Offered::Passkey)
            .ok_or(AuthError::Field { field: "assertion", reason: "a passkey takes an assertion" }),
    }
}

/// A log-in whose second factor, a code of either kind, came with the first.
pub(crate) async fn verify_inline(
    app: &App,
    client: &Client,
    first: FirstFactor,
    code: SecretString,
    terms: Terms,
) -> Result<Session, Error> {
    let pending = Pending::new(&first, terms, None);
    with_code(app, client, &first, code, pending).await
}

/// Ends a log-in by a code that came without a challenge.
pub(super) async fn with_code(
    app: &App,
    client: &Client,
    first: &FirstFactor,
    code: SecretString,
    pending: Pending,
) -> Result<Session, Error> {
    let passed = pass(app, client, Trying::Person(first.user_id), &Offered::code(code)).await?;
    let end = End { user_id: first.user_id, version: first.version, challenge: None, factor: Some(passed.factor) };
    finish(app, client, end, pending).await
}

/// Counts a try and judges what is offered.
pub(super) async fn pass(app: &App, client: &Client, who: Trying, offered: &Offered) -> Result<Passed, Error> {
    let now = app.host.now();
    let (hash, person) = match who {
        Trying::Challenge(hash) => (Some(hash), None),
        Trying::Person(id) => (None, Some(id)),
    };
    let taken = app.store.take_second_factor_try(hash, person, now, offered.credential_id()).await?;
    let row = taken.ok_or(AuthError::ChallengeOver)?;
    let (user_id, version) = allowed(&row)?;
    match check(app, user_id, &row, offered) {
        Ok(factor) => Ok(Passed { user_id, factor, version, state: row.state }),
        Err(refusal) => Err(refuse(app, client, user_id, offered.method(), refusal).await),
    }
}

/// Whose try it is, if there is one to be had.
fn allowed(row: &Try) -> Result<(UserId, i64), AuthError> {
    match (row.refused.as_deref(), row.user_id, row.version) {
        (None, Some(user_id), Some(version)) => Ok((user_id, version)),
        (Some("too_many"), ..) => {
            let retry_after_s = row.retry_after_s.and_then(|it| u64::try_from(it).ok()).unwrap_or(1);
            Err(AuthError::TooManyTries { retry_after_s })
        }
        _ => Err(AuthError::ChallengeOver),
    }
}

/// Notes a factor that was not accepted; what the caller is told says no more than that.
pub(super) async fn refuse(app: &App, client: &Client, user: UserId, method: &str, refusal: Refusal) -> Error {
    if refusal == Refusal::SignCount {
        tracing::warn!(user.id = %user, "a passkey of {user} has counted backwards: it may have been cloned");
    }
    let entry = Entry::new(app.host.now(), &Actor::ANONYMOUS, &client.origin, "auth.second_factor_refused")
        .target(user)
        .detail(&json!({ "method": method, "reason": refusal.to_string() }));
    match app.store.second_factor_refused(entry).await {
        Ok(()) => AuthError::InvalidCredentials.into(),
        Err(error) => error.into(),
    }
}

/// Everything that a log-in has come to.
pub(super) struct End {
    pub(super) user_id: UserId,
    pub(super) version: i64,
    pub(super) challenge: Option<Vec<u8>>,
    pub(super) factor: Option<Factor>,
}

/// Opens the session and uses up what earned it, in one statement.
pub(super) async fn finish(app: &App, client: &Client, end: End, pending: Pending) -> Result<Session, Error> {
    let now = app.host.now();
    let End { user_id, version, challenge, factor } = end;
    let second = factor.as_ref().map(|it| it.amr().into_iter().chain(["mfa"])).into_iter().flatten();
    let amr = [pending.method.as_str()].into_iter().chain(second).map(str::to_owned).collect();
    let (opening, opened) = open(app, client, Some(user_id), pending.terms, Proven { amr, at: now });
    let action = if pending.replaces.is_some() { "auth.reauthenticated" } else { "auth.login" };
    let method = factor.as_ref().map_or("none", Factor::method);
    let entry = Entry::new(now, &Actor::user(user_id), &client.origin, action)
        .target(opened.session_id())
        .detail(&json!({ "second_factor": method }));
    let uses_code = method == "recovery_code";
    let letters = if uses_code { Letters::few_left(app) } else { Letters::NONE };
    let verdict = app
        .store
        .finish_log_in(Finish {
            opening,
            user_id,
            first_at: pending.at,
            challenge,
            factor,
            replaces: pending.replaces,
            letters,
            now,
            entry,
        })
        .await?;
    match verdict.as_str() {
        "opened" => {
            if uses_code {
                mail::send_soon(app);
            }
            Ok(opened.session(app, user_id, version))
        }
        "over" => Err(AuthError::ChallengeOver.into()),
        "used" => Err(refuse(app, client, user_id, method, Refusal::Used).await),
        "ended" => Err(AuthError::SessionEnded.into()),
        _ => Err(AuthError::InvalidCredentials.into()),
    }
}
