//! What goes wrong when a test says so.

use crate::random::Chance;

/// What becomes of a request to the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status before anything was done; the same call again is a new one.
    Refuse(u16),
    /// Answered with 500 before anything was done, and so again for the same idempotency key, as Stripe does once it
    /// has begun.
    Fail,
    /// Done, and then the connection is cut: the client cannot know.
    LoseAnswer,
    /// The connection is cut before anything is done: the client cannot know either.
    LoseRequest,
    /// Done and answered, so many milliseconds late.
    Late(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Vec<Plan>,
    /// How many of a hundred requests fail by chance.
    percent: u8,
}

#[derive(Debug)]
struct Plan {
    /// `POST`, or nothing for every method.
    method: String,
    /// What the path begins with.
    path: String,
    fault: Fault,
    times: u32,
}

impl Faults {
    pub(crate) fn plan(&mut self, call: &str, fault: Fault, times: u32) {
        let (method, path) = call.split_once(' ').unwrap_or(("", call));
        self.planned.push(Plan { method: method.to_owned(), path: path.to_owned(), fault, times });
    }

    pub(crate) fn by_chance(&mut self, percent: u8) {
        self.percent = percent;
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// What this request meets.
    pub(crate) fn next(&mut self, method: &str, path: &str, chance: &mut Chance) -> Option<Fault> {
        let meets = |it: &&mut Plan| {
            it.times > 0 && (it.method.is_empty() || it.method == method) && path.starts_with(&it.path)
        };
        if let Some(plan) = self.planned.iter_mut().find(meets) {
            plan.times -= 1;
            return Some(plan.fault);
        }
        let faults = [Fault::Refuse(500), Fault::LoseAnswer, Fault::LoseRequest, Fault::Refuse(429)];
        chance.happens(self.percent).then(|| faults[chance.below(faults.len())])
    }
}
