//! An HTTP mail API of Resend's shape: one POST a mail, and a header that keeps a second one from counting.

use super::rules::{Answer, answer, one_line};
use crate::{
    App,
    host::{MailError, OutgoingMail},
};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use shared::id::MailId;
use url::Url;

/// As much of a refusal as is read, and as much as is kept.
const REFUSAL_BYTES: usize = 4_096;
const REFUSAL_CHARS: usize = 300;

pub(super) async fn send(
    app: &App,
    (base_url, api_key): (&Url, &SecretString),
    id: MailId,
    mail: OutgoingMail,
) -> Result<(), MailError> {
    let request = request(base_url, api_key, id, &mail)?;
    let response = app.host.fetch(request).await.map_err(|error| MailError::Later(error.into()))?;
    match answer(response.status()) {
        Answer::Taken => Ok(()),
        Answer::Later => Err(MailError::Later(refusal(response).await.into())),
        Answer::Never => Err(MailError::Never(refusal(response).await.into())),
    }
}

fn request(
    base_url: &Url,
    api_key: &SecretString,
    id: MailId,
    mail: &OutgoingMail,
) -> Result<Request<Bytes>, MailError> {
    let body = json!({
        "from": mail.from.to_string(),
        "to": [mail.to],
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        // Nobody's holiday notice is to answer.
        "headers": { "Message-ID": mail.message_id, "Auto-Submitted": "auto-generated" },
    });
    // What keeps it from being built lies in the settings, which somebody mends.
    let later = |error: http::Error| MailError::Later(error.into());
    let mut bearer =
        HeaderValue::try_from(format!("Bearer {}", api_key.expose_secret())).map_err(|it| later(it.into()))?;
    bearer.set_sensitive(true);
    Request::post(format!("{}/emails", base_url.as_str().trim_end_matches('/')))
        .header(header::AUTHORIZATION, bearer)
        .header(header::CONTENT_TYPE, "application/json")
        .header("idempotency-key", id.to_string())
        .body(body.to_string().into())
        .map_err(later)
}

/// What was said, for whoever reads the outbox. The first kilobytes are enough.
async fn refusal(response: Response<axum::body::Body>) -> String {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_BYTES).collect().await;
    let said = body.map(|it| String::from_utf8_lossy(&it.to_bytes()).into_owned()).unwrap_or_default();
    format!("the mail API answered {status}: {}", one_line(&said, REFUSAL_CHARS))
}
