//! Checklist 112: what was changed or moved does not open, whatever and however little it was.

use super::*;
use crate::host::{Busy, FetchError, RelayOptions, Relayed, Row, SqlError, Value};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use shared::time::Timestamp;
use std::{collections::HashSet, sync::Mutex};

/// Lends randomness alone: a count, which never repeats, and tells what it gave.
#[derive(Default)]
struct Counting(Mutex<u64>);

impl Host for Counting {
    fn query(&self, _: &'static str, _: Vec<Value>) -> BoxFuture<'_, Result<Vec<Row>, SqlError>> {
        panic!("sealing asks no database")
    }
    fn fetch(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Body>, FetchError>> {
        panic!("sealing asks nobody")
    }
    fn relay(&self, _: Request<Bytes>, _: RelayOptions) -> BoxFuture<'_, Result<Relayed, FetchError>> {
        panic!("sealing asks nobody")
    }
    fn defer(&self, _: BoxFuture<'static, ()>) {
        panic!("sealing leaves nothing behind")
    }
    fn compute(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'_, Result<(), Busy>> {
        panic!("sealing is light")
    }
    fn now(&self) -> Timestamp {
        panic!("sealing needs no time")
    }
    fn sleep(&self, _: u64) -> BoxFuture<'static, ()> {
        panic!("sealing needs no time")
    }
    fn random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut count = self.0.lock().unwrap();
            *count += 1;
            chunk.copy_from_slice(&count.to_be_bytes()[..chunk.len()]);
        }
    }
}

const PLACE: Place<'static> = Place { column: "totp_secrets.sealed", row: "7" };

fn ring(ids: &[&str]) -> Keyring {
    let key = |id: &&str| {
        let mut key = [0; KEY_BYTES];
        key[..id.len()].copy_from_slice(id.as_bytes());
        ((*id).to_owned(), key)
    };
    Keyring::new(ids.iter().map(key).collect())
}

#[test]
fn what_was_sealed_opens_in_its_place() {
    let host = Counting::default();
    for plain in [&b""[..], b"x", &[0; 10_000]] {
        let sealed = ring(&["a"]).seal(&host, PLACE, plain);
        assert_eq!(ring(&["a"]).open(PLACE, &sealed).unwrap().as_slice(), plain);
        assert!(
            plain.len() < 2 || !sealed.windows(plain.len()).any(|it| it == plain),
            "the value is not in plain sight"
        );
    }
}

#[test]
fn in_another_row_or_column_nothing_opens() {
    let host = Counting::default();
    let sealed = ring(&["a"]).seal(&host, PLACE, b"secret");
    for place in [
        Place { row: "8", ..PLACE },
        Place { row: "", ..PLACE },
        Place { column: "mail_outbox.sealed", ..PLACE },
        Place { column: "totp_secrets.sealed\n7", row: "" },
    ] {
        assert_eq!(ring(&["a"]).open(place, &sealed).map(drop), Err(SealError::Broken), "{place:?}");
        assert_eq!(ring(&["b", "a"]).rewrap(&host, place, &sealed).map(drop), Err(SealError::Broken), "{place:?}");
    }
}

#[test]
fn no_bit_of_it_can_be_flipped() {
    let host = Counting::default();
    let sealed = ring(&["a"]).seal(&host, PLACE, b"secret");
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            assert!(ring(&["a"]).open(PLACE, &changed).is_err(), "bit {bit} of byte {at}");
        }
    }
}

#[test]
fn cut_short_or_made_longer_it_does_not_open() {
    let host = Counting::default();
    let sealed = ring(&["a"]).seal(&host, PLACE, b"secret");
    for length in 0..sealed.len() {
        assert!(ring(&["a"]).open(PLACE, &sealed[..length]).is_err(), "the first {length} bytes");
        assert!(ring(&["a"]).open(PLACE, &sealed[sealed.len() - length..]).is_err(), "the last {length} bytes");
    }
    assert!(ring(&["a"]).open(PLACE, &[sealed.clone(), vec![0]].concat()).is_err());
}

#[test]
fn parts_of_two_values_make_no_third() {
    let host = Counting::default();
    let ring = ring(&["a"]);
    let (one, two) = (ring.seal(&host, PLACE, b"one"), ring.seal(&host, PLACE, b"two"));
    // The data key of the one, and the text of the other.
    let wrapped = 2 + 1 + WRAPPED_BYTES;
    assert_eq!(ring.open(PLACE, &[&one[..wrapped], &two[wrapped..]].concat()).map(drop), Err(SealError::Broken));
}

#[test]
fn a_key_that_is_not_in_the_ring_is_told_apart_from_tampering() {
    let host = Counting::default();
    let sealed = ring(&["a"]).seal(&host, PLACE, b"secret");
    assert_eq!(ring(&["b"]).open(PLACE, &sealed).map(drop), Err(SealError::UnknownKey));
    assert_eq!(key_id(&sealed), Ok("a"));
    assert_eq!(key_id(b""), Err(SealError::Broken));
    // The same id with another key.
    let other = Keyring::new(vec![("a".to_owned(), [9; KEY_BYTES])]);
    assert_eq!(other.open(PLACE, &sealed).map(drop), Err(SealError::Broken));
}

#[test]
fn a_value_that_is_wrapped_anew_is_the_same_and_needs_the_old_key_no_more() {
    let host = Counting::default();
    let old = ring(&["old"]).seal(&host, PLACE, b"secret");
    let both = ring(&["new", "old"]);
    let fresh = both.rewrap(&host, PLACE, &old).unwrap().unwrap();
    assert_eq!(ring(&["new"]).open(PLACE, &fresh).unwrap().as_slice(), b"secret");
    assert_eq!(ring(&["old"]).open(PLACE, &fresh).map(drop), Err(SealError::UnknownKey));
    assert_eq!(both.rewrap(&host, PLACE, &fresh), Ok(None), "there is nothing more to do");
    assert_eq!(key_id(&fresh), Ok("new"));
}

#[test]
fn no_nonce_and_no_data_key_is_ever_used_twice() {
    let host = Counting::default();
    let ring = ring(&["a"]);
    let mut seen = HashSet::new();
    for _ in 0..2_000 {
        let sealed = ring.seal(&host, PLACE, b"the same");
        let wrapped = 3 + WRAPPED_BYTES;
        assert!(seen.insert(sealed[3..3 + NONCE_BYTES].to_vec()), "the wrapping's nonce");
        assert!(seen.insert(sealed[wrapped..wrapped + NONCE_BYTES].to_vec()), "the value's nonce");
        let (data_key, _) = ring.unwrap(PLACE, &sealed).unwrap();
        assert!(seen.insert(data_key.to_vec()), "the data key");
    }
}
