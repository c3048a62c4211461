//! One run of a scenario, from its first instant to its last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use impresario_agents::{
    identity::{IdentifierReleased, UnmergeAsked},
    vocabulary::{Millis, ReceiptCame},
};
use impresario_runtime::{
    RuntimeError, new_entry,
    store::{Commit, Durability, Journal, NewEntry, OUTSIDE, StoreError},
};

use super::{
    aims,
    crowd::{Answer, Crowd},
    cut::Unsynced,
    door::{dedup, message_id, submit_event, tracked},
    expect, invariants,
    options::{Metrics, Outcome, RunOptions},
    seen::Seen,
    stage::{Break, Breaker, EngineChoice, Stage, StagePlan},
    state, world,
};
use crate::{
    Invariant, Scenario, ScenarioError, format,
    model::{Action, Expect, Fate, Planned, Receipt, Saying, Send},
};

/// Failures told of one run; the first ones tell most.
const FAILURES_MAX: usize = 50;

/// Runs a scenario once.
///
/// # Errors
/// What keeps the troupe from playing on. What turns out otherwise than expected is in the outcome.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Outcome, ScenarioError> {
    let mut run = Run::open(scenario, options)?;
    let mut plan = if options.faults {
        format::with_faults(scenario.actions.clone(), &scenario.faults, scenario.seed)
    } else {
        scenario.actions.clone()
    };
    if let Some(order) = options.shuffle {
        format::shuffle_instants(&mut plan, scenario.seed, order);
    }
    if options.faults {
        run.check_fates(&plan);
    }
    let mut rest = plan.as_slice();
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|planned| planned.at_ms == first.at_ms).count();
        let (now, later) = rest.split_at(same);
        rest = later;
        run.instant(first.at_ms, now)?;
    }
    let outcome = run.close()?;
    if options.faults && options.crash.is_none() && scenario.always.contains(&Invariant::FaultsChangeNothing) {
        return compare_without_faults(scenario, options, outcome);
    }
    Ok(outcome)
}

fn compare_without_faults(
    scenario: &Scenario,
    options: &RunOptions,
    mut outcome: Outcome,
) -> Result<Outcome, ScenarioError> {
    let calm = RunOptions { engine: EngineChoice::Memory, faults: false, ..options.clone() };
    let calm = run(scenario, &calm)?;
    let (without, with) = (state::without_since(&calm.state), state::without_since(&outcome.state));
    if without != with {
        let diff = crate::diff::unified(&without, &with);
        outcome.failures.push(format!("faults change nothing: people differ (-without, +with)\n{diff}"));
    }
    Ok(outcome)
}

struct Run<'a> {
    scenario: &'a Scenario,
    stage: Stage,
    seen: Seen,
    /// Deaths already told.
    buried: u64,
    restarts: BTreeMap<String, u64>,
    standing: world::Standing,
    failures: Vec<String>,
    metrics: Metrics,
    end_ms: Millis,
    /// After which commits the scenario's own faults kill.
    late_kills: Vec<u64>,
    /// Ids of the events sent so far.
    sent: BTreeSet<String>,
    crowd: Crowd,
}

