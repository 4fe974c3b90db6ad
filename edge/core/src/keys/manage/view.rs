//! A key as it is shown, without what proves it.

use super::{
    super::{
        Environment, Models, Networks, Spend,
        key::{self, Kind},
        policy::Period,
        rules,
    },
    sql::KeyRow,
};
use crate::limits::Quota;
use serde::{Deserialize, Serialize};
use shared::{
    id::{ClientId, KeyId, OrgId, UserId},
    money::Nanos,
    permission::Permissions,
    time::Timestamp,
};
use utoipa::ToSchema;

/// Whether a key is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    Live,
    Disabled,
    Expired,
    Revoked,
}

impl KeyState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What a key has used in the present month (UTC).
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct MonthUsage {
    pub calls: i64,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
}

/// A key, without what proves it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct KeyView {
    pub id: KeyId,
    pub org_id: OrgId,
    pub org_name: String,
    pub name: String,
    #[schema(inline)]
    pub environment: Environment,
    #[schema(inline)]
    pub kind: Kind,
    #[schema(inline)]
    pub state: KeyState,
    /// How the key begins.
    pub prefix: String,
    pub last_four: String,
    pub scopes: Permissions,
    /// What it may do at present: its scopes, as far as whoever made it still has them.
    pub permitted: Permissions,
    /// All models when empty.
    pub models: Vec<String>,
    /// Everywhere when empty.
    pub ip_allow: Vec<String>,
    pub limits: Quota,
    pub spend: Option<Spend>,
    pub created_at: Timestamp,
    /// Null when a client, or an operator at the machine, made it.
    pub created_by: Option<UserId>,
    pub created_by_client: Option<ClientId>,
    /// Name, or address, of whoever made it.
    pub created_by_name: Option<String>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    /// Until then the secret before the last rotation is good, too.
    pub previous_until: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub month: MonthUsage,
    /// Whether it ends within seven days.
    pub expires_soon: bool,
    /// Whether nobody has used it for ninety days.
    pub unused: bool,
}

impl KeyRow {
    pub(in super::super) fn view(self, now: Timestamp) -> KeyView {
        let state = self.state(now);
        let (live, scopes) = (state == KeyState::Live, key::known(&self.scopes));
        let (role, custom) = (self.owner_role.as_deref(), self.owner_custom.as_deref());
        let owner = key::owner_permissions(&self.owner_kind, role, custom, self.owner_scope.as_deref());
        let period = self.spend_period.as_deref();
        let period = period.and_then(|text| Period::ALL.into_iter().find(|it| it.as_str() == text));
        let spend = self.spend_cap_nanos.zip(period).map(|(cap, period)| Spend { cap_usd: Nanos(cap), period });
        KeyView {
            id: self.id,
            org_id: self.org_id,
            org_name: self.org_name,
            name: self.name,
            environment: Environment::read(&self.environment).unwrap_or_default(),
            kind: Kind::of(scopes),
            state,
            prefix: self.prefix,
            last_four: self.last_four,
            scopes,
            permitted: scopes.and(owner),
            models: Models::read(&self.models).patterns(),
            ip_allow: Networks::read(&self.ip_allow).unwrap_or_default().texts(),
            limits: serde_json::from_str(&self.limits).unwrap_or_default(),
            spend,
            created_at: self.created_at,
            created_by: self.created_by,
            created_by_client: self.created_by_client,
            created_by_name: self.owner_name,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            previous_until: self.previous_until.filter(|it| *it > now),
            last_used_at: self.last_used_at,
            month: MonthUsage {
                calls: self.calls,
                prompt_tokens: self.prompt_tokens,
                completion_tokens: self.completion_tokens,
            },
            expires_soon: live && rules::expires_soon(self.expires_at, now),
            unused: live && rules::unused(self.created_at, self.last_used_at, now),
        }
    }

    /// As the filter of the list has it, too.
    fn state(&self, now: Timestamp) -> KeyState {
        if self.revoked_at.is_some() {
            KeyState::Revoked
        } else if self.expires_at.is_some_and(|it| it <= now) {
            KeyState::Expired
        } else if self.disabled {
            KeyState::Disabled
        } else {
            KeyState::Live
        }
    }
}
