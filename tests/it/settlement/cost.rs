//! What a call costs, where its client can see it.

use super::{Ends, Says, Scripted, call, done, finish, role, usage, word};
use edge_core::billing::receipt;
use nest_tests::{Answer, TestEdge};
use serde_json::{Value, json};

/// A table in which a token of a prompt costs 1,000 and one of an answer 2,000 billionths of a dollar.
fn prices(model: &str) -> Value {
    json!([{ "model": model, "price": { "input": "1", "output": "2" },
             "upstream": { "input": "0.5", "output": "0.5" } }])
}

/// The same edge, whose model has a price, and whose organisation has credit.
async fn priced(says: Vec<Says>) -> Scripted {
    let scripted = Scripted::start(says, &[]).await;
    scripted.edge.publish_prices(prices(super::MODEL)).await;
    scripted.edge.grant(scripted.edge.own_org().await, "5").await;
    scripted
}

fn whole(prompt: u64, completion: u64) -> Says {
    let message = json!({ "role": "assistant", "content": "word" });
    Says::Whole(json!({ "choices": [{ "message": message }], "big": 12_345_678_901_234_567_890_u64,
                        "usage": { "prompt_tokens": prompt, "completion_tokens": completion, "queue_time": 0.5 } }))
}

/// What the comment behind a stream says; none when there is no comment.
fn comment(answer: &Answer) -> Option<Value> {
    let (_, last) = answer.text().rsplit_once(": nest ")?;
    assert!(last.ends_with("}\n\n") && !last.trim_end().contains('\n'), "{last:?}");
    Some(serde_json::from_str(last.trim()).unwrap())
}

