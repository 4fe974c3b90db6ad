//! Refreshing at the same time, on two edges.

use super::{field, live, me, refresh};
use futures_util::future::join_all;
use nest_tests::{Answer, Kind, TestEdge, edge::OPERATOR};

const AT_ONCE: usize = 64;

/// Storms of that many: 500 natively, 10 on the WASM hosts.
fn storms() -> usize {
    if Kind::chosen() == Kind::Native { 500 } else { 10 }
}

/// Two edges on one database, as two processes are.
async fn pair() -> [TestEdge; 2] {
    let connections = [("DATABASE_CONNECTIONS", "16")];
    let first = TestEdge::start(&connections).await;
    let second = TestEdge::on(&first.db, &connections).await;
    [first, second]
}

/// Checklist 39 and 41: of 64 refreshes of one token one wins, 500 times over; the others learn that it happened, and
/// get nothing.
#[tokio::test]
async fn of_64_refreshes_at_once_one_wins_in_each_of_500_storms() {
    let edges = pair().await;
    let database = edges[0].db.connect().await;
    let mut newest = edges[0].log_in(OPERATOR).await.refresh_token;
    let mut unclear = 0;
    for storm in 0..storms() {
        let tries = (0..AT_ONCE).map(|nth| refresh(&edges[nth % 2], &newest));
        let answers = join_all(tries).await;
        let (won, lost): (Vec<Answer>, Vec<Answer>) = answers.into_iter().partition(|it| it.status == 200);
        // On a busy machine one may have waited too long for a connection: it has got nothing either.
        let busy = lost.iter().filter(|it| it.status == 503).count();
        let told = lost.iter().filter(|it| it.status == 409 && it.code() == "refresh_in_progress").count();
        assert_eq!((told + busy, won.len() <= 1), (lost.len(), true), "storm {storm}: {lost:?}");
        newest = match won.first() {
            Some(won) => field(won, "refresh_token"),
            // The winner's own answer may be what took too long; the session goes on only for who has it.
            None => {
                assert!(busy > 0, "storm {storm}: nobody won");
                unclear += 1;
                edges[0].log_in(OPERATOR).await.refresh_token
            }
        };
    }
    assert!(unclear * 20 <= storms(), "in {unclear} storms the winner's answer was lost");
    let stored = "select count(*) from sessions where token_hash = sha256($1::text::bytea) and ended_at is null";
    assert_eq!(database.query_one(stored, &[&newest]).await.unwrap().get::<_, i64>(0), 1);
    let sessions = i64::try_from(unclear).unwrap() + 1;
    assert_eq!(live(&edges[0]).await, sessions, "no storm has ended a session or opened one");
}

/// Checklist 40: a used token comes again while the newest is being turned, in whatever order they arrive. Afterwards no
/// token of the session is live, whoever won.
#[tokio::test]
async fn reuse_at_any_point_of_a_race_leaves_no_live_token() {
    let edges = pair().await;
    for _ in 0..storms().div_ceil(10) {
        let person = edges[0].log_in(OPERATOR).await;
        let used = person.refresh_token;
        let newest = field(&refresh(&edges[0], &used).await, "refresh_token");
        for edge in &edges {
            edge.advance_ms(10_001);
        }
        let tries = (0..8).map(|nth| refresh(&edges[nth % 2], if nth % 4 < 2 { &newest } else { &used }));
        let answers = join_all(tries).await;
        assert_eq!(live(&edges[0]).await, 0);
        for won in answers.iter().filter(|it| it.status == 200) {
            let (access, refresh_token) = (field(won, "access_token"), field(won, "refresh_token"));
            for edge in &edges {
                assert_eq!(me(edge, &access).await, (401, "session_ended".to_owned()));
                assert_eq!(refresh(edge, &refresh_token).await.code(), "session_ended");
            }
        }
        assert!(answers.iter().filter(|it| it.status == 200).count() <= 1);
    }
    let audited = "select count(*) from audit_log where action = 'auth.refresh_reused'";
    let audited: i64 = edges[0].db.connect().await.query_one(audited, &[]).await.unwrap().get(0);
    assert_eq!(audited, i64::try_from(storms().div_ceil(10)).unwrap(), "each reuse is told once");
}

/// Checklist 41: a retry within ten seconds neither mints nor ends anything; an older token than the one before is no
/// retry.
#[tokio::test]
async fn a_retry_within_the_grace_changes_nothing_and_an_older_token_ends_all() {
    let [edge, other] = pair().await;
    let first = edge.log_in(OPERATOR).await.refresh_token;
    let second = field(&refresh(&edge, &first).await, "refresh_token");
    let state = async || {
        let row = "select generation, token_hash, ended_at is null from sessions";
        let row = edge.db.connect().await.query_one(row, &[]).await.unwrap();
        (row.get::<_, i64>(0), row.get::<_, Vec<u8>>(1), row.get::<_, bool>(2))
    };
    let before = state().await;
    for edge in [&edge, &other] {
        edge.advance_ms(9_000);
        assert_eq!(refresh(edge, &first).await.code(), "refresh_in_progress");
    }
    assert_eq!(state().await, before);
    let third = field(&refresh(&edge, &second).await, "refresh_token");
    assert_eq!(refresh(&other, &first).await.code(), "session_ended");
    assert_eq!((refresh(&edge, &third).await.code().as_str(), live(&edge).await), ("session_ended", 0));
}
