//! How a run goes on, from step to step.

use impresario_runtime::{Step, store::Seq};
use serde_json::Value;

use super::{
    Definitions, JourneyEnded, JourneyEntering, JourneyMoved, Outcome, Stuck,
    check::limits,
    definition::{Answer, ChannelChoice, Does, Journey, SendStep, StepDefined},
    delay,
    state::{Ended, Journeying, Run, Standing},
    topics::RunDue,
};
use crate::{
    campaigns::DecisionWanted,
    segmentation::{ConditionsAsked, Span},
    vocabulary::{
        Channel, DAY_MS, InsteadOf, MessageId, MessageRequested, MessageWithdrawn, Millis, ProfileId, Refusal,
    },
};

/// How long an answer of another agent is waited for.
const ANSWER_WITHIN_MS: Millis = 3_600_000;
/// How long after the last instant a message may be sent at its fate is waited for.
const FATE_WITHIN_MS: Millis = 3_600_000;
/// How long a message may be held, unless the step says.
const SEND_WITHIN_MS: Millis = 3 * DAY_MS;
/// How long a channel's answer is waited for; after that the message counts as sent.
const TAKEN_WITHIN_MS: Millis = 3_600_000;
/// How long a decision's message may be held: its campaign says when it goes.
const DECIDED_WITHIN_MS: Millis = 7 * DAY_MS;

/// What begins a run.
pub(super) struct Beginning<'a> {
    pub(super) journey: &'a str,
    pub(super) campaign: Option<Box<str>>,
    pub(super) context: Value,
    pub(super) because: Box<str>,
    /// The entry it comes of; the same entry begins a journey once.
    pub(super) begun_by: Seq,
}

/// One person's journeys, while an entry is folded.
pub(super) struct Walk<'w, 's> {
    pub(super) profile: ProfileId,
    pub(super) own: &'w mut Journeying,
    pub(super) definitions: &'w Definitions,
    pub(super) step: &'w mut Step<'s>,
}

impl Walk<'_, '_> {
    /// Begins a journey where its rules let the person.
    pub(super) fn begin(&mut self, beginning: Beginning<'_>) {
        let Beginning { journey, campaign, context, because, begun_by } = beginning;
        let Some(current) = self.definitions.current(journey) else { return };
        let now_ms = self.step.now_ms();
        if self.own.refuses(journey, current.journey.reentry, begun_by, now_ms).is_some() {
            return;
        }
        let id = run_id(self.profile, journey, begun_by);
        let fits = serde_json::to_vec(&context).is_ok_and(|json| json.len() <= limits::CONTEXT_BYTES_MAX);
        self.own.note_begun(journey, now_ms);
        let mut run = Run {
            id,
            journey: journey.into(),
            version: current.version,
            begun_by,
            began_ms: now_ms,
            campaign: current.journey.campaign.clone().or(campaign),
            context: if fits { context } else { Value::Null },
            because,
            step: 0,
            visit: 0,
            since_ms: now_ms,
            until_ms: None,
            timer: None,
            standing: Standing::Entering,
            sent: Vec::new(),
        };
        self.arm(&mut run, now_ms.saturating_add(ANSWER_WITHIN_MS));
        self.step.publish(JourneyEntering {
            run: id,
            journey: journey.into(),
            version: run.version,
            profile: self.profile,
            people_max: current.journey.people_max.unwrap_or(limits::PEOPLE_MAX),
        });
        self.own.runs.push(run);
    }

    /// Takes a run out to work on it.
    pub(super) fn take(&mut self, is_it: impl FnMut(&Run) -> bool) -> Option<Run> {
        let place = self.own.runs.iter().position(is_it)?;
        Some(self.own.runs.remove(place))
    }

