//! The goals agent: what an operator wants becomes segments that serve it.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, Topic};
use serde::{Deserialize, Serialize};

use crate::{
    segmentation::{
        Comparison, Condition, DefinitionError, ScoreCondition, ScoreModel, SegmentDefined, SegmentRemoved, check_id,
    },
    vocabulary::Millis,
};

/// What a goal is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Who is slipping away: customers whose time since their last order is long for their own rhythm.
    ChurnRisk,
}

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// Its name for people, 1 to 200 characters.
    pub name: Box<str>,
    /// What it is measured by.
    pub metric: Metric,
    /// From which risk on a customer counts as slipping away, above 0 and below 1; 0.9 unless said: nine
    /// in ten of such a customer's gaps between orders would be over by now.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// Whom it is about; everybody unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Condition>,
}

/// The threshold of a goal that names none.
pub fn threshold() -> f64 {
    0.9
}

impl Goal {
    /// The condition of the segment that serves it.
    pub fn condition(&self) -> Condition {
        let Metric::ChurnRisk = self.metric;
        let score =
            ScoreCondition { model: ScoreModel::ChurnRisk, op: Comparison::GreaterOrEqual, value: self.threshold };
        match &self.audience {
            Some(audience) => Condition::All(vec![Condition::Score(score), audience.clone()]),
            None => Condition::Score(score),
        }
    }

    /// The definition of the segment that serves the goal of this id: it has the goal's id and name.
    pub fn segment(&self, id: &str) -> SegmentDefined {
        SegmentDefined { id: id.into(), name: self.name.clone(), condition: self.condition(), goal: Some(id.into()) }
    }
}

/// A goal is set, or set anew under the same id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalSet {
    /// Its id, of the shape of a segment's; the segment that serves it has the same.
    pub id: Box<str>,
    /// What is wanted.
    pub goal: Goal,
}

impl Topic for GoalSet {
    const NAME: &'static str = "goal.set";
}

/// A goal is given up, its segment with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoalEnded {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for GoalEnded {
    const NAME: &'static str = "goal.ended";
}

/// The agent.
pub struct Goals;

/// One goal as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GoalState {
    /// What is wanted; `None` once it has ended.
    pub goal: Option<Goal>,
    /// When it was set, milliseconds since 1970 UTC.
    pub set_at_ms: Millis,
    /// When it ended.
    pub ended_at_ms: Option<Millis>,
}

/// Checks a goal's id; the rest is checked with the segment it makes.
///
/// # Errors
/// What is wrong.
pub fn check_goal_id(id: &str) -> Result<(), DefinitionError> {
    check_id(id)
}

impl Agent for Goals {
    const NAME: &'static str = "goals";
    type Key = String;
    type State = GoalState;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|set: &GoalSet| set.id.to_string());
        routes.on(|ended: &GoalEnded| ended.id.to_string());
    }
}

impl On<GoalSet> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalSet>, step: &mut Step<'_>) -> Result<(), AgentError> {
        step.publish(event.goal.segment(&event.id));
        *state = GoalState { goal: Some(event.goal.clone()), set_at_ms: event.at_ms, ended_at_ms: None };
        Ok(())
    }
}

impl On<GoalEnded> for Goals {
    fn on(&self, state: &mut GoalState, event: &Event<'_, GoalEnded>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if state.goal.take().is_none() {
            return Err(AgentError::Reject(format!("there is no goal `{}`", event.id)));
        }
        state.ended_at_ms = Some(event.at_ms);
        step.publish(SegmentRemoved { id: event.id.clone() });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use impresario_runtime::test_kit::given;

    use super::*;

    #[test]
    fn a_goal_makes_a_segment_and_takes_it_away() {
        let goal = Goal { name: "Slipping".into(), metric: Metric::ChurnRisk, threshold: 0.8, audience: None };
        let set = GoalSet { id: "slipping".into(), goal };
        let given = given(Goals, "slipping".to_owned(), GoalState::default()).when(&set).then(|then| {
            let made = then.said::<SegmentDefined>();
            assert_eq!(made, [set.goal.segment("slipping")]);
        });
        let _ = given.when(&GoalEnded { id: "slipping".into() }).then(|then| {
            assert_eq!(then.said::<SegmentRemoved>(), [SegmentRemoved { id: "slipping".into() }]);
        });
    }
}