async fn published_keys(edge: &TestEdge) -> String {
    let answer = Answer::read(edge.get("/.well-known/receipt-keys.json").send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().to_owned()
}

#[tokio::test]
async fn an_answer_says_what_it_cost_and_the_row_and_the_wallet_agree() {
    let scripted = priced(vec![whole(100, 10), whole(0, 0)]).await;
    let org = scripted.edge.own_org().await;
    let answer = scripted.edge.chat(&scripted.key, &call(0, false)).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-nest-cost")), (200, "0.00012"), "{}", answer.text());
    assert_eq!(answer.json()["usage"].get("cost"), None, "it is told within only who asks for it");
    let row = scripted.edge.usage(answer.request_id()).await;
    assert_eq!((row.cost_nanos, row.upstream_cost_nanos, row.price_version), (120_000, 55_000, Some(1)));
    let wallet = scripted.edge.wallet(org).await;
    assert_eq!((wallet.credit_nanos, wallet.revenue_nanos), (5_000_000_000 - 120_000, 120_000));
    // Zero stays zero.
    let answer = scripted.edge.chat(&scripted.key, &call(1, false)).await;
    assert_eq!(answer.header("x-nest-cost"), "0");
    assert_eq!(scripted.edge.usage(answer.request_id()).await.cost_nanos, 0);
}

#[tokio::test]
async fn a_stream_ends_with_its_cost_and_a_receipt_that_anybody_can_verify() {
    let well = vec![role(), word(), finish(), usage(100, 10), done()];
    let silent = vec![role(), word(), finish(), done()];
    let broken = vec![role(), word(), word()];
    let scripted = priced(vec![
        Says::Stream(well.clone(), Ends::Well),
        Says::Stream(silent, Ends::Well),
        Says::Stream(broken, Ends::Well),
        Says::Stream(vec![role(), finish(), usage(0, 0), done()], Ends::Well),
    ])
    .await;
    let keys = published_keys(&scripted.edge).await;
    for number in 0..4 {
        let answer = scripted.edge.chat(&scripted.key, &call(number, true)).await;
        let told = comment(&answer).expect("a stream ends with its cost");
        let row = scripted.edge.usage(answer.request_id()).await;
        assert_eq!(told["request_id"], answer.request_id().to_string());
        assert_eq!(told["cost_usd"], shared::money::Nanos(row.cost_nanos).to_string(), "{number}");
        let Some(receipt) = told["receipt"].as_str() else {
            assert_eq!((number, row.cost_nanos), (3, 0), "what cost nothing has none");
            continue;
        };
        let claims = receipt::verify(&keys, receipt).unwrap();
        assert_eq!((claims.cost_nanos, claims.price_version), (row.cost_nanos, 1));
        assert_eq!(claims.request_id, answer.request_id());
        assert_eq!(
            (claims.prompt_tokens, claims.completion_tokens),
            (row.prompt_tokens as i64, row.completion_tokens as i64)
        );
        assert_eq!(claims.ledger.map(|it| it.len()), Some(64));
        if number == 0 {
            // What the upstream sent is there byte for byte, before the comment.
            assert!(answer.text().starts_with(&format!("{}: nest ", well.concat())), "{}", answer.text());
        }
    }
}

#[tokio::test]
async fn nothing_is_told_of_costs_while_nothing_has_a_price() {
    let well = vec![role(), word(), finish(), usage(100, 10), done()];
    let scripted = Scripted::start(vec![whole(1, 1), Says::Stream(well.clone(), Ends::Well)], &[]).await;
    let answer = scripted.edge.chat(&scripted.key, &call(0, false)).await;
    assert_eq!(answer.header("x-nest-cost"), "");
    let answer = scripted.edge.chat(&scripted.key, &call(1, true)).await;
    assert_eq!(answer.text(), well.concat());
}

/// `"usage": {"include": true}`, as OpenRouter's clients ask.
#[tokio::test]
async fn the_cost_is_within_the_answer_for_whoever_asks() {
    let events = |counted: &[String]| [&[role(), word(), finish()], counted, &[done()]].concat();
    let scripted = priced(vec![
        whole(100, 10),
        Says::Stream(events(&[usage(100, 10)]), Ends::Well),
        Says::Stream(events(&[]), Ends::Well),
    ])
    .await;
    let ask = async |number, stream| {
        let mut body = call(number, stream);
        body["usage"] = json!({ "include": true });
        let answer = scripted.edge.chat(&scripted.key, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer
    };
    let answer = ask(0, false).await;
    let body = answer.json();
    assert_eq!((&body["usage"]["cost"], &body["usage"]["cost_usd"]), (&json!(0.00012), &json!("0.00012")));
    // All else is as the upstream wrote it.
    assert_eq!((&body["usage"]["queue_time"], &body["big"]), (&json!(0.5), &json!(12_345_678_901_234_567_890_u64)));
    for number in [1, 2] {
        let answer = ask(number, true).await;
        let events = answer.events();
        assert_eq!((events.len(), events.last().unwrap().as_str()), (5, "[DONE]"), "{}", answer.text());
        let row = scripted.edge.usage(answer.request_id()).await;
        let last: Value = serde_json::from_str(&events[3]).unwrap();
        assert_eq!(last["usage"]["cost_usd"], shared::money::Nanos(row.cost_nanos).to_string(), "{number}");
        assert_eq!(last["usage"]["prompt_tokens"], row.prompt_tokens, "{number}");
        assert_eq!(events[1], word().trim().strip_prefix("data: ").unwrap(), "what has no count passes unchanged");
        assert!(comment(&answer).is_some());
    }
}

/// Checklist 82's part: what the credit does not cover never reaches the upstream.
#[tokio::test]
async fn a_call_that_the_credit_does_not_cover_is_refused_before_it_is_sent() {
    let scripted = Scripted::start(vec![whole(100, 10)], &[]).await;
    scripted.edge.publish_prices(prices(super::MODEL)).await;
    let answer = scripted.edge.chat(&scripted.key, &call(0, false)).await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (402, "insufficient_credit"));
    assert!(scripted.edge.usage_when(|_| true).await.is_empty(), "no upstream was asked");
}
