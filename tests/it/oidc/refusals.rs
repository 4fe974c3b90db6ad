//! What a sign-in does not survive: forged tokens, mixed-up attempts, providers that are away, redirects to elsewhere.

use super::{Begun, ask, begin, come_back, count, edge, entry, face, me, provider, set_cookie, setup, sign_in};
use nest_tests::{
    Answer, TestEdge,
    browser::{form, query},
    double::nowhere,
    oidc_provider::{ClientSpec, Misbehaviour, OidcAccount},
};
use reqwest::Url;
use serde_json::json;

async fn nothing_came_of_it(edge: &TestEdge, what: &str) {
    for table in ["sessions", "identities", "users where not operator"] {
        assert_eq!(count(edge, &format!("select count(*) from {table}"), &[]).await, 0, "{table} after {what}");
    }
}

/// Checklist 30: what is not signed by the provider, for us, now, and for this attempt, is nobody's.
#[tokio::test]
async fn each_forged_id_token_is_refused() {
    let (provider, edge) = setup(&[]).await;
    for misbehaviour in [
        Misbehaviour::OtherIssuer,
        Misbehaviour::OtherAudience,
        Misbehaviour::OtherAuthorizedParty,
        Misbehaviour::OtherNonce,
        Misbehaviour::NoNonce,
        Misbehaviour::NoSubject,
        Misbehaviour::Expired,
        Misbehaviour::NoExpiry,
        Misbehaviour::NotYet,
        Misbehaviour::NoSignature,
        Misbehaviour::CutSignature,
        Misbehaviour::OtherKey,
        Misbehaviour::UnknownKey,
        Misbehaviour::KeyInHeader,
        Misbehaviour::PublicKeyAsSecret,
        Misbehaviour::NoIdToken,
    ] {
        provider.misbehave(Some(misbehaviour)).await;
        let refused = sign_in(&edge, &provider, "corp", "ann").await;
        assert_eq!(face(&refused), (502, "provider_distrusted".to_owned()), "{misbehaviour:?}");
    }
    nothing_came_of_it(&edge, "forged tokens").await;
    // It was the misbehaviour that was refused, and nothing else.
    provider.misbehave(None).await;
    me(&edge, &sign_in(&edge, &provider, "corp", "ann").await).await;
}

#[tokio::test]
async fn an_address_must_be_there_verified_and_about_the_same_person() {
    let (provider, edge) = setup(&[]).await;
    edge.make_account("victim@example.com").await;
    let account = |sub: &str, email: Option<&str>, verified| OidcAccount {
        sub: sub.to_owned(),
        email: email.map(str::to_owned),
        email_verified: verified,
        name: None,
    };
    for account in [
        account("unverified", Some("victim@example.com"), Some(false)),
        account("unsaid", Some("victim@example.com"), None),
        account("none", None, None),
        account("no-address", Some("victim@example.com, x"), Some(true)),
    ] {
        provider.add_account(&account).await;
        let refused = sign_in(&edge, &provider, "corp", &account.sub).await;
        assert_eq!(face(&refused), (403, "email_unverified".to_owned()), "{account:?}");
    }
    // Without an address in the token, the userinfo endpoint is asked.
    provider.misbehave(Some(Misbehaviour::UserinfoOfAnother)).await;
    let refused = sign_in(&edge, &provider, "corp", "none").await;
    assert_eq!(face(&refused), (502, "provider_distrusted".to_owned()));
    assert_eq!(count(&edge, "select count(*) from identities", &[]).await, 0);
}

