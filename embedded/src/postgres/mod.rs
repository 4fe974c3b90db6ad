//! A real Postgres, private to one data directory, on a machine that need not have one.
//!
//! [`Postgres::start`] finds the programs ([`Binaries`] is the ladder), makes the cluster when there is none, starts
//! it on 127.0.0.1 behind a password, and ties it to this process's life. Root is given up for the user `postgres` or
//! `nobody`; when that user cannot enter the folders above the data directory, the cluster lies under `/var/tmp`, and
//! [`Postgres::notes`] says so.
//!
//! A server that already runs in the data directory is used as it is, and not stopped: it is tied to another process,
//! which started it. One that is on its way down is awaited, and then started anew. `DATABASE_URL` is the caller's.

mod account;
mod binaries;
mod cluster;
mod error;
mod packages;
mod server;
mod version;

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

pub use binaries::Binaries;
pub use error::PostgresError;
pub use version::{NotAVersion, Version};

use crate::child::Tied;
use account::RunAs;

/// How long a server may take to shut down before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What the cluster's data is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Postgres's own safe defaults.
    #[default]
    Safe,
    /// Fast, many connections, and lost with the machine: for tests.
    Throwaway,
}

/// Which cluster to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    pub data_dir: PathBuf,
    /// Postgres appends its log here; the folder must exist.
    pub log_file: PathBuf,
    /// Of the superuser `nest`; set when the cluster is made.
    pub password: SecretString,
    /// `None` takes a free port.
    pub port: Option<u16>,
    pub durability: Durability,
    pub binaries: Binaries,
}

impl Options {
    pub fn new(data_dir: impl Into<PathBuf>, log_file: impl Into<PathBuf>, password: SecretString) -> Self {
        Self {
            data_dir: data_dir.into(),
            log_file: log_file.into(),
            password,
            port: None,
            durability: Durability::default(),
            binaries: Binaries::default(),
        }
    }
}

/// A running Postgres; it stops with this value or this process, unless another process started it.
#[derive(Debug)]
pub struct Postgres {
    tied: Option<Tied>,
    pid: u32,
    port: u16,
    password: SecretString,
    data_dir: PathBuf,
    bindir: Option<PathBuf>,
    notes: Vec<String>,
}

impl Postgres {
    /// Finds, makes and starts what is needed; returns when the server takes statements.
    pub async fn start(options: Options) -> Result<Self, PostgresError> {
        server::start(options).await
    }

    /// For the superuser `nest`; holds the password.
    pub fn url(&self, database: &str) -> String {
        let mut url = Url::parse("postgres://nest@127.0.0.1").expect("a static URL");
        url.set_password(Some(self.password.expose_secret())).expect("a URL with a host takes a password");
        url.set_port(Some(self.port)).expect("a URL with a host takes a port");
        url.set_path(database);
        url.into()
    }

    /// Creates the database unless it exists.
    pub async fn create_database(&self, name: &str) -> Result<(), PostgresError> {
        server::create_database(self.port, &self.password, name).await
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Where the cluster really lies.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The folder with `postgres`, and with `psql` when it came with it; `None` for a server that already ran.
    pub fn bindir(&self) -> Option<&Path> {
        self.bindir.as_deref()
    }

    /// Whether this process started the server, and so stops it.
    pub fn is_ours(&self) -> bool {
        self.tied.is_some()
    }

    /// What a person should be told: where the programs came from, and where the data lies if not where asked.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Waits until the server ends by itself; never returns for a server that another process started.
    pub async fn ended(&mut self) -> std::io::Result<std::process::ExitStatus> {
        match &mut self.tied {
            Some(tied) => tied.wait().await,
            None => std::future::pending().await,
        }
    }

    /// Shuts the server down and waits for it; leaves one that another process started.
    pub async fn stop(self) -> std::io::Result<()> {
        if let Some(tied) = self.tied {
            tied.stop(STOP_PATIENCE).await?;
        }
        Ok(())
    }
}

/// Deletes the cluster of `data_dir`, wherever it lies. No server may run in it.
pub fn wipe(data_dir: &Path) -> Result<(), PostgresError> {
    let data_dir = server::absolute(data_dir)?;
    for dir in [cluster::stand_in(&data_dir), data_dir] {
        cluster::remove_dir(&dir)?;
    }
    Ok(())
}

/// Version and folder of the newest usable Postgres that is installed here; nothing is fetched.
pub fn installed() -> Option<(Version, PathBuf)> {
    let found = binaries::installed(RunAs::choose(Path::new("")).ok()?)?;
    Some((found.version, found.bindir))
}

/// 128 random bits in hexadecimal, for [`Options::password`].
pub fn random_password() -> std::io::Result<SecretString> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
}
