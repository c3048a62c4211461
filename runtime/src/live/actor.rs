//! The actors: a shell around each worker, and the supervisor that starts it again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::host::Stage;
use crate::{
    Failure,
    worker::{AnyWorker, Progress},
};

/// Steps a worker takes at one ring before others get their turn.
const STEPS_PER_RING: usize = 4;

/// A question to a worker's state.
pub(super) type Question = Box<dyn FnOnce(&mut dyn AnyWorker) + Send>;

/// What a worker's actor hears. Never a business message.
pub(super) enum WorkerMessage {
    /// There may be something to read.
    Bell,
    /// A question.
    Ask(Question),
    /// Write changed state: what is due at this instant, or all of it; then say so.
    WriteBehind { now_ms: i64, all: bool, done: Option<tokio::sync::oneshot::Sender<()>> },
}

/// The shell of one worker.
pub(super) struct WorkerActor {
    pub(super) stage: Arc<Stage>,
    pub(super) seat: usize,
}

pub(super) struct Playing {
    worker: Box<dyn AnyWorker>,
}

impl WorkerActor {
    fn fall(&self, failure: &Failure) -> ActorProcessingErr {
        self.stage.fell(self.seat, failure.clone());
        ActorProcessingErr::from(failure.what.clone())
    }
}

impl Actor for WorkerActor {
    type Msg = WorkerMessage;
    type State = Playing;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        let worker = self.stage.start_worker(self.seat).map_err(|failure| self.fall(&failure))?;
        Ok(Playing { worker })
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, _: &mut Self::State) -> Result<(), ActorProcessingErr> {
        self.stage.hang_bell(self.seat, myself);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        playing: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let worker = playing.worker.as_mut();
        match message {
            WorkerMessage::Bell => {
                self.stage.bell_heard(self.seat);
                if self.stage.is_paused(self.seat) {
                    return Ok(());
                }
                for _ in 0..STEPS_PER_RING {
                    let progress = self.stage.step(self.seat, worker).map_err(|failure| self.fall(&failure))?;
                    self.stage.progressed();
                    if progress == Progress::Idle {
                        return Ok(());
                    }
                    tokio::task::yield_now().await;
                }
                self.stage.ring(self.seat);
            }
            WorkerMessage::Ask(question) => question(worker),
            WorkerMessage::WriteBehind { now_ms, all, done } => {
                let written = worker.write_behind(now_ms, all);
                written.map_err(|error| {
                    self.fall(&Failure { seq: worker.cursor(), what: error.to_string(), retry: true })
                })?;
                if let Some(done) = done {
                    let _ = done.send(());
                }
            }
        }
        Ok(())
    }
}

/// What the supervisor hears.
pub(super) enum SupervisorMessage {
    /// Start the worker of this seat (again).
    Start(usize),
    /// An operator resumes a suspended worker.
    Resume(usize),
}

/// Starts workers, one for one.
pub(super) struct Supervisor {
    pub(super) stage: Arc<Stage>,
}

impl Supervisor {
    async fn start(&self, myself: &ActorRef<SupervisorMessage>, seats: &mut BTreeMap<ActorId, usize>, seat: usize) {
        if self.stage.is_closing() {
            return;
        }
        let shell = WorkerActor { stage: Arc::clone(&self.stage), seat };
        match WorkerActor::spawn_linked(None, shell, (), myself.get_cell()).await {
            Ok((actor, _)) => {
                seats.insert(actor.get_id(), seat);
            }
            Err(error) => self.fallen(myself, seat, &error.to_string()),
        }
    }

    fn fallen(&self, myself: &ActorRef<SupervisorMessage>, seat: usize, why: &str) {
        self.stage.take_down_bell(seat);
        if self.stage.is_closing() {
            return;
        }
        if let Some(after_ms) = self.stage.after_fall(seat, why) {
            myself.send_after(Duration::from_millis(after_ms), move || SupervisorMessage::Start(seat));
        }
    }

    fn seat_of(seats: &mut BTreeMap<ActorId, usize>, who: &ActorCell) -> Option<usize> {
        seats.remove(&who.get_id())
    }
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = BTreeMap<ActorId, usize>;
    type Arguments = usize;

    async fn pre_start(&self, myself: ActorRef<Self::Msg>, count: usize) -> Result<Self::State, ActorProcessingErr> {
        for seat in 0..count {
            myself.send_message(SupervisorMessage::Start(seat))?;
        }
        Ok(BTreeMap::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        seats: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Start(seat) => self.start(&myself, seats, seat).await,
            SupervisorMessage::Resume(seat) => {
                if self.stage.resume_suspended(seat) {
                    self.start(&myself, seats, seat).await;
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        seats: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(who, error) => {
                if let Some(seat) = Self::seat_of(seats, &who) {
                    self.fallen(&myself, seat, &error.to_string());
                }
            }
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                // Killed or cancelled: a failure like another.
                if let Some(seat) = Self::seat_of(seats, &who) {
                    self.fallen(&myself, seat, reason.as_deref().unwrap_or("ended"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
