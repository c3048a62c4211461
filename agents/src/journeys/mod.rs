//! Journeys: what is done with one person over days, waiting for what they do.
//!
//! A journey is data ([`Journey`]), versioned: who is in it finishes the version they began. A step is left
//! once, for good: what comes late, or twice, finds the run at another step and changes nothing. Messages are
//! asked for, and the gate decides; a run that stops takes back what it has asked for.

mod check;
mod counts;
mod definition;
mod definitions;
mod delay;
mod messages;
mod run;
mod state;
mod topics;

use impresario_runtime::{Agent, AgentError, Event, Keys, On, OnMany, OnShared, Routes, Step, store::Seq};

pub use check::{check_journey, limits};
pub use counts::{JourneyCount, JourneyCounts, VersionCount};
pub use definition::{
    Answer, BranchStep, Case, ChannelChoice, DecideStep, DelayStep, EndStep, Entry, Journey, Reentry, SendStep,
    StepDefined, WaitStep,
};
pub use definitions::{Definitions, Version, Versions};
pub use state::{Answers, Ended, Journeying, Run, Standing};
pub use topics::{
    JourneyAdmitted, JourneyAsked, JourneyDefined, JourneyEnded, JourneyEntering, JourneyMoved, JourneyRemoved,
    JourneyStopped, JourneyTurnedAway, Outcome, Stuck,
};

use self::{
    run::{Beginning, Walk},
    topics::RunDue,
};
use crate::{
    segmentation::{ConditionsAnswered, SegmentEntered, is_selected},
    vocabulary::{
        DAY_MS, DecisionMade, Delivered, MessageId, MessageRefused, MessageReturned, MessageSent, Millis,
        ProfileChanged, ProfileId, ProfileMerged, ProfileParted, ReceiptCame, SituationDetected, SituationOf, Tracked,
    },
};

/// An event this old when it comes in begins no journey any more.
const ENTRY_AGE_MAX_MS: Millis = DAY_MS;

/// The agent.
pub struct Journeys;

impl Agent for Journeys {
    const NAME: &'static str = "journeys";
    type Key = ProfileId;
    type State = Journeying;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|asked: &JourneyAsked| asked.profile);
        routes.on_some(|found: &SituationDetected| match found.of {
            SituationOf::Person(profile) => Some(profile),
            SituationOf::Channel(_) => None,
        });
        routes.on(|entered: &SegmentEntered| entered.profile);
        routes.on(|admitted: &JourneyAdmitted| admitted.profile);
        routes.on(|turned_away: &JourneyTurnedAway| turned_away.profile);
        routes.on(|stopped: &JourneyStopped| stopped.profile);
        routes.on(|made: &DecisionMade| made.profile);
        routes.on(|sent: &MessageSent| sent.profile);
        routes.on(|refused: &MessageRefused| refused.profile);
        routes.on(|receipt: &ReceiptCame| receipt.profile);
        routes.on(|returned: &MessageReturned| returned.profile);
        routes.on_some(|delivered: &Delivered| delivered.held.is_none().then_some(delivered.profile));
        routes.on(|answered: &ConditionsAnswered| answered.profile);
        routes.on(|due: &RunDue| due.profile);
        routes.on_many::<ProfileChanged>();
        routes.on_many::<ProfileMerged>();
        routes.on_many::<ProfileParted>();
        routes.on_shared::<JourneyDefined>();
        routes.on_shared::<JourneyRemoved>();
    }

    fn merge_into(
        &self,
        profile: &ProfileId,
        winner: &mut Journeying,
        mut loser: Journeying,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        winner.merge_past(&mut loser);
        let definitions = step.shared::<Definitions>()?;
        let mut walk = Walk { profile: *profile, own: winner, definitions, step };
        for mut run in std::mem::take(&mut loser.runs) {
            // Nobody is in a journey twice: the one that began first goes on.
            let twin = walk.own.runs.iter().position(|own| own.journey == run.journey);
            let twin = twin.map(|place| walk.own.runs.remove(place));
            // Timers went to whoever is no more.
            if let Some(until_ms) = run.until_ms.take() {
                run.timer = None;
                walk.arm(&mut run, until_ms);
            }
            let Some(twin) = twin else {
                walk.own.runs.push(run);
                continue;
            };
            let run_is_first = (run.began_ms, run.id) < (twin.began_ms, twin.id);
            let (stays, goes) = if run_is_first { (run, twin) } else { (twin, run) };
            walk.own.runs.push(stays);
            walk.end(goes, Outcome::Stopped("merged".into()));
        }
        walk.own.runs.sort_by_key(|run| (run.began_ms, run.id));
        Ok(())
    }

    fn forget(&self, profile: &ProfileId, own: &mut Journeying, step: &mut Step<'_>) -> Result<(), AgentError> {
        stop_all(*profile, own, step, "erased")
    }
}

