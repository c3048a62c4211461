//! How many people are in each journey, at which step, and how it has ended: counted from what is said.

use std::collections::BTreeMap;

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    JourneyAdmitted, JourneyEnded, JourneyEntering, JourneyMoved, JourneyTurnedAway, Outcome, Stuck, check::limits,
};

/// The agent.
pub struct JourneyCounts;

/// What is counted of one version of a journey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCount {
    /// How often somebody has begun it.
    pub entered: u64,
    /// How many people are in it.
    pub running: u64,
    /// How many people are at each step.
    pub at: BTreeMap<Box<str>, u64>,
    /// How often somebody has come to each step.
    pub reached: BTreeMap<Box<str>, u64>,
    /// How often it has ended, by outcome.
    pub outcomes: BTreeMap<Box<str>, u64>,
    /// How often it could not go on, by reason.
    pub stuck: BTreeMap<Stuck, u64>,
}

/// What is counted of one journey.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyCount {
    /// How many people are in it, or about to be.
    pub running: u64,
    /// How many were turned away, since there was no room.
    pub turned_away: u64,
    /// By version, the place of the entry that defined it.
    pub versions: BTreeMap<Seq, VersionCount>,
}

impl JourneyCount {
    fn version(&mut self, version: Seq) -> &mut VersionCount {
        // One that nobody is in any more makes room for a new one.
        while self.versions.len() >= limits::VERSIONS_MAX && !self.versions.contains_key(&version) {
            let idle = self.versions.iter().find(|(_, count)| count.running == 0).map(|(idle, _)| *idle);
            let Some(gone) = idle.or_else(|| self.versions.keys().next().copied()) else { break };
            self.versions.remove(&gone);
        }
        self.versions.entry(version).or_default()
    }
}

impl Agent for JourneyCounts {
    const NAME: &'static str = "journey-counts";
    type Key = String;
    type State = JourneyCount;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|entering: &JourneyEntering| entering.journey.to_string());
        routes.on(|moved: &JourneyMoved| moved.journey.to_string());
        routes.on(|ended: &JourneyEnded| ended.journey.to_string());
    }
}

impl On<JourneyEntering> for JourneyCounts {
    fn on(
        &self,
        count: &mut JourneyCount,
        event: &Event<'_, JourneyEntering>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let (run, profile) = (event.run, event.profile);
        if count.running >= event.people_max {
            count.turned_away += 1;
            step.publish(JourneyTurnedAway { run, profile, because: "people_max".into() });
            return Ok(());
        }
        count.running += 1;
        let version = count.version(event.version);
        version.entered += 1;
        version.running += 1;
        step.publish(JourneyAdmitted { run, profile });
        Ok(())
    }
}

impl On<JourneyMoved> for JourneyCounts {
    fn on(
        &self,
        count: &mut JourneyCount,
        event: &Event<'_, JourneyMoved>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let version = count.version(event.version);
        if let Some(from) = event.from.as_ref().and_then(|from| version.at.get_mut(from)) {
            *from = from.saturating_sub(1);
        }
        *version.at.entry(event.to.clone()).or_default() += 1;
        *version.reached.entry(event.to.clone()).or_default() += 1;
        Ok(())
    }
}

impl On<JourneyEnded> for JourneyCounts {
    fn on(
        &self,
        count: &mut JourneyCount,
        event: &Event<'_, JourneyEnded>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        count.running = count.running.saturating_sub(1);
        let version = count.version(event.version);
        version.running = version.running.saturating_sub(1);
        if let Some(at) = event.step.as_ref().and_then(|step| version.at.get_mut(step)) {
            *at = at.saturating_sub(1);
        }
        *version.outcomes.entry(event.outcome.name().into()).or_default() += 1;
        if let Outcome::Stuck(why) = event.outcome {
            *version.stuck.entry(why).or_default() += 1;
        }
        Ok(())
    }
}
