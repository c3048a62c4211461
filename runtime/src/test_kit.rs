//! `given(state).when(event).then(..)`: an agent's handler tested with no runtime.

use std::sync::Arc;

use impresario_store::{Engine, Entry, Journal, JournalLimits, StoreError, codec};

use crate::{
    Agent, AgentError, AgentKey, Event, On, RunSeed, Step, Topic,
    journal_reader::Reader,
    step::{Context, Folding, Outputs},
};

/// The state an agent's handler is tried on.
pub fn given<A: Agent>(agent: A, key: A::Key, state: A::State) -> Given<A> {
    Given { agent, key, state, now_ms: 0, seq: 1, seed: [7; 32] }
}

/// A state, a key and an instant.
pub struct Given<A: Agent> {
    agent: A,
    key: A::Key,
    state: A::State,
    now_ms: i64,
    seq: u64,
    seed: RunSeed,
}

impl<A: Agent> Given<A> {
    /// The instant of the event.
    #[must_use]
    pub fn at(mut self, now_ms: i64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// Handles `event`.
    ///
    /// # Panics
    /// Where the test's own in-memory journal can't be made.
    #[expect(clippy::expect_used, reason = "a test kit fails its test by panicking")]
    pub fn when<T: Topic>(mut self, event: &T) -> Then<A>
    where
        A: On<T>,
    {
        let engine: Arc<dyn Engine> = Arc::new(impresario_store::MemoryEngine::new());
        let journal = Journal::open(engine, JournalLimits::default()).expect("an empty journal opens");
        let agent_id = journal.name(A::NAME).expect("a name");
        let context = Context::new(Reader::new(Arc::clone(&journal)), A::NAME, agent_id, (0, 1), self.seed);
        let mut outputs = Outputs::default();
        let entry = Entry::for_test(self.seq, self.now_ms);
        let folding = Folding { entry: &entry, seq: self.seq, now_ms: self.now_ms, age_ms: 0 };
        let key = self.key.clone();
        let mut step = Step::new(&mut outputs, &context, None, &folding, key.partition(), false).of_key(&key);
        let handled = self.agent.on(&mut self.state, &Event::new(self.seq, self.now_ms, 0, event, None), &mut step);
        let handled = handled.and_then(|()| step.finish().map(|_| ()));
        self.seq += 1;
        Then { given: self, handled, outputs, journal }
    }
}

/// What came of it.
pub struct Then<A: Agent> {
    given: Given<A>,
    handled: Result<(), AgentError>,
    outputs: Outputs,
    journal: Arc<Journal>,
}

impl<A: Agent> Then<A> {
    /// The state now.
    pub fn state(&self) -> &A::State {
        &self.given.state
    }

    /// What the handler answered.
    pub fn handled(&self) -> &Result<(), AgentError> {
        &self.handled
    }

    /// All it said on topic `T`, in order.
    ///
    /// # Panics
    /// Where a body is not a `T`.
    #[expect(clippy::expect_used, reason = "a test kit fails its test by panicking")]
    pub fn said<T: Topic>(&self) -> Vec<T> {
        let Some(topic) = self.journal.known_name(T::NAME) else { return Vec::new() };
        let own = self.outputs.entries.iter().filter(|entry| entry.topic == topic);
        let read: Result<_, StoreError> = own.map(|entry| codec::decode(T::VERSION, &entry.body)).collect();
        read.expect("a body of its own topic")
    }

    /// The instants it scheduled something for.
    pub fn scheduled(&self) -> Vec<i64> {
        let set = self.outputs.timers.iter().filter_map(|timer| match timer {
            impresario_store::TimerOp::Set { key, .. } => Some(key.due_ms),
            impresario_store::TimerOp::Cancel(_) => None,
        });
        set.collect()
    }

    /// How many effects and jobs it asked for.
    pub fn effects(&self) -> usize {
        self.outputs.effects.len()
    }

    /// Checks what came of it, and goes on from there.
    #[must_use]
    pub fn then(self, check: impl FnOnce(&Self)) -> Given<A> {
        check(&self);
        self.given
    }
}
