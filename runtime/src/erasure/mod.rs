//! Erasing a person: what is held of them is found, forgotten by every agent, and erased from the journal.
//!
//! It is asked for with one durable commit and goes on from wherever a crash left it:
//!
//! 1. all subjects that have become the person are found ([`find`]);
//! 2. [`SubjectForgotten`] names them: every agent lets go of their states at that entry;
//! 3. once every worker is past it, all entries of theirs are found ([`sweep`]). Where one more subject turns
//!    up, that had become theirs just then, it is forgotten, too;
//! 4. their dead letters are dropped, their timers cancelled, their effects taken out of the outbox;
//! 5. the bodies are erased, the latest first, in portions that hold up nobody for long;
//! 6. [`SubjectErased`] says that it is done.
//!
//! Whatever happens to the subjects up to the last [`SubjectForgotten`] that names them goes; what comes
//! after it is somebody new.

mod find;
mod gather;
mod standing;
mod sweep;

use std::{collections::BTreeSet, sync::Arc};

use hashbrown::HashMap;
use impresario_store::{Commit, Durability, Journal, OUTSIDE, Receipt, Seq, TimerOp};

pub(crate) use gather::gather;
pub use standing::ErasureStatus;
pub(crate) use standing::{ask, list, status};

use self::{
    find::subjects_of,
    standing::{Asked, done, pending},
    sweep::{Swept, sweep},
};
use crate::{
    RuntimeError, SubjectErased, SubjectForgotten, SubjectId, Topic, Troupe, about::Abouts, entries::new_entry, letters,
};

/// Entries erased at once: nobody commits meanwhile.
const PORTION_ENTRIES: usize = 256;
/// How often all agents are waited for: what an entry brings forth is folded, and what that brings forth.
const QUIET_ROUNDS: u8 = 3;
/// How often more subjects may turn up.
const SWEEPS_MAX: u8 = 16;
/// Erasures done side by side, with one look at the journal.
const PEOPLE_MAX: usize = 256;
/// Rows read at once.
const PAGE: usize = 1_000;

/// The numbers of the people that are being erased, and up to which entry.
pub(crate) type Through = HashMap<SubjectId, Seq, foldhash::fast::FixedState>;

/// Where an erasure is done: on a host, or on a driver.
pub(crate) trait Ground {
    fn journal(&self) -> &Arc<Journal>;
    fn troupe(&self) -> &Troupe;
    /// Which subjects a subject's states have become, by agent.
    fn moved_to(&mut self, subject: SubjectId) -> Result<Vec<SubjectId>, RuntimeError>;
    fn submit(&mut self, commit: Commit) -> Result<Receipt, RuntimeError>;
    /// The workers that have not folded the entry at `seq`, durably or about to be.
    fn behind(&self, seq: Seq) -> Vec<String>;
    /// Has the workers that stand at `seq` or further write their states.
    ///
    /// # Errors
    /// A worker that can't.
    fn write_out(&mut self, seq: Seq) -> Result<(), RuntimeError>;
    /// Whether all is to end: what is under way goes on at the next start.
    fn is_closing(&self) -> bool {
        false
    }
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nobody is to be erased.
    Idle,
    /// The agents are waited for.
    Wait,
    /// There is more to do.
    More,
}

struct Person {
    asked: Asked,
    subjects: BTreeSet<SubjectId>,
}

enum Stage {
    Begin,
    Quiet { rounds: u8, seq: Seq, then: Next },
    Find,
    Sweep,
    Erase,
    End,
}

#[derive(Clone, Copy)]
enum Next {
    Find,
    Sweep,
    Erase,
}

/// Erasures under way.
pub(crate) struct Erasing {
    people: Vec<Person>,
    through: Through,
    stage: Stage,
    sweeps: u8,
    /// The entries that go, in order.
    taken: Vec<Seq>,
    erased: u64,
    /// There may be more that was asked for.
    asked: bool,
    /// People erased so far.
    people_erased: u64,
}

impl Default for Erasing {
    fn default() -> Self {
        Self {
            people: Vec::new(),
            through: Through::default(),
            stage: Stage::Begin,
            sweeps: 0,
            taken: Vec::new(),
            erased: 0,
            asked: true,
            people_erased: 0,
        }
    }
}

impl Erasing {
    /// Somebody has asked for an erasure.
    pub(crate) fn look_again(&mut self) {
        self.asked = true;
    }

    /// How many people were erased since the start.
    pub(crate) fn people_erased(&self) -> u64 {
        self.people_erased
    }

