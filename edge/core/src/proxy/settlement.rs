//! What a call is billed for, whatever became of it. docs/settlement.md has the same table in words.

use super::call::Estimate;
use crate::{
    host::{EndCause, StreamEnd},
    usage::{Outcome, TokensSource},
};
use shared::usage::{CompletionDetails, PromptDetails, Usage};

/// Tokens of a prompt that its text does not show, such as those of pictures that it only links to.
const UNSEEN_TOKENS: u64 = 100_000;

/// More than any model answers.
pub(super) const MOST_TOKENS: u64 = 250_000;

/// What was heard of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// No answer, or an error in its place.
    Nothing,
    /// The upstream's own count.
    Reported(Usage),
    /// No count of its own, but so much output as we count ourselves.
    Output { tokens: u64 },
}

/// The tokens that a call is billed for, and who counted them.
pub(super) fn settle(estimate: Estimate, heard: Heard) -> (Usage, TokensSource) {
    match heard {
        // Whoever got nothing pays nothing.
        Heard::Nothing => (Usage::default(), TokensSource::None),
        Heard::Reported(usage) => (bounded(estimate, usage), TokensSource::Upstream),
        Heard::Output { tokens } => {
            let tokens = tokens.min(most_completion(estimate));
            (Usage::new(estimate.prompt, tokens), TokensSource::Counted)
        }
    }
}

/// What a stream has told when it is over.
pub(super) fn heard_of_stream(end: &StreamEnd) -> Heard {
    // The first event carries the role and no text; what follows the last word carries none either.
    let output = end.events.saturating_sub(1).saturating_sub(end.said.silent);
    match end.said.usage {
        Some(usage) => Heard::Reported(usage),
        // An error in the place of an answer is none, whatever status came before it.
        None if end.events == 0 || (output == 0 && end.said.error) => Heard::Nothing,
        None => Heard::Output { tokens: output },
    }
}

