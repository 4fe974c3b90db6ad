//! Pure decisions about keys: whether one is let in, how long a cached one may be used, and what lists point out.

use super::{
    KeyError,
    key::{INFERENCE, Key, Kind},
    text::SecretHash,
};
use crate::orgs::OrgError;
use shared::{permission::Permissions, time::Timestamp};
use std::{hint::black_box, net::IpAddr};
use subtle::{Choice, ConstantTimeEq as _};

/// Whether the presented key is the stored one and may be used at `now`, from `address`, for what its kind is for.
pub(super) fn admit(
    key: &Key,
    presented: &SecretHash,
    wanted: Kind,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), KeyError> {
    // Whoever does not have the secret learns nothing about the key.
    if !is_of(key, presented, now) {
        return Err(KeyError::Unknown);
    }
    if key.revoked {
        return Err(KeyError::Revoked);
    }
    // Expiry is exclusive: lists say "valid until", so at that instant the key is dead.
    if key.expires_at.is_some_and(|it| it <= now) {
        return Err(KeyError::Expired);
    }
    if key.disabled {
        return Err(KeyError::Disabled);
    }
    if key.org_suspended {
        return Err(KeyError::Suspended);
    }
    if !key.networks.allow(address) {
        return Err(KeyError::Address);
    }
    if key.kind() != wanted {
        return Err(KeyError::WrongKind);
    }
    if key.permissions() == Permissions::NONE { Err(KeyError::OwnerNotPermitted) } else { Ok(()) }
}

/// Whether the presented key is the stored one, or was until its rotation, while that goes on.
fn is_of(key: &Key, presented: &SecretHash, now: Timestamp) -> bool {
    let previous = match &key.previous {
        Some((hash, until)) => hash.ct_eq(presented) & Choice::from(u8::from(now < *until)),
        None => Choice::from(0),
    };
    (key.secret_hash.ct_eq(presented) | previous).into()
}

/// Spends what a comparison does, where there is nothing to compare with.
pub(super) fn compare_with_nothing(presented: &SecretHash) {
    let _ = black_box(black_box(SecretHash::default()).ct_eq(presented));
}

/// What may be done with something that was read `age_ms` ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Use it.
    Fresh,
    /// Use it, and read it anew behind the request.
    Ageing,
    /// Read it anew first.
    Old,
}

/// A change of a key, its organisation or its owner counts within `longest_ms`: older entries are not used while
/// Postgres answers. So that a busy key never waits for that, it is read anew before.
pub(super) fn freshness(age_ms: i64, longest_ms: i64) -> Freshness {
    const AGEING_MS: i64 = 1_000;
    if age_ms >= longest_ms {
        Freshness::Old
    } else if age_ms >= AGEING_MS.min(longest_ms / 2) {
        Freshness::Ageing
    } else {
        Freshness::Fresh
    }
}

/// What someone may put into a key who may do `own` themselves.
pub(super) fn scopes(wanted: Permissions, own: Permissions) -> Result<Permissions, crate::Error> {
    if wanted == Permissions::NONE {
        return Err(KeyError::field("scopes", "name at least one").into());
    }
    if wanted != INFERENCE && wanted.covers(INFERENCE) {
        return Err(KeyError::ScopesMixed.into());
    }
    if own.covers(wanted) { Ok(wanted) } else { Err(OrgError::Beyond.into()) }
}

const DAY_MS: i64 = 86_400_000;
/// How long before its end a key is pointed out.
const SOON_MS: i64 = 7 * DAY_MS;
/// After how long a key that nobody uses is pointed out.
const UNUSED_MS: i64 = 90 * DAY_MS;

/// Whether a live key ends within a week.
pub(super) fn expires_soon(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|at| at > now && at.since_ms(now) <= SOON_MS)
}

