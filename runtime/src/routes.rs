//! Which topics an agent listens to, and what is done with each.

use std::{any::Any, sync::Arc};

use impresario_store::{Entry, StoreError, codec};

use crate::{
    Agent, AgentError, AgentKey, Checkpoint, Event, FailureKind, Keys, On, OnMany, OnShared, Shared, Step,
    SubjectForgotten, Topic,
    about::About,
    keys::hand_over,
    moved::{StateMoved, moved_topic},
    slots::Slots,
    step::{Context, Folding, Outputs},
};

/// A state handed over more often than this goes in circles.
const HOPS_MAX: u8 = 64;

/// One worker's room: all that handling an entry touches.
pub(crate) struct Room<A: Agent> {
    pub(crate) slots: Slots<A>,
    pub(crate) shared: Option<Box<dyn SharedBox>>,
    pub(crate) outputs: Outputs,
    pub(crate) context: Context,
    pub(crate) replaying: bool,
    /// Entries for keys whose state has gone to another key.
    pub(crate) passed_over: u64,
}

/// Why an entry was not folded.
pub(crate) struct Trouble {
    pub(crate) kind: FailureKind,
    pub(crate) what: String,
    /// Whether state may have been touched: then the worker must start again.
    pub(crate) spoilt: bool,
}

impl Trouble {
    /// Nothing was touched yet: an entry that can't be read.
    fn unread(error: StoreError) -> Self {
        Self { spoilt: false, ..Self::from(AgentError::from(error)) }
    }
}

impl From<AgentError> for Trouble {
    fn from(error: AgentError) -> Self {
        let (kind, what) = match error {
            AgentError::Retry(what) => (FailureKind::Retry, what),
            AgentError::Reject(what) => (FailureKind::Rejected, what),
        };
        Self { kind, what, spoilt: true }
    }
}

impl From<StoreError> for Trouble {
    /// The store's trouble is never the entry's fault; what is damaged will not heal by waiting.
    fn from(error: StoreError) -> Self {
        let lasting = matches!(error, StoreError::Damaged { .. } | StoreError::UnknownFormat { .. });
        let kind = if lasting { FailureKind::Worker } else { FailureKind::Retry };
        Self { kind, what: error.to_string(), spoilt: true }
    }
}

