//! Every crate that reads a clock or draws randomness, run where it has to run: that it compiles says nothing, since on
//! `wasm32-unknown-unknown` the system's clock panics.

use argon2::{Argon2, PasswordHasher as _};
use axum::{Json, Router, routing::post};
use edge_core::{App, billing::stripe::signature as stripe, host::random};
use jwt_simple::prelude::{Claims, Duration, Ed25519KeyPair, EdDSAKeyPairLike as _, EdDSAPublicKeyLike as _};
use serde::{Deserialize, Serialize};
use totp_rs::Builder;
use uuid::Uuid;

/// What the crates made, for the test to look at with its own copies of them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Smoke {
    /// Signed with [`Smoke::jwt_key`] by the crate's own clock, and verified by it.
    pub jwt: String,
    pub jwt_key: String,
    /// Why a token of the day before is refused.
    pub jwt_expired: String,
    /// The code of the secret `12345678901234567890` at the host's time.
    pub totp: String,
    pub totp_at_ms: i64,
    /// The PHC string of `correct horse battery staple`, salted by the host.
    pub argon2: String,
    pub uuid_v4: [Uuid; 2],
    /// By the crate's own clock.
    pub uuid_v7: Uuid,
    /// What the check of the webhook's signature said, by the host's clock.
    pub stripe: String,
}

/// A webhook as the test signed it, and a word to log.
#[derive(Debug, Deserialize)]
struct Ask {
    payload: String,
    signature: String,
    word: String,
}

pub(crate) fn routes() -> Router {
    Router::new().route("/contract/crates", post(smoke))
}

async fn smoke(app: App, Json(ask): Json<Ask>) -> Result<Json<Smoke>, String> {
    tracing::error!(word = ask.word, "the contract logs {}", ask.word);
    let host = app.host();
    let keys = Ed25519KeyPair::generate();
    let claims = || Claims::create(Duration::from_mins(10)).with_subject("contract");
    let jwt = keys.sign(claims()).map_err(|error| error.to_string())?;
    keys.public_key().verify_token::<()>(&jwt, None).map_err(|error| error.to_string())?;
    let mut yesterday = claims();
    for time in [&mut yesterday.issued_at, &mut yesterday.invalid_before, &mut yesterday.expires_at] {
        *time = time.map(|it| it - Duration::from_days(1));
    }
    let yesterday = keys.sign(yesterday).map_err(|error| error.to_string())?;
    let jwt_expired = keys.public_key().verify_token::<()>(&yesterday, None).err();
    let totp = Builder::new().with_secret(*b"12345678901234567890").build().map_err(|error| error.to_string())?;
    let now = host.now();
    let argon2 = Argon2::default().hash_password_with_salt(b"correct horse battery staple", &random::<16>(&**host));
    let secrets = ["whsec_contract".into()];
    let stripe = stripe::verify(ask.payload.as_bytes(), &ask.signature, &secrets, now);
    Ok(Json(Smoke {
        jwt,
        jwt_key: keys.public_key().to_pem(),
        jwt_expired: jwt_expired.map(|error| error.to_string()).unwrap_or_default(),
        totp: totp.generate(now.0.unsigned_abs() / 1_000).to_string(),
        totp_at_ms: now.0,
        argon2: argon2.map_err(|error| error.to_string())?.to_string(),
        uuid_v4: [Uuid::new_v4(), Uuid::new_v4()],
        uuid_v7: Uuid::now_v7(),
        stripe: format!("{stripe:?}"),
    }))
}
