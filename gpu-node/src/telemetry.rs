//! What the node counts, in Prometheus' text format at `/metrics`.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder, core::Collector,
};

/// All metrics of a node. Cloning is cheap, and the clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Answered calls by route and status.
    pub requests: IntCounterVec,
    /// Tokens by model and kind (`prompt`, `completion`).
    pub tokens: IntCounterVec,
    /// Sequences and embedding calls that wait.
    pub queued: IntGauge,
    /// Sequences and embedding calls that are computed.
    pub running: IntGauge,
    /// Sequences whose caller left before the end.
    pub cancelled: IntCounter,
    /// Calls refused because the queue was full.
    pub overloaded: IntCounter,
    /// From submission to the first token, in seconds.
    pub first_token: Histogram,
    /// From one token to the next, in seconds.
    pub next_token: Histogram,
    /// From submission to the end of the answer, in seconds, by model.
    pub duration: HistogramVec,
}

impl Metrics {
    /// Metrics at zero.
    pub fn new() -> Self {
        let registry = Registry::new();
        let buckets = |first: f64, count: usize| {
            prometheus::exponential_buckets(first, 2.0, count).expect("positive start, factor above one, some buckets")
        };
        let counter = |name: &str, help: &str| IntCounter::new(name, help).expect(NAMES);
        let gauge = |name: &str, help: &str| IntGauge::new(name, help).expect(NAMES);
        let counters =
            |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels).expect(NAMES);
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| HistogramOpts::new(name, help).buckets(buckets);
        Self {
            requests: registered(
                &registry,
                counters("nest_node_requests_total", "Answered calls.", &["route", "status"]),
            ),
            tokens: registered(
                &registry,
                counters("nest_node_tokens_total", "Tokens read and written.", &["model", "kind"]),
            ),
            queued: registered(&registry, gauge("nest_node_queued", "Sequences that wait.")),
            running: registered(&registry, gauge("nest_node_running", "Sequences that are computed.")),
            cancelled: registered(&registry, counter("nest_node_cancelled_total", "Sequences whose caller left.")),
            overloaded: registered(
                &registry,
                counter("nest_node_overloaded_total", "Calls refused: the queue was full."),
            ),
            first_token: registered(
                &registry,
                Histogram::with_opts(histogram(
                    "nest_node_first_token_seconds",
                    "Submission to first token.",
                    buckets(0.01, 14),
                ))
                .expect(NAMES),
            ),
            next_token: registered(
                &registry,
                Histogram::with_opts(histogram(
                    "nest_node_next_token_seconds",
                    "One token to the next.",
                    buckets(0.001, 12),
                ))
                .expect(NAMES),
            ),
            duration: registered(
                &registry,
                HistogramVec::new(
                    histogram("nest_node_duration_seconds", "Submission to the end of the answer.", buckets(0.02, 14)),
                    &["model"],
                )
                .expect(NAMES),
            ),
            registry,
        }
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("writing to memory succeeds");
        String::from_utf8(text).expect("the format is UTF-8")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

const NAMES: &str = "metric names are literals of the right form";

fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("every name is registered once");
    collector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_show_in_the_text() {
        let metrics = Metrics::new();
        metrics.clone().tokens.with_label_values(&["m", "prompt"]).inc_by(3);
        metrics.first_token.observe(0.5);
        let text = metrics.text();
        assert!(text.contains("nest_node_tokens_total{kind=\"prompt\",model=\"m\"} 3"), "{text}");
        assert!(text.contains("nest_node_first_token_seconds_count 1"), "{text}");
    }
}
