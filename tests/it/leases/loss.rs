//! The store of counters is away: what each kind of limit does then stands in docs/limits.md, a row for a mode.

use crate::limits::Limited;
use edge_core::limits::Quota;
use nest_tests::{Answer, IssuedKey, fake_upstash::Does};
use serde_json::json;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Closed,
    Does(Does),
}

const FAULTS: [Fault; 7] = [
    Fault::Closed,
    Fault::Does(Does::Hang),
    Fault::Does(Does::Late(400)),
    Fault::Does(Does::Garble),
    Fault::Does(Does::Refuse(401)),
    Fault::Does(Does::Refuse(429)),
    Fault::Does(Does::Refuse(500)),
];

const SETTINGS: [(&str, &str); 2] = [("ADDRESS_LIMITS", "login=4/h@50 signup=4/h@0"), ("LIMIT_SHARE", "50")];

/// How long a call of one's own may take on a busy machine, beyond what it waits for the store.
const SLACK: Duration = Duration::from_millis(600);

impl Fault {
    async fn begin(self, limited: &Limited) {
        match self {
            Self::Closed => limited.upstash.close().await,
            Self::Does(does) => limited.upstash.does(does),
        }
    }

    async fn end(self, limited: &Limited) {
        match self {
            Self::Closed => limited.upstash.open().await,
            Self::Does(_) => limited.upstash.does(Does::Serve),
        }
    }
}

async fn log_in(limited: &Limited) -> u16 {
    limited.edge.try_log_in("ada@example.com", "wrong").await.status.as_u16()
}

async fn sign_up(limited: &Limited) -> Answer {
    let body = json!({ "email": "ada@example.com", "password": "correct horse battery", "name": "Ada" });
    Answer::read(limited.edge.post("/api/v1/auth/signup").json(&body).send().await.unwrap()).await
}

/// Checklist 64.
#[tokio::test]
async fn each_limit_has_its_mode_while_the_store_is_away() {
    for fault in FAULTS {
        let limited = Limited::start(&SETTINGS).await;
        let key = limited.key(Quota { requests_per_day: Some(10), ..Quota::default() }).await;
        // The key is known, and nothing is held of it.
        let models = limited.edge.get("/v1/models").bearer_auth(&key.text).send().await.unwrap();
        assert_eq!(models.status(), 200);
        fault.begin(&limited).await;
        calls_go_on_at_a_share(fault, &limited, &key).await;
        credentials_are_limited_to_a_share_or_closed(fault, &limited).await;
        fault.end(&limited).await;
        counting_goes_on_with_the_store(fault, &limited, &key).await;
    }
}

/// Paid calls: half of the limit, from each edge.
async fn calls_go_on_at_a_share(fault: Fault, limited: &Limited, key: &IssuedKey) {
    let (mut statuses, mut slow) = (Vec::new(), 0);
    for _ in 0..8 {
        let started = Instant::now();
        statuses.push(limited.chat(key).await.status.as_u16());
        slow += usize::from(started.elapsed() >= Duration::from_millis(140));
        assert!(started.elapsed() < Duration::from_millis(150) + SLACK, "{fault:?}: {:?}", started.elapsed());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429], "{fault:?}");
    // After three the store is left alone; a busy machine may be slow once by itself.
    assert!(slow <= 4, "{fault:?}: {slow}");
}

/// Guesses: half of the limit from each edge, rounded down, and none where the share is none.
async fn credentials_are_limited_to_a_share_or_closed(fault: Fault, limited: &Limited) {
    let statuses = [log_in(limited).await, log_in(limited).await, log_in(limited).await];
    assert_eq!(statuses, [401, 401, 429], "{fault:?}");
    let closed = sign_up(limited).await;
    assert_eq!((closed.status.as_u16(), closed.code().as_str()), (503, "limits_unavailable"), "{fault:?}");
    assert_eq!(closed.header("retry-after"), "2");
    // What is counted in the process is as it was.
    assert_eq!(limited.edge.get("/v1/endpoints/health").send().await.unwrap().status(), 200, "{fault:?}");
}

/// The store is asked again after a pause, and what it has not counted is not counted against anybody.
async fn counting_goes_on_with_the_store(fault: Fault, limited: &Limited, key: &IssuedKey) {
    limited.advance_ms(60_000);
    let before = limited.upstash.takes();
    assert_eq!(limited.chat(key).await.status, 200, "{fault:?}");
    assert!(limited.upstash.takes() > before, "{fault:?}");
    assert_eq!(limited.statuses(key, 10).await.iter().filter(|it| **it == 200).count(), 9, "{fault:?}");
    assert_eq!(log_in(limited).await, 401, "{fault:?}");
}
