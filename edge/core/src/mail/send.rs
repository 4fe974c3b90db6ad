//! From the outbox to whoever takes our mail.

use super::{
    Template, place,
    render::{Rendered, render},
    resend,
    rules::{CLAIM_MS, Next, TRY_MS, after_failure, is_one_address, one_line},
    sql::Due,
};
use crate::{
    App,
    config::MailWay,
    error::chain,
    host::{MailError, OutgoingMail},
    seal::SealError,
    sql::SqlError,
};
use futures_util::{
    FutureExt as _,
    future::{Either, join_all, select},
};
use std::{future::Future, pin::pin};

/// Mails that are claimed and tried together.
const ROUND: i64 = 10;
/// Rounds of one tick; what is left waits a minute.
const ROUNDS: usize = 50;
/// How often it is tried to write down what became of a mail, and the wait between.
const MARKS: u32 = 3;
const MARK_AGAIN_MS: u64 = 1_000;
/// How much of an error is kept with a mail.
const ERROR_CHARS: usize = 500;

/// What a round has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    tried: usize,
    sent: usize,
}

/// Sends until nothing is due. When not one mail of a round goes out, whoever takes them is away: the next try is the
/// next tick's.
pub(super) async fn all(app: &App) {
    for _ in 0..ROUNDS {
        let round = round(app).await;
        if round.tried == 0 || round.sent == 0 {
            return;
        }
    }
}

/// Claims what is due, a few mails at most, and tries each once.
pub(super) async fn round(app: &App) -> Round {
    let now = app.host.now();
    let due = match app.store.claim_mail(now, now.plus_ms(CLAIM_MS), ROUND).await {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(error = %chain(&error), "mail that is due cannot be read");
            return Round::default();
        }
    };
    let sent = join_all(due.iter().map(|mail| attempt(app, mail))).await;
    Round { tried: due.len(), sent: sent.into_iter().filter(|it| *it).count() }
}

/// Tries one mail, and writes down what became of it. Says whether it went out.
async fn attempt(app: &App, due: &Due) -> bool {
    let outcome = match write(app, due) {
        Ok(mail) => within_limit(app, hand_over(app, due, mail)).await,
        Err(error) => Err(error),
    };
    let (id, attempts, now) = (due.id, due.attempts, app.host.now());
    let Err(error) = outcome else {
        tracing::info!(mail.id = %id, mail.template = due.template, attempts, "mail {id} went out");
        mark(app, due, || app.store.mail_sent(id, now)).await;
        return true;
    };
    let text = one_line(&chain(&error), ERROR_CHARS);
    let next = match error {
        MailError::Later(_) => after_failure(attempts, due.created_at, now),
        MailError::Never(_) => Next::GiveUp,
    };
    match next {
        Next::Again(at) => {
            tracing::warn!(mail.id = %id, mail.template = due.template, attempts, error = text, "mail {id} did not go out");
            mark(app, due, || app.store.mail_again(id, attempts, at, text.clone())).await;
        }
        Next::GiveUp => {
            tracing::error!(mail.id = %id, mail.template = due.template, attempts, error = text, "mail {id} is given up");
            mark(app, due, || app.store.mail_failed(id, attempts, now, text.clone())).await;
        }
    }
    false
}

/// The mail that a row stands for; the same at every try.
fn write(app: &App, due: &Due) -> Result<OutgoingMail, MailError> {
    if !is_one_address(&due.recipient) {
        return Err(MailError::Never("the recipient is not one plain address".into()));
    }
    let Rendered { subject, text, html } = open(app, &due.id.uuid().to_string(), &due.template, &due.sealed)?;
    let from = app.config.mail.from.clone();
    let message_id = format!("<{}@{}>", due.id, from.domain());
    Ok(OutgoingMail { message_id, from, to: due.recipient.clone(), subject, text, html })
}

/// Opens what a row's template is filled with, and fills it.
fn open(app: &App, row: &str, template: &str, sealed: &[u8]) -> Result<Rendered, MailError> {
    let never = |error: crate::host::BoxError| MailError::Never(error);
    let fill = app.config.keyring.open(place(row), sealed).map_err(|error| match error {
        // Another edge may have the key, or this one after its next start.
        SealError::UnknownKey => MailError::Later(error.into()),
        SealError::Broken => MailError::Never(error.into()),
    })?;
    let fill = serde_json::from_slice(&fill).map_err(|error| never(error.into()))?;
    // An older edge may meet a template of a newer one.
    let template = Template::named(template).ok_or_else(|| MailError::Later("no template has this name".into()))?;
    render(&app.config, template, &fill).map_err(|error| never(error.into()))
}

async fn hand_over(app: &App, due: &Due, mail: OutgoingMail) -> Result<(), MailError> {
    match &app.config.mail.way {
        MailWay::Resend { base_url, api_key } => resend::send(app, (base_url, api_key), due.id, mail).await,
        MailWay::Smtp { .. } => app.host.smtp(mail).await,
        MailWay::Outbox => Err(MailError::Later("nobody takes mail here".into())),
    }
}

/// Whoever takes mail and then falls silent may hold a try, but not its claim.
async fn within_limit(app: &App, sending: impl Future<Output = Result<(), MailError>>) -> Result<(), MailError> {
    match select(pin!(sending), app.host.sleep(TRY_MS)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => Err(MailError::Later(format!("no answer within {TRY_MS} ms").into())),
    }
}

/// Writes down what became of a mail. A mail that went out unmarked would go out again, so this is worth some tries.
async fn mark<F: Future<Output = Result<(), SqlError>>>(app: &App, due: &Due, write: impl Fn() -> F) {
    for left in (0..MARKS).rev() {
        match write().await {
            Ok(()) => return,
            Err(error) => {
                let id = due.id;
                tracing::error!(mail.id = %id, error = %chain(&error), tries_left = left, "what became of mail {id} is not written");
            }
        }
        if left > 0 {
            app.host.sleep(MARK_AGAIN_MS).boxed().await;
        }
    }
}
