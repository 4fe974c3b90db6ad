//! Programs seen from outside: one binary, a file per slice, and `host`, the contract that every host must pass.
#![allow(clippy::unwrap_used, reason = "a test's own helpers may unwrap as its tests do")]

/// Compares a value with its snapshot. Maps are sorted: whether JSON keeps an order depends on what else is built.
macro_rules! snapshot {
    ($value:expr $(, $redactions:tt)? $(,)?) => {
        insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!($value $(, $redactions)?) })
    };
}

mod accounts;
mod admin;
mod admin_cli;
mod audit;
mod audit_chain;
mod chat;
mod cli;
mod clock;
mod config;
mod counters;
mod crash;
mod crates;
mod dev;
mod embeddings;
mod encryption;
mod errors;
mod fake_stripe;
mod foreign;
mod gpu_node;
mod host;
mod hostile_upstream;
mod hot_path;
mod journal;
mod keys;
mod keys_cli;
mod leases;
mod limits;
mod login_flood;
mod logins;
mod mail;
mod memory;
mod mfa;
mod money;
mod nodes;
mod oauth;
mod oidc;
mod openai_python;
mod openapi;
mod orgs;
mod passkeys;
mod payments;
mod permissions;
mod schema;
mod sessions;
mod settlement;
mod smtp;
mod sql;
mod step_up;
mod stripe_cli;
mod tokens;
mod upstream;
mod usage;

/// `nest`, as cargo built it for these tests.
const NEST: &str = env!("CARGO_BIN_EXE_nest-under-test");
