//! The edge as it is deployed: built small, weighed, and refused when it has grown too heavy.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::cargo::{Project, run};
use crate::counts::Counts;
use crate::edge_tools::EdgeTools;
use crate::report::Outcome;
use crate::wasm;

/// A host that runs WebAssembly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Host {
    Cloudflare,
    Spin,
}

impl Host {
    pub(crate) const ALL: [Self; 2] = [Self::Cloudflare, Self::Spin];

    /// The step's name in the report.
    pub(crate) fn step(self) -> &'static str {
        match self {
            Self::Cloudflare => "dist, Workers",
            Self::Spin => "dist, Spin",
        }
    }
}

/// What the WASM hosts run in tests.
pub(crate) struct Contract {
    /// The folder of the Worker.
    pub(crate) worker: PathBuf,
    pub(crate) component: PathBuf,
}

/// Most bytes that go over the wire, compressed as the platforms count them.
const WORKER_BYTES: usize = 1_650_000;
const COMPONENT_BYTES: usize = 1_650_000;

/// Set for programs that would build again what was built a moment ago.
const BUILT: &str = "NEST_DIST_BUILT";

pub(crate) fn build(project: &Project, host: Host) -> Result<Outcome> {
    match host {
        _ if std::env::var_os(BUILT).is_some() => Ok(Outcome::Passed(Counts::default())),
        Host::Cloudflare => worker(project),
        Host::Spin => component(project),
    }
}

/// Where the built Worker lies, and `main` of wrangler.toml points.
pub(crate) fn worker_dir(project: &Project) -> PathBuf {
    project.root.join("edge/cloudflare/build")
}

/// What wrangler makes of the configuration, for each environment, without sending it anywhere.
pub(crate) fn dry_run(project: &Project) -> Result<Outcome> {
    let tools = EdgeTools::ready(project)?;
    for environment in ["", "staging", "production"] {
        let out = project.root.join("target/wrangler").join(environment);
        let args = ["deploy", "--dry-run", "--env", environment, "--outdir", &out.display().to_string()];
        run(tools.wrangler(project, &args)?.env(BUILT, "1"))?;
    }
    Ok(Outcome::Passed(Counts::default()))
}

fn worker(project: &Project) -> Result<Outcome> {
    build_worker(project, "build", &[])?;
    let dir = worker_dir(project);
    strip_names(project, &dir.join("index_bg.wasm"))?;
    weigh(&[dir.join("index_bg.wasm"), dir.join("index.js")], WORKER_BYTES)
}

fn component(project: &Project) -> Result<Outcome> {
    weigh(&[component_file(project)?], COMPONENT_BYTES)
}

/// Builds the Spin component, and says where it lies.
pub(crate) fn component_file(project: &Project) -> Result<PathBuf> {
    build_component(project, &[])
}

/// Builds both with the routes of the contract, for tests and not for deployment.
pub(crate) fn contract(project: &Project) -> Result<Contract> {
    const FEATURES: [&str; 2] = ["--features", "contract"];
    // A folder below `target`, which worker-build wants to know from its crate's.
    build_worker(project, "../../target/wasm/contract/worker", &FEATURES)?;
    let built = build_component(project, &FEATURES)?;
    let component = project.root.join("target/wasm/contract/edge_spin.wasm");
    fs::copy(&built, &component).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(Contract { worker: project.root.join("target/wasm/contract/worker"), component })
}

fn build_worker(project: &Project, out: &str, features: &[&str]) -> Result<()> {
    let tools = EdgeTools::ready(project)?;
    let toolchain = wasm::toolchain(project, wasm::WORKERS)?;
    let mut build = tools.worker_build(project, &["--profile", "edge", "--out-dir", out, ".", "--locked"])?;
    // The target folder is the one of the other builds for WASM: what two compilers make does not mix.
    build.env("CARGO_TARGET_DIR", project.root.join("target/wasm")).env("RUSTUP_TOOLCHAIN", toolchain);
    run(build.args(features))
}

/// Takes out the functions' names, a ninth of the Worker, which worker-build keeps: a panic says its file and line itself. The module
/// names the features it may use; with all of them Binaryen would write what workerd does not read yet.
fn strip_names(project: &Project, module: &Path) -> Result<()> {
    let path = module.display().to_string();
    let args = ["--strip-debug", &path, "-o", &path];
    run(&mut EdgeTools::ready(project)?.wasm_opt(project, &args)?)
}

fn build_component(project: &Project, features: &[&str]) -> Result<PathBuf> {
    let mut build = wasm::cargo(project, "build", "edge-spin", wasm::SPIN)?;
    run(build.args(["--profile", "spin", "--locked"]).args(features))?;
    Ok(project.root.join("target/wasm/wasm32-wasip2/spin/edge_spin.wasm"))
}

/// A text of the contract's routes, which run any SQL for anybody.
const OF_THE_CONTRACT: &[u8] = b"contract_notes";

/// Prints what the files weigh together; errs above `limit` compressed bytes, and if a build for tests is among them.
fn weigh(files: &[PathBuf], limit: usize) -> Result<Outcome> {
    let (mut raw, mut compressed) = (0, 0);
    for file in files {
        let bytes = fs::read(file).with_context(|| format!("{} was not built", file.display()))?;
        if bytes.windows(OF_THE_CONTRACT.len()).any(|it| it == OF_THE_CONTRACT) {
            bail!("{} has the routes of the contract, which are for tests alone", file.display());
        }
        raw += bytes.len();
        compressed += gzipped(file)?;
    }
    println!("{raw} bytes, {compressed} gzipped; {limit} at most");
    if compressed > limit {
        bail!("{compressed} bytes gzipped are more than {limit}");
    }
    Ok(Outcome::Passed(Counts::default()))
}

fn gzipped(file: &Path) -> Result<usize> {
    let output = Command::new("gzip").args(["-9", "-c"]).stdin(File::open(file)?).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start gzip")?;
    if !output.status.success() {
        bail!("gzip failed ({})", output.status);
    }
    Ok(output.stdout.len())
}
