//! The step: all an agent may ask of the world while it handles an entry.

use std::{any::Any, cell::RefCell, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use impresario_store::{EffectId, Entry, NameId, NewEffect, NewEntry, Op, PARTITIONS, Seq, TimerKey, TimerOp, codec};
use rand_chacha::ChaCha8Rng;

use crate::{
    Agent, AgentError, AgentKey, Effect, Held, Job, RunSeed, Shared, Topic,
    journal_reader::Reader,
    moved::{StateMoved, moved_topic},
    rng,
};

/// What one batch of entries brings forth, to be committed together.
#[derive(Default)]
pub(crate) struct Outputs {
    pub(crate) entries: Vec<NewEntry>,
    pub(crate) timers: Vec<TimerOp>,
    pub(crate) effects: Vec<NewEffect>,
    pub(crate) writes: Vec<Op>,
}

impl Outputs {
    pub(crate) fn len(&self) -> usize {
        self.entries.len() + self.timers.len() + self.effects.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.writes.is_empty()
    }

    pub(crate) fn marks(&self) -> [usize; 4] {
        [self.entries.len(), self.timers.len(), self.effects.len(), self.writes.len()]
    }

    /// Back to an earlier mark: what a failed entry brought forth is dropped.
    pub(crate) fn truncate(&mut self, [entries, timers, effects, writes]: [usize; 4]) {
        self.entries.truncate(entries);
        self.timers.truncate(timers);
        self.effects.truncate(effects);
        self.writes.truncate(writes);
    }
}

/// What a worker's steps have in common.
pub(crate) struct Context {
    pub(crate) reader: Reader,
    pub(crate) agent: &'static str,
    pub(crate) agent_id: NameId,
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) seed: RunSeed,
    names: RefCell<HashMap<&'static str, NameId, FixedState>>,
}

impl Context {
    pub(crate) fn new(
        reader: Reader,
        agent: &'static str,
        agent_id: NameId,
        worker: (usize, usize),
        seed: RunSeed,
    ) -> Self {
        let (worker, workers) = worker;
        Self { reader, agent, agent_id, worker, workers, seed, names: RefCell::default() }
    }

    pub(crate) fn name(&self, name: &'static str) -> Result<NameId, AgentError> {
        if let Some(id) = self.names.borrow().get(name) {
            return Ok(*id);
        }
        let id = self.reader.journal().name(name)?;
        self.names.borrow_mut().insert(name, id);
        Ok(id)
    }

    pub(crate) fn owns(&self, partition: u16) -> bool {
        usize::from(partition) % self.workers == self.worker
    }
}

