//! Postgres version numbers, as its programs and its data directories write them.

use std::fmt;
use std::str::FromStr;

/// The oldest release that the migrations run on.
pub(super) const OLDEST: u16 = 15;

/// A Postgres release; ordered, so the newest is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u16,
    pub minor: u16,
}

/// The text names no Postgres version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Postgres version")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    /// Takes what `postgres --version` prints, or the bare number.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let number = match text.split_once("(PostgreSQL)") {
            Some((_, rest)) => rest,
            None => text,
        };
        let number = number.split_ascii_whitespace().next().ok_or(NotAVersion)?;
        let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (major, rest) = number.split_at(digits(number));
        // "18beta1" and "19devel" come before the first minor release.
        let minor = rest.strip_prefix('.').map_or("0", |rest| &rest[..digits(rest)]);
        Ok(Self { major: major.parse().map_err(|_| NotAVersion)?, minor: minor.parse().map_err(|_| NotAVersion)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_programs_print() {
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some((15, 18))),
            ("postgres (PostgreSQL) 18.4", Some((18, 4))),
            ("initdb (PostgreSQL) 17.5 (Homebrew)", Some((17, 5))),
            ("postgres (PostgreSQL) 18beta1", Some((18, 0))),
            ("postgres (PostgreSQL) 19devel", Some((19, 0))),
            ("16\n", Some((16, 0))),
            ("postgres: command not found", None),
            ("", None),
        ] {
            let version = text.parse::<Version>().ok().map(|version| (version.major, version.minor));
            assert_eq!(version, expected, "{text:?}");
        }
    }

    #[test]
    fn the_newest_is_the_greatest() {
        let mut versions: Vec<Version> = ["15.18", "18.4", "9.6", "18.10"].map(|text| text.parse().unwrap()).to_vec();
        versions.sort();
        assert_eq!(versions.last().map(ToString::to_string).as_deref(), Some("18.10"));
    }
}
