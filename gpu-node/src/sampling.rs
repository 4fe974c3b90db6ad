//! From logits to a token: pure, and seeded, so that the same seed gives the same text.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};
use std::collections::BTreeMap;

/// How to choose the next token.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token; above 1 flattens the odds.
    pub temperature: f32,
    /// Choose among the fewest tokens that together have this probability; 1 for all.
    pub top_p: f32,
    /// Choose among this many of the likeliest tokens.
    pub top_k: Option<usize>,
    /// Subtracted from a token's logit for each time it stands in the answer.
    pub frequency_penalty: f32,
    /// Subtracted from a token's logit if it stands in the answer at all.
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    pub bias: BTreeMap<u32, f32>,
    /// Where the dice start.
    pub seed: u64,
}

/// The state of one answer: the dice, and how often each token came.
pub struct Sampler {
    sampling: Sampling,
    // ChaCha is specified, so a seed means the same after an upgrade; `StdRng` promises no such thing.
    dice: ChaCha8Rng,
    counts: BTreeMap<u32, u32>,
}

impl Sampling {
    /// Always the likeliest token.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: None,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            bias: BTreeMap::new(),
            seed: 0,
        }
    }
}

impl Sampler {
    /// A sampler at the start of an answer.
    pub fn new(sampling: Sampling) -> Self {
        let dice = ChaCha8Rng::seed_from_u64(sampling.seed);
        Self { sampling, dice, counts: BTreeMap::new() }
    }

    /// Chooses the token that follows; `logits` has one value for each of the vocabulary and is used as scratch.
    pub fn next(&mut self, logits: &mut [f32]) -> u32 {
        self.adjust(logits);
        let token = if self.sampling.temperature <= 0.0 {
            likeliest(logits)
        } else {
            let candidates = candidates(logits, &self.sampling);
            draw(&candidates, unit(self.dice.next_u64()))
        };
        *self.counts.entry(token).or_default() += 1;
        token
    }

    fn adjust(&self, logits: &mut [f32]) {
        for (token, count) in &self.counts {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit -= *count as f32 * self.sampling.frequency_penalty + self.sampling.presence_penalty;
            }
        }
        for (token, bias) in &self.sampling.bias {
            if let Some(logit) = logits.get_mut(*token as usize) {
                *logit += bias;
            }
        }
    }
}

/// The token of the largest logit; of equals the first, so that it is always the same.
fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().reduce(|best, it| if it.1 > best.1 { it } else { best });
    best.map_or(0, |(token, _)| token as u32)
}

/// The tokens to choose from with their weights (probabilities but for a common factor).
fn candidates(logits: &[f32], sampling: &Sampling) -> Vec<(u32, f32)> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |logit: f32| ((logit - largest) / sampling.temperature).exp();
    let mut tokens: Vec<(u32, f32)> =
        logits.iter().enumerate().map(|(token, logit)| (token as u32, weight(*logit))).collect();
    if let Some(k) = sampling.top_k.filter(|k| *k > 0 && *k < tokens.len()) {
        tokens.select_nth_unstable_by(k - 1, likelier);
        tokens.truncate(k);
    }
    if sampling.top_p < 1.0 {
        keep_nucleus(&mut tokens, sampling.top_p);
    }
    tokens
}

/// Keeps the fewest tokens, the likeliest first, whose share of the weight is at least `top_p`; always one.
fn keep_nucleus(tokens: &mut Vec<(u32, f32)>, top_p: f32) {
    let total: f32 = tokens.iter().map(|it| it.1).sum();
    // Tokens below this weigh less than 1 - top_p all together, so the nucleus lies above it: few are left to sort.
    let floor = total * (1.0 - top_p) / tokens.len() as f32;
    let largest = tokens.iter().map(|it| it.1).fold(0.0, f32::max);
    tokens.retain(|it| it.1 >= floor.min(largest));
    tokens.sort_unstable_by(likelier);
    let mut sum = 0.0;
    let needed = tokens.iter().position(|it| {
        sum += it.1;
        sum >= total * top_p
    });
    tokens.truncate(needed.map_or(tokens.len(), |it| it + 1));
}

