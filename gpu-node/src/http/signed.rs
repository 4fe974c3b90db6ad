//! Who may call: the edge, by its signature, and each call once.

use super::{State, error::Error};
use axum::{
    body::{Body, Bytes},
    extract::{self, Request},
    middleware::Next,
    response::Response,
};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use shared::{
    node::{Nonce, TOLERANCE_MS, verify},
    time::Timestamp,
};
use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Largest body that is read.
pub(super) const BODY_LIMIT_BYTES: usize = 4 << 20;

/// How much of a body that is too large is read before the connection is closed.
const PATIENCE_BYTES: usize = 16 * BODY_LIMIT_BYTES;

/// Most calls that are remembered; a call is remembered for twice [`TOLERANCE_MS`], so this is 2000 a second.
const MOST_NONCES: usize = 120_000;

/// Lets only calls through that an edge signed and that were not made before.
pub(super) async fn require(
    extract::State(state): extract::State<State>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let (parts, body) = request.into_parts();
    let body = collect(body).await?;
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    let header = |name: &'static str| parts.headers.get(name).and_then(|it| it.to_str().ok());
    let now = now();
    let call = verify(&state.edge_keys(), parts.method.as_str(), path, &body, header, now)?;
    state.nonces.accept(call.nonce, now)?;
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

/// Reads a body to its end, but keeps no more than [`BODY_LIMIT_BYTES`].
///
/// What is over the limit is read and dropped, up to [`PATIENCE_BYTES`]: a client that is still sending when the
/// connection closes sees a broken pipe instead of the answer that says why.
async fn collect(mut body: Body) -> Result<Bytes, Error> {
    let (mut kept, mut seen) = (BytesMut::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Error::Body)?.into_data() else { continue };
        seen += data.len();
        if seen <= BODY_LIMIT_BYTES {
            kept.extend_from_slice(&data);
        } else if seen > PATIENCE_BYTES {
            break;
        }
    }
    if seen > BODY_LIMIT_BYTES { Err(Error::TooLarge { limit: BODY_LIMIT_BYTES }) } else { Ok(kept.freeze()) }
}

/// The nonces of the calls that could still be repeated.
#[derive(Default)]
pub(super) struct Nonces {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    nonces: HashSet<Nonce>,
    /// In the order of arrival, with its time.
    arrived: VecDeque<(Timestamp, Nonce)>,
}

impl Nonces {
    /// Remembers `nonce`, or refuses it. When there is no room it refuses too: forgetting would let copies pass.
    fn accept(&self, nonce: Nonce, now: Timestamp) -> Result<(), Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((arrived, old)) = seen.arrived.front().copied() {
            // A call dated ahead of us by the tolerance can be repeated until its date is behind us by as much.
            if now.since_ms(arrived) <= 2 * TOLERANCE_MS {
                break;
            }
            seen.arrived.pop_front();
            seen.nonces.remove(&old);
        }
        if seen.arrived.len() >= MOST_NONCES {
            return Err(Error::NoncesFull);
        }
        if !seen.nonces.insert(nonce) {
            return Err(Error::Replayed);
        }
        seen.arrived.push_back((now, nonce));
        Ok(())
    }
}

/// The machine's clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_for_as_long_as_its_call_could_be_repeated() {
        let (nonces, start) = (Nonces::default(), Timestamp(1_700_000_000_000));
        let at = |ms| start.plus_ms(ms);
        assert!(nonces.accept([1; 16], at(0)).is_ok());
        for ms in [0, 1, 59_999, 60_000] {
            assert!(matches!(nonces.accept([1; 16], at(ms)), Err(Error::Replayed)), "{ms}");
        }
        assert!(nonces.accept([2; 16], at(60_000)).is_ok());
        assert!(nonces.accept([1; 16], at(60_001)).is_ok());
        assert_eq!(nonces.seen.lock().unwrap().arrived.len(), 2);
    }

    #[test]
    fn memory_for_nonces_is_bounded() {
        let (nonces, now) = (Nonces::default(), Timestamp(0));
        for number in 0..MOST_NONCES as u128 {
            nonces.accept(number.to_le_bytes(), now).unwrap();
        }
        assert!(matches!(nonces.accept([255; 16], now), Err(Error::NoncesFull)));
        assert!(nonces.accept([255; 16], now.plus_ms(60_001)).is_ok());
    }
}
