//! What becomes of the messages of journeys: a run goes on once its channel has taken its message, and takes its
//! step's next channel where the gate or a channel has refused it.

use impresario_runtime::{AgentError, Event, On, Step};

use super::{Journeying, Journeys, Run, Standing, run::Walk, state::receipt_name, walk};
use crate::vocabulary::{
    Delivered, MessageId, MessageRefused, MessageReturned, MessageSent, ReceiptCame, ReceiptKind, Refusal,
};

/// Whether a run has asked for this message, and waits for what becomes of it.
fn awaits(run: &Run, id: MessageId) -> bool {
    matches!(&run.standing, Standing::Sending(message, _) if *message == id)
}

impl On<MessageSent> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, MessageSent>, step: &mut Step<'_>) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if walk.definitions.uses_best() {
                let answers = walk.own.answers.entry(event.channel).or_default();
                answers.sent = answers.sent.saturating_add(1);
            }
            if let Some(run) = walk.take(|run| awaits(run, event.id)) {
                walk.message_leaves(run);
            }
        })
    }
}

impl On<MessageReturned> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, MessageReturned>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(answers) = walk.own.answers.get_mut(&event.channel) {
                answers.sent = answers.sent.saturating_sub(1);
            }
            if let Some(run) = walk.take(|run| awaits(run, event.id)) {
                walk.message_waits(run, event.until_ms);
            }
        })
    }
}

impl On<MessageRefused> for Journeys {
    fn on(
        &self,
        own: &mut Journeying,
        event: &Event<'_, MessageRefused>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| {
            if let Some(run) = walk.take(|run| awaits(run, event.id)) {
                walk.message_failed(run, event.channel, event.by.clone());
            }
        })
    }
}

fn not_taken(why: &str) -> Refusal {
    Refusal { guard: "channel".into(), why: why.into() }
}

/// A receipt of a message of a run that waits for one.
fn receipt(walk: &mut Walk<'_, '_>, id: MessageId, kind: ReceiptKind) {
    walk.done(&|run, answer| {
        let wanted = answer.receipt.as_ref().is_some_and(|kinds| kinds.contains(&kind));
        (wanted && run.sent.contains(&id)).then(|| receipt_name(kind).into())
    });
}

impl On<ReceiptCame> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, ReceiptCame>, step: &mut Step<'_>) -> Result<(), AgentError> {
        if event.machine {
            step.unchanged();
            return Ok(());
        }
        walk(event.profile, own, step, |walk| {
            let answers = matches!(event.kind, ReceiptKind::Clicked | ReceiptKind::Replied);
            if answers && walk.definitions.uses_best() {
                let own = walk.own.answers.entry(event.channel).or_default();
                own.answered = own.answered.saturating_add(1);
            }
            // What is answered is out, also where its channel has not said so yet.
            if let Some(run) = walk.take(|run| awaits(run, event.id) && run.sent.contains(&event.id)) {
                match event.kind {
                    ReceiptKind::Bounced => walk.message_failed(run, event.channel, not_taken("it came back")),
                    _ => walk.message_taken(run),
                }
            }
            receipt(walk, event.id, event.kind);
        })
    }
}

impl On<Delivered> for Journeys {
    fn on(&self, own: &mut Journeying, event: &Event<'_, Delivered>, step: &mut Step<'_>) -> Result<(), AgentError> {
        walk(event.profile, own, step, |walk| match (walk.take(|run| awaits(run, event.id)), &event.failed) {
            (Some(run), None) => walk.message_taken(run),
            (Some(run), Some(why)) => walk.message_failed(run, event.channel, not_taken(why)),
            (None, None) => {}
            (None, Some(_)) => receipt(walk, event.id, ReceiptKind::Bounced),
        })
    }
}
