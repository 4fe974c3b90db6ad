//! The bill of one call: what it is for, under which prices, and its row of usage.
//!
//! The meter settles it behind the answer, and the last word of a stream tells it to the client before. Whoever closes
//! it first has closed it for all.

use super::{
    call::{Call, Estimate},
    settlement::{self, Heard},
};
use crate::{
    App,
    billing::{Hold, Settled, sign_receipt},
    host::StreamEnd,
    keys::Caller,
    usage::{self, Charge, Outcome, Record, Tokens, TokensSource},
};
use http::StatusCode;
use serde::Serialize;
use shared::{id::RequestId, money::Nanos, time::Timestamp, usage::Usage};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client that left would have been answered, as nginx counts it.
pub(super) const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => panic!("499 is a status"),
};

pub(super) struct Bill {
    app: App,
    started: Timestamp,
    estimate: Estimate,
    open: Mutex<Open>,
}

struct Open {
    /// As it would be written if this process died now.
    record: Record,
    /// Whether an upstream was asked.
    sent: bool,
    /// Whether the row says how the call ended.
    closed: bool,
    /// Taken when the bill is settled.
    hold: Option<Hold>,
}

/// What a client is told after a stream's last event.
#[derive(Serialize)]
struct Told {
    request_id: RequestId,
    cost_usd: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
}

impl Bill {
    /// Starts the clock for a call of `caller`.
    pub(super) fn start(app: &App, caller: &Caller, id: RequestId, call: &Call, hold: Hold) -> Arc<Self> {
        let started = app.host.now();
        let record = Record {
            request_id: id,
            org_id: caller.org_id,
            key_id: caller.key_id,
            endpoint: call.endpoint.name(),
            model: call.model.clone(),
            upstream: None,
            stream: call.stream,
            // A call whose process dies has failed, and costs nothing: what came of it, nobody can say any more.
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            outcome: Outcome::Failed,
            tokens: Tokens::default(),
            tokens_source: TokensSource::None,
            charge: Charge::default(),
            started_at_ms: started.0,
            first_byte_ms: None,
            latency_ms: 0,
        };
        let open = Mutex::new(Open { record, sent: false, closed: false, hold: Some(hold) });
        Arc::new(Self { app: app.clone(), started, estimate: call.estimate, open })
    }

    pub(super) fn started(&self) -> Timestamp {
        self.started
    }

    /// Notes where the call goes; the last upstream tried stays. From here on a crash cannot hide the call.
    pub(super) fn sent_to(&self, upstream: String) {
        let mut open = self.lock();
        open.sent = true;
        open.record.upstream = Some(upstream);
        if let Some(hold) = &mut open.hold {
            hold.sent();
        }
        usage::note(&self.app, &open.record);
    }

    /// Notes that the answer has begun.
    pub(super) fn first_byte(&self) {
        let elapsed_ms = self.elapsed_ms();
        self.lock().record.first_byte_ms = Some(elapsed_ms);
    }

    /// What is billed for what was heard, and its price.
    pub(super) fn price(&self, heard: Heard) -> (Usage, TokensSource, Charge) {
        self.lock().price(self.estimate, heard)
    }

    /// Closes the bill: from here on nothing changes it. Gives the tokens that it is for, and the charge.
    pub(super) fn close(&self, status: StatusCode, outcome: Outcome, heard: Heard) -> (Tokens, Charge) {
        let latency_ms = self.elapsed_ms();
        let mut open = self.lock();
        if !open.closed {
            let (usage, tokens_source, charge) = open.price(self.estimate, heard);
            let record = &mut open.record;
            (record.status, record.outcome, record.latency_ms) = (status.as_u16(), outcome, latency_ms);
            (record.tokens, record.tokens_source, record.charge) = (usage.into(), tokens_source, charge);
            open.closed = true;
            if open.sent {
                usage::note(&self.app, &open.record);
            }
        }
        (open.record.tokens, open.record.charge)
    }

    /// Closes the bill of a stream that is over.
    pub(super) fn close_stream(&self, end: &StreamEnd) -> (Tokens, Charge) {
        self.close(StatusCode::OK, settlement::outcome(end), settlement::heard_of_stream(end))
    }

    /// Whether the bill was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Frees what was held beyond the charge, and writes the row behind the answer. Once; the bill must be closed.
    pub(super) fn settle(&self) {
        let mut open = self.lock();
        let Some(hold) = open.hold.take() else { return };
        hold.settle(&open.record.charge);
        usage::record(&self.app, open.record.clone());
    }

    /// The comment that follows a stream's last event: no client takes it for one. Empty while nothing has a price.
    pub(super) fn closing(&self) -> String {
        let open = self.lock();
        if open.record.charge.price_version.is_none() {
            return String::new();
        }
        let ledger = open.hold.as_ref().and_then(Hold::ledger_head);
        let receipt = sign_receipt(&self.app, &Settled::of(&open.record, ledger));
        let told = Told { request_id: open.record.request_id, cost_usd: open.record.charge.cost, receipt };
        format!(": nest {}\n\n", serde_json::to_string(&told).expect("a bill is plain data"))
    }

    fn elapsed_ms(&self) -> i64 {
        self.app.host.now().since_ms(self.started).max(0)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn price(&self, estimate: Estimate, heard: Heard) -> (Usage, TokensSource, Charge) {
        let (usage, source) = settlement::settle(estimate, heard);
        let charge = match (&self.hold, heard) {
            (Some(hold), Heard::Reported(_) | Heard::Output { .. }) => hold.price(&usage),
            // Not even a price for each request is due where there was no answer.
            (_, Heard::Nothing) | (None, _) => Charge::default(),
        };
        (usage, source, charge)
    }
}
