//! Why somebody or something is suspended, in an operator's words.

use serde::{Deserialize, Deserializer, de::Error as _};
use std::str::FromStr;

/// Words that are there and fit a line or two. They go into the audit log, which the organisation concerned may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

/// Longest reason, in characters.
const LONGEST: usize = 500;

/// The text gives no reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reason is 1 to 500 characters on one line")]
pub struct ReasonError;

impl Reason {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = ReasonError;
    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= LONGEST && !text.contains(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(ReasonError) }
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_some_words_on_a_line() {
        for (text, reason) in [
            ("spam", Some("spam")),
            ("  spam, twice ", Some("spam, twice")),
            ("", None),
            ("   ", None),
            ("spam\nand more", None),
            ("\u{1b}[31mspam", None),
            (&"ä".repeat(500), Some(&*"ä".repeat(500))),
            (&"ä".repeat(501), None),
        ] {
            assert_eq!(text.parse::<Reason>().ok().as_ref().map(Reason::as_str), reason, "{text:?}");
        }
    }
}
