//! One of every principal, and one of every kind of organisation.

use super::{
    client_token::client_token,
    policy::Org,
    principal::{Credential, Key, KeyState, Page, Person as Session, Principal, Who},
};
use edge_core::{keys::NewKey, orgs::Owner};
use nest_tests::{
    Answer, TestEdge,
    edge::{OPERATOR, PASSWORD},
    person::Person,
};
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use shared::{
    id::OrgId,
    permission::{Permission, Permissions},
};
use std::collections::BTreeMap;

/// Whose organisation a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// That of most principals.
    Own,
    Other,
    Deleted,
    Suspended,
    Unknown,
    /// No id at all.
    Malformed,
    /// The request does not say: it is the principal's own.
    Unnamed,
}

impl Place {
    /// Those that a path can name.
    pub(super) const ALL: [Self; 6] =
        [Self::Own, Self::Other, Self::Deleted, Self::Suspended, Self::Unknown, Self::Malformed];
}

pub(super) struct World {
    pub(super) edge: TestEdge,
    pub(super) principals: Vec<Principal>,
    own: OrgId,
    other: OrgId,
    deleted: OrgId,
    suspended: OrgId,
}

/// What nobody has, for a parameter such as `{role}`.
pub(super) fn unknown(parameter: &str) -> String {
    const NONE: &str = "0190163d8694739b9c1a6b0c1b5c0000";
    match parameter {
        "{organisation}" => format!("org_{NONE}"),
        "{user}" => format!("user_{NONE}"),
        "{role}" => format!("role_{NONE}"),
        "{invitation}" => format!("invitation_{NONE}"),
        "{client}" => format!("client_{NONE}"),
        "{session}" => format!("sess_{NONE}"),
        "{passkey}" => format!("passkey_{NONE}"),
        "{key}" => format!("key_{NONE}"),
        "{node}" => format!("node_{NONE}"),
        _ => "none".to_owned(),
    }
}

/// No limit is what these tests are about.
const SETTINGS: &[(&str, &str)] = &[
    (
        "ADDRESS_LIMITS",
        "health=1000000/m login=1000000/m signup=1000000/m mail=1000000/m mfa=1000000/m oauth=1000000/m auth=1000000/m nodes=1000000/m models=1000000/m api=1000000/m",
    ),
    ("LOGIN_TRIES_PER_ADDRESS", "1000000"),
    ("LOGIN_FAILURES_PER_MINUTE", "1000000"),
];

impl World {
    pub(super) async fn make() -> Self {
        let edge = TestEdge::start(SETTINGS).await;
        // The older a session is to be, the earlier it is opened.
        let owner = edge.person("owner@example.com").await;
        edge.advance_ms(631_000);
        let stale = edge.log_in("owner@example.com").await;
        edge.advance_ms(300_001);
        let expired = owner;
        let owner = edge.log_in("owner@example.com").await;
        let stranger = edge.person("stranger@example.com").await;
        let mut world = Self {
            own: edge.org(&owner, "Own").await,
            other: edge.org(&stranger, "Other").await,
            deleted: edge.org(&stranger, "Deleted").await,
            suspended: edge.org(&stranger, "Suspended").await,
            edge,
            principals: Vec::new(),
        };
        world.outsiders(&owner, &stranger, expired, stale).await;
        world.members(&owner).await;
        world.clients(&owner, &stranger).await;
        world.keys().await;
        world.management_keys().await;
        world.settle().await;
        world
    }

    /// The organisation at a place.
    pub(super) fn org(&self, place: Place, principal: &Principal) -> Org {
        let unknown = "org_0190163d8694739b9c1a6b0c1b5c0000";
        let (id, exists, suspended) = match place {
            Place::Own => (self.own.to_string(), true, false),
            Place::Other => (self.other.to_string(), true, false),
            Place::Deleted => (self.deleted.to_string(), false, false),
            Place::Suspended => (self.suspended.to_string(), true, true),
            Place::Unknown => (unknown.to_owned(), false, false),
            Place::Malformed => ("none".to_owned(), false, false),
            Place::Unnamed => (principal.own_org().unwrap_or_default(), true, false),
        };
        Org { id, exists, suspended }
    }

