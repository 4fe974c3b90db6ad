//! What was run, how it went and how long it took; the table and the line at the end.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::counts::Counts;

/// How a step went.
#[derive(Debug)]
pub(crate) enum Outcome {
    Passed(Counts),
    Failed {
        counts: Counts,
        why: String,
    },
    /// Not checked, for a reason outside this project; not a failure.
    NotRun(String),
}

#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: String,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

impl Report {
    /// Runs one step; a failure is noted, and the next step runs all the same.
    pub(crate) fn run(&mut self, name: &'static str, step: impl FnOnce() -> anyhow::Result<Outcome>) {
        println!("\n── {name}");
        let start = Instant::now();
        let outcome =
            step().unwrap_or_else(|error| Outcome::Failed { counts: Counts::default(), why: format!("{error:#}") });
        if let Outcome::Failed { why, .. } | Outcome::NotRun(why) = &outcome {
            println!("{name}: {why}");
        }
        self.rows.push(Row { name, outcome, took: start.elapsed() });
    }

    /// Shows `text` before the table of steps.
    pub(crate) fn note(&mut self, text: String) {
        self.notes = text;
    }

    /// Prints the table, and last the line that counts the tests.
    pub(crate) fn print(&self) -> ExitCode {
        print!("\n{}", self.text());
        if self.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn failed(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.outcome, Outcome::Failed { .. }))
    }

    fn text(&self) -> String {
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or_default();
        let mut text = self.notes.clone();
        if !text.is_empty() {
            text.push('\n');
        }
        for Row { name, outcome, took } in &self.rows {
            let result = match outcome {
                Outcome::Passed(Counts { passed: 0, .. }) => "ok".to_owned(),
                Outcome::Passed(Counts { passed, .. }) => format!("ok, {passed} passed"),
                Outcome::Failed { why, .. } => format!("FAILED: {}", first_line(why)),
                Outcome::NotRun(why) => format!("not run: {}", first_line(why)),
            };
            writeln!(text, "{name:width$}  {:>7.1} s  {result}", took.as_secs_f64()).expect("a string takes all");
        }
        let counts: Counts = self.rows.iter().map(|row| row.outcome.counts()).sum();
        if counts != Counts::default() {
            writeln!(text, "\n{} passed, {} failed", counts.passed, counts.failed).expect("a string takes all");
        }
        text
    }
}

impl Outcome {
    /// A failed step in which no test failed, such as a build, counts as one failure: no red run says "0 failed".
    fn counts(&self) -> Counts {
        match self {
            Self::Passed(counts) => *counts,
            Self::Failed { counts, .. } => Counts { failed: counts.failed.max(1), ..*counts },
            Self::NotRun(_) => Counts::default(),
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<(&'static str, Outcome)>) -> Report {
        let rows = outcomes.into_iter().map(|(name, outcome)| Row { name, outcome, took: Duration::from_millis(1200) });
        Report { rows: rows.collect(), notes: String::new() }
    }

    #[test]
    fn the_last_line_sums_the_tests() {
        let counts = Counts { passed: 12, failed: 0, ignored: 0 };
        let report = report(vec![
            ("fmt", Outcome::Passed(Counts::default())),
            ("tests", Outcome::Passed(counts)),
            ("doc tests", Outcome::Passed(counts)),
            ("advisories", Outcome::NotRun("no network".into())),
        ]);
        let text = report.text();
        assert!(text.contains("fmt             1.2 s  ok\n"), "{text}");
        assert!(text.contains("advisories      1.2 s  not run: no network\n"), "{text}");
        assert!(text.ends_with("\n24 passed, 0 failed\n"), "{text}");
        assert!(!report.failed());
    }

    #[test]
    fn a_failed_build_is_never_zero_failures() {
        let broken = Outcome::Failed { counts: Counts::default(), why: "does not build\nmore".into() };
        let report = report(vec![("build", broken)]);
        assert!(report.failed());
        assert!(report.text().contains("FAILED: does not build\n"));
        assert!(report.text().ends_with("\n0 passed, 1 failed\n"));
    }
}
