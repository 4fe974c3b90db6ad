//! Sessions as their owner sees and ends them.

use super::without_cookie;
use crate::{
    App, Error,
    audit::{Actor, Entry},
    auth::{AuthError, Person, sql::SessionRow},
    limits::Client,
    openapi::{Describe, NoContent, Status},
};
use axum::{
    Json,
    extract::Path,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use shared::id::SessionId;
use utoipa::ToSchema;

/// Live sessions, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    data: Vec<SessionView>,
}

#[derive(Serialize, ToSchema)]
struct SessionView {
    #[serde(flatten)]
    session: SessionRow,
    /// Whether this is the session that asks.
    current: bool,
}

/// `GET /auth/sessions`
pub(crate) async fn list(app: App, person: Person) -> Result<Json<Sessions>, Error> {
    let rows = app.store.live_sessions(person.user_id, app.host.now()).await?;
    let view = |session: SessionRow| SessionView { current: session.id == person.session_id, session };
    Ok(Json(Sessions { data: rows.into_iter().map(view).collect() }))
}

/// `DELETE /auth/sessions/{session}`
pub(crate) async fn end_one(
    app: App,
    client: Client,
    person: Person,
    Path(session): Path<String>,
) -> Result<NoContent, Error> {
    let session: SessionId = session.parse().map_err(|_| AuthError::NoSuchSession)?;
    let entry = Entry::new(app.host.now(), &person.actor(), &client.origin, "auth.session_ended").target(session);
    let ended = app.store.end_session(session, person.user_id, app.host.now(), "ended", entry).await?;
    if ended { Ok(Status(())) } else { Err(AuthError::NoSuchSession.into()) }
}

/// `DELETE /auth/sessions`: all but the one that asks.
pub(crate) async fn end_all(app: App, client: Client, person: Person) -> Result<NoContent, Error> {
    let entry =
        Entry::new(app.host.now(), &person.actor(), &client.origin, "auth.sessions_ended").target(person.user_id);
    app.store.end_sessions(person.user_id, Some(person.session_id), app.host.now(), "ended", entry).await?;
    Ok(Status(()))
}

/// An answer that also takes the cookie away.
pub(crate) struct LoggedOut;

impl IntoResponse for LoggedOut {
    fn into_response(self) -> Response {
        without_cookie(Status::<204, ()>(()).into_response())
    }
}

impl Describe for LoggedOut {
    fn describe(draft: &mut crate::openapi::Draft) {
        NoContent::describe(draft);
    }
}

/// `POST /auth/logout`: ends the session that asks, and everything that acts by it.
pub(crate) async fn logout(app: App, client: Client, person: Person) -> Result<LoggedOut, Error> {
    let actor: Actor = person.actor();
    let entry = Entry::new(app.host.now(), &actor, &client.origin, "auth.logout").target(person.session_id);
    app.store.end_session(person.session_id, person.user_id, app.host.now(), "logout", entry).await?;
    Ok(LoggedOut)
}
