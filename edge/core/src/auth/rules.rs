//! Pure decisions about people and sessions.

use super::{AuthError, sql::SessionState};
use shared::time::Timestamp;
use subtle::ConstantTimeEq as _;

/// A sensitive act needs a proof that is no older.
pub(super) const FRESH_MS: i64 = 300_000;

/// The token of an `Authorization: Bearer` header; the scheme ignores case (RFC 9110, section 11.1).
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether a session may still be used.
pub(super) fn session_is_live(session: &SessionState, now: Timestamp) -> Result<(), AuthError> {
    let ended = session.ended || session.suspended;
    let live = session_times_are_live(ended, session.idle_until, session.expires_at, now);
    if live { Ok(()) } else { Err(AuthError::SessionEnded) }
}

/// Whether a session that nobody has ended goes on by its times.
pub(super) fn session_times_are_live(
    ended: bool,
    idle_until: Timestamp,
    expires_at: Timestamp,
    now: Timestamp,
) -> bool {
    !ended && now < idle_until && now < expires_at
}

/// Whether a person's last proof is recent enough for a sensitive act.
pub(crate) fn is_fresh(auth_time: Timestamp, now: Timestamp) -> bool {
    now.since_ms(auth_time) <= FRESH_MS
}

/// Compares hashes in constant time.
pub(super) fn same_hash(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// The scheme, host and port of a URL, as a browser writes an origin.
pub(super) fn origin_of(url: &str) -> Option<String> {
    let origin = url::Url::parse(url).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_takes_the_token() {
        for (header, token) in [
            ("Bearer nest_1", Some("nest_1")),
            ("bearer nest_1", Some("nest_1")),
            ("BEARER  nest_1 ", Some("nest_1")),
            ("Basic nest_1", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("nest_1", None),
            ("", None),
        ] {
            assert_eq!(bearer(header), token, "{header:?}");
        }
    }

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        for (url, origin) in [
            ("https://nest.example.com", Some("https://nest.example.com")),
            ("https://nest.example.com/console", Some("https://nest.example.com")),
            ("http://127.0.0.1:8787", Some("http://127.0.0.1:8787")),
            // A browser leaves out the scheme's own port, and writes hosts in lower case.
            ("https://Nest.example.com:443/", Some("https://nest.example.com")),
            ("nest", None),
        ] {
            assert_eq!(origin_of(url).as_deref(), origin, "{url}");
        }
    }

    #[test]
    fn a_proof_is_fresh_for_five_minutes() {
        let at = |ms| is_fresh(Timestamp(1_000), Timestamp(1_000 + ms));
        assert!(at(0) && at(FRESH_MS) && !at(FRESH_MS + 1));
    }
}
