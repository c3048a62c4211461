//! Milestones: says once when a customer has made their 3rd, 10th and 25th order.

use impresario_agents::vocabulary::{Feature, ProfileChanged, ProfileId, ProfileMerged};
use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, Topic};
use serde::{Deserialize, Serialize};

const MILESTONES: [i64; 3] = [3, 10, 25];

/// A customer has made that many orders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MilestoneReached {
    pub profile: ProfileId,
    pub orders: i64,
}

impl Topic for MilestoneReached {
    const NAME: &'static str = "milestone.reached";
}

pub struct Milestones;

/// What is kept for one customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The last milestone that was said.
    pub reached: i64,
}

impl Agent for Milestones {
    const NAME: &'static str = "milestones";
    type Key = ProfileId;
    type State = Standing;

    fn routes(routes: &mut Routes<Self>) {
        routes.on::<ProfileChanged>(|changed| changed.profile);
        routes.merges(|merged: &ProfileMerged| (merged.loser, merged.winner));
    }

    /// Two profiles turned out to be one customer: what was said to either was said.
    fn merge(&self, winner: &mut Standing, loser: Standing, _: &mut Step<'_>) -> Result<(), AgentError> {
        winner.reached = winner.reached.max(loser.reached);
        Ok(())
    }
}

impl On<ProfileChanged> for Milestones {
    fn on(
        &self,
        standing: &mut Standing,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let orders = event.features.iter().find(|(feature, _)| *feature == Feature::ORDERS);
        let Some((_, orders)) = orders else { return Ok(()) };
        let reached = MILESTONES.into_iter().rfind(|milestone| milestone <= orders);
        if let Some(reached) = reached.filter(|reached| *reached > standing.reached) {
            standing.reached = reached;
            step.publish(MilestoneReached { profile: event.profile, orders: reached });
        }
        Ok(())
    }
}

#[test]
fn the_third_order_is_a_milestone_and_is_said_once() {
    use impresario_runtime::test_kit::given;

    let anna = ProfileId(7);
    let ordered = |orders| ProfileChanged {
        profile: anna,
        event: 1,
        features: vec![(Feature::ORDERS, orders)],
        traits: Default::default(),
        rhythm: None,
    };
    let reached = MilestoneReached { profile: anna, orders: 3 };
    let fourth = given(Milestones, anna, Standing::default())
        .when(&ordered(2))
        .then(|second| assert!(second.said::<MilestoneReached>().is_empty()))
        .when(&ordered(3))
        .then(|third| assert_eq!(third.said::<MilestoneReached>(), [reached]))
        .when(&ordered(4));
    assert!(fourth.said::<MilestoneReached>().is_empty());
}
