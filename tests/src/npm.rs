//! Clients and servers in JavaScript, with the packages of `tests/npm/package.json`.

use crate::{
    installed::by_xtask,
    script::{Language, Script},
};
use tokio::process::Command;

/// A script of `tests/npm`.
pub fn script(name: &str) -> Script {
    Script::new(Language::Node, name)
}

/// The Node that finds those packages.
pub(crate) fn node() -> Command {
    let mut node = Command::new(by_xtask("NEST_TEST_NODE"));
    node.args(["--import", concat!(env!("CARGO_MANIFEST_DIR"), "/npm/resolve.mjs")]);
    node.env("NEST_TEST_NPM", by_xtask("NEST_TEST_NPM"));
    node
}