/// Whether nobody has used a key for ninety days.
pub(super) fn unused(created_at: Timestamp, last_used_at: Option<Timestamp>, now: Timestamp) -> bool {
    now.since_ms(last_used_at.unwrap_or(created_at).max(created_at)) >= UNUSED_MS
}

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{Environment, Models, Networks, text::hash},
        *,
    };
    use crate::{Error, limits::Quota, orgs::Owner};
    use shared::{
        id::{KeyId, OrgId},
        permission::Permission,
    };
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp(1_000);

    pub(in super::super) fn key() -> Key {
        Key {
            id: KeyId::from_uuid(Uuid::nil()),
            org_id: OrgId::from_uuid(Uuid::nil()),
            name: "ci".to_owned(),
            secret_hash: hash("right"),
            previous: None,
            expires_at: None,
            revoked: false,
            disabled: false,
            org_suspended: false,
            version: 1,
            environment: Environment::Live,
            scopes: INFERENCE,
            owner: Owner::Org,
            owner_permissions: Permissions::all(),
            models: Models::default(),
            networks: Networks::default(),
            quota: Quota::default(),
            org_quota: None,
        }
    }

    /// Checklist 49's part: each reason has its own answer, and of several the first in this order is told.
    #[test]
    fn a_stored_key_admits_its_own_text_while_nothing_speaks_against_it() {
        let from = |address: &str| Some(address.parse().unwrap());
        let office = Networks::parse(&["192.0.2.0/24"]).unwrap();
        let manages = Permissions::of(&[Permission::KeysRead, Permission::UsageRead]);
        let previous = |until| Key { previous: Some((hash("old"), Timestamp(until))), ..key() };
        let (home, away) = (from("192.0.2.7"), from("198.51.100.7"));
        let inference = Kind::Inference;
        for (case, presented, wanted, address, verdict) in [
            (key(), "right", inference, None, Ok(())),
            (key(), "wrong", inference, None, Err(KeyError::Unknown)),
            (previous(1_001), "right", inference, None, Ok(())),
            (previous(1_001), "old", inference, None, Ok(())),
            (previous(1_000), "old", inference, None, Err(KeyError::Unknown)),
            (previous(1_000), "right", inference, None, Ok(())),
            (previous(1_001), "wrong", inference, None, Err(KeyError::Unknown)),
            (Key { revoked: true, ..previous(1_001) }, "old", inference, None, Err(KeyError::Revoked)),
            (Key { expires_at: Some(Timestamp(1_001)), ..key() }, "right", inference, None, Ok(())),
            (Key { expires_at: Some(NOW), ..key() }, "right", inference, None, Err(KeyError::Expired)),
            (Key { expires_at: Some(NOW), ..previous(9_000) }, "old", inference, None, Err(KeyError::Expired)),
            (Key { revoked: true, expires_at: Some(NOW), ..key() }, "right", inference, None, Err(KeyError::Revoked)),
            (Key { disabled: true, ..key() }, "right", inference, None, Err(KeyError::Disabled)),
            (Key { disabled: true, ..key() }, "wrong", inference, None, Err(KeyError::Unknown)),
            (Key { org_suspended: true, ..key() }, "right", inference, None, Err(KeyError::Suspended)),
            (Key { networks: office.clone(), ..key() }, "right", inference, home, Ok(())),
            (Key { networks: office.clone(), ..key() }, "right", inference, away, Err(KeyError::Address)),
            (Key { networks: office.clone(), ..key() }, "right", inference, None, Err(KeyError::Address)),
            (Key { networks: office, ..key() }, "wrong", inference, away, Err(KeyError::Unknown)),
            (key(), "right", Kind::Management, None, Err(KeyError::WrongKind)),
            (Key { scopes: manages, ..key() }, "right", inference, None, Err(KeyError::WrongKind)),
            (Key { scopes: manages, ..key() }, "right", Kind::Management, None, Ok(())),
            (Key { owner_permissions: manages, ..key() }, "right", inference, None, Err(KeyError::OwnerNotPermitted)),
            (
                Key { scopes: manages, owner_permissions: Permissions::of(&[Permission::KeysRead]), ..key() },
                "right",
                Kind::Management,
                None,
                Ok(()),
            ),
            (
                Key { scopes: manages, owner_permissions: Permissions::NONE, ..key() },
                "right",
                Kind::Management,
                None,
                Err(KeyError::OwnerNotPermitted),
            ),
        ] {
            assert_eq!(admit(&case, &hash(presented), wanted, address, NOW), verdict, "{presented} for {case:?}");
        }
    }

    /// Checklist 48's part.
    #[test]
    fn a_key_may_do_what_its_owner_may_at_present() {
        use super::super::key::owner_permissions as of;
        let few = Permissions::of(&[Permission::KeysRead]);
        for (kind, role, custom, scope, permissions) in [
            ("org", None, None, None, Permissions::all()),
            ("user", Some("owner"), None, None, Permissions::all()),
            ("user", Some("custom"), Some("keys:read"), None, few),
            ("user", Some("custom"), None, None, Permissions::NONE),
            ("user", Some("ruler"), None, None, Permissions::NONE),
            // Left, or suspended.
            ("user", None, None, None, Permissions::NONE),
            ("user", None, Some("keys:read"), Some("keys:read"), Permissions::NONE),
            ("client", None, None, Some("keys:read keys:fly"), few),
            ("client", Some("owner"), None, None, Permissions::NONE),
            ("another", Some("owner"), None, Some("keys:read"), Permissions::NONE),
        ] {
            assert_eq!(of(kind, role, custom, scope), permissions, "{kind} {role:?} {custom:?} {scope:?}");
        }
        let all = Key { scopes: Permissions::of(&[Permission::KeysRead, Permission::KeysWrite]), ..key() };
        assert_eq!(Key { owner_permissions: few, ..all }.permissions(), few);
    }

    #[test]
    fn a_key_is_given_scopes_of_one_kind_within_the_giver_s_own() {
        let few = Permissions::of(&[Permission::KeysRead, Permission::ModelsUse]);
        let keys = Permissions::of(&[Permission::KeysRead]);
        for (wanted, own, code) in [
            (INFERENCE, few, None),
            (keys, few, None),
            (few, few, Some("scopes_mixed")),
            (few, Permissions::NONE, Some("scopes_mixed")),
            (Permissions::NONE, few, Some("invalid_value")),
            (Permissions::of(&[Permission::KeysWrite]), few, Some("beyond_own_permissions")),
            (INFERENCE, keys, Some("beyond_own_permissions")),
        ] {
            let refused = scopes(wanted, own).map_err(|error: Error| error.face().2.to_owned());
            assert_eq!(refused.err().as_deref(), code, "{wanted:?} by {own:?}");
        }
    }

    #[test]
    fn a_cached_key_ages() {
        for (age_ms, longest_ms, freshness_is) in [
            (-5, 1_000, Freshness::Fresh),
            (0, 1_000, Freshness::Fresh),
            (499, 1_000, Freshness::Fresh),
            (500, 1_000, Freshness::Ageing),
            (999, 1_000, Freshness::Ageing),
            (1_000, 1_000, Freshness::Old),
            (999, 5_000, Freshness::Fresh),
            (1_000, 5_000, Freshness::Ageing),
            (4_999, 5_000, Freshness::Ageing),
            (5_000, 5_000, Freshness::Old),
            (0, 0, Freshness::Old),
        ] {
            assert_eq!(freshness(age_ms, longest_ms), freshness_is, "{age_ms} of {longest_ms}");
        }
    }

    #[test]
    fn what_ends_soon_or_lies_about_is_pointed_out() {
        let now = Timestamp(1_000 * DAY_MS);
        let days = |days: i64| now.plus_ms(days * DAY_MS);
        for (expires_at, soon) in [
            (None, false),
            (Some(now), false),
            (Some(now.plus_ms(1)), true),
            (Some(days(7)), true),
            (Some(days(7).plus_ms(1)), false),
            (Some(days(-1)), false),
        ] {
            assert_eq!(expires_soon(expires_at, now), soon, "{expires_at:?}");
        }
        for (created_at, last_used_at, is_unused) in [
            (days(-89), None, false),
            (days(-90), None, true),
            (days(-200), Some(days(-91)), true),
            (days(-200), Some(days(-89)), false),
            (days(-10), Some(days(-91)), false),
        ] {
            assert_eq!(unused(created_at, last_used_at, now), is_unused, "{created_at:?} {last_used_at:?}");
        }
    }
}
