//! A key as admission knows it: its row, read once.

use super::{Models, Networks, sql::StoredKey, text::SecretHash};
use crate::{
    limits::Quota,
    orgs::{self, Owner},
    sql::SqlError,
};
use serde::{Deserialize, Serialize};
use shared::{
    id::{ClientId, KeyId, OrgId, UserId},
    permission::{Permission, Permissions},
    time::Timestamp,
};
use utoipa::ToSchema;

/// A label: nothing else differs between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Environment {
    #[default]
    Live,
    Test,
}

impl Environment {
    pub(super) const ALL: [Self; 2] = [Self::Live, Self::Test];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// How its keys begin.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Live => "nest_live_",
            Self::Test => "nest_test_",
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// What a key is for. No key is for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = KeyKind)]
pub enum Kind {
    /// Calls models, under `/v1`.
    Inference,
    /// Does what its scopes permit in its organisation.
    Management,
}

/// The one permission of inference keys.
pub(super) const INFERENCE: Permissions = Permissions::of(&[Permission::ModelsUse]);

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inference => "inference",
            Self::Management => "management",
        }
    }

    /// Of a key with these scopes.
    pub(super) fn of(scopes: Permissions) -> Self {
        if scopes == INFERENCE { Self::Inference } else { Self::Management }
    }
}

/// A key, with what its organisation and its owner are at present.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) org_id: OrgId,
    pub(super) name: String,
    pub(super) secret_hash: SecretHash,
    /// The secret before the last rotation, and until when it is good.
    pub(super) previous: Option<(SecretHash, Timestamp)>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revoked: bool,
    pub(super) disabled: bool,
    pub(super) org_suspended: bool,
    pub(super) version: i64,
    pub(super) environment: Environment,
    pub(super) scopes: Permissions,
    pub(super) owner: Owner,
    /// What the owner may do at present.
    pub(super) owner_permissions: Permissions,
    pub(super) models: Models,
    pub(super) networks: Networks,
    pub(super) quota: Quota,
    /// Limits of the organisation; none when those hold that the edge is configured with.
    pub(super) org_quota: Option<Quota>,
}

impl Key {
    pub(super) fn kind(&self) -> Kind {
        Kind::of(self.scopes)
    }

    /// What the key may do at present: never more than its owner.
    pub(super) fn permissions(&self) -> Permissions {
        self.scopes.and(self.owner_permissions)
    }
}

/// What the owner of a key may do at present, as `key_owners` tells.
pub(super) fn owner_permissions(
    kind: &str,
    role: Option<&str>,
    custom_permissions: Option<&str>,
    client_scope: Option<&str>,
) -> Permissions {
    match (kind, role, client_scope) {
        ("org", ..) => Permissions::all(),
        ("user", Some(role), _) => orgs::permissions(role, custom_permissions),
        ("client", _, Some(scope)) => known(scope),
        _ => Permissions::NONE,
    }
}

/// The permissions in `text` that this version knows.
pub(super) fn known(text: &str) -> Permissions {
    let known: Vec<Permission> = text.split(' ').filter_map(|it| it.parse().ok()).collect();
    Permissions::of(&known)
}

pub(super) fn owner(user: Option<UserId>, client: Option<ClientId>) -> Owner {
    match (user, client) {
        (Some(user), _) => Owner::User(user),
        (None, Some(client)) => Owner::Client(client),
        (None, None) => Owner::Org,
    }
}

/// Reads a row; what this version cannot read is not taken for less of a limit than it is.
impl TryFrom<StoredKey> for Key {
    type Error = SqlError;

    fn try_from(row: StoredKey) -> Result<Self, SqlError> {
        let unreadable = |column: &str| {
            let index = <StoredKey as crate::sql::FromRow>::COLUMNS.iter().position(|(name, _)| *name == column);
            SqlError::Column { index: index.unwrap_or_default() }
        };
        let hash = |bytes: Vec<u8>, column| SecretHash::try_from(bytes).map_err(|_| unreadable(column));
        let previous = match (row.previous_hash, row.previous_until) {
            (Some(bytes), Some(until)) => Some((hash(bytes, "previous_hash")?, until)),
            _ => None,
        };
        let custom = row.owner_custom.as_deref();
        Ok(Self {
            id: row.id,
            org_id: row.org_id,
            name: row.name,
            secret_hash: hash(row.secret_hash, "secret_hash")?,
            previous,
            expires_at: row.expires_at,
            revoked: row.revoked,
            disabled: row.disabled,
            org_suspended: row.org_suspended,
            version: row.version,
            environment: Environment::read(&row.environment).ok_or_else(|| unreadable("environment"))?,
            scopes: known(&row.scopes),
            owner: owner(row.created_by, row.created_by_client),
            owner_permissions: owner_permissions(
                &row.owner_kind,
                row.owner_role.as_deref(),
                custom,
                row.owner_scope.as_deref(),
            ),
            models: Models::read(&row.models),
            networks: Networks::read(&row.ip_allow).ok_or_else(|| unreadable("ip_allow"))?,
            quota: serde_json::from_str(&row.limits).map_err(|_| unreadable("limits"))?,
            org_quota: row
                .org_limits
                .map(|it| serde_json::from_str(&it).map_err(|_| unreadable("org_limits")))
                .transpose()?,
        })
    }
}