    /// Puts right what a request that was let in has undone.
    pub(super) async fn restore(&self) {
        let restore = "
            update sessions set ended_at = null, end_reason = null where ended_at is not null;
            insert into memberships select * from kept_memberships on conflict do nothing;
            update orgs set deleted_at = kept_orgs.deleted_at from kept_orgs
            where orgs.id = kept_orgs.id and orgs.deleted_at is distinct from kept_orgs.deleted_at;";
        self.edge.db.connect().await.batch_execute(restore).await.unwrap();
    }

    /// Ends what is to be ended, and keeps what [`Self::restore`] puts back.
    async fn settle(&self) {
        let settle = format!(
            "update orgs set deleted_at = now() where id = '{}';
             update orgs set suspended_at = now() where id = '{}';
             update users set suspended_at = now() where email = 'suspended@example.com';
             update sessions set scope = 'org:read'
             where user_id = (select id from users where email = 'narrowed@example.com');
             create table kept_memberships as select * from memberships;
             create table kept_orgs as select id, deleted_at from orgs;",
            self.deleted.uuid(),
            self.suspended.uuid()
        );
        self.edge.db.connect().await.batch_execute(&settle).await.unwrap();
    }

    async fn outsiders(&mut self, owner: &Person, stranger: &Person, expired: Person, stale: Person) {
        let edge = &self.edge;
        let challenge = "nest_challenge_partial";
        let partial = "
            insert into challenges (token_hash, user_id, purpose, state, created_at, expires_at)
            select $1, id, 'login', '{}', now(), now() + interval '1 day' from users where email = 'owner@example.com'";
        let hash = Sha256::digest(challenge.as_bytes()).to_vec();
        edge.db.connect().await.execute(partial, &[&hash]).await.unwrap();
        let operator = edge.log_in(OPERATOR).await;
        let all = Permissions::all();
        let own = |person: &Person| self.session(person, &[(self.own, all)]);
        let theirs = [(self.other, all), (self.deleted, all), (self.suspended, all)];
        let old = Session { stale: true, ..own(&stale) };
        let mut principals = vec![
            Principal::new("nobody", Credential::None, Who::Nobody).wide(),
            Principal::bearer("a text that is no token", "none", Who::Nobody),
            Principal::bearer("an owner whose token has expired", expired.access_token, Who::Nobody),
            Principal::bearer("a refresh token", owner.refresh_token.clone(), Who::Nobody).wide(),
            Principal::bearer("a log-in before its second factor", challenge, Who::Nobody).wide(),
            Principal::bearer("an owner of long ago", stale.access_token.clone(), Who::Person(old)).wide(),
            Principal::bearer("the owner", owner.access_token.clone(), Who::Person(own(owner))).wide(),
            Principal::bearer(
                "another owner",
                stranger.access_token.clone(),
                Who::Person(self.session(stranger, &theirs)),
            )
            .wide(),
            Principal::bearer(
                "an operator",
                operator.access_token.clone(),
                Who::Person(Session { operator: true, ..self.session(&operator, &[]) }),
            )
            .wide(),
        ];
        let cookie = cookie(edge, "owner@example.com").await;
        for (name, page) in [("ours", Page::Ours), ("another site's", Page::Foreign), ("no page", Page::Unknown)] {
            let session = Session { page: Some(page), ..own(owner) };
            let name = format!("the owner's cookie from a page that is {name}");
            principals
                .push(Principal::new(name, Credential::Cookie(cookie.clone(), page), Who::Person(session)).wide());
        }
        self.principals.extend(principals);
    }

