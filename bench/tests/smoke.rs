//! Mock, floor and generator in one process: everything answers rightly. Nothing here looks at the clock.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::header::{AUTHORIZATION, HeaderValue};
use nest_bench::load::{self, Call, Plan, Report, Shape, Target};
use nest_bench::{floor, mock};
use tokio::net::TcpListener;

#[tokio::test]
async fn floor_relays_plain_answers_and_streams() {
    let upstream = start_mock().await;
    let floor = start_floor(upstream).await;
    for shape in [Shape::Plain, Shape::Stream { include_usage: true }] {
        for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
            let report = load::run(plan(floor, path, shape, &floor::key(7))).await;
            assert_eq!(report.first_error, None, "{shape:?} {path}");
            assert!(report.requests > 0, "{shape:?} {path}");
        }
    }
}

#[tokio::test]
async fn an_open_loop_asks_no_more_than_its_rate() {
    let mut plan = plan(start_mock().await, "/v1/chat/completions", Shape::Plain, "any");
    plan.rate = Some(50.0);
    let report = load::run(plan).await;
    assert_eq!(report.errors, 0, "{:?}", report.first_error);
    assert!(report.rps <= 100.0, "{} requests per second", report.rps);
}

#[tokio::test]
async fn an_unknown_key_is_refused_and_counted_as_an_error() {
    let floor = start_floor(start_mock().await).await;
    let report: Report = load::run(plan(floor, "/v1/chat/completions", Shape::Plain, "sk-unknown")).await;
    assert_eq!(report.requests, 0);
    assert!(report.errors > 0);
    assert!(report.first_error.is_some_and(|error| error.contains("401")));
}

async fn start_mock() -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(mock::run(listener, mock::Settings::default()));
    address
}

async fn start_floor(upstream: SocketAddr) -> SocketAddr {
    let (listener, address) = listen().await;
    let upstream = format!("http://{upstream}").parse().expect("an address makes a URL");
    tokio::spawn(floor::run(listener, upstream));
    address
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    (listener, address)
}

fn plan(server: SocketAddr, path: &str, shape: Shape, key: &str) -> Plan {
    let target: Target = format!("http://{server}{path}").parse().expect("an address makes a URL");
    let bearer = HeaderValue::try_from(format!("Bearer {key}")).expect("test keys are ASCII");
    Plan {
        name: "smoke".to_owned(),
        call: Call::new(target, shape, "gpt-4o-mini", vec![(AUTHORIZATION, bearer)]),
        connections: 2,
        rate: None,
        warm: Duration::ZERO,
        window: Duration::from_millis(300),
        requests_max: Some(50),
        pids: Vec::new(),
    }
}
