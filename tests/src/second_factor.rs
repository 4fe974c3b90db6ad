//! What people prove themselves with beside their password.

use crate::{Answer, TestEdge, edge::PASSWORD, person::Person};
use edge_core::auth::totp_code;
use reqwest::Method;
use serde_json::{Value, json};
use shared::time::Timestamp;
use totp_rs::Secret;

/// An authenticator app that holds one secret.
#[derive(Clone, Debug)]
pub struct AuthenticatorApp(Vec<u8>);

impl AuthenticatorApp {
    /// One into which someone has typed this.
    pub fn with(base32: &str) -> Self {
        Self(Secret::try_from_base32(base32).unwrap().as_bytes().to_vec())
    }

    /// What it shows at `time`.
    pub fn code(&self, time: Timestamp) -> String {
        totp_code(&self.0, time).unwrap()
    }

    /// A code that is not good within a minute of `time`.
    pub fn wrong_code(&self, time: Timestamp) -> String {
        let near: Vec<String> = (-3..=3).map(|steps| self.code(time.plus_ms(steps * 30_000))).collect();
        (0..).map(|number: u32| format!("{number:06}")).find(|it| !near.contains(it)).unwrap()
    }
}

/// Someone with an authenticator app.
pub struct WithApp {
    /// In the session in which it was set up, by the password alone.
    pub person: Person,
    pub app: AuthenticatorApp,
    pub recovery_codes: Vec<String>,
}

impl TestEdge {
    /// Makes an account with an authenticator app. The clock has moved on, so that the next code is a new one.
    pub async fn person_with_app(&self, email: &str) -> WithApp {
        let person = self.person(email).await;
        let secret = self.ask_by(&person, Method::POST, "/api/v1/auth/mfa/totp", &json!({})).await;
        assert_eq!(secret.status, 200, "{}", secret.text());
        let app = AuthenticatorApp::with(secret.json()["secret"].as_str().unwrap());
        let code = json!({ "code": app.code(self.now()) });
        let confirmed = self.ask_by(&person, Method::POST, "/api/v1/auth/mfa/totp/confirm", &code).await;
        assert_eq!(confirmed.status, 200, "{}", confirmed.text());
        let recovery_codes = serde_json::from_value(confirmed.json()["recovery_codes"].clone()).unwrap();
        self.advance_ms(60_000);
        WithApp { person, app, recovery_codes }
    }

    /// A request with a body by `person`, and its answer.
    pub async fn ask_by(&self, person: &Person, method: Method, path: &str, body: &Value) -> Answer {
        Answer::read(self.by(person, method, path).json(body).send().await.unwrap()).await
    }

    /// The first half of a log-in: the challenge for the second.
    pub async fn challenge(&self, email: &str) -> String {
        let answer = self.try_log_in(email, PASSWORD).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
        let required = answer.json();
        assert_eq!(required["mfa_required"], true, "{required}");
        required["challenge"].as_str().unwrap().to_owned()
    }

    /// The second half, by a code of an app.
    pub async fn verify_totp(&self, challenge: &str, code: &str) -> Answer {
        self.verify(&json!({ "challenge": challenge, "method": "totp", "code": code })).await
    }

    /// The second half, by a recovery code.
    pub async fn verify_recovery(&self, challenge: &str, code: &str) -> Answer {
        self.verify(&json!({ "challenge": challenge, "method": "recovery_code", "code": code })).await
    }

    /// The second half, whatever it is.
    pub async fn verify(&self, body: &Value) -> Answer {
        Answer::read(self.post("/api/v1/auth/mfa/verify").json(body).send().await.unwrap()).await
    }

    /// Both halves, by the app's next code; the person in the session that comes of it.
    pub async fn log_in_with_app(&self, it: &WithApp) -> Person {
        self.advance_ms(30_000);
        let challenge = self.challenge(&it.person.email).await;
        let answer = self.verify_totp(&challenge, &it.app.code(self.now())).await;
        self.in_session(&it.person, &answer)
    }

    /// `person` in the session that `answer` has opened.
    pub fn in_session(&self, person: &Person, answer: &Answer) -> Person {
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"), "{}", answer.text());
        let tokens = answer.json();
        let text = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("{name} in {tokens}")).to_owned();
        Person {
            user_id: person.user_id,
            email: person.email.clone(),
            org_id: person.org_id,
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
        }
    }

    /// The templates of the mails that were written to `recipient`, oldest first.
    pub async fn mails_to(&self, recipient: &str) -> Vec<String> {
        let sql = "select template from mail_outbox where recipient = $1 order by created_at, id";
        self.column(sql, recipient).await
    }

    /// The actions of the audit log that name `id`, oldest first.
    pub async fn audited(&self, id: &str) -> Vec<String> {
        self.column("select action from audit_log where target = $1 or actor_id = $1 order by id", id).await
    }

    async fn column(&self, sql: &str, param: &str) -> Vec<String> {
        let client = self.db.connect().await;
        client.query(sql, &[&param]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }
}
