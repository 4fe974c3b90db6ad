//! Stripe: who brings money in.

pub mod signature;
