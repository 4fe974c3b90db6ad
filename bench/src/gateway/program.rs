//! A program under measurement: a child process that dies with this one.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The edge may have a database to reach first.
const START_MAX: Duration = Duration::from_secs(30);

/// A started program that accepts connections.
#[derive(Debug)]
pub struct Program {
    pub name: &'static str,
    pub address: SocketAddr,
    /// The bearer key that it accepts.
    pub key: String,
    child: Child,
}

impl Program {
    /// Starts `executable` on a free port, which `configure` tells it, and waits until it accepts connections.
    pub(super) async fn start(
        name: &'static str,
        executable: &Path,
        key: &str,
        configure: impl FnOnce(&mut Command, SocketAddr),
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut command = Command::new(executable);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        configure(&mut command, address);
        let child = command.spawn().with_context(|| format!("cannot start {}", executable.display()))?;
        let mut program = Self { name, address, key: key.to_owned(), child };
        program.wait_until_ready().await?;
        Ok(program)
    }

    pub(super) fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.name))
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let started = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended at start: {status}", self.name);
            }
            if started.elapsed() > START_MAX {
                bail!("{} does not listen on {} after {START_MAX:?}", self.name, self.address);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
