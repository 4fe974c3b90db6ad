//! A run through the script: each act as it is sent, and what is asked of each.

use super::extras::{Extras, Place};
use fake_stripe::FakeStripe;
use nest_tests::{Answer, Person, SignedCall, TestEdge, oauth::form};
use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::Value;
use shared::node::{CallKey, HEADERS};
use std::collections::BTreeSet;

/// Acts that leave no entry: which, and why.
const NO_ENTRY: &[(&str, &str)] = &[
    ("POST /auth/refresh", "a session goes on; the log has its beginning and its end"),
    ("POST /auth/password/strength", "says how good a password is"),
    ("POST /auth/introspect", "says what a token is worth"),
    ("POST /auth/mfa/totp", "offers a secret; the log has its confirmation"),
    ("POST /auth/mfa/passkeys/options", "offers a challenge; the log has the passkey"),
    ("POST /auth/mfa/passkeys/challenge", "offers a challenge; the log has the log-in"),
    ("POST /nodes/register", "is no act of a person; the log has the invitation"),
    ("POST /nodes/heartbeat", "is no act of a person; each node's last one is kept"),
    ("POST /v1/chat/completions", "is usage, and stands in the books"),
    ("POST /v1/completions", "is usage, and stands in the books"),
    ("POST /v1/embeddings", "is usage, and stands in the books"),
    ("POST /webhooks/stripe", "is no act of a person; each event is kept as it came"),
];

/// One run through the script.
pub(super) struct Run {
    pub(super) edge: TestEdge,
    extras: Extras,
    /// Methods and paths of what was done.
    pub(super) walked: BTreeSet<String>,
    /// How many bodies that carried something else were taken or refused.
    pub(super) carried: usize,
}

/// A call of the script.
pub(super) struct Act<'a> {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What the path's parameters are, in order.
    ids: &'a [&'a str],
    pub(super) body: Value,
    pub(super) takes: Takes<'a>,
    carrier: Carrier<'a>,
}

/// Fields beside those of the body that a route takes of anyone: they are no extras.
#[derive(Clone, Copy)]
pub(super) enum Takes<'a> {
    /// These; those of an object within the body with its name and a dot before them.
    These(&'a [&'a str]),
    /// What the document says: they say what to compute, and none of them is stored.
    Documented,
}

/// How a body is carried.
#[derive(Clone, Copy)]
enum Carrier<'a> {
    Json,
    Form,
    /// By a node.
    Signed(&'a CallKey),
    /// By Stripe.
    Told(&'a FakeStripe),
}

impl<'a> Act<'a> {
    pub(super) fn new(method: Method, path: &'static str, ids: &'a [&'a str], body: Value) -> Self {
        Self { method, path, ids, body, takes: Takes::These(&[]), carrier: Carrier::Json }
    }

    pub(super) fn taking(self, takes: &'a [&'a str]) -> Self {
        Self { takes: Takes::These(takes), ..self }
    }

    pub(super) fn taking_what_is_documented(self) -> Self {
        Self { takes: Takes::Documented, ..self }
    }

    pub(super) fn form(self) -> Self {
        Self { carrier: Carrier::Form, ..self }
    }

    pub(super) fn signed(self, key: &'a CallKey) -> Self {
        Self { carrier: Carrier::Signed(key), ..self }
    }

    pub(super) fn told_by(self, stripe: &'a FakeStripe) -> Self {
        Self { carrier: Carrier::Told(stripe), ..self }
    }

    /// As the route table has it.
    fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Below which the document's paths lie.
    pub(super) fn prefix(&self) -> &'static str {
        if ["/v1/", "/webhooks/"].iter().any(|it| self.path.starts_with(it)) { "" } else { "/api/v1" }
    }

    fn path(&self) -> String {
        let mut ids = self.ids.iter();
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { ids.next().unwrap() } else { part });
        format!("{}{}", self.prefix(), parts.collect::<Vec<_>>().join("/"))
    }
}

impl Run {
    pub(super) async fn start(settings: &[(&str, &str)], extras: Extras) -> Self {
        Self { edge: TestEdge::start(settings).await, extras, walked: BTreeSet::new(), carried: 0 }
    }

    /// Acts, and looks whether the log tells of it.
    pub(super) async fn act(&mut self, person: Option<&Person>, act: Act<'_>) -> Answer {
        let name = act.name();
        self.extras.check_document(&act);
        let before = self.entries().await;
        let answer = self.send(person, &act).await;
        assert!(answer.status.is_success(), "{name}: {} {}", answer.status, answer.text());
        let added = self.entries().await - before;
        let silent = NO_ENTRY.iter().any(|(act, _)| *act == name);
        assert!(silent || added >= 1, "{name} leaves no entry in the audit log");
        self.walked.insert(name);
        answer
    }

    /// Sends with extras at all places first. A route may refuse them, and then gets them at fewer, and at last the body
    /// alone.
    async fn send(&mut self, person: Option<&Person>, act: &Act<'_>) -> Answer {
        let mut sent = Vec::new();
        for place in [Place::Everywhere, Place::Within, Place::AtTop] {
            let body = self.extras.laden(act, place);
            if body == act.body || sent.contains(&body) {
                continue;
            }
            self.carried += 1;
            let answer = self.send_once(person, act, &body).await;
            if ![400, 422].contains(&answer.status.as_u16()) {
                return answer;
            }
            sent.push(body);
        }
        self.send_once(person, act, &act.body).await
    }

    async fn send_once(&self, person: Option<&Person>, act: &Act<'_>, body: &Value) -> Answer {
        let request = self.request(act, body);
        let request = match person {
            Some(person) => request.bearer_auth(&person.access_token),
            None => request,
        };
        Answer::read(request.send().await.unwrap()).await
    }

    fn request(&self, act: &Act<'_>, body: &Value) -> RequestBuilder {
        let request = self.edge.request(act.method.clone(), &act.path());
        match act.carrier {
            Carrier::Json => request.header("idempotency-key", uuid::Uuid::new_v4().to_string()).json(body),
            Carrier::Form => {
                let fields: Vec<(String, String)> =
                    body.as_object().unwrap().iter().map(|(name, value)| (name.clone(), as_field(value))).collect();
                let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
                request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&fields))
            }
            Carrier::Signed(key) => {
                let call = SignedCall::at(self.edge.now(), key, &self.edge.url, &act.path(), body);
                let headers = HEADERS.into_iter().zip(call.headers);
                headers.fold(request, |request, (name, value)| request.header(name, value)).body(call.body)
            }
            Carrier::Told(stripe) => {
                let payload = body.to_string();
                request.header("stripe-signature", stripe.sign(&payload)).body(payload)
            }
        }
    }

    async fn entries(&self) -> i64 {
        let count = "select count(*) from audit_log";
        self.edge.db.connect().await.query_one(count, &[]).await.unwrap().get(0)
    }
}

/// A value as a form's field.
fn as_field(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Text in an answer.
pub(super) fn field(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}
