//! A tied program stops when it should, and only then.
#![allow(clippy::unwrap_used, reason = "a test's own helpers may unwrap as its tests do")]

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use embedded::child::{Program, StopSignal, Tied};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

const PATIENCE: Duration = Duration::from_secs(20);

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped())
}

async fn first_line(tied: &mut Tied) -> (String, impl tokio::io::AsyncRead + use<>) {
    let mut reader = BufReader::new(tied.take_stdout().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).await.unwrap();
    (line.trim().to_owned(), reader)
}

#[tokio::test]
async fn the_process_id_and_the_exit_status_are_the_programs_own() {
    let mut tied = shell("echo $$; exit 7").spawn().unwrap();
    let (line, _) = first_line(&mut tied).await;
    assert_eq!(line, tied.pid().to_string());
    assert_eq!(tied.wait().await.unwrap().code(), Some(7));
    assert_eq!(tied.exited().unwrap().unwrap().code(), Some(7));
    assert_eq!(tied.stop(PATIENCE).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn arguments_environment_and_folder_reach_the_program() {
    let program = shell(r#"echo "$1|$NAME|$PWD""#).args(["sh", "two words"]).env("NAME", "it's").current_dir("/usr");
    let mut tied = program.spawn().unwrap();
    assert_eq!(first_line(&mut tied).await.0, "two words|it's|/usr");
}

#[tokio::test]
async fn stop_sends_the_signal_and_waits() {
    // Not in sh, which cannot trap a signal that its parent ignores, as a shell ignores SIGINT for what it runs behind.
    let script = "import signal, sys\n\
        signal.signal(signal.SIGINT, lambda *_: sys.exit(3))\n\
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))\n\
        print('ready', flush=True)\n\
        while True: signal.pause()";
    for (signal, expected) in [(StopSignal::Interrupt, 3), (StopSignal::Terminate, 4)] {
        let program = Program::new("/usr/bin/env").args(["python3", "-c", script]).stdout(Stdio::piped());
        let mut tied = program.stop_signal(signal).spawn().unwrap();
        let _out = first_line(&mut tied).await;
        assert_eq!(tied.stop(PATIENCE).await.unwrap().code(), Some(expected), "{signal:?}");
    }
}

#[tokio::test]
async fn a_program_that_will_not_stop_is_killed_with_its_group() {
    let mut tied = shell("trap '' TERM; sleep 600 & echo ready; wait").spawn().unwrap();
    let (_, mut out) = first_line(&mut tied).await;
    let status = tied.stop(Duration::from_millis(50)).await.unwrap();
    assert_eq!(status.signal(), Some(9));
    // The pipe ends when the last process of the group that holds it has.
    out.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_dropped_program_stops() {
    let mut tied = shell("trap 'echo stopped; exit' TERM; echo ready; while :; do sleep 0.02; done").spawn().unwrap();
    let (_, mut out) = first_line(&mut tied).await;
    drop(tied);
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "stopped\n");
}

#[tokio::test]
async fn a_dropped_program_that_will_not_stop_is_killed() {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.02; done";
    let mut tied = shell(script).orphan_grace_s(1).spawn().unwrap();
    let (_, mut out) = first_line(&mut tied).await;
    drop(tied);
    out.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_program_leads_its_own_process_group() {
    // Field 5 of /proc/self/stat on Linux; ps knows it everywhere it is installed.
    let script = "cut -d' ' -f5 /proc/$$/stat 2>/dev/null || ps -o pgid= -p $$";
    let mut tied = shell(script).spawn().unwrap();
    let (group, _) = first_line(&mut tied).await;
    assert_eq!(group, tied.pid().to_string());
}
