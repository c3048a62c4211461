//! The channels: what performs a message that was let through. The only code here that reaches people.
//!
//! Right before a channel acts the gate is asked once more, of the person as they are by then: what was
//! acknowledged before is taken in first, so that nothing goes out after an acknowledged unsubscription or stop.

mod look;
mod outbox;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{Arc, OnceLock, Weak},
};

use impresario_agents::{
    gate::NotNow,
    vocabulary::{Deliver, Delivered, HeldBack, ProfileId, Refusal},
};
use impresario_runtime::{EffectCall, EffectError, Troupe};
use parking_lot::RwLock;

use self::outbox::{Outbox, OutboxError, Prepared};
use crate::app::App;

/// How long a message waits for the server to be up.
const UP_AFTER_MS: u64 = 100;
/// Times the gate is asked while more and more is acknowledged.
const LOOKS_MAX: usize = 20;
/// Erasures looked at in one go.
const ERASURES_PAGE: usize = 1_000;

/// The channels of a server.
pub(crate) struct Channels {
    outbox: Outbox,
    /// The server they belong to, once it is up.
    app: OnceLock<Weak<App>>,
    /// Held for the moment between the last look at the journal's end and the message being out.
    leaving: RwLock<()>,
}

impl Channels {
    /// The channels of a data directory.
    pub(crate) fn new(directory: &Path) -> Arc<Self> {
        Arc::new(Self { outbox: Outbox::new(directory.join("outbox")), app: OnceLock::new(), leaving: RwLock::new(()) })
    }

    /// The troupe with the channels as those who perform its messages.
    pub(crate) fn join(self: &Arc<Self>, troupe: Troupe) -> Troupe {
        let channels = Arc::clone(self);
        troupe.effect(move |message: Deliver, call| {
            let channels = Arc::clone(&channels);
            async move { channels.deliver(message, &call).await }
        })
    }

    /// Waits for the message that is leaving at this moment, if one is: what is acknowledged after this is
    /// acknowledged after it. Whatever comes then finds the journal longer, and is stopped.
    pub(crate) fn rest(&self) {
        drop(self.leaving.read());
    }

    /// Tells which server they belong to. Until then no message goes out.
    pub(crate) fn belong_to(&self, app: &Arc<App>) {
        // A second time would be the same server.
        let _ = self.app.set(Arc::downgrade(app));
    }

    async fn deliver(&self, message: Deliver, call: &EffectCall) -> Result<Delivered, EffectError> {
        let app = self.app.get().and_then(Weak::upgrade).ok_or_else(|| EffectError::Retry {
            why: "the server is not up yet".to_owned(),
            after_ms: Some(UP_AFTER_MS),
        })?;
        let at_ms = let_through_at(&app, call)?;
        let (outbox, letter) = (self.outbox.clone(), message.clone());
        let prepared = app.beside(move || outbox.prepare(&letter, at_ms)).await.map_err(again)?;
        let stopped = match prepared.map_err(of_outbox)? {
            // An earlier attempt has sent it.
            None => None,
            Some(prepared) => self.send(&app, &message, at_ms, prepared).await?,
        };
        let Deliver { id, profile, campaign, channel, .. } = message;
        let held = stopped.map(|stopped| {
            let (by, for_good) = match stopped {
                NotNow::Held(by) => (by, false),
                NotNow::Refused(by) => (by, true),
            };
            HeldBack { until_ms: look::now_ms(&app), by, for_good }
        });
        Ok(Delivered { id, profile, campaign, channel, failed: None, held })
    }

    /// Publishes what the gate, which let it through at `at_ms`, still lets through; else why not. What is held is
    /// not out and never will be by this attempt: its file is taken away before that is said.
    async fn send(
        &self,
        app: &App,
        message: &Deliver,
        at_ms: i64,
        prepared: Prepared,
    ) -> Result<Option<NotNow>, EffectError> {
        let mut prepared = Some(prepared);
        for _ in 0..LOOKS_MAX {
            let seen = app.host.journal().head();
            let concerned = match look::last_look(app, message, at_ms).await? {
                Ok(concerned) => concerned,
                Err(stopped) => {
                    let (message, NotNow::Held(by) | NotNow::Refused(by)) = (message.id, &stopped);
                    let Refusal { guard, why } = by;
                    tracing::info!(%message, %guard, %why, "a message was stopped by the gate at the last moment");
                    return Ok(Some(stopped));
                }
            };
            let _leaving = self.leaving.write();
            // Of what came while the gate was asked, most is of others.
            if !concerned.since(app.host.journal(), seen).map_err(again)? {
                // It is on disk by now: only its name is changed.
                if let Some(prepared) = prepared.take() {
                    prepared.publish().map_err(of_outbox)?;
                }
                return Ok(None);
            }
        }
        Err(EffectError::Retry { why: "there is no end of what comes in of the person".to_owned(), after_ms: None })
    }

    /// Takes away what was written to people who have been erased.
    pub(crate) fn forget_erased(&self, app: &App) {
        let mut after = None;
        loop {
            let Ok(page) = app.host.erasures(after, ERASURES_PAGE) else { return };
            let people: Vec<_> = page.iter().map(|status| ProfileId(status.person.0)).collect();
            match self.outbox.forget(&people) {
                Ok(0) => {}
                Ok(files) => tracing::info!(files, "files of erased people were taken out of the outbox"),
                Err(error) => tracing::error!(%error, "the outbox still has files of erased people"),
            }
            after = page.last().map(|status| status.person);
            if page.len() < ERASURES_PAGE {
                return;
            }
        }
    }
}

/// When the gate let a message through: the instant of the entry that it came of, whatever the attempt.
fn let_through_at(app: &App, call: &EffectCall) -> Result<i64, EffectError> {
    let chunk = app.host.journal().chunk(call.id.seq).map_err(again)?;
    let entry = chunk.as_ref().and_then(|chunk| chunk.get(call.id.seq));
    entry.map(|entry| entry.at_ms).ok_or_else(|| EffectError::Fail("the entry it came of is gone".to_owned()))
}

fn again(why: impl Into<Box<dyn std::error::Error>>) -> EffectError {
    EffectError::Retry { why: why.into().to_string(), after_ms: None }
}

fn of_outbox(error: OutboxError) -> EffectError {
    match error {
        OutboxError::System { .. } | OutboxError::Full(_) => again(error),
        OutboxError::Instant => EffectError::Fail(error.to_string()),
    }
}
