//! The client of the store, beside what Redis itself says.

use super::{Client, sliding};
use edge_core::limits::counters::{CountersError, Reply, Script, Upstash, UpstashError};
use nest_tests::{
    FakeUpstash,
    fake_upstash::{READ_ONLY_TOKEN, TOKEN},
    redis::Said,
};
use std::error::Error;

/// A client whose database's address ends in a slash, as people paste it.
fn upstash(store: &FakeUpstash, token: &str) -> (Client, Upstash) {
    let settings = [
        ("UPSTASH_REDIS_REST_URL", format!("{}/", store.url)),
        ("UPSTASH_REDIS_REST_TOKEN", token.to_owned()),
        ("UPSTASH_TIMEOUT_MS", "30000".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let config = super::config(&settings);
    (Client::on(&config), Upstash::new(config.upstash.unwrap()))
}

fn text(text: &str) -> Reply {
    Reply::Text(text.as_bytes().to_vec())
}

#[tokio::test]
async fn commands_are_answered_as_redis_answers_them() {
    let store = FakeUpstash::start().await;
    let (client, upstash) = upstash(&store, TOKEN);
    for (parts, expected) in [
        (&["PING"][..], text("PONG")),
        (&["SET", "text", "Grüße, \"Welt\"\r\n\0"], text("OK")),
        (&["GET", "text"], text("Grüße, \"Welt\"\r\n\0")),
        (&["SET", "okay", "OK"], text("OK")),
        (&["GET", "okay"], text("OK")),
        (&["GET", "nothing"], Reply::Null),
        (&["INCRBY", "number", "-9007199254740993"], Reply::Integer(-9_007_199_254_740_993)),
        (&["GET", "number"], text("-9007199254740993")),
        (&["MGET", "okay", "nothing"], Reply::List(vec![text("OK"), Reply::Null])),
        (
            &["EVAL", "return {1, {'a', {}}, false}", "0"],
            Reply::List(vec![Reply::Integer(1), Reply::List(vec![text("a"), Reply::List(Vec::new())]), Reply::Null]),
        ),
    ] {
        assert_eq!(upstash.command(&*client.host, parts).await.unwrap(), expected, "{parts:?}");
    }
    // No UTF-8, and so not to be had without the encoding.
    assert_eq!(store.redis.command(&["SETBIT", "bits", "0", "1"]).await, Said::Integer(0));
    assert_eq!(upstash.command(&*client.host, &["GET", "bits"]).await.unwrap(), Reply::Text(vec![0x80]));
}

#[tokio::test]
async fn a_pipeline_is_one_call_and_a_failure_in_it_stops_nothing() {
    let store = FakeUpstash::start().await;
    let (client, upstash) = upstash(&store, TOKEN);
    let commands: [&[&str]; 4] = [&["SET", "a", "1"], &["LPUSH", "a", "s3cret"], &["INCR", "a"], &["GET", "a"]];
    let answers = upstash.pipeline(&*client.host, &commands).await.unwrap();
    let [Ok(first), Err(UpstashError::Command(why)), Ok(third), Ok(last)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((first, third, last), (&text("OK"), &Reply::Integer(2), &text("2")));
    assert!(why.starts_with("WRONGTYPE"), "{why}");
    assert_eq!((store.calls(), store.commands().len()), (1, 4));
    assert!(upstash.pipeline(&*client.host, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_script_goes_by_its_name_and_once_by_its_text() {
    let store = FakeUpstash::start().await;
    let (client, upstash) = upstash(&store, TOKEN);
    let script = Script::new("return {KEYS[1], ARGV[1]}");
    for calls in [2, 3, 4] {
        let reply = upstash.evaluate(&*client.host, &script, &["k"], &["v"]).await.unwrap();
        assert_eq!(reply, Reply::List(vec![text("k"), text("v")]));
        assert_eq!(store.calls(), calls);
    }
    // Another failure than that is not answered by a second try.
    let broken = Script::new("return redis.call('GET')");
    store.redis.command(&["SCRIPT", "LOAD", broken.text]).await;
    assert!(upstash.evaluate(&*client.host, &broken, &[], &[]).await.is_err());
    assert_eq!(store.calls(), 5);
}

#[tokio::test]
async fn what_is_refused_has_its_kind_and_no_error_tells_a_secret() {
    let store = FakeUpstash::start().await;
    let (client, owner) = upstash(&store, TOKEN);
    let (_, reader) = upstash(&store, READ_ONLY_TOKEN);
    let (_, stranger) = upstash(&store, "s3cret-wrong");
    store.redis.command(&["SET", "list", "no"]).await;
    for (upstash, parts, expected) in [
        (&owner, &["LPUSH", "list", "s3cret"][..], Some("WRONGTYPE Operation against a key")),
        (&owner, &["S3CRET", "s3cret"], Some("ERR unknown command")),
        (&owner, &["SET", "key"], Some("ERR wrong number of arguments for")),
        (&owner, &["EVAL", "s3cret(", "0"], Some("ERR Error compiling script")),
        (&owner, &["SUBSCRIBE", "s3cret"], Some("ERR Command is not available:")),
        (&reader, &["SET", "key", "s3cret"], Some("NOPERM this user has no permissions to run the")),
        (&stranger, &["GET", "key"], None),
    ] {
        let error = upstash.command(&*client.host, parts).await.unwrap_err();
        let said = told(&error);
        match (expected, &error) {
            (Some(start), UpstashError::Command(why)) => assert!(why.starts_with(start), "{parts:?}: {why}"),
            (None, UpstashError::Denied) => {}
            _ => panic!("{parts:?}: {error:?}"),
        }
        assert!(!said.to_lowercase().contains("s3cret") && !said.contains(TOKEN), "{said}");
    }
    assert_eq!(reader.command(&*client.host, &["GET", "list"]).await.unwrap(), text("no"));
}

#[tokio::test]
async fn a_token_that_may_not_write_is_as_good_as_none() {
    let store = FakeUpstash::start().await;
    for token in [READ_ONLY_TOKEN, "s3cret-wrong"] {
        let (client, _) = upstash(&store, token);
        let error = client.try_take(&[sliding("a", 1)]).await.unwrap_err();
        assert!(matches!(error, CountersError::Denied), "{error:?}");
        assert!(!told(&error).contains(token));
    }
    assert_eq!(store.redis.lifetimes().await, []);
}

/// Everything that an error says to whoever logs it.
pub(super) fn told(error: &dyn Error) -> String {
    let mut said = format!("{error}; {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}; {error}; {error:?}");
        cause = error.source();
    }
    said
}