type Handle<A> = Box<dyn Fn(&A, &mut Room<A>, &Folding<'_>) -> Result<bool, Trouble> + Send + Sync>;

/// Touches the state an entry is for.
type Touch<A> = Box<dyn Fn(&Room<A>, &Entry) -> usize + Send + Sync>;

pub(crate) struct Route<A: Agent> {
    pub(crate) topic: String,
    pub(crate) touch: Option<Touch<A>>,
    /// Every worker of the agent folds it, and its state is written first.
    pub(crate) shared: bool,
    pub(crate) handle: Handle<A>,
}

/// What an agent listens to. Filled in by [`Agent::routes`].
pub struct Routes<A: Agent> {
    pub(crate) by_topic: Vec<Route<A>>,
    /// Whose data is in the topics it listens to.
    pub(crate) abouts: Vec<Arc<About>>,
    pub(crate) make_shared: Option<MakeShared>,
    pub(crate) wrong: Option<String>,
}

pub(crate) type MakeShared = fn(Option<&[u8]>) -> Result<Box<dyn SharedBox>, StoreError>;

/// Shared state of any type.
pub(crate) trait SharedBox: Send {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn encode(&self) -> Result<Vec<u8>, StoreError>;
    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error>;
}

struct SharedValue<S>(S);

impl<S: Shared> SharedBox for SharedValue<S> {
    fn as_any(&self) -> &dyn Any {
        &self.0
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        &mut self.0
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        Ok(codec::encode(1, &self.0)?.to_vec())
    }

    fn to_json(&self) -> Result<serde_json::Value, serde_json::Error> {
        serde_json::to_value(&self.0)
    }
}

fn make_shared<S: Shared>(stored: Option<&[u8]>) -> Result<Box<dyn SharedBox>, StoreError> {
    let mut value: S = match stored {
        Some(body) => codec::decode(1, body)?,
        None => S::default(),
    };
    value.restored();
    Ok(Box::new(SharedValue(value)))
}

impl<A: Agent> Routes<A> {
    pub(crate) fn of() -> Self {
        let mut routes = Self { by_topic: Vec::new(), abouts: Vec::new(), make_shared: None, wrong: None };
        A::routes(&mut routes);
        let moved = About::moved::<A::Key>(moved_topic(A::NAME));
        routes.add(moved_topic(A::NAME), false, moved, Box::new(receive_moved::<A>));
        routes
    }

    fn add(&mut self, topic: String, shared: bool, about: About, handle: Handle<A>) {
        if self.by_topic.iter().any(|route| route.topic == topic) {
            self.wrong = Some(format!("agent `{}` routes topic `{topic}` twice", A::NAME));
        }
        self.abouts.push(Arc::new(about));
        self.by_topic.push(Route { topic, touch: None, shared, handle });
    }

    /// Has the state of a `T`'s key touched beforehand, where many of them come (see [`Agent::touch`]).
    pub fn touches<T: Topic>(&mut self, key: impl Fn(&T) -> A::Key + Send + Sync + 'static) {
        if let Some(route) = self.by_topic.iter_mut().find(|route| route.topic == T::NAME) {
            route.touch = Some(Box::new(move |room, entry| {
                let body = entry.decode::<T>(T::VERSION);
                body.map_or(0, |body| room.slots.touch(&key(body)))
            }));
        }
    }

    /// Listens to `T`, each for the key that `key` tells.
    pub fn on<T: Topic>(&mut self, key: impl Fn(&T) -> A::Key + Send + Sync + 'static)
    where
        A: On<T>,
    {
        self.on_some(move |event: &T| Some(key(event)));
    }

    /// Listens to `T` where `key` tells a key; others are none of this agent's business.
    pub fn on_some<T: Topic>(&mut self, key: impl Fn(&T) -> Option<A::Key> + Send + Sync + 'static)
    where
        A: On<T>,
    {
        let key = Arc::new(key);
        let key_of = Arc::clone(&key);
        let about = About::keyed(move |event: &T| key_of(event).and_then(|key| key.subject()));
        let handle = move |agent: &A, room: &mut Room<A>, folding: &Folding<'_>| {
            let body = read::<T>(folding.entry)?;
            match key(body) {
                Some(key) => fold_one(agent, room, folding, body, &key),
                None => Ok(false),
            }
        };
        self.add(T::NAME.to_owned(), false, about, Box::new(handle));
    }

    /// Listens to `T`, each on the worker that owns the entry's partition, with all its keys.
    pub fn on_many<T: Topic>(&mut self)
    where
        A: OnMany<T>,
    {
        let handle = |agent: &A, room: &mut Room<A>, folding: &Folding<'_>| {
            let entry = folding.entry;
            if !room.context.owns(entry.partition) {
                return Ok(false);
            }
            let body = read::<T>(entry)?;
            let Room { slots, shared, outputs, context, replaying, .. } = room;
            let shared = shared.as_deref().map(SharedBox::as_any);
            let mut step = Step::new(outputs, context, shared, folding, entry.partition, *replaying);
            let event = Event::new(entry.seq, entry.at_ms, entry.cause, body, Some(&context.reader));
            let mut keys = Keys { slots, context, seq: folding.seq, cause: folding.cause(), age_ms: folding.age_ms };
            agent.on_many(&mut keys, &event, &mut step)?;
            step.finish()?;
            Ok(true)
        };
        self.add(T::NAME.to_owned(), false, About::topic::<T>(), Box::new(handle));
    }

    /// Listens to `T` on every worker, for what all keys share.
    pub fn on_shared<T: Topic>(&mut self)
    where
        A: OnShared<T>,
    {
        let make: MakeShared = make_shared::<<A as OnShared<T>>::Shared>;
        self.make_shared.get_or_insert(make);
        let handle = |agent: &A, room: &mut Room<A>, folding: &Folding<'_>| {
            let entry = folding.entry;
            let body = read::<T>(entry)?;
            let Room { shared, outputs, context, replaying, .. } = room;
            let boxed = shared.as_deref_mut().map(SharedBox::as_any_mut);
            let wrong = || AgentError::Reject(format!("agent `{}` shares values of two types", A::NAME));
            let value = boxed.and_then(<dyn Any>::downcast_mut::<<A as OnShared<T>>::Shared>).ok_or_else(wrong)?;
            let mut step = Step::new(outputs, context, None, folding, context.worker as u16, *replaying);
            let event = Event::new(entry.seq, entry.at_ms, entry.cause, body, Some(&context.reader));
            agent.on_shared(value, &event, &mut step)?;
            step.finish()?;
            Ok(true)
        };
        self.add(T::NAME.to_owned(), true, About::topic::<T>(), Box::new(handle));
    }

    /// On `T`, the state of the first key becomes the second's, by [`Agent::merge`].
    pub fn merges<T: Topic>(&mut self, loser_and_winner: impl Fn(&T) -> (A::Key, A::Key) + Send + Sync + 'static) {
        let loser_and_winner = Arc::new(loser_and_winner);
        let keys_of = Arc::clone(&loser_and_winner);
        let about = About::keyed(move |event: &T| keys_of(event).0.subject());
        let handle = move |_: &A, room: &mut Room<A>, folding: &Folding<'_>| {
            let (loser, winner) = loser_and_winner(read::<T>(folding.entry)?);
            if !room.context.owns(loser.partition()) {
                return Ok(false);
            }
            let Room { slots, outputs, context, replaying, .. } = room;
            let mut step = Step::new(outputs, context, None, folding, winner.partition(), *replaying);
            hand_over(slots, (folding.seq, folding.cause(), folding.age_ms), &loser, &winner, &mut step)?;
            step.finish()?;
            Ok(true)
        };
        self.add(T::NAME.to_owned(), false, about, Box::new(handle));
    }
}

