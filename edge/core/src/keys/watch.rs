//! Whether a key stays live for as long as a stream of its caller runs.

use super::{
    Caller, KeyError, extract,
    key::{Key, Kind},
    rules,
};
use crate::App;
use shared::time::Timestamp;

/// Between two looks. With the age of what they look at it bounds how long a dead key's stream goes on: five seconds,
/// of which half a second is left for reading. A stream that is over sooner is never looked after.
const LOOK_MS: u64 = 2_500;

/// What was read at most so long ago needs no reading anew, so that the streams of one key share their reads.
const YOUNG_MS: i64 = 2_000;

/// How often a read that another stream has begun is looked after, and how long.
const SHARED_LOOK_MS: u64 = 20;
const SHARED_LOOKS: usize = 10;

/// Ends when the key that `caller` has presented would be refused now, with the reason. `since` is when it was let in.
///
/// While Postgres is away nothing is known of the key, and no stream ends for that.
pub(crate) async fn until_refused(app: &App, caller: &Caller, since: Timestamp) -> KeyError {
    let waited = u64::try_from(app.host.now().since_ms(since)).unwrap_or_default();
    app.host.sleep(LOOK_MS.saturating_sub(waited)).await;
    loop {
        if let Some(refusal) = look(app, caller).await {
            return refusal;
        }
        app.host.sleep(LOOK_MS).await;
    }
}

/// Why the key would be refused now, if it would.
async fn look(app: &App, caller: &Caller) -> Option<KeyError> {
    let id = caller.key_id;
    let refusal = |key: &Key, now| rules::admit(key, &caller.presented.0, Kind::Inference, caller.address, now).err();
    for _ in 0..SHARED_LOOKS {
        let now = app.host.now();
        let Some(entry) = app.keys.get(id) else { break };
        if now.since_ms(entry.read_at) < YOUNG_MS {
            return refusal(&entry.key, now);
        }
        if app.keys.claim_refresh(id, now) {
            break;
        }
        app.host.sleep(SHARED_LOOK_MS).await;
    }
    match extract::read(app, id).await {
        Ok(Some(key)) => refusal(&key, app.host.now()),
        Ok(None) => Some(KeyError::Unknown),
        Err(error) => {
            tracing::warn!(error = %crate::error::chain(&error), "key {id} could not be looked after");
            app.keys.release_refresh(id);
            None
        }
    }
}
