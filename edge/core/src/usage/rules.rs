//! What a caller asks of the roll-ups, read and bounded.

use super::{Day, Outcome};
use crate::Error;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use shared::id::KeyId;
use std::{fmt, str::FromStr};
use utoipa::{IntoParams, ToSchema};

/// Days that are asked for unless the caller says otherwise, the last one included.
const USUAL_DAYS: i64 = 30;

/// Days at once at most: a leap year.
const MOST_DAYS: i64 = 366;

/// A question, as it stands in the query.
#[derive(Debug, Default, Deserialize, IntoParams)]
pub(crate) struct Asked {
    /// The first day, in UTC, such as `2026-11-01`; 30 days up to `to` unless given, 366 at most.
    pub(super) from: Option<String>,
    /// The last day, included; today unless given.
    pub(super) to: Option<String>,
    /// Only calls with this key.
    pub(super) key_id: Option<KeyId>,
    /// Only calls of this model.
    pub(super) model: Option<String>,
    /// Only calls that ended so.
    #[param(inline)]
    pub(super) outcome: Option<Outcome>,
    /// What makes a line of its own, separated by commas: `day`, `key`, `model`, `outcome`; `day` unless given.
    pub(super) group_by: Option<String>,
    /// `json`, or `csv` for a spreadsheet; else the `Accept` header decides.
    #[param(inline)]
    pub(super) format: Option<Format>,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Json,
    Csv,
}

/// What may make a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UsageGroup)]
pub(super) enum Group {
    Day,
    Key,
    Model,
    Outcome,
}

impl Group {
    /// In the order in which lines are sorted.
    const ALL: [Self; 4] = [Self::Day, Self::Key, Self::Model, Self::Outcome];

    fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Key => "key",
            Self::Model => "model",
            Self::Outcome => "outcome",
        }
    }
}

/// A question that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) from: Day,
    /// Included.
    pub(super) to: Day,
    pub(super) key_id: Option<KeyId>,
    pub(super) model: Option<String>,
    pub(super) outcome: Option<Outcome>,
    /// In the order of [`Group::ALL`], each once.
    pub(super) group_by: Vec<Group>,
}

impl Question {
    pub(super) fn groups(&self, by: Group) -> bool {
        self.group_by.contains(&by)
    }
}

/// Reads the query of a caller whose today is `today`.
pub(super) fn question(asked: &Asked, today: Day) -> Result<Question, Error> {
    let to = day(asked.to.as_deref(), "to")?;
    let from = day(asked.from.as_deref(), "from")?;
    let to = to.unwrap_or(today);
    let from = from.unwrap_or(to.plus(1 - USUAL_DAYS));
    if from > to {
        return Err(wrong("`from` is after `to`", "from"));
    }
    if to.since(from) >= MOST_DAYS {
        return Err(wrong("more than 366 days: ask for fewer at once", "from"));
    }
    let Asked { key_id, model, outcome, .. } = asked;
    let group_by = groups(asked.group_by.as_deref().unwrap_or("day"))?;
    Ok(Question { from, to, key_id: *key_id, model: model.clone(), outcome: *outcome, group_by })
}

fn day(text: Option<&str>, param: &'static str) -> Result<Option<Day>, Error> {
    let read = |text: &str| text.parse().map_err(|error| wrong(&format!("`{param}` is {error}"), param));
    text.map(read).transpose()
}

fn groups(text: &str) -> Result<Vec<Group>, Error> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    if names.iter().any(|name| !Group::ALL.iter().any(|it| it.name() == *name)) {
        return Err(wrong("`group_by` takes `day`, `key`, `model` and `outcome`, separated by commas", "group_by"));
    }
    Ok(Group::ALL.into_iter().filter(|it| names.contains(&it.name())).collect())
}

fn wrong(message: &str, param: &'static str) -> Error {
    Error::Invalid { message: message.to_owned(), param: Some(param) }
}