/// The only capability of a handler.
pub struct Step<'a> {
    out: &'a mut Outputs,
    context: &'a Context,
    shared: Option<&'a dyn Any>,
    seq: Seq,
    now_ms: i64,
    partition: u16,
    /// Chance alone asks for the key's bytes, and most handlers ask for no chance.
    key: Option<&'a dyn KeyBytes>,
    /// Counts what gets a name of its own: timers and effects.
    named: usize,
    rng: Option<ChaCha8Rng>,
    /// A refold after a restart: what comes forth is in the journal already.
    replaying: bool,
    unchanged: bool,
    failed: Option<AgentError>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        out: &'a mut Outputs,
        context: &'a Context,
        shared: Option<&'a dyn Any>,
        folding: &Folding<'_>,
        partition: u16,
        replaying: bool,
    ) -> Self {
        Self {
            out,
            context,
            shared,
            seq: folding.seq,
            now_ms: folding.now_ms,
            partition,
            key: None,
            named: 0,
            rng: None,
            replaying,
            unchanged: false,
            failed: None,
        }
    }

    pub(crate) fn of_key(mut self, key: &'a dyn KeyBytes) -> Self {
        self.key = Some(key);
        self
    }

    /// The present: journal time of the entry, milliseconds since 1970 UTC.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The entry's place.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The run's seed, for ids and samples that must differ between directories.
    pub fn seed(&self) -> &RunSeed {
        &self.context.seed
    }

    /// Chance, the same for the same entry, key and seed.
    pub fn rng(&mut self) -> &mut ChaCha8Rng {
        let Self { context, key, seq, rng, .. } = self;
        rng.get_or_insert_with(|| {
            let key = key.map(KeyBytes::bytes).unwrap_or_default();
            rng::stream(&context.seed, context.agent, &key, *seq)
        })
    }

    /// What all keys share, as it stood before this entry.
    ///
    /// # Errors
    /// The agent shares nothing of this type.
    pub fn shared<S: Shared>(&self) -> Result<&'a S, AgentError> {
        let found = self.shared.and_then(<dyn Any>::downcast_ref);
        found.ok_or_else(|| AgentError::Reject(format!("agent `{}` shares no such value", self.context.agent)))
    }

    /// Says `event` to everybody who listens.
    pub fn publish<T: Topic>(&mut self, event: T) {
        let partition = event.partition().unwrap_or(self.partition);
        self.publish_to(partition, event);
    }

    /// Says `event` in a given partition, e.g. to the one worker that owns it.
    pub fn publish_to<T: Topic>(&mut self, partition: u16, event: T) {
        let Some((topic, body)) = self.encode(partition, &event) else { return };
        self.out.entries.push(NewEntry {
            partition,
            topic,
            cause: self.seq,
            dedup: 0,
            fingerprint: 0,
            body,
            decoded: Some(Arc::new(event)),
        });
    }

    /// Sends the state of `from` to the worker that owns `to`.
    pub(crate) fn publish_moved<A: Agent>(
        &mut self,
        from: &A::Key,
        to: &A::Key,
        state: &A::State,
    ) -> Result<(), AgentError> {
        if self.replaying {
            return Ok(());
        }
        let state = codec::encode(A::STATE_VERSION, state)?.to_vec();
        self.publish_state::<A>(
            to,
            &StateMoved { from: from.encode(), to: to.encode(), state, hops: 0, since: self.seq },
        )
    }

    pub(crate) fn publish_state<A: Agent>(&mut self, to: &A::Key, moved: &StateMoved) -> Result<(), AgentError> {
        if self.replaying {
            return Ok(());
        }
        let topic = self.context.reader.journal().name(&moved_topic(A::NAME))?;
        let body = codec::encode(1, moved)?;
        self.check_size(&body)?;
        let (partition, cause) = (to.partition(), self.seq);
        self.out.entries.push(NewEntry { partition, topic, cause, dedup: 0, fingerprint: 0, body, decoded: None });
        Ok(())
    }

    /// Says `event` at `due_ms`, exactly then, also after a crash. An instant already past comes next.
    pub fn schedule<T: Topic>(&mut self, due_ms: i64, event: &T) -> TimerKey {
        let key = TimerKey { due_ms, seq: self.seq, writer: self.context.agent_id.0, index: self.next_index() };
        let partition = event.partition().unwrap_or(self.partition);
        if let Some((topic, body)) = self.encode(partition, event) {
            self.out.timers.push(TimerOp::Set { key, partition, topic, body });
        }
        key
    }

    /// Takes a scheduled word back; one that was said already is let be.
    pub fn cancel(&mut self, key: TimerKey) {
        if !self.replaying {
            self.out.timers.push(TimerOp::Cancel(key));
        }
    }

    /// Asks for something outside. It is done once this step is durable; what comes of it is an entry.
    pub fn effect<E: Effect>(&mut self, effect: &E) {
        self.ask(effect);
    }

    /// Asks for long work of the processor alone; its result is an entry.
    pub fn offload<J: Job>(&mut self, job: &J) {
        self.ask(job);
    }

    fn ask<T: Topic>(&mut self, what: &T) {
        let id = EffectId { seq: self.seq, writer: self.context.agent_id.0, index: self.next_index() };
        let partition = what.partition().unwrap_or(self.partition);
        if let Some((topic, body)) = self.encode(partition, what) {
            self.out.effects.push(NewEffect { id, partition, topic, body });
        }
    }

    /// This entry left the state as it was: nothing is to be written behind for it.
    pub fn unchanged(&mut self) {
        self.unchanged = true;
    }

    /// A partition of this very worker, for words it says to itself.
    pub fn worker_partition(&self) -> u16 {
        self.context.worker as u16
    }

    /// Which of the agent's workers this is, and how many there are.
    pub fn worker(&self) -> (usize, usize) {
        (self.context.worker, self.context.workers)
    }

    /// An earlier entry, by its place. An entry never changes, so looking back is pure.
    ///
    /// # Errors
    /// There is none, it is erased, or it is another type.
    pub fn entry<T: Topic>(&self, seq: Seq) -> Result<Held<T>, AgentError> {
        if seq > self.seq {
            return Err(AgentError::Reject(format!("entry {seq} is not in the past of entry {}", self.seq)));
        }
        let held = Held::read(&self.context.reader, seq)?;
        if self.context.reader.is_gone::<T>(self.seq, seq, held.body()?) {
            return Err(AgentError::Reject(format!("entry {seq} is forgotten with age")));
        }
        Ok(held)
    }

    /// As [`Self::entry`]; `None` where it is erased, or forgotten with age.
    ///
    /// # Errors
    /// There is none, or it is another type.
    pub fn entry_if_kept<T: Topic>(&self, seq: Seq) -> Result<Option<Held<T>>, AgentError> {
        let chunk = self.context.reader.chunk(seq)?;
        let erased = chunk.as_ref().and_then(|chunk| chunk.get(seq)).is_some_and(|entry| entry.erased.is_some());
        if erased {
            return Ok(None);
        }
        let held = Held::read(&self.context.reader, seq)?;
        let gone = self.context.reader.is_gone::<T>(self.seq, seq, held.body()?);
        Ok((!gone).then_some(held))
    }

    /// Looks at the journal's entries from `from` to `to`, this entry at the latest; at most `limit`,
    /// in order. Answers the place after the last one looked at. An entry never changes, so looking
    /// back is pure.
    ///
    /// # Errors
    /// The store's error, as a retry; what `look` says.
    pub fn look_back(
        &self,
        from: Seq,
        to: Seq,
        limit: usize,
        mut look: impl FnMut(&Past<'_>) -> Result<(), AgentError>,
    ) -> Result<Seq, AgentError> {
        let mut next = from.max(1);
        let to = to.min(self.seq);
        let mut left = limit;
        while left > 0 && next <= to {
            let Some(chunk) = self.context.reader.chunk(next)? else { break };
            for entry in chunk.from(next).iter().take(left) {
                if entry.seq > to {
                    return Ok(entry.seq);
                }
                look(&Past { entry, at: self.seq, context: self.context })?;
                next = entry.seq + 1;
                left -= 1;
            }
        }
        Ok(next)
    }

    fn next_index(&mut self) -> u16 {
        let index = self.named * self.context.workers + self.context.worker;
        self.named += 1;
        if index > usize::from(u16::MAX) {
            self.failed = Some(AgentError::Reject("more than 65,535 timers and effects in one step".into()));
        }
        index as u16
    }

    fn encode<T: Topic>(&mut self, partition: u16, event: &T) -> Option<(NameId, bytes::Bytes)> {
        if self.replaying {
            return None;
        }
        let encoded = self.context.name(T::NAME).and_then(|topic| {
            let body = codec::encode(T::VERSION, event)?;
            self.check_size(&body)?;
            check_partition(partition)?;
            check_round_trip::<T>(&body)?;
            Ok((topic, body))
        });
        match encoded {
            Ok(encoded) => Some(encoded),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    /// What the journal would refuse must not come as far as the writer: the whole step would fail there.
    fn check_size(&self, body: &[u8]) -> Result<(), AgentError> {
        let max = self.context.reader.journal().limits().body_bytes_max;
        if body.len() <= max {
            return Ok(());
        }
        Err(AgentError::Reject(format!("a body of {} bytes is larger than {max}", body.len())))
    }

    /// Ends the handling: whether the state changed, or what went wrong on the way.
    pub(crate) fn finish(self) -> Result<bool, AgentError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(!self.unchanged),
        }
    }
}

