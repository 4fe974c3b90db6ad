//! The demo account: a person, their organisation with some credit, and an API key that works at once.

use super::secrets::Secrets;
use crate::state::{Demo, StateDir};
use edge_core::{
    Host, Store, auth,
    auth::Operator,
    billing::{self, Grant},
    keys::{self, NewKey},
    orgs::Owner,
};
use secrecy::ExposeSecret as _;
use shared::{id::OrgId, money::Nanos};

const EMAIL: &str = "demo@localhost";
const ORG: &str = "Demo";
const KEY: &str = "DEMO_API_KEY";

/// What the stand-ins' models cost.
const PRICES: &str = include_str!("prices.toml");
/// What the demo organisation begins with: $5.
const CREDIT: Nanos = Nanos(5_000_000_000);

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

/// Publishes prices where there are none, and grants the demo organisation its first credit, once.
pub(super) async fn charge(host: &dyn Host, store: &Store, demo: &Demo) -> anyhow::Result<()> {
    let operator = Operator::at_nest(host.now());
    if billing::prices(store).await?.published.is_none() {
        billing::publish_prices(store, &operator, &crate::billing::parse(PRICES)?).await?;
    }
    let org: OrgId = demo.org.parse()?;
    let first = Grant { usd: CREDIT, note: "To begin with".to_owned() };
    billing::grant(store, &operator, org, &first, org.uuid()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded::groq::MODELS;

    #[test]
    fn every_model_of_the_demo_has_a_price() {
        let listed = crate::billing::parse(PRICES).unwrap().data;
        let ours = gpu_node::models::CATALOGUE.iter().map(|it| it.id);
        for model in MODELS.into_iter().chain(ours) {
            let found = listed.iter().find(|it| it.model == model);
            assert!(found.is_some_and(|it| !it.price.is_free()), "{model}");
        }
    }
}
