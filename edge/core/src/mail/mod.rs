//! Mail: an outbox that is written by the statement of the act that a mail tells of.
//!
//! Behind the answer, and by the clock, whoever comes first claims what is due, and sends it. A mail keeps its
//! Message-ID over all tries, so that one that is sent twice can be told. Owns `mail_outbox`.

mod outbox;
mod render;
mod resend;
mod rules;
mod sealed;
mod send;
mod sql;

pub(crate) use outbox::routes;
pub use outbox::{Shown, outbox};
pub(crate) use sealed::SEALED;

use crate::{
    App,
    config::MailWay,
    host::random,
    seal::Place,
    sql::{Described, Kind, SqlType, Value, hex},
};
use serde::Serialize;
use serde_json::json;
use shared::id::MailId;

/// This slice's statements.
pub(crate) fn statements() -> Vec<Described> {
    [sql::statements(), sealed::statements()].concat()
}

/// The mails that we send. Each has a text and an HTML template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// `{link}`: proves the address of a new account.
    Verify,
    /// `{link}`: someone signed up with an address that has an account; the link leads to log-in.
    AccountExists,
    /// `{link}`: sets a new password.
    PasswordReset,
    /// The password was changed.
    PasswordChanged,
    /// `{link}`: proves a new address.
    EmailChange,
    /// `{email}`: to the old address, which is the account's no more.
    EmailChanged,
    /// `{what}`: a second factor was added or removed.
    FactorChanged,
    /// `{left}`: few recovery codes are left.
    RecoveryCodesLow,
    /// `{provider}`: an outside account may now log in.
    IdentityLinked,
    /// `{link, org, inviter, role}`
    Invitation,
    /// `{org, what, percent, spent, cap, period, then}`: much of a cap or an allowance is used.
    SpendAlert,
    /// `{what, link}`: a payment failed.
    PaymentFailed,
}

impl Template {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Verify,
        Self::AccountExists,
        Self::PasswordReset,
        Self::PasswordChanged,
        Self::EmailChange,
        Self::EmailChanged,
        Self::FactorChanged,
        Self::RecoveryCodesLow,
        Self::IdentityLinked,
        Self::Invitation,
        Self::SpendAlert,
        Self::PaymentFailed,
    ];

    /// Its name in the database, and of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::AccountExists => "account_exists",
            Self::PasswordReset => "password_reset",
            Self::PasswordChanged => "password_changed",
            Self::EmailChange => "email_change",
            Self::EmailChanged => "email_changed",
            Self::FactorChanged => "factor_changed",
            Self::RecoveryCodesLow => "recovery_codes_low",
            Self::IdentityLinked => "identity_linked",
            Self::Invitation => "invitation",
            Self::SpendAlert => "spend_alert",
            Self::PaymentFailed => "payment_failed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A mail on its way into the outbox. Give it to a statement as a parameter, for the SQL function `enqueue_mail`.
#[derive(Clone, Debug, Serialize)]
pub struct Letter {
    id: String,
    recipient: Option<String>,
    template: &'static str,
    sealed: String,
    at_ms: i64,
}

/// Where what a mail is filled with is sealed.
pub(crate) fn place(row: &str) -> Place<'_> {
    Place { column: SEALED.column, row }
}

impl Letter {
    /// A mail to `recipient`, or to the address that the statement finds. `fill` is an object for the template.
    pub fn new(app: &App, recipient: Option<&str>, template: Template, fill: &serde_json::Value) -> Self {
        let link = fill["link"].as_str().and_then(|it| it.strip_prefix(&app.config.public_url));
        debug_assert!(fill["link"].is_null() || link.is_some_and(|it| it.starts_with('/')), "links are our own");
        let id = MailId::new(app.host.now(), random(&*app.host)).uuid().to_string();
        let sealed = app.config.keyring.seal(&*app.host, place(&id), fill.to_string().as_bytes());
        Self {
            recipient: recipient.map(str::to_owned),
            template: template.name(),
            sealed: hex(&sealed),
            at_ms: app.host.now().0,
            id,
        }
    }

    /// A mail with a link below the configured address; never one that a request names.
    pub fn with_link(app: &App, recipient: Option<&str>, template: Template, path: &str) -> Self {
        Self::with_link_and(app, recipient, template, path, json!({}))
    }

    /// The same, for a template that takes more than the link.
    pub fn with_link_and(
        app: &App,
        recipient: Option<&str>,
        template: Template,
        path: &str,
        mut fill: serde_json::Value,
    ) -> Self {
        fill["link"] = format!("{}{path}", app.config.public_url).into();
        Self::new(app, recipient, template, &fill)
    }
}

impl SqlType for Letter {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("a letter is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Letters are written; what is read is a row.
        None
    }
}

/// Sends what waits, behind the answer. To be called after an act that wrote to the outbox.
pub fn send_soon(app: &App) {
    if !matches!(app.config.mail.way, MailWay::Outbox) {
        let task = app.clone();
        app.host.defer(Box::pin(async move {
            send::round(&task).await;
        }));
    }
}

/// Sends what is due, and forgets what was dealt with long ago. Right when many edges do it at once.
pub(crate) async fn tick(app: &App) {
    if !matches!(app.config.mail.way, MailWay::Outbox) {
        send::all(app).await;
    }
    let before = app.host.now().plus_ms(-rules::KEEP_MS);
    if let Err(error) = app.store.sweep_mail(before).await {
        tracing::warn!(error = %crate::error::chain(&error), "old mail could not be forgotten");
    }
}
