//! `cargo xtask dev`: the edge on another host, beside a running `nest dev` whose Postgres, node and upstream it uses.

mod cloudflare;
mod spin;
mod state;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::cargo::Project;
use state::{NestDev, Record};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where the edge runs.
    host: Host,
    /// Where it listens: 8789 for cloudflare, 8790 for spin, unless given.
    #[arg(long)]
    port: Option<u16>,
    /// The folder of `nest dev`.
    #[arg(long, default_value = ".nest")]
    state_dir: PathBuf,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Host {
    /// workerd, as `wrangler dev` runs it.
    Cloudflare,
    /// `spin up`, or the project's own test host where there is no `spin`.
    Spin,
}

/// What `nest status` exits with when nothing runs.
const NOT_READY: u8 = 3;

/// How long the first answer may take: the edge is built first.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// How long it may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(8);

const LOOK: Duration = Duration::from_millis(50);

/// Runs until it is interrupted, or the edge ends by itself.
pub(crate) fn run(project: &Project, args: &Args) -> ExitCode {
    let state_dir = project.root.join(&args.state_dir);
    let Some(nest) = NestDev::read(&state_dir) else {
        eprintln!("nothing runs in {}: start it with `cargo run`, and leave it running", state_dir.display());
        return ExitCode::from(NOT_READY);
    };
    match serve(project, args, &nest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(project: &Project, args: &Args, nest: &NestDev) -> Result<()> {
    // From here on an interrupt is a word to this loop, so that nothing is left behind.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (name, port) = match args.host {
        Host::Cloudflare => ("cloudflare", args.port.unwrap_or(8789)),
        Host::Spin => ("spin", args.port.unwrap_or(8790)),
    };
    if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
        bail!("port {port} is taken: stop what listens there, or choose another with --port");
    }
    let mut command = match args.host {
        Host::Cloudflare => cloudflare::command(project, port, nest)?,
        Host::Spin => spin::command(project, port, nest)?,
    };
    let mut edge = Edge::start(&mut command)?;
    let record = Record::new(nest, name, port, edge.child.id());
    let started = Instant::now();
    let mut ready = false;
    loop {
        if signals.pending().next().is_some() {
            println!("stopping");
            return edge.stop();
        }
        if let Some(status) = edge.child.try_wait()? {
            bail!("the edge ended by itself ({status})");
        }
        if !ready && answers(port, "/readyz") {
            ready = true;
            record.write()?;
            println!("\n{}", record.banner(started.elapsed()));
        }
        if !ready && started.elapsed() > READY_WITHIN {
            bail!("the edge is not ready after {} s", READY_WITHIN.as_secs());
        }
        sleep(LOOK);
    }
}

/// The edge's process and all that it starts: one group, which ends with this value.
struct Edge {
    child: Child,
}

impl Edge {
    fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::null()).process_group(0).spawn().context("the edge cannot be started")?;
        Ok(Self { child })
    }

    /// In good order first.
    fn stop(mut self) -> Result<()> {
        self.signal("TERM");
        let asked = Instant::now();
        while self.child.try_wait()?.is_none() && asked.elapsed() < STOP_WITHIN {
            sleep(LOOK);
        }
        Ok(())
    }

    fn signal(&self, name: &str) {
        let group = format!("-{}", self.child.id());
        // A group that has ended cannot be signalled, and need not be.
        let _ = Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status();
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// Whether a request for `path` on this machine is answered with 200.
fn answers(port: u16, path: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        Ok(String::from_utf8_lossy(&head).into_owned())
    };
    ask().is_ok_and(|head| head == "HTTP/1.1 200")
}