impl<'a> Run<'a> {
    fn open(scenario: &'a Scenario, options: &RunOptions) -> Result<Self, ScenarioError> {
        let faults = options.faults.then_some(&scenario.faults);
        let mut deaths: Vec<u64> = faults.map(|faults| faults.kills_after_commit.clone()).unwrap_or_default();
        let late_kills = deaths.clone();
        deaths.extend(options.crash.map(|crash| crash.after_commit));
        deaths.sort_unstable();
        let kept = options.crash.is_some_and(|crash| !crash.unsynced_lost);
        let breaks = faults.into_iter().flat_map(|faults| &faults.panics).filter_map(|panic| {
            let sends = scenario.actions.iter().filter_map(|planned| match &planned.action {
                Action::Send(send) => Some(send),
                _ => None,
            });
            let send = sends.into_iter().find(|send| send.number == panic.event)?;
            let dedup = dedup(&message_id(scenario, send));
            Some(Break { agent: panic.agent.clone(), dedup, left: panic.times, struck: false })
        });
        let crowd = Crowd::new(scenario);
        let stage = Stage::open(StagePlan {
            engine: options.engine.clone(),
            casting: options.casting,
            workers: options.workers,
            rotate: options.rotate + faults.map_or(0, |faults| faults.rotate_workers),
            tight: options.tight,
            seed: scenario.run_seed(),
            start_ms: scenario.start_ms,
            deaths,
            clock_goes_on: options.crash.is_some_and(|crash| crash.clock_goes_on),
            unsynced: if kept { Unsynced::Kept } else { Unsynced::Lost },
            breaker: Arc::new(Breaker::new(breaks.collect())),
            inbox: Arc::clone(&crowd.inbox),
        })?;
        Ok(Self {
            scenario,
            stage,
            seen: Seen::new(scenario),
            buried: 0,
            restarts: BTreeMap::new(),
            standing: world::Standing::default(),
            failures: Vec::new(),
            metrics: Metrics::default(),
            end_ms: scenario.start_ms,
            late_kills,
            sent: BTreeSet::new(),
            crowd,
        })
    }

    /// A fault on the way of events that meets none of them shows nothing.
    fn check_fates(&mut self, plan: &[Planned]) {
        let faults = &self.scenario.faults;
        let meets =
            |fate: Fate| plan.iter().any(|planned| matches!(&planned.action, Action::Send(send) if send.fate == fate));
        let copies = faults.duplicates.is_some() && !meets(Fate::Copy);
        let delays = (faults.late.is_some() || faults.reordered.is_some()) && !meets(Fate::Delayed);
        let start_ms = self.scenario.start_ms;
        if copies {
            self.fail(start_ms, "fault: no event comes twice");
        }
        if delays {
            self.fail(start_ms, "fault: no event comes late or in another order");
        }
    }

    /// Everything of one instant, what time alone brings about before it first.
    fn instant(&mut self, at_ms: Millis, actions: &[Planned]) -> Result<(), ScenarioError> {
        while let Some(due_ms) = self.next_due()?.filter(|due_ms| *due_ms < at_ms) {
            self.pass(due_ms, false)?;
            self.answer(due_ms)?;
        }
        // What generated people do by the thousand is looked at person by person.
        let whole = !actions.iter().all(|planned| self.is_generated(planned));
        self.pass(at_ms, whole)?;
        if self.answer(at_ms)? {
            self.pass(at_ms, whole)?;
        }
        let (mut acted, mut compared) = (false, false);
        for planned in actions {
            match &planned.action {
                Action::Expect(expected) => {
                    if std::mem::take(&mut acted) {
                        self.pass(at_ms, whole)?;
                        compared = false;
                    }
                    if !std::mem::replace(&mut compared, true) {
                        self.compare_with_journal(at_ms)?;
                    }
                    self.expect(planned, expected)?;
                }
                action => {
                    self.act(at_ms, action)?;
                    acted = true;
                }
            }
        }
        if acted {
            self.pass(at_ms, whole)?;
        }
        self.end_ms = at_ms;
        Ok(())
    }

    /// When time or one of the people next does something.
    fn next_due(&mut self) -> Result<Option<Millis>, ScenarioError> {
        let timer = self.stage.driver()?.journal().next_due();
        Ok(timer.into_iter().chain(self.crowd.next_due()).min())
    }

    /// People do what they are due to do about messages; true where anybody did.
    fn answer(&mut self, at_ms: Millis) -> Result<bool, ScenarioError> {
        let mut any = false;
        while let Some(answer) = self.crowd.take_due(at_ms) {
            any = true;
            match answer {
                Answer::Receipt(receipt) => {
                    let what = format!("{:?} of {}, machine {}", receipt.kind, receipt.id, receipt.machine);
                    self.say(at_ms, &Saying::new(what, receipt))?;
                }
                Answer::Event(tracked) => {
                    self.stage.live(at_ms, |driver| submit_event(driver, &tracked))?;
                    self.metrics.events_sent += 1;
                }
            }
        }
        Ok(any)
    }

