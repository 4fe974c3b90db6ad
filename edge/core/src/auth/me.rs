//! The person who is logged in, to themselves.

use super::Person;
use axum::Json;
use serde::Serialize;
use shared::{
    id::{SessionId, UserId},
    time::Timestamp,
};
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    id: UserId,
    email: String,
    name: String,
    /// Whether the person runs the platform.
    operator: bool,
    session_id: SessionId,
    /// How the person proved who they are (RFC 8176).
    amr: Vec<String>,
    auth_time: Timestamp,
}

impl Me {
    pub(super) fn of(person: Person) -> Self {
        let Person { user_id, session_id, email, name, operator, amr, auth_time, .. } = person;
        Self { id: user_id, email, name, operator, session_id, amr, auth_time }
    }
}

/// `GET /me`
pub(crate) async fn show(person: Person) -> Json<Me> {
    Json(Me::of(person))
}
