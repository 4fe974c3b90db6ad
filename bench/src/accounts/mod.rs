//! What accounts cost: log-ins and refreshes a second, and how long `/healthz` takes with and without a flood of log-ins.
//!
//! Everyone asks in a closed loop over a connection of their own. Each person logs in to their own account and brings the
//! device token of the log-in before, as a program does that logs in often.

mod caller;

use crate::{
    gateway::{Program, edge},
    load::quantile,
};
use anyhow::ensure;
use caller::{Caller, Kind};
use futures_util::future::join_all;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};
use tokio::time::{Instant, sleep};

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nest: PathBuf,
    pub database_url: String,
    /// How many do the same at once.
    pub people: usize,
    /// How long each measurement lasts.
    pub window: Duration,
}

/// What a run has found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub people: usize,
    pub healthz_idle: Figures,
    pub log_ins: Figures,
    pub healthz_in_the_flood: Figures,
    pub refreshes: Figures,
}

/// Answers within a window, and how long they took.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Told to come back later: 503 with `Retry-After`.
    pub busy: u64,
}

/// Between two looks at `/healthz`, so that looking is no load.
const LOOK_EACH: Duration = Duration::from_millis(5);

/// Starts the edge and measures, one thing after another.
pub async fn measure(plan: &Plan) -> anyhow::Result<Report> {
    let bench = edge::Edge { nest: &plan.nest, database_url: &plan.database_url, model: "none" };
    let emails = bench.people(plan.people).await?;
    let program = bench.start_alone().await?;
    let mut people: Vec<Caller> = emails.iter().map(|email| Caller::new(program.address, email)).collect();
    // The first log-ins make devices known and connections warm, a few at a time.
    for some in people.chunks_mut(8) {
        for answered in join_all(some.iter_mut().map(|it| it.ask(Kind::LogIn))).await {
            ensure!(!answered?, "the first log-in found no room");
        }
    }
    let healthz_idle = loop_for(plan, &program, &mut [], Kind::LogIn).await?.1;
    let (log_ins, healthz_in_the_flood) = loop_for(plan, &program, &mut people, Kind::LogIn).await?;
    let (refreshes, _) = loop_for(plan, &program, &mut people, Kind::Refresh).await?;
    Ok(Report { people: plan.people, healthz_idle, log_ins, healthz_in_the_flood, refreshes })
}

/// Everyone asks for as long as the window is open, while somebody looks at `/healthz`.
async fn loop_for(
    plan: &Plan,
    program: &Program,
    people: &mut [Caller],
    kind: Kind,
) -> anyhow::Result<(Figures, Figures)> {
    let until = Instant::now() + plan.window;
    let mut looker = Caller::new(program.address, "");
    let asking = join_all(people.iter_mut().map(|it| ask_until(it, kind, until, Duration::ZERO)));
    let (asked, looked) = tokio::join!(asking, ask_until(&mut looker, Kind::Healthz, until, LOOK_EACH));
    let asked = asked.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok((Figures::of(asked, plan.window), Figures::of(vec![looked?], plan.window)))
}

#[derive(Default)]
struct Samples {
    times_ms: Vec<f64>,
    busy: u64,
}

async fn ask_until(caller: &mut Caller, kind: Kind, until: Instant, pause: Duration) -> anyhow::Result<Samples> {
    let mut samples = Samples::default();
    while Instant::now() < until {
        let began = Instant::now();
        if caller.ask(kind).await? {
            samples.busy += 1;
            // As `Retry-After` asks, but for its length.
            sleep(Duration::from_millis(50)).await;
        } else {
            samples.times_ms.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
        sleep(pause).await;
    }
    Ok(samples)
}

impl Figures {
    fn of(all: Vec<Samples>, window: Duration) -> Self {
        let busy = all.iter().map(|it| it.busy).sum();
        let mut times_ms: Vec<f64> = all.into_iter().flat_map(|it| it.times_ms).collect();
        times_ms.sort_by(f64::total_cmp);
        let at = |q| (quantile(&times_ms, q).unwrap_or(0.0) * 100.0).round() / 100.0;
        let per_second = (times_ms.len() as f64 / window.as_secs_f64() * 10.0).round() / 10.0;
        Self { per_second, p50_ms: at(0.5), p99_ms: at(0.99), busy }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_sum_over_everyone() {
        let one = Samples { times_ms: vec![1.0, 3.0], busy: 1 };
        let other = Samples { times_ms: vec![2.0, 4.0], busy: 2 };
        let figures = Figures::of(vec![one, other], Duration::from_secs(2));
        assert_eq!((figures.per_second, figures.p50_ms, figures.p99_ms, figures.busy), (2.0, 3.0, 4.0, 3));
        let none = Figures::of(Vec::new(), Duration::from_secs(2));
        assert_eq!((none.per_second, none.busy), (0.0, 0));
    }
}
