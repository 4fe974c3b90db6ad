//! Organisations that several people share.

use crate::{Answer, TestEdge, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::{OrgId, RoleId};

impl TestEdge {
    /// Calls a route below the API's prefix as `person`, with a JSON body unless it is null.
    pub async fn api(&self, person: &Person, method: Method, path: &str, body: Value) -> Answer {
        let request = self.by(person, method, &format!("/api/v1{path}"));
        let request = if body.is_null() { request } else { request.json(&body) };
        Answer::read(request.send().await.unwrap()).await
    }

    /// An organisation that `owner` founds.
    pub async fn org(&self, owner: &Person, name: &str) -> OrgId {
        let answer = self.api(owner, Method::POST, "/orgs", json!({ "name": name })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// Makes `person` a member past invitations. `role` is a built-in one, or the id of one of the organisation's own.
    pub async fn enrol(&self, org: OrgId, person: &Person, role: &str) {
        let own = role.parse::<RoleId>().ok().map(|it| it.uuid().to_string());
        let column = if own.is_some() { "custom" } else { role };
        let enrol = "
            insert into memberships (org_id, user_id, role, custom_role)
            values ($1::text::uuid, $2::text::uuid, $3, $4::text::uuid)
            on conflict (org_id, user_id) do update set role = excluded.role, custom_role = excluded.custom_role";
        let (org, user) = (org.uuid().to_string(), person.user_id.uuid().to_string());
        self.db.connect().await.execute(enrol, &[&org, &user, &column, &own]).await.unwrap();
    }

    /// A role that `owner` makes of `permissions`.
    pub async fn own_role(&self, owner: &Person, org: OrgId, name: &str, permissions: &[&str]) -> RoleId {
        let body = json!({ "name": name, "permissions": permissions });
        let answer = self.api(owner, Method::POST, &format!("/orgs/{org}/roles"), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()["id"].as_str().unwrap().parse().unwrap()
    }

    /// The token in the newest invitation that was mailed to `address`.
    pub async fn invitation_token(&self, address: &str) -> String {
        let mail = self.last_mail(address).await;
        assert_eq!(mail.template, "invitation");
        assert!(mail.link().starts_with(&format!("{}/account.html#invitation=", self.config.public_url)));
        mail.token().to_owned()
    }
}
