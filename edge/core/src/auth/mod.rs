//! Accounts: who is this person?
//!
//! Makes the first operator, so far. Owns `users`; sign-up, log-in and sessions come with their own release.

mod password;
mod sql;

pub(crate) use sql::statements;

use crate::{Host, Store, host::random, sql::SqlError};
use secrecy::SecretString;
use shared::id::{OrgId, UserId};

/// A person who runs the platform, and the organisation to start with.
pub struct NewOperator {
    pub email: String,
    pub password: SecretString,
    pub org_name: String,
}

/// Ids of what [`create_operator`] made.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct CreatedOperator {
    pub user_id: UserId,
    pub org_id: OrgId,
}

/// Why no operator was made.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error("`{0}` is not an e-mail address")]
    Email(String),
    #[error("a password needs at least 15 characters and at most 1024 bytes")]
    Password,
    #[error("`{0}` has an account already")]
    Taken(String),
    #[error("the operator could not be stored")]
    Sql(#[from] SqlError),
}

/// Makes an operator with an organisation of their own, in one statement.
pub async fn create_operator(
    host: &dyn Host,
    store: &Store,
    new: NewOperator,
) -> Result<CreatedOperator, OperatorError> {
    let email = new.email.trim().to_lowercase();
    if !looks_like_email(&email) {
        return Err(OperatorError::Email(new.email));
    }
    let hash = password::hash(&new.password, random(host)).ok_or(OperatorError::Password)?;
    let user_id = UserId::new(host.now(), random(host));
    let org_id = OrgId::new(host.now(), random(host));
    match store.insert_operator(user_id, &email, hash, org_id, new.org_name).await {
        Err(SqlError::Conflict { constraint }) if constraint == "users_email_key" => Err(OperatorError::Taken(email)),
        result => Ok(result.map(|()| CreatedOperator { user_id, org_id })?),
    }
}

/// The id of an account and of an organisation that it owns.
pub async fn find_owner(store: &Store, email: &str) -> Result<Option<CreatedOperator>, SqlError> {
    let found = store.owner_by_email(email.trim().to_lowercase()).await?;
    Ok(found.map(|row| CreatedOperator { user_id: row.user_id, org_id: row.org_id }))
}

/// One `@` with something on both sides and nothing that could end a mail header; the mail itself proves the rest.
fn looks_like_email(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    matches!(parts[..], [name, domain] if !name.is_empty() && !domain.is_empty())
        && text.len() <= 320
        && !text.contains(|it: char| it.is_control() || it.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_two_sides_and_no_header_breaks() {
        for (text, good) in [
            ("ada@example.com", true),
            ("ada+x@localhost", true),
            ("ada", false),
            ("@example.com", false),
            ("ada@", false),
            ("a@b@c", false),
            ("ada@example.com\r\nbcc: x", false),
            ("a da@example.com", false),
        ] {
            assert_eq!(looks_like_email(text), good, "{text:?}");
        }
    }
}
