//! The double is taken for Upstash by Upstash's own clients, and what they do not use is as its documentation says.

use nest_tests::{
    FakeUpstash,
    fake_upstash::{READ_ONLY_TOKEN, TOKEN},
    npm, python,
    redis::Said,
};
use serde_json::{Value, json};

#[tokio::test]
async fn the_official_client_takes_the_double_for_upstash() {
    let store = FakeUpstash::start().await;
    let script = npm::script("upstash_redis.mjs").env("UPSTASH_REDIS_REST_URL", &store.url);
    script.env("UPSTASH_REDIS_REST_TOKEN", TOKEN).env("READ_ONLY_TOKEN", READ_ONLY_TOKEN).run().await;
    assert_eq!(store.redis.command(&["GET", "from-javascript"]).await, Said::Text("Grüße".into()));
}

#[tokio::test]
async fn the_official_client_in_python_does_too() {
    let store = FakeUpstash::start().await;
    let script = python::script("upstash_client.py").env("UPSTASH_REDIS_REST_URL", &store.url);
    script.env("UPSTASH_REDIS_REST_TOKEN", TOKEN).run().await;
    assert_eq!(store.redis.command(&["GET", "from-python"]).await, Said::Text("Grüße".into()));
}

#[tokio::test]
async fn the_official_limiters_count_in_the_double() {
    let store = FakeUpstash::start().await;
    let script = npm::script("upstash_ratelimit.mjs").env("UPSTASH_REDIS_REST_URL", &store.url);
    script.env("UPSTASH_REDIS_REST_TOKEN", TOKEN).run().await;
    // Their scripts ask for what only Upstash knows, and are found by their names nevertheless.
    let by_name = |it: &&Vec<String>| it[0].eq_ignore_ascii_case("evalsha");
    let by_text = |it: &&Vec<String>| it[0].eq_ignore_ascii_case("eval");
    let commands = store.commands();
    let (names, texts) = (commands.iter().filter(by_name).count(), commands.iter().filter(by_text).count());
    assert!(texts > 0 && names > 2 * texts, "{names} by name, {texts} by text");
}

#[tokio::test]
async fn a_path_is_a_command_too() {
    let store = FakeUpstash::start().await;
    let client = reqwest::Client::new();
    let url = |path: &str| format!("{}{path}", store.url);
    let read = async |request: reqwest::RequestBuilder| {
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (get, post) =
        (|path: &str| client.get(url(path)).bearer_auth(TOKEN), |path: &str| client.post(url(path)).bearer_auth(TOKEN));
    for (request, status, answer) in [
        (get("/set/a%20b/c%2Fd?EX=100"), 200, json!({"result": "OK"})),
        (get("/get/a%20b"), 200, json!({"result": "c/d"})),
        (post("/set/body").body("any text"), 200, json!({"result": "OK"})),
        (get("/get/body").header("upstash-encoding", "base64"), 200, json!({"result": "YW55IHRleHQ="})),
        (client.get(url(&format!("/get/body?_token={TOKEN}"))), 200, json!({"result": "any text"})),
        (get("/incr/body"), 400, json!({"error": "ERR value is not an integer or out of range"})),
        (client.get(url("/get/body")), 401, json!({"error": "WRONGPASS invalid or missing auth token"})),
        (client.delete(url("/get/body")).bearer_auth(TOKEN), 405, json!({"error": "ERR method is not allowed"})),
        (post("/").body("no JSON"), 400, json!({"error": "ERR failed to parse command"})),
        (post("/").json(&json!([])), 400, json!({"error": "ERR empty command"})),
        (post("/").json(&json!(["SET", "n", 1.5, "EX", 100])), 200, json!({"result": "OK"})),
        (
            post("/multi-exec").json(&json!([["INCR", "x"], ["GET", "n"]])),
            200,
            json!([{"result": 1}, {"result": "1.5"}]),
        ),
        // A mistake that is seen before it runs discards all.
        (
            post("/multi-exec").json(&json!([["INCR", "x"], ["GET"]])),
            400,
            json!({
                "error": "EXECABORT Transaction discarded because of previous errors."
            }),
        ),
        (post("/").json(&json!(["GET", "x"])), 200, json!({"result": "1"})),
    ] {
        let named = format!("{request:?}");
        assert_eq!(read(request).await, (status, answer), "{named}");
    }
    let Said::Integer(lifetime_s) = store.redis.command(&["TTL", "a b"]).await else {
        panic!("it is kept for a while")
    };
    assert!((90..=100).contains(&lifetime_s), "{lifetime_s}");
}
