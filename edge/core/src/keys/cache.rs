//! Keys that this process or isolate has seen lately.

use super::key::Key;
use crate::{refresh::Refresh, room};
use shared::{id::KeyId, time::Timestamp};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Beyond this many keys the oldest entries make room.
const CAPACITY: usize = 50_000;

/// How often a second an entry is read anew because a secret does not match: enough for whoever has just rotated it,
/// and little work for whoever guesses.
const REREADS: u32 = 10;

/// Keys by id, each with the time at which it was read. Misses are never kept: a key may be created any moment.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<KeyId, Entry>>);

struct Entry {
    key: Arc<Key>,
    read_at: Timestamp,
    refresh: Refresh,
    rereads: Rereads,
}

/// Of requests at the same time, one may know an earlier second than another: its host may tell it the time at which it
/// came. Only a clock that is farther behind than that was set back.
const SECONDS_BEHIND: i64 = 60;

#[derive(Clone, Copy, Default)]
struct Rereads {
    second: i64,
    count: u32,
}

/// A key, and when it was read.
pub(super) struct Seen {
    pub(super) key: Arc<Key>,
    pub(super) read_at: Timestamp,
}

impl Cache {
    pub(super) fn get(&self, id: KeyId) -> Option<Seen> {
        self.lock().get(&id).map(|entry| Seen { key: entry.key.clone(), read_at: entry.read_at })
    }

    /// Whether the caller is the one to refresh the entry; true for one caller until the entry is put anew, released, or
    /// the caller is gone.
    pub(super) fn claim_refresh(&self, id: KeyId, now: Timestamp) -> bool {
        self.lock().get_mut(&id).is_some_and(|entry| entry.refresh.claim(now))
    }

    /// Lets the next caller refresh, after a refresh that failed.
    pub(super) fn release_refresh(&self, id: KeyId) {
        if let Some(entry) = self.lock().get_mut(&id) {
            entry.refresh.release();
        }
    }

    /// Whether the entry may be read anew for a secret that does not match.
    pub(super) fn may_reread(&self, id: KeyId, now: Timestamp) -> bool {
        let mut entries = self.lock();
        let Some(Entry { rereads, .. }) = entries.get_mut(&id) else { return false };
        let second = now.as_seconds();
        if !(0..=SECONDS_BEHIND).contains(&(rereads.second - second)) {
            *rereads = Rereads { second, count: 0 };
        }
        rereads.count += 1;
        rereads.count <= REREADS
    }

    /// Keeps what was read at `read_at`, unless something newer is there: a slow read never brings back an older state.
    pub(super) fn put(&self, key: Arc<Key>, read_at: Timestamp) {
        let mut entries = self.lock();
        room::make(&mut entries, &key.id, CAPACITY, |it| it.read_at);
        let current = entries.get(&key.id);
        if current.is_none_or(|it| (it.key.version, it.read_at) <= (key.version, read_at)) {
            let rereads = current.map(|it| it.rereads).unwrap_or_default();
            entries.insert(key.id, Entry { key, read_at, refresh: Refresh::default(), rereads });
        }
    }

    pub(super) fn remove(&self, id: KeyId) {
        self.lock().remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rules::tests::key as any_key, *};
    use uuid::Uuid;

    fn key(id: u128, version: i64) -> Arc<Key> {
        Arc::new(Key { id: KeyId::from_uuid(Uuid::from_u128(id)), version, ..any_key() })
    }

    #[test]
    fn a_slow_read_never_brings_back_an_older_state() {
        let cache = Cache::default();
        cache.put(key(1, 2), Timestamp(10));
        cache.put(key(1, 1), Timestamp(20));
        assert_eq!(cache.get(key(1, 0).id).unwrap().key.version, 2);
        cache.put(key(1, 2), Timestamp(30));
        assert_eq!(cache.get(key(1, 0).id).unwrap().read_at, Timestamp(30));
        // A change of the owner or the organisation leaves the version as it is.
        cache.put(Arc::new(Key { org_suspended: true, ..Key::clone(&key(1, 2)) }), Timestamp(40));
        cache.put(key(1, 2), Timestamp(39));
        assert!(cache.get(key(1, 0).id).unwrap().key.org_suspended);
    }

    #[test]
    fn one_caller_refreshes_until_it_has_or_gives_up() {
        let (cache, id) = (Cache::default(), key(1, 1).id);
        assert!(!cache.claim_refresh(id, Timestamp(0)), "nothing to refresh");
        cache.put(key(1, 1), Timestamp(0));
        assert!(cache.claim_refresh(id, Timestamp(0)));
        assert!(!cache.claim_refresh(id, Timestamp(0)));
        cache.release_refresh(id);
        assert!(cache.claim_refresh(id, Timestamp(0)));
        cache.put(key(1, 1), Timestamp(1));
        assert!(cache.claim_refresh(id, Timestamp(0)));
    }

    #[test]
    fn whoever_guesses_secrets_makes_few_reads() {
        let (cache, id) = (Cache::default(), key(1, 1).id);
        assert!(!cache.may_reread(id, Timestamp(0)), "nothing was read yet");
        cache.put(key(1, 1), Timestamp(0));
        let reread = |at| {
            let granted = cache.may_reread(id, Timestamp(at));
            // What was read changes nothing about how often it may be.
            cache.put(key(1, 1), Timestamp(at));
            granted
        };
        assert_eq!((0..1_000).filter(|at| reread(*at)).count(), 10);
        assert_eq!((1_000..2_000).filter(|at| reread(*at)).count(), 10);
        // Requests that overlap disagree about the second; of each there is one all the same.
        assert_eq!((0..1_000).filter(|at| reread(2_000 + at % 2 * 999 - at % 3 * 1_000)).count(), 10);
        // A clock that was set back holds nobody up.
        assert!(reread(2_000 - 3_600_000));
    }

    #[test]
    fn the_oldest_make_room() {
        let cache = Cache::default();
        for at in 0..=CAPACITY {
            cache.put(key(at as u128, 1), Timestamp(at as i64));
        }
        let kept = cache.lock().len();
        assert!(kept < CAPACITY && kept > CAPACITY / 3, "{kept}");
        assert!(cache.get(key(CAPACITY as u128, 1).id).is_some());
    }
}
