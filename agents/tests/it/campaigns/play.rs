//! A shop with goals, and a gate that lets everything through.

use impresario_agents::{
    campaigns::{Autonomy, Campaigns, Decisions, Enrolment},
    goals::{Goal, GoalSet, Goals, Metric},
    rhythm::Rhythm,
    segmentation::Segmentation,
    vocabulary::{
        Channel, ChannelVerdict, DecisionMade, DecisionRequested, Group, MessageClass, MessageId, MessageSent,
        PersonDescribed, ProfileId,
    },
};
use impresario_runtime::{Agent, AgentError, Driver, Event, On, Routes, Step, Troupe, store::Seq};
use serde::{Deserialize, Serialize};

use crate::support::{driver, journal, people, send, track};

/// Lets everything through at once. People whose id ends in 0 are left alone, in 1 are chance's.
pub(super) struct OpenGate;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Nothing;

pub(super) fn group_of(profile: ProfileId) -> Group {
    match profile.0 % 10 {
        0 => Group::Holdout,
        1 => Group::Random,
        _ => Group::Policy,
    }
}

impl Agent for OpenGate {
    const NAME: &'static str = "open-gate";
    type Key = ProfileId;
    type State = Nothing;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|described: &PersonDescribed| described.profile);
        routes.on(|made: &DecisionMade| made.profile);
    }
}

impl On<PersonDescribed> for OpenGate {
    fn on(&self, _: &mut Nothing, event: &Event<'_, PersonDescribed>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let now_ms = step.now_ms();
        let free = |channel| ChannelVerdict { channel, from_ms: now_ms, hours: 0x00ff_ffff, refused: None };
        step.publish(DecisionRequested {
            id: event.due.id,
            campaign: event.due.campaign.clone(),
            profile: event.profile,
            group: group_of(event.profile),
            features: event.features.clone(),
            channels: Channel::ALL.into_iter().map(free).collect(),
            zone: "Europe/Warsaw".into(),
            context: event.due.context.clone(),
            reached_before: event.due.reached_before,
            ids: 1,
        });
        Ok(())
    }
}

impl On<DecisionMade> for OpenGate {
    fn on(&self, _: &mut Nothing, event: &Event<'_, DecisionMade>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if let Some(arm) = &event.arm {
            step.publish(sent(event.body, arm.channel, 1));
        }
        Ok(())
    }
}

/// The message of a decision.
pub(super) fn sent(made: &DecisionMade, channel: Channel, version: Seq) -> MessageSent {
    MessageSent {
        id: MessageId::of_decision(made.id),
        profile: made.profile,
        class: MessageClass::Marketing,
        campaign: Some(made.campaign.clone()),
        decision: Some(made.id),
        arm: made.arm.as_ref().map(|_| (made.group, made.chosen)),
        channel,
        template: ("hello".into(), version),
        offer: made.arm.as_ref().and_then(|arm| arm.offer.clone()),
        guards: Vec::new(),
        because: "".into(),
        reached_before: false,
    }
}

/// All agents but the gate, which is the toy.
pub(super) fn shop(workers: usize) -> Driver {
    driver(&journal(), casting(workers).agent_with_workers(OpenGate, workers))
}

pub(super) fn casting(workers: usize) -> Troupe {
    people(Troupe::new(), workers)
        .agent_with_workers(Segmentation, workers)
        .agent(Rhythm)
        .agent(Goals)
        .agent_with_workers(Enrolment, workers)
        .agent(Campaigns)
        .agent(Decisions)
}

/// A goal that may act by itself.
pub(super) fn goal(id: &str) -> GoalSet {
    let mut goal = Goal::new("More orders", Metric::Orders);
    goal.autonomy = Autonomy::Autonomous;
    goal.channels = vec![Channel::Email, Channel::Sms];
    goal.templates = vec!["hello".into(), "again".into()];
    goal.blast_radius = Some(1_000);
    goal.budget.messages = Some(1_000);
    GoalSet { id: id.into(), goal }
}

/// People who look at the shop once.
pub(super) fn visit(driver: &mut Driver, who: std::ops::Range<usize>) {
    let now_ms = driver.now_ms();
    let events = who.map(|place| {
        let user = format!("user-{place}");
        track("Looked", &user, &format!("look-{place}-{now_ms}"), now_ms, &serde_json::json!({}))
    });
    send(driver, events.collect::<Vec<_>>());
}
