//! Random takes, beside a model of them that is written apart: a list of what was counted when, and plain sums.

use super::{MINUTE_MS, Place, START_MS, counter};
use edge_core::limits::counters::{Counter, Decision, Grant, Kind, Settlement, Standing};
use std::collections::HashMap;

const STEPS: usize = 800;

/// Everything that was ever counted, and nothing that is derived from it.
#[derive(Default)]
struct Model {
    counted: HashMap<(String, i64), i64>,
    /// The latest window in which each counter was written.
    reached: HashMap<String, i64>,
    held: Vec<Claim>,
}

struct Claim {
    key: String,
    holder: String,
    count: i64,
    until: i64,
}

impl Model {
    fn window(&self, counter: &Counter, span: i64, now: i64) -> i64 {
        now.div_euclid(span).max(self.reached.get(&counter.key).copied().unwrap_or(i64::MIN))
    }

    fn counted(&self, counter: &Counter, window: i64) -> i64 {
        self.counted.get(&(counter.key.clone(), window)).copied().unwrap_or(0)
    }

    fn count(&mut self, counter: &Counter, window: i64, now_window: i64, delta: i64) {
        let sum = self.counted.entry((counter.key.clone(), window)).or_default();
        *sum = (*sum + delta).max(0);
        self.reached.insert(counter.key.clone(), now_window);
    }

    /// What the limit has left, how much of it the caller may have, and until when.
    fn left(&self, counter: &Counter, now: i64) -> (i64, i64, i64) {
        let limit = counter.limit as i64;
        match &counter.kind {
            Kind::Slots { holder, ttl_ms } => {
                let live = self.held.iter().filter(|it| it.key == counter.key && it.until > now);
                let (own, others): (Vec<&Claim>, Vec<&Claim>) = live.partition(|it| it.holder == *holder);
                let [own, others] = [own, others].map(|it| it.iter().map(|it| it.count).sum::<i64>());
                ((limit - others - own).max(0), (limit - others).max(own), *ttl_ms)
            }
            Kind::Fixed { window_ms } => {
                let window = self.window(counter, *window_ms, now);
                let left = (limit - self.counted(counter, window)).max(0);
                (left, left, (window + 1) * window_ms - now)
            }
            Kind::Sliding { window_ms } => {
                let window = self.window(counter, *window_ms, now);
                let into = (now - window * window_ms).max(0);
                // Rounded up by hand: as many units as are needed to cover the part.
                let covered = self.counted(counter, window - 1) * (window_ms - into);
                let part = covered / window_ms + i64::from(covered % window_ms != 0);
                let left = (limit - self.counted(counter, window) - part).max(0);
                (left, left, (window + 1) * window_ms - now)
            }
        }
    }

    /// The first millisecond at which there is enough, by looking.
    fn retry(&self, counter: &Counter, now: i64) -> i64 {
        if let Kind::Slots { holder, .. } = &counter.kind {
            let others = self.held.iter().filter(|it| it.key == counter.key && it.until > now && it.holder != *holder);
            return others.map(|it| it.until - now).min().unwrap_or(1_000).min(1_000);
        }
        let (mut short, mut enough) = (0, 100 * MINUTE_MS);
        while enough - short > 1 {
            let middle = short + (enough - short) / 2;
            if self.left(counter, now + middle).1 >= counter.cost as i64 { enough = middle } else { short = middle }
        }
        enough
    }

    fn take(&mut self, counters: &[Counter], now: i64) -> Decision {
        for counter in counters {
            let (Kind::Sliding { window_ms } | Kind::Fixed { window_ms }) = counter.kind else { continue };
            let Some(Settlement { window, delta }) = counter.settle else { continue };
            let present = self.window(counter, window_ms, now);
            let counts_still =
                window == present || (window == present - 1 && matches!(counter.kind, Kind::Sliding { .. }));
            if counts_still {
                self.count(counter, window, present, delta);
            }
        }
        let mut refusal: Option<(usize, i64)> = None;
        for (at, counter) in counters.iter().enumerate() {
            if self.left(counter, now).1 < counter.cost as i64 {
                let retry = self.retry(counter, now);
                if refusal.is_none_or(|(_, longest)| retry > longest) {
                    refusal = Some((at, retry));
                }
            }
        }
        if let Some((at, retry_ms)) = refusal {
            let standing = |counter: &Counter| {
                let (remaining, _, reset_ms) = self.left(counter, now);
                Standing { remaining: remaining as u64, reset_ms }
            };
            return Decision::Refused { at, retry_ms, standings: counters.iter().map(standing).collect() };
        }
        Decision::Granted(counters.iter().map(|counter| self.grant(counter, now)).collect())
    }

