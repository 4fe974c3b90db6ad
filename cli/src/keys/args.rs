//! What `nest keys` takes.

use clap::{Args, Subcommand};
use edge_core::{
    keys::{Environment, Models, Networks, Period, Spend, checked_limits},
    limits::Quota,
};
use shared::{
    id::{KeyId, OrgId},
    permission::Permissions,
};
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a key; it is shown once.
    Create(Create),
    /// List the keys, and what to look at: those that end soon, and those that nobody uses.
    #[command(visible_alias = "list")]
    Ls,
    /// Give a key a new secret, shown once; the old one works on for a while.
    Rotate {
        id: KeyId,
        /// For how long the old secret works on, such as 30m, 12h or 7d; 0 ends it at once.
        #[arg(long, value_name = "TIME", default_value = "1d", value_parser = seconds)]
        overlap: i64,
    },
    /// End a key; edges notice within five seconds.
    Revoke { id: KeyId },
    /// Look for keys in files and folders, where none should be. Ends with 1 if there are any. Needs no database.
    Scan {
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct Create {
    #[arg(long)]
    pub(super) name: String,
    /// The organisation's id; needed only when there are several.
    #[arg(long)]
    pub(super) org: Option<OrgId>,
    /// `live` or `test`: a label.
    #[arg(long, default_value = "live", value_parser = environment)]
    pub(super) env: Environment,
    /// Permissions: `models:use` alone, or any others, with spaces or commas between them.
    #[arg(long, default_value = "models:use", value_parser = scopes)]
    pub(super) scopes: Permissions,
    /// Models that it may call, by id or as `llama-*`, with commas between them; all unless given.
    #[arg(long, value_delimiter = ',')]
    pub(super) models: Vec<String>,
    /// Networks from which it may be used, with commas between them; everywhere unless given.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(super) ip_allow: Vec<String>,
    /// When it expires, such as 12h, 30d or 52w from now; never unless given.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(super) expires_in: Option<i64>,
    /// Days until it expires.
    #[arg(long, hide = true, conflicts_with = "expires_in", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(super) expires_in_days: Option<u32>,
    /// A limit, such as requests_per_minute=60; tokens_per_day and the others alike. May be given several times.
    #[arg(long, value_name = "NAME=N", value_delimiter = ',')]
    pub(super) limit: Vec<String>,
    /// What it may cost, such as 25/month; or a day, a week, in total.
    #[arg(long, value_name = "USD/PERIOD", value_parser = spend)]
    pub(super) spend: Option<Spend>,
}

impl Create {
    pub(super) fn models(&self) -> anyhow::Result<Models> {
        Ok(Models::parse(&self.models)?)
    }

    pub(super) fn networks(&self) -> anyhow::Result<Networks> {
        Ok(Networks::parse(&self.ip_allow)?)
    }

    pub(super) fn limits(&self) -> anyhow::Result<Quota> {
        let mut given = serde_json::Map::new();
        for limit in &self.limit {
            let (name, number) =
                limit.split_once('=').ok_or_else(|| anyhow::anyhow!("`{limit}` is no limit: NAME=NUMBER"))?;
            given.insert(
                name.to_owned(),
                number.parse::<u64>().map_err(|_| anyhow::anyhow!("`{number}` is no number"))?.into(),
            );
        }
        // The names are those of the API, and its own reader knows them.
        let quota: Quota = serde_json::from_value(given.into())?;
        Ok(checked_limits(quota)?)
    }

    /// Milliseconds until it expires.
    pub(super) fn expires_in_ms(&self) -> Option<i64> {
        let days = self.expires_in_days.map(|it| i64::from(it) * 86_400);
        self.expires_in.or(days).map(|seconds| seconds * 1_000)
    }
}

fn environment(text: &str) -> Result<Environment, String> {
    let known = [Environment::Live, Environment::Test];
    known.into_iter().find(|it| it.as_str() == text).ok_or_else(|| "`live` or `test`".to_owned())
}

fn scopes(text: &str) -> Result<Permissions, String> {
    text.replace(',', " ").parse().map_err(|error: shared::permission::PermissionError| error.to_string())
}

fn spend(text: &str) -> Result<Spend, String> {
    let (cap, period) = text.split_once('/').ok_or("an amount and a period, such as 25/month")?;
    let known = [Period::Day, Period::Week, Period::Month, Period::Total];
    let period = known.into_iter().find(|it| it.as_str() == period).ok_or("a period is day, week, month or total")?;
    let cap_usd = cap.parse().map_err(|error: shared::money::AmountError| error.to_string())?;
    Ok(Spend { cap_usd, period })
}

/// A span of time with its unit.
fn seconds(text: &str) -> Result<i64, String> {
    const WRONG: &str = "a number with s, m, h, d or w after it, such as 30d";
    if text == "0" {
        return Ok(0);
    }
    let unit = text.chars().last().ok_or(WRONG)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return Err(WRONG.to_owned()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| WRONG)?;
    // A century of weeks is more than any key lives, and still far from what a number holds.
    Ok(i64::from(number) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_time_has_a_unit() {
        for (text, span) in [
            ("0", Some(0)),
            ("90s", Some(90)),
            ("30m", Some(1_800)),
            ("12h", Some(43_200)),
            ("30d", Some(2_592_000)),
            ("52w", Some(31_449_600)),
            ("", None),
            ("30", None),
            ("d", None),
            ("-1d", None),
            ("1.5d", None),
            ("1y", None),
            ("1é", None),
            ("99999999999d", None),
        ] {
            assert_eq!(seconds(text).ok(), span, "{text}");
        }
    }

    #[test]
    fn a_cap_is_an_amount_in_a_period() {
        for (text, good) in [
            ("25/month", true),
            ("0.5/day", true),
            ("25", false),
            ("25/year", false),
            ("-1/day", false),
            ("/day", false),
        ] {
            assert_eq!(spend(text).is_ok(), good, "{text}");
        }
    }
}