    /// Goes on by one stage or portion.
    ///
    /// # Errors
    /// The store's error, or an agent that does not answer: it may be tried again.
    pub(crate) fn advance(&mut self, ground: &mut dyn Ground) -> Result<Turn, RuntimeError> {
        match self.stage {
            Stage::Begin => return self.begin(ground),
            Stage::Quiet { seq, .. } if !ground.behind(seq).is_empty() => return Ok(Turn::Wait),
            Stage::Quiet { rounds: 0, then, .. } => {
                self.stage = match then {
                    Next::Find => Stage::Find,
                    Next::Sweep => Stage::Sweep,
                    Next::Erase => Stage::Erase,
                };
            }
            Stage::Quiet { rounds, then, .. } => {
                self.stage = Stage::Quiet { rounds: rounds - 1, seq: ground.journal().head(), then };
            }
            Stage::Find => self.find(ground)?,
            Stage::Sweep => self.sweep(ground)?,
            Stage::Erase => self.erase(ground)?,
            Stage::End => self.end(ground)?,
        }
        Ok(Turn::More)
    }

    fn begin(&mut self, ground: &mut dyn Ground) -> Result<Turn, RuntimeError> {
        if !self.asked {
            return Ok(Turn::Idle);
        }
        let journal = Arc::clone(ground.journal());
        let asked = pending(&journal, PEOPLE_MAX)?;
        if asked.is_empty() {
            self.asked = false;
            return Ok(Turn::Idle);
        }
        *self = Self { people_erased: self.people_erased, ..Self::default() };
        self.people = asked.into_iter().map(|asked| Person { asked, subjects: BTreeSet::new() }).collect();
        self.take_up(&journal)?;
        let forgotten = self.people.iter().all(|person| !person.subjects.is_empty());
        let then = if forgotten { Next::Sweep } else { Next::Find };
        self.wait_for_all(&journal, then);
        Ok(Turn::More)
    }

    /// Takes up what was said before a crash.
    fn take_up(&mut self, journal: &Journal) -> Result<(), RuntimeError> {
        let Some(from) = self.people.iter().map(|person| person.asked.from).min() else { return Ok(()) };
        let topic = journal.known_name(SubjectForgotten::NAME);
        crate::each_entry(journal, from + 1, |entry| {
            if Some(entry.topic) != topic || entry.erased.is_some() {
                return Ok(());
            }
            let said: &SubjectForgotten = entry.decode(SubjectForgotten::VERSION)?;
            let person = self.people.iter_mut().find(|person| person.asked.person == said.person);
            if let Some(person) = person.filter(|person| person.asked.from < entry.seq) {
                person.subjects.extend(&said.subjects);
                self.through.extend(said.subjects.iter().map(|subject| (*subject, entry.seq)));
            }
            Ok::<(), RuntimeError>(())
        })
    }

    fn wait_for_all(&mut self, journal: &Journal, then: Next) {
        self.stage = Stage::Quiet { rounds: QUIET_ROUNDS, seq: journal.head(), then };
    }

    fn find(&mut self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        let fresh = self.people.iter().filter(|person| person.subjects.is_empty());
        let found = subjects_of(ground, fresh.map(|person| person.asked.person))?;
        for (subject, person) in found {
            if let Some(person) = self.people.iter_mut().find(|known| known.asked.person == person) {
                person.subjects.insert(subject);
            }
        }
        self.forget(ground)
    }

    /// Says of everybody whose subjects are not all forgotten yet that they are.
    fn forget(&mut self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        let journal = Arc::clone(ground.journal());
        for person in &self.people {
            if person.subjects.iter().all(|subject| self.through.contains_key(subject)) {
                continue;
            }
            let subjects: Vec<_> = person.subjects.iter().copied().collect();
            let said = SubjectForgotten { person: person.asked.person, subjects: subjects.clone() };
            let mut commit = durable();
            commit.entries.push(new_entry(&journal, 0, said)?);
            let seq = ground.submit(commit)?.last;
            self.through.extend(subjects.into_iter().map(|subject| (subject, seq)));
        }
        self.wait_for_all(&journal, Next::Sweep);
        Ok(())
    }