    /// Says something from outside, once however often it is sent.
    fn say(&mut self, at_ms: Millis, saying: &Saying) -> Result<(), ScenarioError> {
        self.command(at_ms, &saying.what, |journal| saying.entry(journal))
    }

    /// An operator answers a goal's newest proposal.
    fn answer_proposal(&mut self, at_ms: Millis, goal: &str, approved: bool, why: &str) -> Result<(), ScenarioError> {
        self.pass(at_ms, false)?;
        match aims::answer(self.stage.driver()?, goal, approved, why)? {
            Some(answer) => self.say(at_ms, &Saying::new(format!("answer {} of {goal}", answer.number), answer)),
            None => {
                self.fail(at_ms, &format!("an answer: goal `{goal}` has proposed nothing"));
                Ok(())
            }
        }
    }

    /// A provider's receipt of the newest message to somebody by a channel.
    fn receipt(&mut self, at_ms: Millis, receipt: &Receipt) -> Result<(), ScenarioError> {
        let Receipt { person, channel, kind, machine } = *receipt;
        self.look(at_ms)?;
        let contacts = &self.seen.facts.contacts;
        let newest = contacts.order.iter().rev().find_map(|id| {
            let sent = contacts.sent.get(id)?;
            let own = sent.channel == channel && self.crowd.person(sent.profile) == Some(person);
            own.then(|| (*id, sent.profile, sent.campaign.clone()))
        });
        let Some((id, profile, campaign)) = newest else {
            let who = self.scenario.people.get(person).map_or("", |person| person.name.as_str());
            let what = format!("a receipt: {who} has got nothing by {}", channel.name());
            self.fail(at_ms, &what);
            return Ok(());
        };
        let what = format!("{kind:?} of {id}, machine {machine}, told");
        let came = ReceiptCame { id, profile, campaign, channel, kind, machine };
        self.say(at_ms, &Saying::new(what, came))
    }

    fn is_generated(&self, planned: &Planned) -> bool {
        match &planned.action {
            Action::Send(send) => self.scenario.people.get(send.person).is_some_and(|person| person.generated),
            _ => false,
        }
    }

    /// Time goes on to `at_ms`, everybody folds, and what came of it is looked at.
    fn pass(&mut self, at_ms: Millis, whole: bool) -> Result<(), ScenarioError> {
        let now_ms = self.stage.live(at_ms, |driver| {
            driver.settle()?;
            Ok(driver.now_ms())
        })?;
        self.look(now_ms)?;
        let found = invariants::check(&self.scenario.always, &mut self.seen, self.stage.driver()?, whole)?;
        for what in found {
            self.fail(now_ms, &what);
        }
        Ok(())
    }

    /// Reads on in the journal, and tells of deaths and restarts.
    fn look(&mut self, now_ms: Millis) -> Result<(), ScenarioError> {
        let died = self.stage.deaths - self.buried;
        let driver = self.stage.driver()?;
        let journal = Arc::clone(driver.journal());
        let status = driver.status();
        if died > 0 {
            self.buried = self.stage.deaths;
            self.restarts.clear();
            self.seen.reread(&journal)?;
        } else {
            self.seen.read(&journal)?;
        }
        for id in std::mem::take(&mut self.seen.facts.contacts.taken) {
            if let Some(sent) = self.seen.facts.contacts.sent.get(&id) {
                self.crowd.get(self.scenario, id, sent);
            }
        }
        for agent in status {
            let restarts: u64 = agent.workers.iter().map(|worker| worker.restarts).sum();
            let before = self.restarts.insert(agent.agent.clone(), restarts).unwrap_or_default();
            if restarts > before {
                let times = if restarts - before == 1 { "again" } else { "again and again" };
                self.seen.note(now_ms, "supervisor", &format!("has started {} {times}", agent.agent));
            }
        }
        Ok(())
    }

