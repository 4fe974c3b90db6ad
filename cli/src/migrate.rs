//! `nest migrate`.

use crate::{
    args::Migrate,
    database::{self, not_ready},
    report::{Failure, Report, table},
    settings::Settings,
};
use anyhow::Context as _;
use std::{fs, path::Path};

pub(crate) async fn run(verb: Migrate, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Migrate::Up => {
            let applied = migrations::up(&database::url(settings)?).await.map_err(not_ready)?;
            report.show(&serde_json::json!({"applied": applied}), |_| match applied[..] {
                [] => "the schema is up to date".to_owned(),
                _ => format!("applied {}", applied.join(", ")),
            })
        }
        Migrate::Status => {
            let status = migrations::status(&database::url(settings)?).await.map_err(not_ready)?;
            report.show(&status, |status| {
                let state = |applied| if applied { "applied" } else { "pending" };
                table(
                    &["MIGRATION", "STATE"],
                    status.iter().map(|it| vec![it.name.clone(), state(it.applied).to_owned()]),
                )
            })
        }
        Migrate::New { name } => new(&name, report),
    }
}

/// Makes the next file in the `migrations` folder of a checkout.
fn new(name: &str, report: Report) -> anyhow::Result<()> {
    let plain = !name.is_empty() && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if !plain {
        return Err(
            Failure::Usage("a migration's name has lower-case letters, digits and underscores".to_owned()).into()
        );
    }
    let folder = Path::new("migrations");
    let files = fs::read_dir(folder).context("there is no folder `migrations` here: run this in a checkout")?;
    let number = |name: &str| name.strip_prefix('V')?.split_once("__")?.0.parse::<u32>().ok();
    let names = files.flatten().filter_map(|it| it.file_name().into_string().ok());
    let next = names.filter_map(|it| number(&it)).max().unwrap_or(0) + 1;
    let path = folder.join(format!("V{next:04}__{name}.sql"));
    fs::write(&path, "-- Why this change, in a sentence. Forward only; add now, remove a release later.\n")?;
    report.show(&serde_json::json!({"path": path}), |_| path.display().to_string())
}
