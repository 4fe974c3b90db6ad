//! Prometheus metrics of this process: how many requests, with which status, how fast the head of the answer came.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use prometheus::{
    Encoder as _, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Upper bounds in seconds: from a refusal without I/O to a long first token.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// The collectors. Labels take few values: no keys, no models, no paths that a client made up.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    head_seconds: HistogramVec,
    in_flight: IntGauge,
    clock_ahead_seconds: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new("nest_edge_requests_total", "Requests that were answered, by route and status."),
                &["route", "status"],
            )?,
            head_seconds: HistogramVec::new(
                HistogramOpts::new("nest_edge_head_seconds", "Seconds from a request to the head of its answer.")
                    .buckets(BUCKETS.to_vec()),
                &["route"],
            )?,
            in_flight: IntGauge::new("nest_edge_requests_in_flight", "Requests without a head of their answer yet.")?,
            clock_ahead_seconds: Gauge::new(
                "nest_edge_clock_ahead_seconds",
                "Seconds that this machine's clock is ahead of the database's; alert above 5 and below -5.",
            )?,
        };
        metrics.registry.register(Box::new(metrics.requests.clone()))?;
        metrics.registry.register(Box::new(metrics.head_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.in_flight.clone()))?;
        metrics.registry.register(Box::new(metrics.clock_ahead_seconds.clone()))?;
        Ok(metrics)
    }

    /// Starts the clock of a request.
    pub(crate) fn begin(self: &Arc<Self>, path: &str) -> Timer {
        self.in_flight.inc();
        Timer { metrics: self.clone(), route: route(path), started: Instant::now() }
    }

    /// The text that Prometheus scrapes; the clock's part is what the edge has found at its last tick.
    pub(crate) fn render(&self, clock_ahead_ms: Option<i64>) -> Response {
        // Clocks that were not compared differ by an unknown amount.
        let ahead_s = clock_ahead_ms.map_or(f64::NAN, |it| Duration::from_millis(it.unsigned_abs()).as_secs_f64());
        self.clock_ahead_seconds.set(if clock_ahead_ms < Some(0) { -ahead_s } else { ahead_s });
        let (encoder, mut text) = (TextEncoder::new(), Vec::new());
        let encoded = encoder.encode(&self.registry.gather(), &mut text);
        let mut response = Response::new(Body::from(text));
        if let Err(error) = encoded {
            tracing::error!(%error, "metrics cannot be encoded");
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let content_type = HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// Counts its request when it is answered; one whose client left before is in flight no more, and counts nowhere.
pub(crate) struct Timer {
    metrics: Arc<Metrics>,
    route: &'static str,
    started: Instant,
}

impl Timer {
    pub(crate) fn answered(self, status: StatusCode) {
        self.metrics.head_seconds.with_label_values(&[self.route]).observe(self.started.elapsed().as_secs_f64());
        self.metrics.requests.with_label_values(&[self.route, status.as_str()]).inc();
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// One of a few names for what a path belongs to.
fn route(path: &str) -> &'static str {
    match path {
        "/v1/chat/completions" => "chat_completions",
        "/v1/completions" => "completions",
        "/v1/embeddings" => "embeddings",
        "/v1/endpoints/health" | "/healthz" | "/readyz" => "health",
        _ if path.starts_with("/v1/models") => "models",
        _ if path.starts_with("/api/") => "api",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    /// Checklist 24.
    #[tokio::test]
    async fn a_clock_that_differs_shows() {
        let metrics = Metrics::new().unwrap();
        for (ahead_ms, line) in [
            (None, "nest_edge_clock_ahead_seconds NaN"),
            (Some(300_000), "nest_edge_clock_ahead_seconds 300"),
            (Some(-300_500), "nest_edge_clock_ahead_seconds -300.5"),
        ] {
            let body = metrics.render(ahead_ms).into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(text.lines().any(|it| it == line), "{line} in {text}");
        }
    }
}
