//! Billing: what does it cost?
//!
//! So far it knows whether a message is Stripe's. Prices, ledger, credit and payments come with their own release; it
//! owns no table yet.

pub mod stripe;
