//! An act that is audited.

use axum::{Router, routing::post};
use edge_core::{
    App, Error, Store,
    audit::{self, Actor, Entry, Origin},
};

pub(crate) fn routes() -> Router {
    Router::new().route("/contract/act", post(act))
}

/// Adds an entry, tells its id, and chains it behind the answer.
async fn act(app: App) -> Result<String, Error> {
    let entry = Entry::new(app.host().now(), &Actor::ANONYMOUS, &Origin::default(), "contract.act");
    let id = audit::record(&Store::new(app.host().clone()), entry).await?;
    audit::chain_soon(&app);
    Ok(id.to_string())
}
