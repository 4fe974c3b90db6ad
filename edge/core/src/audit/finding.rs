//! What a verification finds.

use serde::Serialize;
use shared::time::Timestamp;
use std::fmt;

/// Something that an honest log has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// The entry's MAC does not fit what it says: it was edited, or put in the place of another one.
    Edited { id: i64, seq: i64 },
    /// The entry belongs at another place.
    Moved { id: i64, seq: i64, belongs_at: i64 },
    /// Entries within the chain are gone. What follows them cannot be checked against them.
    Missing { from: i64, to: i64 },
    /// Entries at the chain's end are gone.
    Truncated { from: i64, to: i64 },
    /// The entry has a place that the chain has not.
    Beyond { id: i64, seq: i64 },
    /// The entry waits for its place longer than any edge takes: none does what is due by the clock, or somebody added
    /// the entry with an old time, or took its place away.
    Waiting { id: i64, at: Timestamp },
    /// There is a log, and no head.
    HeadMissing,
    /// The head is not what an edge left.
    HeadChanged,
    /// The chain ends with another MAC than the head names.
    EndDiffers { seq: i64 },
    /// The chain's key does not open: it was changed, or `ENCRYPTION_KEYS` lacks the key that wraps it.
    KeyLost { problem: String },
    /// The anchor is not what an edge left.
    AnchorChanged { number: i64 },
    /// Anchors are gone.
    AnchorsMissing { from: i64, to: i64 },
    /// The anchor has a number that was never given.
    AnchorBeyond { number: i64 },
    /// The entry that the anchor names is gone or another one.
    AnchorDiffers { number: i64, seq: i64 },
    /// The entry that an anchor kept elsewhere names is gone.
    ElsewhereMissing { seq: i64 },
    /// The entry that an anchor kept elsewhere names is another one now.
    ElsewhereDiffers { seq: i64 },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { id, seq } => write!(f, "entry {seq} (row {id}) was edited or replaced"),
            Self::Moved { id, seq, belongs_at } => write!(f, "entry {seq} (row {id}) belongs at {belongs_at}"),
            Self::Missing { from, to } => write!(f, "entries {from} to {to} are gone"),
            Self::Truncated { from, to } => write!(f, "entries {from} to {to}, the last ones, are gone"),
            Self::Beyond { id, seq } => write!(f, "row {id} has place {seq}, which the chain has not"),
            Self::Waiting { id, at } => {
                write!(f, "row {id}, of {} ms, is still not chained: no edge ticks, or it was inserted", at.0)
            }
            Self::HeadMissing => write!(f, "the chain's head is gone"),
            Self::HeadChanged => write!(f, "the chain's head was changed"),
            Self::EndDiffers { seq } => write!(f, "the chain's last entry, {seq}, is not the one that its head names"),
            Self::KeyLost { problem } => write!(f, "the chain's key does not open: {problem}"),
            Self::AnchorChanged { number } => write!(f, "anchor {number} was changed"),
            Self::AnchorsMissing { from, to } => write!(f, "anchors {from} to {to} are gone"),
            Self::AnchorBeyond { number } => write!(f, "anchor {number} was inserted"),
            Self::AnchorDiffers { number, seq } => write!(f, "anchor {number} names another entry {seq} than there is"),
            Self::ElsewhereMissing { seq } => write!(f, "entry {seq} is gone, which an anchor kept elsewhere names"),
            Self::ElsewhereDiffers { seq } => {
                write!(f, "entry {seq} is another one than an anchor kept elsewhere names")
            }
        }
    }
}

/// The first of what was found, and how much more there is: a log that is all wrong must not fill the memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub first: Vec<Finding>,
    pub more: u64,
}

impl Findings {
    const MOST: usize = 1_000;

    pub fn push(&mut self, finding: Finding) {
        if self.first.len() < Self::MOST {
            self.first.push(finding);
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }
}
