//! What each state of a subscription holds: the table of docs/stripe.md.

/// Stripe's states, and whatever it may add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::billing) enum State {
    Trialing,
    Active,
    PastDue,
    Unpaid,
    Paused,
    Incomplete,
    IncompleteExpired,
    Canceled,
    /// One that we do not know gives nothing, and takes nothing of one's own.
    Unknown,
}

/// What a state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(in crate::billing) struct Holds {
    /// The plan's limits, instead of the usual ones.
    pub(in crate::billing) limits: bool,
    /// What is left of the month's credit.
    pub(in crate::billing) credit: bool,
    /// Use beyond credit, as far as the plan lets it.
    pub(in crate::billing) overage: bool,
    /// Calls at all, from whatever credit there is.
    pub(in crate::billing) calls: bool,
}

impl State {
    pub(in crate::billing) fn read(status: &str) -> Self {
        match status {
            "trialing" => Self::Trialing,
            "active" => Self::Active,
            "past_due" => Self::PastDue,
            "unpaid" => Self::Unpaid,
            "paused" => Self::Paused,
            "incomplete" => Self::Incomplete,
            "incomplete_expired" => Self::IncompleteExpired,
            "canceled" => Self::Canceled,
            _ => Self::Unknown,
        }
    }

    pub(in crate::billing) fn holds(self) -> Holds {
        let holds = |limits, credit, overage, calls| Holds { limits, credit, overage, calls };
        match self {
            // Who has not paid yet owes nothing for what is beyond the trial.
            Self::Trialing => holds(true, true, false, true),
            Self::Active => holds(true, true, true, true),
            // Stripe tries the card again for some days; nobody is cut off by an expired one at once.
            Self::PastDue => holds(true, true, false, true),
            // All tries have failed: what was used is owed.
            Self::Unpaid => holds(false, false, false, false),
            // What was bought is still there to be used.
            Self::Paused | Self::Incomplete | Self::IncompleteExpired | Self::Canceled | Self::Unknown => {
                holds(false, false, false, true)
            }
        }
    }

    /// Whether it is over for good, so that another may begin.
    pub(in crate::billing) fn ended(self) -> bool {
        matches!(self, Self::IncompleteExpired | Self::Canceled)
    }

    /// Whether owners are told that a payment is late.
    pub(in crate::billing) fn late(self) -> bool {
        matches!(self, Self::PastDue | Self::Unpaid)
    }
}

/// Whether an invoice of this reason begins a month of a plan. Others are for changes within one, which bring no credit:
/// else whoever changes plans to and fro would get each month's credit anew.
pub(in crate::billing) fn renews(billing_reason: &str) -> bool {
    matches!(billing_reason, "subscription_create" | "subscription_cycle")
}

/// How long a month's credit outlives its month: Stripe charges for the next about an hour after it has begun.
pub(in crate::billing) const GRACE_MS: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_holds_what_the_table_says() {
        let table = include_str!("../../../../../docs/stripe.md");
        for (status, limits, credit, overage, calls, ended, late) in [
            ("trialing", true, true, false, true, false, false),
            ("active", true, true, true, true, false, false),
            ("past_due", true, true, false, true, false, true),
            ("unpaid", false, false, false, false, false, true),
            ("paused", false, false, false, true, false, false),
            ("incomplete", false, false, false, true, false, false),
            ("incomplete_expired", false, false, false, true, true, false),
            ("canceled", false, false, false, true, true, false),
            ("a_new_one", false, false, false, true, false, false),
        ] {
            let state = State::read(status);
            assert_eq!(state.holds(), Holds { limits, credit, overage, calls }, "{status}");
            assert_eq!((state.ended(), state.late()), (ended, late), "{status}");
            let yes = |it: bool| if it { "yes" } else { "no" };
            let cells = [limits, credit, overage, calls, ended].map(yes).join(" | ");
            let name = if state == State::Unknown { "any other" } else { status };
            assert!(table.contains(&format!("| `{name}` | {cells} |")), "docs/stripe.md has no row: {name} | {cells}");
        }
    }

    #[test]
    fn only_what_begins_a_month_brings_its_credit() {
        for (reason, expected) in [
            ("subscription_create", true),
            ("subscription_cycle", true),
            ("subscription_update", false),
            ("subscription_threshold", false),
            ("manual", false),
            ("", false),
        ] {
            assert_eq!(renews(reason), expected, "{reason}");
        }
    }
}
