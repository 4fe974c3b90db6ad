//! The harness: what a test needs to see the programs from outside.
//!
//! Reading order: [`lasting`] is what all tests of a process share, [`database`] a real Postgres, [`connection`] a host
//! that is one connection to it, [`host`] the hosts that can serve an edge, [`edge`] a served edge, [`answer`] what it
//! says, [`mail`] what waits in its outbox, [`fake_resend`] and [`mail_server`] who takes mail, [`double`] a server that does what a test says, [`node`] the real node as a process, [`scripted_node`] one that
//! does what a test says, [`stack`] both together, [`signed`] what they say to each other, [`program`] `nest` itself.
//!
//! [`person`] who logs in, and [`second_factor`] what else they prove themselves with, [`oauth`] a program that has
//! credentials, [`mint`] who signs tokens with the edge's own key, [`gate`] a connection that a test can stop.
//!
//! What others wrote is a [`script`] in [`python`] or of [`npm`], run or in a [`talk`]: [`oidc_provider`] a real
//! OpenID provider, [`authenticator`] what holds passkeys, [`verifiers`] who checks our tokens, [`forgers`] who forges them, [`one_time_codes`] who
//! counts as we do. [`fake_github`] stands in for GitHub, and [`browser`] for who visits either; [`fake_upstash`] is
//! Upstash's REST interface over a real [`redis`].
#![allow(clippy::unwrap_used, reason = "a test's harness may unwrap as its tests do")]

pub mod answer;
pub mod authenticator;
pub mod browser;
pub mod connection;
pub mod database;
pub mod double;
pub mod edge;
pub mod fake_github;
pub mod fake_resend;
pub mod fake_upstash;
pub mod forgers;
pub mod gate;
pub mod host;
mod installed;
pub mod lasting;
pub mod mail;
pub mod mail_server;
pub mod mint;
pub mod money;
pub mod node;
pub mod npm;
pub mod oauth;
pub mod oidc_provider;
pub mod one_time_codes;
pub mod org;
pub mod person;
pub mod program;
pub mod python;
pub mod redis;
pub mod script;
pub mod scripted_node;
pub mod second_factor;
pub mod signed;
pub mod stack;
pub mod talk;
pub mod usage;
pub mod verifiers;

pub use answer::{Answer, EventReader, events};
pub use authenticator::Authenticator;
pub use connection::Connection;
pub use database::{PrivateDb, TestDb};
pub use double::Double;
pub use edge::{IssuedKey, PATIENCE, TestEdge, Ticker};
pub use fake_github::FakeGithub;
pub use fake_resend::FakeResend;
pub use fake_upstash::FakeUpstash;
pub use gate::Gate;
pub use host::Kind;
pub use mail_server::MailServer;
pub use mint::Mint;
pub use money::Wallet;
pub use node::TestNode;
pub use oauth::OauthClient;
pub use oidc_provider::OidcProvider;
pub use person::Person;
pub use redis::Redis;
pub use script::Script;
pub use scripted_node::ScriptedNode;
pub use second_factor::AuthenticatorApp;
pub use signed::SignedCall;
pub use stack::Stack;
pub use talk::Talk;
pub use usage::UsageRow;
pub use verifiers::Verifiers;
