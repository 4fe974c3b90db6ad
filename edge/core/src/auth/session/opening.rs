//! Opening a session, within the statement of whatever earned it.

use super::{SessionToken, Transport};
use crate::{
    App,
    auth::{
        throttle::{DeviceToken, set_cookie},
        token,
    },
    host::random,
    limits::Client,
    openapi::{Describe, Draft},
    sql::{Kind, SqlType, Value, hex},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, SET_COOKIE},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use shared::{
    id::{SessionId, UserId},
    time::Timestamp,
};
use utoipa::ToSchema;

/// Our own client: the console and `nest`.
pub(crate) const FIRST_PARTY: &str = "nest";

/// A scope that takes nothing away.
pub(crate) const ALL: &str = "all";

/// The cookie that carries a session of the console.
pub(crate) const COOKIE: &str = "__Host-nest_session";

/// How a session is to be opened, decided before the person has proven everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub(crate) struct Terms {
    /// Whether the answer is a cookie.
    pub(crate) cookie: bool,
    pub(crate) client_id: String,
    pub(crate) scope: String,
}

impl Terms {
    /// A session of our own programs.
    pub(crate) fn first_party(cookie: bool) -> Self {
        Self { cookie, client_id: FIRST_PARTY.to_owned(), scope: ALL.to_owned() }
    }
}

/// What a person has proven: how (RFC 8176: `pwd`, `otp`, `hwk`, `mfa`, ...), and when.
#[derive(Clone, Debug)]
pub(crate) struct Proven {
    pub(crate) amr: Vec<String>,
    pub(crate) at: Timestamp,
}

/// A session on its way into the table. Give it to a statement as a parameter, for the SQL function `open_session`,
/// which gives 0 when the person is suspended.
#[derive(Serialize)]
pub(crate) struct Opening {
    id: String,
    user_id: Option<String>,
    transport: &'static str,
    token_hash: String,
    client_id: String,
    scope: String,
    amr: String,
    auth_time_ms: i64,
    at_ms: i64,
    idle_ms: i64,
    max_ms: i64,
    ip: Option<std::net::IpAddr>,
    user_agent: String,
}

/// What the client gets once the statement has run.
pub(crate) struct Opened {
    token: SessionToken,
    terms: Terms,
    proven: Proven,
}

/// Prepares a session of `user`, or of whom the statement finds.
pub(crate) fn open(
    app: &App,
    client: &Client,
    user: Option<UserId>,
    terms: Terms,
    proven: Proven,
) -> (Opening, Opened) {
    let now = app.host.now();
    let id = SessionId::new(now, random(&*app.host));
    let transport = if terms.cookie { Transport::Cookie } else { Transport::Bearer };
    let token = SessionToken::make(&*app.host, &app.config.roots, transport, id, 1);
    let opening = Opening {
        id: id.uuid().to_string(),
        user_id: user.map(|it| it.uuid().to_string()),
        transport: transport.as_str(),
        token_hash: hex(&token.hash()),
        client_id: terms.client_id.clone(),
        scope: terms.scope.clone(),
        amr: proven.amr.join(" "),
        auth_time_ms: proven.at.0,
        at_ms: now.0,
        idle_ms: app.config.accounts.session_idle_ms,
        max_ms: app.config.accounts.session_ms,
        ip: client.origin.ip,
        user_agent: client.user_agent.clone(),
    };
    (opening, Opened { token, terms, proven })
}

impl SqlType for Opening {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("an opening is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Sessions are written so; what is read is a row.
        None
    }
}

/// Tokens, as RFC 6749 answers with them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    pub(crate) access_token: String,
    /// `Bearer`
    pub(crate) token_type: &'static str,
    /// Seconds until the access token expires.
    pub(crate) expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) refresh_token: Option<String>,
    pub(crate) scope: String,
    /// Send it with the next log-in: a device that is known is not held up by what strangers try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device_token: Option<String>,
}

/// A session whose token is in a cookie.
#[derive(Serialize, ToSchema)]
pub(crate) struct CookieSession {
    #[schema(value_type = String)]
    pub(crate) session_id: SessionId,
}

/// What a log-in answers with.
pub(crate) enum Session {
    Tokens(Tokens),
    /// With the session's token and the device's.
    Cookie(CookieSession, SecretString, SecretString),
}

impl Opened {
    pub(crate) fn session_id(&self) -> SessionId {
        self.token.session_id
    }

    /// The tokens or the cookie for the person that the statement has opened the session for.
    pub(crate) fn session(self, app: &App, user: UserId, version: i64) -> Session {
        let device = DeviceToken::issue(app, user);
        if self.terms.cookie {
            return Session::Cookie(CookieSession { session_id: self.token.session_id }, self.token.text, device);
        }
        let facts = Facts {
            session_id: self.token.session_id,
            user_id: user,
            version,
            client_id: self.terms.client_id,
            scope: self.terms.scope,
            amr: self.proven.amr,
            auth_time: self.proven.at,
        };
        let device_token = Some(device.expose_secret().to_owned());
        Session::Tokens(Tokens { device_token, ..tokens(app, facts, &self.token) })
    }
}

/// What an access token of a session tells.
pub(crate) struct Facts {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) version: i64,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) amr: Vec<String>,
    pub(crate) auth_time: Timestamp,
}

/// An access token, beside the refresh token that earns the next.
pub(crate) fn tokens(app: &App, facts: Facts, refresh: &SessionToken) -> Tokens {
    let scope = facts.scope.clone();
    let second = facts.amr.iter().any(|it| it == "mfa");
    let said = token::Said {
        sid: Some(facts.session_id.to_string()),
        ver: Some(facts.version),
        client_id: facts.client_id,
        scope: facts.scope,
        auth_time: Some(facts.auth_time.as_seconds()),
        amr: facts.amr,
        acr: Some(if second { "aal2" } else { "aal1" }.to_owned()),
    };
    Tokens {
        access_token: token::sign(app, &facts.user_id.to_string(), said),
        token_type: "Bearer",
        expires_in: token::LIFE_S,
        refresh_token: Some(refresh.text.expose_secret().to_owned()),
        scope,
        device_token: None,
    }
}

impl IntoResponse for Tokens {
    fn into_response(self) -> Response {
        no_store(Json(self).into_response())
    }
}

impl Describe for Tokens {
    fn describe(draft: &mut Draft) {
        Json::<Self>::describe(draft);
    }
}

impl IntoResponse for Session {
    fn into_response(self) -> Response {
        match self {
            Self::Tokens(tokens) => tokens.into_response(),
            Self::Cookie(session, token, device) => {
                let mut response = no_store(Json(session).into_response());
                let cookie = format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.expose_secret());
                let cookie = HeaderValue::try_from(cookie).expect("a token is plain ASCII");
                response.headers_mut().append(SET_COOKIE, cookie);
                set_cookie(&mut response, &device);
                response
            }
        }
    }
}

/// Takes the cookie away again.
pub(crate) fn without_cookie(mut response: Response) -> Response {
    let gone = HeaderValue::from_static("__Host-nest_session=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    response.headers_mut().append(SET_COOKIE, gone);
    response
}

/// Marks an answer that holds a secret: nobody on the way may keep it.
pub(crate) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
