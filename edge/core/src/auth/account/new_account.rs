//! A person on their way into the tables, by whatever proved their address.

use crate::{
    App,
    auth::{
        AuthError,
        password::{self, Personal, accept},
    },
    host::random,
    sql::{Kind, SqlType, Value},
};
use secrecy::SecretString;
use serde::Serialize;
use shared::id::{OrgId, UserId};

/// A new person and an organisation of their own. Give it to a statement as a parameter, for the SQL function
/// `make_account`, which gives null when the address has an account.
///
/// The statement must know that the address is theirs: by a link that was sent there, or by a provider that vouches for it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct NewAccount {
    id: String,
    email: Option<String>,
    password_hash: Option<String>,
    name: Option<String>,
    org_id: String,
    at_ms: i64,
    #[serde(skip)]
    user_id: UserId,
}

impl NewAccount {
    /// Someone whose address, password and name the statement finds.
    pub(super) fn of_signup(app: &App) -> Self {
        let now = app.host.now();
        let user_id = UserId::new(now, random(&*app.host));
        Self {
            id: user_id.uuid().to_string(),
            email: None,
            password_hash: None,
            name: None,
            org_id: OrgId::new(now, random(&*app.host)).uuid().to_string(),
            at_ms: now.0,
            user_id,
        }
    }

    /// Someone whose address is proven by other means, such as an invitation's link, and who chooses a password now.
    pub(crate) async fn with_password(
        app: &App,
        email: &str,
        name: &str,
        secret: SecretString,
    ) -> Result<Self, AuthError> {
        let (email, name) = (super::parse_email(email)?, super::parse_name(name)?);
        accept(&secret, &Personal::of(&[&app.config.project_name, &email, &name]))?;
        let hash = password::hash_aside(app, secret).await?;
        Ok(Self { email: Some(email), password_hash: Some(hash), name: Some(name), ..Self::of_signup(app) })
    }

    pub(crate) fn user_id(&self) -> UserId {
        self.user_id
    }
}

impl SqlType for NewAccount {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("an account is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // Accounts are written so; what is read is a row.
        None
    }
}
