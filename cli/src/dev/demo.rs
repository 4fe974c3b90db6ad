//! The demo account: a person, their organisation, and an API key that works at once.

use super::secrets::Secrets;
use crate::state::{Demo, StateDir};
use edge_core::{
    Host, Store, auth,
    keys::{self, NewKey},
    orgs::Owner,
};
use secrecy::ExposeSecret as _;

const EMAIL: &str = "demo@localhost";
const ORG: &str = "Demo";
const KEY: &str = "DEMO_API_KEY";

/// Finds or makes the demo account. A key that the database no longer knows is replaced.
pub(super) async fn ensure(
    state: &StateDir,
    secrets: &mut Secrets,
    host: &dyn Host,
    store: &Store,
) -> anyhow::Result<Demo> {
    let password = secrets.made("DEMO_PASSWORD").to_owned();
    let owner = match auth::find_owner(store, EMAIL).await? {
        Some(owner) => owner,
        None => {
            let new = auth::NewOperator {
                email: EMAIL.to_owned(),
                password: password.clone().into(),
                org_name: ORG.to_owned(),
            };
            auth::create_operator(host, store, new).await?
        }
    };
    let kept = match secrets.get(KEY) {
        Some(key) if keys::is_live(host, store, key).await? => Some(key.to_owned()),
        _ => None,
    };
    let api_key = match kept {
        Some(key) => key,
        None => {
            let new = NewKey { owner: Owner::User(owner.user_id), ..NewKey::inference(owner.org_id, "demo") };
            let key = keys::issue(host, store, &new).await?.key.expose_secret().to_owned();
            secrets.set(state, KEY, key.clone())?;
            key
        }
    };
    Ok(Demo { email: EMAIL.to_owned(), password, api_key, org: owner.org_id.to_string() })
}
