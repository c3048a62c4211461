//! The troupe: which agents play, with how many workers, and who performs their effects.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use bytes::Bytes;
use impresario_store::{Entry, Journal, StoreError, codec};

use crate::{
    Agent, AgentKey, Effect, EffectCall, EffectError, Failure, Job, JobPast, Performing, Routes, RunSeed, RuntimeError,
    RuntimeLimits, SubjectId, Topic,
    about::About,
    disturbance::Disturbance,
    worker::{AnyWorker, Worker, WorkerParts},
};

/// The agents of one host, and what performs their effects.
#[derive(Default)]
pub struct Troupe {
    pub(crate) agents: Vec<Box<dyn AnyAgent>>,
    pub(crate) performers: BTreeMap<&'static str, Arc<dyn AnyPerformer>>,
    pub(crate) limits: RuntimeLimits,
    pub(crate) disturbance: Option<Disturbance>,
    /// What is known of topics that no agent listens to.
    pub(crate) abouts: Vec<Arc<About>>,
    wrong: Option<String>,
}

impl Troupe {
    /// An empty troupe with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other limits.
    #[must_use]
    pub fn limits(mut self, limits: RuntimeLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How many states a worker holds in memory; the others are read back from the store when they are needed.
    #[must_use]
    pub fn states_in_memory(mut self, states: usize) -> Self {
        self.limits.state_keys_max = states;
        self
    }

    /// What people did so many days ago is forgotten; never, for `None`. Fewer than
    /// [`RETENTION_DAYS_MIN`](crate::RETENTION_DAYS_MIN) count as that many.
    #[must_use]
    pub fn retention_days(mut self, days: Option<u32>) -> Self {
        self.limits.retention_days = days;
        self
    }

    /// Whether states of an older version of an agent are folded again though part of the journal is forgotten.
    #[must_use]
    pub fn refold_from_kept(mut self, from_kept: bool) -> Self {
        self.limits.refold_from_kept = from_kept;
        self
    }

    /// Calls `disturb` with the agent's name before each entry an agent is to fold for the first time:
    /// a panic in there is a panic of the agent at that entry. For scenarios of failing agents.
    #[must_use]
    pub fn disturbed(mut self, disturb: impl Fn(&Journal, &str, &Entry) + Send + Sync + 'static) -> Self {
        self.disturbance = Some(Arc::new(disturb));
        self
    }

    /// Adds an agent with one worker.
    #[must_use]
    pub fn agent<A: Agent>(self, agent: A) -> Self {
        self.agent_with_workers(agent, 1)
    }

    /// Adds an agent whose keys are shared among `workers` workers. A data directory keeps the
    /// number it was made with.
    #[must_use]
    pub fn agent_with_workers<A: Agent>(mut self, agent: A, workers: usize) -> Self {
        let routes = Routes::<A>::of();
        if self.agents.iter().any(|known| known.name() == A::NAME) {
            self.wrong = Some(format!("there are two agents `{}`", A::NAME));
        }
        self.wrong = self.wrong.or_else(|| routes.wrong.clone());
        self.agents.push(Box::new(Registered {
            agent: Arc::new(agent),
            routes: Arc::new(routes),
            workers: workers.clamp(1, 64),
        }));
        self
    }

    /// Performs the effect `E` with `perform`.
    #[must_use]
    pub fn effect<E, F>(mut self, perform: impl Fn(E, EffectCall) -> F + Send + Sync + 'static) -> Self
    where
        E: Effect,
        F: Future<Output = Result<E::Outcome, EffectError>> + Send + 'static,
    {
        let performer = EffectPerformer { perform, effect: std::marker::PhantomData::<fn(E)> };
        self.performers.insert(E::NAME, Arc::new(performer));
        self
    }

    /// Does the job `J` when an agent offloads it.
    #[must_use]
    pub fn job<J: Job>(mut self) -> Self {
        self.performers.insert(J::NAME, Arc::new(JobPerformer(std::marker::PhantomData::<fn(J)>)));
        self
    }

    /// Makes known whose data is in entries of `T`, where no agent listens to it.
    #[must_use]
    pub fn topic<T: Topic>(mut self) -> Self {
        self.abouts.push(Arc::new(About::topic::<T>()));
        self
    }

    pub(crate) fn check(&self) -> Result<(), RuntimeError> {
        match &self.wrong {
            Some(wrong) => Err(RuntimeError::Setup(wrong.clone())),
            None => Ok(()),
        }
    }

    /// How many workers `agent` has in this directory: as many as when the directory was made.
    pub(crate) fn workers(journal: &Journal, agent: &dyn AnyAgent) -> Result<usize, RuntimeError> {
        let name = format!("workers/{}", agent.name());
        if let Some(stored) = journal.meta(&name)? {
            return Ok(usize::from(stored.first().copied().unwrap_or(1)).max(1));
        }
        let mut commit = impresario_store::Commit::new(impresario_store::OUTSIDE);
        commit.writes.push(Journal::meta_write(&name, &[agent.workers() as u8]));
        journal.commit_one(journal.last_at().unwrap_or(i64::MIN), commit)?;
        Ok(agent.workers())
    }
}

/// An agent of any type.
pub(crate) trait AnyAgent: Send + Sync {
    fn name(&self) -> &'static str;
    fn workers(&self) -> usize;
    /// The version of its states' shape.
    fn state_version(&self) -> u8;
    fn topics(&self) -> Vec<String>;
    /// Whose data is in the topics it listens to.
    fn abouts(&self) -> Vec<Arc<About>>;
    /// The partition of a subject's key; `None` where its keys are no people.
    fn partition_of_subject(&self, subject: SubjectId) -> Option<u16>;
    /// The partition of the key that `text` says.
    fn partition_of(&self, text: &str) -> Option<u16>;
    fn start(&self, parts: WorkerParts) -> Result<Box<dyn AnyWorker>, Failure>;
}

struct Registered<A: Agent> {
    agent: Arc<A>,
    routes: Arc<Routes<A>>,
    workers: usize,
}

impl<A: Agent> AnyAgent for Registered<A> {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn state_version(&self) -> u8 {
        A::STATE_VERSION
    }

    fn topics(&self) -> Vec<String> {
        self.routes.by_topic.iter().map(|route| route.topic.clone()).collect()
    }

    fn abouts(&self) -> Vec<Arc<About>> {
        self.routes.abouts.clone()
    }

    fn partition_of_subject(&self, subject: SubjectId) -> Option<u16> {
        A::Key::of_subject(subject).map(|key| key.partition())
    }

    fn partition_of(&self, text: &str) -> Option<u16> {
        A::Key::from_text(text).map(|key| key.partition())
    }

    fn start(&self, parts: WorkerParts) -> Result<Box<dyn AnyWorker>, Failure> {
        let worker = Worker::start(Arc::clone(&self.agent), Arc::clone(&self.routes), parts)?;
        Ok(Box::new(worker))
    }
}

/// What came of an effect, ready for the journal.
pub(crate) struct Outcome {
    pub(crate) topic: &'static str,
    pub(crate) partition: Option<u16>,
    pub(crate) body: Bytes,
}

/// A performer of any effect or job.
pub(crate) trait AnyPerformer: Send + Sync {
    fn perform(&self, body: Bytes, call: EffectCall, journal: Arc<Journal>) -> Performing<Outcome>;
}

struct EffectPerformer<P, E> {
    perform: P,
    effect: std::marker::PhantomData<fn(E)>,
}

impl<E, P, F> AnyPerformer for EffectPerformer<P, E>
where
    E: Effect,
    P: Fn(E, EffectCall) -> F + Send + Sync,
    F: Future<Output = Result<E::Outcome, EffectError>> + Send + 'static,
{
    fn perform(&self, body: Bytes, call: EffectCall, _: Arc<Journal>) -> Performing<Outcome> {
        match codec::decode::<E>(E::VERSION, &body) {
            Ok(effect) => {
                let performing = (self.perform)(effect, call);
                Box::pin(async move { performing.await.and_then(|outcome| encode(&outcome)) })
            }
            Err(error) => Box::pin(std::future::ready(Err(unreadable(&error)))),
        }
    }
}

struct JobPerformer<J>(std::marker::PhantomData<fn(J)>);

impl<J: Job> AnyPerformer for JobPerformer<J> {
    fn perform(&self, body: Bytes, call: EffectCall, journal: Arc<Journal>) -> Performing<Outcome> {
        Box::pin(crate::live::off_thread(move || {
            let job = codec::decode::<J>(J::VERSION, &body).map_err(|error| unreadable(&error))?;
            job.run(&JobPast { seq: call.id.seq, journal }).and_then(|outcome| encode(&outcome))
        }))
    }
}

fn encode<T: Topic>(outcome: &T) -> Result<Outcome, EffectError> {
    let body = codec::encode(T::VERSION, outcome).map_err(|error| EffectError::Fail(error.to_string()))?;
    Ok(Outcome { topic: T::NAME, partition: outcome.partition(), body })
}

fn unreadable(error: &StoreError) -> EffectError {
    EffectError::Fail(format!("the effect can't be read: {error}"))
}

/// The seed of a directory, made at its first start.
///
/// # Errors
/// The store's error.
pub fn run_seed(journal: &Journal, fresh: impl FnOnce() -> RunSeed) -> Result<RunSeed, RuntimeError> {
    if let Some(stored) = journal.meta("seed")? {
        let seed = stored.as_ref().try_into();
        return seed.map_err(|_| RuntimeError::Setup("the directory's seed is not 32 bytes".into()));
    }
    let seed = fresh();
    let mut commit = impresario_store::Commit::new(impresario_store::OUTSIDE);
    commit.writes.push(Journal::meta_write("seed", &seed));
    journal.commit_one(journal.last_at().unwrap_or(i64::MIN), commit)?;
    Ok(seed)
}
