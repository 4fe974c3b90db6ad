//! `nest keys`.

use crate::{
    args::Keys,
    database,
    report::{Failure, Report, table, time},
    settings::Settings,
};
use edge_core::{
    Host as _,
    keys::{self, KeySummary, NewKey},
    orgs,
};
use secrecy::ExposeSecret as _;
use shared::id::OrgId;

const DAY_MS: i64 = 86_400_000;

pub(crate) async fn run(verb: Keys, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    match verb {
        Keys::Create { name, org, expires_in_days } => {
            let org_id = match org {
                Some(org) => org,
                None => only_org(&database.store).await?,
            };
            let expires_at = expires_in_days.map(|days| database.host.now().plus_ms(i64::from(days) * DAY_MS));
            let new = NewKey { org_id, created_by: None, name: name.clone(), expires_at };
            let issued = keys::issue(&*database.host, &database.store, new).await?;
            let key = issued.key.expose_secret();
            let json =
                serde_json::json!({"id": issued.id, "key": key, "name": name, "org": org_id, "expires_at": expires_at});
            report.show(&json, |_| {
                format!("{key}\n\nThis is the only time that the key is shown. Its id is {}.", issued.id)
            })
        }
        Keys::Ls => report.show(&keys::list(&database.store).await?, |keys| {
            let header = ["ID", "NAME", "KEY", "ORGANISATION", "STATE", "CREATED", "LAST USED"];
            table(&header, keys.iter().map(|key| row(key, database.host.now())))
        }),
        Keys::Revoke { id } => {
            anyhow::ensure!(keys::revoke(&database.store, id).await?, "there is no key {id}: see `nest keys ls`");
            report.show(&serde_json::json!({"id": id, "revoked": true}), |_| format!("revoked {id}"))
        }
    }
}

/// The organisation to act for when there is only one.
async fn only_org(store: &edge_core::Store) -> anyhow::Result<OrgId> {
    match orgs::list(store).await?[..] {
        [ref org] => Ok(org.id),
        [] => {
            Err(Failure::Usage("there is no organisation yet: `nest admin create --email you@example.com`".to_owned())
                .into())
        }
        ref orgs => {
            let names = orgs.iter().map(|it| format!("\n  {}  {}", it.id, it.name)).collect::<String>();
            Err(Failure::Usage(format!("there are several organisations, name one with --org:{names}")).into())
        }
    }
}

fn row(key: &KeySummary, now: shared::time::Timestamp) -> Vec<String> {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) if at <= now => "expired".to_owned(),
        (None, Some(at)) => format!("until {}", time(at)),
        (None, None) => "live".to_owned(),
    };
    vec![
        key.id.to_string(),
        key.name.clone(),
        format!("{}…{}", key.prefix, key.last_four),
        key.org_name.clone(),
        state,
        time(key.created_at),
        key.last_used_at.map_or_else(|| "never".to_owned(), time),
    ]
}
