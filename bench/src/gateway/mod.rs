//! Mock, floor and edge side by side, in one run: what does the edge cost above the least that it could?
//!
//! The three are measured in turn, over and over, so that whatever else the machine does falls on all of them;
//! the medians go into a table. How the edge is started is in [`edge`], and nowhere else.

pub mod edge;
mod program;
mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use hyper::header::{AUTHORIZATION, HeaderValue};

pub use program::Program;
pub use table::{Machine, render};

use crate::floor;
use crate::load::{self, Call, Plan, Report, Shape};

const SHAPES: [Shape; 2] = [Shape::Plain, Shape::Stream { include_usage: true }];
const CONNECTIONS: [usize; 2] = [8, 32];

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub repetitions: usize,
    pub warm: Duration,
    pub window: Duration,
}

/// Starts the mock upstream from the programs in `programs`.
pub async fn start_mock(programs: &Path, model: &str) -> anyhow::Result<Program> {
    Program::start("mock", &programs.join("bench-mock"), "any", |command, address| {
        command.arg("--listen").arg(address.to_string()).arg("--model").arg(model);
    })
    .await
}

/// Starts the floor in front of `mock`.
pub async fn start_floor(programs: &Path, mock: &Program) -> anyhow::Result<Program> {
    let upstream = format!("http://{}", mock.address);
    Program::start("floor", &programs.join("bench-floor"), &floor::key(1), |command, address| {
        command.arg("--listen").arg(address.to_string()).arg("--upstream").arg(upstream);
    })
    .await
}

/// Measures every program in every shape; an answer that is not right ends it.
pub async fn measure(programs: &[Program], model: &str, effort: Effort) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for repetition in 1..=effort.repetitions {
        for shape in SHAPES {
            for connections in CONNECTIONS {
                for program in programs {
                    let report = load::run(plan(program, model, shape, connections, effort)?).await;
                    eprintln!("{repetition}/{} {}", effort.repetitions, table::line(&report));
                    let error = report.first_error.as_deref().unwrap_or_default();
                    ensure!(report.errors == 0, "{} gave {} wrong answers: {error}", program.name, report.errors);
                    ensure!(report.requests > 0, "{} answered nothing in time", program.name);
                    reports.push(report);
                }
            }
        }
    }
    Ok(reports)
}

fn plan(program: &Program, model: &str, shape: Shape, connections: usize, effort: Effort) -> anyhow::Result<Plan> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", program.key)).context("a key that is no header")?;
    let target = format!("http://{}/v1/chat/completions", program.address).parse()?;
    Ok(Plan {
        name: program.name.to_owned(),
        call: Call::new(target, shape, model, vec![(AUTHORIZATION, bearer)]),
        connections,
        rate: None,
        warm: effort.warm,
        window: effort.window,
        requests_max: None,
        pids: vec![program.pid()?],
    })
}
