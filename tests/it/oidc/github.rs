//! GitHub, which speaks OAuth and an API of its own.

use super::{Begun, begin, callback_url, come_back, count, edge, face, me};
use nest_tests::{
    FakeGithub, TestEdge,
    browser::query,
    fake_github::{GithubEmail, GithubUser},
};
use serde_json::{Value, json};

fn entry(github: &FakeGithub) -> Value {
    json!({ "id": "github", "client_id": "app", "client_secret": "secret", "base_url": github.url, "api_url": github.url })
}

async fn setup() -> (FakeGithub, TestEdge) {
    let github = FakeGithub::start("app", "secret", &callback_url("github")).await;
    let edge = edge(&[entry(&github)], &[]).await;
    (github, edge)
}

async fn sign_in(edge: &TestEdge, github: &FakeGithub) -> nest_tests::Answer {
    let Begun { url, cookie } = begin(edge, "github").await;
    let back = github.authorize(url.as_str()).await;
    come_back(edge, &back, &cookie).await
}

#[tokio::test]
async fn the_number_is_the_identity_and_the_primary_address_the_account() {
    let (github, edge) = setup().await;
    let url = begin(&edge, "github").await.url;
    assert_eq!(query(&url, "scope").as_deref(), Some("read:user user:email"));
    github.sign_in(Some(GithubUser::verified(583_231, "octocat", "octocat@example.com")));
    let first = me(&edge, &sign_in(&edge, &github).await).await;
    assert_eq!((&first["email"], &first["name"]), (&json!("octocat@example.com"), &json!("octocat")));
    assert_eq!(first["amr"], json!(["oauth"]));
    // A login can be given to somebody else, the number never.
    github.sign_in(Some(GithubUser::verified(583_231, "renamed", "other@example.com")));
    assert_eq!(me(&edge, &sign_in(&edge, &github).await).await["id"], first["id"]);
    github.sign_in(Some(GithubUser::verified(583_232, "octocat", "new@example.com")));
    assert_ne!(me(&edge, &sign_in(&edge, &github).await).await["id"], first["id"]);
}

#[tokio::test]
async fn an_address_that_is_unverified_or_not_the_primary_one_opens_nothing() {
    let (github, edge) = setup().await;
    edge.make_account("victim@example.com").await;
    let email = |email: &str, primary, verified| GithubEmail { email: email.to_owned(), primary, verified };
    for emails in [
        vec![email("victim@example.com", true, false)],
        vec![email("victim@example.com", false, true)],
        vec![email("mallory@example.com", true, false), email("victim@example.com", false, true)],
        vec![],
    ] {
        let mut user = GithubUser::verified(7, "mallory", "");
        // The public address is whatever the user says it is.
        user.email = Some("victim@example.com".to_owned());
        user.emails = emails.clone();
        github.sign_in(Some(user));
        let refused = sign_in(&edge, &github).await;
        assert_eq!(face(&refused), (403, "email_unverified".to_owned()), "{emails:?}");
    }
    assert_eq!(count(&edge, "select count(*) from identities", &[]).await, 0);
    assert_eq!(count(&edge, "select count(*) from sessions", &[]).await, 0);
}

#[tokio::test]
async fn who_denies_comes_back_without_a_session_and_a_code_is_good_once() {
    let (github, edge) = setup().await;
    github.sign_in(None);
    assert_eq!(face(&sign_in(&edge, &github).await), (403, "sign_in_denied".to_owned()));
    github.sign_in(Some(GithubUser::verified(1, "ann", "ann@example.com")));
    let Begun { url, cookie } = begin(&edge, "github").await;
    let back = github.authorize(url.as_str()).await;
    me(&edge, &come_back(&edge, &back, &cookie).await).await;
    assert_eq!(face(&come_back(&edge, &back, &cookie).await), (400, "sign_in_refused".to_owned()));
}

#[tokio::test]
async fn a_wrong_secret_is_ours_to_mend_and_told_as_an_outage() {
    let (github, _) = setup().await;
    let mut wrong = entry(&github);
    wrong["client_secret"] = json!("another");
    let edge = edge(&[wrong], &[]).await;
    github.sign_in(Some(GithubUser::verified(1, "ann", "ann@example.com")));
    assert_eq!(face(&sign_in(&edge, &github).await), (503, "provider_unavailable".to_owned()));
}
