//! Clients and checks in Python, in the environment that `python.sh` makes.

use crate::script::{Language, Script};
use std::process::Stdio;
use tokio::{process::Command, sync::OnceCell};

/// A script of `tests/python`.
pub fn script(name: &str) -> Script {
    Script::new(Language::Python, name)
}

/// The official client of OpenAI, by a script of `tests/python`, against an edge.
pub fn openai(name: &str, edge_url: &str, api_key: &str) -> Script {
    script(name).env("OPENAI_BASE_URL", &format!("{edge_url}/v1")).env("OPENAI_API_KEY", api_key)
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