fn read<T: Topic>(entry: &Entry) -> Result<&T, Trouble> {
    // Of an erased entry there is what was left of it, or it does not come as far as here.
    match entry.remainder::<T>(T::VERSION).map_err(Trouble::unread)? {
        Some(left) => Ok(left),
        None => entry.decode::<T>(T::VERSION).map_err(Trouble::unread),
    }
}

fn fold_one<A: Agent + On<T>, T: Topic>(
    agent: &A,
    room: &mut Room<A>,
    folding: &Folding<'_>,
    body: &T,
    key: &A::Key,
) -> Result<bool, Trouble> {
    let partition = key.partition();
    if !room.context.owns(partition) {
        return Ok(false);
    }
    let Room { slots, shared, outputs, context, replaying, passed_over } = room;
    let slot = slots.load(key)?;
    if slot.passes_over(folding.seq, folding.cause()) {
        return Ok(true);
    }
    if slot.moved.is_some() {
        *passed_over += 1;
        tracing::debug!(agent = A::NAME, seq = folding.seq, "an entry for a key whose state has moved");
        return Ok(true);
    }
    let entry = folding.entry;
    let shared = shared.as_deref().map(SharedBox::as_any);
    let mut step = Step::new(outputs, context, shared, folding, partition, *replaying).of_key(key);
    let event = Event::new(entry.seq, entry.at_ms, entry.cause, body, Some(&context.reader));
    agent.on(&mut slot.state, &event, &mut step)?;
    if step.finish()? {
        slots.mark(key, folding.seq, folding.age_ms)?;
    } else {
        slots.untouched(key);
    }
    Ok(true)
}

