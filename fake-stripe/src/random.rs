//! Ids as Stripe makes them, and chance that a test can repeat.

/// `prefix_` and 24 letters and digits.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}_{}", text(24))
}

/// So many letters and digits.
pub(crate) fn text(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// Chance that is the same in every run: xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Default for Chance {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Chance {
    /// Below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap_or_default() % bound
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn happens(&mut self, percent: u8) -> bool {
        percent > 0 && self.below(100) < usize::from(percent)
    }
}
