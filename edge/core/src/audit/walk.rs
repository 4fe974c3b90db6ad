//! The check of the chain, entry by entry: plain values, no database. Memory is bounded however long the log is.

use super::{
    Finding, Findings,
    chain::{Anchor, ChainKey, Head, Mac, START},
    sql::{AnchorRow, LogRow},
};
use std::collections::{BTreeMap, BTreeSet};
use subtle::ConstantTimeEq as _;

/// Entries that do not fit and are looked at together, to tell which of them have changed places.
const SUSPECTS: usize = 32;

/// A walk along the chain.
pub(super) struct Walk<'a> {
    key: &'a ChainKey,
    /// The place of the last entry that was seen.
    seq: i64,
    /// The MAC that it has.
    stored: Option<Mac>,
    /// The MAC that it should have, where that is another one: only the next entry tells which of the two is right.
    computed: Option<Mac>,
    suspects: Vec<Suspect>,
    findings: Findings,
}

/// An entry that does not fit.
struct Suspect {
    seq: i64,
    before: Mac,
    stored: Mac,
    row: LogRow,
}

impl<'a> Walk<'a> {
    pub(super) fn new(key: &'a ChainKey) -> Self {
        Self { key, seq: 0, stored: Some(START), computed: None, suspects: Vec::new(), findings: Findings::default() }
    }

    /// Looks at the next entry, in the order of places.
    pub(super) fn entry(&mut self, row: LogRow) {
        let seq = row.seq.unwrap_or_default();
        if seq > self.seq + 1 {
            self.findings.push(Finding::Missing { from: self.seq + 1, to: seq - 1 });
            (self.stored, self.computed) = (None, None);
        }
        let own: Option<Mac> = row.mac.as_deref().and_then(|it| it.try_into().ok());
        let fits = |before: &Option<Mac>| before.is_some_and(|before| same(&self.key.entry(&before, seq, &row), own));
        let good = fits(&self.stored) || fits(&self.computed);
        let before = self.stored;
        (self.seq, self.stored, self.computed) = (seq, own, None);
        match (before, own) {
            _ if good => {}
            // What it follows is gone, so there is nothing to check it by; and that was told.
            (None, Some(_)) => {}
            (Some(before), Some(stored)) => {
                self.computed = Some(self.key.entry(&before, seq, &row));
                self.suspects.push(Suspect { seq, before, stored, row });
            }
            (_, None) => self.findings.push(Finding::Edited { id: row.id, seq }),
        }
        if self.suspects.len() == SUSPECTS {
            self.settle();
        }
    }

    /// Compares where the walk has ended with the head.
    pub(super) fn end(mut self, head: &Head) -> Findings {
        self.settle();
        if self.seq < head.seq {
            self.findings.push(Finding::Truncated { from: self.seq + 1, to: head.seq });
        } else if !self.stored.is_some_and(|it| same(&it, Some(head.mac))) {
            self.findings.push(Finding::EndDiffers { seq: head.seq });
        }
        self.findings
    }

    /// Tells apart, among the entries that do not fit, what was moved, what only follows a moved one, and what was
    /// edited.
    fn settle(&mut self) {
        let suspects = std::mem::take(&mut self.suspects);
        // What the MAC at a place was, as far as it is known again.
        let mut mended: BTreeMap<i64, Mac> = BTreeMap::new();
        let mut explained = BTreeSet::new();
        for place in &suspects {
            let before = mended.get(&(place.seq - 1)).unwrap_or(&place.before);
            let fitting = suspects.iter().find_map(|it| {
                let mac = self.key.entry(before, place.seq, &it.row);
                let fits = same(&mac, Some(it.stored)) || same(&mac, Some(place.stored));
                fits.then_some((it, mac))
            });
            let Some((it, mac)) = fitting else { continue };
            mended.insert(place.seq, mac);
            if it.seq != place.seq {
                self.findings.push(Finding::Moved { id: it.row.id, seq: it.seq, belongs_at: place.seq });
            }
            explained.insert(it.row.id);
        }
        for it in suspects.iter().filter(|it| !explained.contains(&it.row.id)) {
            self.findings.push(Finding::Edited { id: it.row.id, seq: it.seq });
        }
    }
}

