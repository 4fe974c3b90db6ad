//! What can go wrong at an upstream, by name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;

/// A way to fail. Its text form, such as `429=7` or `reset-after=3`, serves in a header, in a model's name after `@`,
/// and in `POST /fake/faults`.
///
/// `events` counts server-sent events; an answer that is not streamed is one event of two halves, and these faults
/// then let the first half through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `400`, `401`, `404`, `413`, `429`, `500` or `503`, or another error status; `=7` adds `retry-after: 7`.
    Status { status: StatusCode, retry_after_s: Option<u64> },
    /// `stall-head`: the request is read and never answered.
    StallHead,
    /// `reset-head`: the request is read and the connection reset.
    ResetHead,
    /// `stall-after=3`: nothing follows the third event, and the connection stays open.
    StallAfter { events: usize },
    /// `reset-after=3`: the connection is reset after the third event.
    ResetAfter { events: usize },
    /// `cut-after=3`: the body ends after the third event as if it were whole, without `[DONE]`.
    CutAfter { events: usize },
    /// `garbage`: status 200 and a body that is neither JSON nor events.
    Garbage,
    /// `content-type`: the right body, called `text/html`.
    ContentType,
    /// `no-usage`: no usage, neither at the end of a stream nor in an answer.
    NoUsage,
    /// `gap=50`: 50 ms before each event.
    Gap { ms: u64 },
}

/// The text names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no fault; a status from 400 on, stall-head, reset-head, stall-after=K, reset-after=K, cut-after=K, garbage, content-type, no-usage or gap=MS is"
)]
pub struct NotAFault(String);

/// Groq always says when to try again after a 429.
const RETRY_AFTER_S: u64 = 2;

impl Fault {
    pub fn status(code: StatusCode) -> Self {
        let retry_after_s = (code == StatusCode::TOO_MANY_REQUESTS).then_some(RETRY_AFTER_S);
        Self::Status { status: code, retry_after_s }
    }

    pub(super) fn gap(self) -> Option<Duration> {
        if let Self::Gap { ms } = self { Some(Duration::from_millis(ms)) } else { None }
    }
}

impl FromStr for Fault {
    type Err = NotAFault;

    fn from_str(text: &str) -> Result<Self, NotAFault> {
        let error = || NotAFault(text.to_owned());
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.parse::<u64>().map_err(|_| error())?)),
            None => (text, None),
        };
        let events = || value.and_then(|value| usize::try_from(value).ok()).ok_or_else(error);
        match (name, value) {
            ("stall-head", None) => Ok(Self::StallHead),
            ("reset-head", None) => Ok(Self::ResetHead),
            ("garbage", None) => Ok(Self::Garbage),
            ("content-type", None) => Ok(Self::ContentType),
            ("no-usage", None) => Ok(Self::NoUsage),
            ("stall-after", _) => Ok(Self::StallAfter { events: events()? }),
            ("reset-after", _) => Ok(Self::ResetAfter { events: events()? }),
            ("cut-after", _) => Ok(Self::CutAfter { events: events()? }),
            ("gap", Some(ms)) => Ok(Self::Gap { ms }),
            _ => {
                let status = name.parse::<StatusCode>().map_err(|_| error())?;
                if !status.is_client_error() && !status.is_server_error() {
                    return Err(error());
                }
                let usual = Self::status(status);
                Ok(if value.is_some() { Self::Status { status, retry_after_s: value } } else { usual })
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, retry_after_s: None } => write!(f, "{}", status.as_u16()),
            Self::Status { status, retry_after_s: Some(seconds) } => write!(f, "{}={seconds}", status.as_u16()),
            Self::StallHead => f.write_str("stall-head"),
            Self::ResetHead => f.write_str("reset-head"),
            Self::StallAfter { events } => write!(f, "stall-after={events}"),
            Self::ResetAfter { events } => write!(f, "reset-after={events}"),
            Self::CutAfter { events } => write!(f, "cut-after={events}"),
            Self::Garbage => f.write_str("garbage"),
            Self::ContentType => f.write_str("content-type"),
            Self::NoUsage => f.write_str("no-usage"),
            Self::Gap { ms } => write!(f, "gap={ms}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_text_form_that_reads_back() {
        for text in [
            "400",
            "503",
            "503=30",
            "429=7",
            "stall-head",
            "reset-head",
            "stall-after=0",
            "reset-after=3",
            "cut-after=3",
            "garbage",
            "content-type",
            "no-usage",
            "gap=50",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        assert_eq!("429".parse(), Ok(Fault::status(StatusCode::TOO_MANY_REQUESTS)));
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "200", "302", "boom", "gap", "stall-after", "stall-head=1", "gap=soon"] {
            assert_eq!(text.parse::<Fault>(), Err(NotAFault(text.to_owned())));
        }
    }
}
