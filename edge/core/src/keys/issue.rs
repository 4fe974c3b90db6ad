//! Keys are made and given new secrets here, for the API and for `nest` alike.

use super::{
    Environment, KeyError, Models, Networks, Spend,
    key::{INFERENCE, Kind},
    manage::outcome,
    text,
};
use crate::{
    Error, Host, Store,
    audit::{Actor, Entry, Origin},
    host::random,
    limits::Quota,
    orgs::{Owner, Standing},
    sql::hex,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::{
    id::{KeyId, OrgId},
    permission::Permissions,
    time::Timestamp,
};

/// Live keys of an organisation at most.
const MOST: i64 = 1_000;

/// What a key is issued for.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub org_id: OrgId,
    pub owner: Owner,
    pub name: String,
    pub environment: Environment,
    pub scopes: Permissions,
    pub models: Models,
    pub networks: Networks,
    pub limits: Quota,
    pub spend: Option<Spend>,
    pub expires_at: Option<Timestamp>,
}

impl NewKey {
    /// A key of the organisation as a whole that may call any model from anywhere.
    pub fn inference(org_id: OrgId, name: impl Into<String>) -> Self {
        Self {
            org_id,
            owner: Owner::Org,
            name: name.into(),
            environment: Environment::default(),
            scopes: INFERENCE,
            models: Models::default(),
            networks: Networks::default(),
            limits: Quota::default(),
            spend: None,
            expires_at: None,
        }
    }

    /// What the audit log keeps.
    fn told(&self) -> Value {
        json!({
            "name": self.name, "environment": self.environment, "kind": Kind::of(self.scopes).as_str(),
            "scopes": self.scopes, "models": self.models.patterns(), "ip_allow": self.networks.texts(),
            "limits": self.limits, "spend": self.spend, "expires_at": self.expires_at,
        })
    }

    /// The row, as `create_key` takes it.
    fn row(&self, id: KeyId, text: &str) -> Value {
        let (prefix, last_four) = text::preview(text);
        let (user, client) = match self.owner {
            Owner::User(user) => (Some(user.uuid()), None),
            Owner::Client(client) => (None, Some(client.uuid())),
            Owner::Org => (None, None),
        };
        json!({
            "id": id.uuid(), "created_by": user, "created_by_client": client, "name": self.name,
            "environment": self.environment, "scopes": self.scopes.to_string(), "models": self.models.stored(),
            "ip_allow": self.networks.stored(), "limits": self.limits,
            "spend_cap_nanos": self.spend.map(|it| it.cap_usd.0), "spend_period": self.spend.map(|it| it.period),
            "prefix": prefix, "last_four": last_four, "secret_hash": hex(&text::hash(text)),
            "expires_ms": self.expires_at, "most": MOST,
        })
    }
}

/// A key at the only moment at which it can be seen.
pub struct IssuedKey {
    pub id: KeyId,
    pub key: SecretString,
}

/// Who acts on a key, and what the log says of it.
pub(super) struct Act {
    pub(super) standing: Standing,
    /// What the actor may put into a key.
    pub(super) reach: Permissions,
    pub(super) entry: Entry,
}

impl Act {
    /// An act of whoever runs `nest`.
    pub(super) fn at_nest(org: Option<OrgId>, now: Timestamp, action: &'static str) -> Self {
        let entry = Entry::new(now, &Actor::OPERATOR, &Origin::default(), action);
        Self { standing: Standing::at_nest(org, now), reach: Permissions::all(), entry }
    }

    pub(super) fn on(self, id: KeyId, detail: &Value) -> Self {
        Self { entry: self.entry.target(id).detail(detail), ..self }
    }
}

/// Makes a key; its text is in the answer and nowhere else.
pub(super) async fn make(host: &dyn Host, store: &Store, new: &NewKey, act: Act) -> Result<IssuedKey, Error> {
    let id = KeyId::new(host.now(), random(host));
    let text = text::compose(new.environment, id, unbiased(host));
    let act = act.on(id, &new.told());
    let act = Act { entry: act.entry.org(new.org_id), ..act };
    outcome(&store.create_key(act.standing, new.row(id, &text), act.entry).await?)?;
    Ok(IssuedKey { id, key: text.into() })
}

/// Gives a key a new secret, beside which the present one stays good for `overlap_ms`.
pub(super) async fn renew(
    host: &dyn Host,
    store: &Store,
    (id, environment): (KeyId, Environment),
    overlap_ms: i64,
    act: Act,
) -> Result<IssuedKey, Error> {
    let text = text::compose(environment, id, unbiased(host));
    let (_, last_four) = text::preview(&text);
    let until = (overlap_ms > 0).then(|| host.now().plus_ms(overlap_ms));
    let act = act.on(id, &json!({ "overlap_seconds": overlap_ms / 1_000 }));
    let Act { standing, reach, entry } = act;
    outcome(&store.rotate_key(standing, id, reach, (text::hash(&text), last_four), until, entry).await?)?;
    Ok(IssuedKey { id, key: text.into() })
}

/// Ends a key. One that has ended already is no error, so that a retry is none.
pub(super) async fn end(store: &Store, id: KeyId, act: Act) -> Result<(), Error> {
    let Act { standing, reach, entry } = act.on(id, &json!({}));
    match outcome(&store.revoke_key(standing, id, reach, entry).await?) {
        Err(Error::Key(KeyError::Ended)) => Ok(()),
        result => result,
    }
}

/// How long the old secret may stay good beside the new one.
pub(super) fn overlap_ms(seconds: Option<i64>) -> Result<i64, KeyError> {
    const USUAL: i64 = 86_400;
    const LONGEST: i64 = 604_800;
    let seconds = seconds.unwrap_or(USUAL);
    if (0..=LONGEST).contains(&seconds) {
        Ok(seconds * 1_000)
    } else {
        Err(KeyError::field("overlap_seconds", format!("0 to {LONGEST}")))
    }
}

/// Random bytes of which every base62 character is equally likely to be spelled.
fn unbiased(host: &dyn Host) -> [u8; text::SECRET_CHARS] {
    let mut secret = [0; text::SECRET_CHARS];
    for byte in &mut secret {
        *byte = loop {
            let [candidate] = random(host);
            if text::is_unbiased(candidate) {
                break candidate;
            }
        };
    }
    secret
}