/// The format of the answer: the query decides, or else whether `accept` names CSV.
pub(super) fn format(asked: Option<Format>, accept: &str) -> Format {
    let names_csv = accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        // A weight of nothing is a refusal: RFC 9110, 12.4.2.
        let refused = parts.any(|it| it.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)));
        media_type.eq_ignore_ascii_case("text/csv") && !refused
    });
    asked.unwrap_or(if names_csv { Format::Csv } else { Format::Json })
}

/// The last line of a page, by what it is sorted by: day, key, model and outcome, each empty where lines are not told
/// apart by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor(pub(super) [String; 4]);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(json))
    }
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        serde_json::from_slice(&json).map_err(|_| CursorError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    fn today() -> Day {
        Day::of(Timestamp(20_779 * 86_400_000 + 5))
    }

    fn asked(from: Option<&str>, to: Option<&str>, group_by: Option<&str>) -> Asked {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Asked { from: own(from), to: own(to), group_by: own(group_by), ..Asked::default() }
    }

    #[test]
    fn days_are_bounded_and_the_last_thirty_unless_given() {
        for (from, to, days) in [
            (None, None, Ok(("2026-10-24", "2026-11-22"))),
            (None, Some("2026-03-01"), Ok(("2026-01-31", "2026-03-01"))),
            (Some("2026-11-22"), None, Ok(("2026-11-22", "2026-11-22"))),
            (Some("2026-01-01"), Some("2026-01-01"), Ok(("2026-01-01", "2026-01-01"))),
            (Some("2024-01-01"), Some("2024-12-31"), Ok(("2024-01-01", "2024-12-31"))),
            (Some("2024-01-01"), Some("2025-01-01"), Err("from")),
            (Some("2026-01-02"), Some("2026-01-01"), Err("from")),
            (Some("2026-11-23"), None, Err("from")),
            (Some("1.1.2026"), None, Err("from")),
            (None, Some("2026-02-30"), Err("to")),
            (None, Some(""), Err("to")),
            (None, Some("1970-01-05"), Ok(("1970-01-01", "1970-01-05"))),
        ] {
            let question = question(&asked(from, to, None), today());
            let seen =
                question.as_ref().map(|it| (it.from.to_string(), it.to.to_string())).map_err(|error| match error {
                    Error::Invalid { param, .. } => param.unwrap_or_default(),
                    _ => "",
                });
            assert_eq!(seen, days.map(|(from, to)| (from.to_owned(), to.to_owned())), "{from:?} {to:?}");
        }
    }

    #[test]
    fn lines_are_told_apart_by_what_is_named_in_whatever_order() {
        for (text, names) in [
            (None, Some("day")),
            (Some("key"), Some("key")),
            (Some("outcome,day"), Some("day outcome")),
            (Some("model, key ,day,outcome"), Some("day key model outcome")),
            (Some("day,day"), Some("day")),
            (Some(""), None),
            (Some("day,"), None),
            (Some("hour"), None),
            (Some("Day"), None),
        ] {
            let question = question(&asked(None, None, text), today());
            let seen = question.ok().map(|it| it.group_by.iter().map(|it| it.name()).collect::<Vec<_>>().join(" "));
            assert_eq!(seen.as_deref(), names, "{text:?}");
        }
    }

    #[test]
    fn the_query_decides_the_format_before_the_header() {
        for (asked, accept, expected) in [
            (None, "", Format::Json),
            (None, "*/*", Format::Json),
            (None, "application/json", Format::Json),
            (None, "text/csv", Format::Csv),
            (None, "Text/CSV; charset=utf-8; q=0.5, */*", Format::Csv),
            (None, "text/csv;q=0", Format::Json),
            (None, "text/csv;q=0.000, application/json", Format::Json),
            (None, "text/csvx", Format::Json),
            (Some(Format::Json), "text/csv", Format::Json),
            (Some(Format::Csv), "application/json", Format::Csv),
        ] {
            assert_eq!(format(asked, accept), expected, "{asked:?} {accept}");
        }
    }

    #[test]
    fn a_cursor_is_its_text() {
        let cursor = Cursor(["2026-11-22", "", "a/b \"ü\"", ""].map(str::to_owned));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "x", "7", "W10", "e30", "WyJhIl0"] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