fn likelier(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The token in whose share of the weight the point `at` (0 to 1) falls.
fn draw(candidates: &[(u32, f32)], at: f64) -> u32 {
    let total: f64 = candidates.iter().map(|it| f64::from(it.1)).sum();
    let mut left = at * total;
    for (token, weight) in candidates {
        left -= f64::from(*weight);
        if left < 0.0 {
            return *token;
        }
    }
    // Rounding can leave a hair over at the end.
    candidates.iter().rev().find(|it| it.1 > 0.0).map_or(0, |it| it.0)
}

/// A number in 0..1 from 53 random bits, which is all that an f64 holds.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(change: impl FnOnce(&mut Sampling)) -> Sampling {
        let mut sampling = Sampling { temperature: 1.0, ..Sampling::greedy() };
        change(&mut sampling);
        sampling
    }

    fn tokens(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
        let mut tokens: Vec<u32> = candidates(logits, sampling).into_iter().map(|it| it.0).collect();
        tokens.sort_unstable();
        tokens
    }

    #[test]
    fn limits_choose_the_candidates() {
        // Probabilities 0.5, 0.25, 0.125, 0.125.
        let logits = [0.5_f32.ln(), 0.25_f32.ln(), 0.125_f32.ln(), 0.125_f32.ln()];
        for (top_p, top_k, expected) in [
            (1.0, None, vec![0, 1, 2, 3]),
            (0.0, None, vec![0]),
            (0.49, None, vec![0]),
            (0.51, None, vec![0, 1]),
            (0.76, None, vec![0, 1, 2]), // of equals the lower id comes first
            (1.0, Some(1), vec![0]),
            (1.0, Some(3), vec![0, 1, 2]),
            (1.0, Some(9), vec![0, 1, 2, 3]),
            (0.6, Some(2), vec![0]), // top_p counts within top_k: 0.5 of 0.75 is two thirds
        ] {
            let sampling = with(|it| (it.top_p, it.top_k) = (top_p, top_k));
            assert_eq!(tokens(&logits, &sampling), expected, "{top_p} {top_k:?}");
        }
    }

    #[test]
    fn penalties_and_bias_move_the_choice() {
        let logits = [2.0, 1.5, 1.0];
        for (change, expected) in [
            ((0.0, 0.0, None), [0, 0, 0]),
            ((0.6, 0.0, None), [0, 1, 0]), // 2.0, then 1.4 against 1.5, then 1.4 against 0.9
            ((0.0, 0.8, None), [0, 1, 0]), // 2.0, then 1.2 against 1.5, then 1.2 against 0.7
            ((0.0, 0.0, Some((2, 100.0))), [2, 2, 2]),
            ((0.0, 0.0, Some((0, -100.0))), [1, 1, 1]),
        ] {
            let (frequency_penalty, presence_penalty, bias) = change;
            let bias = bias.into_iter().collect();
            let mut sampler =
                Sampler::new(Sampling { frequency_penalty, presence_penalty, bias, ..Sampling::greedy() });
            assert_eq!([(); 3].map(|()| sampler.next(&mut logits.clone())), expected, "{change:?}");
        }
    }

    #[test]
    fn draws_follow_the_odds() {
        let logits = [0.75_f32.ln(), 0.25_f32.ln()];
        let mut sampler = Sampler::new(with(|it| it.seed = 7));
        let ones = (0..4_000).filter(|_| sampler.next(&mut logits.clone()) == 1).count();
        // 1000 expected with a standard deviation of 27; the seed is fixed, so this does not flicker.
        assert!((900..1_100).contains(&ones), "{ones}");
    }

    fn logits() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(-20.0_f32..20.0, 1..200)
    }

    proptest! {
        #[test]
        fn a_seed_gives_one_text(logits in logits(), seed in any::<u64>(), top_p in 0.0_f32..1.0) {
            let text = || {
                let mut sampler = Sampler::new(with(|it| (it.seed, it.top_p) = (seed, top_p)));
                (0..20).map(|_| sampler.next(&mut logits.clone())).collect::<Vec<_>>()
            };
            prop_assert_eq!(text(), text());
        }

        #[test]
        fn the_nucleus_has_the_mass_and_no_token_too_many(logits in logits(), top_p in 0.0_f32..0.999) {
            let all = candidates(&logits, &with(|_| ()));
            let total: f64 = all.iter().map(|it| f64::from(it.1)).sum();
            let kept = candidates(&logits, &with(|it| it.top_p = top_p));
            let mass: f64 = kept.iter().map(|it| f64::from(it.1)).sum();
            // Sums of f32 in another order differ in the last bits.
            prop_assert!(mass >= total * (f64::from(top_p) - 1e-5));
            let smallest = kept.iter().map(|it| f64::from(it.1)).fold(f64::INFINITY, f64::min);
            prop_assert!(kept.len() == 1 || mass - smallest <= total * (f64::from(top_p) + 1e-5));
        }

        #[test]
        fn no_temperature_is_the_likeliest(logits in logits(), seed in any::<u64>()) {
            let token = Sampler::new(Sampling { seed, ..Sampling::greedy() }).next(&mut logits.clone());
            prop_assert!(logits.iter().all(|it| *it <= logits[token as usize]));
        }
    }
}
