//! The chain: what is hashed, byte for byte. docs/audit.md tells the same for whoever checks it with another program.

use super::sql::LogRow;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;

/// An HMAC-SHA-256.
pub(super) type Mac = [u8; 32];

/// What the first entry follows.
pub(super) const START: Mac = [0; 32];

/// The key of every HMAC of the log.
pub(super) struct ChainKey(Zeroizing<Vec<u8>>);

/// The end of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) seq: i64,
    pub(super) mac: Mac,
    /// How many anchors there are.
    pub(super) anchors: i64,
}

/// Where the chain's end was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) number: i64,
    /// Microseconds since the epoch.
    pub(super) at_us: i64,
    pub(super) seq: i64,
    pub(super) mac: Mac,
}

impl ChainKey {
    pub(super) fn new(key: Zeroizing<Vec<u8>>) -> Self {
        Self(key)
    }

    pub(super) fn entry(&self, before: &Mac, seq: i64, row: &LogRow) -> Mac {
        self.begin("nest audit entry v1")
            .bytes(before)
            .int(seq)
            .int(row.id)
            .int(row.at_us)
            .text(Some(&row.actor_kind))
            .text(row.actor_id.as_deref())
            .text(Some(&row.action))
            .text(row.org_id.as_deref())
            .text(row.target.as_deref())
            .text(row.ip.as_deref())
            .text(row.request_id.as_deref())
            .text(Some(&row.detail))
            .end()
    }

    pub(super) fn head(&self, head: &Head) -> Mac {
        self.begin("nest audit head v1").int(head.seq).bytes(&head.mac).int(head.anchors).end()
    }

    pub(super) fn anchor(&self, anchor: &Anchor) -> Mac {
        let Anchor { number, at_us, seq, mac } = anchor;
        self.begin("nest audit anchor v1").int(*number).int(*at_us).int(*seq).bytes(mac).end()
    }

    fn begin(&self, purpose: &str) -> Hashed {
        Hashed(Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")).text(Some(purpose))
    }
}

/// Fields on their way into an HMAC. Each has a fixed length or states its own, so that no two lists of fields are
/// written alike.
struct Hashed(Hmac<Sha256>);

impl Hashed {
    /// 8 bytes, the greatest first.
    fn int(mut self, it: i64) -> Self {
        self.0.update(&it.to_be_bytes());
        self
    }

    /// The length, and the bytes.
    fn bytes(mut self, it: &[u8]) -> Self {
        self.0.update(&(it.len() as u64).to_be_bytes());
        self.0.update(it);
        self
    }

    /// 1 and the text, or 0 for none.
    fn text(mut self, it: Option<&str>) -> Self {
        self.0.update(&[u8::from(it.is_some())]);
        match it {
            Some(it) => self.bytes(it.as_bytes()),
            None => self,
        }
    }

    fn end(self) -> Mac {
        self.0.finalize().into_bytes().into()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::audit) fn key() -> ChainKey {
        ChainKey::new(Zeroizing::new(vec![7; 32]))
    }

    pub(in crate::audit) fn row(id: i64) -> LogRow {
        LogRow {
            id,
            at_us: 1_700_000_000_000_000 + id,
            actor_kind: "user".to_owned(),
            actor_id: Some(format!("user_{id}")),
            action: "auth.login".to_owned(),
            org_id: None,
            target: None,
            ip: Some("::1".to_owned()),
            request_id: None,
            detail: "{}".to_owned(),
            seq: None,
            mac: None,
        }
    }

    /// Checklist 115: no field can be changed, emptied, or have its text moved into another.
    #[test]
    fn every_field_counts_and_none_runs_into_the_next() {
        let changes: [fn(&mut LogRow); 14] = [
            |it| it.id += 1,
            |it| it.at_us += 1,
            |it| it.actor_kind.push('x'),
            |it| it.actor_id = None,
            |it| it.actor_id = Some(String::new()),
            |it| it.action.clear(),
            |it| it.org_id = Some(String::new()),
            |it| it.org_id = Some("0".to_owned()),
            |it| it.target = Some(String::new()),
            |it| it.ip = None,
            |it| it.request_id = it.ip.take(),
            |it| it.target = it.ip.take(),
            |it| it.detail = "{ }".to_owned(),
            |it| it.actor_kind = format!("{}{}", it.actor_kind, it.actor_id.take().unwrap_or_default()),
        ];
        let mut seen =
            vec![key().entry(&START, 1, &row(1)), key().entry(&START, 2, &row(1)), key().entry(&[1; 32], 1, &row(1))];
        for change in changes {
            let mut changed = row(1);
            change(&mut changed);
            seen.push(key().entry(&START, 1, &changed));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }

    #[test]
    fn head_and_anchor_bind_all_that_they_hold() {
        let head = Head { seq: 1, mac: [1; 32], anchors: 2 };
        for other in [Head { seq: 2, ..head }, Head { mac: [2; 32], ..head }, Head { anchors: 1, ..head }] {
            assert_ne!(key().head(&other), key().head(&head));
        }
        let anchor = Anchor { number: 1, at_us: 2, seq: 3, mac: [1; 32] };
        for other in [
            Anchor { number: 2, ..anchor },
            Anchor { at_us: 3, ..anchor },
            Anchor { seq: 4, ..anchor },
            Anchor { mac: [2; 32], ..anchor },
        ] {
            assert_ne!(key().anchor(&other), key().anchor(&anchor));
        }
    }
}
