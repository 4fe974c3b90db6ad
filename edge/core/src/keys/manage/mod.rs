//! The routes of keys.

mod body;
mod sql;
mod view;

pub(super) use sql::statements;
pub use view::{KeyState, KeyView};

use super::{
    Environment, KeyError,
    issue::{self, Act, IssuedKey, NewKey},
    key::{INFERENCE, Kind},
    rules,
};
use crate::{
    App, Error,
    access::Access,
    limits::Client,
    openapi::{Created, NoContent, Status},
    orgs::{Member, OrgError},
    page::{Page, Paging},
    payload::{Input, Query},
    route::{Route, delete, get, patch, post},
};
use axum::{Json, extract::Path};
use body::{Change, Create, Rotate};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use shared::{
    id::KeyId,
    permission::Permission::{KeysRead, KeysWrite},
};
use sql::Filter;
use utoipa::{IntoParams, ToSchema};

pub(crate) fn routes() -> Vec<Route> {
    let needs = Access::member;
    vec![
        get("/keys", needs(KeysRead), list, "Lists API keys, newest first."),
        post("/keys", needs(KeysWrite), create, "Makes an API key, and shows it this once."),
        get("/keys/{key}", needs(KeysRead), show, "Shows an API key, without its secret."),
        patch("/keys/{key}", needs(KeysWrite), change, "Changes what an API key may do, or disables it."),
        delete("/keys/{key}", needs(KeysWrite), revoke, "Ends an API key for good."),
        post(
            "/keys/{key}/rotate",
            needs(KeysWrite),
            rotate,
            "Gives an API key a new secret, and lets the old one work on for a while.",
        ),
    ]
}

/// Which keys.
#[derive(Deserialize, IntoParams)]
pub(crate) struct Search {
    #[param(inline)]
    environment: Option<Environment>,
    #[param(inline)]
    kind: Option<Kind>,
    #[param(inline)]
    state: Option<KeyState>,
}

/// A key at the only moment at which it can be seen.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownKey {
    /// The key itself: keep it, it is never shown again.
    #[serde(serialize_with = "shown")]
    #[schema(value_type = String)]
    key: SecretString,
    #[serde(flatten)]
    about: KeyView,
}

fn shown<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// `GET /keys`
async fn list(
    app: App,
    member: Member,
    Query(search): Query<Search>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<KeyView>>, Error> {
    let Search { environment, kind, state } = search;
    let filter = Filter { environment, kind, state, after: paging.after()?, rows: paging.rows() };
    let now = app.host.now();
    let rows = app.store.org_keys(member.org_id, filter, now).await?;
    Ok(Json(Page::of(&paging, rows, |row| row.id, |row| row.view(now))))
}

/// `POST /keys`
async fn create(
    app: App,
    client: Client,
    member: Member,
    Input(ask): Input<Create>,
) -> Result<Created<ShownKey>, Error> {
    let scopes = rules::scopes(ask.scopes.unwrap_or(INFERENCE), member.grants)?;
    let new: NewKey = ask.checked(&member, scopes, app.host.now())?;
    let issued = issue::make(&*app.host, &app.store, &new, act(&app, &client, &member, "keys.created")).await?;
    Ok(Status(Json(with_secret(&app, &member, issued).await?)))
}

/// `GET /keys/{key}`
async fn show(app: App, member: Member, Path(id): Path<String>) -> Result<Json<KeyView>, Error> {
    Ok(Json(view(&app, &member, key_id(&id)?).await?))
}

/// `PATCH /keys/{key}`
async fn change(
    app: App,
    client: Client,
    member: Member,
    Path(id): Path<String>,
    Input(ask): Input<Change>,
) -> Result<Json<KeyView>, Error> {
    let (id, change) = (key_id(&id)?, ask.checked(app.host.now())?);
    // Nothing to change is no act.
    if !change.is_empty() {
        let act = act(&app, &client, &member, "keys.changed").on(id, &change.told());
        outcome(&app.store.change_key(act.standing, id, act.reach, change.columns(), act.entry).await?)?;
    }
    Ok(Json(view(&app, &member, id).await?))
}

/// `DELETE /keys/{key}`: whoever ends it again is told the same.
async fn revoke(app: App, client: Client, member: Member, Path(id): Path<String>) -> Result<NoContent, Error> {
    issue::end(&app.store, key_id(&id)?, act(&app, &client, &member, "keys.revoked")).await?;
    Ok(Status(()))
}

/// `POST /keys/{key}/rotate`
async fn rotate(
    app: App,
    client: Client,
    member: Member,
    Path(id): Path<String>,
    Input(ask): Input<Rotate>,
) -> Result<Json<ShownKey>, Error> {
    let (id, overlap_ms) = (key_id(&id)?, issue::overlap_ms(ask.overlap_seconds)?);
    let environment = app.store.environment(Some(member.org_id), id).await?;
    let key = (id, environment.ok_or(KeyError::NoKey)?);
    let act = act(&app, &client, &member, "keys.rotated");
    let issued = issue::renew(&*app.host, &app.store, key, overlap_ms, act).await?;
    Ok(Json(with_secret(&app, &member, issued).await?))
}

/// An act of the member.
fn act(app: &App, client: &Client, member: &Member, action: &'static str) -> Act {
    let standing = member.standing(app.host.now());
    Act { standing, reach: member.grants, entry: member.entry(app, client, action) }
}

fn key_id(text: &str) -> Result<KeyId, KeyError> {
    text.parse().map_err(|_| KeyError::NoKey)
}

async fn view(app: &App, member: &Member, id: KeyId) -> Result<KeyView, Error> {
    let now = app.host.now();
    let row = app.store.org_key(member.org_id, id, now).await?.ok_or(KeyError::NoKey)?;
    Ok(row.view(now))
}

async fn with_secret(app: &App, member: &Member, issued: IssuedKey) -> Result<ShownKey, Error> {
    Ok(ShownKey { key: issued.key, about: view(app, member, issued.id).await? })
}

/// The error that the outcome of an SQL function stands for, if it does.
pub(super) fn outcome(outcome: &str) -> Result<(), Error> {
    Err(match outcome {
        "done" => return Ok(()),
        "no_key" => KeyError::NoKey.into(),
        "beyond" => OrgError::Beyond.into(),
        "revoked" => KeyError::Ended.into(),
        "too_many_keys" => KeyError::TooMany.into(),
        "rotation_running" => KeyError::RotationRunning.into(),
        // Whatever this version does not know, the act was not done.
        _ => OrgError::Changed.into(),
    })
}
