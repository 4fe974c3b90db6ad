//! A stand-in for Stripe over real HTTP: its API as far as this project calls it, its pages to pay on, and its webhooks.
//! For local runs and tests; no money moves.
//!
//! Objects have the shape of [`API_VERSION`]. What is done takes effect at once, by a clock that a test can move:
//! subscriptions renew, trials end, payments that failed are tried again. Every change is an event, which goes to the
//! webhook endpoints that want it, signed as Stripe signs.
//!
//! Reading order: [`form`] and [`refusal`] are what comes in and what goes out, [`object`] what is kept, [`world`] all of it with
//! its clock; [`http`] takes a request through authentication, faults and idempotency to [`api`], where a file is a kind of
//! object; [`payer`] is who pays, [`subscriptions`], [`invoices`] and [`due`] what happens by itself; [`deliveries`] tells of
//! it; [`pages`] are for people; [`control`] is for tests.
#![recursion_limit = "512"]

mod api;
mod calendar;
mod control;
mod deliveries;
mod due;
mod faults;
mod form;
mod http;
mod idempotency;
mod invoices;
mod object;
mod pages;
mod payer;
mod random;
mod refusal;
mod server;
mod shared;
mod subscriptions;
mod world;

pub use api::{cards::Card, disputes::Decision};
pub use control::{Impossible, SECRET_KEY, WEBHOOK_SECRET};
pub use deliveries::{Delivery, Disturbance, SignedBy};
pub use faults::Fault;
pub use payer::Way;
pub use server::{FakeStripe, Options};
pub use world::Seen;

/// The version of Stripe's API whose shapes the fake serves.
pub const API_VERSION: &str = "2026-09-30.endive";
