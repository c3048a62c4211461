//! The actors: a shell around each worker, and the supervisor that starts it again.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::{
    message::{Question, WorkerMessage},
    spawn::long_work,
    stage::Stage,
};
use crate::{
    Failure,
    worker::{AnyWorker, Progress, panic_text},
};

/// Steps a worker takes at one ring before its questions get their turn.
const STEPS_PER_RING: usize = 4;

/// The shell of one worker.
pub(super) struct WorkerActor {
    pub(super) stage: Arc<Stage>,
    pub(super) seat: usize,
}

impl WorkerActor {
    fn fall(&self, failure: &Failure) -> ActorProcessingErr {
        self.stage.fell(self.seat, failure.clone());
        ActorProcessingErr::from(failure.what.clone())
    }

    async fn rung(&self, worker: &mut dyn AnyWorker) -> Result<(), Failure> {
        self.stage.bell_heard(self.seat);
        for _ in 0..STEPS_PER_RING {
            if self.stage.is_paused(self.seat) {
                return Ok(());
            }
            let progress = self.stage.step(self.seat, worker)?;
            self.stage.progressed();
            if progress == Progress::Idle {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        self.stage.ring(self.seat);
        Ok(())
    }

    /// Looks at a state; where the question itself panics, the worker, which it can't change, goes on.
    fn answer(&self, question: Question, worker: &mut dyn AnyWorker) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| question(worker))) {
            tracing::error!(seat = self.seat, why = panic_text(panic.as_ref()), "a question has failed");
        }
    }
}

impl Actor for WorkerActor {
    type Msg = WorkerMessage;
    type State = Option<Box<dyn AnyWorker>>;
    type Arguments = ();

    /// Does nothing long: the supervisor waits for it. The worker begins at [`WorkerMessage::Open`].
    async fn pre_start(&self, _: ActorRef<Self::Msg>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, _: &mut Self::State) -> Result<(), ActorProcessingErr> {
        myself.send_message(WorkerMessage::Open)?;
        self.stage.hang_bell(self.seat, myself);
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        message: Self::Msg,
        playing: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let WorkerMessage::Open = message {
            let started = long_work(|| self.stage.start_worker(self.seat));
            *playing = Some(started.map_err(|failure| self.fall(&failure))?);
            return Ok(());
        }
        let Some(worker) = playing.as_deref_mut() else { return Ok(()) };
        match message {
            WorkerMessage::Open => Ok(()),
            WorkerMessage::Bell => self.rung(worker).await,
            WorkerMessage::Ask(question) => {
                self.answer(question, worker);
                Ok(())
            }
            WorkerMessage::WriteBehind { all, done } => {
                let written = long_work(|| worker.write_behind(all));
                if let Some(done) = done {
                    let _ = done.send(());
                }
                written
            }
        }
        .map_err(|failure| self.fall(&failure))
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
        self.stage.progressed();
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
