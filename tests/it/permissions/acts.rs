//! Each act of the API once: it leaves an entry in the audit log, and nothing is stored of what it was not asked for.

use edge_core::{Principal as Needs, routes};
use nest_tests::{Answer, TestEdge, edge::PASSWORD, person::Person};
use reqwest::Method;
use serde_json::{Value, json};
use shared::id::{OrgId, UserId};
use std::collections::{BTreeMap, BTreeSet};

/// Routes that change something and leave no entry: which, and why.
const NO_ENTRY: &[(&str, &str)] = &[("/auth/refresh", "a session goes on; the log has its beginning and its end")];

/// Routes that no script here can walk: which, or how they begin, and where they are walked.
const ELSEWHERE: &[(&str, &str)] = &[
    ("/nodes/register", "signed by a node: tests/it/nodes.rs; a registration is no act of a person"),
    ("/nodes/heartbeat", "signed by a node: tests/it/nodes.rs; each node's last one is kept"),
    ("/auth/token", "a form, and a client: tests/it/oauth"),
    ("/auth/revoke", "a form, and a client: tests/it/oauth"),
    ("/auth/introspect", "a form, and a client: tests/it/oauth; it only tells"),
    ("/auth/mfa/", "needs an authenticator: tests/it/mfa, tests/it/passkeys"),
    ("/auth/reauthenticate", "tests/it/step_up.rs"),
    ("/admin/", "operators' acts, with their whole entries: tests/it/admin"),
    ("/auth/identities/{provider}", "takes no body, and needs a provider: tests/it/oidc/linking.rs"),
];

/// Nothing in a body of these changes anything.
const CHANGES_NOTHING: &[(&str, &str)] = &[("/auth/password/strength", "says how good a password is")];

/// A second password.
const ANOTHER: &str = "a stapled lantern behind the moon";

/// One run through the script.
struct Run {
    edge: TestEdge,
    /// Fields that no body has, sent with every body.
    extras: BTreeMap<String, Value>,
    walked: BTreeSet<(String, String)>,
}

/// A call of the script.
struct Act<'a> {
    method: Method,
    path: &'static str,
    /// What the path's parameters are, in order.
    ids: &'a [&'a str],
    body: Value,
    /// Fields beside those of the body that the route takes of anyone: they are no extras.
    takes: &'a [&'a str],
}

impl<'a> Act<'a> {
    fn new(method: Method, path: &'static str, ids: &'a [&'a str], body: Value) -> Self {
        Self { method, path, ids, body, takes: &[] }
    }

    fn taking(self, takes: &'a [&'a str]) -> Self {
        Self { takes, ..self }
    }

    fn path(&self) -> String {
        let mut ids = self.ids.iter();
        let parts = self.path.split('/').map(|part| if part.starts_with('{') { ids.next().unwrap() } else { part });
        format!("/api/v1{}", parts.collect::<Vec<_>>().join("/"))
    }
}

impl Run {
    /// Acts, and looks whether the log tells of it.
    async fn act(&mut self, person: Option<&Person>, act: Act<'_>) -> Answer {
        let before = self.entries().await;
        let answer = self.send(person, &act).await;
        let name = format!("{} {}", act.method, act.path);
        assert!(answer.status.is_success(), "{name}: {} {}", answer.status, answer.text());
        let added = self.entries().await - before;
        let silent = NO_ENTRY.iter().any(|(path, _)| *path == act.path);
        assert!(silent || added >= 1, "{name} leaves no entry in the audit log");
        self.walked.insert((act.method.to_string(), act.path.to_owned()));
        answer
    }

    /// Sends with the extras first; a route may refuse them, and then gets the body alone.
    async fn send(&self, person: Option<&Person>, act: &Act<'_>) -> Answer {
        let mut body = act.body.clone();
        for (name, value) in self.extras.iter().filter(|(name, _)| !act.takes.contains(&name.as_str())) {
            body.as_object_mut().unwrap().entry(name.clone()).or_insert_with(|| value.clone());
        }
        let answer = self.send_once(person, act, &body).await;
        let refused = [400, 422].contains(&answer.status.as_u16()) && !self.extras.is_empty();
        if refused { self.send_once(person, act, &act.body).await } else { answer }
    }

