//! What can go wrong with keys.

use http::StatusCode;

/// Why a key was refused, or an act on one. None of the texts holds any part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("no API key: send `Authorization: Bearer nest_...`")]
    Missing,
    #[error("the API key is not valid: check that it was copied whole")]
    Malformed,
    #[error("the API key is not known")]
    Unknown,
    #[error("the API key has expired")]
    Expired,
    #[error("the API key was revoked")]
    Revoked,
    #[error("the API key is disabled")]
    Disabled,
    #[error("the organisation of the API key is suspended: write to support")]
    Suspended,
    #[error("the API key may not be used from this address")]
    Address,
    #[error("an API key does not belong in a URL, where it ends up in logs: send it as `Authorization: Bearer`")]
    InQuery,
    #[error("this takes the other kind of API key: inference keys call models, management keys everything else")]
    WrongKind,
    #[error("whoever made the API key may not do this any more: make a new key")]
    OwnerNotPermitted,
    #[error("the API key may not use the model `{model}`")]
    Model { model: String },
    #[error("no such API key")]
    NoKey,
    #[error("the API key was revoked, and stays so: make a new one")]
    Ended,
    #[error("`scopes`: `models:use` is for inference keys, which do nothing else")]
    ScopesMixed,
    #[error("the organisation has as many live API keys as it may: revoke some")]
    TooMany,
    #[error("the last rotation still goes on: wait until its overlap is over, or rotate without one")]
    RotationRunning,
    #[error("`{field}`: {reason}")]
    Field { field: &'static str, reason: String },
}

impl KeyError {
    pub(super) fn field(field: &'static str, reason: impl Into<String>) -> Self {
        Self::Field { field, reason: reason.into() }
    }

    /// Status, and the stable code for programs.
    pub fn face(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Missing => (StatusCode::UNAUTHORIZED, "missing_api_key"),
            Self::Malformed | Self::Unknown => (StatusCode::UNAUTHORIZED, "invalid_api_key"),
            Self::Expired => (StatusCode::UNAUTHORIZED, "expired_api_key"),
            Self::Revoked => (StatusCode::UNAUTHORIZED, "revoked_api_key"),
            Self::Disabled => (StatusCode::UNAUTHORIZED, "disabled_api_key"),
            Self::Suspended => (StatusCode::FORBIDDEN, "org_suspended"),
            Self::Address => (StatusCode::FORBIDDEN, "ip_not_allowed"),
            Self::InQuery => (StatusCode::BAD_REQUEST, "api_key_in_query"),
            Self::WrongKind => (StatusCode::FORBIDDEN, "wrong_key_kind"),
            Self::OwnerNotPermitted => (StatusCode::FORBIDDEN, "key_owner_not_permitted"),
            Self::Model { .. } => (StatusCode::FORBIDDEN, "model_not_allowed"),
            Self::NoKey => (StatusCode::NOT_FOUND, "key_not_found"),
            Self::Ended => (StatusCode::CONFLICT, "key_revoked"),
            Self::ScopesMixed => (StatusCode::BAD_REQUEST, "scopes_mixed"),
            Self::TooMany => (StatusCode::CONFLICT, "too_many_keys"),
            Self::RotationRunning => (StatusCode::CONFLICT, "rotation_running"),
            Self::Field { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
        }
    }

    /// The part of the request that is wrong.
    pub(crate) fn param(&self) -> Option<&'static str> {
        match self {
            Self::Model { .. } => Some("model"),
            Self::ScopesMixed => Some("scopes"),
            Self::Field { field, .. } => Some(field),
            _ => None,
        }
    }
}
