//! The first operator: made at the machine, with a link instead of a password.

use super::{super::CreatedOperator, OnceToken, sql::NewOperatorRow};
use crate::{
    Host, Store,
    audit::{Actor, Entry, Origin},
    auth::{OperatorError, email},
    host::random,
    sql::SqlError,
};
use secrecy::SecretString;
use shared::{
    id::{OrgId, UserId},
    time::Timestamp,
};

/// How long the link works that an operator sets their password by.
const SETUP_LIFE_MS: i64 = 60 * 60_000;

/// An operator who has no password yet.
pub struct InvitedOperator {
    pub created: CreatedOperator,
    /// Sets the password, once.
    pub token: SecretString,
    /// Where that is done, below the service's address.
    pub path: String,
    pub expires_at: Timestamp,
}

/// Makes an operator without a password, with an organisation of their own, in one statement.
pub async fn invite_operator(
    host: &dyn Host,
    store: &Store,
    address: &str,
    org_name: &str,
) -> Result<InvitedOperator, OperatorError> {
    let Some(email) = email::normalised(address) else { return Err(OperatorError::Email(address.to_owned())) };
    let now = host.now();
    let created = CreatedOperator { user_id: UserId::new(now, random(host)), org_id: OrgId::new(now, random(host)) };
    let token = OnceToken::make(host);
    let expires_at = now.plus_ms(SETUP_LIFE_MS);
    let entry = Entry::new(now, &Actor::OPERATOR, &Origin::default(), "auth.operator_created").target(created.user_id);
    let (org_name, token_hash) = (org_name.to_owned(), token.hash());
    let new = NewOperatorRow { created, email: email.clone(), org_name, token_hash, now, expires_at, entry };
    match store.invite_operator(new).await {
        Err(SqlError::Conflict { constraint }) if constraint == "users_email_key" => Err(OperatorError::Taken(email)),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(InvitedOperator { created, path: token.path("reset"), token: token.text, expires_at }),
    }
}
