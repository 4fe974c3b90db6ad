//! Settings of accounts and sessions.

use crate::auth;
use shared::setting::Reader;

/// Rules for accounts and sessions.
pub struct AccountsConfig {
    /// Whether strangers may sign up; invitations work in any case.
    pub signup_open: bool,
    /// Whether the OAuth2 password grant is on.
    pub password_grant: bool,
    /// Tries of log-in and the like from one address in an hour.
    pub tries_per_address: u64,
    /// Failed log-ins of the whole service in a minute, beyond which only known devices are let try.
    pub failures_per_minute: u64,
    /// A session that is not used for so long ends.
    pub session_idle_ms: i64,
    /// A session ends after so long in any case.
    pub session_ms: i64,
    /// Who else may tell who a person is.
    pub oidc_providers: Vec<auth::Provider>,
}

pub(super) fn read(read: &mut Reader<'_>, production: bool) -> AccountsConfig {
    const DAY_MS: i64 = 86_400_000;
    let mut days = |name: &str| read.parse::<u16>(name, "a number of days").clamp(1, 3_650).into();
    let (idle_days, session_days): (i64, i64) = (days("SESSION_IDLE_DAYS"), days("SESSION_DAYS"));
    AccountsConfig {
        signup_open: read.parse("SIGNUP_OPEN", "`true` or `false`"),
        password_grant: read.parse("PASSWORD_GRANT", "`true` or `false`"),
        tries_per_address: read.parse("LOGIN_TRIES_PER_ADDRESS", "a number"),
        failures_per_minute: read.parse("LOGIN_FAILURES_PER_MINUTE", "a number"),
        session_idle_ms: idle_days * DAY_MS,
        session_ms: session_days * DAY_MS,
        oidc_providers: oidc_providers(read, production),
    }
}

fn oidc_providers(read: &mut Reader<'_>, production: bool) -> Vec<auth::Provider> {
    let Some(text) = read.text("OIDC_PROVIDERS") else { return Vec::new() };
    auth::parse_providers(&text, production).unwrap_or_else(|problems| {
        read.problems.extend(problems);
        Vec::new()
    })
}
