use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use ractor::ActorRef;

use super::message::WorkerMessage;

/// A worker's doorbell: says that there is something to read, at most once until it is answered.
#[derive(Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    door: RwLock<Option<ActorRef<WorkerMessage>>>,
}

impl Bell {
    pub(super) fn ring(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let rang = self.door.read().as_ref().is_some_and(|door| door.send_message(WorkerMessage::Bell).is_ok());
        if !rang {
            // Nobody at home: whoever moves in looks for himself.
            self.rung.store(false, Ordering::Release);
        }
    }

    /// The bell is heard; the next ring counts again.
    pub(super) fn heard(&self) {
        // A swap, not a store: who rang before it must be seen with all it had written, and who rings
        // after it must find the bell silent. With a store, a ring in between could be lost.
        self.rung.swap(false, Ordering::AcqRel);
    }

    pub(super) fn hang(&self, door: ActorRef<WorkerMessage>) {
        *self.door.write() = Some(door);
        self.heard();
        self.ring();
    }

    pub(super) fn door(&self) -> Option<ActorRef<WorkerMessage>> {
        self.door.read().clone()
    }

    pub(super) fn take_down(&self) {
        *self.door.write() = None;
    }
}
