//! What is to be known of a target before anybody counts on it. Pure.

use super::{Goal, Target};

/// What is to be known of a goal's target: a relative one can't be measured against a baseline that is not above 0,
/// and is not known to be measurable before there is one. None where there is nothing to say.
pub fn target_note(goal: &Goal, baseline: Option<f64>) -> Option<&'static str> {
    match (goal.target?, baseline) {
        (Target::Relative(_), None) => Some(
            "the target is relative: its baseline is measured and frozen when the plan starts, and where that is 0 the \
             target can't be reached; an absolute target can",
        ),
        (Target::Relative(_), Some(baseline)) if baseline <= 0.0 => Some(
            "the baseline is 0: no relative target can be measured against it, and this one is never reached; set an \
             absolute target, or set the goal anew once there is something to measure against",
        ),
        _ => None,
    }
}
