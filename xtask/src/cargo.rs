//! Running programs with their output shown.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::counts::Counts;
use crate::report::Outcome;

/// The workspace, and how to build it.
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// A clean machine gains nothing from incremental compilation, and it doubles what is written.
    pub(crate) incremental: bool,
}

impl Project {
    /// This toolchain's cargo.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(args);
        command
    }

    /// Any program, in the workspace's folder.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        if !self.incremental {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    }
}

/// Runs to the end with the output shown; errs with the command when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// As [`run`], for a step that counts no tests.
pub(crate) fn check(command: &mut Command) -> Result<Outcome> {
    run(command).map(|()| Outcome::Passed(Counts::default()))
}

/// As [`run`], with the tests counted as they finish, and each line shown to `see`.
pub(crate) fn test_lines(command: &mut Command, mut see: impl FnMut(&str)) -> Result<Outcome> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let mut counts = Counts::default();
    for line in BufReader::new(child.stdout.take().context("standard output is piped")?).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        see(&line);
        counts = counts + Counts::from_line(&line).unwrap_or_default();
    }
    let status = child.wait()?;
    Ok(match status.success() {
        true if counts.ignored == 0 => Outcome::Passed(counts),
        true => Outcome::Failed { counts, why: format!("{} tests were skipped, and none may be", counts.ignored) },
        false => Outcome::Failed { counts, why: format!("{} failed ({status})", shown(command)) },
    })
}

/// What the command prints; its messages are shown.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        bail!("{} failed ({})", shown(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A folder for what is built or fetched once for all checkouts.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = xdg.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("nest"))
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = [program].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