    fn act(&mut self, at_ms: Millis, action: &Action) -> Result<(), ScenarioError> {
        match action {
            Action::Send(send) => self.send(at_ms, send),
            Action::Define { name, definition } => {
                let defined = self.standing.segment(name, definition).map_err(RuntimeError::Setup)?;
                self.command(at_ms, name, |journal| new_entry(journal, 0, defined.clone()))
            }
            Action::Goal { name, goal } => {
                let set = self.standing.goal(name, goal).map_err(RuntimeError::Setup)?;
                self.command(at_ms, name, |journal| new_entry(journal, 0, set.clone()))
            }
            Action::Say(saying) => self.say(at_ms, saying),
            Action::Receipt(receipt) => self.receipt(at_ms, receipt),
            Action::Answer { goal, approved, why } => self.answer_proposal(at_ms, goal, *approved, why),
            Action::Erase { person } => self.erase(at_ms, *person),
            Action::Unmerge(node) => {
                let asked = UnmergeAsked { node: *node };
                self.command(at_ms, &format!("unmerge {node}"), |journal| new_entry(journal, 0, asked.clone()))
            }
            Action::Release(node) => {
                let released = IdentifierReleased { node: *node };
                self.command(at_ms, &format!("release {node}"), |journal| new_entry(journal, 0, released.clone()))
            }
            Action::Kill { until_ms } => {
                // Whatever is under way dies with it.
                self.stage.kill()?;
                if let Some(until_ms) = *until_ms {
                    self.crowd.inbox.is_up_at(until_ms);
                }
                self.pass(until_ms.unwrap_or(at_ms), true)?;
                // One after a commit is not told: which commit is which is not the marketer's business.
                let again =
                    until_ms.map_or_else(String::new, |until_ms| format!(" at {}", self.scenario.show(until_ms)));
                let what = format!("was killed, lost what was not synced, and started again{again}");
                self.seen.note(at_ms, "process", &what);
                Ok(())
            }
            Action::Expect(_) => Ok(()),
        }
    }

    /// Knocks at the door until the event is acknowledged.
    fn send(&mut self, at_ms: Millis, send: &Send) -> Result<(), ScenarioError> {
        let tracked = tracked(self.scenario, send, at_ms);
        // What a process took in and died over is given to the next one again: it was sent once all the same.
        let again = !self.sent.insert(tracked.message_id.to_string());
        let receipt = self.stage.live(at_ms, |driver| submit_event(driver, &tracked))?;
        self.metrics.events_sent += 1;
        if receipt.duplicates > 0 {
            self.metrics.duplicates += 1;
            if again && (send.fate == Fate::Copy || send.message_id.is_some()) {
                let who = self.scenario.people.get(send.person).map_or("", |person| person.name.as_str());
                let what = if send.name.is_empty() { "an event" } else { &send.name };
                self.look(at_ms)?;
                self.seen.note(at_ms, who, &format!("{what} came again and was dropped"));
            }
        }
        Ok(())
    }

    /// An operator has somebody erased, once however often it is asked for.
    fn erase(&mut self, at_ms: Millis, person: usize) -> Result<(), ScenarioError> {
        let Some(id) = self.scenario.people.get(person).map(|person| person.id.clone()) else { return Ok(()) };
        self.stage.live(at_ms, |driver| world::erase(driver, &id, at_ms))
    }

    /// An operator's command, once however often it is sent.
    fn command(
        &mut self,
        at_ms: Millis,
        name: &str,
        entry: impl Fn(&Journal) -> Result<NewEntry, StoreError>,
    ) -> Result<(), ScenarioError> {
        let text = format!("{name} at {at_ms}");
        let hash = *blake3::hash(text.as_bytes()).as_bytes();
        let request = hash.first_chunk::<16>().copied();
        self.stage.live(at_ms, |driver| {
            let mut commit = Commit::new(OUTSIDE);
            commit.request = request;
            commit.durability = Durability::Synced;
            commit.entries.push(entry(driver.journal())?);
            driver.submit(commit)
        })?;
        Ok(())
    }

