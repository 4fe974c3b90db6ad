//! `nest keys`.

mod args;
mod scan;

pub(crate) use args::Keys;

use crate::{
    database,
    report::{Failure, Report, printable, table, time},
    settings::Settings,
};
use args::Create;
use edge_core::{
    Host as _,
    keys::{self, IssuedKey, KeyState, KeyView, NewKey},
    orgs,
};
use secrecy::ExposeSecret as _;
use serde_json::json;
use shared::id::OrgId;

pub(crate) async fn run(verb: Keys, settings: &Settings, report: Report) -> anyhow::Result<()> {
    if let Keys::Scan { paths } = &verb {
        return scan::run(paths, report);
    }
    let database = database::open(settings).await?;
    let (host, store) = (&*database.host, &database.store);
    match verb {
        Keys::Create(create) => {
            let new = new_key(&create, host, store).await?;
            let issued = keys::issue(host, store, &new).await?;
            let json = json!({
                "id": issued.id, "key": issued.key.expose_secret(), "name": new.name, "org": new.org_id,
                "environment": new.environment, "scopes": new.scopes, "expires_at": new.expires_at,
            });
            report.show(&json, |_| shown(&issued))
        }
        Keys::Ls => report.show(&keys::list(store, host.now()).await?, |keys| {
            let header = ["ID", "NAME", "KEY", "KIND", "ORGANISATION", "STATE", "NOTICE", "CREATED", "LAST USED"];
            table(&header, keys.iter().map(row))
        }),
        Keys::Rotate { id, overlap } => {
            let issued = keys::rotate(host, store, id, Some(overlap)).await?;
            let json = json!({"id": issued.id, "key": issued.key.expose_secret(), "overlap_seconds": overlap});
            report.show(&json, |_| shown(&issued))
        }
        Keys::Revoke { id } => {
            keys::revoke(store, id, host.now()).await?;
            report.show(&json!({"id": id, "revoked": true}), |_| format!("revoked {id}"))
        }
        Keys::Scan { .. } => unreachable!("it needs no database, and is done by now"),
    }
}

fn shown(issued: &IssuedKey) -> String {
    let key = issued.key.expose_secret();
    format!("{key}\n\nThis is the only time that the key is shown. Its id is {}.", issued.id)
}

async fn new_key(create: &Create, host: &dyn edge_core::Host, store: &edge_core::Store) -> anyhow::Result<NewKey> {
    let (models, networks, limits) = (create.models()?, create.networks()?, create.limits()?);
    let org_id = match create.org {
        Some(org) => org,
        None => only_org(store).await?,
    };
    Ok(NewKey {
        environment: create.env,
        scopes: create.scopes,
        models,
        networks,
        limits,
        spend: create.spend,
        expires_at: create.expires_in_ms().map(|ms| host.now().plus_ms(ms)),
        ..NewKey::inference(org_id, &create.name)
    })
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

fn row(key: &KeyView) -> Vec<String> {
    let state = match (key.state, key.expires_at) {
        (KeyState::Live, Some(at)) => format!("until {}", time(at)),
        (state, _) => state.as_str().to_owned(),
    };
    let notices = [(key.expires_soon, "ends soon"), (key.unused, "unused"), (key.permitted != key.scopes, "demoted")];
    let notices: Vec<&str> = notices.into_iter().filter(|(holds, _)| *holds).map(|(_, notice)| notice).collect();
    vec![
        key.id.to_string(),
        printable(&key.name),
        format!("{}…{}", key.prefix, key.last_four),
        key.kind.as_str().to_owned(),
        printable(&key.org_name),
        state,
        notices.join(", "),
        time(key.created_at),
        key.last_used_at.map_or_else(|| "never".to_owned(), time),
    ]
}