    fn sweep(&mut self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        let Swept { taken, joined } = sweep(ground, &self.through)?;
        self.taken = taken;
        self.sweeps += 1;
        if !joined.is_empty() && self.sweeps < SWEEPS_MAX {
            for (subject, with) in joined {
                if let Some(person) = self.people.iter_mut().find(|person| person.subjects.contains(&with)) {
                    person.subjects.insert(subject);
                }
            }
            return self.forget(ground);
        }
        let journal = Arc::clone(ground.journal());
        let abouts = Abouts::of(&journal, ground.troupe());
        self.cancel_timers(ground, &abouts)?;
        self.settle_effects(ground, &abouts)?;
        self.drop_letters(ground)?;
        self.wait_for_all(&journal, Next::Erase);
        Ok(())
    }

    fn is_taken(&self, seq: Seq) -> bool {
        self.taken.binary_search(&seq).is_ok()
    }

    /// Whether something that was set or asked for at `seq` is theirs.
    fn is_theirs(&self, abouts: &Abouts, seq: Seq, topic: impresario_store::NameId, body: &[u8]) -> bool {
        let theirs = |subject: &SubjectId| self.through.get(subject).is_some_and(|through| seq <= *through);
        self.is_taken(seq) || abouts.holds(topic, body).is_ok_and(|holds| holds.subjects.iter().any(theirs))
    }

    fn cancel_timers(&self, ground: &mut dyn Ground, abouts: &Abouts) -> Result<(), RuntimeError> {
        let journal = Arc::clone(ground.journal());
        let mut after = None;
        loop {
            let page = journal.timers_after(after.as_ref(), PAGE);
            let mut commit = durable();
            let theirs = page.iter().filter(|(key, topic, body)| self.is_theirs(abouts, key.seq, *topic, body));
            commit.timers.extend(theirs.map(|(key, _, _)| TimerOp::Cancel(*key)));
            if !commit.timers.is_empty() {
                ground.submit(commit)?;
            }
            match page.last() {
                Some((last, _, _)) if page.len() == PAGE => after = Some(*last),
                _ => return Ok(()),
            }
        }
    }

    fn settle_effects(&self, ground: &mut dyn Ground, abouts: &Abouts) -> Result<(), RuntimeError> {
        let pending = ground.journal().pending_effects()?;
        for effect in pending {
            if self.is_theirs(abouts, effect.id.seq, effect.topic, &effect.body) {
                let mut commit = durable();
                commit.settled.push(effect.id);
                match ground.submit(commit) {
                    // It was answered meanwhile.
                    Ok(_) | Err(RuntimeError::Store(impresario_store::StoreError::Conflict { .. })) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn drop_letters(&self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        let journal = Arc::clone(ground.journal());
        let mut gone = Vec::new();
        for agent in &ground.troupe().agents {
            let workers = Troupe::workers(&journal, agent.as_ref())?;
            let mut after = 0;
            loop {
                let page = letters::list(&journal, agent.name(), workers, after, PAGE)?;
                let theirs = page.iter().filter(|letter| self.is_taken(letter.seq));
                gone.extend(theirs.map(|letter| (agent.name(), workers, letter.seq)));
                match page.last() {
                    Some(last) if page.len() == PAGE => after = last.seq,
                    _ => break,
                }
            }
        }
        gone.dedup();
        for (agent, workers, seq) in gone {
            match letters::again(&journal, agent, workers, seq, true) {
                Ok(commit) => drop(ground.submit(commit)?),
                Err(RuntimeError::UnknownLetter { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn erase(&mut self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        if self.taken.is_empty() {
            self.stage = Stage::End;
            return Ok(());
        }
        let journal = ground.journal();
        let abouts = Abouts::of(journal, ground.troupe());
        let portion = self.taken.split_off(self.taken.len().saturating_sub(PORTION_ENTRIES));
        // What can't be read leaves nothing behind.
        let left = |entry: &impresario_store::Entry| abouts.remainder(entry).unwrap_or_default();
        self.erased += journal.erase_but(&portion.into_iter().collect(), left)?;
        Ok(())
    }

    fn end(&mut self, ground: &mut dyn Ground) -> Result<(), RuntimeError> {
        let journal = Arc::clone(ground.journal());
        let entries = self.erased;
        let mut commit = durable();
        for person in &self.people {
            let person_id = person.asked.person;
            commit.entries.push(new_entry(&journal, 0, SubjectErased { person: person_id, entries })?);
            commit.writes.extend(done(&person.asked, journal.last_at().unwrap_or_default(), entries)?);
        }
        let people = self.people.len();
        ground.submit(commit)?;
        tracing::info!(people, entries, "people were erased");
        *self = Self { people_erased: self.people_erased + people as u64, ..Self::default() };
        Ok(())
    }
}

fn durable() -> Commit {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit
}
