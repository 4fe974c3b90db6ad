//! A real Redis for one test, on a socket that no other has.

mod connection;

use crate::lasting;
use connection::Connection;
use embedded::child::{Program, Tied};
use std::{path::PathBuf, process::Stdio, sync::Mutex, time::Duration};
use tokio::{process::Command, sync::OnceCell, time::timeout};

pub use connection::Said;

/// Who may read and not write.
const READER: &str = "reader";

/// A running server; it stops with this value.
pub struct Redis {
    socket: PathBuf,
    /// Connections that nobody uses at this moment.
    idle: Mutex<Vec<(User, Connection)>>,
    _server: Tied,
}

/// Who a command is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// May do everything.
    Owner,
    /// May not write.
    Reader,
}

impl Redis {
    pub async fn start() -> Self {
        let folder = lasting::folder("redis");
        let socket = folder.join("socket");
        let program = Program::new(server().await)
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(&folder);
        let server = program.log_to(&folder.join("log")).unwrap().spawn().unwrap();
        timeout(crate::PATIENCE, answers(&socket)).await.expect("Redis starts soon");
        let redis = Self { socket, idle: Mutex::default(), _server: server };
        let may = ["ACL", "SETUSER", READER, "on", "nopass", "~*", "+@read", "+@connection", "-@dangerous", "-scan"];
        assert_eq!(redis.command(&may).await, Said::Status("OK".to_owned()));
        redis
    }

    /// Runs a command.
    pub async fn command(&self, parts: &[&str]) -> Said {
        let parts: Vec<Vec<u8>> = parts.iter().map(|it| it.as_bytes().to_vec()).collect();
        self.commands(User::Owner, &[parts]).await.remove(0)
    }

    /// Runs commands on one connection, which nobody else has meanwhile.
    pub async fn commands(&self, user: User, commands: &[Vec<Vec<u8>>]) -> Vec<Said> {
        let mut connection = self.connection(user).await;
        let mut all = Vec::new();
        for command in commands {
            all.push(connection.ask(command).await);
        }
        self.idle.lock().unwrap().push((user, connection));
        all
    }

    /// The time by its clock, in milliseconds.
    pub async fn now_ms(&self) -> i64 {
        let Said::List(parts) = self.command(&["TIME"]).await else { panic!("Redis tells the time") };
        let [seconds, micros] = [0, 1].map(|at| parts[at].text().parse::<i64>().unwrap());
        seconds * 1_000 + micros / 1_000
    }

    /// Every key, and for how many milliseconds it is kept; -1 is for ever.
    pub async fn lifetimes(&self) -> Vec<(String, i64)> {
        let (mut found, mut cursor) = (Vec::new(), "0".to_owned());
        loop {
            let Said::List(page) = self.command(&["SCAN", &cursor, "COUNT", "1000"]).await else {
                panic!("Redis pages through its keys")
            };
            let Said::List(keys) = &page[1] else { panic!("a page has keys") };
            for key in keys.iter().map(Said::text) {
                let Said::Integer(ms) = self.command(&["PTTL", &key]).await else { panic!("a lifetime is a number") };
                found.push((key, ms));
            }
            cursor = page[0].text();
            if cursor == "0" {
                return found;
            }
        }
    }

    async fn connection(&self, user: User) -> Connection {
        let idle = {
            let mut idle = self.idle.lock().unwrap();
            idle.iter().position(|it| it.0 == user).map(|at| idle.swap_remove(at).1)
        };
        if let Some(connection) = idle {
            return connection;
        }
        let mut connection = Connection::open(&self.socket).await.unwrap();
        if user == User::Reader {
            let login = ["AUTH", READER, "any"].map(|it| it.as_bytes().to_vec());
            assert_eq!(connection.ask(&login).await, Said::Status("OK".to_owned()));
        }
        connection
    }
}

/// Returns as soon as a server listens at `socket`.
async fn answers(socket: &std::path::Path) {
    let ping = [b"PING".to_vec()];
    loop {
        if let Ok(mut connection) = Connection::open(socket).await
            && connection.ask(&ping).await == Said::Status("PONG".to_owned())
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `NEST_TEST_REDIS`, or what `redis.sh` finds.
async fn server() -> &'static str {
    static SERVER: OnceCell<String> = OnceCell::const_new();
    let find = || async {
        if let Some(server) = std::env::var("NEST_TEST_REDIS").ok().filter(|it| !it.is_empty()) {
            return server;
        }
        let find = concat!(env!("CARGO_MANIFEST_DIR"), "/redis.sh");
        let output = Command::new(find).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success(), "{find}: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    SERVER.get_or_init(find).await
}
