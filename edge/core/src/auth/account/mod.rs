//! Accounts: how they come to be, and how their owner gets back in and changes what proves them.
//!
//! A user exists only once their address is proven; until then there is a sign-up. Whether an address has an account is
//! told to its mailbox and to nobody else: sign-up, reset and change of address answer alike, and after the same work.
//! Writes `signups` and `mailed_tokens`, and `users` beside its parent.

mod address;
mod mailed;
mod new_account;
mod once;
mod operator;
mod password;
mod profile;
mod signup;
mod sql;
mod strength;

pub(crate) use new_account::NewAccount;
pub(crate) use once::OnceToken;
pub use operator::{InvitedOperator, invite_operator};
pub(crate) use sql::statements;

use super::AuthError;
use crate::{
    App, Error,
    access::Access,
    limits::Class,
    route::{Route, patch, post},
};

/// The routes of accounts.
pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/auth/signup", Access::ANYONE, signup::signup, "Asks for an account; the rest comes by mail.")
            .limited(Class::Signup),
        post("/auth/verify", Access::ANYONE, signup::verify, "Proves an address by the token of a mail."),
        post("/auth/password/forgot", Access::ANYONE, password::forgot, "Asks for a mail that sets a new password.")
            .limited(Class::Mail),
        post("/auth/password/reset", Access::ANYONE, password::reset, "Sets a new password by the token of a mail.")
            .limited(Class::Login),
        post("/auth/password/change", Access::PERSON.fresh(), password::change, "Changes one's own password.")
            .limited(Class::Login),
        post("/auth/password/strength", Access::ANYONE, strength::measure, "Says how good a password is."),
        patch("/me", Access::PERSON, profile::rename, "Changes one's own name."),
        post(
            "/me/email",
            Access::PERSON.fresh(),
            address::change,
            "Asks for another address; it is to be proven by mail.",
        )
        .limited(Class::Mail),
    ]
}

/// Forgets sign-ups and tokens that have expired. Right when many edges do it at once.
pub(super) async fn sweep(app: &App) -> Result<(), Error> {
    app.store.sweep_signups(app.host.now()).await?;
    Ok(app.store.sweep_mailed_tokens(app.host.now()).await?)
}

/// An address that a request gives.
fn parse_email(text: &str) -> Result<String, AuthError> {
    let reason = "an e-mail address is wanted, such as `ada@example.com`";
    super::email::normalised(text).ok_or(AuthError::Field { field: "email", reason })
}

/// A person's name for themselves: free, but one line.
fn parse_name(text: &str) -> Result<String, AuthError> {
    const LONGEST_CHARS: usize = 200;
    let name = text.trim();
    let refused = |reason| Err(AuthError::Field { field: "name", reason });
    if name.chars().count() > LONGEST_CHARS {
        return refused("a name has at most 200 characters");
    }
    if name.contains(|it: char| it.is_control() || matches!(it, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')) {
        return refused("a name is one line of plain characters");
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist 13.
    #[test]
    fn a_name_is_one_line() {
        for (name, good) in [
            (" Ada King ", Some("Ada King")),
            ("", Some("")),
            ("李小龙 🐉", Some("李小龙 🐉")),
            ("Ada\r\nBcc: x", None),
            ("Ada\0", None),
            ("\u{202e}adA", None),
        ] {
            assert_eq!(parse_name(name).ok().as_deref(), good, "{name:?}");
        }
        assert!(parse_name(&"é".repeat(200)).is_ok() && parse_name(&"é".repeat(201)).is_err());
    }
}
