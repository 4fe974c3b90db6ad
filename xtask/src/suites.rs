//! What each command runs, step by step.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::cargo::{Project, check, output, run};
use crate::counts::Counts;
use crate::foreign::Foreign;
use crate::hosts::{Host, Table};
use crate::report::{Outcome, Report};
use crate::{deny, dist, tidy, wasm};

/// The checks that run no program of ours. All of them run, so that one reading shows every problem.
pub(crate) fn lint(project: &Project, report: &mut Report) {
    report.run("lock file", || check(&mut project.cargo(&["fetch", "--locked"])));
    report.run("fmt", || check(&mut project.cargo(&["fmt", "--all", "--check"])));
    report.run("clippy", || {
        check(&mut project.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
    });
    report.run("clippy, wasm", || {
        for (package, target) in
            [("edge-core", wasm::WORKERS), ("edge-cloudflare", wasm::WORKERS), ("edge-spin", wasm::SPIN)]
        {
            let mut clippy = wasm::cargo(project, "clippy", package, target)?;
            run(clippy.args(["--locked", "--", "-D", "warnings"]))?;
        }
        Ok(Outcome::Passed(Counts::default()))
    });
    deny(project, report);
    tidy(project, report);
}

pub(crate) fn test(project: &Project, report: &mut Report) {
    let mut foreign = None;
    report.run("foreign programs", || {
        foreign = Some(Foreign::ready(project)?);
        Ok(Outcome::Passed(Counts::default()))
    });
    // Programs first: the tests start some that belong to other packages.
    report.run("build", || {
        run(&mut project.cargo(&["build", "--workspace"]))?;
        check(&mut project.cargo(&["test", "--workspace", "--no-run"]))
    });
    // Two programs that both ask to be the default make a bare `cargo run` refuse to choose.
    report.run("cargo run", || {
        let version = output(&mut project.cargo(&["run", "--quiet", "--", "--version"]))?;
        if !version.starts_with("nest ") {
            bail!("a bare `cargo run` runs something else than nest: {version}");
        }
        Ok(Outcome::Passed(Counts::default()))
    });
    report.run("JavaScript", || {
        check(project.command(&installed(foreign.as_ref())?.node).args(["--test", "tests/workers/relay.test.mjs"]))
    });
    let mut contract = None;
    report.run("build, wasm", || {
        contract = Some(dist::contract(project)?);
        Ok(Outcome::Passed(Counts::default()))
    });
    let mut table = Table::default();
    report.run("tests", || table.native(project, installed(foreign.as_ref())?, contract.as_ref()));
    for (name, host) in [("tests, Workers", Host::Cloudflare), ("tests, Spin", Host::Spin)] {
        report.run(name, || match &contract {
            Some(contract) => table.on(project, host, installed(foreign.as_ref())?, contract),
            None => bail!("what it runs could not be built"),
        });
    }
    report.note(table.text());
}

fn installed(foreign: Option<&Foreign>) -> Result<&Foreign> {
    foreign.context("the foreign programs could not be installed")
}

pub(crate) fn tidy(project: &Project, report: &mut Report) {
    report.run("tidy", || {
        let problems = tidy::check(&project.root)?;
        for problem in &problems {
            println!("{problem}");
        }
        if !problems.is_empty() {
            bail!("{} problems", problems.len());
        }
        Ok(Outcome::Passed(Counts::default()))
    });
}

pub(crate) fn wasm(project: &Project, report: &mut Report) {
    for (name, target) in [("wasm, Workers", wasm::WORKERS), ("wasm, Spin", wasm::SPIN)] {
        report.run(name, || check(&mut wasm::cargo(project, "build", "edge-core", target)?));
    }
}

/// Builds the edge for `hosts` as it is deployed.
pub(crate) fn dist(project: &Project, hosts: &[dist::Host], report: &mut Report) {
    for host in hosts {
        report.run(host.step(), || dist::build(project, *host));
    }
}

/// Whether Cloudflare's own tool takes what was built.
pub(crate) fn wrangler(project: &Project, report: &mut Report) {
    report.run("wrangler", || dist::dry_run(project));
}

/// Writes what `nest openapi` prints to where every host serves it.
pub(crate) fn openapi(project: &Project, report: &mut Report) {
    report.run("openapi", || {
        let document = output(&mut project.cargo(&["run", "--quiet", "--", "openapi"]))?;
        fs::write(project.root.join("edge/public/openapi.json"), document + "\n")?;
        Ok(Outcome::Passed(Counts::default()))
    });
}

pub(crate) fn deny(project: &Project, report: &mut Report) {
    report.run("deny", || deny::check(project));
    report.run("advisories", || deny::advisories(project));
}
