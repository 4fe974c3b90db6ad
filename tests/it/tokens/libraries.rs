//! Tokens that libraries forge which others wrote, each with its own code.

use super::me;
use futures_util::{StreamExt as _, stream};
use nest_tests::{
    Mint, TestEdge,
    forgers::{Made, made_by},
    mint,
    verifiers::Verifier,
};

/// Requests at a time.
const AT_ONCE: usize = 8;

/// Checklist 30: PyJWT, jwcrypto and jose forge some three hundred tokens; the edge refuses each, and accepts what the same
/// libraries sign with its key and with nothing wrong.
#[tokio::test]
async fn no_token_that_a_library_forges_gets_in() {
    let edge = TestEdge::start(&[]).await;
    let ada = edge.person("ada@example.com").await;
    let (own, claims) = (Mint::of(&edge, 0), mint::claims(&ada.access_token));
    for library in Verifier::ALL {
        let Made { genuine, forged } = made_by(library, &own, &claims).await;
        assert!(forged.len() >= 60, "{library:?}: {}", forged.len());
        assert!(forged.values().all(|it| *it != genuine), "{library:?}");
        assert_eq!(me(&edge, &genuine).await.status, 200, "{library:?}: {genuine}");
        let wrong: Vec<String> = stream::iter(&forged)
            .map(async |(name, token)| {
                let answer = me(&edge, token).await;
                let refused = answer.status == 401 && answer.code() == code(name);
                (!refused).then(|| format!("{name}: {} {}: {token}", answer.status, answer.text()))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |it| it)
            .collect()
            .await;
        assert!(wrong.is_empty(), "{library:?}, {} of {}: {wrong:#?}", wrong.len(), forged.len());
        assert_eq!(me(&edge, &genuine).await.status, 200, "{library:?}");
    }
}

/// What a forgery is refused as. A token that says the right things too late, or of a session that is no more, is none
/// that was tampered with.
fn code(name: &str) -> &'static str {
    match name {
        "expired" => "expired_token",
        "a session of nobody" => "session_ended",
        _ => "invalid_token",
    }
}
