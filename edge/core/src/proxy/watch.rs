//! A stream ends with its key: one that is revoked, expires, or loses its organisation takes its streams with it.

use crate::{
    App,
    host::{Cut, StreamEnd},
    keys::{self, Caller, KeyError},
};
use futures_util::future::{BoxFuture, Either, select};
use shared::time::Timestamp;
use std::{
    pin::pin,
    sync::{Arc, OnceLock},
};

/// Why a stream's key would be refused now: known before the stream is cut, so that its last word can tell.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<OnceLock<KeyError>>);

impl Refusal {
    pub(super) fn get(&self) -> Option<KeyError> {
        self.0.get().cloned()
    }
}

/// Waits for the end of a stream, and brings it about when its key is not live any more. `since` is when the key was
/// let in.
pub(super) async fn ended(
    app: &App,
    caller: Caller,
    since: Timestamp,
    end: BoxFuture<'static, StreamEnd>,
    cut: Cut,
    refusal: &Refusal,
) -> StreamEnd {
    match select(end, pin!(keys::until_refused(app, &caller, since))).await {
        Either::Left((end, _)) => end,
        Either::Right((error, end)) => {
            tracing::info!(key.id = %caller.key_id, code = error.face().1, "a stream of key {} is cut", caller.key_id);
            refusal.0.get_or_init(|| error);
            cut();
            end.await
        }
    }
}
