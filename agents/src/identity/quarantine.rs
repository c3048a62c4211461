//! The identifiers that have passed a cap, listed for the operator.

use impresario_runtime::{Agent, AgentError, Event, On, Routes, Step};
use serde::{Deserialize, Serialize};

use super::{Cap, IdentifierQuarantined, IdentifierReleased};
use crate::vocabulary::{Identifier, Millis, ProfileId};

/// The agent that keeps the list.
pub struct Quarantine;

/// An identifier that has passed a cap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quarantined {
    /// The identifier; none where its text was not at hand.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub identifier: Option<Identifier>,
    /// Which cap it passed last.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub cap: Option<Cap>,
    /// When that was.
    #[serde(rename = "t")]
    pub since_ms: Millis,
    /// When an operator released it; none while it is in quarantine.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub released_at_ms: Option<Millis>,
}

impl Quarantined {
    /// Whether it glues nobody now.
    pub fn stands(&self) -> bool {
        self.cap.is_some() && self.released_at_ms.is_none()
    }
}

impl Agent for Quarantine {
    const NAME: &'static str = "quarantine";
    type Key = ProfileId;
    type State = Quarantined;

    fn routes(routes: &mut Routes<Self>) {
        routes.on(|event: &IdentifierQuarantined| event.node);
        routes.on(|event: &IdentifierReleased| event.node);
    }
}

impl On<IdentifierQuarantined> for Quarantine {
    fn on(
        &self,
        state: &mut Quarantined,
        event: &Event<'_, IdentifierQuarantined>,
        _: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        let identifier = event.identifier.clone().or_else(|| state.identifier.take());
        *state = Quarantined { identifier, cap: Some(event.cap), since_ms: event.at_ms, released_at_ms: None };
        Ok(())
    }
}

impl On<IdentifierReleased> for Quarantine {
    fn on(
        &self,
        state: &mut Quarantined,
        event: &Event<'_, IdentifierReleased>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        if !state.stands() {
            step.unchanged();
            return Ok(());
        }
        state.released_at_ms = Some(event.at_ms);
        Ok(())
    }
}