/// Stops all of a person's journeys.
fn stop_all(profile: ProfileId, own: &mut Journeying, step: &mut Step<'_>, why: &str) -> Result<(), AgentError> {
    let definitions = step.shared::<Definitions>()?;
    let mut walk = Walk { profile, own, definitions, step };
    while let Some(run) = walk.take(|_| true) {
        walk.end(run, Outcome::Stopped(why.into()));
    }
    Ok(())
}

/// Handles an entry of one person: `handle` does it; a state with nothing in it is not kept.
fn walk(
    profile: ProfileId,
    own: &mut Journeying,
    step: &mut Step<'_>,
    handle: impl FnOnce(&mut Walk<'_, '_>),
) -> Result<(), AgentError> {
    let definitions = step.shared::<Definitions>()?;
    handle(&mut Walk { profile, own, definitions, step });
    if own.is_empty() {
        step.unchanged();
    }
    Ok(())
}

impl On<JourneyAsked> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, JourneyAsked>, step: &mut Step<'_>) -> Result<(), AgentError> {
        let JourneyAsked { journey, profile, campaign, context, because } = event.body.clone();
        walk(profile, own, step, |walk| {
            let begun_by = walk.step.seq();
            walk.begin(Beginning { journey: &journey, campaign, context, because, begun_by });
        })
    }
}

impl On<SituationDetected> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, SituationDetected>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let SituationOf::Person(profile) = event.of else { return Ok(()) };
        walk(profile, own, step, |walk| {
            let definitions = walk.definitions;
            let is_it = |entry: &Entry| matches!(entry, Entry::Situation(kind) if *kind == event.kind);
            let begun_by = walk.step.seq();
            for journey in definitions.begun_by(is_it) {
                let (context, because) = (event.context.clone(), event.kind.clone());
                walk.begin(Beginning { journey, campaign: None, context, because, begun_by });
            }
        })
    }
}

impl On<SegmentEntered> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, SegmentEntered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            let definitions = walk.definitions;
            walk.done(&|_, answer| {
                let is_it = answer.segment.as_ref() == Some(&event.segment);
                is_it.then(|| format!("segment:{}", event.segment).into())
            });
            let begun_by = walk.step.seq();
            for journey in definitions.begun_by(|entry| matches!(entry, Entry::Segment(id) if *id == event.segment)) {
                let (context, because) = (serde_json::Value::Null, "segment_entered".into());
                walk.begin(Beginning { journey, campaign: None, context, because, begun_by });
            }
        })
    }
}

impl On<JourneyAdmitted> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, JourneyAdmitted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(run) = walk.take(|run| run.id == event.run && run.standing == Standing::Entering) {
                walk.go(run, 0, None);
            }
        })
    }
}

impl On<JourneyTurnedAway> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, JourneyTurnedAway>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(run) = walk.take(|run| run.id == event.run && run.standing == Standing::Entering) {
                walk.turned_away(run);
            }
        })
    }
}

impl On<JourneyStopped> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, JourneyStopped>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(run) = walk.take(|run| run.journey == event.journey) {
                walk.end(run, Outcome::Stopped(event.by.clone()));
            }
        })
    }
}

impl On<DecisionMade> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, DecisionMade>, step: &mut Step<'_>) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            let asks = |run: &Run| matches!(&run.standing, Standing::Deciding(campaign) if *campaign == event.campaign);
            let Some(run) = walk.take(asks) else { return };
            match &event.arm {
                Some(_) => walk.await_decided(run, MessageId::of_decision(event.id), event.at_ms),
                None => walk.nothing(run, "nothing"),
            }
        })
    }
}

