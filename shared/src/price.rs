//! What a call costs: exact, in whole numbers, rounded up once.

use crate::{money::Nanos, usage::Usage};
use serde::{Deserialize, Serialize};

/// Tokens, of which a price is the price.
const MILLION: u128 = 1_000_000;
/// Milliseconds of a minute.
const MINUTE_MS: u128 = 60_000;

/// What a model's calls cost. Amounts are dollars in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// For a million tokens of prompts.
    pub input: Nanos,
    /// For a million tokens of prompts that came from a cache; without it they cost as others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<Nanos>,
    /// For a million tokens of answers.
    pub output: Nanos,
    /// For a million tokens of answers that were spent on reasoning; without it they cost as others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Nanos>,
    /// For each request.
    #[serde(default)]
    pub request: Nanos,
    /// For a minute of sound.
    #[serde(default)]
    pub audio_minute: Nanos,
}

impl Price {
    /// Whether calls cost nothing, whatever they use.
    pub fn is_free(&self) -> bool {
        let Self { input, cached_input, output, reasoning, request, audio_minute } = *self;
        [input, output, request, audio_minute].iter().chain(&cached_input).chain(&reasoning).all(|it| it.0 == 0)
    }

    /// The price of which no call that uses no more than so many tokens costs more, whatever kinds they are of.
    #[must_use]
    pub fn dearest(&self) -> Self {
        let input = self.input.max(self.cached_input.unwrap_or_default());
        let output = self.output.max(self.reasoning.unwrap_or_default());
        Self { input, output, cached_input: None, reasoning: None, ..*self }
    }
}

/// What `usage` and `audio_ms` of sound cost under `price`, rounded up to the next billionth of a dollar; none when that
/// is more than can be told, or a price is less than nothing.
///
/// Cached tokens are a part of the prompt's, reasoning tokens one of the answer's: each is at most its whole.
pub fn cost(price: &Price, usage: &Usage, audio_ms: u64) -> Option<Nanos> {
    let cached = usage.cached_tokens().min(usage.prompt_tokens);
    let reasoning = usage.reasoning_tokens().min(usage.completion_tokens);
    let tokens = [
        (usage.prompt_tokens - cached, price.input),
        (cached, price.cached_input.unwrap_or(price.input)),
        (usage.completion_tokens - reasoning, price.output),
        (reasoning, price.reasoning.unwrap_or(price.output)),
    ];
    // All of it in the smallest parts that occur: the millionth of the 60,000th of a billionth. What does not fit is far
    // beyond what can be told.
    let mut parts = times(price.request, MILLION * MINUTE_MS)?;
    for (count, price) in tokens {
        parts = parts.checked_add(times(price, u128::from(count))?.checked_mul(MINUTE_MS)?)?;
    }
    parts = parts.checked_add(times(price.audio_minute, u128::from(audio_ms))?.checked_mul(MILLION)?)?;
    i64::try_from(parts.div_ceil(MILLION * MINUTE_MS)).ok().map(Nanos)
}