fn check_partition(partition: u16) -> Result<(), AgentError> {
    if partition < PARTITIONS {
        return Ok(());
    }
    Err(AgentError::Reject(format!("there is no partition {partition}: there are {PARTITIONS}")))
}

/// Readers at the head get the value that was said, later ones what its body decodes to: in debug
/// builds, a topic where the two differ (a skipped field, a map in random order) is found out.
fn check_round_trip<T: Topic>(body: &[u8]) -> Result<(), AgentError> {
    if cfg!(debug_assertions) {
        let again = codec::encode(T::VERSION, &codec::decode::<T>(T::VERSION, body)?)?;
        if again.as_ref() != body {
            return Err(AgentError::Reject(format!("topic `{}` is not read back as it was written", T::NAME)));
        }
    }
    Ok(())
}

/// A key of any type, as bytes.
pub(crate) trait KeyBytes {
    fn bytes(&self) -> Vec<u8>;
}

impl<K: AgentKey> KeyBytes for K {
    fn bytes(&self) -> Vec<u8> {
        self.encode()
    }
}

/// An entry on its way through a handler.
pub(crate) struct Folding<'a> {
    /// What is folded.
    pub(crate) entry: &'a Entry,
    /// The place it is folded at: its own, or that of the entry that brings it again.
    pub(crate) seq: Seq,
    /// Journal time there.
    pub(crate) now_ms: i64,
    /// The machine's time, for the age of unwritten state alone.
    pub(crate) age_ms: i64,
}

