//! The end-to-end tests on each host, and the table that says which suite passed where.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{Project, output, test_lines};
use crate::counts::Counts;
use crate::dist::Contract;
use crate::foreign::Foreign;
use crate::report::Outcome;

/// Who can serve the edge under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Host {
    Native,
    Cloudflare,
    Spin,
}

const EVERYWHERE: &[Host] = &[Host::Native, Host::Cloudflare, Host::Spin];
/// What the suite is about outlives a request, which Spin does not promise.
const WITH_MEMORY: &[Host] = &[Host::Native, Host::Cloudflare];
/// What the suite is about is no edge, or the native one by its nature.
const NATIVE: &[Host] = &[Host::Native];

/// The files of `tests/it`, and where each runs.
const SUITES: &[(&str, &[Host])] = &[
    ("host", EVERYWHERE),
    ("crates", EVERYWHERE),
    ("chat", EVERYWHERE),
    ("embeddings", EVERYWHERE),
    ("oidc", EVERYWHERE),
    ("openai_python", EVERYWHERE),
    ("openapi", EVERYWHERE),
    ("errors", EVERYWHERE),
    ("keys", EVERYWHERE),
    ("limits", EVERYWHERE),
    ("nodes", EVERYWHERE),
    ("gpu_node", EVERYWHERE),
    ("upstream", EVERYWHERE),
    ("hostile_upstream", EVERYWHERE),
    ("usage", EVERYWHERE),
    ("settlement", EVERYWHERE),
    ("audit", EVERYWHERE),
    ("mail", EVERYWHERE),
    ("sessions", EVERYWHERE),
    ("orgs", EVERYWHERE),
    ("permissions", EVERYWHERE),
    ("payments", EVERYWHERE),
    ("accounts", EVERYWHERE),
    ("logins", EVERYWHERE),
    ("login_flood", NATIVE),
    ("mfa", EVERYWHERE),
    ("passkeys", EVERYWHERE),
    ("step_up", EVERYWHERE),
    ("tokens", EVERYWHERE),
    ("oauth", EVERYWHERE),
    ("admin", EVERYWHERE),
    ("memory", WITH_MEMORY),
    ("hot_path", WITH_MEMORY),
    ("audit_chain", NATIVE),
    ("encryption", NATIVE),
    ("admin_cli", NATIVE),
    ("cli", NATIVE),
    ("keys_cli", NATIVE),
    ("clock", NATIVE),
    ("config", NATIVE),
    // The client of the store and the counters of a process, without an edge; through edges they are `limits`.
    ("counters", NATIVE),
    ("crash", NATIVE),
    ("dev", NATIVE),
    ("journal", NATIVE),
    // The stand-in for Stripe, without an edge.
    ("fake_stripe", NATIVE),
    ("stripe_cli", NATIVE),
    ("leases", NATIVE),
    // Kills processes, stops databases, and moves the clock under calls that run.
    ("money", NATIVE),
    ("foreign", NATIVE),
    ("schema", NATIVE),
    ("smtp", NATIVE),
    ("sql", NATIVE),
];

/// How many tests of each suite passed and failed on each host.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(&'static str, Host), Counts>);

impl Table {
    /// Runs every test of the workspace natively.
    pub(crate) fn native(&mut self, project: &Project, foreign: &Foreign, built: Option<&Contract>) -> Result<Outcome> {
        let known = output(&mut project.cargo(&["test", "--quiet", "--workspace", "--test", "it", "--", "--list"]))?;
        let known: Vec<&str> = known.lines().filter_map(|line| line.strip_suffix(": test")).collect();
        every_suite_is_placed(&known)?;
        let mut command = project.cargo(&["test", "--workspace", "--no-fail-fast"]);
        command.envs(foreign.env());
        // Else the tests of the component's host build it themselves.
        command.envs(built.map(|it| ("NEST_TEST_SPIN_COMPONENT", &it.component)));
        self.run(&mut command, Host::Native, |name| known.contains(&name))
    }

