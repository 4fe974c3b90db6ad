//! `nest admin encryption`.

use crate::{
    args::Encryption,
    database::{self, Database},
    report::{Report, table},
    settings::Settings,
};
use edge_core::{
    Host as _,
    audit::{self, Actor, Entry, Origin},
    seal::{self, Keyring, Rotation, Wrapped},
};

pub(crate) async fn run(verb: &Encryption, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let (database, keyring) = database::open_with_keys(settings).await?;
    match verb {
        Encryption::Status => {
            let wrapped = seal::wrapped_by(&database.store, &keyring).await?;
            report.show(&wrapped, |wrapped| status(wrapped, keyring.current()))
        }
        Encryption::Rotate => rotate(&database, &keyring, report).await,
    }
}

async fn rotate(database: &Database, keyring: &Keyring, report: Report) -> anyhow::Result<()> {
    let rotation = seal::rotate(&*database.host, &database.store, keyring).await?;
    let rewrapped: u64 = rotation.columns.iter().map(|it| it.rewrapped).sum();
    if rewrapped > 0 {
        let act = Entry::new(database.host.now(), &Actor::OPERATOR, &Origin::default(), "encryption.rotated");
        let detail = serde_json::json!({"key": rotation.key, "values": rewrapped});
        audit::record(&database.store, act.detail(&detail)).await?;
    }
    report.show(&rotation, shown)?;
    anyhow::ensure!(rotation.is_complete(), "some values are not wrapped with key {}: see above", rotation.key);
    Ok(())
}

fn status(wrapped: &[Wrapped], current: &str) -> String {
    let rows = wrapped.iter().map(|it| {
        let state = match it.key.as_deref() {
            None => "not a sealed value",
            Some(_) if !it.known => "KEY NOT CONFIGURED",
            Some(key) if key == current => "current",
            Some(_) => "to be rotated",
        };
        vec![
            it.column.to_owned(),
            it.key.clone().unwrap_or_else(|| "-".to_owned()),
            it.values.to_string(),
            state.to_owned(),
        ]
    });
    format!("Current key: {current}\n\n{}", table(&["COLUMN", "KEY", "VALUES", "STATE"], rows))
}

fn shown(rotation: &Rotation) -> String {
    let rows = rotation.columns.iter().map(|it| {
        vec![
            it.column.to_owned(),
            it.rewrapped.to_string(),
            it.current.to_string(),
            it.changed_meanwhile.to_string(),
            it.broken.len().to_string(),
        ]
    });
    let mut text = format!(
        "Current key: {}\n\n{}",
        rotation.key,
        table(&["COLUMN", "REWRAPPED", "CURRENT ALREADY", "CHANGED MEANWHILE", "DO NOT OPEN"], rows)
    );
    for column in &rotation.columns {
        for row in &column.broken {
            text += &format!("\n{} of row {row} does not open: changed, or its key is not configured", column.column);
        }
        if column.changed_meanwhile > 0 {
            text += &format!("\n{}: edges changed values meanwhile; run this again", column.column);
        }
    }
    text
}
