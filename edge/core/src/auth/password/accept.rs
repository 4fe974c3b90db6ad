//! Which passwords may be set: long ones that are not among the first that anyone would try (NIST SP 800-63B-4, 3.1.1.2).

use super::{
    check_length,
    estimate::{Weakness, estimate},
};
use crate::auth::AuthError;
use secrecy::{ExposeSecret as _, SecretString};

/// A password that costs fewer guesses, as a power of ten, is refused.
const LEAST_LOG10: f64 = 8.0;

/// Words that an attacker knows of the account: the service's name, the person's name and address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Personal(Vec<String>);

impl Personal {
    /// The words of each text, and each text's words as one.
    pub(crate) fn of(texts: &[&str]) -> Self {
        let mut words: Vec<String> = Vec::new();
        for text in texts {
            let lower = text.to_lowercase();
            let parts: Vec<&str> = lower.split(|it: char| !it.is_alphanumeric()).filter(|it| !it.is_empty()).collect();
            words.push(parts.concat());
            words.extend(parts.iter().map(|it| (*it).to_owned()));
            words.push(lower);
        }
        words.retain(|it| it.chars().count() >= 3);
        words.sort_unstable();
        words.dedup();
        Self(words)
    }
}

/// How good a password is, on zxcvbn's scale.
pub(crate) struct Strength {
    /// 0 (the first that is tried) to 4.
    pub(crate) score: u8,
    pub(crate) warning: Option<&'static str>,
    pub(crate) refusal: Option<AuthError>,
}

/// Measures a password, whatever its length.
pub(crate) fn strength(password: &SecretString, personal: &Personal) -> Strength {
    let estimate = estimate(password.expose_secret(), &personal.0);
    let warning = estimate.weakness.filter(|_| estimate.guesses_log10 < 10.0).map(warning);
    let weak = estimate.guesses_log10 < LEAST_LOG10;
    let guessable = weak.then(|| AuthError::Password { reason: warning.unwrap_or(EASY) });
    Strength { score: score(estimate.guesses_log10), warning, refusal: check_length(password).err().or(guessable) }
}

/// Whether a password may be set.
pub(crate) fn accept(password: &SecretString, personal: &Personal) -> Result<(), AuthError> {
    // What is refused for its length costs no look at its words.
    check_length(password)?;
    strength(password, personal).refusal.map_or(Ok(()), Err)
}

const EASY: &str = "this password is easy to guess; a few unrelated words do well";

fn score(guesses_log10: f64) -> u8 {
    match guesses_log10 {
        it if it < 3.0 => 0,
        it if it < 6.0 => 1,
        it if it < LEAST_LOG10 => 2,
        it if it < 10.0 => 3,
        _ => 4,
    }
}

fn warning(weakness: Weakness) -> &'static str {
    match weakness {
        Weakness::Frequent => "this is built on a password that many people use; a few unrelated words do well",
        Weakness::Personal => "this is built on your name, your address or the name of this service",
        Weakness::Sequence => "a run on the keyboard or in the alphabet is easy to guess",
        Weakness::Repeat => "a repeat is easy to guess",
        Weakness::Date => "a date is easy to guess",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::words::LIST, *};

    fn personal() -> Personal {
        Personal::of(&["AI Tool Nest", "ada.lovelace@analytical-engine.example", "Ada King"])
    }

    fn refused(password: &str) -> bool {
        accept(&password.into(), &personal()).is_err()
    }

    /// Checklist 2: the list, as it is and as people stretch it.
    #[test]
    fn the_most_frequent_passwords_are_refused_however_they_are_stretched() {
        assert!(LIST.lines().count() >= 3_000);
        for (at, word) in LIST.lines().enumerate() {
            assert!(refused(word), "{word}");
            let stretched = match at % 5 {
                0 => word.repeat(15_usize.div_ceil(word.len()).max(2)),
                1 => format!("{word}1234567890"),
                2 => format!("{word}{word}2024!"),
                3 => format!("{word}{}", "!".repeat(15)),
                _ => format!("qwertyuiop{word}"),
            };
            assert!(stretched.len() < 15 || refused(&stretched), "{stretched}");
        }
    }

    /// Checklist 2: words of the account, runs, repeats and dates.
    #[test]
    fn what_an_attacker_tries_first_is_refused_and_phrases_are_not() {
        for (password, wanted) in [
            ("correct horse battery", true),
            ("tr0ubadour & 3 bees", true),
            ("kxo94 plm22 vbb17", true),
            ("Über allen Gipfeln ist Ruh", true),
            ("лошадь батарея скрепка", true),
            ("password1234567", false),
            ("P@ssw0rdP@ssw0rd", false),
            ("drowssapdrowssap", false),
            ("aaaaaaaaaaaaaaaa", false),
            ("abcabcabcabcabcabc", false),
            ("abcdefghijklmnopqrstuvwxyz", false),
            ("987654321987654321", false),
            ("1qaz2wsx3edc4rfv", false),
            ("qwertzuiopasdfghjkl", false),
            ("password19850412", false),
            ("iloveyou 12.04.1985", true),
            ("aitoolnestaitoolnest", false),
            ("AI Tool Nest 2026!", false),
            ("ada.lovelace@analytical-engine.example", false),
            ("adalovelace1234", false),
            ("lovelacelovelace1", false),
            ("analytical-engine1", false),
        ] {
            assert_eq!(!refused(password), wanted, "{password}: {:?}", estimate(password, &personal().0));
        }
    }

    /// Checklist 1: length counts in characters, the limit in bytes, and nothing else is asked for.
    #[test]
    fn lengths_outside_the_range_are_refused() {
        let phrase = |chars: usize| "kxo94 plm22 vbb17 wq0 zz4 ".chars().cycle().take(chars).collect::<String>();
        let long = |bytes: usize| format!("{}{}", phrase(26), "é".repeat((bytes - 26) / 2));
        for (password, wanted) in [
            (phrase(14), false),
            (phrase(15), true),
            (phrase(64), true),
            (long(1_024), true),
            (long(1_026), false),
            ("é".repeat(14), false),
        ] {
            assert_eq!(!refused(&password), wanted, "{} bytes", password.len());
        }
    }

    #[test]
    fn the_score_follows_the_guesses() {
        for (password, score) in [("password", 0), ("password1985", 1), ("correct horse battery", 4)] {
            assert_eq!(strength(&password.into(), &personal()).score, score, "{password}");
        }
        let strength = strength(&"lovelace lovelace".into(), &personal());
        assert!(strength.warning.is_some() && strength.refusal.is_some());
    }

    #[test]
    fn a_hostile_password_is_measured_quickly() {
        // The longest look there is: 128 characters, every block a repeat. A quadratic look at 1,024 would be felt.
        for text in ["a".repeat(1_024), "ab".repeat(512), "password".repeat(128)] {
            assert!(refused(&text));
        }
    }
}
