//! The roll-ups are the sums of the rows, whoever writes these and whatever happens meanwhile.

use crate::upstream::{Setup, count_to, streamed};
use futures_util::future::join_all;
use nest_tests::{Answer, PATIENCE, TestDb, TestEdge, usage::assert_rolled_up};
use tokio::time::timeout;

const MIGRATION: &str = include_str!("../../../migrations/V0012__usage_rollups.sql");

#[tokio::test]
async fn calls_are_summed_up_as_they_are_recorded() {
    let setup = Setup::with(&[]).await;
    let other = setup.edge.key().await;
    let mut made_up = count_to(1);
    for number in 0..12 {
        let body = if number % 2 == 0 { count_to(3) } else { streamed(&count_to(3)) };
        let key = if number % 3 == 0 { &setup.key } else { &other };
        assert_eq!(setup.edge.chat(key, &body).await.status, 200);
        made_up["model"] = format!("made-up-{number}").into();
        assert_eq!(setup.edge.chat(key, &made_up).await.status, 404);
    }
    setup.edge.usage_when(|rows| rows.len() == 24).await;
    let client = setup.edge.db.connect().await;
    assert_eq!(assert_rolled_up(&client).await, 24);
    // Names that a caller makes up are in the rows, and make no rows here.
    let models = "select distinct model from usage_rollups where outcome = 'refused'";
    let models: Vec<String> = client.query(models, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(models, [""]);
}

/// `$1` rows of all keys, of three days, models and more outcomes, in no order; `$2` makes their ids.
const INSERT: &str = "
    insert into usage
        (request_id, org_id, key_id, endpoint, model, upstream, stream, status, outcome, prompt_tokens,
         completion_tokens, cached_tokens, reasoning_tokens, tokens_source, started_at, latency_ms)
    select md5($2 || number)::uuid, key.org_id, key.id, 'chat.completions', 'm' || number % 3, 'groq', false, 200,
        (array['completed', 'failed', 'upstream_cut', 'revoked'])[1 + number % 4], number, number * 2, 1, 2, 'upstream',
        '2026-11-22T00:00:00Z'::timestamptz + (number % 5 - 2) * interval '13 hours', number
    from generate_series(1, $1::int) as number
    join (select id, org_id, row_number() over (order by id) - 1 as place, count(*) over () as keys from api_keys) key
        on key.place = number / 4 % key.keys
    order by random()
    on conflict (request_id) do nothing";

async fn keys(edge: &TestEdge) {
    for _ in 0..4 {
        edge.key().await;
    }
}

#[tokio::test]
async fn a_batch_that_is_sent_again_counts_once() {
    let edge = TestEdge::start(&[]).await;
    keys(&edge).await;
    let client = edge.db.connect().await;
    let rows = client.execute(INSERT, &[&50, &"batch"]).await.unwrap();
    assert_eq!(rows, 50);
    let sums = "select sum(calls)::int8, count(*) from usage_rollups";
    let before = client.query_one(sums, &[]).await.unwrap();
    assert_eq!(client.execute(INSERT, &[&50, &"batch"]).await.unwrap(), 0);
    let after = client.query_one(sums, &[]).await.unwrap();
    assert_eq!(before.get::<_, i64>(0), rows as i64);
    assert_eq!((before.get::<_, i64>(0), before.get::<_, i64>(1)), (after.get(0), after.get(1)));
    // Of a batch that is half new the new half counts.
    assert_eq!(client.execute(INSERT, &[&80, &"batch"]).await.unwrap(), 30);
    assert_rolled_up(&client).await;
}

#[tokio::test]
async fn batches_that_are_written_at_once_never_wait_for_each_other_in_a_ring() {
    let edge = TestEdge::start(&[]).await;
    keys(&edge).await;
    let writers = (0..6).map(|writer| {
        let db = edge.db.clone();
        async move {
            let client = db.connect().await;
            for batch in 0..25 {
                let seed = format!("{writer} {batch} ");
                // A deadlock would be an error of one of the two.
                client.execute(INSERT, &[&60, &seed]).await.unwrap();
            }
        }
    });
    timeout(PATIENCE, join_all(writers)).await.unwrap();
    assert_eq!(assert_rolled_up(&edge.db.connect().await).await, 6 * 25 * 60);
}

#[tokio::test]
async fn a_statement_that_fails_leaves_neither_rows_nor_sums() {
    let edge = TestEdge::start(&[]).await;
    keys(&edge).await;
    let client = edge.db.connect().await;
    let broken = INSERT.replace("'upstream',", "case when number = 49 then 'nobody' else 'upstream' end,");
    assert!(client.execute(&broken, &[&50, &"broken"]).await.is_err());
    assert_eq!(assert_rolled_up(&client).await, 0);
}

/// A database that has been in use for longer than it has had roll-ups.
#[tokio::test]
async fn what_was_used_before_is_summed_up_by_the_migration() {
    let edge = TestEdge::start(&[]).await;
    // What is undone here lacks the columns that a later migration has added.
    edge.db.forge();
    keys(&edge).await;
    let mut client = edge.db.connect().await;
    let undo = "
        drop trigger roll_up on usage;
        drop function roll_up_usage, key_usage;
        drop table usage_rollups;
        drop function rollup_model;
        alter table usage drop constraint usage_outcome_check, add constraint usage_outcome_check
            check (outcome in ('completed', 'refused', 'failed', 'client_left', 'upstream_cut'))";
    client.batch_execute(undo).await.unwrap();
    let before = INSERT.replace(", 'revoked'", "").replace("number % 4]", "number % 3]");
    client.execute(&before, &[&300, &"before"]).await.unwrap();
    let refused = "update usage set outcome = 'refused', upstream = null where prompt_tokens % 7 = 0";
    assert!(client.execute(refused, &[]).await.unwrap() > 0);
    let migrate = client.transaction().await.unwrap();
    migrate.batch_execute(MIGRATION).await.unwrap();
    migrate.commit().await.unwrap();
    assert_eq!(assert_rolled_up(&client).await, 300);
    client.execute(INSERT, &[&300, &"after"]).await.unwrap();
    assert_eq!(assert_rolled_up(&client).await, 600);
}

/// Checklist 52: the last use of a key is known without a write to its row.
#[tokio::test]
async fn a_key_was_last_used_when_its_last_call_began() {
    let setup = Setup::with(&[]).await;
    let unused = setup.edge.key().await;
    let client = setup.edge.db.connect().await;
    let state = "select to_jsonb(api_keys)::text, xmin::text from api_keys where id = $1::text::uuid";
    let id = setup.key.id.uuid().to_string();
    let state = async || {
        let row = client.query_one(state, &[&id]).await.unwrap();
        (row.get::<_, String>(0), row.get::<_, String>(1))
    };
    let before = state().await;
    let mut answers: Vec<Answer> = Vec::new();
    for _ in 0..3 {
        answers.push(setup.chat(&count_to(2)).await);
    }
    setup.edge.usage_when(|rows| rows.len() == 3).await;
    assert_eq!(state().await, before, "a call does not touch the row of its key");
    let used = "
        select used.last_used_at = (select max(started_at) from usage), used.calls, used.completion_tokens
        from api_keys key cross join lateral key_usage(key.org_id, key.id, now()) used
        where key.id = $1::text::uuid";
    let row = client.query_one(used, &[&id]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (Some(true), 3_i64, 6_i64));
    let row = client.query_one(used, &[&unused.id.uuid().to_string()]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (None::<bool>, 0_i64, 0_i64));
    // Another month has sums of its own, and the last use stays.
    let later = used.replace("now()", "now() + interval '40 days'");
    let row = client.query_one(&later, &[&id]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (Some(true), 0_i64));
}

/// What upstreams report may be absurd; its sum is kept whole, and told as the largest number that there is.
#[tokio::test]
async fn sums_beyond_all_numbers_are_kept() {
    let edge = TestEdge::start(&[]).await;
    let db: &TestDb = &edge.db;
    edge.key().await;
    let client = db.connect().await;
    let absurd = INSERT.replace("number * 2,", "9223372036854775807,");
    client.execute(&absurd, &[&20, &"absurd"]).await.unwrap();
    assert_rolled_up(&client).await;
    let operator = edge.log_in(nest_tests::edge::OPERATOR).await;
    let path = "/usage?from=2026-11-01&to=2026-11-30";
    let told = edge.api(&operator, reqwest::Method::GET, path, serde_json::Value::Null).await.json();
    assert_eq!(told["totals"]["completion_tokens"], i64::MAX, "{told}");
}
