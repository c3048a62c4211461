//! Who uses what an operator would take away.

use impresario_agents::{
    content::split_level,
    goals::{GoalState, Goals},
    journeys::{Definitions, Entry, Journey, Journeys},
    segmentation::Condition,
    vocabulary::Arm,
};
use impresario_runtime::AgentError;

use crate::{app::App, problem::Problem};

/// Goals looked at.
const GOALS_MAX: usize = 10_000;
/// Users that are named; of more it is said how many.
const NAMED_MAX: usize = 5;

/// What is to be taken away.
#[derive(Clone)]
pub(super) enum Thing {
    /// A template with its variants.
    Template(String),
    /// An offer.
    Offer(String),
    /// A journey.
    Journey(String),
    /// A segment.
    Segment(String),
}

impl Thing {
    fn is_of_level(&self, level: &str) -> bool {
        matches!(self, Self::Template(id) if split_level(level).0 == id)
    }

    fn is_offer(&self, offer: &str) -> bool {
        matches!(self, Self::Offer(id) if id == offer)
    }

    fn is_journey(&self, journey: Option<&str>) -> bool {
        matches!(self, Self::Journey(id) if journey == Some(id.as_str()))
    }

    fn is_segment(&self, segment: &str) -> bool {
        matches!(self, Self::Segment(id) if segment == id)
    }

    fn is_in_condition(&self, condition: &Condition) -> bool {
        match condition {
            Condition::All(all) | Condition::Any(all) => all.iter().any(|condition| self.is_in_condition(condition)),
            Condition::Not(condition) => self.is_in_condition(condition),
            Condition::Segment(segment) => self.is_segment(segment),
            _ => false,
        }
    }

    fn is_in_arm(&self, arm: &Arm) -> bool {
        self.is_of_level(&arm.template) || arm.offer.as_deref().is_some_and(|offer| self.is_offer(offer))
    }

    /// Whether a goal that acts, or waits to, names it.
    fn is_of_goal(&self, state: &GoalState) -> bool {
        let Some(goal) = &state.goal else { return false };
        let plans = state.running.as_ref().map(|running| &running.plan);
        let proposed = state.open_proposal().map(|open| &open.proposed.plan);
        let over = plans.is_none() && proposed.is_none() && state.campaign_ended.is_some() && state.is_filled();
        let named = goal.templates.iter().any(|level| self.is_of_level(level))
            || goal.offers.iter().any(|offer| self.is_offer(offer))
            || self.is_journey(goal.journey.as_deref())
            || goal.acts() && goal.audience.as_ref().is_some_and(|audience| self.is_in_condition(audience));
        named && !over
            || plans
                .into_iter()
                .chain(proposed)
                .any(|plan| plan.arms.iter().any(|arm| self.is_in_arm(arm)) || self.is_journey(plan.journey.as_deref()))
    }

    fn is_in_journey(&self, journey: &Journey) -> bool {
        let enters = matches!(&journey.entry, Some(Entry::Segment(segment)) if self.is_segment(segment));
        enters
            || journey.steps.iter().any(|step| {
                let mut sends = step.send.iter();
                let mut answers = step.wait.iter().flat_map(|wait| &wait.on).filter_map(|on| on.segment.as_deref());
                let mut cases = step.branch.iter().flat_map(|branch| &branch.cases);
                sends.any(|send| {
                    self.is_of_level(&send.template) || send.offer.as_deref().is_some_and(|it| self.is_offer(it))
                }) || answers.any(|segment| self.is_segment(segment))
                    || cases.any(|case| case.condition.as_ref().is_some_and(|it| self.is_in_condition(it)))
            })
    }
}

/// Refuses where a goal that acts, a proposal that waits or a journey that stands uses it, and names them.
pub(super) async fn is_unused(app: &App, what: Thing) -> Result<(), Problem> {
    let wanted = what.clone();
    let read = app.host.read_worker::<Goals, _>(0, move |reading| {
        let mut users = Vec::new();
        for id in reading.keys_from(&[], GOALS_MAX)? {
            if reading.get(&id)?.is_some_and(|state| wanted.is_of_goal(state)) {
                users.push(format!("goal `{id}`"));
            }
        }
        Ok::<_, AgentError>(users)
    });
    let mut users = read.await??;
    let read = app.host.read_worker::<Journeys, _>(0, move |reading| {
        let all = reading.shared::<Definitions>().into_iter().flat_map(Definitions::standing);
        let users = all.filter(|(_, version)| what.is_in_journey(&version.journey));
        users.map(|(id, _)| format!("journey `{id}`")).collect::<Vec<_>>()
    });
    users.extend(read.await?);
    if users.is_empty() {
        return Ok(());
    }
    let more = users.len().saturating_sub(NAMED_MAX);
    users.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Err(Problem::conflict(format!("it is used by {}{more}; change or remove them first", users.join(", "))))
}
