//! `Standing`: who acts in an organisation, as the SQL functions of migration 8 take it, and what they answer.

use super::{Member, OrgError, rules};
use crate::{
    Error, Store,
    sql::{Kind, Params, SqlType, Statement, Value, row},
};
use serde::Serialize;
use shared::{id::OrgId, permission::Permissions, time::Timestamp};

/// Who acts, and whose roles they may give and take. The statement looks whether that still holds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Standing {
    /// None for whoever runs `nest`, who acts in every organisation.
    org: Option<String>,
    user_id: Option<String>,
    role: Option<String>,
    permissions: String,
    roles: String,
    all: bool,
    at_ms: i64,
}

impl Member {
    /// The member's standing as the request found it.
    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        let reach = rules::reach(self.role.as_deref(), self.permissions);
        let roles: Vec<&str> = reach.roles.iter().map(|it| it.as_str()).collect();
        Standing {
            org: Some(self.org_id.uuid().to_string()),
            user_id: self.user_id.map(|it| it.uuid().to_string()),
            role: self.role.clone(),
            permissions: self.permissions.to_string(),
            roles: roles.join(" "),
            all: reach.all,
            at_ms: now.0,
        }
    }
}

impl Standing {
    /// That of whoever runs `nest`, in one organisation or in all of them.
    pub(crate) fn at_nest(org: Option<OrgId>, now: Timestamp) -> Self {
        Self {
            org: org.map(|it| it.uuid().to_string()),
            user_id: None,
            role: None,
            permissions: Permissions::all().to_string(),
            roles: String::new(),
            all: true,
            at_ms: now.0,
        }
    }
}

impl SqlType for Standing {
    const KIND: Kind = Kind::Text;
    fn into_value(self) -> Value {
        Value::Text(serde_json::to_string(&self).expect("a standing is plain data"))
    }
    fn from_value(_: &Value) -> Option<Self> {
        // A standing is asked with; what is read is a membership.
        None
    }
}

row! {
    /// What came of a change.
    pub(super) struct Outcome {
        pub(super) outcome: String,
    }
}

impl Store {
    /// Runs a statement that decides, and gives its refusal as an error.
    pub(super) async fn decide<P: Params>(&self, statement: &Statement<P, Outcome>, params: P) -> Result<(), Error> {
        let row = self.first(statement, params).await?;
        Ok(verdict(row.map(|it| it.outcome).as_deref().unwrap_or_default())?)
    }
}

/// The error that `outcome` stands for, if it does.
pub(crate) fn verdict(outcome: &str) -> Result<(), OrgError> {
    Err(match outcome {
        "done" => return Ok(()),
        "beyond" => OrgError::Beyond,
        "no_member" => OrgError::NoMember,
        "no_role" => OrgError::NoRole,
        "no_invitation" => OrgError::NoInvitation,
        "last_owner" => OrgError::LastOwner,
        "personal" => OrgError::Personal,
        "already_member" => OrgError::AlreadyMember,
        "role_in_use" => OrgError::RoleInUse,
        "name_taken" => OrgError::NameTaken,
        "too_many" => OrgError::TooMany,
        "invalid_invitation" => OrgError::InvalidInvitation,
        "other_address" => OrgError::OtherAddress,
        // Whatever this version does not know, the act was not done.
        _ => OrgError::Changed,
    })
}
