use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::Version;
use crate::port;

/// Why there is no Postgres; each message ends with what mends it, where something does.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("no Postgres {} or newer could be found or fetched:\n{}\n{MEND}", super::version::OLDEST, bullets(tried))]
    NotFound { tried: Vec<String> },
    #[error("no usable Postgres in {}: {why}", dir.display())]
    Binaries { dir: PathBuf, why: String },
    #[error(
        "the database in {} was made by Postgres {cluster}, and Postgres {found} cannot read it: \
         install Postgres {cluster}, or start afresh with `nest db reset`", data_dir.display()
    )]
    OtherMajor { data_dir: PathBuf, cluster: u16, found: Version },
    #[error("the database in {} belongs to user {owner}, not to {ours}: run as that user", data_dir.display())]
    OtherOwner { data_dir: PathBuf, owner: u32, ours: u32 },
    #[error("Postgres refuses to run as root, and there is no user `postgres` or `nobody`: useradd --system postgres")]
    NoAccount,
    #[error("Postgres cannot listen: {0}; choose another port or stop that process")]
    Port(#[source] port::Busy),
    #[error("initdb failed:\n{output}")]
    Initdb { output: String },
    #[error("Postgres stopped while it started; its log says:\n{log}")]
    Died { log: String },
    #[error("Postgres was not ready within {} s; its log is {}", after.as_secs(), log_file.display())]
    NotReady { after: Duration, log_file: PathBuf },
    #[error(
        "the database in {} does not take this machine's password; \
         restore .nest/secrets.env, or start afresh with `nest db reset`", data_dir.display()
    )]
    Password {
        data_dir: PathBuf,
        #[source]
        cause: tokio_postgres::Error,
    },
    #[error("a statement failed in the private Postgres")]
    Statement(#[source] tokio_postgres::Error),
    #[error("cannot {what}")]
    Io {
        what: String,
        #[source]
        cause: io::Error,
    },
}

impl PostgresError {
    /// For `map_err`: what was being done, then the cause.
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

const MEND: &str = "Any one of these mends it:
  sudo apt-get install postgresql        (Debian, Ubuntu)
  brew install postgresql@18             (macOS)
  export PG_BINDIR=/path/to/pgsql/bin    (a Postgres in an unusual place)
  export DATABASE_URL=postgres://...     (a server that already runs)
  install Node with npm, or Python with pip, and start again: either fetches a private Postgres";

fn bullets(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}