    /// A member of each role, and one for each permission alone.
    async fn members(&mut self, owner: &Person) {
        let roles = [
            (
                "admin",
                "org:read org:write members:read members:write roles:write keys:read keys:write clients:read clients:write usage:read billing:read audit:read models:use",
            ),
            ("billing", "org:read members:read usage:read billing:read billing:write"),
            ("member", "org:read members:read usage:read keys:read keys:write models:use"),
            ("viewer", "org:read members:read usage:read"),
        ];
        for (role, permissions) in roles {
            let person = self.edge.person(&format!("{role}@example.com")).await;
            self.edge.enrol(self.own, &person, role).await;
            self.add_member(format!("a member as {role}"), &person, permissions.parse().unwrap());
        }
        for permission in Permission::ALL {
            let text = permission.as_str();
            let role = self.edge.own_role(owner, self.own, text, &[text]).await;
            let person = self.edge.person(&format!("{}@example.com", text.replace(':', "."))).await;
            self.edge.enrol(self.own, &person, &role.to_string()).await;
            self.add_member(format!("a member with {text} alone"), &person, Permissions::of(&[*permission]));
        }
        let suspended = self.edge.person("suspended@example.com").await;
        self.edge.enrol(self.own, &suspended, "owner").await;
        self.principals
            .push(Principal::bearer("an owner who is suspended", suspended.access_token, Who::Nobody).wide());
        let narrowed = self.edge.person("narrowed@example.com").await;
        self.edge.enrol(self.own, &narrowed, "owner").await;
        let session = Session {
            narrowed: Some(Permissions::of(&[Permission::OrgRead])),
            ..self.session(&narrowed, &[(self.own, Permissions::all())])
        };
        let who = Who::Person(session);
        self.principals.push(Principal::bearer("an owner by a narrowed session", narrowed.access_token, who).wide());
    }

    fn add_member(&mut self, name: String, person: &Person, permissions: Permissions) {
        let who = Who::Person(self.session(person, &[(self.own, permissions)]));
        self.principals.push(Principal::bearer(name, person.access_token.clone(), who));
    }

    /// A client for each permission alone, one of another organisation, and one that is revoked.
    async fn clients(&mut self, owner: &Person, stranger: &Person) {
        let all: Vec<&str> = Permission::ALL.iter().map(|it| it.as_str()).collect();
        for permission in &all {
            let token = self.client(owner, self.own, &[permission]).await;
            let who = Who::Client { org: self.own.to_string(), permissions: permission.parse().unwrap(), live: true };
            self.principals.push(Principal::bearer(format!("a client with {permission} alone"), token, who));
        }
        let token = self.client(stranger, self.other, &all).await;
        let who = Who::Client { org: self.other.to_string(), permissions: Permissions::all(), live: true };
        self.principals.push(Principal::bearer("a client of another organisation", token, who).wide());
        let token = self.client(stranger, self.deleted, &all).await;
        let dead = || Who::Client { org: self.own.to_string(), permissions: Permissions::all(), live: false };
        let (of_deleted, revoked) = (dead(), dead());
        self.principals.push(Principal::bearer("a client of a deleted organisation", token, of_deleted).wide());
        let token = self.client(owner, self.own, &all).await;
        let revoke = "
            update oauth_clients set revoked_at = now()
            where id = (select id from oauth_clients where org_id = $1::text::uuid order by id desc limit 1)";
        self.edge.db.connect().await.execute(revoke, &[&self.own.uuid().to_string()]).await.unwrap();
        self.principals.push(Principal::bearer("a client that was revoked", token, revoked).wide());
    }

