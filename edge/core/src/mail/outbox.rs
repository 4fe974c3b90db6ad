//! What waits in the outbox, to look at: `/dev/outbox`, where no mail leaves.

use super::{Template, place, render::render};
use crate::{App, Config, Error, Store, config::MailWay, error::chain, sql::SqlError};
use axum::{
    Json, Router,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use minijinja::{Environment, Value};
use serde::Serialize;
use shared::{id::MailId, time::Timestamp};

/// A mail that waits, as its reader would see it.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    pub id: MailId,
    pub created_at: Timestamp,
    pub to: String,
    pub template: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// Every address in the text that leads to this service.
    pub links: Vec<String>,
}

#[derive(Serialize)]
struct List {
    mails: Vec<Shown>,
}

/// How many mails are shown.
const LATEST: i64 = 50;

/// The mails that wait, newest first, for one recipient or for all. One that is sent has no content any more.
pub async fn outbox(config: &Config, store: &Store, recipient: Option<&str>) -> Result<Vec<Shown>, SqlError> {
    let waiting = store.waiting_mail(recipient.map(str::to_owned), LATEST).await?;
    let mut mails = Vec::new();
    for row in waiting {
        match shown(config, &row) {
            Ok(mail) => mails.push(mail),
            Err(error) => {
                tracing::error!(mail.id = %row.id, error = %chain(&*error), "mail {} cannot be shown", row.id);
            }
        }
    }
    Ok(mails)
}

/// The routes; none where mail leaves, or people are.
pub(crate) fn routes(config: &Config) -> Router {
    if config.production || !matches!(config.mail.way, MailWay::Outbox) {
        return Router::new();
    }
    Router::new().route("/dev/outbox", get(show))
}

fn shown(config: &Config, row: &super::sql::Waiting) -> Result<Shown, crate::host::BoxError> {
    let fill = config.keyring.open(place(&row.id.uuid().to_string()), &row.sealed)?;
    let template = Template::named(&row.template).ok_or("no template has this name")?;
    let mail = render(config, template, &serde_json::from_slice(&fill)?)?;
    Ok(Shown {
        id: row.id,
        created_at: row.created_at,
        to: row.recipient.clone(),
        template: row.template.clone(),
        links: links(&mail.text, &config.public_url),
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
    })
}

/// A link stands on a line of its own, so that mail readers find its end.
fn links(text: &str, public_url: &str) -> Vec<String> {
    let below = |line: &&str| line.strip_prefix(public_url).is_some_and(|rest| rest.starts_with('/'));
    text.lines().filter(below).map(str::to_owned).collect()
}

async fn show(app: App, headers: HeaderMap) -> Result<Response, Error> {
    let mails = outbox(&app.config, &app.store, None).await?;
    let mut response = if prefers_html(&headers) { page(&mails) } else { Json(List { mails }).into_response() };
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

const PAGE: &str = include_str!("templates/outbox.html");

fn page(mails: &[Shown]) -> Response {
    let mails = mails.iter().map(|it| {
        let fields = [
            ("to", Value::from(it.to.as_str())),
            ("subject", Value::from(it.subject.as_str())),
            ("text", Value::from(it.text.as_str())),
            ("links", it.links.iter().map(String::as_str).collect()),
        ];
        Value::from(std::collections::BTreeMap::from(fields))
    });
    let fields = std::collections::BTreeMap::from([("mails", mails.collect::<Value>())]);
    // A name that ends in `.html` is escaped for HTML.
    let mut environment = Environment::new();
    let page = environment
        .add_template("outbox.html", PAGE)
        .and_then(|()| environment.get_template("outbox.html")?.render(fields));
    Html(page.expect("the page is rendered by a test")).into_response()
}

/// Whether a reader wants a page rather than JSON: a browser does, and `curl` does not.
fn prefers_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let weight = |wanted: &str| {
        let ranges = accept.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().filter(|name| *name == wanted || *name == "*/*")?;
            let weight = parts.find_map(|it| it.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
            Some((name == wanted, weight))
        });
        // What is named counts before what is meant by a star.
        ranges.max_by(|a, b| a.0.cmp(&b.0)).map_or(0.0, |(_, weight)| weight)
    };
    weight("text/html") > weight("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_a_page_and_a_program_json() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("*/*", false),
            ("", false),
            ("application/json", false),
            ("application/json, text/html", false),
            ("text/html;q=0.4, application/json;q=0.5", false),
            ("text/html; q=0.5, application/json; q=0.4", true),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn only_lines_that_lead_here_are_links() {
        let text = "See\n\nhttps://a.example/x#y\n\nhttps://a.example.evil/x\nor https://a.example/z\n";
        assert_eq!(links(text, "https://a.example"), ["https://a.example/x#y"]);
    }

    #[test]
    fn the_page_shows_text_and_not_what_it_could_mean() {
        let mail = Shown {
            id: MailId::from_uuid(uuid::Uuid::nil()),
            created_at: Timestamp(0),
            to: "a@example.com".to_owned(),
            template: "verify".to_owned(),
            subject: "<script>alert(1)</script>".to_owned(),
            text: "line one\n</pre><script>".to_owned(),
            html: String::new(),
            links: vec!["https://a.example/\"onclick=x".to_owned()],
        };
        let body = axum::body::to_bytes(page(&[mail]).into_body(), usize::MAX);
        let body = futures_util::FutureExt::now_or_never(body).unwrap().unwrap();
        let page = std::str::from_utf8(&body).unwrap();
        assert!(page.contains("line one") && page.contains("a@example.com"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("/\"onclick"), "{page}");
    }
}
