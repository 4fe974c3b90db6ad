//! The user that Postgres runs as: this process's own, unless that is root, which Postgres refuses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::PostgresError;

/// A user to give up root for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whom Postgres runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    Ourselves,
    Other(Account),
}

impl RunAs {
    /// The owner of an existing cluster in `data_dir`, else `postgres`, else `nobody`; only root needs another user.
    pub(super) fn choose(data_dir: &Path) -> Result<Self, PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        if let Ok(owner) = fs::metadata(data_dir.join("PG_VERSION"))
            && owner.uid() != 0
        {
            return Ok(Self::Other(Account { uid: owner.uid(), gid: owner.gid() }));
        }
        // initdb needs a user with a name, so an unused number would not do.
        ["postgres", "nobody"].iter().find_map(|name| look_up(name)).map(Self::Other).ok_or(PostgresError::NoAccount)
    }

    pub(super) fn uid(self) -> u32 {
        match self {
            Self::Ourselves => rustix::process::geteuid().as_raw(),
            Self::Other(account) => account.uid,
        }
    }

    /// A command that runs as this user, in a folder that every user may enter.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Self::Other(account) = self {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }

    /// Makes `path` this user's.
    pub(super) fn own(self, path: &Path) -> Result<(), PostgresError> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Other(account) => std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))
                .map_err(PostgresError::io(format!("give {} to user {}", path.display(), account.uid))),
        }
    }

    /// Whether this user may enter a folder or run a program; a parent folder that it may not enter says no, too.
    pub(super) fn may_enter(self, path: &Path) -> bool {
        let mut test = self.command(Path::new("/bin/sh"));
        test.args(["-c", r#"test -x "$1""#, "sh"]).arg(path);
        test.status().is_ok_and(|status| status.success())
    }
}

fn look_up(name: &str) -> Option<Account> {
    let ask = |what| {
        let output = Command::new("id").args([what, name]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    Some(Account { uid: ask("-u")?, gid: ask("-g")? })
}
