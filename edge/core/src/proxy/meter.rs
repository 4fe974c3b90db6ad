//! One row for each call, whatever becomes of it.

use super::call::{Call, Estimate};
use crate::{
    App, Error,
    host::{EndCause, StreamEnd},
    keys::Caller,
    limits::{Permit, Slot},
    usage::{self, Outcome, Record, Tokens, TokensSource},
};
use http::StatusCode;
use shared::{id::RequestId, time::Timestamp, usage::Usage};

/// What a client that left would have been answered, as nginx counts it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Records its call when settled, or, when dropped before, as one whose client left.
pub(super) struct Meter {
    app: App,
    started: Timestamp,
    estimate: Estimate,
    permit: Permit,
    /// Taken when the call is settled.
    record: Option<Record>,
}

impl Meter {
    /// Starts the clock for a call of `caller`.
    pub(super) fn start(app: &App, caller: &Caller, id: RequestId, call: &Call, permit: Permit) -> Self {
        let started = app.host.now();
        let record = Record {
            request_id: id,
            org_id: caller.org_id,
            key_id: caller.key_id,
            endpoint: call.endpoint.name(),
            model: call.model.clone(),
            upstream: None,
            stream: call.stream,
            status: CLIENT_CLOSED_REQUEST,
            outcome: Outcome::ClientLeft,
            tokens: Tokens::default(),
            tokens_source: TokensSource::None,
            started_at_ms: started.0,
            first_byte_ms: None,
            latency_ms: 0,
        };
        Self { app: app.clone(), started, estimate: call.estimate, permit, record: Some(record) }
    }

    /// When the call began.
    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    /// Notes where the call went; the last upstream tried stays.
    pub(super) fn sent_to(&mut self, upstream: String) {
        self.permit.sent();
        if let Some(record) = &mut self.record {
            record.upstream = Some(upstream);
        }
    }

    /// The call's place among those that run at the same time.
    pub(super) fn slot(&self) -> Slot {
        self.permit.slot()
    }

    /// Notes that the answer has begun.
    pub(super) fn first_byte(&mut self) {
        let elapsed_ms = self.elapsed_ms();
        if let Some(record) = &mut self.record {
            record.first_byte_ms = Some(elapsed_ms);
        }
    }

    /// A whole answer went out.
    pub(super) fn complete(self, usage: Option<Usage>) {
        let source = if usage.is_some() { TokensSource::Upstream } else { TokensSource::None };
        self.settle(StatusCode::OK, Outcome::Completed, usage.unwrap_or_default(), source);
    }

    /// The call failed before any answer.
    pub(super) fn fail(self, error: &Error) {
        let status = error.status();
        let outcome = if status.is_client_error() { Outcome::Refused } else { Outcome::Failed };
        self.settle(status, outcome, Usage::default(), TokensSource::None);
    }

    /// A stream is over.
    pub(super) fn end_stream(self, end: &StreamEnd) {
        let outcome = match end.cause {
            EndCause::ClientLeft => Outcome::ClientLeft,
            EndCause::Cut if !end.said.finished => Outcome::Revoked,
            _ if is_cut(end) => Outcome::UpstreamCut,
            EndCause::Eof | EndCause::Broken | EndCause::Idle | EndCause::Cut => Outcome::Completed,
        };
        let (usage, source) = match end.said.usage {
            Some(usage) => (usage, TokensSource::Upstream),
            // The first event carries the role and no text.
            None => (Usage::new(0, end.events.saturating_sub(1)), TokensSource::Counted),
        };
        self.settle(StatusCode::OK, outcome, usage, source);
    }

    fn settle(mut self, status: StatusCode, outcome: Outcome, usage: Usage, source: TokensSource) {
        let latency_ms = self.elapsed_ms();
        if let Some(tokens) = used(self.estimate, outcome, usage, source) {
            self.permit.settle(tokens);
        }
        if let Some(record) = self.record.take() {
            let (status, tokens) = (status.as_u16(), usage.into());
            usage::record(&self.app, Record { status, outcome, tokens, tokens_source: source, latency_ms, ..record });
        }
    }

