//! What a run found, as one line of JSON.

use std::time::Duration;

use serde::Serialize;

use super::Plan;
use super::call::{Sample, Shape};
use crate::processes;

/// Processor time of the named processes and of the generator itself.
pub(super) struct Cost {
    named: Option<Duration>,
    own: Option<Duration>,
}

impl Cost {
    pub(super) fn now(pids: &[u32]) -> Self {
        Self { named: processes::cpu(pids), own: processes::own_cpu() }
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let minus = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self { named: minus(self.named, before.named), own: minus(self.own, before.own) }
    }
}

/// What was seen while the window was open.
pub(super) struct Window {
    pub(super) samples: Vec<Sample>,
    pub(super) length: Duration,
    pub(super) cost: Cost,
    pub(super) resident_bytes: Option<u64>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

/// The figures of one run. Absent figures are null: nothing was measured, or it could not be.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub name: String,
    pub stream: bool,
    pub connections: usize,
    /// Asked for, per second; null in a closed loop.
    pub rate: Option<f64>,
    pub requests: usize,
    pub errors: u64,
    pub first_error: Option<String>,
    pub window_s: f64,
    /// Requests per second.
    pub rps: f64,
    pub latency: Quantiles,
    /// Until the first byte of the body.
    pub first_byte: Quantiles,
    /// Processor time per request of the named processes and their descendants.
    pub cpu_us: Option<f64>,
    /// The same of the generator itself.
    pub own_cpu_us: Option<f64>,
    pub resident_mib: Option<f64>,
}

impl Report {
    pub(super) fn new(plan: &Plan, window: Window) -> Self {
        let requests = window.samples.len();
        let seconds = window.length.as_secs_f64();
        let per_request = |cost: Option<Duration>| {
            cost.filter(|_| requests > 0).map(|cost| round(cost.as_secs_f64() * 1e6 / requests as f64, 1))
        };
        Self {
            name: plan.name.clone(),
            stream: plan.call.shape != Shape::Plain,
            connections: plan.connections,
            rate: plan.rate,
            requests,
            errors: window.errors,
            first_error: window.first_error,
            window_s: round(seconds, 2),
            rps: round(requests as f64 / seconds, 1),
            latency: Quantiles::of(window.samples.iter().map(|sample| sample.total)),
            first_byte: Quantiles::of(window.samples.iter().map(|sample| sample.first_byte)),
            cpu_us: per_request(window.cost.named),
            own_cpu_us: per_request(window.cost.own),
            resident_mib: window.resident_bytes.map(|bytes| round(bytes as f64 / f64::from(1 << 20), 1)),
        }
    }
}

/// A distribution in a few numbers; all null when nothing was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quantiles {
    pub min_ms: Option<f64>,
    pub p10_ms: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub max_ms: Option<f64>,
}

impl Quantiles {
    fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = durations.map(|duration| duration.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |q| quantile(&sorted, q).map(|ms| round(ms, 3));
        Self { min_ms: at(0.0), p10_ms: at(0.1), p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1.0) }
    }
}

/// The value below which a share of `q`, 0 to 1, of `sorted` lies. It is always one of the values, never between two.
pub(crate) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let index = (sorted.len() as f64 * q) as usize;
    sorted.get(index.min(last)).copied()
}

fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (sorted, q, value) in [
            (&hundred[..], 0.0, Some(1.0)),
            (&hundred[..], 0.1, Some(11.0)),
            (&hundred[..], 0.5, Some(51.0)),
            (&hundred[..], 0.99, Some(100.0)),
            (&hundred[..], 1.0, Some(100.0)),
            (&[3.0], 0.0, Some(3.0)),
            (&[3.0], 1.0, Some(3.0)),
            (&[1.0, 2.0, 9.0], 0.5, Some(2.0)),
            (&[], 0.5, None),
        ] {
            assert_eq!(quantile(sorted, q), value, "{q} of {} values", sorted.len());
        }
    }

    #[test]
    fn quantiles_do_not_depend_on_order() {
        let quantiles = Quantiles::of([3, 1, 2].into_iter().map(Duration::from_millis));
        assert_eq!((quantiles.min_ms, quantiles.p50_ms, quantiles.max_ms), (Some(1.0), Some(2.0), Some(3.0)));
    }

    #[test]
    fn figures_are_rounded_to_what_they_can_bear() {
        assert_eq!(round(1.23456, 3), 1.235);
        assert_eq!(round(12_345.67, 1), 12_345.7);
    }
}
