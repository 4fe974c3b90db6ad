//! Permissions: what roles, keys and clients are made of.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// The text is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no permission")]
pub struct PermissionError(pub String);

macro_rules! permissions {
    ($(#[doc = $doc:literal] $name:ident = $text:literal;)*) => {
        /// A right within an organisation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission { $(#[doc = $doc] $name,)* }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// As roles, tokens and the API spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What it permits, in a sentence for people.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }.trim()
            }
        }

        impl FromStr for Permission {
            type Err = PermissionError;
            fn from_str(text: &str) -> Result<Self, PermissionError> {
                match text { $($text => Ok(Self::$name),)* other => Err(PermissionError(other.to_owned())) }
            }
        }
    };
}

permissions! {
    /// See the organisation itself.
    OrgRead = "org:read";
    /// Rename it and change its settings.
    OrgWrite = "org:write";
    /// Delete it.
    OrgDelete = "org:delete";
    /// See members, roles and invitations.
    MembersRead = "members:read";
    /// Invite and remove members, and change their roles.
    MembersWrite = "members:write";
    /// Make and change the organisation's own roles.
    RolesWrite = "roles:write";
    /// See API keys.
    KeysRead = "keys:read";
    /// Make, change, rotate and revoke API keys.
    KeysWrite = "keys:write";
    /// See OAuth clients.
    ClientsRead = "clients:read";
    /// Make and revoke OAuth clients.
    ClientsWrite = "clients:write";
    /// See what was used.
    UsageRead = "usage:read";
    /// See invoices and balance.
    BillingRead = "billing:read";
    /// Pay, and change how.
    BillingWrite = "billing:write";
    /// Read the organisation's audit log.
    AuditRead = "audit:read";
    /// Call models.
    ModelsUse = "models:use";
}

/// A set of permissions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Permissions(u32);

impl Permissions {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    pub const fn of(list: &[Permission]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < list.len() {
            bits |= 1 << list[at] as u32;
            at += 1;
        }
        Self(bits)
    }

    /// All there are.
    pub const fn all() -> Self {
        Self::of(Permission::ALL)
    }

    /// Whether `permission` is in the set.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u32) != 0
    }

    /// Whether every one of `other` is in the set.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// In the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |it| self.has(*it))
    }
}

/// Space-separated, as OAuth's scopes are.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(at, it)| {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{}", it.as_str())
        })
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl FromStr for Permissions {
    type Err = PermissionError;
    fn from_str(text: &str) -> Result<Self, PermissionError> {
        text.split(' ').filter(|it| !it.is_empty()).try_fold(Self::NONE, |set, it| {
            let permission: Permission = it.parse()?;
            Ok(Self(set.0 | Self::of(&[permission]).0))
        })
    }
}

impl utoipa::PartialSchema for Permission {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::schema::one_of(&Self::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>())
    }
}

impl utoipa::ToSchema for Permission {}

impl utoipa::PartialSchema for Permissions {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::schema::list(<Permission as utoipa::PartialSchema>::schema())
    }
}

impl utoipa::ToSchema for Permissions {
    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>)>) {
        schemas.push((Permission::name().into_owned(), <Permission as utoipa::PartialSchema>::schema()));
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Permission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A list of texts.
impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Vec::<Permission>::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_its_text() {
        let all = Permissions::all();
        assert_eq!(all.to_string().parse(), Ok(all));
        assert_eq!(serde_json::from_str::<Permissions>(&serde_json::to_string(&all).unwrap()).unwrap(), all);
        assert_eq!("".parse(), Ok(Permissions::NONE));
        assert!("keys:read  keys:read".parse() == Ok(Permissions::of(&[Permission::KeysRead])));
        assert_eq!("keys:fly".parse::<Permissions>(), Err(PermissionError("keys:fly".to_owned())));
    }

    #[test]
    fn a_set_covers_what_is_within_it() {
        let few = Permissions::of(&[Permission::OrgRead, Permission::KeysRead]);
        assert!(Permissions::all().covers(few) && !few.covers(Permissions::all()) && few.covers(Permissions::NONE));
        assert!(few.has(Permission::KeysRead) && !few.has(Permission::KeysWrite));
        assert_eq!(few.and(Permissions::of(&[Permission::KeysRead])).to_string(), "keys:read");
    }
}