    /// The run goes on from where it stands, at the step at `to`.
    pub(super) fn go(&mut self, mut run: Run, mut to: usize, from: Option<usize>) {
        let definitions = self.definitions;
        let Some(journey) = definitions.version(&run.journey, run.version) else {
            return self.stuck(run, Stuck::VersionGone);
        };
        let mut from = from;
        // What it has waited for has come: there is nothing to be withdrawn any more.
        run.standing = Standing::Delaying;
        // Steps only lead on, so this comes to an end.
        loop {
            self.disarm(&mut run);
            let Some(next) = journey.steps.get(to) else {
                run.step = to.saturating_sub(1) as u16;
                return self.end(run, Outcome::Finished("finished".into()));
            };
            let id_at = |place: usize| journey.steps.get(place).map(|step| step.id.clone());
            self.step.publish(JourneyMoved {
                run: run.id,
                journey: run.journey.clone(),
                version: run.version,
                profile: self.profile,
                from: from.and_then(id_at),
                to: next.id.clone(),
                because: run.because.clone(),
            });
            run.step = to as u16;
            run.visit += 1;
            run.since_ms = self.step.now_ms();
            match self.enter(&mut run, journey, to, next.does().as_ref()) {
                Entered::Stays => return self.own.runs.push(run),
                Entered::GoesTo(place) => (from, to) = (Some(to), place),
                Entered::Ends(outcome) => return self.end(run, outcome),
            }
        }
    }

    fn enter(&mut self, run: &mut Run, journey: &Journey, place: usize, does: Option<&Does<'_>>) -> Entered {
        let now_ms = self.step.now_ms();
        match does {
            None => Entered::Ends(Outcome::Stuck(Stuck::NothingPending)),
            Some(Does::End(end)) => {
                Entered::Ends(Outcome::Finished(end.outcome.clone().unwrap_or_else(|| "finished".into())))
            }
            Some(Does::Decide(decide)) => {
                let Some(campaign) = decide.campaign.clone().or_else(|| run.campaign.clone()) else {
                    return Entered::Ends(Outcome::Stuck(Stuck::NoCampaign));
                };
                let context = run.context.clone();
                self.step.publish(DecisionWanted { campaign: campaign.clone(), profile: self.profile, context });
                run.standing = Standing::Deciding(campaign);
                self.arm(run, now_ms.saturating_add(ANSWER_WITHIN_MS));
                Entered::Stays
            }
            Some(Does::Send(send)) => {
                let channels = self.channels_of(send);
                match self.try_next(run, send, channels, None) {
                    true => Entered::Stays,
                    false => Entered::GoesTo(refused(run, journey, place, send)),
                }
            }
            Some(Does::Wait(wait)) => {
                run.standing = Standing::Waiting;
                self.arm(run, now_ms.saturating_add(wait.lasts.ms()));
                Entered::Stays
            }
            Some(Does::Branch(branch)) => {
                let conditions: Vec<_> = branch.cases.iter().filter_map(|case| case.condition.clone()).collect();
                if conditions.is_empty() {
                    return Entered::GoesTo(branch_to(run, journey, place, &[]));
                }
                let question = run.id ^ u64::from(run.visit);
                self.step.publish(ConditionsAsked { profile: self.profile, question, conditions });
                run.standing = Standing::Asking;
                self.arm(run, now_ms.saturating_add(ANSWER_WITHIN_MS));
                Entered::Stays
            }
            Some(Does::Delay(delay)) => match delay::until(delay, now_ms) {
                Ok(due_ms) => {
                    run.standing = Standing::Delaying;
                    self.arm(run, due_ms);
                    Entered::Stays
                }
                // What can't be read any more (a time zone that is gone) can't be waited for.
                Err(_) => Entered::Ends(Outcome::Stuck(Stuck::NothingPending)),
            },
        }
    }

    fn channels_of(&self, send: &SendStep) -> Vec<Channel> {
        let mut channels = Vec::new();
        for choice in &send.channels {
            let meant = match Option::<Channel>::from(*choice) {
                Some(channel) => vec![channel],
                None => self.own.best_channels(),
            };
            debug_assert!(*choice == ChannelChoice::Best || meant.len() == 1);
            for channel in meant {
                if !channels.contains(&channel) {
                    channels.push(channel);
                }
            }
        }
        channels
    }

