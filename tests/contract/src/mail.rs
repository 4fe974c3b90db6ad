//! A route that writes a mail to the outbox and has it sent behind its answer, as an act of the edge does.

use axum::{Json, Router, routing::post};
use edge_core::{
    App, Error,
    mail::{Letter, Template, send_soon},
    sql::SqlType as _,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A mail to be written.
#[derive(Debug, Serialize, Deserialize)]
pub struct Post {
    pub to: String,
    /// A template's name.
    pub template: String,
    /// The link's path below the edge's own address; none for a template without one.
    pub path: Option<String>,
    pub fill: Value,
}

pub(crate) fn routes() -> Router {
    Router::new().route("/contract/mail", post(mail))
}

async fn mail(app: App, Json(mail): Json<Post>) -> Result<(), Error> {
    let named = Template::ALL.into_iter().find(|it| it.name() == mail.template);
    let template = named.expect("a test names a template");
    let letter = match &mail.path {
        Some(path) => Letter::with_link_and(&app, Some(&mail.to), template, path, mail.fill),
        None => Letter::new(&app, Some(&mail.to), template, &mail.fill),
    };
    app.host().query("select enqueue_mail($1::text)::int8", vec![letter.into_value()]).await?;
    send_soon(&app);
    Ok(())
}
