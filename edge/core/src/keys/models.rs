//! Which models a key may use.

use super::KeyError;
use std::sync::Arc;

/// Patterns of one key at most.
const MOST: usize = 100;
/// Bytes of a pattern at most, as of a model's id.
const LONGEST: usize = 256;

/// Models by id, or by how their ids begin (`llama-*`); none named means all. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Models(Arc<[String]>);

impl Models {
    /// Checks what somebody wrote.
    pub fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, KeyError> {
        if patterns.len() > MOST {
            return Err(KeyError::field("models", format!("{MOST} at most")));
        }
        let mut checked = Vec::new();
        for pattern in patterns.iter().map(AsRef::as_ref) {
            if !is_pattern(pattern) {
                let reason = "each is a model's id, or its beginning with a `*` after it; without spaces";
                return Err(KeyError::field("models", reason));
            }
            if !checked.iter().any(|it| it == pattern) {
                checked.push(pattern.to_owned());
            }
        }
        Ok(Self(checked.into()))
    }

    /// Whether a call may name `model`.
    pub fn allow(&self, model: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => model.starts_with(beginning),
            None => model == pattern,
        };
        self.0.is_empty() || self.0.iter().any(matches)
    }

    /// Space-separated, as they are stored.
    pub(super) fn stored(&self) -> String {
        self.0.join(" ")
    }

    /// What [`Models::stored`] gave.
    pub(super) fn read(stored: &str) -> Self {
        Self(words(stored).map(str::to_owned).collect())
    }

    pub(super) fn patterns(&self) -> Vec<String> {
        self.0.to_vec()
    }
}

fn is_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    let plain = |it: char| !it.is_control() && !it.is_whitespace() && it != '*';
    !text.is_empty() && text.len() <= LONGEST && name.chars().all(plain)
}

pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_id_or_how_ids_begin() {
        for (patterns, model, allowed) in [
            (&[][..], "any", true),
            (&["llama-3"], "llama-3", true),
            (&["llama-3"], "llama-3.1", false),
            (&["llama-*"], "llama-3.1", true),
            (&["llama-*"], "llama-", true),
            (&["llama-*"], "llama", false),
            (&["llama-*"], "Llama-3", false),
            (&["openai/*", "m"], "m", true),
            (&["openai/*", "m"], "openai/gpt-oss-20b", true),
            (&["openai/*", "m"], "other", false),
            (&["*"], "anything", true),
        ] {
            let models = Models::parse(patterns).unwrap();
            assert_eq!(models.allow(model), allowed, "{patterns:?} {model}");
            assert_eq!(Models::read(&models.stored()), models);
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", " ", "a b", "a*b", "**", "*a", "a\0", "a\n", "a\u{a0}b", &"m".repeat(257)] {
            assert!(Models::parse(&[pattern]).is_err(), "{pattern:?}");
        }
        assert!(Models::parse(&vec!["m"; 101]).is_err());
        assert_eq!(Models::parse(&["m", "n", "m"]).unwrap().patterns(), ["m", "n"]);
        assert!(Models::parse(&["m".repeat(256)]).is_ok());
    }
}