/// Takes in a state that has become one of this worker's keys'.
fn receive_moved<A: Agent>(agent: &A, room: &mut Room<A>, folding: &Folding<'_>) -> Result<bool, Trouble> {
    let entry = folding.entry;
    if !room.context.owns(entry.partition) {
        return Ok(false);
    }
    let moved = entry.decode::<StateMoved>(1).map_err(Trouble::unread)?;
    let winner = A::Key::decode(&moved.to)
        .ok_or_else(|| AgentError::Reject(format!("agent `{}`: a moved state names no key", A::NAME)))?;
    let Room { slots, shared, outputs, context, replaying, .. } = room;
    let slot = slots.load(&winner)?;
    if slot.passes_over(folding.seq, folding.cause()) {
        return Ok(true);
    }
    if moved.since < slot.begun_before(folding.seq) {
        let late = codec::decode(A::STATE_VERSION, &moved.state).map_err(AgentError::from)?;
        let shared = shared.as_deref().map(SharedBox::as_any);
        let mut step = Step::new(outputs, context, shared, folding, winner.partition(), *replaying).of_key(&winner);
        agent.came_late(late, &mut step)?;
        step.finish()?;
        return Ok(true);
    }
    if let Some(next) = slot.moved.clone() {
        if moved.hops >= HOPS_MAX {
            let what = format!("agent `{}`: keys that have become each other in a circle", A::NAME);
            return Err(AgentError::Reject(what).into());
        }
        let (from, state) = (moved.from.clone(), moved.state.clone());
        let onward = StateMoved { from, to: next.encode(), state, hops: moved.hops + 1, since: moved.since };
        Step::new(outputs, context, None, folding, next.partition(), *replaying).publish_state::<A>(&next, &onward)?;
        return Ok(true);
    }
    let loser = codec::decode(A::STATE_VERSION, &moved.state).map_err(AgentError::from)?;
    let shared = shared.as_deref().map(SharedBox::as_any);
    let mut step = Step::new(outputs, context, shared, folding, winner.partition(), *replaying).of_key(&winner);
    agent.merge_into(&winner, &mut slot.state, loser, &mut step)?;
    step.finish()?;
    slots.mark(&winner, folding.seq, folding.age_ms)?;
    Ok(true)
}

/// Lets go of the states of somebody who is forgotten.
pub(crate) fn forget<A: Agent>(
    agent: &A,
    room: &mut Room<A>,
    folding: &Folding<'_>,
    commit: u64,
) -> Result<bool, Trouble> {
    let forgotten = folding.entry.decode::<SubjectForgotten>(SubjectForgotten::VERSION).map_err(Trouble::unread)?;
    let Room { slots, shared, outputs, context, replaying, .. } = room;
    let shared = shared.as_deref().map(SharedBox::as_any);
    let mut forgotten_here = Vec::new();
    for key in forgotten.subjects.iter().filter_map(|subject| A::Key::of_subject(*subject)) {
        let partition = key.partition();
        if !context.owns(partition) {
            continue;
        }
        let slot = slots.load(&key)?;
        if slot.holds(folding.seq) {
            continue;
        }
        if slot.exists() && slot.moved.is_none() {
            let mut step = Step::new(outputs, context, shared, folding, partition, *replaying).of_key(&key);
            agent.forget(&key, &mut slot.state, &mut step)?;
            step.finish()?;
        }
        forgotten_here.push(key);
    }
    // Once all have been heard: what an agent refuses must not find half of a person gone.
    for key in &forgotten_here {
        slots.forget(key, folding.seq, commit, &mut outputs.writes)?;
    }
    let any = !forgotten_here.is_empty();
    if any && A::CHECKPOINT == Checkpoint::Whole {
        // All keys of such an agent are written as of one entry.
        slots.take_changed(usize::MAX, commit, &mut outputs.writes)?;
    }
    Ok(any)
}
