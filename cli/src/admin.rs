//! `nest admin`.

use crate::{args::Admin, database, report::Report, settings::Settings};
use edge_core::{auth, host::random};
use secrecy::{ExposeSecret, SecretString};

pub(crate) async fn run(verb: Admin, settings: &Settings, report: Report) -> anyhow::Result<()> {
    let Admin::Create { email, org, password } = verb;
    let database = database::open(settings).await?;
    let (password, made) = match password {
        Some(password) => (password, None),
        None => {
            let made = random_password(&*database.host);
            (made.clone(), Some(made))
        }
    };
    let operator = auth::NewOperator { email: email.clone(), password, org_name: org };
    let created = auth::create_operator(&*database.host, &database.store, operator).await?;
    let shown = made.as_ref().map(ExposeSecret::expose_secret);
    let json = serde_json::json!({"user": created.user_id, "org": created.org_id, "email": email, "password": shown});
    report.show(&json, |_| {
        let password = shown.map_or_else(String::new, |it| format!("\npassword      {it}   (shown once)"));
        format!("operator      {email}\nuser          {}\norganisation  {}{password}", created.user_id, created.org_id)
    })
}

/// A password that nobody has to remember: 128 bits as a number.
fn random_password(host: &dyn edge_core::Host) -> SecretString {
    u128::from_be_bytes(random(host)).to_string().into()
}
