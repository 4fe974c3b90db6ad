//! What the routes of keys take, and what of it is good.

use super::super::{
    Environment, Models, Networks, NewKey, Spend,
    policy::{self, NAME_CHARS},
};
use crate::{
    Error,
    limits::Quota,
    orgs::{self, Member},
};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use shared::{permission::Permissions, time::Timestamp};
use utoipa::ToSchema;

/// A key that somebody wants. A word that is misspelled must not make a key that may do more.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
pub(crate) struct Create {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `live` unless given.
    #[schema(inline)]
    environment: Option<Environment>,
    /// `models:use` alone, which it is unless given, or any other permissions of one's own.
    pub(super) scopes: Option<Permissions>,
    /// Ids of models, or how ids begin: `llama-*`. All of them unless given.
    models: Option<Vec<String>>,
    /// Networks from which it may be used, such as `192.0.2.0/24`. Everywhere unless given.
    ip_allow: Option<Vec<String>>,
    limits: Option<Quota>,
    spend: Option<Spend>,
    /// Never unless given.
    expires_at: Option<Timestamp>,
}

impl Create {
    /// The key, if all of it is good.
    pub(super) fn checked(self, member: &Member, scopes: Permissions, now: Timestamp) -> Result<NewKey, Error> {
        Ok(NewKey {
            org_id: member.org_id,
            owner: member.owner,
            name: orgs::name(&self.name, NAME_CHARS)?,
            environment: self.environment.unwrap_or_default(),
            scopes,
            models: Models::parse(&self.models.unwrap_or_default())?,
            networks: Networks::parse(&self.ip_allow.unwrap_or_default())?,
            limits: policy::limits(self.limits.unwrap_or_default())?,
            spend: self.spend,
            expires_at: self.expires_at.map(|at| policy::expiry(at, now)).transpose()?,
        })
    }
}

/// What is to be another; what is not named stays. `scopes` and `environment` never change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyChange)]
pub(crate) struct Change {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// All models when empty.
    models: Option<Vec<String>>,
    /// Everywhere when empty.
    ip_allow: Option<Vec<String>>,
    /// In the place of all limits that it had.
    limits: Option<Quota>,
    /// Null for none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Spend>)]
    spend: Option<Option<Spend>>,
    /// Null for never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Timestamp>)]
    expires_at: Option<Option<Timestamp>>,
    /// A disabled key is refused until it is enabled again.
    disabled: Option<bool>,
}

/// Tells null from what is not there.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A change that is good: by field, as the audit log tells it and as `change_key` takes it.
#[derive(Default)]
pub(super) struct Checked {
    told: Map<String, Value>,
    columns: Map<String, Value>,
}

impl Change {
    pub(super) fn checked(self, now: Timestamp) -> Result<Checked, Error> {
        let mut change = Checked::default();
        if let Some(name) = self.name {
            let name = orgs::name(&name, NAME_CHARS)?;
            change.set("name", json!(name), [("name", json!(name))]);
        }
        if let Some(models) = self.models {
            let models = Models::parse(&models)?;
            change.set("models", json!(models.patterns()), [("models", json!(models.stored()))]);
        }
        if let Some(networks) = self.ip_allow {
            let networks = Networks::parse(&networks)?;
            change.set("ip_allow", json!(networks.texts()), [("ip_allow", json!(networks.stored()))]);
        }
        if let Some(limits) = self.limits {
            let limits = json!(policy::limits(limits)?);
            change.set("limits", limits.clone(), [("limits", limits)]);
        }
        if let Some(spend) = self.spend {
            let (cap, period) = (spend.map(|it| it.cap_usd.0), spend.map(|it| it.period));
            change.set("spend", json!(spend), [("spend_cap_nanos", json!(cap)), ("spend_period", json!(period))]);
        }
        if let Some(expires_at) = self.expires_at {
            let expires_at = json!(expires_at.map(|at| policy::expiry(at, now)).transpose()?);
            change.set("expires_at", expires_at.clone(), [("expires_ms", expires_at)]);
        }
        if let Some(disabled) = self.disabled {
            change.set("disabled", json!(disabled), [("disabled", json!(disabled))]);
        }
        Ok(change)
    }
}

impl Checked {
    fn set<const N: usize>(&mut self, field: &str, told: Value, columns: [(&str, Value); N]) {
        self.told.insert(field.to_owned(), told);
        self.columns.extend(columns.map(|(name, value)| (name.to_owned(), value)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    pub(super) fn told(&self) -> Value {
        Value::Object(self.told.clone())
    }

    pub(super) fn columns(self) -> Value {
        Value::Object(self.columns)
    }
}

/// How a key gets a new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
pub(crate) struct Rotate {
    /// For how long the old secret works on beside the new one: a day unless given, a week at most. 0 ends it at once.
    #[schema(minimum = 0, maximum = 604_800)]
    pub(super) overlap_seconds: Option<i64>,
}
