//! The task that takes events out.

use super::Parcel;
use crate::shared::Shared;
use reqwest::redirect::Policy;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many go out at once.
const AT_ONCE: usize = 8;

/// How long an endpoint may take, as Stripe's own patience is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Takes events out for ever.
pub(crate) async fn run(shared: Shared) {
    // Stripe follows no redirect, and no proxy stands before an endpoint of this machine.
    let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(PATIENCE).build();
    let client = client.expect("a client without special settings can be built");
    let mut running = JoinSet::new();
    loop {
        let changed = shared.changed();
        let now = Instant::now();
        let (parcel, due) = shared.look(|world| {
            let parcel = if running.len() < AT_ONCE { world.parcel(now) } else { None };
            (parcel, world.deliveries.next_due())
        });
        if let Some(parcel) = parcel {
            running.spawn(send(client.clone(), shared.clone(), parcel));
            continue;
        }
        // What waits only for its turn is not due later.
        let pause = due.filter(|due| *due > now).map_or(Duration::from_secs(1), |due| due - now);
        tokio::select! {
            () = changed => {}
            Some(_) = running.join_next() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn send(client: reqwest::Client, shared: Shared, parcel: Parcel) {
    let request = client
        .post(&parcel.url)
        .header("content-type", "application/json; charset=utf-8")
        .header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("stripe-signature", &parcel.signature)
        .body(parcel.body.clone());
    let status = request.send().await.map_or(0, |answer| answer.status().as_u16());
    shared.act(|world| world.answered(&parcel, status, Instant::now()));
}
