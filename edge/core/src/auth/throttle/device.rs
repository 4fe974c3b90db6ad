//! Known devices: a token that a log-in gives and the next one brings, so that no stranger locks the owner out.
//!
//! `nest_device_<person, device, time of issue, tag>`: it proves nothing but that someone logged in there before. What it
//! earns is a count of wrong passwords of its own.

use crate::{App, limits::DEVICE_COOKIE, root::Root};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderValue, header::SET_COOKIE};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use shared::{id::UserId, time::Timestamp};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

const PREFIX: &str = "nest_device_";
const LIFE_S: i64 = 90 * 86_400;
const BODY_BYTES: usize = 16 + 16 + 8;

/// A device of a person, by a token that we made.
pub(crate) struct DeviceToken {
    pub(crate) user_id: UserId,
    pub(crate) id: String,
}

impl DeviceToken {
    /// A token for a device that `user` has just logged in from.
    pub(crate) fn issue(app: &App, user: UserId) -> SecretString {
        let id: [u8; 16] = crate::host::random(&*app.host);
        make(&app.config.roots.current, user, id, app.host.now())
    }

    /// The device that `text` is of, if we made it and it is not too old.
    pub(crate) fn parse(app: &App, text: &SecretString) -> Option<Self> {
        let roots = &app.config.roots;
        roots.accepted().chain(&roots.next).find_map(|root| parse(root, text.expose_secret(), app.host.now()))
    }
}

fn make(root: &Root, user: UserId, id: [u8; 16], now: Timestamp) -> SecretString {
    let body = [user.uuid().as_bytes(), &id[..], &now.as_seconds().to_be_bytes()].concat();
    let token = [&body[..], &tag(root, &body)].concat();
    format!("{PREFIX}{}", BASE64URL.encode(token)).into()
}

fn parse(root: &Root, text: &str, now: Timestamp) -> Option<DeviceToken> {
    let bytes = BASE64URL.decode(text.strip_prefix(PREFIX)?).ok()?;
    let (body, given) = bytes.split_at_checked(BODY_BYTES)?;
    if !bool::from(tag(root, body)[..].ct_eq(given)) {
        return None;
    }
    let issued_s = i64::from_be_bytes(body[32..].try_into().ok()?);
    let fresh = now.as_seconds() - issued_s <= LIFE_S;
    let user_id = UserId::from_uuid(Uuid::from_slice(&body[..16]).ok()?);
    fresh.then(|| DeviceToken { user_id, id: BASE64URL.encode(&body[16..32]) })
}

fn tag(root: &Root, body: &[u8]) -> [u8; 32] {
    let key = root.derive("nest device token v1");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes keys of any length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// Keeps the token in the console's browser.
pub(crate) fn set_cookie(response: &mut axum::response::Response, token: &SecretString) {
    let token = token.expose_secret();
    let cookie = format!("{DEVICE_COOKIE}={token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={LIFE_S}");
    let cookie = HeaderValue::try_from(cookie).expect("a token is plain ASCII");
    response.headers_mut().append(SET_COOKIE, cookie);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_made_is_a_device_and_for_ninety_days() {
        let (ours, other) = (Root::new(&"ours".into()), Root::new(&"other".into()));
        let user = UserId::new(Timestamp(1), [7; 10]);
        let token = make(&ours, user, [1; 16], Timestamp(0));
        let text = token.expose_secret();
        let at = |root, ms| parse(root, text, Timestamp(ms)).map(|it| it.user_id);
        assert_eq!(at(&ours, 0), Some(user));
        assert_eq!(at(&ours, LIFE_S * 1_000), Some(user));
        assert_eq!(at(&ours, (LIFE_S + 1) * 1_000), None);
        assert_eq!(at(&other, 0), None);
        for place in PREFIX.len()..text.len() {
            let mut changed = text.to_owned().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(parse(&ours, &changed, Timestamp(0)).is_none(), "{place}");
        }
    }
}