    /// Runs the suites that `host` takes part in.
    pub(crate) fn on(&mut self, project: &Project, host: Host, foreign: &Foreign, built: &Contract) -> Result<Outcome> {
        let mut command = project.cargo(&["test", "--workspace", "--no-fail-fast", "--test", "it", "--"]);
        command.args(SUITES.iter().filter(|(_, hosts)| hosts.contains(&host)).map(|(suite, _)| format!("{suite}::")));
        command.env("NEST_TEST_HOST", host.name()).envs(foreign.env());
        command.env("NEST_TEST_WORKERS", &built.worker).env("NEST_TEST_SPIN_COMPONENT", &built.component);
        self.run(&mut command, host, |_| true)
    }

    fn run(&mut self, command: &mut Command, host: Host, ours: impl Fn(&str) -> bool) -> Result<Outcome> {
        test_lines(command, |line| {
            if let Some((suite, passed)) = verdict(line, &ours) {
                let counts = self.0.entry((suite, host)).or_default();
                *(if passed { &mut counts.passed } else { &mut counts.failed }) += 1;
            }
        })
    }

    /// The table in text; empty when nothing ran.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if self.0.is_empty() {
            return text;
        }
        writeln!(text, "{:<18}{:>12}{:>12}{:>12}", "suite", "native", "cloudflare", "spin")
            .expect("a string takes all");
        for (suite, hosts) in SUITES {
            let cell = |host| match self.0.get(&(*suite, host)) {
                _ if !hosts.contains(&host) => "–".to_owned(),
                Some(Counts { passed, failed: 0, .. }) => passed.to_string(),
                Some(Counts { passed, failed, .. }) => format!("{passed}, {failed} FAILED"),
                None => "not run".to_owned(),
            };
            let [native, cloudflare, spin] = [Host::Native, Host::Cloudflare, Host::Spin].map(cell);
            writeln!(text, "{suite:<18}{native:>12}{cloudflare:>12}{spin:>12}").expect("a string takes all");
        }
        text
    }
}

impl Host {
    /// As the tests' switch spells it.
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Cloudflare => "cloudflare",
            Self::Spin => "spin",
        }
    }
}

/// The suite of a finished test of ours, and whether it passed, from a line such as `test keys::a_fact ... ok`.
fn verdict(line: &str, ours: impl Fn(&str) -> bool) -> Option<(&'static str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    if !ours(name) {
        return None;
    }
    let (suite, _) =
        SUITES.iter().find(|(suite, _)| name.strip_prefix(suite).is_some_and(|it| it.starts_with("::")))?;
    match result {
        "ok" => Some((suite, true)),
        "FAILED" => Some((suite, false)),
        _ => None,
    }
}

/// A file that stands in no row would silently run natively alone.
fn every_suite_is_placed(tests: &[&str]) -> Result<()> {
    let suite = |test: &&str| test.split_once("::").map_or("", |(suite, _)| suite).to_owned();
    for suite in tests.iter().map(suite) {
        if !SUITES.iter().any(|(name, _)| *name == suite) {
            bail!("xtask/src/hosts.rs does not say on which hosts the tests of `{suite}` run");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_for_its_suite() {
        for (line, expected) in [
            ("test keys::a_fact ... ok", Some(("keys", true))),
            ("test upstream::a_fact ... FAILED", Some(("upstream", false))),
            ("test hostile_upstream::a_fact ... ok", Some(("hostile_upstream", true))),
            ("test unknown::a_fact ... ok", None),
            ("test keys::a_fact ... ignored", None),
            ("test result: ok. 1 passed", None),
        ] {
            assert_eq!(verdict(line, |_| true), expected, "{line}");
        }
        assert_eq!(verdict("test keys::rules::tests::a_fact ... ok", |name| !name.contains("rules")), None);
    }

    #[test]
    fn the_table_tells_apart_what_does_not_run_and_what_did_not() {
        let mut table = Table::default();
        table.0.insert(("memory", Host::Native), Counts { passed: 3, failed: 1, ignored: 0 });
        let text = table.text();
        let row = text.lines().find(|line| line.starts_with("memory")).unwrap();
        assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["memory", "3,", "1", "FAILED", "not", "run", "–"]);
    }

    #[test]
    fn a_new_suite_must_be_placed() {
        assert!(every_suite_is_placed(&["keys::a_fact"]).is_ok());
        assert!(every_suite_is_placed(&["surprise::a_fact"]).is_err());
    }
}