    /// Why a step's message goes by `channel`, where the person's own answers have chosen it.
    fn why(&self, send: &SendStep, channel: Channel) -> Option<Box<str>> {
        let named = send.channels.iter().map_while(|choice| Option::<Channel>::from(*choice));
        let chosen = send.channels.contains(&ChannelChoice::Best) && !named.into_iter().any(|known| known == channel);
        chosen.then(|| self.own.why_best().into())
    }

    /// Asks for the run's message by the first of `channels`, perhaps in place of one that did not go; false where
    /// there is none left.
    fn try_next(
        &mut self,
        run: &mut Run,
        send: &SendStep,
        mut channels: Vec<Channel>,
        instead_of: Option<InsteadOf>,
    ) -> bool {
        if channels.is_empty() {
            return false;
        }
        let channel = channels.remove(0);
        let now_ms = self.step.now_ms();
        // A step is tried on three channels at most, so these are all different.
        let number = u32::from(run.step) * 4 + channels.len() as u32;
        let id = MessageId::of(&run.id.to_le_bytes(), number);
        let until_ms = run.since_ms.saturating_add(send.within.map_or(SEND_WITHIN_MS, Span::ms));
        self.step.publish(MessageRequested {
            id,
            profile: self.profile,
            class: send.class,
            campaign: run.campaign.clone(),
            decision: None,
            template: send.template.clone(),
            offer: send.offer.clone(),
            channel,
            topic: send.topic.clone(),
            at_ms: now_ms,
            until_ms: Some(until_ms),
            context: run.context.clone(),
            because: send.because.clone().unwrap_or_else(|| run.because.clone()),
            channel_because: self.why(send, channel),
            instead_of,
        });
        run.standing = Standing::Sending(id, channels);
        self.disarm(run);
        self.arm(run, until_ms.max(now_ms).saturating_add(FATE_WITHIN_MS));
        true
    }

    /// A campaign has decided for a message: its fate is waited for.
    pub(super) fn await_decided(&mut self, mut run: Run, message: MessageId, at_ms: Millis) {
        run.standing = Standing::Sending(message, Vec::new());
        self.disarm(&mut run);
        let from_ms = at_ms.max(self.step.now_ms());
        self.arm(&mut run, from_ms.saturating_add(DECIDED_WITHIN_MS));
        self.own.runs.push(run);
    }

    /// Its message was let through, and its channel has it: that it takes it is waited for.
    pub(super) fn message_leaves(&mut self, mut run: Run) {
        if let Standing::Sending(message, _) = &run.standing
            && !run.sent.contains(message)
        {
            run.sent.push(*message);
        }
        self.disarm(&mut run);
        let now_ms = self.step.now_ms();
        self.arm(&mut run, now_ms.saturating_add(TAKEN_WITHIN_MS));
        self.own.runs.push(run);
    }

    /// Its channel gave its message back: its fate is waited for anew.
    pub(super) fn message_waits(&mut self, mut run: Run, until_ms: Millis) {
        if let Standing::Sending(message, _) = &run.standing {
            run.sent.retain(|sent| sent != message);
        }
        self.disarm(&mut run);
        let from_ms = until_ms.max(self.step.now_ms());
        self.arm(&mut run, from_ms.saturating_add(DECIDED_WITHIN_MS + FATE_WITHIN_MS));
        self.own.runs.push(run);
    }

    /// Its channel has taken its message.
    pub(super) fn message_taken(&mut self, run: Run) {
        self.message_fate(run, None);
    }

    /// Its message will never go: the gate has refused it, or its channel has not taken it.
    pub(super) fn message_failed(&mut self, run: Run, channel: Channel, by: Refusal) {
        self.message_fate(run, Some((channel, by)));
    }

