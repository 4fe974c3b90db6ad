//! One row for each call, whatever becomes of it.

use super::{
    bill::{Bill, CLIENT_CLOSED_REQUEST},
    call::Call,
    settlement::Heard,
};
use crate::{
    App, Error,
    billing::Hold,
    host::StreamEnd,
    keys::Caller,
    limits::{Permit, Slot},
    usage::{Charge, Outcome, Tokens},
};
use http::StatusCode;
use shared::{id::RequestId, time::Timestamp};
use std::sync::Arc;

/// Settles its call's bill and limits when told how it ended, or, when dropped before, as one whose client left.
pub(super) struct Meter {
    bill: Arc<Bill>,
    permit: Permit,
}

impl Meter {
    /// Starts the clock for a call of `caller`.
    pub(super) fn start(app: &App, caller: &Caller, id: RequestId, call: &Call, permit: Permit, hold: Hold) -> Self {
        Self { bill: Bill::start(app, caller, id, call, hold), permit }
    }

    /// When the call began.
    pub(super) fn started(&self) -> Timestamp {
        self.bill.started()
    }

    pub(super) fn bill(&self) -> &Arc<Bill> {
        &self.bill
    }

    /// Notes where the call goes; the last upstream tried stays.
    pub(super) fn sent_to(&mut self, upstream: String) {
        self.permit.sent();
        self.bill.sent_to(upstream);
    }

    /// The call's place among those that run at the same time.
    pub(super) fn slot(&self) -> Slot {
        self.permit.slot()
    }

    /// A whole answer is there.
    pub(super) fn complete(mut self, heard: Heard) -> Charge {
        let (tokens, charge) = self.bill.close(StatusCode::OK, Outcome::Completed, heard);
        self.settle(tokens);
        charge
    }

    /// The call failed before any answer.
    pub(super) fn fail(mut self, error: &Error) {
        let status = error.status();
        let outcome = if status.is_client_error() { Outcome::Refused } else { Outcome::Failed };
        let (tokens, _) = self.bill.close(status, outcome, Heard::Nothing);
        self.settle(tokens);
    }

    /// A stream is over.
    pub(super) fn end_stream(mut self, end: &StreamEnd) {
        let (tokens, _) = self.bill.close_stream(end);
        self.settle(tokens);
    }

    fn settle(&mut self, tokens: Tokens) {
        self.permit.settle(tokens.total());
        self.bill.settle();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if !self.bill.is_closed() {
            self.bill.close(CLIENT_CLOSED_REQUEST, Outcome::ClientLeft, Heard::Nothing);
        }
        // Whatever was settled before stays so.
        self.bill.settle();
    }
}
