//! Events on their way to webhook endpoints: signed, tried again until they are taken, and disturbed as a test says.

mod sender;
pub(crate) mod signature;

pub(crate) use sender::run;

use crate::{
    object::{self, shown},
    world::{World, system_s},
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// After so many tries an event is given up.
const TRIES: u32 = 12;

/// What happens to events on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disturbance {
    /// Nothing goes out until this is taken back.
    pub hold: bool,
    /// What waits goes out in any order, instead of in that of the events.
    pub shuffle: bool,
    /// How many more times each event goes out.
    pub duplicates: u32,
    /// How many of a hundred events are never told to an endpoint.
    pub drop_percent: u8,
    /// How many of a hundred answers of an endpoint get lost, so that it is told again.
    pub fail_percent: u8,
}

/// Which clock the time of a signature is read from. Who takes it compares it with their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignedBy {
    /// The fake's own, for a test that moves the other one too.
    #[default]
    OwnClock,
    /// This machine's, for an edge whose clock nobody moves.
    MachineClock,
}

/// One event to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub event: String,
    pub event_type: String,
    pub endpoint: String,
    pub tries: u32,
    /// What the endpoint answered last; 0 if it did not.
    pub status: u16,
    /// Whether it was taken, or given up.
    pub ended: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) disturbance: Disturbance,
    all: Vec<Entry>,
    /// The pause before the second try; each later one is twice as long.
    pub(crate) first_pause: Duration,
    pub(crate) signed_by: SignedBy,
}

#[derive(Debug)]
struct Entry {
    delivery: Delivery,
    due: Instant,
    in_flight: bool,
}

/// What goes out.
pub(super) struct Parcel {
    at: usize,
    pub(super) url: String,
    pub(super) body: String,
    pub(super) signature: String,
}

impl Deliveries {
    pub(crate) fn list(&self) -> Vec<Delivery> {
        self.all.iter().map(|it| it.delivery.clone()).collect()
    }

    /// Whether nothing is on its way, or waits to be.
    pub(crate) fn is_settled(&self) -> bool {
        self.all.iter().all(|it| it.delivery.ended)
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.all.iter().filter(|it| !it.delivery.ended && !it.in_flight);
        if self.disturbance.hold { None } else { waiting.map(|it| it.due).min() }
    }
}

impl World {
    /// The endpoints that want this kind of event.
    pub(crate) fn listeners(&self, kind: &str) -> Vec<String> {
        let wants = |endpoint: &&Value| {
            let kinds = endpoint["enabled_events"].as_array().map(Vec::as_slice).unwrap_or_default();
            endpoint["status"] == "enabled" && kinds.iter().any(|it| it == "*" || it == kind)
        };
        let mut ids: Vec<String> = self
            .objects
            .all("webhook_endpoint")
            .into_iter()
            .filter(wants)
            .map(|it| object::text(it, "id").to_owned())
            .collect();
        ids.reverse();
        ids
    }

    /// Sends an event on its way.
    pub(crate) fn deliver(&mut self, event: &str) {
        let kind = object::text(&self.copy(event), "type").to_owned();
        for endpoint in self.listeners(&kind) {
            if self.chance.happens(self.deliveries.disturbance.drop_percent) {
                continue;
            }
            for _ in 0..=self.deliveries.disturbance.duplicates {
                let delivery = Delivery {
                    event: event.to_owned(),
                    event_type: kind.clone(),
                    endpoint: endpoint.clone(),
                    tries: 0,
                    status: 0,
                    ended: false,
                };
                self.deliveries.all.push(Entry { delivery, due: Instant::now(), in_flight: false });
            }
        }
    }

    /// The next one that is due, which is then in flight.
    pub(super) fn parcel(&mut self, now: Instant) -> Option<Parcel> {
        if self.deliveries.disturbance.hold {
            return None;
        }
        let is_due = |(_, it): &(usize, &Entry)| !it.delivery.ended && !it.in_flight && it.due <= now;
        let due: Vec<usize> = self.deliveries.all.iter().enumerate().filter(is_due).map(|(at, _)| at).collect();
        let shuffled = self.deliveries.disturbance.shuffle && !due.is_empty();
        let at = *due.get(if shuffled { self.chance.below(due.len()) } else { 0 })?;
        let Delivery { event, endpoint, .. } = self.deliveries.all[at].delivery.clone();
        let endpoint = self.copy(&endpoint);
        self.deliveries.all[at].in_flight = true;
        let body = serde_json::to_string_pretty(&shown(&self.copy(&event))).unwrap_or_default();
        // While a secret is replaced, Stripe signs with both.
        let secrets = [object::text(&endpoint, "_secret"), object::text(&endpoint, "_old_secret")];
        let secrets: Vec<&str> = secrets.into_iter().filter(|it| !it.is_empty()).collect();
        let signed_at = match self.deliveries.signed_by {
            SignedBy::OwnClock => self.now(),
            SignedBy::MachineClock => system_s(),
        };
        let signature = signature::header(&body, &secrets, signed_at);
        Some(Parcel { at, url: object::text(&endpoint, "url").to_owned(), body, signature })
    }

    /// Takes note of an endpoint's answer.
    pub(super) fn answered(&mut self, parcel: &Parcel, status: u16, now: Instant) {
        let lost = self.chance.happens(self.deliveries.disturbance.fail_percent);
        let first_pause = self.deliveries.first_pause;
        let entry = &mut self.deliveries.all[parcel.at];
        entry.in_flight = false;
        entry.delivery.tries += 1;
        entry.delivery.status = status;
        entry.delivery.ended = (200..300).contains(&status) && !lost || entry.delivery.tries >= TRIES;
        entry.due = now + first_pause * 2_u32.saturating_pow(entry.delivery.tries - 1);
        let (event, ended) = (entry.delivery.event.clone(), entry.delivery.ended);
        if ended && let Some(event) = self.objects.any_mut(&event) {
            event["pending_webhooks"] = (object::number(event, "pending_webhooks") - 1).max(0).into();
        }
    }
}
