//! People who are logged in.

use crate::{Answer, TestEdge, edge::PASSWORD};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};

/// Someone who has logged in with their password.
pub struct Person {
    pub user_id: UserId,
    pub email: String,
    /// The organisation that they own by themselves.
    pub org_id: OrgId,
    pub access_token: String,
    pub refresh_token: String,
}

impl TestEdge {
    /// Makes an account past sign-up, and logs in.
    pub async fn person(&self, email: &str) -> Person {
        self.make_account(email).await;
        self.log_in(email).await
    }

    /// Makes an account whose password is [`PASSWORD`], with an organisation of its own.
    pub async fn make_account(&self, email: &str) {
        let client = self.db.connect().await;
        let make = "
            with person as (
                insert into users (id, email, password_hash)
                select gen_random_uuid(), $1, password_hash from users where operator limit 1
                returning id
            )
            select found_org(gen_random_uuid(), $1, person.id) from person";
        client.query_one(make, &[&email]).await.unwrap();
        client.execute("update orgs set personal = true where name = $1", &[&email]).await.unwrap();
    }

    /// Logs in to an account whose password is [`PASSWORD`].
    pub async fn log_in(&self, email: &str) -> Person {
        let answer = self.try_log_in(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let tokens: Value = serde_json::from_str(answer.text()).unwrap();
        let client = self.db.connect().await;
        let owner = "
            select users.id::text, memberships.org_id::text
            from users join memberships on memberships.user_id = users.id and memberships.role = 'owner'
            where users.email = $1 order by memberships.created_at limit 1";
        let row = client.query_one(owner, &[&email]).await.unwrap();
        let uuid = |column: usize| row.get::<_, String>(column).parse().unwrap();
        Person {
            user_id: UserId::from_uuid(uuid(0)),
            email: email.to_owned(),
            org_id: OrgId::from_uuid(uuid(1)),
            access_token: tokens["access_token"].as_str().unwrap().to_owned(),
            refresh_token: tokens["refresh_token"].as_str().unwrap().to_owned(),
        }
    }

    /// Posts a log-in, whatever comes of it.
    pub async fn try_log_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        Answer::read(self.post("/api/v1/auth/login").json(&body).send().await.unwrap()).await
    }

    /// A request by `person`.
    pub fn by(&self, person: &Person, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&person.access_token)
    }
}
