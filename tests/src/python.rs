//! The official client, in the Python environment that `python.sh` makes.

use std::{path::PathBuf, process::Stdio};
use tokio::{process::Command, sync::OnceCell};

/// Runs a script of `tests/python` against an edge, and gives what it prints; it fails when the script does.
pub async fn run(script: &str, edge_url: &str, api_key: &str) -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python").join(script);
    let mut command = Command::new(interpreter().await);
    command.arg(&script).env("OPENAI_BASE_URL", format!("{edge_url}/v1")).env("OPENAI_API_KEY", api_key);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {}\n{stdout}\n{stderr}", script.display(), output.status);
    stdout
}

/// `NEST_TEST_PYTHON`, or what `python.sh` makes.
pub async fn interpreter() -> &'static str {
    static PYTHON: OnceCell<String> = OnceCell::const_new();
    let make = || async {
        if let Some(python) = std::env::var("NEST_TEST_PYTHON").ok().filter(|it| !it.is_empty()) {
            return python;
        }
        let make = concat!(env!("CARGO_MANIFEST_DIR"), "/python.sh");
        let output = Command::new(make).stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success(), "{make}: {}", output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    PYTHON.get_or_init(make).await
}
