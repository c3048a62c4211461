//! The gate: whether a message may go to a person at an instant, and why not. Pure.
//!
//! Nothing reaches a person except through here. It is asked when a decision is to be made, again at the moment
//! of sending, and once more right before a channel acts. What it can't check it refuses.

mod caps;
mod last;
mod ledger;
mod policy;
mod quiet;
mod running;
mod verdict;

pub use caps::Contacted;
pub(crate) use caps::{remember, unite};
pub use last::{LATE_MAX_MS, NotNow, is_late, last_look};
pub use ledger::{ConsentStanding, Ledger, LedgerEntry, LedgerState};
pub use policy::{Cap, GatePolicy, GatePolicySet, PolicyError, QuietHours, check_policy};
pub use quiet::{hours_open, is_quiet, quiet_until, zone_of};
pub use running::{Ride, Running};
pub use verdict::{Ask, Circumstances, House, Verdict, group_of, look, verdict};
pub(crate) use verdict::{hash_of, token_hash};
