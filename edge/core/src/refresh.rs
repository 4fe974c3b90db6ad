//! The right to read something anew behind a request.

use shared::time::Timestamp;

/// Longer than any read takes; then whoever held the right is gone. (On Workers a context that goes away drops nothing.)
const TURN_MS: i64 = 15_000;

/// Held by one request at a time, until it gives the right back or its time is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refresh {
    until: Option<Timestamp>,
}

impl Refresh {
    /// Whether the caller is the one to refresh.
    pub(crate) fn claim(&mut self, now: Timestamp) -> bool {
        let free = self.until.is_none_or(|until| until <= now);
        if free {
            self.until = Some(now.plus_ms(TURN_MS));
        }
        free
    }

    /// Lets the next caller refresh.
    pub(crate) fn release(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refreshes_until_it_has_or_is_gone() {
        let mut refresh = Refresh::default();
        assert!(refresh.claim(Timestamp(0)));
        assert!(!refresh.claim(Timestamp(TURN_MS - 1)));
        assert!(refresh.claim(Timestamp(TURN_MS)), "the first is gone");
        refresh.release();
        assert!(refresh.claim(Timestamp(TURN_MS)));
    }
}
