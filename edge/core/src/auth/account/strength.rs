//! A meter for passwords, for whoever types one.

use crate::{
    App,
    auth::password::{Personal, strength},
    payload::Input,
};
use axum::Json;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Deserialize, ToSchema)]
pub(crate) struct Candidate {
    #[schema(value_type = String)]
    password: SecretString,
    #[serde(default)]
    email: String,
    #[serde(default)]
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Measured {
    /// 0, the first that is tried, to 4.
    score: u8,
    /// What makes it easy to guess.
    warning: Option<&'static str>,
    suggestions: Vec<String>,
    /// Whether it may be set.
    acceptable: bool,
}

/// `POST /auth/password/strength`: keeps and logs nothing, and asks no database.
pub(crate) async fn measure(app: App, Input(ask): Input<Candidate>) -> Json<Measured> {
    let found = strength(&ask.password, &Personal::of(&[&app.config.project_name, &ask.email, &ask.name]));
    let mut suggestions: Vec<String> = found.refusal.iter().map(ToString::to_string).collect();
    suggestions.retain(|it| Some(it.as_str()) != found.warning);
    if found.score < 4 {
        suggestions.push("add another word or two; they need not be unusual, only unrelated".to_owned());
    }
    Json(Measured { score: found.score, warning: found.warning, suggestions, acceptable: found.refusal.is_none() })
}
