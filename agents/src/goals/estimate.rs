//! What a plan lets happen, what may be expected of it, and what it changes. Pure.

use super::{
    Goal, Target, target_note,
    topics::{BlastRadius, Difference, Expected},
};
use crate::{
    campaigns::{Plan, PlanTrigger},
    segmentation::Span,
    vocabulary::DAY_MS,
};

/// What an approval of a plan lets happen, at most.
pub fn blast_radius(plan: &Plan) -> BlastRadius {
    BlastRadius {
        people: plan.blast_radius,
        messages: plan.budget.messages,
        cost_micros: plan.budget.cost_micros,
        discount_micros: plan.budget.discount_micros,
    }
}

/// What may be expected of a plan. It claims no effect that was not measured: it says how many messages there
/// will be, what they cost, and how small a difference could be seen.
pub fn expected(goal: &Goal, plan: &Plan, audience: u64, baseline: Option<f64>) -> Expected {
    let held = (audience as f64 * plan.holdout_share).round() as u64;
    let people = audience.saturating_sub(held).min(plan.blast_radius);
    let horizon_ms = goal.within.map_or(30 * DAY_MS, Span::ms);
    let decisions = match plan.trigger {
        PlanTrigger::Audience { every_ms } => (horizon_ms / every_ms.max(1) + 1).unsigned_abs(),
        PlanTrigger::Situation { .. } => 1,
    };
    let messages = people.saturating_mul(decisions).min(plan.budget.messages.unwrap_or(u64::MAX));
    let dearest = plan.costs_micros.iter().map(|(_, cost)| *cost).max().unwrap_or(0);
    let cost = dearest.saturating_mul(i64::try_from(messages).unwrap_or(i64::MAX));
    let detectable = (people > 0 && held > 0).then(|| {
        // (z_0.975 + z_0.8) * sqrt(p (1 - p) (1/n + 1/m)) with p = 1/2, e.g. Fleiss, Statistical Methods for
        // Rates and Proportions, section 4.
        2.801_585 * libm::sqrt(0.25 * (1.0 / people as f64 + 1.0 / held as f64))
    });
    let rests_on = format!(
        "{audience} people in the audience now, {held} of them expected in the holdout, {decisions} decision(s) a \
         person at most; no effect is assumed: {}",
        match detectable {
            Some(_) => "the least difference from the holdout that could be told from chance is given",
            None => "with nobody on one side no difference could be told from chance",
        }
    );
    let note = target_note(goal, baseline).map(|note| format!("; {note}")).unwrap_or_default();
    Expected {
        people,
        messages,
        cost_micros: cost.min(plan.budget.cost_micros.unwrap_or(i64::MAX)),
        detectable: detectable.filter(|least| *least <= 1.0),
        baseline,
        rests_on: format!("{rests_on}{note}").into(),
    }
}

/// What a plan would change of what runs.
pub fn difference(running: Option<&Plan>, proposed: &Plan) -> Vec<Difference> {
    let fields = |plan: &Plan| match serde_json::to_value(plan) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let old = running.map(fields).unwrap_or_default();
    let new = fields(proposed);
    let mut names: Vec<_> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let at =
        |fields: &serde_json::Map<String, serde_json::Value>, name: &str| fields.get(name).cloned().unwrap_or_default();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| Difference { field: name.as_str().into(), from: at(&old, name), to: at(&new, name) }).collect()
}

/// The value of the metric at which a goal is reached; none where it has no target, or a relative one and a baseline
/// that is not above 0.
pub fn target_value(goal: &Goal, baseline: f64) -> Option<f64> {
    let sign = match goal.direction() {
        super::Direction::Increase => 1.0,
        super::Direction::Decrease => -1.0,
    };
    match goal.target? {
        Target::Absolute(value) => Some(value),
        Target::Relative(_) if baseline <= 0.0 => None,
        Target::Relative(by) => Some(baseline + sign * by * baseline),
    }
}
