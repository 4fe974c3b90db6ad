//! Starting the server, and knowing when it is ready.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::binaries::Found;
use super::cluster::Running;
use super::{Durability, Options, Postgres, PostgresError, RunAs, binaries, cluster};
use crate::child::{Program, StopSignal, Tied};
use crate::port;

/// Crash recovery of a large cluster is the slow case.
const READY_WITHIN: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(10);
/// A port found free may be taken before the server listens on it.
const FREE_PORT_TRIES: usize = 5;

pub(super) async fn start(mut options: Options) -> Result<Postgres, PostgresError> {
    options.data_dir = absolute(&options.data_dir)?;
    let (prepared, options) = blocking(move || prepare(&options).map(|prepared| (prepared, options))).await?;
    let Prepared { data_dir, run_as, mut notes, _lock } = prepared;

    if let Some(running) = cluster::running(&data_dir)?
        && let Some(running) = outlived(running, &data_dir, &options).await?
    {
        notes.push(format!("using the Postgres that already runs in {}", data_dir.display()));
        let pid = running.pid.as_raw_nonzero().get().cast_unsigned();
        let Options { password, .. } = options;
        return Ok(Postgres { tied: None, pid, port: running.port, password, data_dir, bindir: None, notes });
    }

    let dir = data_dir.clone();
    let (found, options) = blocking(move || programs(&dir, &options, run_as).map(|found| (found, options))).await?;
    notes.push(format!("Postgres {} from {}", found.version, found.bindir.display()));
    let server = Server { found: &found, data_dir: &data_dir, run_as, options: &options };
    let (tied, port) = server.listen().await?;
    let Options { password, .. } = options;
    Ok(Postgres { pid: tied.pid(), tied: Some(tied), port, password, data_dir, bindir: Some(found.bindir), notes })
}