    async fn client(&self, maker: &Person, org: OrgId, permissions: &[&str]) -> String {
        let body = json!({ "name": "a client", "permissions": permissions });
        let made = self.edge.api(maker, Method::POST, &format!("/orgs/{org}/clients"), body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        client_token(&self.edge, made.json()["client_id"].as_str().unwrap(), &permissions.join(" "))
    }

    /// Keys that call models: live, revoked, of a suspended organisation, and of somebody who has left.
    async fn keys(&mut self) {
        let inference = |org: OrgId, state| Key {
            org: org.to_string(),
            inference: true,
            permissions: Permissions::of(&[Permission::ModelsUse]),
            state,
        };
        let make = async |org, name: &str| self.edge.key_of(NewKey::inference(org, name)).await;
        let revoked = make(self.own, "revoked").await;
        self.edge.revoke(&revoked).await;
        let left = self.edge.person("left@example.com").await;
        let of_left = NewKey { owner: Owner::User(left.user_id), ..NewKey::inference(self.own, "left") };
        let (of_left, nobodys) = (
            self.edge.key_of(of_left).await,
            Key { permissions: Permissions::NONE, ..inference(self.own, KeyState::Live) },
        );
        let principals = [
            Principal::bearer(
                "an API key",
                make(self.own, "live").await.text,
                Who::Key(inference(self.own, KeyState::Live)),
            )
            .wide(),
            Principal::bearer(
                "an API key that was revoked",
                revoked.text,
                Who::Key(inference(self.own, KeyState::Revoked)),
            ),
            Principal::bearer(
                "an API key of a suspended organisation",
                make(self.suspended, "x").await.text,
                Who::Key(inference(self.suspended, KeyState::Suspended)),
            )
            .wide(),
            Principal::bearer("an API key of somebody who has left", of_left.text, Who::Key(nobodys)),
        ];
        self.principals.extend(principals);
    }

    /// Keys that manage: with all permissions, with one alone, of another organisation, and of an owner who is one no more.
    async fn management_keys(&mut self) {
        let managing: Vec<Permission> =
            Permission::ALL.iter().copied().filter(|it| *it != Permission::ModelsUse).collect();
        let all = Permissions::of(&managing);
        let demoted = self.edge.person("demoted@example.com").await;
        self.edge.enrol(self.own, &demoted, "viewer").await;
        let viewer: Permissions = "org:read members:read usage:read".parse().unwrap();
        let cases = [
            ("a management key".to_owned(), self.own, all, all, Owner::Org),
            ("a management key of another organisation".to_owned(), self.other, all, all, Owner::Org),
            (
                "a management key of an owner who was demoted".to_owned(),
                self.own,
                all,
                viewer,
                Owner::User(demoted.user_id),
            ),
        ];
        let alone = managing.iter().map(|it| {
            let scopes = Permissions::of(&[*it]);
            (format!("a management key with {} alone", it.as_str()), self.own, scopes, scopes, Owner::Org)
        });
        let mut principals = Vec::new();
        for (at, (name, org, scopes, permissions, owner)) in cases.into_iter().chain(alone).enumerate() {
            let new = NewKey { scopes, owner, ..NewKey::inference(org, &name) };
            let key = Key { org: org.to_string(), inference: false, permissions, state: KeyState::Live };
            let principal = Principal::bearer(name, self.edge.key_of(new).await.text, Who::Key(key));
            principals.push(if at < 2 { principal.wide() } else { principal });
        }
        self.principals.extend(principals);
    }

    fn session(&self, person: &Person, places: &[(OrgId, Permissions)]) -> Session {
        let mut places: BTreeMap<String, Permissions> = places.iter().map(|(org, it)| (org.to_string(), *it)).collect();
        places.insert(person.org_id.to_string(), Permissions::all());
        Session {
            user_id: person.user_id,
            personal: person.org_id.to_string(),
            operator: false,
            stale: false,
            narrowed: None,
            page: None,
            places,
        }
    }
}

/// Logs in as the console does.
async fn cookie(edge: &TestEdge, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "cookie": true });
    let answer = Answer::read(edge.post("/api/v1/auth/login").json(&body).send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let set = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    set.strip_prefix("__Host-nest_session=").expect("the session's cookie").to_owned()
}
