//! Log-in: the password, and what follows it.

use super::{
    AuthError, Person, email, mfa, password,
    session::{CookieSession, Proven, Session, Terms, Tokens, open},
    throttle::{Admitted, Attempt, may_go},
};
use crate::{
    App, Error,
    audit::{Actor, Entry},
    limits::Client,
    openapi::{Describe, Draft},
    payload::Input,
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::{id::UserId, time::Timestamp};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Login {
    email: String,
    #[schema(value_type = String)]
    password: SecretString,
    /// Whether the answer is a cookie, as the console's pages want it, instead of tokens.
    #[serde(default)]
    cookie: bool,
    /// `device_token` of an earlier log-in, where no cookie carries it.
    #[schema(value_type = Option<String>)]
    device_token: Option<SecretString>,
}

/// A person whose first factor is proven.
pub(crate) struct FirstFactor {
    pub(crate) user_id: UserId,
    pub(crate) version: i64,
    /// Whether a second factor is set up.
    pub(crate) has_second: bool,
    /// `pwd`, or what an outside provider speaks: `oidc`, `oauth`.
    pub(crate) method: &'static str,
    /// When the proof began: a password that is replaced after this opens no session.
    pub(crate) at: Timestamp,
}

/// What a log-in comes to.
pub(crate) enum Outcome {
    Session(Session),
    SecondFactor(MfaRequired),
}

/// The password was right; the second factor is to follow.
#[derive(Serialize, ToSchema)]
pub(crate) struct MfaRequired {
    /// Always true.
    pub(super) mfa_required: bool,
    /// For `/auth/mfa/verify`, within five minutes.
    pub(super) challenge: String,
    /// What may answer it: `totp`, `passkey`, `recovery_code`.
    pub(super) methods: Vec<String>,
}

/// `POST /auth/login`
pub(crate) async fn login(app: App, client: Client, Input(ask): Input<Login>) -> Result<Outcome, Error> {
    let client = Client { device: ask.device_token.or_else(|| client.device.clone()), ..client };
    let first = check_password(&app, &client, &ask.email, ask.password).await?;
    proceed(&app, &client, first, Terms::first_party(ask.cookie)).await
}

/// The person with this address and password. Whatever is wrong, the answer is the same and as slow.
pub(crate) async fn check_password(
    app: &App,
    client: &Client,
    address: &str,
    secret: SecretString,
) -> Result<FirstFactor, Error> {
    // What is no address is nobody's.
    let address = email::normalised(address).unwrap_or_default();
    let attempt = Attempt::log_in(app, client, &address);
    Ok(attempted(app, client, &attempt, &address, secret).await?.first)
}

/// The password that a person, who is logged in, proves anew. What strangers tried at the account does not count.
pub(crate) async fn prove_password(
    app: &App,
    client: &Client,
    person: &Person,
    secret: SecretString,
) -> Result<ProvenPassword, Error> {
    let attempt = Attempt::prove_anew(app, client, &person.email, person.user_id);
    let proven = attempted(app, client, &attempt, &person.email, secret).await?;
    // The address may have become somebody else's since the request began.
    if proven.first.user_id == person.user_id { Ok(proven) } else { Err(AuthError::InvalidCredentials.into()) }
}

/// A right password: whose, and what is stored of it.
pub(crate) struct ProvenPassword {
    pub(crate) first: FirstFactor,
    pub(crate) hash: String,
}

/// Counts the try, makes it, and gives it back when it was right.
async fn attempted(
    app: &App,
    client: &Client,
    attempt: &Attempt,
    email: &str,
    secret: SecretString,
) -> Result<ProvenPassword, Error> {
    let row = app.store.admit_login(attempt, email).await?;
    may_go(row.wait_ms)?;
    let checked = match password::check(app, secret, row.password_hash.clone()).await {
        Ok(checked) => checked,
        Err(busy) => {
            if !row.locked {
                app.store.return_try(attempt, &row, false, None).await?;
            }
            return Err(busy.into());
        }
    };
    match (row.user_id, row.password_hash.clone()) {
        (Some(user_id), Some(stored)) if checked.right && !row.locked && !row.suspended => {
            app.store.return_try(attempt, &row, true, checked.upgrade.clone()).await?;
            let first = FirstFactor {
                user_id,
                version: row.version,
                has_second: row.has_second,
                method: "pwd",
                at: attempt.at,
            };
            Ok(ProvenPassword { first, hash: checked.upgrade.unwrap_or(stored) })
        }
        _ => {
            let entry = failure(attempt, client, &row);
            app.store.login_failed(attempt.at, app.config.accounts.failures_per_minute, entry).await?;
            Err(AuthError::InvalidCredentials.into())
        }
    }
}

/// What is written down of a failure; the caller is told none of it.
fn failure(attempt: &Attempt, client: &Client, row: &Admitted) -> Entry {
    let reason = match (row.locked, row.user_id) {
        (true, _) => "locked",
        (false, None) => "unknown",
        (false, Some(_)) if row.suspended => "suspended",
        (false, Some(_)) => "password",
    };
    let entry = Entry::new(attempt.at, &Actor::ANONYMOUS, &client.origin, "auth.login_failed");
    let entry = entry.detail(&json!({ "reason": reason }));
    row.user_id.map_or(entry.clone(), |it| entry.target(it))
}

/// Opens the session, unless a second factor has to come first.
pub(crate) async fn proceed(app: &App, client: &Client, first: FirstFactor, terms: Terms) -> Result<Outcome, Error> {
    if first.has_second {
        return Ok(Outcome::SecondFactor(mfa::require(app, &first, terms).await?));
    }
    let proven = Proven { amr: vec![first.method.to_owned()], at: first.at };
    let (opening, opened) = open(app, client, Some(first.user_id), terms, proven);
    let entry = Entry::new(app.host.now(), &Actor::user(first.user_id), &client.origin, "auth.login")
        .target(opened.session_id());
    if !app.store.open_session(opening, entry).await? {
        return Err(AuthError::InvalidCredentials.into());
    }
    Ok(Outcome::Session(opened.session(app, first.user_id, first.version)))
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        match self {
            Self::Session(session) => session.into_response(),
            Self::SecondFactor(required) => super::session::no_store(Json(required).into_response()),
        }
    }
}

/// One of three bodies; the document says which fields each has.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only describes")]
enum LoginAnswer {
    Tokens(Tokens),
    Cookie(CookieSession),
    MfaRequired(MfaRequired),
}

impl Describe for Outcome {
    fn describe(draft: &mut Draft) {
        Json::<LoginAnswer>::describe(draft);
    }
}