/// Looks at an anchor, in the order of numbers; `expected` is the number after the last one.
pub(super) fn anchor(key: &ChainKey, expected: i64, row: &AnchorRow, findings: &mut Findings) {
    if row.number > expected {
        findings.push(Finding::AnchorsMissing { from: expected, to: row.number - 1 });
    }
    let AnchorRow { number, at_us, seq, ref mac, ref tag, ref entry_mac } = *row;
    let own: Option<Mac> = mac.as_slice().try_into().ok();
    let tag: Option<Mac> = tag.as_slice().try_into().ok();
    if !own.is_some_and(|mac| same(&key.anchor(&Anchor { number, at_us, seq, mac }), tag)) {
        findings.push(Finding::AnchorChanged { number });
    } else if entry_mac.as_deref() != Some(mac.as_slice()) {
        findings.push(Finding::AnchorDiffers { number, seq });
    }
}

pub(super) fn same(a: &Mac, b: Option<Mac>) -> bool {
    b.is_some_and(|b| a.ct_eq(&b).into())
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{key, row};
    use super::*;

    /// An honest chain.
    fn chain(length: i64) -> (Vec<LogRow>, Head) {
        let mut mac = START;
        let rows = (1..=length).map(|seq| {
            // Ids have gaps, and need not be in the order of places.
            let mut entry = row(1_000 - 3 * seq);
            mac = key().entry(&mac, seq, &entry);
            (entry.seq, entry.mac) = (Some(seq), Some(mac.to_vec()));
            entry
        });
        let rows: Vec<LogRow> = rows.collect();
        (rows, Head { seq: length, mac, anchors: 0 })
    }

    type Tamper<T> = fn(&mut T);
    type Case = (&'static str, Tamper<Vec<LogRow>>, Vec<Finding>);

    fn walked(mut rows: Vec<LogRow>, head: &Head) -> Vec<Finding> {
        let key = key();
        let mut walk = Walk::new(&key);
        rows.sort_by_key(|it| it.seq);
        rows.into_iter().for_each(|it| walk.entry(it));
        walk.end(head).first
    }

    fn swap(rows: &mut [LogRow], a: usize, b: usize, with_mac: bool) {
        let (seq_a, seq_b) = (rows[a].seq, rows[b].seq);
        (rows[a].seq, rows[b].seq) = (seq_b, seq_a);
        if with_mac {
            let (mac_a, mac_b) = (rows[a].mac.clone(), rows[b].mac.clone());
            (rows[a].mac, rows[b].mac) = (mac_b, mac_a);
        }
    }

    #[test]
    fn an_honest_chain_has_no_findings() {
        for length in [0, 1, 2, 100] {
            let (rows, head) = chain(length);
            assert_eq!(walked(rows, &head), [], "{length}");
        }
    }

    /// Checklist 115: what was done is named, and only that.
    #[test]
    fn each_tampering_is_found_by_its_name() {
        let (rows, head) = chain(20);
        let id = |seq: usize| rows[seq - 1].id;
        let cases: [Case; 9] = [
            ("an edited field", |it| it[4].detail.push(' '), vec![Finding::Edited { id: id(5), seq: 5 }]),
            ("an edited MAC", |it| it[4].mac.as_mut().unwrap()[0] ^= 1, vec![Finding::Edited { id: id(5), seq: 5 }]),
            ("a MAC taken away", |it| it[4].mac = None, vec![Finding::Edited { id: id(5), seq: 5 }]),
            ("a removed entry", |it| drop(it.remove(4)), vec![Finding::Missing { from: 5, to: 5 }]),
            ("removed entries", |it| drop(it.drain(4..7)), vec![Finding::Missing { from: 5, to: 7 }]),
            ("the first entry removed", |it| drop(it.remove(0)), vec![Finding::Missing { from: 1, to: 1 }]),
            ("a removed tail", |it| it.truncate(18), vec![Finding::Truncated { from: 19, to: 20 }]),
            (
                "swapped places",
                |it| swap(it, 4, 10, false),
                vec![
                    Finding::Moved { id: id(5), seq: 11, belongs_at: 5 },
                    Finding::Moved { id: id(11), seq: 5, belongs_at: 11 },
                ],
            ),
            (
                "swapped contents",
                |it| swap(it, 4, 5, true),
                vec![
                    Finding::Moved { id: id(5), seq: 6, belongs_at: 5 },
                    Finding::Moved { id: id(6), seq: 5, belongs_at: 6 },
                ],
            ),
        ];
        for (name, tamper, expected) in cases {
            let mut tampered = rows.clone();
            tamper(&mut tampered);
            assert_eq!(walked(tampered, &head), expected, "{name}");
        }
        let mut neighbours = rows.clone();
        swap(&mut neighbours, 4, 5, false);
        assert_eq!(
            walked(neighbours, &head),
            [Finding::Moved { id: id(5), seq: 6, belongs_at: 5 }, Finding::Moved { id: id(6), seq: 5, belongs_at: 6 }]
        );
        let elsewhere = Head { mac: [9; 32], ..head };
        assert_eq!(walked(rows, &elsewhere), [Finding::EndDiffers { seq: 20 }]);
    }

    #[test]
    fn an_entry_put_between_two_shows_although_all_that_follow_move_up() {
        let (mut rows, head) = chain(100);
        let mut copy = rows[9].clone();
        copy.id = 5_000;
        copy.seq = Some(10);
        rows[9..].iter_mut().for_each(|it| it.seq = it.seq.map(|seq| seq + 1));
        rows.push(copy);
        let found = walked(rows, &head);
        assert!(found.len() > 80, "{}", found.len());
        let of_copy = |it: &Finding| *it == Finding::Edited { id: 5_000, seq: 10 };
        assert!(found.iter().any(of_copy), "{found:?}");
    }

    #[test]
    fn anchors_are_checked_against_their_own_tag_and_the_entry_they_name() {
        let anchored = |number: i64| {
            let anchor = Anchor { number, at_us: 5, seq: 7, mac: [3; 32] };
            let mac = anchor.mac.to_vec();
            AnchorRow { number, at_us: 5, seq: 7, entry_mac: Some(mac.clone()), mac, tag: key().anchor(&anchor).into() }
        };
        let cases: [(Tamper<AnchorRow>, Option<Finding>); 7] = [
            (|_| {}, None),
            (|it| it.at_us += 1, Some(Finding::AnchorChanged { number: 1 })),
            (|it| it.seq += 1, Some(Finding::AnchorChanged { number: 1 })),
            (|it| it.mac[0] ^= 1, Some(Finding::AnchorChanged { number: 1 })),
            (|it| it.tag[31] ^= 1, Some(Finding::AnchorChanged { number: 1 })),
            (|it| it.entry_mac = None, Some(Finding::AnchorDiffers { number: 1, seq: 7 })),
            (|it| it.entry_mac.as_mut().unwrap()[0] ^= 1, Some(Finding::AnchorDiffers { number: 1, seq: 7 })),
        ];
        for (tamper, expected) in cases {
            let mut row = anchored(1);
            tamper(&mut row);
            let mut findings = Findings::default();
            anchor(&key(), 1, &row, &mut findings);
            assert_eq!(findings.first, expected.into_iter().collect::<Vec<_>>());
        }
        let mut findings = Findings::default();
        anchor(&key(), 2, &anchored(4), &mut findings);
        assert_eq!(findings.first, [Finding::AnchorsMissing { from: 2, to: 3 }]);
    }
}