    fn grant(&mut self, counter: &Counter, now: i64) -> Grant {
        let (_, available, _) = self.left(counter, now);
        let granted = (available / 8).max(counter.cost as i64).min(counter.want as i64);
        let mut window = 0;
        match &counter.kind {
            Kind::Sliding { window_ms } | Kind::Fixed { window_ms } => {
                window = self.window(counter, *window_ms, now);
                if granted > 0 {
                    self.count(counter, window, window, granted);
                }
            }
            Kind::Slots { holder, ttl_ms } => {
                self.held.retain(|it| it.key != counter.key || (it.until > now && it.holder != *holder));
                let (key, holder) = (counter.key.clone(), holder.clone());
                self.held.push(Claim { key, holder, count: granted, until: now + ttl_ms });
                self.held.retain(|it| it.count > 0);
            }
        }
        let (remaining, _, reset_ms) = self.left(counter, now);
        let standing = Standing { remaining: remaining as u64, reset_ms };
        Grant { granted: granted as u64, window, standing }
    }
}

/// Numbers that look random, and are the same each time: xorshift64*, by Vigna.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: i64) -> i64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as i64 % sides
    }
}

/// A take of one to three of five counters.
fn any_take(dice: &mut Dice, windows: &HashMap<String, i64>) -> Vec<Counter> {
    let holder = |dice: &mut Dice| format!("edge-{}", dice.below(4));
    let mut all = vec![
        counter("requests_per_minute", Kind::Sliding { window_ms: MINUTE_MS }, 60),
        counter("tokens_per_minute", Kind::Sliding { window_ms: 10_000 }, 997),
        counter("requests_per_day", Kind::Fixed { window_ms: 5 * MINUTE_MS }, 200),
        counter("concurrent", Kind::Slots { holder: holder(dice), ttl_ms: 7_000 }, 12),
        counter("more", Kind::Slots { holder: holder(dice), ttl_ms: 90_000 }, 30),
    ];
    while all.len() > 3 || (all.len() > 1 && dice.below(3) == 0) {
        all.remove(dice.below(all.len() as i64) as usize);
    }
    for counter in &mut all {
        let most = counter.limit as i64 / 3;
        counter.cost = dice.below(most) as u64;
        counter.want = counter.cost + dice.below(most) as u64;
        if let Some(window) = windows.get(&counter.key).filter(|_| dice.below(3) == 0) {
            counter.settle = Some(Settlement { window: window - dice.below(3), delta: dice.below(most) - most / 2 });
        }
    }
    all
}

/// Mostly forwards, over the ends of windows now and then, and sometimes back.
fn any_step(dice: &mut Dice) -> i64 {
    match dice.below(20) {
        0 => -dice.below(90_000),
        1 => dice.below(3 * MINUTE_MS),
        2..8 => 0,
        _ => dice.below(4_000),
    }
}

/// Checklist 61 and 63.
#[tokio::test]
async fn eight_hundred_random_takes_are_decided_as_the_model_says() {
    for seed in [4_711, 0x5eed, 99] {
        for place in Place::both().await {
            let (client, mut model, mut dice) = (place.client(), Model::default(), Dice(seed));
            let (mut now, mut windows) = (START_MS, HashMap::new());
            let (mut granted, mut refused) = (0, 0);
            for step in 0..STEPS {
                now += any_step(&mut dice);
                let counters = any_take(&mut dice, &windows);
                let expected = model.take(&counters, now);
                let decision = client.take_at(&counters, now).await;
                assert_eq!(decision, expected, "{}, seed {seed}, step {step} at {now}: {counters:#?}", place.name);
                match &decision {
                    Decision::Granted(grants) => {
                        granted += 1;
                        let named = counters.iter().zip(grants).map(|(counter, it)| (counter.key.clone(), it.window));
                        windows.extend(named);
                    }
                    Decision::Refused { .. } => refused += 1,
                }
            }
            assert!(granted > 200 && refused > 100, "{granted} granted, {refused} refused: too few to tell");
        }
    }
}