#[tokio::test]
async fn what_comes_back_must_belong_to_what_this_browser_began() {
    let provider = provider("corp").await;
    provider.add_client(&ClientSpec::new("club", super::CLIENT_SECRET, &super::callback_url("club"))).await;
    let edge = edge(&[entry(&provider, "corp"), entry(&provider, "club")], &[]).await;
    let Begun { url, cookie } = begin(&edge, "corp").await;
    let other = begin(&edge, "corp").await;
    let club = begin(&edge, "club").await;
    let back = provider.authorize(url.as_str(), "ann").await;
    let changed = |name: &str, value: &str| {
        let mut url = back.clone();
        let pairs: Vec<_> = back
            .query_pairs()
            .filter(|(key, _)| key != name)
            .map(|(key, it)| (key.into_owned(), it.into_owned()))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(pairs).append_pair(name, value);
        url
    };
    let middle = cookie.len() / 2;
    let flipped = if &cookie[middle..=middle] == "A" { "B" } else { "A" };
    let bent = format!("{}{flipped}{}", &cookie[..middle], &cookie[middle + 1..]);
    let without_issuer: Url = back.as_str().replace("iss=", "was=").parse().unwrap();
    for (what, url, cookie) in [
        ("no cookie", &back, ""),
        ("a cookie of another attempt", &back, &other.cookie),
        ("a cookie of another provider", &back, &club.cookie),
        ("a cookie that was changed", &back, &bent),
        ("a cookie that is none", &back, "__Host-nest_oidc=AAAA"),
        ("another state", &changed("state", "guessed"), &cookie),
        ("an empty state", &changed("state", ""), &cookie),
        ("another issuer", &changed("iss", "https://elsewhere.example"), &cookie),
        ("no issuer", &without_issuer, &cookie),
    ] {
        assert_eq!(face(&come_back(&edge, url, cookie).await), (400, "sign_in_lost".to_owned()), "{what}");
    }
    // A code that somebody else got does not fit to the verifier of this browser's attempt.
    let theirs = provider.authorize(other.url.as_str(), "ann").await;
    let injected = changed("code", &query(&theirs, "code").unwrap());
    assert_eq!(face(&come_back(&edge, &injected, &cookie).await), (400, "sign_in_refused".to_owned()));
    let twice = changed("state", "x").as_str().to_owned() + "&state=y";
    assert_eq!(face(&come_back(&edge, &twice.parse().unwrap(), &cookie).await), (400, "invalid_value".to_owned()));
    nothing_came_of_it(&edge, "mixed-up attempts").await;
    // All the while the attempt itself was good.
    me(&edge, &come_back(&edge, &back, &cookie).await).await;
}

#[tokio::test]
async fn an_attempt_ends_after_ten_minutes_and_a_callback_is_good_once() {
    let (provider, edge) = setup(&[]).await;
    let first = begin(&edge, "corp").await;
    let back = provider.authorize(first.url.as_str(), "ann").await;
    me(&edge, &come_back(&edge, &back, &first.cookie).await).await;
    assert_eq!(face(&come_back(&edge, &back, &first.cookie).await), (400, "sign_in_refused".to_owned()));
    let late = begin(&edge, "corp").await;
    let back = provider.authorize(late.url.as_str(), "ann").await;
    edge.advance_ms(600_000);
    assert_eq!(face(&come_back(&edge, &back, &late.cookie).await), (400, "sign_in_lost".to_owned()));
    assert_eq!(count(&edge, "select count(*) from sessions", &[]).await, 1);
}

#[tokio::test]
async fn who_cancels_at_the_provider_gets_no_session() {
    let (provider, edge) = setup(&[]).await;
    let Begun { url, cookie } = begin(&edge, "corp").await;
    let back = provider.cancel(url.as_str()).await;
    assert_eq!(face(&come_back(&edge, &back, &cookie).await), (403, "sign_in_denied".to_owned()));
    nothing_came_of_it(&edge, "a cancelled log-in").await;
}

/// Checklist 120, for providers: each way of being away is told as one, and the rest of the service goes on.
#[tokio::test]
async fn a_provider_that_is_away_is_told_as_that() {
    let provider = provider("corp").await;
    let mut gone = entry(&provider, "gone");
    gone["issuer"] = json!(nowhere());
    let edge = edge(&[entry(&provider, "corp"), gone], &[]).await;
    let away = |answer: &Answer| {
        assert_eq!(face(answer), (503, "provider_unavailable".to_owned()));
        assert_eq!(answer.header("retry-after"), "5");
    };
    away(&ask(&edge, "/api/v1/auth/oidc/gone", "").await);
    provider.misbehave(Some(Misbehaviour::OtherIssuerInMetadata)).await;
    away(&ask(&edge, "/api/v1/auth/oidc/corp", "").await);
    provider.misbehave(Some(Misbehaviour::TokenEndpointFails)).await;
    away(&sign_in(&edge, &provider, "corp", "ann").await);
    nothing_came_of_it(&edge, "outages").await;
    // A browser on its way is sent to a page that can tell it.
    let page = edge.get("/api/v1/auth/oidc/gone").header("accept", "text/html,*/*;q=0.8").send().await.unwrap();
    let page = Answer::read(page).await;
    assert_eq!((page.status.as_u16(), page.header("location")), (302, "/account.html#error=provider_unavailable"));
    provider.misbehave(None).await;
    let session = sign_in(&edge, &provider, "corp", "ann").await;
    set_cookie(&session, "__Host-nest_session");
}

#[tokio::test]
async fn a_redirect_leads_to_no_other_host() {
    let (_provider, edge) = setup(&[]).await;
    for path in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "evil.example",
        "",
        "/a\r\nset-cookie:x=y",
        "///evil.example",
    ] {
        let query = form(&[("redirect", path)]);
        let answer = ask(&edge, &format!("/api/v1/auth/oidc/corp?{query}"), "").await;
        assert_eq!(face(&answer), (422, "invalid_value".to_owned()), "{path:?}");
        assert!(answer.headers.get("set-cookie").is_none(), "{path:?}");
    }
}
