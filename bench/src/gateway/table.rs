//! The medians of a run, in Markdown.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::thread;

use crate::load::{Report, quantile};

/// Where and when a run took place; without it the figures mean nothing.
#[derive(Clone, Debug)]
pub struct Machine {
    pub date: String,
    pub cores: usize,
    pub cpu: String,
    /// One-minute load average at the start: above the number of cores, others compete.
    pub load: String,
}

impl Machine {
    /// This machine, now; what can't be found out is `unknown`.
    pub fn here() -> Self {
        let unknown = || "unknown".to_owned();
        Self {
            date: date().unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()).unwrap_or_else(unknown),
            load: load_average(&fs::read_to_string("/proc/loadavg").unwrap_or_default()).unwrap_or_else(unknown),
        }
    }
}

fn date() -> Option<String> {
    let output = Command::new("date").args(["-u", "+%F %H:%M UTC"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn load_average(loadavg: &str) -> Option<String> {
    Some(loadavg.split_ascii_whitespace().next()?.to_owned())
}

/// Renders one section: `reports` of one run, the median of each repeated measurement a line.
///
/// The last column is the processor time as a multiple of the floor's in the same row group.
pub fn render(reports: &[Report], machine: &Machine) -> String {
    let Machine { date, cores, cpu, load } = machine;
    let mut text = format!("## {date}\n\n{cores} cores, {cpu}, load {load} at the start.\n\n");
    text.push_str(
        "| request | c | program | CPU µs/request | requests/s | p50 ms | p99 ms | RSS MiB | CPU ÷ floor |\n",
    );
    text.push_str("|---|--:|---|--:|--:|--:|--:|--:|--:|\n");
    for row in rows(reports) {
        let shape = if row.stream { "stream" } else { "plain" };
        let floor = rows(reports).find(|other| other.name == "floor" && other.is_beside(&row));
        let ratio = floor.and_then(|floor| Some(row.median(|r| r.cpu_us)? / floor.median(|r| r.cpu_us)?));
        writeln!(
            text,
            "| {shape} | {} | {} | {} | {} | {} | {} | {} | {} |",
            row.connections,
            row.name,
            cell(row.median(|report| report.cpu_us), 1),
            cell(row.median(|report| Some(report.rps)), 0),
            cell(row.median(|report| report.latency.p50_ms), 2),
            cell(row.median(|report| report.latency.p99_ms), 2),
            cell(row.median(|report| report.resident_mib), 1),
            cell(ratio, 2),
        )
        .expect("a String takes all that is written");
    }
    text
}

/// One report, for the eyes of who waits.
pub(super) fn line(report: &Report) -> String {
    let shape = if report.stream { "stream" } else { "plain" };
    let cpu = cell(report.cpu_us, 1);
    format!("{} {shape} c={}: {} µs, {} requests/s", report.name, report.connections, cpu, report.rps)
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
}

/// The repetitions of one measurement.
struct Row<'a> {
    name: &'a str,
    stream: bool,
    connections: usize,
    reports: Vec<&'a Report>,
}

impl Row<'_> {
    fn is_beside(&self, other: &Row<'_>) -> bool {
        self.stream == other.stream && self.connections == other.connections
    }

    fn median(&self, figure: impl Fn(&Report) -> Option<f64>) -> Option<f64> {
        let mut figures: Vec<f64> = self.reports.iter().filter_map(|report| figure(report)).collect();
        figures.sort_by(f64::total_cmp);
        quantile(&figures, 0.5)
    }
}

/// The measurements in the order in which they were first made.
fn rows(reports: &[Report]) -> impl Iterator<Item = Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for report in reports {
        let Report { name, stream, connections, .. } = report;
        let same = |row: &&mut Row<'_>| row.name == name && row.stream == *stream && row.connections == *connections;
        match rows.iter_mut().find(same) {
            Some(row) => row.reports.push(report),
            None => rows.push(Row { name, stream: *stream, connections: *connections, reports: vec![report] }),
        }
    }
    rows.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Quantiles;

    fn report(name: &str, connections: usize, cpu_us: Option<f64>) -> Report {
        Report {
            name: name.to_owned(),
            stream: false,
            connections,
            rate: None,
            requests: 1,
            errors: 0,
            first_error: None,
            window_s: 1.0,
            rps: 1_000.4,
            latency: Quantiles::default(),
            first_byte: Quantiles::default(),
            cpu_us,
            own_cpu_us: None,
            resident_mib: Some(4.0),
        }
    }

    #[test]
    fn a_row_shows_the_median_and_its_share_of_the_floor() {
        let reports = [
            report("floor", 8, Some(10.0)),
            report("edge", 8, Some(90.0)),
            report("floor", 8, Some(30.0)),
            report("edge", 8, Some(25.0)),
            report("floor", 8, Some(20.0)),
            report("edge", 8, Some(30.0)),
            report("floor", 32, Some(1.0)),
            report("mock", 32, None),
        ];
        let machine = Machine { date: "today".to_owned(), cores: 2, cpu: "a CPU".to_owned(), load: "0.10".to_owned() };
        let text = render(&reports, &machine);
        let rows: Vec<&str> = text.lines().skip(6).collect();
        assert_eq!(
            rows,
            [
                "| plain | 8 | floor | 20.0 | 1000 | – | – | 4.0 | 1.00 |",
                "| plain | 8 | edge | 30.0 | 1000 | – | – | 4.0 | 1.50 |",
                "| plain | 32 | floor | 1.0 | 1000 | – | – | 4.0 | 1.00 |",
                "| plain | 32 | mock | – | 1000 | – | – | 4.0 | – |",
            ]
        );
        assert!(text.starts_with("## today\n\n2 cores, a CPU, load 0.10 at the start.\n"));
    }

    #[test]
    fn the_machine_is_described_by_its_own_files() {
        assert_eq!(cpu_model("processor : 0\nmodel name\t: Some CPU @ 2 GHz\n").as_deref(), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_model(""), None);
        assert_eq!(load_average("0.52 0.40 0.30 1/100 42\n").as_deref(), Some("0.52"));
    }
}
