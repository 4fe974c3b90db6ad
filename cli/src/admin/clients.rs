//! `nest admin client`.

use crate::{
    args::AdminClient,
    database,
    report::{Report, table, time},
    settings::Settings,
};
use edge_core::{
    Host as _,
    audit::{Actor, Origin},
    auth::{self, ClientSummary, NewClient},
};
use secrecy::ExposeSecret as _;

pub(super) async fn run(verb: AdminClient, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let (host, store) = (&*database.host, &database.store);
    let by = (&Actor::OPERATOR, &Origin::default());
    match verb {
        AdminClient::Create { name, scope } => {
            let new = NewClient { org_id: None, created_by: None, name: name.clone(), scope };
            let issued = auth::register_client(host, store, new, by.0, by.1).await?;
            let issued = issued.expect("only an organisation can have too many");
            let secret = issued.secret.expose_secret();
            let json = serde_json::json!({"id": issued.id, "secret": secret, "name": name, "scope": scope});
            report.show(&json, |_| {
                format!("client  {}\nsecret  {secret}\n\nThis is the only time that the secret is shown.", issued.id)
            })
        }
        AdminClient::Ls => report.show(&auth::platform_clients(store).await?, |clients| {
            table(&["ID", "NAME", "SCOPE", "STATE", "CREATED"], clients.iter().map(row))
        }),
        AdminClient::Revoke { id } => {
            let revoked = auth::revoke_client(store, id, None, host.now(), by.0, by.1).await?;
            anyhow::ensure!(revoked, "the platform has no live client {id}: see `nest admin client ls`");
            report.show(&serde_json::json!({"id": id, "revoked": true}), |_| format!("revoked {id}"))
        }
    }
}

fn row(client: &ClientSummary) -> Vec<String> {
    let state = client.revoked_at.map_or_else(|| "live".to_owned(), |at| format!("revoked {}", time(at)));
    vec![client.id.to_string(), client.name.clone(), client.scope.clone(), state, time(client.created_at)]
}
