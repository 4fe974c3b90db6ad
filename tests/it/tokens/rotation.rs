//! Keys as the world sees them, and as they follow one another.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use nest_tests::{
    Answer, TestEdge, Verifiers,
    edge::OPERATOR,
    mint::{self, PERIOD_MS},
    verifiers::{Expected, Verifier},
};
use serde_json::Value;

async fn jwks(edge: &TestEdge) -> Answer {
    Answer::read(edge.get("/.well-known/jwks.json").send().await.unwrap()).await
}

fn key_ids(jwks: &Value) -> Vec<&str> {
    jwks["keys"].as_array().unwrap().iter().map(|it| it["kid"].as_str().unwrap()).collect()
}

/// The id of the key that has signed a token.
fn signer(token: &str) -> String {
    let header: Value = serde_json::from_slice(&BASE64URL.decode(token.split('.').next().unwrap()).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

/// Checklist 32: PyJWT, jwcrypto and jose verify our tokens by our published keys, and see what was changed.
#[tokio::test]
async fn three_foreign_stacks_verify_our_tokens_by_our_keys() {
    let edge = TestEdge::start(&[]).await;
    let person = edge.log_in(OPERATOR).await;
    let published = jwks(&edge).await;
    assert_eq!(published.header("cache-control"), "public, max-age=3600");
    assert_eq!(published.header("content-type"), "application/json");
    let jwks = published.json();
    let ours = edge.config.public_url.as_str();
    let expected = Expected { jwks: &jwks, issuer: ours, audience: ours, algorithms: &["EdDSA"] };
    let elsewhere = Expected { audience: "https://elsewhere.example", ..expected };
    let (signed, signature) = person.access_token.rsplit_once('.').unwrap();
    let tampered = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    let mut verifiers = Verifiers::start().await;
    for verifier in Verifier::ALL {
        let told = verifiers.verify(verifier, &person.access_token, &expected).await.unwrap();
        assert_eq!(told, mint::claims(&person.access_token), "{verifier:?}");
        assert!(verifiers.verify(verifier, &person.access_token, &elsewhere).await.is_err(), "{verifier:?}");
        assert!(verifiers.verify(verifier, &tampered, &expected).await.is_err(), "{verifier:?}");
    }
}

/// Checklist 32: what a foreign service kept for an hour has the keys of every token that it meets meanwhile, and a token
/// outlives the border by its whole life.
#[tokio::test]
async fn a_key_is_published_before_it_signs_and_for_as_long_as_its_tokens_live() {
    let edge = TestEdge::start(&[]).await;
    for _ in 0..3 {
        let to_border = PERIOD_MS - edge.now().0.rem_euclid(PERIOD_MS);
        edge.advance_ms(to_border - 60_000);
        let old = edge.log_in(OPERATOR).await;
        let kept = jwks(&edge).await.json();
        edge.advance_ms(120_000);
        let new = edge.log_in(OPERATOR).await;
        assert_ne!(signer(&old.access_token), signer(&new.access_token), "the border lies between them");
        assert!(key_ids(&kept).contains(&signer(&new.access_token).as_str()));
        let after = jwks(&edge).await.json();
        for person in [&old, &new] {
            assert!(key_ids(&after).contains(&signer(&person.access_token).as_str()));
            assert_eq!(super::me(&edge, &person.access_token).await.status, 200);
        }
        edge.advance_ms(9 * 60_000);
        assert_eq!(super::me(&edge, &new.access_token).await.status, 200);
    }
}

/// Checklist 32: a root secret's keys are published while it is the next one, and while it is the one before.
#[tokio::test]
async fn keys_of_the_next_root_secret_are_published_before_they_sign() {
    const ONE: &str = "one root secret of at least 32 characters";
    const TWO: &str = "two root secrets of at least 32 characters";
    let now = TestEdge::start(&[("SECRET_KEY", ONE), ("NEXT_SECRET_KEY", TWO)]).await;
    let then = TestEdge::on(&now.db, &[("SECRET_KEY", TWO), ("PREVIOUS_SECRET_KEY", ONE)]).await;
    let (person, later) = (now.log_in(OPERATOR).await, then.log_in(OPERATOR).await);
    assert_ne!(signer(&person.access_token), signer(&later.access_token));
    for edge in [&now, &then] {
        let published = jwks(edge).await.json();
        assert_eq!(key_ids(&published).len(), 6);
        for token in [&person.access_token, &later.access_token] {
            assert!(key_ids(&published).contains(&signer(token).as_str()));
            assert_eq!(super::me(edge, token).await.status, 200);
        }
    }
    // One that knows neither accepts neither.
    let stranger = TestEdge::on(&now.db, &[("SECRET_KEY", "three root secrets of at least 32 characters")]).await;
    for token in [&person.access_token, &later.access_token] {
        assert_eq!(super::me(&stranger, token).await.code(), "invalid_token");
    }
}