impl On<ConditionsAnswered> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, ConditionsAnswered>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            let asks = |run: &Run| run.standing == Standing::Asking && run.id ^ u64::from(run.visit) == event.question;
            if let Some(run) = walk.take(asks) {
                walk.answered(run, &event.holds);
            }
        })
    }
}

impl On<RunDue> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, RunDue>, step: &mut Step<'_>) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(run) = walk.take(|run| run.id == event.run && run.visit == event.visit) {
                walk.due(run);
            }
        })
    }
}

impl OnMany<ProfileChanged> for Journeys {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileChanged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let definitions = step.shared::<Definitions>()?;
        if event.event == 0 || !definitions.looks_at_events() {
            return Ok(());
        }
        let Some(tracked) = step.entry_if_kept::<Tracked>(event.event)? else { return Ok(()) };
        let tracked = tracked.body()?;
        if !definitions.looks_at(tracked) {
            return Ok(());
        }
        let profile = event.profile;
        let late = step.now_ms().saturating_sub(tracked.at_ms) > ENTRY_AGE_MAX_MS;
        let begins = !late && definitions.begun_by_event(tracked).next().is_some();
        let is_in = keys.get(&profile)?.is_some_and(|own| !own.runs.is_empty());
        if begins || is_in {
            keys.change(&profile, |own| {
                let begun_by = if begins { event.event } else { 0 };
                happened(&mut Walk { profile, own, definitions, step }, tracked, begun_by);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The person has done something; `begun_by` is its place where it may begin journeys, else 0.
fn happened(walk: &mut Walk<'_, '_>, tracked: &Tracked, begun_by: Seq) {
    let definitions = walk.definitions;
    let converts = |run: &Run| {
        let journey = definitions.version(&run.journey, run.version);
        let conversion = journey.and_then(|journey| journey.conversion.as_ref());
        tracked.at_ms >= run.began_ms && conversion.is_some_and(|selector| is_selected(selector, tracked))
    };
    while let Some(run) = walk.take(converts) {
        walk.end(run, Outcome::Converted);
    }
    walk.done(&|run, answer| {
        let selector = answer.event.as_ref()?;
        // What happened before the wait began is no answer, whenever it comes in.
        let is_it = tracked.at_ms >= run.since_ms && is_selected(selector, tracked);
        is_it.then(|| tracked.name.as_str().into())
    });
    if begun_by != 0 {
        for journey in definitions.begun_by_event(tracked) {
            let (context, because) = (serde_json::Value::Object(tracked.properties.parse()), "event".into());
            walk.begin(Beginning { journey, campaign: None, context, because, begun_by });
        }
    }
}

impl OnMany<ProfileMerged> for Journeys {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileMerged>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let ProfileMerged { loser, winner, decided } = *event.body;
        if keys.get(&loser)?.is_none_or(|own| own.decided <= decided) {
            keys.hand_over(&loser, &winner, step)?;
        }
        Ok(())
    }
}

impl OnMany<ProfileParted> for Journeys {
    fn on_many(
        &self,
        keys: &mut Keys<'_, Self>,
        event: &Event<'_, ProfileParted>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let profile = event.profile;
        if let Some(heir) = event.heir {
            if let Some(mut old) = keys.point_anew(&profile, &heir)? {
                stop_all(profile, &mut old, step, "merged")?;
            }
        } else if let Some(old) = keys.begin_anew(&profile)? {
            // What they are in stays theirs: it is not their events that it is made of.
            keys.change(&profile, |own| {
                *own = Journeying { decided: event.decided, ..old };
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl OnShared<JourneyDefined> for Journeys {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, JourneyDefined>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        definitions.define(event.body, event.seq, event.at_ms).map_err(AgentError::Reject)
    }
}

impl OnShared<JourneyRemoved> for Journeys {
    type Shared = Definitions;

    fn on_shared(
        &self,
        definitions: &mut Definitions,
        event: &Event<'_, JourneyRemoved>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if definitions.remove(&event.id) {
            return Ok(());
        }
        Err(AgentError::Reject(format!("there is no journey `{}`", event.id)))
    }
}
