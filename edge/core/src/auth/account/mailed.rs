//! The one answer to whatever is settled by mail.

use crate::{
    App,
    auth::throttle::{Bucket, HOUR_MS, MAILS, ladder},
    openapi::{Accepted, Status},
};
use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// What is said whether or not a mail goes out.
#[derive(Serialize, ToSchema)]
pub(crate) struct Mailed {
    detail: &'static str,
}

/// 202, and no more.
pub(super) fn mailed(app: &App) -> Accepted<Mailed> {
    crate::mail::send_soon(app);
    Status(Json(Mailed { detail: "what happens next is in the mailbox of that address" }))
}

/// The count of mails that strangers cause to an address, for a statement that sends one.
pub(super) struct MailLimit {
    pub(super) bucket: Bucket,
    pub(super) window_ms: i64,
    pub(super) ladder: String,
}

impl MailLimit {
    pub(super) fn of(email: &str) -> Self {
        Self { bucket: Bucket::mails(email), window_ms: HOUR_MS, ladder: ladder(MAILS) }
    }
}
