//! The foreign clients and servers are what they are taken for: each stands the test of another that others wrote.

mod codes;
mod openid;
mod passkeys;
mod tokens;

/// Where providers send whoever has logged in; nothing listens there.
const CALLBACK: &str = "https://console.nest.example/callback";