    async fn send_once(&self, person: Option<&Person>, act: &Act<'_>, body: &Value) -> Answer {
        let request = self.edge.request(act.method.clone(), &act.path()).json(body);
        let request = match person {
            Some(person) => request.bearer_auth(&person.access_token),
            None => request,
        };
        Answer::read(request.send().await.unwrap()).await
    }

    async fn entries(&self) -> i64 {
        let count = "select count(*) from audit_log";
        self.edge.db.connect().await.query_one(count, &[]).await.unwrap().get(0)
    }
}

/// Text in an answer.
fn field(answer: &Answer, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}

/// Everything once, on an edge of its own.
async fn script(extras: BTreeMap<String, Value>) -> Run {
    let edge = TestEdge::start(&[]).await;
    let mut run = Run { edge, extras, walked: BTreeSet::new() };
    let ada = run.edge.person("ada@example.com").await;
    let bob = run.edge.person("bob@example.com").await;
    accounts(&mut run).await;
    sessions(&mut run).await;
    let org =
        field(&run.act(Some(&ada), Act::new(Method::POST, "/orgs", &[], json!({ "name": "Engines" }))).await, "id");
    let org = org.as_str();
    let name = json!({ "name": "Analytical Engines" });
    run.act(Some(&ada), Act::new(Method::PATCH, "/orgs/{org}", &[org], name)).await;
    invitations(&mut run, &ada, &bob, org).await;
    roles(&mut run, &ada, org).await;
    members(&mut run, &ada, &bob, org).await;
    keys(&mut run, &ada).await;
    run.act(Some(&ada), Act::new(Method::DELETE, "/orgs/{org}", &[org], json!({}))).await;
    run
}

/// An account from its sign-up, with its password and address changed, and asked for again.
async fn accounts(run: &mut Run) {
    let (old, new) = ("kim@example.com", "kim@example.org");
    let signup = json!({ "email": old, "password": PASSWORD });
    run.act(None, Act::new(Method::POST, "/auth/signup", &[], signup).taking(&["name"])).await;
    let token = async |run: &Run, address: &str| json!({ "token": run.edge.last_mail(address).await.token() });
    let proof = token(run, old).await;
    run.act(None, Act::new(Method::POST, "/auth/verify", &[], proof)).await;
    run.act(None, Act::new(Method::POST, "/auth/password/forgot", &[], json!({ "email": old }))).await;
    let mut reset = token(run, old).await;
    reset["password"] = json!(ANOTHER);
    let reset = Act::new(Method::POST, "/auth/password/reset", &[], reset).taking(&["revoke_api_keys"]);
    run.act(None, reset).await;
    let login = json!({ "email": old, "password": ANOTHER });
    let login = Act::new(Method::POST, "/auth/login", &[], login).taking(&["cookie", "device_token"]);
    let kim = Person { access_token: field(&run.act(None, login).await, "access_token"), ..nobody() };
    let change = json!({ "current_password": ANOTHER, "new_password": PASSWORD });
    run.act(Some(&kim), Act::new(Method::POST, "/auth/password/change", &[], change)).await;
    run.act(Some(&kim), Act::new(Method::PATCH, "/me", &[], json!({ "name": "Kim" }))).await;
    run.act(Some(&kim), Act::new(Method::POST, "/me/email", &[], json!({ "email": new }))).await;
    let proof = token(run, new).await;
    run.act(None, Act::new(Method::POST, "/auth/verify", &[], proof)).await;
}

/// Someone of whom only the access token matters.
fn nobody() -> Person {
    Person {
        user_id: UserId::from_uuid(uuid::Uuid::nil()),
        email: String::new(),
        org_id: OrgId::from_uuid(uuid::Uuid::nil()),
        access_token: String::new(),
        refresh_token: String::new(),
    }
}

/// Sessions.
async fn sessions(run: &mut Run) {
    run.edge.make_account("eve@example.com").await;
    let login = json!({ "email": "eve@example.com", "password": PASSWORD });
    let act = || Act::new(Method::POST, "/auth/login", &[], login.clone());
    run.act(None, act()).await;
    let second = run.act(None, act()).await;
    let refresh = json!({ "refresh_token": field(&second, "refresh_token") });
    run.act(None, Act::new(Method::POST, "/auth/refresh", &[], refresh)).await;
    let eve = run.edge.log_in("eve@example.com").await;
    let sessions = run.edge.api(&eve, Method::GET, "/auth/sessions", Value::Null).await.json();
    let other = sessions["data"].as_array().unwrap().iter().find(|it| it["current"] == false).unwrap()["id"].clone();
    let other = other.as_str().unwrap();
    run.act(Some(&eve), Act::new(Method::DELETE, "/auth/sessions/{session}", &[other], json!({}))).await;
    run.act(Some(&eve), Act::new(Method::DELETE, "/auth/sessions", &[], json!({}))).await;
    run.act(Some(&eve), Act::new(Method::POST, "/auth/logout", &[], json!({}))).await;
}

