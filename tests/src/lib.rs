//! The harness: what a test needs to see the programs from outside.
//!
//! Reading order: [`lasting`] is what all tests of a process share, [`database`] a real Postgres, [`host`] the hosts
//! that can serve an edge, [`edge`] a served edge, [`answer`] what it says,
//! [`double`] a server that does what a test says, [`node`] the real node as a process, [`scripted_node`]
//! one that does what a test says, [`stack`] both together,
//! [`signed`] what they say to each other, [`program`] `nest` itself, [`python`] the
//! official client.
#![allow(clippy::unwrap_used, reason = "a test's harness may unwrap as its tests do")]

pub mod answer;
pub mod database;
pub mod double;
pub mod edge;
pub mod host;
pub mod lasting;
pub mod node;
pub mod program;
pub mod python;
pub mod scripted_node;
pub mod signed;
pub mod stack;
pub mod usage;

pub use answer::{Answer, EventReader, events};
pub use database::{PrivateDb, TestDb};
pub use double::Double;
pub use edge::{IssuedKey, PATIENCE, TestEdge};
pub use host::Kind;
pub use node::TestNode;
pub use scripted_node::ScriptedNode;
pub use signed::SignedCall;
pub use stack::Stack;
pub use usage::UsageRow;
