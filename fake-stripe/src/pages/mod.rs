//! Pages for people, which work without scripts: to pay on, to help oneself, and to see what there is.

mod html;
mod overview;
mod pay;
mod portal;

use crate::{form::Form, shared::Shared};
use axum::{
    Router,
    body::Bytes,
    http::{StatusCode, header},
    response::{Html, IntoResponse as _, Response},
    routing::{get, post},
};

/// The pages, and what their buttons do.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(overview::show))
        .route("/clock", post(overview::advance))
        .route("/objects/{id}", get(overview::object).post(overview::act))
        .route("/c/pay/{session}", get(pay::show).post(pay::act))
        .route("/p/session/{secret}", get(portal::show).post(portal::act))
        .route("/i/{invoice}", get(portal::invoice))
        .route("/receipts/{charge}", get(overview::receipt))
}

/// A page, which loads nothing and runs nothing.
fn page(status: StatusCode, html: String) -> Response {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [(header::CONTENT_SECURITY_POLICY, policy), (header::CACHE_CONTROL, "no-store")];
    (status, headers, Html(html)).into_response()
}

fn gone(what: &str) -> Response {
    let text = format!("<h1>Not here</h1><p>{}</p><p><a href=\"/\">What there is</a></p>", html::escaped(what));
    page(StatusCode::NOT_FOUND, html::document("Not here", &text))
}

/// Sends the visitor on, with a request that repeats nothing.
fn on(url: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, url)], "").into_response()
}

fn form(body: &Bytes) -> Form {
    Form::parse(&String::from_utf8_lossy(body))
}
