//! Channels: the only code that carries a message outside.

mod outbox;

use std::{path::Path, sync::Arc};

use impresario_agents::vocabulary::Deliver;
use impresario_runtime::{Clock, EffectError, Troupe};

use self::outbox::Outbox;

/// The folder of the outbox in a data directory.
const OUTBOX: &str = "outbox";

/// The troupe, with those who carry its messages outside.
pub(crate) fn perform(troupe: Troupe, data: &Path, clock: Arc<dyn Clock>) -> Troupe {
    let outbox = Arc::new(Outbox::new(data.join(OUTBOX)));
    troupe.effect(move |deliver: Deliver, _| {
        let (outbox, now_ms) = (Arc::clone(&outbox), clock.now_ms());
        async move {
            #[expect(clippy::disallowed_methods, reason = "a file is written and synced, beside the threads of agents")]
            let carried = tokio::task::spawn_blocking(move || outbox.carry(&deliver, now_ms)).await;
            carried.unwrap_or_else(|_| Err(EffectError::Fail("the outbox broke".into())))
        }
    })
}