pub(super) async fn create_database(port: u16, password: &SecretString, name: &str) -> Result<(), PostgresError> {
    let client = connect(port, password).await.map_err(PostgresError::Statement)?;
    let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
    match client.batch_execute(&statement).await {
        Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
        created => created.map_err(PostgresError::Statement),
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, PostgresError> {
    std::path::absolute(path).map_err(PostgresError::io(format!("find {}", path.display())))
}

struct Prepared {
    data_dir: PathBuf,
    run_as: RunAs,
    notes: Vec<String>,
    _lock: File,
}

fn prepare(options: &Options) -> Result<Prepared, PostgresError> {
    let run_as = RunAs::choose(&options.data_dir)?;
    let data_dir = cluster::place(&options.data_dir, run_as)?;
    let mut notes = Vec::new();
    if data_dir != options.data_dir {
        notes.push(format!(
            "the database lies in {}: Postgres's user cannot enter the folders above {}",
            data_dir.display(),
            options.data_dir.display()
        ));
    }
    let lock = cluster::lock(&data_dir)?;
    Ok(Prepared { run_as, data_dir, notes, _lock: lock })
}

/// The programs to use, and a cluster that they can serve.
fn programs(data_dir: &Path, options: &Options, run_as: RunAs) -> Result<Found, PostgresError> {
    use std::os::unix::fs::MetadataExt;
    if let Some(wanted) = options.port {
        port::check((Ipv4Addr::LOCALHOST, wanted).into()).map_err(PostgresError::Port)?;
    }
    let cluster = cluster::major(data_dir)?;
    let found = binaries::find(&options.binaries, cluster, run_as)?;
    match cluster {
        None => cluster::init(data_dir, &found, &options.password, options.durability, run_as)?,
        Some(major) if major != found.version.major => {
            return Err(PostgresError::OtherMajor {
                data_dir: data_dir.to_owned(),
                cluster: major,
                found: found.version,
            });
        }
        Some(_) => {
            let metadata = fs::metadata(data_dir);
            let metadata = metadata.map_err(PostgresError::io(format!("read {}", data_dir.display())))?;
            let (owner, ours) = (metadata.uid(), run_as.uid());
            if owner != ours {
                return Err(PostgresError::OtherOwner { data_dir: data_dir.to_owned(), owner, ours });
            }
        }
    }
    Ok(found)
}

/// The server found running, if it stays; `None` once it has shut down.
async fn outlived(running: Running, data_dir: &Path, options: &Options) -> Result<Option<Running>, PostgresError> {
    let deadline = Instant::now() + READY_WITHIN;
    while running.is_alive(data_dir) {
        match connect(running.port, &options.password).await {
            Ok(_) => return Ok(Some(running)),
            Err(cause) if refuses_password(&cause) => {
                return Err(PostgresError::Password { data_dir: data_dir.to_owned(), cause });
            }
            // It starts or stops; a refused connection looks the same.
            Err(_) => tokio::time::sleep(POLL_EVERY).await,
        }
        if Instant::now() > deadline {
            return Err(PostgresError::NotReady { after: READY_WITHIN, log_file: options.log_file.clone() });
        }
    }
    Ok(None)
}

struct Server<'a> {
    found: &'a Found,
    data_dir: &'a Path,
    run_as: RunAs,
    options: &'a Options,
}

impl Server<'_> {
    async fn listen(&self) -> Result<(Tied, u16), PostgresError> {
        if let Some(port) = self.options.port {
            return Ok((self.run(port).await?, port));
        }
        let mut tries = 1;
        loop {
            let port = port::free().map_err(PostgresError::io("find a free port"))?;
            match self.run(port).await {
                Err(PostgresError::Died { .. })
                    if tries < FREE_PORT_TRIES && port::check((Ipv4Addr::LOCALHOST, port).into()).is_err() =>
                {
                    tries += 1;
                }
                result => return result.map(|tied| (tied, port)),
            }
        }
    }

    async fn run(&self, port: u16) -> Result<Tied, PostgresError> {
        let log_file = &self.options.log_file;
        let log_start = fs::metadata(log_file).map_or(0, |metadata| metadata.len());
        let mut program = Program::new(self.found.bindir.join("postgres"))
            .arg("-D")
            .arg(self.data_dir)
            .args(self.settings(port).into_iter().flat_map(|setting| ["-c".to_owned(), setting]))
            // Some libraries start a thread to read the locale on macOS, and Postgres then refuses to run.
            .env("LC_ALL", "C")
            .current_dir("/")
            .stop_signal(StopSignal::Interrupt)
            .log_to(log_file)
            .map_err(PostgresError::io(format!("write {}", log_file.display())))?;
        if let RunAs::Other(account) = self.run_as {
            program = program.user(account.uid, account.gid);
        }
        let mut tied = program.spawn().map_err(PostgresError::io("start postgres"))?;

        let deadline = Instant::now() + READY_WITHIN;
        loop {
            match connect(port, &self.options.password).await {
                Ok(_) => return Ok(tied),
                Err(cause) if refuses_password(&cause) => {
                    return Err(PostgresError::Password { data_dir: self.data_dir.to_owned(), cause });
                }
                Err(_) => {}
            }
            // A server that is not up yet sends no event to wait for.
            if let Ok(ended) = tokio::time::timeout(POLL_EVERY, tied.wait()).await {
                ended.map_err(PostgresError::io("await postgres"))?;
                return Err(PostgresError::Died { log: log_since(log_file, log_start) });
            }
            if Instant::now() > deadline {
                return Err(PostgresError::NotReady { after: READY_WITHIN, log_file: log_file.clone() });
            }
        }
    }

    fn settings(&self, port: u16) -> Vec<String> {
        let mut settings = vec![
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            // No socket file: the password guards the only way in, and no path can be too long.
            "unix_socket_directories=".to_owned(),
            "logging_collector=off".to_owned(),
            "log_timezone=UTC".to_owned(),
            "timezone=UTC".to_owned(),
        ];
        let more: &[&str] = match self.options.durability {
            Durability::Safe => &["max_connections=200"],
            Durability::Throwaway => &[
                "max_connections=500",
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "wal_level=minimal",
                // To compile a statement over a test's few rows takes longer than to run it.
                "jit=off",
                "max_wal_senders=0",
            ],
        };
        settings.extend(more.iter().map(|&setting| setting.to_owned()));
        settings
    }
}

async fn connect(port: u16, password: &SecretString) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).user("nest").password(password.expose_secret()).dbname("postgres");
    config.connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn refuses_password(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_PASSWORD)
}

fn log_since(log_file: &Path, start: u64) -> String {
    let read = File::open(log_file).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map(|_| text)
    });
    read.map_or_else(|error| format!("{}: {error}", log_file.display()), |text| String::from_utf8_lossy(&text).into())
}

/// Runs work that waits on processes and files where it holds up nothing else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PostgresError> + Send + 'static,
) -> Result<T, PostgresError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
