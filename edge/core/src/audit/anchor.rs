//! Anchors: the chain's end, told once a minute to a second place.
//!
//! Whoever holds the database and an older copy of it can put the whole log back to what it was. What they cannot do is
//! take back what has left the database: each anchor is a line of the edge's own log, which is kept elsewhere, and goes
//! to `AUDIT_ANCHOR_URL` where one is set.

use super::{
    chain::{Anchor, Head},
    chaining::{ChainError, opened_head},
};
use crate::{
    App,
    error::chain as causes,
    sql::{SqlError, hex},
};
use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, header::CONTENT_TYPE};
use serde_json::json;
use shared::time::Timestamp;
use std::pin::pin;

/// Many edges have a clock each; anchors are at least so far apart.
const APART_MS: i64 = 30_000;

/// Pauses before another try to post an anchor.
const PAUSES_MS: [u64; 2] = [500, 2_000];

/// Longest wait for the receiver.
const ANSWER_MS: u64 = 5_000;

/// Anchors the chain if it has moved.
pub(super) async fn anchor(app: &App) {
    match write(app).await {
        Ok(Some(anchor)) => tell(app, &anchor).await,
        Ok(None) => {}
        Err(ChainError::Sql(error @ SqlError::Unavailable(_))) => {
            tracing::warn!(error = %causes(&error), "the audit log is not anchored yet");
        }
        Err(error) => tracing::error!(error = %causes(&error), "the audit log is not anchored any more"),
    }
}

async fn write(app: &App) -> Result<Option<Anchor>, ChainError> {
    let Some((row, head, key)) = opened_head(app).await? else { return Ok(None) };
    let now = app.host.now();
    if !is_due(head.seq, row.anchored_seq, row.anchored_at, now) {
        return Ok(None);
    }
    let anchor = Anchor { number: head.anchors + 1, at_us: now.0 * 1_000, seq: head.seq, mac: head.mac };
    let new_tag = key.head(&Head { anchors: anchor.number, ..head });
    let tag = key.anchor(&anchor);
    let written = app.store.insert_anchor(row.tag, new_tag.to_vec(), now, tag.to_vec()).await?;
    Ok(written.then_some(anchor))
}

/// A clock that was ahead must not keep anchors away until its time has come.
fn is_due(seq: i64, anchored_seq: Option<i64>, anchored_at: Option<Timestamp>, now: Timestamp) -> bool {
    let rested = anchored_at.is_none_or(|at| !(0..APART_MS).contains(&now.since_ms(at)));
    seq > anchored_seq.unwrap_or(0) && rested
}

/// Only what is written is told, so that whatever was told can be asked for.
async fn tell(app: &App, anchor: &Anchor) {
    let (at_ms, mac) = (anchor.at_us / 1_000, hex(&anchor.mac));
    tracing::info!(target: "audit", at_ms, seq = anchor.seq, mac, "audit anchor");
    let Some(url) = &app.config.anchor_url else { return };
    let body = json!({"service": app.config.public_url, "at_ms": at_ms, "seq": anchor.seq, "mac": mac});
    let body = Bytes::from(body.to_string());
    let mut pauses = PAUSES_MS.into_iter();
    while let Err(problem) = post(app, url.as_str(), body.clone()).await {
        let Some(pause_ms) = pauses.next() else {
            // The next one says all that this one did.
            tracing::error!(problem, seq = anchor.seq, "an audit anchor could not be posted");
            return;
        };
        app.host.sleep(pause_ms).await;
    }
}

async fn post(app: &App, url: &str, body: Bytes) -> Result<(), String> {
    let request = Request::post(url).header(CONTENT_TYPE, "application/json").body(body);
    let request = request.map_err(|error| error.to_string())?;
    match select(pin!(app.host.fetch(request)), app.host.sleep(ANSWER_MS)).await {
        Either::Left((Ok(response), _)) if response.status().is_success() => Ok(()),
        Either::Left((Ok(response), _)) => Err(format!("the receiver answered {}", response.status())),
        Either::Left((Err(error), _)) => Err(causes(&error)),
        Either::Right(((), _)) => Err("the receiver did not answer in time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_due_when_the_chain_has_moved_and_the_last_one_is_not_just_now() {
        let at = |ms| Some(Timestamp(ms));
        for (seq, anchored_seq, anchored_at, now, due) in [
            (0, None, None, 0, false),
            (1, None, None, 0, true),
            (1, Some(1), at(0), 60_000, false),
            (2, Some(1), at(0), 60_000, true),
            (2, Some(1), at(0), 30_000, true),
            (2, Some(1), at(0), 29_999, false),
            (2, Some(1), at(86_400_000), 0, true), // that clock was a day ahead
        ] {
            assert_eq!(is_due(seq, anchored_seq, anchored_at, Timestamp(now)), due, "{seq} {anchored_seq:?} {now}");
        }
    }

    #[test]
    fn anchors_go_to_a_url_and_in_production_nobody_reads_along() {
        for (url, environment, good) in [
            ("http://127.0.0.1:9/a", "development", true),
            ("https://anchors.example.com/a?token=b", "production", true),
            ("http://anchors.example.com/a", "production", false),
            ("anchors.example.com", "development", false),
            ("file:///tmp/a", "development", false),
        ] {
            let settings = [
                ("AUDIT_ANCHOR_URL", url),
                ("APP_ENV", environment),
                ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv"),
                ("PUBLIC_URL", "https://nest.example.com"),
                ("SMTP_URL", "smtps://mail.example.com"),
                ("MAIL_FROM", "nest@example.com"),
            ];
            let lookup = |name: &str| settings.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
            match crate::Config::load(&lookup) {
                Ok(config) => assert!(good && config.anchor_url.is_some(), "{url} {environment}"),
                Err(problems) => {
                    let text = problems.to_string();
                    assert!(!good && text.contains("AUDIT_ANCHOR_URL") && !text.contains("anchors."), "{text}");
                }
            }
        }
    }
}