/// One that is taken back, one that is accepted, and one that makes an account.
async fn invitations(run: &mut Run, ada: &Person, bob: &Person, org: &str) {
    let invite = |email: &str| {
        let body = json!({ "email": email, "role": "viewer" });
        Act::new(Method::POST, "/orgs/{org}/invitations", std::slice::from_ref(&org), body)
    };
    let dropped = field(&run.act(Some(ada), invite("dropped@example.com")).await, "id");
    let path = "/orgs/{org}/invitations/{invitation}";
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &dropped], json!({}))).await;
    run.act(Some(ada), invite("bob@example.com")).await;
    let token = json!({ "token": run.edge.invitation_token("bob@example.com").await });
    run.act(Some(bob), Act::new(Method::POST, "/invitations/accept", &[], token)).await;
    run.act(Some(ada), invite("new@example.com")).await;
    let token = run.edge.invitation_token("new@example.com").await;
    let join = json!({ "token": token, "password": PASSWORD });
    run.act(None, Act::new(Method::POST, "/invitations/join", &[], join).taking(&["name"])).await;
}

/// Roles and clients.
async fn roles(run: &mut Run, ada: &Person, org: &str) {
    let body = json!({ "name": "Looking", "permissions": ["org:read"] });
    let role =
        field(&run.act(Some(ada), Act::new(Method::POST, "/orgs/{org}/roles", &[org], body.clone())).await, "id");
    let path = "/orgs/{org}/roles/{role}";
    let rename = json!({ "name": "Watching" });
    run.act(Some(ada), Act::new(Method::PATCH, path, &[org, &role], rename).taking(&["permissions"])).await;
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &role], json!({}))).await;
    let made = run.act(Some(ada), Act::new(Method::POST, "/orgs/{org}/clients", &[org], body)).await;
    let client = field(&made, "client_id");
    run.act(Some(ada), Act::new(Method::DELETE, "/orgs/{org}/clients/{client}", &[org, &client], json!({}))).await;
}

/// A key of one's own organisation.
async fn keys(run: &mut Run, ada: &Person) {
    let takes = ["environment", "scopes", "models", "ip_allow", "limits", "spend", "expires_at", "disabled"];
    let create = Act::new(Method::POST, "/keys", &[], json!({ "name": "ci" })).taking(&takes);
    let key = field(&run.act(Some(ada), create).await, "id");
    let (key, rename) = (&[key.as_str()][..], json!({ "name": "deploy" }));
    run.act(Some(ada), Act::new(Method::PATCH, "/keys/{key}", key, rename).taking(&takes)).await;
    run.act(Some(ada), Act::new(Method::POST, "/keys/{key}/rotate", key, json!({ "overlap_seconds": 60 }))).await;
    run.act(Some(ada), Act::new(Method::DELETE, "/keys/{key}", key, json!({}))).await;
}

async fn members(run: &mut Run, ada: &Person, bob: &Person, org: &str) {
    let path = "/orgs/{org}/members/{user}";
    let bob = bob.user_id.to_string();
    run.act(Some(ada), Act::new(Method::PATCH, path, &[org, &bob], json!({ "role": "member" }))).await;
    run.act(Some(ada), Act::new(Method::DELETE, path, &[org, &bob], json!({}))).await;
}

/// Checklist 115's part: there is no act without its entry.
#[tokio::test]
async fn every_act_leaves_an_entry_in_the_audit_log() {
    let run = script(BTreeMap::new()).await;
    for route in routes() {
        // What a key does is usage, and stands in the books.
        let act = route.method != Method::GET && route.access.principal != Needs::Key;
        let walked = run.walked.contains(&(route.method.to_string(), route.path.to_owned()));
        let elsewhere = ELSEWHERE
            .iter()
            .chain(CHANGES_NOTHING)
            .any(|(path, _)| *path == route.path || (path.ends_with('/') && route.path.starts_with(path)));
        assert!(!act || walked || elsewhere, "{} {} stands in no script of this file", route.method, route.path);
    }
}

