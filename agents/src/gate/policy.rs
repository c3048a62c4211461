//! What the shop allows itself: quiet hours, frequency caps, the holdout of everything, how consent is proved.

use std::collections::BTreeMap;

use impresario_runtime::Topic;
use serde::{Deserialize, Serialize};

use super::quiet;
use crate::vocabulary::{Channel, DAY_MS, Millis};

/// Most caps.
const CAPS_MAX: usize = 32;
/// Longest window of a cap.
pub(super) const WINDOW_MAX_MS: Millis = 90 * DAY_MS;
/// Most messages a cap may allow: as many as are remembered of a person.
pub(super) const AT_MOST_MAX: u32 = 400;

/// Hours of the person's own clock in which nothing that persuades is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// From when on, `HH:MM`.
    pub from: Box<str>,
    /// Until when, `HH:MM`; before `from`, it is of the next day.
    pub to: Box<str>,
}

/// So many messages that persuade within a window that moves with time; counted at sending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// By which channel; by all together unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// Of which topic of consent; of all together unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// The window, milliseconds.
    pub within_ms: Millis,
    /// How many, at most.
    pub at_most: u32,
}

/// What the gate goes by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatePolicy {
    /// The zone (IANA) of whoever has told none.
    pub zone: Box<str>,
    /// By channel; none for no quiet hours there.
    pub quiet_hours: BTreeMap<Channel, QuietHours>,
    /// All of them hold.
    pub caps: Vec<Cap>,
    /// The share of ids to which nothing that persuades is ever sent, 0 to 1.
    pub holdout_share: f64,
    /// Channels whose grant counts only once it is confirmed.
    pub double_opt_in: Vec<Channel>,
    /// Channels that need a grant; by the others, whoever has not refused may be written to.
    pub grant_required: Vec<Channel>,
}

impl Default for GatePolicy {
    fn default() -> Self {
        let night = || QuietHours { from: "21:00".into(), to: "08:00".into() };
        let cap = |channel, days: i64, at_most| Cap { channel, topic: None, within_ms: days * DAY_MS, at_most };
        Self {
            zone: "UTC".into(),
            quiet_hours: Channel::ALL.into_iter().map(|channel| (channel, night())).collect(),
            caps: vec![
                cap(Some(Channel::Email), 1, 2),
                cap(Some(Channel::Sms), 1, 2),
                cap(Some(Channel::Push), 1, 2),
                cap(None, 1, 3),
                cap(None, 7, 10),
            ],
            holdout_share: 0.0,
            double_opt_in: Vec::new(),
            grant_required: Channel::ALL.to_vec(),
        }
    }
}

/// The gate goes by this from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatePolicySet {
    /// By what.
    pub policy: GatePolicy,
}

impl Topic for GatePolicySet {
    const NAME: &'static str = "gate.policy.set";
}

/// What is wrong with a policy: where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct PolicyError {
    /// Which field, e.g. `caps[2].within_ms`.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

/// Whether a policy can be gone by.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_policy(policy: &GatePolicy) -> Result<(), PolicyError> {
    let wrong = |place: String, what: String| Err(PolicyError { place, what });
    if quiet::zone_of(&policy.zone).is_none() {
        return wrong("zone".into(), format!("`{}` is no time zone of the IANA database", policy.zone));
    }
    for (channel, hours) in &policy.quiet_hours {
        let place = format!("quiet_hours.{}", channel.name());
        let (Some(from), Some(to)) = (quiet::minute_of(&hours.from), quiet::minute_of(&hours.to)) else {
            return wrong(place, "`from` and `to` are times of the day, `HH:MM`".into());
        };
        if from == to {
            return wrong(place, "`from` and `to` are the same: leave the channel out for no quiet hours".into());
        }
    }
    if policy.caps.len() > CAPS_MAX {
        return wrong("caps".into(), format!("more than {CAPS_MAX}"));
    }
    for (number, cap) in policy.caps.iter().enumerate() {
        if !(1..=WINDOW_MAX_MS).contains(&cap.within_ms) {
            return wrong(format!("caps[{number}].within_ms"), format!("from 1 to {WINDOW_MAX_MS} (90 days)"));
        }
        if cap.at_most > AT_MOST_MAX {
            return wrong(format!("caps[{number}].at_most"), format!("at most {AT_MOST_MAX}"));
        }
    }
    if !(0.0..=1.0).contains(&policy.holdout_share) {
        return wrong("holdout_share".into(), "a share is from 0 to 1".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_cannot_be_gone_by_is_refused_by_name() {
        let with = |change: &dyn Fn(&mut GatePolicy)| {
            let mut policy = GatePolicy::default();
            change(&mut policy);
            check_policy(&policy).map_err(|error| error.place)
        };
        assert_eq!(with(&|_| {}), Ok(()));
        assert_eq!(with(&|policy| policy.zone = "Mars/Olympus".into()), Err("zone".into()));
        let at_night = |from: &str, to: &str| QuietHours { from: from.into(), to: to.into() };
        for (from, to) in [("25:00", "08:00"), ("9", "10:00"), ("08:00", "08:00")] {
            let set = |policy: &mut GatePolicy| drop(policy.quiet_hours.insert(Channel::Sms, at_night(from, to)));
            assert_eq!(with(&set), Err("quiet_hours.sms".into()));
        }
        let cap = |within_ms, at_most| Cap { channel: None, topic: None, within_ms, at_most };
        assert_eq!(with(&|policy| policy.caps = vec![cap(0, 1)]), Err("caps[0].within_ms".into()));
        assert_eq!(with(&|policy| policy.caps = vec![cap(1, 1), cap(1, 9_999)]), Err("caps[1].at_most".into()));
        assert_eq!(with(&|policy| policy.holdout_share = 1.5), Err("holdout_share".into()));
    }
}
