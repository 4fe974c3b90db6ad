//! What can go wrong with accounts and sessions. None of the texts tells whether an account exists.

use http::StatusCode;

/// Why a person or program was turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("log in first: send `Authorization: Bearer <access token>`")]
    MissingToken,
    #[error("the token is not valid here")]
    InvalidToken,
    #[error("the access token has expired: refresh it")]
    ExpiredToken,
    #[error("the session has ended: log in again")]
    SessionEnded,
    #[error("the token was refreshed a moment ago: use the answer to that call")]
    RefreshInProgress,
    #[error("e-mail, password or code is wrong, or the account cannot be used")]
    InvalidCredentials,
    #[error("this is for people: an API key or a client's token does not do")]
    NotAPerson,
    #[error("this is for operators of the platform")]
    NotOperator,
    #[error("prove who you are again: the last time is too long ago")]
    NotFresh,
    #[error("this token was narrowed to less than this")]
    Scope,
    #[error("the request comes from another site")]
    ForeignOrigin,
    #[error("no such session")]
    NoSuchSession,
    #[error("the link or code is wrong, used or expired")]
    InvalidOneTimeToken,
    #[error("too many tries: wait {retry_after_s} seconds")]
    TooManyTries { retry_after_s: u64 },
    #[error("too many people log in at this moment; try again soon")]
    Busy,
    #[error("{reason}")]
    Password { reason: &'static str },
    #[error("`{field}`: {reason}")]
    Field { field: &'static str, reason: &'static str },
    #[error("this address has an account already")]
    EmailTaken,
    #[error("sign-up is closed: ask for an invitation")]
    SignupClosed,
    #[error("no such provider is configured")]
    UnknownProvider,
    #[error("this sign-in was not begun in this browser, or too long ago: begin again")]
    SignInLost,
    #[error("the provider did not let you sign in")]
    SignInDenied,
    #[error("the provider does not know this sign-in any more: begin again")]
    SignInRefused,
    #[error("the provider cannot be reached; try again soon")]
    ProviderAway,
    #[error("what the provider says of you cannot be trusted")]
    ProviderDistrusted,
    #[error("the provider has not verified your e-mail address: verify it there first")]
    EmailUnverified,
    #[error("another account of this provider is linked with this address")]
    IdentityConflict,
    #[error("no such outside account is linked")]
    NoSuchIdentity,
    #[error("this is the last way to log in: set a password first")]
    LastWayIn,
    #[error("the log-in waits no more, or had too many tries: begin again")]
    ChallengeOver,
    #[error("this needs the second factor: prove who you are again, with it")]
    SecondFactorNeeded,
    #[error("there is no second factor that could do this")]
    NoSecondFactor,
    #[error("an authenticator app is set up already: remove it first")]
    TotpSetUp,
    #[error("no authenticator app waits for its first code: begin again")]
    NothingToConfirm,
    #[error("the passkey is refused: {fault}")]
    Passkey { fault: super::mfa::PasskeyFault },
    #[error("this passkey is registered already")]
    PasskeyTaken,
    #[error("one person has at most twenty passkeys: remove one first")]
    TooManyPasskeys,
    #[error("no such passkey")]
    NoSuchPasskey,
}

impl AuthError {
    pub(crate) fn face(&self) -> (StatusCode, &'static str) {
        match self {
            Self::MissingToken => (StatusCode::UNAUTHORIZED, "missing_token"),
            Self::InvalidToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::ExpiredToken => (StatusCode::UNAUTHORIZED, "expired_token"),
            Self::SessionEnded => (StatusCode::UNAUTHORIZED, "session_ended"),
            Self::InvalidCredentials => (StatusCode::UNAUTHORIZED, "invalid_credentials"),
            Self::RefreshInProgress => (StatusCode::CONFLICT, "refresh_in_progress"),
            Self::NotAPerson => (StatusCode::FORBIDDEN, "person_required"),
            Self::NotOperator => (StatusCode::FORBIDDEN, "operator_required"),
            Self::NotFresh => (StatusCode::FORBIDDEN, "reauthentication_required"),
            Self::Scope => (StatusCode::FORBIDDEN, "insufficient_scope"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign_origin"),
            Self::SignupClosed => (StatusCode::FORBIDDEN, "signup_closed"),
            Self::NoSuchSession => (StatusCode::NOT_FOUND, "session_not_found"),
            Self::InvalidOneTimeToken => (StatusCode::BAD_REQUEST, "invalid_one_time_token"),
            Self::TooManyTries { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_tries"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Password { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "password_refused"),
            Self::Field { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "invalid_value"),
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            Self::UnknownProvider => (StatusCode::NOT_FOUND, "provider_not_found"),
            Self::SignInLost => (StatusCode::BAD_REQUEST, "sign_in_lost"),
            Self::SignInDenied => (StatusCode::FORBIDDEN, "sign_in_denied"),
            Self::SignInRefused => (StatusCode::BAD_REQUEST, "sign_in_refused"),
            Self::ProviderAway => (StatusCode::SERVICE_UNAVAILABLE, "provider_unavailable"),
            Self::ProviderDistrusted => (StatusCode::BAD_GATEWAY, "provider_distrusted"),
            Self::EmailUnverified => (StatusCode::FORBIDDEN, "email_unverified"),
            Self::IdentityConflict => (StatusCode::CONFLICT, "identity_conflict"),
            Self::NoSuchIdentity => (StatusCode::NOT_FOUND, "identity_not_found"),
            Self::LastWayIn => (StatusCode::CONFLICT, "last_way_in"),
            Self::ChallengeOver => (StatusCode::UNAUTHORIZED, "challenge_over"),
            Self::SecondFactorNeeded => (StatusCode::FORBIDDEN, "second_factor_required"),
            Self::NoSecondFactor => (StatusCode::CONFLICT, "no_second_factor"),
            Self::TotpSetUp => (StatusCode::CONFLICT, "totp_already_set_up"),
            Self::NothingToConfirm => (StatusCode::CONFLICT, "nothing_to_confirm"),
            Self::Passkey { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "passkey_refused"),
            Self::PasskeyTaken => (StatusCode::CONFLICT, "passkey_taken"),
            Self::TooManyPasskeys => (StatusCode::CONFLICT, "too_many_passkeys"),
            Self::NoSuchPasskey => (StatusCode::NOT_FOUND, "passkey_not_found"),
        }
    }

    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyTries { retry_after_s } => Some(*retry_after_s),
            Self::Busy | Self::RefreshInProgress => Some(1),
            Self::ProviderAway => Some(5),
            _ => None,
        }
    }
}
