//! Keys that this process or isolate has seen lately.

use super::sql::StoredKey;
use crate::refresh::Refresh;
use shared::{id::KeyId, time::Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Beyond this many keys the oldest entries make room.
const CAPACITY: usize = 50_000;

/// Key rows by id, each with the time at which it was read. Misses are never kept: a key may be created any moment.
#[derive(Default)]
pub(crate) struct Cache(Mutex<HashMap<KeyId, Entry>>);

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: StoredKey,
    pub(super) read_at: Timestamp,
    refresh: Refresh,
}

impl Cache {
    pub(super) fn get(&self, id: KeyId) -> Option<Entry> {
        self.lock().get(&id).cloned()
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

    /// Keeps what was read at `read_at`, unless something newer is there: a slow read never brings back an older state.
    pub(super) fn put(&self, key: StoredKey, read_at: Timestamp) {
        let mut entries = self.lock();
        if entries.len() >= CAPACITY && !entries.contains_key(&key.id) {
            let mut ages: Vec<Timestamp> = entries.values().map(|it| it.read_at).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            entries.retain(|_, it| it.read_at > median);
        }
        let current = entries.get(&key.id);
        if current.is_none_or(|it| (it.key.version, it.read_at) <= (key.version, read_at)) {
            entries.insert(key.id, Entry { key, read_at, refresh: Refresh::default() });
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
    use super::*;
    use shared::id::OrgId;
    use uuid::Uuid;

    fn key(id: u128, version: i64) -> StoredKey {
        StoredKey {
            id: KeyId::from_uuid(Uuid::from_u128(id)),
            org_id: OrgId::from_uuid(Uuid::nil()),
            secret_hash: vec![0; 32],
            expires_at: None,
            revoked_at: None,
            version,
            org_suspended: false,
        }
    }

    #[test]
    fn a_slow_read_never_brings_back_an_older_state() {
        let cache = Cache::default();
        cache.put(key(1, 2), Timestamp(10));
        cache.put(key(1, 1), Timestamp(20));
        assert_eq!(cache.get(key(1, 0).id).unwrap().key.version, 2);
        cache.put(key(1, 2), Timestamp(30));
        assert_eq!(cache.get(key(1, 0).id).unwrap().read_at, Timestamp(30));
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