fn times(price: Nanos, count: u128) -> Option<u128> {
    u128::try_from(price.0).ok()?.checked_mul(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{CompletionDetails, PromptDetails};
    use num_bigint::BigUint;
    use proptest::{prelude::*, test_runner::TestRunner};

    fn usage(prompt: u64, cached: u64, completion: u64, reasoning: u64) -> Usage {
        Usage {
            prompt_tokens_details: Some(PromptDetails { cached_tokens: cached }),
            completion_tokens_details: Some(CompletionDetails { reasoning_tokens: reasoning }),
            ..Usage::new(prompt, completion)
        }
    }

    fn dollars(text: &str) -> Nanos {
        text.parse().unwrap()
    }

    #[test]
    fn a_call_costs_its_parts_and_the_sum_is_rounded_up_once() {
        let plain = Price { input: dollars("0.05"), output: dollars("0.08"), ..Price::default() };
        let all = Price {
            cached_input: Some(dollars("0.025")),
            reasoning: Some(dollars("0.1")),
            request: Nanos(7),
            audio_minute: dollars("0.006"),
            ..plain
        };
        let tiny = Price { input: Nanos(1), output: Nanos(1), ..Price::default() };
        for (name, price, usage, audio_ms, nanos) in [
            ("nothing", plain, usage(0, 0, 0, 0), 0, 0),
            ("ten tokens, half a millionth of a dollar", plain, usage(10, 0, 0, 0), 0, 500),
            ("both ways", plain, usage(100, 0, 50, 0), 0, 9_000),
            ("cached and reasoning as their wholes", plain, usage(100, 90, 50, 40), 0, 9_000),
            ("cached and reasoning at their own prices", all, usage(100, 90, 50, 40), 0, 500 + 2_250 + 800 + 4_000 + 7),
            ("more cached than there are", all, usage(10, 99, 5, 99), 0, 250 + 500 + 7),
            ("a request alone", all, usage(0, 0, 0, 0), 0, 7),
            ("a second of sound", all, usage(0, 0, 0, 0), 1_000, 100_007),
            ("one part of a million", tiny, usage(1, 0, 0, 0), 0, 1),
            ("two parts are rounded together", tiny, usage(1, 0, 1, 0), 0, 1),
            ("a million and one parts", tiny, usage(1_000_000, 0, 1, 0), 0, 2),
        ] {
            assert_eq!(cost(&price, &usage, audio_ms), Some(Nanos(nanos)), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_no_cost() {
        let most = Price { input: Nanos(i64::MAX), output: Nanos(i64::MAX), ..Price::default() };
        assert_eq!(cost(&most, &usage(1_000_000, 0, 0, 0), 0), Some(Nanos(i64::MAX)));
        assert_eq!(cost(&most, &usage(1_000_000, 0, 1, 0), 0), None);
        assert_eq!(cost(&most, &usage(u64::MAX, 0, u64::MAX, 0), u64::MAX), None);
        assert_eq!(cost(&Price { input: Nanos(-1), ..Price::default() }, &usage(1, 0, 0, 0), 0), None);
    }

    #[test]
    fn a_price_is_free_when_all_of_it_is_nothing() {
        assert!(Price { cached_input: Some(Nanos(0)), ..Price::default() }.is_free());
        for price in [
            Price { input: Nanos(1), ..Price::default() },
            Price { cached_input: Some(Nanos(1)), ..Price::default() },
            Price { reasoning: Some(Nanos(1)), ..Price::default() },
            Price { request: Nanos(1), ..Price::default() },
            Price { audio_minute: Nanos(1), ..Price::default() },
        ] {
            assert!(!price.is_free(), "{price:?}");
        }
    }

    /// The same, as anyone would write it who need not care for the size of numbers.
    fn model(price: &Price, usage: &Usage, audio_ms: u64) -> BigUint {
        let big = |nanos: Nanos| BigUint::from(nanos.0.unsigned_abs());
        let cached = usage.cached_tokens().min(usage.prompt_tokens);
        let reasoning = usage.reasoning_tokens().min(usage.completion_tokens);
        let tokens = big(price.input) * (usage.prompt_tokens - cached)
            + big(price.cached_input.unwrap_or(price.input)) * cached
            + big(price.output) * (usage.completion_tokens - reasoning)
            + big(price.reasoning.unwrap_or(price.output)) * reasoning;
        let whole = BigUint::from(60_000_000_000_u64);
        let parts =
            tokens * 60_000_u32 + big(price.audio_minute) * audio_ms * 1_000_000_u32 + big(price.request) * &whole;
        (parts + &whole - 1_u32) / whole
    }

    /// Numbers of all sizes, small ones and round ones as often as huge ones.
    fn sizes() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..100, 0_u64..1_000_000_000, (0_u32..64).prop_map(|bit| 1 << bit), any::<u64>()]
    }

    fn nanos() -> impl Strategy<Value = Nanos> {
        sizes().prop_map(|it| Nanos(i64::try_from(it).unwrap_or(i64::MAX)))
    }

    fn calls() -> impl Strategy<Value = (Price, Usage, u64)> {
        let price = (nanos(), prop::option::of(nanos()), nanos(), prop::option::of(nanos()), nanos(), nanos());
        let price = price.prop_map(|(input, cached_input, output, reasoning, request, audio_minute)| Price {
            input,
            cached_input,
            output,
            reasoning,
            request,
            audio_minute,
        });
        let counts = (sizes(), sizes(), sizes(), sizes()).prop_map(|(a, b, c, d)| usage(a, b, c, d));
        (price, counts, sizes())
    }

    /// Checklist 81. `NEST_PRICE_CASES` says how many calls are tried.
    #[test]
    fn a_cost_is_what_arithmetic_without_bounds_makes_of_it() {
        let cases = std::env::var("NEST_PRICE_CASES").map_or(2_000, |it| it.parse().unwrap());
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) });
        let check = |(price, usage, audio_ms): (Price, Usage, u64)| {
            let told = cost(&price, &usage, audio_ms).map(|it| BigUint::from(it.0.unsigned_abs()));
            let expected =
                Some(model(&price, &usage, audio_ms)).filter(|it| *it <= BigUint::from(i64::MAX.unsigned_abs()));
            prop_assert_eq!(told, expected);
            let most = cost(&price.dearest(), &usage, audio_ms);
            prop_assert!(most.is_none() || cost(&price, &usage, audio_ms) <= most);
            Ok(())
        };
        runner.run(&calls(), check).unwrap();
    }
}
