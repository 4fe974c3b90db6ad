//! `bench-load`: asks for completions, checks every answer, and prints one line of JSON.

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clap::builder::RangedU64ValueParser;
use hyper::header::{HeaderName, HeaderValue};
use nest_bench::load::{self, Call, Plan, Shape, Target};

/// Measures an OpenAI-compatible server on loopback that has bench-mock behind it, or is it.
///
/// Exits with 1 when any answer was wrong.
#[derive(Parser)]
#[command(name = "bench-load")]
struct Args {
    /// The chat completions endpoint, such as http://127.0.0.1:9100/v1/chat/completions.
    #[arg(long)]
    url: Target,
    #[arg(short, long, default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    connections: usize,
    /// How long to measure.
    #[arg(short, long, default_value = "10", value_parser = seconds, value_name = "SECONDS")]
    duration: Duration,
    /// Load before anything counts.
    #[arg(short, long, default_value = "2", value_parser = seconds, value_name = "SECONDS")]
    warm: Duration,
    /// Stop after about this many measured requests.
    #[arg(long)]
    max: Option<u64>,
    /// Requests per second on a fixed schedule, instead of as fast as answers come.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Ask for streams.
    #[arg(long)]
    stream: bool,
    /// Ask for usage at the end of each stream.
    #[arg(long, requires = "stream")]
    include_usage: bool,
    /// Processes whose processor time and memory to report, with their descendants.
    #[arg(long, value_delimiter = ',')]
    pids: Vec<u32>,
    /// Sent with each request, such as 'authorization: Bearer sk-test-1'.
    #[arg(short = 'H', long = "header", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    #[arg(long, default_value = "gpt-4o-mini")]
    model: String,
    /// Stands in the report.
    #[arg(long, default_value = "load")]
    name: String,
}

impl Args {
    fn plan(self) -> Plan {
        let shape = if self.stream { Shape::Stream { include_usage: self.include_usage } } else { Shape::Plain };
        Plan {
            name: self.name,
            call: Call::new(self.url, shape, &self.model, self.headers),
            connections: self.connections,
            rate: self.rate,
            warm: self.warm,
            window: self.duration,
            requests_max: self.max,
            pids: self.pids,
        }
    }
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}

fn rate(text: &str) -> anyhow::Result<f64> {
    let rate: f64 = text.parse()?;
    anyhow::ensure!(rate.is_finite() && rate > 0.0, "a rate is above zero");
    Ok(rate)
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("a header is 'name: value'")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let report = load::run(Args::parse().plan()).await;
    println!("{}", serde_json::to_string(&report)?);
    anyhow::ensure!(report.errors == 0, "{} wrong answers", report.errors);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "--url=http://127.0.0.1:9100/v1/chat/completions";

    #[test]
    fn arguments_are_checked_before_any_load() {
        for (arguments, good) in [
            (&[URL][..], true),
            (&[URL, "-c", "8", "-d", "0.5", "-w", "0", "--rate", "100", "--pids", "1,2"], true),
            (&[URL, "--stream", "--include-usage"], true),
            (&[URL, "-H", "authorization: Bearer sk-test-1", "-H", "x-a: b"], true),
            (&[], false),
            (&["--url=http://example.com/"], false),
            (&[URL, "-c", "0"], false),
            (&[URL, "-d=-1"], false),
            (&[URL, "-d", "soon"], false),
            (&[URL, "--rate", "0"], false),
            (&[URL, "--include-usage"], false),
            (&[URL, "-H", "no colon"], false),
            (&[URL, "--pids", "one"], false),
        ] {
            let parsed = Args::try_parse_from([&["bench-load"], arguments].concat());
            assert_eq!(parsed.is_ok(), good, "{arguments:?}");
        }
    }

    #[test]
    fn a_header_may_hold_colons() {
        let (name, value) = header("x-url: http://a:1").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("x-url", "http://a:1"));
    }
}
