//! `nest admin`: what an operator does at the machine, by the functions that the routes of operators call, too.

mod clients;
mod operators;
mod orgs;
mod users;

pub(crate) use operators::Operators;
pub(crate) use orgs::Orgs;
pub(crate) use users::Users;

use crate::{args::Admin, audit, database, encryption, report::Report, settings::Settings};
use edge_core::auth;
use secrecy::{ExposeSecret as _, SecretString};

pub(crate) async fn run(verb: Admin, settings: &Settings, report: Report) -> anyhow::Result<()> {
    match verb {
        Admin::Create { email, org, password: Some(password) } => create(email, org, password, settings, report).await,
        Admin::Create { email, org, password: None } => invite(&email, &org, settings, report).await,
        Admin::Users(verb) => users::run(verb, settings, report).await,
        Admin::Operators(verb) => operators::run(verb, settings, report).await,
        Admin::Orgs(verb) => orgs::run(verb, settings, report).await,
        Admin::Client(verb) => clients::run(verb, settings, report).await,
        Admin::Audit(verb) => audit::run(verb, settings, report).await,
        Admin::Encryption(verb) => encryption::run(&verb, settings, report).await,
    }
}

/// An operator whose password a script knows.
async fn create(
    email: String,
    org: String,
    password: SecretString,
    settings: &Settings,
    report: Report,
) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let operator = auth::NewOperator { email: email.clone(), password, org_name: org };
    let created = auth::create_operator(&*database.host, &database.store, operator).await?;
    let json = serde_json::json!({"user": created.user_id, "org": created.org_id, "email": email});
    report.show(&json, |_| {
        format!("operator      {email}\nuser          {}\norganisation  {}", created.user_id, created.org_id)
    })
}

/// An operator who sets their password by a link, which is shown here and nowhere else.
async fn invite(email: &str, org: &str, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let database = database::open(settings).await?;
    let invited = auth::invite_operator(&*database.host, &database.store, email, org).await?;
    let link = format!("{}{}", database.public_url, invited.path);
    let (user, org) = (invited.created.user_id, invited.created.org_id);
    let json = serde_json::json!({
        "user": user, "org": org, "email": email, "link": link, "token": invited.token.expose_secret(),
        "expires_at": invited.expires_at,
    });
    report.show(&json, |_| {
        format!(
            "operator      {email}\nuser          {user}\norganisation  {org}\nlink          {link}\n\
             The link sets the password. It works once, within an hour, and is shown only here."
        )
    })
}
