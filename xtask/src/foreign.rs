//! The foreign programs that the end-to-end tests run: clients and servers which others wrote, in Python and in Node, and
//! a Redis.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::{Project, output};
use crate::edge_tools::EdgeTools;
use crate::npm;

/// Where they lie, installed as their lock files say.
pub(crate) struct Foreign {
    /// A Python with the packages of `tests/requirements.txt`.
    python: String,
    /// The Node that runs the tests' scripts.
    pub(crate) node: PathBuf,
    /// The folder with the `node_modules` of `tests/npm/package.json`.
    npm: PathBuf,
    /// A Redis server.
    redis: String,
}

impl Foreign {
    /// Installs them unless they are there.
    pub(crate) fn ready(project: &Project) -> Result<Self> {
        Ok(Self {
            python: output(&mut project.command(project.root.join("tests/python.sh")))?,
            node: EdgeTools::ready(project)?.node(),
            npm: npm::installed(project, "tests/npm", "tests-npm")?,
            redis: output(&mut project.command(project.root.join("tests/redis.sh")))?,
        })
    }

    /// As the tests are told of them.
    pub(crate) fn env(&self) -> [(&'static str, OsString); 4] {
        [
            ("NEST_TEST_PYTHON", self.python.clone().into()),
            ("NEST_TEST_NODE", self.node.clone().into()),
            ("NEST_TEST_NPM", self.npm.clone().into()),
            ("NEST_TEST_REDIS", self.redis.clone().into()),
        ]
    }

    /// The same as a shell reads it, for a bare `cargo test`.
    pub(crate) fn shell(&self) -> String {
        let quoted = |text: OsString| text.to_string_lossy().replace('\'', r"'\''");
        self.env().map(|(name, value)| format!("export {name}='{}'", quoted(value))).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_any_path() {
        let (python, redis) = ("/a b/python".to_owned(), "redis-server".to_owned());
        let foreign = Foreign { python, node: "node".into(), npm: "/it's".into(), redis };
        let lines = [
            "NEST_TEST_PYTHON='/a b/python'",
            "NEST_TEST_NODE='node'",
            r"NEST_TEST_NPM='/it'\''s'",
            "NEST_TEST_REDIS='redis-server'",
        ];
        assert_eq!(foreign.shell(), lines.map(|line| format!("export {line}")).join("\n"));
    }
}
