//! The edge's own component and manifest, as tests want them.

use anyhow::Context as _;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The `spin.toml` of this workspace.
pub fn edge_manifest() -> PathBuf {
    root().join("spin.toml")
}

/// The component that `NEST_TEST_SPIN_COMPONENT` names; without it, the one that cargo builds now.
///
/// Blocks for as long as that takes: minutes where nothing is built yet.
pub fn edge_component() -> anyhow::Result<PathBuf> {
    static COMPONENT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let component = COMPONENT.get_or_init(|| match env::var_os("NEST_TEST_SPIN_COMPONENT") {
        Some(path) => Ok(path.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    component.clone().map_err(anyhow::Error::msg)
}

/// Builds the component as the manifest does. Where it lies is cargo's to say, since a target folder can be set in many
/// ways.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--target", "wasm32-wasip2", "--profile", "spin", "--package", "edge-spin"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    anyhow::ensure!(output.status.success(), "the component does not build");
    let messages = output.stdout.split(|byte| *byte == b'\n').filter(|it| !it.is_empty());
    let messages = messages.filter_map(|it| serde_json::from_slice::<serde_json::Value>(it).ok());
    let mut files = messages.filter(|it| it["target"]["name"] == "edge_spin").filter_map(|it| {
        let files = it["filenames"].as_array()?;
        files.iter().filter_map(|it| it.as_str()).find(|it| it.ends_with(".wasm")).map(PathBuf::from)
    });
    files.next().context("cargo names no component")
}

fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies in the workspace's `tests`")
}