    fn elapsed_ms(&self) -> i64 {
        self.app.host.now().since_ms(self.started).max(0)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let latency_ms = self.elapsed_ms();
        if let Some(record) = self.record.take() {
            usage::record(&self.app, Record { latency_ms, ..record });
        }
    }
}

/// Tokens of a prompt that its text does not show, such as those of pictures that it only links to.
const UNSEEN_TOKENS: u64 = 100_000;

/// More than any model answers.
const MOST_TOKENS: u64 = 250_000;

/// What a call counts as against the limits of tokens; none when that is what was reserved for it. An upstream that is wrong by
/// orders of magnitude does not take a day's tokens from anybody.
fn used(estimate: Estimate, outcome: Outcome, usage: Usage, source: TokensSource) -> Option<u64> {
    match source {
        TokensSource::Upstream => {
            let prompt = usage.prompt_tokens.min(estimate.prompt.saturating_mul(4).saturating_add(UNSEEN_TOKENS));
            Some(prompt.saturating_add(usage.completion_tokens.min(MOST_TOKENS.max(estimate.completion))))
        }
        TokensSource::Counted => Some(estimate.prompt.saturating_add(usage.completion_tokens)),
        // Whoever got nothing pays nothing; an answer that nobody has counted is taken for what it might have been.
        TokensSource::None => (outcome != Outcome::Completed).then_some(0),
    }
}

/// Whether the upstream ended its stream before it was finished. An upstream that closes properly but says neither
/// `[DONE]` nor why it finished has cut it too; one that sent an error event has told the client itself.
pub(super) fn is_cut(end: &StreamEnd) -> bool {
    match end.cause {
        EndCause::ClientLeft | EndCause::Cut => false,
        EndCause::Eof => !end.said.finished && !end.said.error,
        EndCause::Broken | EndCause::Idle => !end.said.finished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use shared::openai::sse;

    #[test]
    fn a_call_counts_what_it_used_within_reason() {
        let estimate = Estimate { prompt: 10, completion: 1_024 };
        for (source, outcome, usage, tokens) in [
            (TokensSource::Upstream, Outcome::Completed, (12, 30), Some(42)),
            (TokensSource::Upstream, Outcome::ClientLeft, (12, 0), Some(12)),
            (TokensSource::Upstream, Outcome::Completed, (u64::MAX, 1), Some(40 + UNSEEN_TOKENS + 1)),
            (TokensSource::Upstream, Outcome::Completed, (0, u64::MAX), Some(MOST_TOKENS)),
            (TokensSource::Counted, Outcome::UpstreamCut, (0, 7), Some(17)),
            (TokensSource::None, Outcome::Completed, (0, 0), None),
            (TokensSource::None, Outcome::Refused, (0, 0), Some(0)),
            (TokensSource::None, Outcome::Failed, (0, 0), Some(0)),
        ] {
            let usage = Usage { prompt_tokens: usage.0, completion_tokens: usage.1, ..Usage::default() };
            assert_eq!(used(estimate, outcome, usage, source), tokens, "{source:?} {outcome:?} {usage:?}");
        }
    }

    #[test]
    fn a_stream_is_cut_unless_it_finished_by_its_own_will() {
        let finished = "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n";
        let middle = "data: {\"choices\":[{\"finish_reason\":null}]}\n\n";
        let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
        for (cause, tail, cut) in [
            (EndCause::Eof, finished, false),
            (EndCause::Eof, sse::DONE, false),
            (EndCause::Eof, middle, true),
            (EndCause::Eof, "", true),
            (EndCause::Eof, error, false),
            (EndCause::Broken, middle, true),
            (EndCause::Broken, finished, false),
            (EndCause::Idle, middle, true),
            (EndCause::ClientLeft, middle, false),
            (EndCause::Cut, middle, false),
        ] {
            let end = StreamEnd::new(cause, Bytes::from_static(tail.as_bytes()), 1);
            assert_eq!(is_cut(&end), cut, "{cause:?} {tail:?}");
        }
    }
}
