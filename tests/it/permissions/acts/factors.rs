//! What people prove themselves with beside their password.

use super::{
    run::{Act, Run, field},
    script::{ORIGIN, bearer},
};
use nest_tests::{
    Answer, Authenticator, AuthenticatorApp, Person,
    authenticator::{Algorithm, Device},
    edge::PASSWORD,
};
use reqwest::Method;
use serde_json::{Value, json};

const NORA: &str = "nora@example.com";

/// An app and a passkey, from their making to their end.
pub(super) async fn second_factors(run: &mut Run) {
    let nora = run.edge.person(NORA).await;
    let app = app(run, &nora).await;
    let nora = log_in(run, &app).await;
    let passkey = passkey(run, &nora).await;
    let passkey = &[passkey.as_str()][..];
    let path = "/auth/mfa/passkeys/{passkey}";
    run.act(Some(&nora), Act::new(Method::PATCH, path, passkey, json!({ "name": "The blue one" }))).await;
    let challenge = json!({ "challenge": run.edge.challenge(NORA).await });
    run.act(None, Act::new(Method::POST, "/auth/mfa/passkeys/challenge", &[], challenge)).await;
    post(run, &nora, "/auth/mfa/recovery-codes", json!({})).await;
    run.act(Some(&nora), Act::new(Method::DELETE, path, passkey, json!({ "password": PASSWORD }))).await;
    run.edge.advance_ms(30_000);
    let proof = json!({ "password": PASSWORD, "code": app.code(run.edge.now()) });
    run.act(Some(&nora), Act::new(Method::DELETE, "/auth/mfa/totp", &[], proof)).await;
}

async fn app(run: &mut Run, nora: &Person) -> AuthenticatorApp {
    let offered = post(run, nora, "/auth/mfa/totp", json!({})).await;
    let app = AuthenticatorApp::with(&field(&offered, "secret"));
    let code = json!({ "code": app.code(run.edge.now()) });
    post(run, nora, "/auth/mfa/totp/confirm", code).await;
    app
}

/// By the password and the app's next code.
async fn log_in(run: &mut Run, app: &AuthenticatorApp) -> Person {
    run.edge.advance_ms(60_000);
    let challenge = run.edge.challenge(NORA).await;
    let proof = json!({ "challenge": challenge, "method": "totp", "code": app.code(run.edge.now()) });
    let verify = Act::new(Method::POST, "/auth/mfa/verify", &[], proof).taking(&["assertion"]);
    bearer(field(&run.act(None, verify).await, "access_token"))
}

async fn passkey(run: &mut Run, nora: &Person) -> String {
    let options = post(run, nora, "/auth/mfa/passkeys/options", json!({})).await.json();
    let mut authenticator = Authenticator::start(&[Algorithm::Es256], Device::Single).await;
    let credential = authenticator.create(&options, ORIGIN).await.unwrap();
    let body = json!({ "name": "The red one", "credential": credential });
    field(&post(run, nora, "/auth/mfa/passkeys", body).await, "id")
}

async fn post(run: &mut Run, nora: &Person, path: &'static str, body: Value) -> Answer {
    run.act(Some(nora), Act::new(Method::POST, path, &[], body)).await
}
