//! `Operator`: who acts for the platform, when, and from where.

use crate::{
    App, Error,
    audit::{Actor, Entry, Origin},
    auth::{AuthError, Person},
    limits::Client,
    openapi::Describe,
};
use axum::extract::FromRequestParts;
use http::request::Parts;
use shared::{id::UserId, time::Timestamp};

/// An operator at work: a person by a session of their own, or whoever runs `nest`.
#[derive(Clone, Debug)]
pub struct Operator {
    /// None at `nest`.
    user_id: Option<UserId>,
    origin: Origin,
    now: Timestamp,
}

impl Operator {
    /// Whoever runs `nest` on a machine with the database's password.
    pub fn at_nest(now: Timestamp) -> Self {
        Self { user_id: None, origin: Origin::default(), now }
    }

    pub(crate) fn user_id(&self) -> Option<UserId> {
        self.user_id
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The beginning of what the log says of an act of theirs.
    pub(crate) fn entry(&self, action: &'static str) -> Entry {
        let actor = self.user_id.map_or(Actor::OPERATOR, Actor::user);
        Entry::new(self.now, &actor, &self.origin, action)
    }
}

/// A handler that takes an `Operator` stands in the route table as one that needs an operator.
impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Error;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let person = Person::from_request_parts(parts, state).await?;
        if !person.operator {
            return Err(AuthError::NotOperator.into());
        }
        let Ok(app) = App::from_request_parts(parts, state).await;
        let Ok(client) = Client::from_request_parts(parts, state).await;
        Ok(Self { user_id: Some(person.user_id), origin: client.origin, now: app.host().now() })
    }
}

impl Describe for Operator {}
