//! Who may call, and what they present.

use reqwest::RequestBuilder;
use shared::{id::UserId, permission::Permissions};
use std::collections::BTreeMap;

/// Someone who calls.
pub(super) struct Principal {
    pub(super) name: String,
    pub(super) credential: Credential,
    pub(super) who: Who,
    /// Whether it also calls at places that are not its own.
    pub(super) wide: bool,
}

/// What goes with a request.
pub(super) enum Credential {
    None,
    Bearer(String),
    /// The console's cookie, on a page of ours, of another site, or of who knows what.
    Cookie(String, Page),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    Ours,
    Foreign,
    Unknown,
}

/// What the credential proves.
pub(super) enum Who {
    /// Nothing.
    Nobody,
    Key(Key),
    Person(Person),
    /// A client's token; it is `live` unless the client or its organisation is gone.
    Client {
        org: String,
        permissions: Permissions,
        live: bool,
    },
}

/// A key of an organisation.
pub(super) struct Key {
    pub(super) org: String,
    /// Whether it calls models; else it manages.
    pub(super) inference: bool,
    /// What it may do at present.
    pub(super) permissions: Permissions,
    pub(super) state: KeyState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyState {
    Live,
    Revoked,
    Suspended,
}

/// A live session, and its person's places by the id of the organisation.
#[derive(Clone)]
pub(super) struct Person {
    pub(super) user_id: UserId,
    /// The organisation that is theirs alone.
    pub(super) personal: String,
    pub(super) operator: bool,
    pub(super) stale: bool,
    pub(super) narrowed: Option<Permissions>,
    /// Whose page sends the cookie; none for a token, which no browser sends by itself.
    pub(super) page: Option<Page>,
    pub(super) places: BTreeMap<String, Permissions>,
}

impl Principal {
    pub(super) fn new(name: impl Into<String>, credential: Credential, who: Who) -> Self {
        Self { name: name.into(), credential, who, wide: false }
    }

    pub(super) fn bearer(name: impl Into<String>, token: impl Into<String>, who: Who) -> Self {
        Self::new(name, Credential::Bearer(token.into()), who)
    }

    pub(super) fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    pub(super) fn user_id(&self) -> Option<UserId> {
        match &self.who {
            Who::Person(person) => Some(person.user_id),
            _ => None,
        }
    }

    /// The organisation that a request is about which names none.
    pub(super) fn own_org(&self) -> Option<String> {
        match &self.who {
            Who::Nobody => None,
            Who::Key(key) => Some(key.org.clone()),
            Who::Person(person) => Some(person.personal.clone()),
            Who::Client { org, .. } => Some(org.clone()),
        }
    }

    /// Puts what it presents on a request.
    pub(super) fn sign(&self, request: RequestBuilder, public_url: &str) -> RequestBuilder {
        match &self.credential {
            Credential::None => request,
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Cookie(token, page) => {
                let request = request.header("cookie", format!("__Host-nest_session={token}"));
                match page {
                    Page::Ours => request.header("origin", public_url),
                    Page::Foreign => request.header("origin", "https://evil.example"),
                    Page::Unknown => request,
                }
            }
        }
    }
}
