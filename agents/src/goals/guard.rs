//! Guardrails: what must not get worse, counted from what goes out and what comes back.

use serde::{Deserialize, Serialize};

use super::Guardrails;
use crate::vocabulary::ReceiptKind;

/// One-sided 95 %: a rate counts as too high only where chance alone hardly brings so many about.
const SURE: f64 = 1.645;
/// Messages that must have gone out before any rate is looked at.
const MESSAGES_MIN: u64 = 20;

/// What a campaign's messages came to, as far as guardrails look at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tripwires {
    /// Messages sent.
    pub sent: u64,
    /// Unsubscriptions.
    pub unsubscribed: u64,
    /// Complaints.
    pub complained: u64,
    /// Messages that came back.
    pub bounced: u64,
}

/// The least rate that `times` of `all` speaks for (Wilson 1927, the interval's lower end).
fn at_least(times: u64, all: u64) -> f64 {
    if all == 0 {
        return 0.0;
    }
    let (all, rate) = (all as f64, times as f64 / all as f64);
    let square = SURE * SURE;
    let spread = SURE * libm::sqrt((rate * (1.0 - rate)).max(0.0) / all + square / (4.0 * all * all));
    ((rate + square / (2.0 * all) - spread) / (1.0 + square / all)).max(0.0)
}

impl Tripwires {
    /// Counts a receipt.
    pub fn count(&mut self, kind: ReceiptKind) {
        match kind {
            ReceiptKind::Unsubscribed => self.unsubscribed += 1,
            ReceiptKind::Complained => self.complained += 1,
            ReceiptKind::Bounced => self.bounced += 1,
            _ => {}
        }
    }

    /// Which guardrail is broken, with what was found; none where all hold.
    pub fn broken(&self, guardrails: &Guardrails) -> Option<String> {
        let rates = [
            ("unsubscriptions", self.unsubscribed, guardrails.unsubscribe_rate_max),
            ("complaints", self.complained, guardrails.complaint_rate_max),
            ("bounces", self.bounced, guardrails.bounce_rate_max),
        ];
        let broken = rates.into_iter().find_map(|(what, times, most)| {
            let most = most.filter(|most| at_least(times.min(self.sent), self.sent) > *most)?;
            Some(format!("{times} {what} of {} messages; the guardrail is {most}", self.sent))
        });
        broken.filter(|_| self.sent >= MESSAGES_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_breaks_a_guardrail_once_chance_hardly_explains_it() {
        let guardrails = Guardrails { unsubscribe_rate_max: Some(0.02), ..Guardrails::default() };
        let broken = |sent, unsubscribed| {
            let tripwires = Tripwires { sent, unsubscribed, ..Tripwires::default() };
            tripwires.broken(&guardrails).is_some()
        };
        assert!(!broken(10, 10), "too few messages to tell");
        assert!(!broken(50, 1) && !broken(50, 2) && broken(50, 4));
        assert!(!broken(1_000, 20) && !broken(1_000, 25) && broken(1_000, 32));
        assert!(!broken(1_000, 0));
    }
}
