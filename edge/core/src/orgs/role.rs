//! Roles as the API names and shows them.

use super::rules::{self, Role};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use shared::{id::RoleId, permission::Permissions};
use utoipa::ToSchema;

/// The role to give: a built-in one, or one of the organisation's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenRole {
    BuiltIn(Role),
    Own(RoleId),
}

impl GivenRole {
    /// As the column `role` has it.
    pub(super) fn column(self) -> &'static str {
        match self {
            Self::BuiltIn(role) => role.as_str(),
            Self::Own(_) => "custom",
        }
    }

    /// As the column `custom_role` has it.
    pub(super) fn own(self) -> Option<RoleId> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Own(id) => Some(id),
        }
    }

    /// As the API and the audit log spell it.
    pub(super) fn text(self) -> String {
        match self {
            Self::BuiltIn(role) => role.as_str().to_owned(),
            Self::Own(id) => id.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for GivenRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let own = || text.parse().ok().map(Self::Own);
        let role = Role::parse(&text).map(Self::BuiltIn).or_else(own);
        role.ok_or_else(|| {
            D::Error::custom(format_args!("`{text}` is no role: name a built-in one, or the id of another"))
        })
    }
}

/// A role that someone has.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HeldRole {
    /// `owner`, `admin`, `billing`, `member`, `viewer`, or the id of one of the organisation's own roles.
    role: String,
    role_name: String,
    permissions: Permissions,
}

impl HeldRole {
    /// From the columns of a membership or an invitation and of the role that it names.
    pub(super) fn of(
        role: String,
        own: Option<RoleId>,
        own_name: Option<String>,
        own_permissions: Option<&str>,
    ) -> Self {
        let permissions = rules::permissions(&role, own_permissions);
        match own {
            Some(id) => Self { role: id.to_string(), role_name: own_name.unwrap_or_default(), permissions },
            None => Self { role_name: role.clone(), role, permissions },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_by_its_word_or_its_id() {
        let read = |text: &str| serde_json::from_value::<GivenRole>(text.into());
        assert_eq!(read("viewer").unwrap(), GivenRole::BuiltIn(Role::Viewer));
        let id = "role_0190163d8694739b9c1a6b0c1b5c0000";
        assert_eq!(read(id).unwrap(), GivenRole::Own(id.parse().unwrap()));
        assert_eq!(read(id).unwrap().text(), id);
        // What the column says for a role of one's own is no role by itself.
        for text in ["custom", "", "Owner", "key_0190163d8694739b9c1a6b0c1b5c0000"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
