//! Processes that cannot outlive this one, even when it is killed with SIGKILL.
//!
//! Every program is started through a few lines of `sh` that leave a watcher behind and then become the program, so
//! the process id and the exit status are the program's own. The watcher blocks on a pipe whose other end only this
//! process holds: when this process dies, for whatever reason, the kernel closes the pipe and the watcher stops the
//! program. Programs get a process group of their own, so Ctrl-C in a terminal reaches only the supervisor.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// What a program is asked to stop with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: for Postgres, the fast shutdown.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// A program to run, and how.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    current_dir: Option<PathBuf>,
    user: Option<(u32, u32)>,
    stdout: Stdio,
    stderr: Stdio,
    stop_signal: StopSignal,
    orphan_grace_s: u32,
}

impl Program {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            args: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            user: None,
            stdout: Stdio::inherit(),
            stderr: Stdio::inherit(),
            stop_signal: StopSignal::Terminate,
            orphan_grace_s: 30,
        }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(dir.into());
        self
    }

    /// Runs the program as this user and group; only root may.
    pub fn user(mut self, uid: u32, gid: u32) -> Self {
        self.user = Some((uid, gid));
        self
    }

    pub fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.stdout = to.into();
        self
    }

    pub fn stderr(mut self, to: impl Into<Stdio>) -> Self {
        self.stderr = to.into();
        self
    }

    pub fn stop_signal(mut self, signal: StopSignal) -> Self {
        self.stop_signal = signal;
        self
    }

    /// How long an orphaned program may take to stop before it is killed; 30 seconds unless set.
    pub fn orphan_grace_s(mut self, seconds: u32) -> Self {
        self.orphan_grace_s = seconds;
        self
    }

    /// Sends both output streams to the end of `log`.
    pub fn log_to(self, log: &Path) -> io::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        Ok(self.stdout(file.try_clone()?).stderr(file))
    }

    /// Starts the program, tied to this process. Needs a tokio runtime.
    pub fn spawn(self) -> io::Result<Tied> {
        Tied::spawn(self)
    }
}

/// A running program that stops when this value is dropped or this process dies.
///
/// Dropping asks the program to stop and does not wait; [`Tied::stop`] does both.
#[derive(Debug)]
pub struct Tied {
    child: Child,
    pid: Pid,
    leash: Option<File>,
    stop_signal: StopSignal,
}

impl Tied {
    fn spawn(program: Program) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", LEASH, "sh", program.stop_signal.name()]).arg(program.orphan_grace_s.to_string());
        command.arg(&program.path).args(&program.args).envs(program.env);
        command.stdin(Stdio::piped()).stdout(program.stdout).stderr(program.stderr).process_group(0);
        if let Some(dir) = program.current_dir {
            command.current_dir(dir);
        }
        if let Some((uid, gid)) = program.user {
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn()?;
        let leash = child.stdin.take().expect("standard input is piped").into_owned_fd()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).expect("a child that was not awaited");
        Ok(Self { child, pid, leash: Some(leash.into()), stop_signal: program.stop_signal })
    }

    /// The program's own process id, which is also its process group's.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// The pipe asked for with `Program::stdout(Stdio::piped())`; `None` after the first call.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// As [`Tied::take_stdout`].
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits until the program ends by itself; safe to cancel and to call again.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.unleash();
        Ok(status)
    }

    /// The exit status, if the program has ended.
    pub fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.unleash();
        }
        Ok(status)
    }

    /// Asks the program to stop, and kills its whole process group after `patience`.
    pub async fn stop(mut self, patience: Duration) -> io::Result<ExitStatus> {
        if let Some(status) = self.exited()? {
            return Ok(status);
        }
        // Not yet awaited, so the process id is still the program's.
        kill_process(self.pid, self.stop_signal.as_signal())?;
        let status = match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status?,
            Err(_) => {
                kill_process_group(self.pid, rustix::process::Signal::KILL)?;
                self.child.wait().await?
            }
        };
        self.unleash();
        Ok(status)
    }

    /// Tells the watcher that the program has ended: its process id may belong to another soon.
    fn unleash(&mut self) {
        if let Some(mut leash) = self.leash.take() {
            // The watcher may be gone, with its whole process group.
            let _ = leash.write_all(b"\n");
        }
    }
}

impl StopSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }

    fn as_signal(self) -> rustix::process::Signal {
        match self {
            Self::Interrupt => rustix::process::Signal::INT,
            Self::Terminate => rustix::process::Signal::TERM,
        }
    }
}

/// Becomes the program named by the third argument on, leaving a watcher behind.
///
/// The watcher is orphaned by the outer parentheses, so that the program never meets a child it did not start. A line
/// on the pipe says that the program has ended; the end of the pipe says that the parent has.
const LEASH: &str = r#"
pid=$$ signal=$1 grace=$2
shift 2
exec 3<&0 </dev/null
(
  (
    trap '' INT TERM HUP
    cd /
    read -r _ <&3 && exit
    kill -s "$signal" "$pid"
    while kill -0 "$pid"; do
      [ "$grace" -gt 0 ] || { kill -s KILL "$pid"; exit; }
      grace=$((grace - 1))
      sleep 1
    done
  ) >/dev/null 2>&1 &
)
exec "$@" 3<&-
"#;
