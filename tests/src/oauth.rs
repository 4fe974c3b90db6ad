//! Programs with credentials of their own, and the forms that they send.

use crate::{Answer, TestEdge};
use edge_core::{
    audit::{Actor, Origin},
    auth::{self, NewClient},
};
use reqwest::header::CONTENT_TYPE;
use secrecy::ExposeSecret as _;
use shared::id::{ClientId, OrgId};

/// A registered client.
pub struct OauthClient {
    pub id: ClientId,
    pub secret: String,
}

/// How a client shows who it is.
#[derive(Clone, Copy)]
pub enum As<'a> {
    /// By the form alone, whatever is in it.
    Form,
    /// As our own program, which has no secret.
    Nest,
    /// In the header.
    Basic(&'a OauthClient),
    /// In the form.
    Post(&'a OauthClient),
}

impl TestEdge {
    /// Registers a client of `org`, or of the platform.
    pub async fn oauth_client(&self, org_id: Option<OrgId>, scope: &str) -> OauthClient {
        let new = NewClient { org_id, created_by: None, name: "test".to_owned(), scope: scope.parse().unwrap() };
        let (store, origin) = (self.store(), Origin::default());
        let issued =
            auth::register_client(&*self.native, &store, new, &Actor::OPERATOR, &origin).await.unwrap().unwrap();
        OauthClient { id: issued.id, secret: issued.secret.expose_secret().to_owned() }
    }

    /// Posts a form to `/auth/NAME`, and reads the whole answer.
    pub async fn oauth(&self, name: &str, who: As<'_>, fields: &[(&str, &str)]) -> Answer {
        let id = match who {
            As::Nest => "nest".to_owned(),
            As::Post(client) => client.id.to_string(),
            As::Form | As::Basic(_) => String::new(),
        };
        let mut fields = fields.to_vec();
        if !id.is_empty() {
            fields.push(("client_id", &id));
        }
        if let As::Post(client) = who {
            fields.push(("client_secret", &client.secret));
        }
        let mut request = self.post(&format!("/api/v1/auth/{name}"));
        if let As::Basic(client) = who {
            request = request.basic_auth(client.id.to_string(), Some(&client.secret));
        }
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&fields));
        Answer::read(request.send().await.unwrap()).await
    }
}

/// Fields as a browser encodes a form.
pub fn form(fields: &[(&str, &str)]) -> String {
    let url = reqwest::Url::parse_with_params("http://form", fields).unwrap();
    url.query().unwrap_or_default().to_owned()
}
