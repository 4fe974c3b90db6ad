//! `nest billing prices`.

use crate::{
    database,
    report::{Failure, Report, printable, table},
    settings::Settings,
};
use anyhow::Context as _;
use clap::Subcommand;
use edge_core::{
    Host as _,
    auth::Operator,
    billing::{self, ListedPrice, NewPrices},
};
use shared::money::Nanos;
use std::{fs, path::PathBuf};

#[derive(Subcommand)]
pub(crate) enum Prices {
    /// Publish a whole table from a file: TOML, or JSON as `export` writes it. What it lacks is not for sale.
    Import { file: PathBuf },
    /// Print the newest table as JSON.
    Export,
    /// Show the newest table: dollars for a million tokens.
    Show,
}

pub(super) async fn run(verb: Prices, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Prices::Import { file } => {
            let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            let new = parse(&text).map_err(|error| Failure::Usage(format!("{}: {error:#}", file.display())))?;
            let database = database::open(settings).await?;
            let operator = Operator::at_nest(database.host.now());
            let version = billing::publish_prices(&database.store, &operator, &new).await?;
            let told = serde_json::json!({ "version": version, "models": new.data.len() });
            report.show(&told, |_| format!("version {version}: {} models", new.data.len()))
        }
        Prices::Export => {
            let database = database::open(settings).await?;
            let list = billing::prices(&database.store).await?;
            let note = list.published.map(|(.., note)| note).unwrap_or_default();
            Report { json: true }.show(&NewPrices { note, data: list.data }, |_| String::new())
        }
        Prices::Show => {
            let database = database::open(settings).await?;
            report.show(&billing::prices(&database.store).await?, |list| match &list.published {
                None => "no prices are published: nothing costs anything".to_owned(),
                Some((version, _, note)) => {
                    let header =
                        ["MODEL", "INPUT", "CACHED", "OUTPUT", "REASONING", "REQUEST", "UPSTREAM IN", "UPSTREAM OUT"];
                    let rows = table(&header, list.data.iter().map(row));
                    format!("Version {version} {}\n\n{rows}", printable(note))
                }
            })
        }
    }
}

/// Reads a table of prices: JSON where it begins as an object, else TOML.
pub(crate) fn parse(text: &str) -> anyhow::Result<NewPrices> {
    if text.trim_start().starts_with('{') { Ok(serde_json::from_str(text)?) } else { Ok(toml::from_str(text)?) }
}

fn row(listed: &ListedPrice) -> Vec<String> {
    let ListedPrice { model, price, upstream } = listed;
    let or_dash = |it: Option<Nanos>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
    vec![
        printable(model),
        price.input.to_string(),
        or_dash(price.cached_input),
        price.output.to_string(),
        or_dash(price.reasoning),
        price.request.to_string(),
        or_dash(upstream.map(|it| it.input)),
        or_dash(upstream.map(|it| it.output)),
    ]
}