    fn message_fate(&mut self, mut run: Run, failed: Option<(Channel, Refusal)>) {
        let definitions = self.definitions;
        let Some(journey) = definitions.version(&run.journey, run.version) else {
            return self.stuck(run, Stuck::VersionGone);
        };
        let place = usize::from(run.step);
        let does = journey.steps.get(place).and_then(StepDefined::does);
        let Standing::Sending(message, channels) = run.standing.clone() else { return self.own.runs.push(run) };
        run.sent.retain(|known| *known != message);
        match (does, failed) {
            (Some(Does::Send(send)), None) => {
                run.sent.push(message);
                let to = journey.after(place, send.then.as_deref());
                self.go(run, to, Some(place));
            }
            (Some(Does::Send(send)), Some((channel, by))) => {
                if self.try_next(&mut run, send, channels, Some(InsteadOf { message, channel, by })) {
                    return self.own.runs.push(run);
                }
                let to = refused(&mut run, journey, place, send);
                self.go(run, to, Some(place));
            }
            (Some(Does::Decide(decide)), None) => {
                run.sent.push(message);
                run.because = "sent".into();
                let to = journey.after(place, decide.then.as_deref());
                self.go(run, to, Some(place));
            }
            (Some(Does::Decide(_)), Some(_)) => self.nothing(run, "refused"),
            _ => self.stuck(run, Stuck::NothingPending),
        }
    }

    /// A decision has come to nothing.
    pub(super) fn nothing(&mut self, mut run: Run, because: &str) {
        let definitions = self.definitions;
        let Some(journey) = definitions.version(&run.journey, run.version) else {
            return self.stuck(run, Stuck::VersionGone);
        };
        let place = usize::from(run.step);
        let step = journey.steps.get(place);
        let nothing = step.and_then(|step| step.decide.as_ref()).and_then(|decide| decide.nothing.as_deref());
        run.because = because.into();
        match nothing {
            Some(id) => self.go(run, journey.after(place, Some(id)), Some(place)),
            None => self.end(run, Outcome::Finished("nothing".into())),
        }
    }

    /// What was asked of the person is answered.
    pub(super) fn answered(&mut self, mut run: Run, holds: &[bool]) {
        let definitions = self.definitions;
        let Some(journey) = definitions.version(&run.journey, run.version) else {
            return self.stuck(run, Stuck::VersionGone);
        };
        let place = usize::from(run.step);
        let to = branch_to(&mut run, journey, place, holds);
        self.go(run, to, Some(place));
    }

    /// The person has done something: where a run waits for it, it goes on. `is_it` tells the name of what
    /// they did, where an answer is waited for that it is one of.
    pub(super) fn done(&mut self, is_it: &dyn Fn(&Run, &Answer) -> Option<Box<str>>) {
        let definitions = self.definitions;
        let mut waiting = Vec::new();
        for run in self.own.runs.iter().filter(|run| run.standing == Standing::Waiting) {
            let Some(journey) = definitions.version(&run.journey, run.version) else { continue };
            let wait = journey.steps.get(usize::from(run.step)).and_then(|step| step.wait.as_ref());
            let answers = wait.into_iter().flat_map(|wait| &wait.on);
            let mut found = answers.filter_map(|answer| Some((answer, is_it(run, answer)?)));
            if let Some((answer, because)) = found.next() {
                let place = usize::from(run.step);
                waiting.push((run.id, journey.after(place, answer.then.as_deref()), because));
            }
        }
        for (id, to, because) in waiting {
            let Some(mut run) = self.take(|run| run.id == id) else { continue };
            let from = usize::from(run.step);
            run.because = because;
            self.go(run, to, Some(from));
        }
    }

    /// Time is up for the step a run is at.
    pub(super) fn due(&mut self, mut run: Run) {
        run.timer = None;
        let definitions = self.definitions;
        let Some(journey) = definitions.version(&run.journey, run.version) else {
            return self.stuck(run, Stuck::VersionGone);
        };
        let place = usize::from(run.step);
        let does = journey.steps.get(place).and_then(StepDefined::does);
        match (&run.standing, does) {
            (Standing::Entering, _) => self.stuck(run, Stuck::EntryUnanswered),
            (Standing::Deciding(_), _) => self.stuck(run, Stuck::NoDecision),
            (Standing::Sending(message, _), _) if run.sent.contains(message) => self.message_taken(run),
            (Standing::Sending(..), _) => self.stuck(run, Stuck::MessageUnanswered),
            (Standing::Asking, _) => self.stuck(run, Stuck::ConditionUnanswered),
            (Standing::Waiting, Some(Does::Wait(wait))) => {
                run.because = format!("no_answer_in_{}", wait.lasts).replace(' ', "_").into();
                let to = journey.after(place, wait.timeout.as_deref());
                self.go(run, to, Some(place));
            }
            (Standing::Delaying, Some(Does::Delay(delay))) => {
                let to = journey.after(place, delay.then.as_deref());
                self.go(run, to, Some(place));
            }
            _ => self.stuck(run, Stuck::NothingPending),
        }
    }

