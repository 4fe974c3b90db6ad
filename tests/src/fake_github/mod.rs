//! What GitHub does for an OAuth app, which is OAuth without OpenID: no discovery, no ID token, errors with status 200.
//!
//! Source: GitHub's documentation, “Authorizing OAuth apps” and the REST API's users and emails.

mod answers;

use crate::{Double, browser::Browser};
use axum::{
    Router,
    routing::{get, post},
};
use reqwest::Url;
use serde::Serialize;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

/// A stand-in that listens; it stops with this value.
pub struct FakeGithub {
    /// Of pages, tokens and API alike, without a slash at its end.
    pub url: String,
    state: Arc<State>,
    _server: Double,
}

/// Who is signed in to GitHub.
#[derive(Clone, Debug, Serialize)]
pub struct GithubUser {
    /// Stays when the login is changed, and is never given to another.
    pub id: u64,
    pub login: String,
    pub name: Option<String>,
    /// The public one, which need be none of `emails`' verified ones.
    pub email: Option<String>,
    #[serde(skip)]
    pub emails: Vec<GithubEmail>,
}

#[derive(Clone, Debug, Serialize)]
pub struct GithubEmail {
    pub email: String,
    pub primary: bool,
    pub verified: bool,
}

/// The one app that is registered, who is at the browser, and what was given out.
struct State {
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    visitor: Mutex<Option<GithubUser>>,
    codes: Mutex<HashMap<String, Given>>,
    tokens: Mutex<HashMap<String, Given>>,
}

/// What a code stands for, and then a token.
#[derive(Clone)]
struct Given {
    user: GithubUser,
    scopes: Vec<String>,
    redirect_uri: String,
    code_challenge: Option<String>,
}

impl GithubUser {
    /// A user with one address, which is verified and not public.
    pub fn verified(id: u64, login: &str, email: &str) -> Self {
        let emails = vec![GithubEmail { email: email.to_owned(), primary: true, verified: true }];
        Self { id, login: login.to_owned(), name: None, email: None, emails }
    }
}

impl FakeGithub {
    /// A GitHub that knows one app, and at which nobody is signed in.
    pub async fn start(client_id: &str, client_secret: &str, redirect_uri: &str) -> Self {
        let state = Arc::new(State {
            client_id: client_id.to_owned(),
            client_secret: client_secret.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            visitor: Mutex::default(),
            codes: Mutex::default(),
            tokens: Mutex::default(),
        });
        let router = Router::new()
            .route("/login/oauth/authorize", get(answers::authorize))
            .route("/login/oauth/access_token", post(answers::access_token))
            .route("/user", get(answers::user))
            .route("/user/emails", get(answers::emails))
            .with_state(state.clone());
        let server = Double::serve(router).await;
        Self { url: server.url.clone(), state, _server: server }
    }

    /// Puts `user` before the browser, who allows whatever an app asks for; nobody denies it.
    pub fn sign_in(&self, user: Option<GithubUser>) {
        *self.state.visitor.lock().unwrap() = user;
    }

    /// Follows an app's `url`: gives where the app is sent to.
    pub async fn authorize(&self, url: &str) -> Url {
        Browser::new().open(url.parse().unwrap()).await.away()
    }
}
