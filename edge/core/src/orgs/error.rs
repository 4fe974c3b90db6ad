//! What can go wrong with organisations.

use http::StatusCode;
use shared::permission::Permission;

/// Why an act on an organisation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrgError {
    /// Also what a member of another organisation is told: what is not theirs does not exist for them.
    #[error("no such organisation")]
    Unknown,
    #[error("this needs the permission `{}`", permission.as_str())]
    Denied { permission: Permission },
    #[error("the organisation is suspended: write to support")]
    Suspended,
    #[error("nobody gives or takes a role or permission that is not less than their own")]
    Beyond,
    #[error("no such member")]
    NoMember,
    #[error("no such role")]
    NoRole,
    #[error("no such invitation")]
    NoInvitation,
    #[error("no such client")]
    NoClient,
    #[error("an organisation keeps at least one owner: make someone else an owner first")]
    LastOwner,
    #[error("a personal organisation has its person alone, and goes with their account")]
    Personal,
    #[error("this person is a member already")]
    AlreadyMember,
    #[error("the role is in use: give its members and invitations another one first")]
    RoleInUse,
    #[error("a role of this organisation has this name already")]
    NameTaken,
    #[error("there are too many of these: remove some, or wait a day")]
    TooMany,
    #[error("the invitation is unknown, used, taken back or expired")]
    InvalidInvitation,
    #[error("the invitation is for another address: log in to the account that has it")]
    OtherAddress,
    #[error("the organisation, or your place in it, has just changed: look again")]
    Changed,
    #[error("`{field}`: {reason}")]
    Field { field: &'static str, reason: &'static str },
}

impl OrgError {
    pub(crate) fn face(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unknown => (StatusCode::NOT_FOUND, "org_not_found"),
            Self::Denied { .. } => (StatusCode::FORBIDDEN, "permission_denied"),
            Self::Suspended => (StatusCode::FORBIDDEN, "org_suspended"),
            Self::Beyond => (StatusCode::FORBIDDEN, "beyond_own_permissions"),
            Self::NoMember => (StatusCode::NOT_FOUND, "member_not_found"),
            Self::NoRole => (StatusCode::NOT_FOUND, "role_not_found"),
            Self::NoInvitation => (StatusCode::NOT_FOUND, "invitation_not_found"),
            Self::NoClient => (StatusCode::NOT_FOUND, "client_not_found"),
            Self::LastOwner => (StatusCode::CONFLICT, "last_owner"),
            Self::Personal => (StatusCode::CONFLICT, "personal_org"),
            Self::AlreadyMember => (StatusCode::CONFLICT, "already_member"),
            Self::RoleInUse => (StatusCode::CONFLICT, "role_in_use"),
            Self::NameTaken => (StatusCode::CONFLICT, "role_name_taken"),
            Self::TooMany => (StatusCode::CONFLICT, "too_many"),
            Self::InvalidInvitation => (StatusCode::BAD_REQUEST, "invalid_invitation"),
            Self::OtherAddress => (StatusCode::CONFLICT, "invitation_for_another"),
            Self::Changed => (StatusCode::CONFLICT, "changed_meanwhile"),
            Self::Field { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
        }
    }
}
