//! Room in a table that must not grow without bound.

use shared::time::Timestamp;
use std::{collections::HashMap, hash::Hash};

/// Makes room for an entry `id` in a table of `capacity`: where there is none, the older half goes.
pub(crate) fn make<K: Eq + Hash, V>(
    entries: &mut HashMap<K, V>,
    id: &K,
    capacity: usize,
    at: impl Fn(&V) -> Timestamp,
) {
    if entries.len() < capacity || entries.contains_key(id) {
        return;
    }
    let mut times: Vec<Timestamp> = entries.values().map(&at).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    entries.retain(|_, entry| at(entry) > median);
}
