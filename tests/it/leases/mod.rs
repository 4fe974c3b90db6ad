//! What processes count together, what each does by itself while the store of counters is away or slow, and how official
//! clients take a refusal.

mod clients;
mod loss;
mod processes;
mod slow;