    fn expect(&mut self, planned: &Planned, expected: &Expect) -> Result<(), ScenarioError> {
        self.metrics.expectations += 1;
        let found = expect::check(expected, self.scenario, (&self.seen, &self.crowd), self.stage.driver()?)?;
        for what in found {
            self.fail(planned.at_ms, &format!("line {}: {what}", planned.line));
        }
        Ok(())
    }

    fn compare_with_journal(&mut self, at_ms: Millis) -> Result<(), ScenarioError> {
        // An entry that was set aside is in the journal all the same.
        if self.scenario.always.contains(&Invariant::MembershipMatchesJournal) && self.seen.facts.dead_letters == 0 {
            for what in invariants::compare_with_journal(&self.seen, self.stage.driver()?)? {
                self.fail(at_ms, &what);
            }
        }
        Ok(())
    }

    fn fail(&mut self, at_ms: Millis, what: &str) {
        if self.failures.len() < FAILURES_MAX {
            let at = self.scenario.show(at_ms);
            self.failures.push(format!("{at}: {what}"));
        }
    }

    fn close(mut self) -> Result<Outcome, ScenarioError> {
        let end_ms = self.end_ms;
        self.pass(end_ms, true)?;
        self.compare_with_journal(end_ms)?;
        if self.scenario.always.contains(&Invariant::JournalVerifies) {
            let found = invariants::verify(self.stage.driver()?)?;
            for what in found {
                self.fail(end_ms, &what);
            }
        }
        let commits = self.stage.commits();
        let deaths = self.stage.deaths;
        // A fault that did not happen shows nothing.
        for agent in self.stage.unbroken() {
            self.fail(end_ms, &format!("fault: {agent} never came to the event at which it was to break"));
        }
        for after in self.late_kills.clone().into_iter().filter(|after| *after > commits) {
            self.fail(
                end_ms,
                &format!("fault: there were {commits} commits, so nothing was killed after number {after}"),
            );
        }
        let driver = self.stage.driver()?;
        let state = state::state(driver, &self.seen)?;
        let digest = state::digest(driver.journal(), &state)?;
        let facts = &self.seen.facts;
        let metrics = Metrics {
            events_kept: facts.events,
            entries: driver.journal().head(),
            commits,
            deaths,
            entered: facts.entered,
            left: facts.left,
            dead_letters: facts.dead_letters,
            messages: facts.contacts.order.len() as u64,
            orders: facts.orders,
            lasted_ms: end_ms - self.scenario.start_ms,
            ..self.metrics
        };
        let scenario = self.scenario.name.clone();
        let best_arm = best_arm(self.scenario, &self.seen.facts.contacts);
        let trace = self.seen.trace();
        Ok(Outcome { scenario, failures: self.failures, trace, state, digest, metrics, best_arm })
    }
}

/// The number of the arm that all people together would buy most by.
fn best_arm(scenario: &Scenario, contacts: &super::contacts::Contacts) -> Option<u16> {
    let plan = contacts.plans.values().next_back()?;
    let mut best: Option<(f64, u16)> = None;
    for (number, arm) in (1..).zip(&plan.arms) {
        let ways = scenario.people.iter().filter_map(|person| person.answers.as_ref()?.at(scenario.start_ms));
        let of = |ways: &crate::answers::Ways| {
            let (template, offer) = (&*arm.template, arm.offer.as_deref());
            let hour = usize::from(arm.hour.unwrap_or(12));
            ways.buys * ways.fit(crate::answers::Seen { channel: arm.channel, template, offer, hour, of_late: 0 })
        };
        let sum: f64 = ways.map(of).sum();
        if best.is_none_or(|(known, _)| sum > known) {
            best = Some((sum, number));
        }
    }
    best.map(|(_, number)| number)
}
