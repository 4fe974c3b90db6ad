//! A real OpenID provider that others wrote, by way of `tests/npm/provider.mjs`, and whoever logs in at it.

use crate::{
    Talk,
    browser::{Browser, Visit},
    npm,
};
use reqwest::Url;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// A provider that listens; it ends with this value.
pub struct OidcProvider {
    /// Without a slash at its end.
    pub issuer: String,
    talk: Mutex<Talk>,
}

/// A client, in the words of OpenID's registration.
#[derive(Clone, Debug, Serialize)]
pub struct ClientSpec {
    pub client_id: String,
    pub client_secret: String,
    pub redirect_uris: Vec<String>,
    /// `RS256`, `ES256` or `EdDSA`.
    pub id_token_signed_response_alg: String,
    /// `client_secret_basic` or `client_secret_post`.
    pub token_endpoint_auth_method: String,
}

/// An account, by its claims; those that are left out are not told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct OidcAccount {
    pub sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the provider does wrong from the next request on. The first ones are about the ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Misbehaviour {
    OtherIssuer,
    OtherAudience,
    /// The client is among the audience, but the token was issued to another.
    OtherAuthorizedParty,
    OtherNonce,
    NoNonce,
    NoSubject,
    Expired,
    NoExpiry,
    NotYet,
    /// The algorithm `none`.
    NoSignature,
    /// The right header and claims, and nothing after the second dot.
    CutSignature,
    /// A key that is not the provider's, under the id of one that is.
    OtherKey,
    /// A key and an id that are not the provider's.
    UnknownKey,
    /// A key that is not the provider's, and that stands in the token's own header.
    KeyInHeader,
    /// HS256 with the published key as its secret.
    PublicKeyAsSecret,
    NoIdToken,
    TokenEndpointFails,
    /// The claims of another account at the userinfo endpoint.
    UserinfoOfAnother,
    OtherIssuerInMetadata,
}

impl ClientSpec {
    /// A client with a secret, as most providers register one.
    pub fn new(client_id: &str, client_secret: &str, redirect_uri: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            redirect_uris: vec![redirect_uri.to_owned()],
            id_token_signed_response_alg: "RS256".to_owned(),
            token_endpoint_auth_method: "client_secret_basic".to_owned(),
        }
    }
}

impl OidcAccount {
    /// An account whose address the provider has verified.
    pub fn verified(sub: &str, email: &str) -> Self {
        let (email, name) = (Some(email.to_owned()), Some(sub.to_owned()));
        Self { sub: sub.to_owned(), email, email_verified: Some(true), name }
    }
}

impl OidcProvider {
    /// A provider with these clients, and without accounts.
    pub async fn start(clients: &[ClientSpec]) -> Self {
        let mut talk = npm::script("provider.mjs").talk().await;
        let issuer = talk.ask(&json!({})).await["issuer"].as_str().unwrap().to_owned();
        let provider = Self { issuer, talk: Mutex::new(talk) };
        for client in clients {
            provider.add_client(client).await;
        }
        provider
    }

    /// Adds a client, or replaces the one with its id.
    pub async fn add_client(&self, client: &ClientSpec) {
        self.tell(json!({ "client": client })).await;
    }

    /// Adds an account, or replaces the one with its `sub`.
    pub async fn add_account(&self, account: &OidcAccount) {
        self.tell(json!({ "account": account })).await;
    }

    /// Does `what` wrong until told otherwise.
    pub async fn misbehave(&self, what: Option<Misbehaviour>) {
        self.tell(json!({ "misbehave": what })).await;
    }

    /// Signs with new keys from now on, which it publishes beside the old ones.
    pub async fn rotate_keys(&self) {
        self.tell(json!({ "rotate": true })).await;
    }

    /// Follows a client's `url` as the account `sub`, who logs in and consents: gives where the client is sent to.
    pub async fn authorize(&self, url: &str, sub: &str) -> Url {
        let mut browser = Browser::new();
        let mut visit = browser.open(url.parse().unwrap()).await;
        for prompt in ["login", "consent"] {
            let Visit::Page(at, page) = visit else { break };
            let html = page.text();
            assert!(html.contains(&format!("value=\"{prompt}\"")), "{at} does not ask for {prompt}: {html}");
            let action = at.join(attribute(html, "action=\"")).unwrap();
            visit = browser.submit(action, &[("prompt", prompt), ("login", sub), ("password", "any")]).await;
        }
        visit.away()
    }

    /// Follows a client's `url` to the log-in form, and cancels there: gives where the client is sent to.
    pub async fn cancel(&self, url: &str) -> Url {
        let mut browser = Browser::new();
        match browser.open(url.parse().unwrap()).await {
            Visit::Away(url) => url,
            Visit::Page(at, page) => {
                let links = page.text().split("href=\"").skip(1).filter_map(|it| it.split('"').next());
                let abort = links.into_iter().find(|it| it.ends_with("/abort")).expect("the form can be cancelled");
                browser.open(at.join(abort).unwrap()).await.away()
            }
        }
    }

    async fn tell(&self, order: Value) {
        assert_eq!(self.talk.lock().await.ask(&order).await, json!({}), "{order}");
    }
}

/// What stands behind `begin`, up to the quote.
fn attribute<'a>(html: &'a str, begin: &str) -> &'a str {
    html.split_once(begin).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_else(|| panic!("no {begin}: {html}"))
}