/// How a stream ended.
pub(super) fn outcome(end: &StreamEnd) -> Outcome {
    match end.cause {
        EndCause::ClientLeft => Outcome::ClientLeft,
        EndCause::Cut if !end.said.finished => Outcome::Revoked,
        _ if is_cut(end) => Outcome::UpstreamCut,
        EndCause::Eof | EndCause::Broken | EndCause::Idle | EndCause::Cut => Outcome::Completed,
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

/// An upstream that is wrong by orders of magnitude takes neither a day's tokens nor the credit from anybody.
fn bounded(estimate: Estimate, usage: Usage) -> Usage {
    let prompt = usage.prompt_tokens.min(estimate.prompt.saturating_mul(4).saturating_add(UNSEEN_TOKENS));
    let completion = usage.completion_tokens.min(most_completion(estimate));
    let (cached, reasoning) = (usage.cached_tokens().min(prompt), usage.reasoning_tokens().min(completion));
    Usage {
        prompt_tokens_details: usage.prompt_tokens_details.map(|_| PromptDetails { cached_tokens: cached }),
        completion_tokens_details: usage
            .completion_tokens_details
            .map(|_| CompletionDetails { reasoning_tokens: reasoning }),
        ..Usage::new(prompt, completion)
    }
}

fn most_completion(estimate: Estimate) -> u64 {
    MOST_TOKENS.max(estimate.completion)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use shared::openai::sse;

    const ESTIMATE: Estimate = Estimate { prompt: 10, completion: 1_024 };
    const ROLE: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    const WORD: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x \"},\"finish_reason\":null}]}\n\n";
    const FINISH: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const LAST: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
    const ERROR: &str = "data: {\"error\":{\"message\":\"x\"}}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":30}}\n\n";
    const ZERO: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n";
    const NEGATIVE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":-1}}\n\n";

    fn ended(cause: EndCause, events: &[&str]) -> StreamEnd {
        StreamEnd::new(cause, Bytes::from(events.concat()), events.len() as u64)
    }

    /// Checklist 84: the table of docs/settlement.md for streams.
    #[test]
    fn a_stream_is_billed_for_what_its_upstream_said_or_sent() {
        use EndCause::{Broken, ClientLeft, Cut, Eof, Idle};
        use TokensSource::{Counted, None, Upstream};
        for (cause, events, prompt, completion, source) in [
            (Eof, &[ROLE, WORD, WORD, FINISH, USAGE, sse::DONE][..], 12, 30, Upstream),
            (Eof, &[ROLE, WORD, WORD, FINISH, sse::DONE], 10, 2, Counted),
            (Eof, &[ROLE, WORD, LAST, sse::DONE], 10, 2, Counted),
            (Eof, &[ROLE, FINISH, ZERO, sse::DONE], 0, 0, Upstream),
            (Eof, &[ROLE, FINISH, sse::DONE], 10, 0, Counted),
            (Broken, &[ROLE, WORD, WORD], 10, 2, Counted),
            (Idle, &[ROLE, WORD, USAGE], 12, 30, Upstream),
            (Eof, &[ROLE, WORD, ERROR], 10, 1, Counted),
            (Eof, &[ERROR], 0, 0, None),
            (Eof, &[ROLE, ERROR], 0, 0, None),
            (Broken, &[], 0, 0, None),
            (ClientLeft, &[ROLE, WORD, WORD, WORD], 10, 3, Counted),
            (ClientLeft, &[ROLE, WORD, FINISH, USAGE, sse::DONE], 12, 30, Upstream),
            (ClientLeft, &[ROLE], 10, 0, Counted),
            (ClientLeft, &[], 0, 0, None),
            (Cut, &[ROLE, WORD], 10, 1, Counted),
            (Eof, &[ROLE, WORD, FINISH, NEGATIVE, sse::DONE], 10, 1, Counted),
        ] {
            let (usage, seen) = settle(ESTIMATE, heard_of_stream(&ended(cause, events)));
            let billed = (usage.prompt_tokens, usage.completion_tokens, seen);
            assert_eq!(billed, (prompt, completion, source), "{cause:?} {events:?}");
        }
    }

    #[test]
    fn what_is_absurd_is_bounded() {
        let details = |prompt, completion, cached, reasoning| Usage {
            prompt_tokens_details: Some(PromptDetails { cached_tokens: cached }),
            completion_tokens_details: Some(CompletionDetails { reasoning_tokens: reasoning }),
            ..Usage::new(prompt, completion)
        };
        for (said, billed) in [
            (Usage::new(12, 30), Usage::new(12, 30)),
            (Usage::new(0, 0), Usage::new(0, 0)),
            (Usage::new(u64::MAX, 1), Usage::new(40 + UNSEEN_TOKENS, 1)),
            (Usage::new(0, u64::MAX), Usage::new(0, MOST_TOKENS)),
            (details(10, 10, 4, 9), details(10, 10, 4, 9)),
            (details(10, 10, 11, u64::MAX), details(10, 10, 10, 10)),
        ] {
            assert_eq!(settle(ESTIMATE, Heard::Reported(said)).0, billed, "{said:?}");
        }
        let much = Estimate { prompt: 0, completion: 2 * MOST_TOKENS };
        assert_eq!(settle(much, Heard::Reported(Usage::new(0, u64::MAX))).0.completion_tokens, 2 * MOST_TOKENS);
        assert_eq!(settle(ESTIMATE, Heard::Output { tokens: u64::MAX }).0.completion_tokens, MOST_TOKENS);
        assert_eq!(settle(ESTIMATE, Heard::Nothing).0, Usage::default());
    }

    #[test]
    fn a_stream_is_cut_unless_it_finished_by_its_own_will() {
        for (cause, tail, cut) in [
            (EndCause::Eof, FINISH, false),
            (EndCause::Eof, sse::DONE, false),
            (EndCause::Eof, WORD, true),
            (EndCause::Eof, "", true),
            (EndCause::Eof, ERROR, false),
            (EndCause::Broken, WORD, true),
            (EndCause::Broken, FINISH, false),
            (EndCause::Idle, WORD, true),
            (EndCause::ClientLeft, WORD, false),
            (EndCause::Cut, WORD, false),
        ] {
            assert_eq!(is_cut(&ended(cause, &[tail])), cut, "{cause:?} {tail:?}");
        }
    }
}