impl Folding<'_> {
    /// What the entry came of; where it comes again, that is the entry itself.
    pub(crate) fn cause(&self) -> Seq {
        if self.seq == self.entry.seq { self.entry.cause } else { self.entry.seq }
    }
}

/// An entry of the past, looked back at.
pub struct Past<'a> {
    entry: &'a Entry,
    /// The entry that looks back.
    at: Seq,
    context: &'a Context,
}

impl Past<'_> {
    /// Its place.
    pub fn seq(&self) -> Seq {
        self.entry.seq
    }

    /// Journal time, milliseconds since 1970 UTC.
    pub fn at_ms(&self) -> i64 {
        self.entry.at_ms
    }

    /// The entry it came of; 0 for none.
    pub fn cause_seq(&self) -> Seq {
        self.entry.cause
    }

    /// Whether its partition is this worker's.
    pub fn is_own(&self) -> bool {
        self.context.owns(self.entry.partition)
    }

    /// What it says, if it is a `T` and neither erased nor forgotten with age.
    ///
    /// # Errors
    /// A body that can't be read.
    pub fn get<T: Topic>(&self) -> Result<Option<&T>, AgentError> {
        if self.entry.erased.is_some() || self.entry.topic != self.context.name(T::NAME)? {
            return Ok(None);
        }
        let body: &T = self.entry.decode(T::VERSION)?;
        Ok((!self.context.reader.is_gone(self.at, self.entry.seq, body)).then_some(body))
    }

    /// The entry it came of, as `C`; `None` where that is erased.
    ///
    /// # Errors
    /// There is none, or it can't be read.
    pub fn cause<C: Topic>(&self) -> Result<Option<Held<C>>, AgentError> {
        let reader = &self.context.reader;
        let chunk = reader.chunk(self.entry.cause)?;
        if chunk.as_ref().and_then(|chunk| chunk.get(self.entry.cause)).is_some_and(|entry| entry.erased.is_some()) {
            return Ok(None);
        }
        let held: Held<C> = Held::read(reader, self.entry.cause)?;
        let gone = reader.is_gone(self.at, self.entry.cause, held.body()?);
        Ok((!gone).then_some(held))
    }
}
