//! The suppression agent: which addresses are not to be written to, whoever they belong to.
//!
//! What it keeps outlives the person: an address is a keyed hash, whose key is the directory's own, so that
//! nothing tells whose it was, and yet a message to it can be held back for ever.

mod policy;

use impresario_runtime::{Agent, AgentError, AgentKey, Event, On, Routes, Step, Topic};
use serde::{Deserialize, Serialize};

pub use policy::{AddressHash, Suppression, WhySuppressed, verdict};

/// An address is not to be written to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressSuppressed {
    /// Which one.
    pub address: AddressHash,
    /// Why.
    pub why: WhySuppressed,
}

impl Topic for AddressSuppressed {
    const NAME: &'static str = "address.suppressed";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.address.partition())
    }
}

/// An address may be written to again: whoever it belongs to has asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionLifted {
    /// Which one.
    pub address: AddressHash,
}

impl Topic for SuppressionLifted {
    const NAME: &'static str = "address.suppression.lifted";
    const PERSONAL: bool = false;

    fn partition(&self) -> Option<u16> {
        Some(self.address.partition())
    }
}

/// The agent.
pub struct Suppressions;

impl Agent for Suppressions {
    const NAME: &'static str = "suppressions";
    type Key = AddressHash;
    type State = Suppression;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|suppressed: &AddressSuppressed| suppressed.address);
        routes.on(|lifted: &SuppressionLifted| lifted.address);
    }
}

impl On<AddressSuppressed> for Suppressions {
    fn on(
        &self,
        suppression: &mut Suppression,
        event: &Event<'_, AddressSuppressed>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        suppression.add(event.why, step.now_ms());
        Ok(())
    }
}

impl On<SuppressionLifted> for Suppressions {
    fn on(
        &self,
        suppression: &mut Suppression,
        _: &Event<'_, SuppressionLifted>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        *suppression = Suppression::default();
        Ok(())
    }
}
