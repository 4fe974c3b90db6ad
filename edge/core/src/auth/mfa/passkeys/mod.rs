//! Passkeys: keys that an authenticator holds for our site alone (WebAuthn level 3).
//!
//! They are second factors here: presence is asked for, verification of the person preferred. Attestation is neither
//! asked for nor read, so any authenticator will do. What a browser sends is judged in `ceremony`, without I/O.

mod assert;
mod ceremony;
mod cose;
mod data;
mod manage;
mod register;

pub(crate) use assert::challenge;
pub(super) use assert::check_assertion;
pub(crate) use ceremony::Assertion;
pub use ceremony::Fault;
pub(crate) use manage::{list, remove, rename};
pub(crate) use register::{options, register};

use crate::App;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// How long a browser may take, in milliseconds.
const TIMEOUT_MS: i64 = super::challenge::LIFE_MS;

const CHALLENGE_BYTES: usize = 32;

/// What is kept of a passkey, beside its id and its count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    /// As COSE numbers it.
    alg: i64,
    /// The point of ES256 without compression, or the 32 bytes of EdDSA; in base64url.
    public_key: String,
    /// Whether it may be copied to other devices; that never changes.
    backup_eligible: bool,
    /// How the authenticator can be reached, as it says.
    transports: Vec<String>,
}

/// A passkey as options name it.
#[derive(Serialize, ToSchema)]
struct Descriptor {
    /// `public-key`
    r#type: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    transports: Vec<String>,
}

impl Stored {
    fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The descriptors of the passkeys in `rows`.
fn descriptors(rows: &[super::sql::CredentialRow]) -> Vec<Descriptor> {
    let descriptor = |row: &super::sql::CredentialRow| {
        let stored = Stored::parse(row.credential.as_deref()?)?;
        let id = BASE64URL.encode(row.credential_id.as_deref()?);
        Some(Descriptor { r#type: "public-key", id, transports: stored.transports })
    };
    rows.iter().filter_map(descriptor).collect()
}

/// The host of our pages, for which passkeys are made.
fn rp_id(app: &App) -> String {
    let url = Url::parse(&app.config.public_url).ok();
    url.and_then(|it| it.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The origin of our pages, as a browser writes it.
fn origin(app: &App) -> String {
    Url::parse(&app.config.public_url).map(|it| it.origin().ascii_serialization()).unwrap_or_default()
}
