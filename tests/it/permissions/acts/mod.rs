//! Each act of the API once: it leaves an entry in the audit log, and nothing is stored of what it was not asked for.
//!
//! [`script`] does everything that people do, [`factors`] what they prove themselves with, [`machines`] what programs,
//! nodes and operators do, [`money`] how it is paid. [`run`] sends it, with whatever else bodies are to carry, which [`extras`] finds in the
//! schema and in the document; [`stored`] is what has come of it.

mod extras;
mod factors;
mod machines;
mod money;
mod run;
mod script;
mod stored;

use edge_core::routes;
use extras::Extras;
use reqwest::Method;
use script::script;
use std::collections::BTreeSet;
use stored::stored;

/// Checklist 115's part: there is no act without its entry. And 56's: none of the table's routes is left out.
#[tokio::test]
async fn every_act_leaves_an_entry_in_the_audit_log() {
    let run = script(Extras::none()).await;
    let writes = routes().into_iter().filter(|it| it.method != Method::GET);
    let all: BTreeSet<String> = writes.map(|it| format!("{} {}", it.method, it.path)).collect();
    let left_out: Vec<_> = all.difference(&run.walked).collect();
    assert!(left_out.is_empty() && run.walked.is_subset(&all), "not every route stands in the script: {left_out:?}");
    assert!(all.len() > 50, "{}", all.len());
}

/// Checklist 56: whatever else is sent, the rows are those of what was asked for.
#[tokio::test]
async fn nothing_is_stored_that_a_body_does_not_take() {
    let extras = Extras::all().await;
    let (plain, laden) = (script(Extras::none()).await, script(extras).await);
    assert!(laden.carried > 50, "hardly a body carried what it does not take: {}", laden.carried);
    let (plain, laden) = (stored(plain.edge).await, stored(laden.edge).await);
    let differ: Vec<_> = plain.iter().zip(&laden).filter(|(one, other)| one != other).collect();
    assert!(plain.len() == laden.len() && differ.is_empty(), "{} and {} rows: {differ:#?}", plain.len(), laden.len());
    assert!(plain.len() > 100, "{}", plain.len());
}
