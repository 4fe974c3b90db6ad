//! The project's own commands: `cargo xtask test`, `ci`, `tidy`, `wasm`, `dist`, `dev`, `deny`, and others.

mod cargo;
mod counts;
mod deny;
mod dev;
mod dist;
mod edge_tools;
mod foreign;
mod hosts;
mod npm;
mod report;
mod suites;
mod tidy;
mod tools;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use cargo::Project;
use report::Report;

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Command {
    /// Install what the tests need, then run every suite; the last line counts them.
    Test,
    /// Everything that a change must pass: fmt, clippy, deny, tidy, then `test`.
    Ci,
    /// Check by text search what the compiler cannot: the rules of docs/architecture.md and of the style guide.
    Tidy,
    /// Build the edge's core for Workers and Spin, installing the targets if need be.
    Wasm,
    /// Build the edge as it is deployed, for one host or for both, and weigh it.
    Dist { host: Option<dist::Host> },
    /// Install what builds and runs the edge for Workers, and print its Node, with which tests/workers/run.mjs is run.
    Node,
    /// Install the foreign programs that the tests run, and print where they are: `eval "$(cargo xtask foreign)"`.
    Foreign,
    /// Run the edge on another host beside a running `nest dev`: same Postgres, same GPU node, same upstream.
    Dev(dev::Args),
    /// Write edge/public/openapi.json anew, from the route table.
    Openapi,
    /// Check the licences and sources of every dependency, and known vulnerabilities where the network allows.
    Deny,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let project = Project { root: root(), incremental: !matches!(command, Command::Ci) };
    let mut report = Report::default();
    match command {
        Command::Test => suites::test(&project, &mut report),
        Command::Ci => {
            suites::lint(&project, &mut report);
            suites::test(&project, &mut report);
            suites::dist(&project, &dist::Host::ALL, &mut report);
            suites::wrangler(&project, &mut report);
        }
        Command::Tidy => suites::tidy(&project, &mut report),
        Command::Wasm => suites::wasm(&project, &mut report),
        Command::Dist { host } => {
            let hosts = host.map_or(dist::Host::ALL.to_vec(), |host| vec![host]);
            suites::dist(&project, &hosts, &mut report);
        }
        Command::Node => {
            return print(edge_tools::EdgeTools::ready(&project).map(|it| it.node().display().to_string()));
        }
        Command::Foreign => return print(foreign::Foreign::ready(&project).map(|it| it.shell())),
        Command::Dev(args) => return dev::run(&project, &args),
        Command::Openapi => suites::openapi(&project, &mut report),
        Command::Deny => suites::deny(&project, &mut report),
    }
    report.print()
}

/// Prints a command's one answer, or why there is none.
fn print(answer: anyhow::Result<String>) -> ExitCode {
    match answer {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let manifest = manifest.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}