    /// There was no room: it is as if it had never begun.
    pub(super) fn turned_away(&mut self, mut run: Run) {
        self.disarm(&mut run);
        self.own.note_turned_away(&run.journey, run.began_ms);
    }

    fn stuck(&mut self, run: Run, why: Stuck) {
        self.end(run, Outcome::Stuck(why));
    }

    /// The run ends; what it has asked for and was not sent is withdrawn.
    pub(super) fn end(&mut self, mut run: Run, outcome: Outcome) {
        self.disarm(&mut run);
        if let Standing::Sending(id, _) = run.standing {
            let because = match &outcome {
                Outcome::Stopped(why) => why.clone(),
                other => other.name().into(),
            };
            self.step.publish(MessageWithdrawn { id, profile: self.profile, because });
        }
        let journey = self.definitions.version(&run.journey, run.version);
        let began = run.standing != Standing::Entering;
        let step = journey.filter(|_| began).and_then(|journey| journey.steps.get(usize::from(run.step)));
        let step = step.map(|step| step.id.clone());
        self.step.publish(JourneyEnded {
            run: run.id,
            journey: run.journey.clone(),
            version: run.version,
            profile: self.profile,
            step: step.clone(),
            outcome: outcome.clone(),
        });
        self.own.note_ended(Ended {
            run: run.id,
            journey: run.journey,
            version: run.version,
            begun_by: run.begun_by,
            began_ms: run.began_ms,
            ended_ms: self.step.now_ms(),
            step,
            outcome,
        });
    }

    /// Waits for an instant on behalf of the step the run is at.
    pub(super) fn arm(&mut self, run: &mut Run, due_ms: Millis) {
        let due = RunDue { profile: self.profile, run: run.id, visit: run.visit };
        run.until_ms = Some(due_ms);
        run.timer = Some(self.step.schedule(due_ms, &due));
    }

    fn disarm(&mut self, run: &mut Run) {
        run.until_ms = None;
        if let Some(timer) = run.timer.take() {
            self.step.cancel(timer);
        }
    }
}

/// What entering a step comes to.
enum Entered {
    Stays,
    GoesTo(usize),
    Ends(Outcome),
}

/// Where a run goes on that no channel was let through for.
fn refused(run: &mut Run, journey: &Journey, place: usize, send: &SendStep) -> usize {
    run.because = "refused".into();
    journey.after(place, send.refused.as_deref().or(send.then.as_deref()))
}

/// Where a run goes on at the branch at `place`; `holds` tells of its conditions, in order.
fn branch_to(run: &mut Run, journey: &Journey, place: usize, holds: &[bool]) -> usize {
    let Some(branch) = journey.steps.get(place).and_then(|step| step.branch.as_ref()) else { return place + 1 };
    let mut holds = holds.iter().copied();
    for case in &branch.cases {
        let is_it = match (&case.condition, &case.ended) {
            (Some(_), _) => holds.next().unwrap_or(false),
            (None, Some(ended)) if &**ended == "timeout" => run.because.starts_with("no_answer_in_"),
            (None, ended) => ended.as_deref() == Some(&*run.because),
        };
        if is_it {
            return journey.after(place, Some(&case.then));
        }
    }
    journey.after(place, branch.otherwise.as_deref())
}

fn run_id(profile: ProfileId, journey: &str, begun_by: Seq) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"run").update(&profile.0.to_le_bytes()).update(&begun_by.to_le_bytes()).update(journey.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}
