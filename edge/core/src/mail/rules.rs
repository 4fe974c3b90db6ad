//! When a mail is tried again, when it is given up, and what may stand in one.

use http::StatusCode;
use shared::time::Timestamp;

/// Whoever tries a mail is alone with it for so long. Longer than a try and its marking take, by far: clocks of several
/// edges differ.
pub(super) const CLAIM_MS: i64 = 120_000;
/// Longest time for one try.
pub(super) const TRY_MS: u64 = 20_000;
/// A mail that is older is not tried again.
const GIVE_UP_MS: i64 = 86_400_000;
/// Waits after the first failed tries; the last one goes on.
const WAITS_MS: [i64; 4] = [60_000, 300_000, 900_000, 3_600_000];
/// What has been dealt with is kept so long for whoever asks whether a mail went out.
pub(super) const KEEP_MS: i64 = 30 * 86_400_000;

/// What becomes of a mail after a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Again(Timestamp),
    GiveUp,
}

/// After `attempts` tries, the last of which failed at `now`.
pub(super) fn after_failure(attempts: i64, created: Timestamp, now: Timestamp) -> Next {
    let at = usize::try_from(attempts.saturating_sub(1)).unwrap_or_default().min(WAITS_MS.len() - 1);
    let due = now.plus_ms(WAITS_MS[at]);
    if due.since_ms(created) > GIVE_UP_MS { Next::GiveUp } else { Next::Again(due) }
}

/// What an HTTP mail API says by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    Later,
    Never,
}

/// Only what lies in the mail itself is refused for ever. A key that is wrong or a domain that is not verified is the
/// operator's to mend within a day, and a 409 may say that the try before is still at work.
pub(super) fn answer(status: StatusCode) -> Answer {
    match status.as_u16() {
        200..=299 => Answer::Taken,
        401 | 403 | 404 | 405 | 408 | 409 | 425 | 429 => Answer::Later,
        400..=499 => Answer::Never,
        _ => Answer::Later,
    }
}

/// Whether an address is one address wherever it is put: in a header, in an envelope, in a list. What is a person's
/// address is decided where accounts are made.
pub(super) fn is_one_address(text: &str) -> bool {
    let unfit = |it: char| it.is_control() || it.is_whitespace() || ",;<>()[]:\\\"".contains(it);
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    text.len() <= 320 && !text.contains(unfit) && parts.is_some_and(|(_, domain)| !domain.contains('@'))
}

/// `text` as one line of at most `chars` characters: what would end a line, or change its direction, becomes a space.
pub(super) fn one_line(text: &str, chars: usize) -> String {
    let hidden = |it: char| {
        it.is_control() || matches!(it, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let spaced: String = text.chars().map(|it| if hidden(it) { ' ' } else { it }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_end_after_a_day() {
        let (minute, hour, day) = (60_000, 3_600_000, 86_400_000);
        for (attempts, age_ms, expected) in [
            (1, 0, Next::Again(Timestamp(minute))),
            (2, minute, Next::Again(Timestamp(6 * minute))),
            (3, 6 * minute, Next::Again(Timestamp(21 * minute))),
            (4, 21 * minute, Next::Again(Timestamp(81 * minute))),
            (9, 6 * hour, Next::Again(Timestamp(7 * hour))),
            (28, day - hour, Next::Again(Timestamp(day))),
            (29, day - hour + 1, Next::GiveUp),
            // An edge that was off for two days tries once.
            (1, 2 * day, Next::GiveUp),
            (0, 0, Next::Again(Timestamp(minute))),
        ] {
            assert_eq!(after_failure(attempts, Timestamp(0), Timestamp(age_ms)), expected, "{attempts} {age_ms}");
        }
    }

    #[test]
    fn only_what_lies_in_the_mail_is_refused_for_ever() {
        for (statuses, expected) in [
            (&[200, 201, 202][..], Answer::Taken),
            (&[400, 410, 413, 415, 422], Answer::Never),
            (&[301, 307, 401, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504], Answer::Later),
        ] {
            for status in statuses {
                assert_eq!(answer(StatusCode::from_u16(*status).unwrap()), expected, "{status}");
            }
        }
    }

    /// Checklist 13.
    #[test]
    fn an_address_is_one_address_and_breaks_no_header() {
        for address in
            ["a@example.com", "a+b@example.com", "jürgen@bücher.example", "o'neil@example.com", "a@localhost"]
        {
            assert!(is_one_address(address), "{address}");
        }
        let long = format!("{}@example.com", "a".repeat(320));
        for address in [
            "a@example.com\r\nBcc: b@example.com",
            "a@example.com\nb",
            "a\0@example.com",
            "a@example.com,b@example.com",
            "a@example.com;b@example.com",
            "a@example.com b@example.com",
            "A <a@example.com>",
            "a@b@c",
            "a",
            "@example.com",
            "a@",
            "",
            long.as_str(),
        ] {
            assert!(!is_one_address(address), "{address:?}");
        }
    }

    #[test]
    fn a_line_stays_one_line_and_keeps_its_direction() {
        for (text, chars, expected) in [
            ("Acme", 4, "Acme"),
            ("  Acme \t Inc ", 10, "Acme Inc"),
            ("Acme\r\nBcc: x@example.com", 100, "Acme Bcc: x@example.com"),
            ("a\u{0}b\u{85}c\u{2028}d\u{202e}e\u{2066}f", 100, "a b c d e f"),
            ("Åcmé 日本", 7, "Åcmé 日本"),
            ("Åcmé 日本", 6, "Åcmé 日…"),
        ] {
            assert_eq!(one_line(text, chars), expected, "{text:?}");
        }
    }
}
