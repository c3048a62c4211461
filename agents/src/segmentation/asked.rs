//! Conditions that are asked of one person, once: of what is known of them now.

use impresario_runtime::{AgentError, AgentKey, Event, On, Step, SubjectId, Topic};
use serde::{Deserialize, Serialize};

use super::{
    Condition, Definitions, Person, Segmentation,
    check::{self, DefinitionError},
    evaluate::View,
    plan::compile,
};
use crate::vocabulary::ProfileId;

/// Which of these conditions hold for a person now?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConditionsAsked {
    /// Of whom.
    pub profile: ProfileId,
    /// The asker's own number of the question.
    pub question: u64,
    /// The conditions; none of them looks at events.
    pub conditions: Vec<Condition>,
}

/// The answer to [`ConditionsAsked`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConditionsAnswered {
    /// Of whom.
    pub profile: ProfileId,
    /// As asked.
    pub question: u64,
    /// Whether each holds, in order. One that can't be asked does not.
    pub holds: Vec<bool>,
}

macro_rules! of_person {
    ($topic:ident, $name:literal) => {
        impl Topic for $topic {
            const NAME: &'static str = $name;

            fn partition(&self) -> Option<u16> {
                Some(self.profile.partition())
            }

            fn subject(&self) -> Option<SubjectId> {
                Some(self.profile.into())
            }
        }
    };
}

of_person!(ConditionsAsked, "segment.conditions.asked");
of_person!(ConditionsAnswered, "segment.conditions.answered");

/// Whether a condition can be asked of a person at once: what looks at events can't, since nothing is kept of
/// them that no segment asks for.
///
/// # Errors
/// What is wrong, and where.
pub fn check_asked(condition: &Condition) -> Result<(), DefinitionError> {
    check::check_shape(condition)?;
    let plan = compile(condition, &mut |_| 0).map_err(DefinitionError::Condition)?;
    if plan.measures.is_empty() {
        return Ok(());
    }
    let what = "it looks at events: define a segment of them, and ask whether the person is in it";
    Err(DefinitionError::Condition(what.into()))
}

impl On<ConditionsAsked> for Segmentation {
    fn on(
        &self,
        person: &mut Person,
        event: &Event<'_, ConditionsAsked>,
        step: &mut Step<'_>,
    ) -> Result<(), AgentError> {
        step.unchanged();
        let definitions = step.shared::<Definitions>()?;
        let view = View { person, definitions, now: step.now_ms() };
        let holds = event.conditions.iter().map(|condition| {
            let plan = compile(condition, &mut |_| 0).ok().filter(|plan| plan.measures.is_empty());
            plan.is_some_and(|plan| plan.root.truth(view).holds)
        });
        let holds = holds.collect();
        let (profile, question) = (event.profile, event.question);
        step.publish(ConditionsAnswered { profile, question, holds });
        Ok(())
    }
}