/// A value for each column of the schema, and for what else an attacker would try.
async fn privileges() -> BTreeMap<String, Value> {
    let edge = TestEdge::start(&[]).await;
    let columns = "
        select distinct on (column_name) column_name::text, data_type::text from information_schema.columns
        where table_schema = 'public' order by column_name, data_type";
    let mut extras = BTreeMap::new();
    for row in edge.db.connect().await.query(columns, &[]).await.unwrap() {
        let value = match row.get::<_, &str>(1) {
            "boolean" => json!(true),
            "bigint" | "integer" | "double precision" => json!(99),
            "uuid" => json!("0190163d-8694-739b-9c1a-6b0c1b5c0000"),
            "timestamp with time zone" => json!(0),
            _ => json!("owner"),
        };
        extras.insert(row.get::<_, String>(0), value);
    }
    for (name, value) in [
        ("role", json!("owner")),
        ("operator", json!(true)),
        ("is_admin", json!(true)),
        ("email_verified", json!(true)),
        ("permissions", json!(["org:delete", "billing:write"])),
        ("scope", json!("all")),
        ("org_id", json!("org_0190163d8694739b9c1a6b0c1b5c0000")),
        ("user_id", json!("user_0190163d8694739b9c1a6b0c1b5c0000")),
        ("client_id", json!("client_0190163d8694739b9c1a6b0c1b5c0000")),
        ("amr", json!(["pwd", "otp", "mfa"])),
    ] {
        extras.insert(name.to_owned(), value);
    }
    assert!(extras.len() > 80, "the schema lacks most of its columns: {extras:?}");
    extras
}

/// Every row, with names in the place of ids, and whether it is set in the place of a time or a secret.
async fn stored(edge: &TestEdge) -> Vec<String> {
    let client = edge.db.connect().await;
    let names = "select id::text, email from users union all select id::text, name from orgs";
    let names: Vec<(String, String)> =
        client.query(names, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let tables = "
        select table_name::text from information_schema.tables
        where table_schema = 'public' and table_type = 'BASE TABLE'
            and table_name not in ('refinery_schema_history', 'contract_notes', 'audit_head', 'audit_anchors')";
    let mut all = Vec::new();
    for table in client.query(tables, &[]).await.unwrap() {
        let table: &str = table.get(0);
        for row in client.query(&format!("select to_jsonb(t)::text from {table} t"), &[]).await.unwrap() {
            let mut row: Value = serde_json::from_str(row.get(0)).unwrap();
            for (column, value) in row.as_object_mut().unwrap() {
                *value = plain(column, value, &names);
            }
            all.push(format!("{table} {row}"));
        }
    }
    all.sort_unstable();
    all
}

/// A stored value, without what differs from run to run.
fn plain(column: &str, value: &Value, names: &[(String, String)]) -> Value {
    // Chaining goes on behind the answers.
    if ["seq", "mac"].contains(&column) || (column == "id" && value.is_number()) {
        return Value::Null;
    }
    let Value::String(text) = value else { return value.clone() };
    let mut text = text.clone();
    for (id, name) in names {
        text = text.replace(id, name).replace(&id.replace('-', ""), name);
    }
    let random = ["password_hash", "request_id", "prefix", "last_four"].contains(&column)
        || text.starts_with("\\x")
        || text.get(..3).is_some_and(|it| it == "202") && text.contains('T')
        || uuid::Uuid::try_parse(text.rsplit('_').next().unwrap_or_default()).is_ok();
    if random { json!("set") } else { json!(text) }
}

/// Checklist 56: whatever else is sent, the rows are those of what was asked for.
#[tokio::test]
async fn nothing_is_stored_that_a_body_does_not_take() {
    let extras = privileges().await;
    let (plain, laden) = (script(BTreeMap::new()).await, script(extras).await);
    let (plain, laden) = (stored(&plain.edge).await, stored(&laden.edge).await);
    let differ: Vec<_> = plain.iter().zip(&laden).filter(|(one, other)| one != other).collect();
    assert!(plain.len() == laden.len() && differ.is_empty(), "{} and {} rows: {differ:#?}", plain.len(), laden.len());
    assert!(plain.len() > 30, "{}", plain.len());
}
