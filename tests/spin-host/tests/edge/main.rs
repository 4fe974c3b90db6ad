//! The edge as a Spin component, run by the host of this crate, with a real Postgres and a stand-in for the upstream.
#![allow(clippy::unwrap_used, reason = "a test's own helpers may unwrap as its tests do")]

mod answers;
mod crowd;
mod manifest;
mod stack;
mod streams;
