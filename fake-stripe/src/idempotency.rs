//! Answers that are kept under their idempotency keys: the same call again gets the same answer, another one none.

use crate::{calendar::DAY_S, refusal::Refusal};
use std::collections::HashMap;

/// An answer as it went out first.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The id of the request that it answered.
    pub(crate) request: String,
}

#[derive(Debug, Default)]
pub(crate) struct Kept(HashMap<String, (String, i64, Answer)>);

impl Kept {
    /// The answer to the same call, if it came within a day.
    pub(crate) fn find(&mut self, key: &str, call: &str, now: i64) -> Result<Option<Answer>, Refusal> {
        self.0.retain(|_, (_, at, _)| now - *at < DAY_S);
        match self.0.get(key) {
            None => Ok(None),
            Some((first, _, answer)) if first == call => Ok(Some(answer.clone())),
            Some(_) => Err(Refusal::of(
                400,
                "idempotency_error",
                format!(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}' if you meant to execute a different request."
                ),
            )),
        }
    }

    pub(crate) fn keep(&mut self, key: &str, call: &str, now: i64, answer: Answer) {
        self.0.insert(key.to_owned(), (call.to_owned(), now, answer));
    }
}
