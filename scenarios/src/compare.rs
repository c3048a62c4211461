//! The same world under other policies, and under none: whether the one that learns makes more orders.

use std::path::Path;

use crate::{
    Check, Metrics, Outcome, RunOptions, Scenario, ScenarioError,
    model::{Compare, Variant},
    run,
};

/// Plays every variant by every seed, and compares all orders of each with those of the policy.
pub(crate) fn compared(
    file: &Path,
    scenario: &Scenario,
    plain: &RunOptions,
    first: &Outcome,
) -> Result<Check, ScenarioError> {
    let mut check = Check { what: "compared with other policies".into(), runs: 0, differences: Vec::new() };
    let Some(Compare { seeds, twin, uniform, best_arm, ab }) = &scenario.compare else { return Ok(check) };
    let unreadable = |error| ScenarioError::File { path: file.to_path_buf(), error };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let mut play = |variant: &Variant| -> Result<Metrics, ScenarioError> {
        let mut all = Metrics::default();
        for seed in seeds {
            let world = Scenario::parse_variant(&text, *seed, variant);
            let world = world.map_err(|error| ScenarioError::Format { path: file.to_path_buf(), error })?;
            let outcome = run(&world, plain)?;
            check.runs += 1;
            all.orders += outcome.metrics.orders;
            all.messages += outcome.metrics.messages;
        }
        Ok(all)
    };
    let policy = play(&Variant::Policy)?;
    let wanted = [
        twin.map(|by| (Variant::Twin, by)),
        uniform.map(|by| (Variant::Uniform, by)),
        best_arm.map(|by| (Variant::BestArm(first.best_arm.unwrap_or(1)), by)),
        ab.map(|(rewards, by)| (Variant::Ab(rewards), by)),
    ];
    let mut differences = Vec::new();
    for (variant, by) in wanted.into_iter().flatten() {
        let other = play(&variant)?;
        let least = other.orders as f64 * (1.0 + by);
        if (policy.orders as f64) < least {
            let (orders, messages) = (policy.orders, policy.messages);
            differences.push(format!(
                "{variant:?} makes {} orders by {} messages, the policy {orders} by {messages}, not {:.0}% more",
                other.orders,
                other.messages,
                by * 100.0
            ));
        }
    }
    check.differences = differences;
    Ok(check)
}
