//! Programs at a pinned version, installed once for all checkouts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::cargo::{Project, cache_dir, run};

/// The program `name` at `version`; `install` makes it in a fresh folder unless it is there.
///
/// It is moved into its place last, so that an interrupted install leaves nothing that looks whole.
pub(crate) fn pinned(name: &str, version: &str, install: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let tools = cache_dir()?.join("tools");
    let tool = tools.join(format!("{name}-{version}"));
    if works(&tool, version) {
        return Ok(tool);
    }
    fs::create_dir_all(&tools)?;
    let fresh = tools.join(format!("fresh-{}", std::process::id()));
    let moved = install(&fresh).and_then(|program| Ok(fs::rename(program, &tool)?));
    let _ = fs::remove_dir_all(&fresh);
    moved?;
    if !works(&tool, version) {
        bail!("{} does not run", tool.display());
    }
    Ok(tool)
}

/// Whether the program runs, and is of that version.
pub(crate) fn works(tool: &Path, version: &str) -> bool {
    let output = Command::new(tool).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version))
}

/// Compiles the program `name` of `package` into `dir`.
pub(crate) fn compiled(project: &Project, package: &str, name: &str, version: &str, dir: &Path) -> Result<PathBuf> {
    println!("compiling {package} {version}, once");
    let mut install = project.cargo(&["install", "--quiet", "--locked", "--root"]);
    // A tool that runs for seconds is not worth minutes of optimising.
    for (setting, value) in [("OPT_LEVEL", "1"), ("LTO", "off"), ("CODEGEN_UNITS", "16"), ("DEBUG", "false")] {
        install.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run(install.arg(dir).args(["--bin", name]).arg(format!("{package}@={version}")))?;
    Ok(dir.join("bin").join(name))
}
