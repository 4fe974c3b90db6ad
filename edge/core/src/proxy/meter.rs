//! One row for each call, whatever becomes of it.

use super::call::Call;
use crate::{
    App, Error,
    host::{EndCause, StreamEnd},
    keys::Caller,
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
    /// Taken when the call is settled.
    record: Option<Record>,
}

impl Meter {
    /// Starts the clock for a call of `caller`.
    pub(super) fn start(app: &App, caller: &Caller, id: RequestId, call: &Call) -> Self {
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
        Self { app: app.clone(), started, record: Some(record) }
    }

    /// When the call began.
    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    /// Notes where the call went; the last upstream tried stays.
    pub(super) fn sent_to(&mut self, upstream: String) {
        if let Some(record) = &mut self.record {
            record.upstream = Some(upstream);
        }
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
