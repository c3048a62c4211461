//! What is asked and answered of journeys.

use std::collections::BTreeMap;

use impresario_agents::journeys::Journey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::control::profiles::ProfileIdText;

/// One journey.
#[derive(Serialize, ToSchema)]
pub(super) struct JourneyView {
    /// Its id.
    pub(super) id: String,
    /// The version that people begin now: the place of the entry that defined it.
    pub(super) version: u64,
    /// When it was defined, milliseconds since 1970 UTC.
    pub(super) defined_at_ms: i64,
    /// What it is.
    #[schema(value_type = Object)]
    pub(super) journey: Journey,
    /// People in it now, in any version.
    pub(super) running: u64,
    /// People that were turned away, since there was no room.
    pub(super) turned_away: u64,
    /// What is counted, by version, the newest first.
    pub(super) versions: Vec<VersionView>,
}

/// What is counted of one version.
#[derive(Serialize, ToSchema)]
pub(super) struct VersionView {
    /// Which version.
    pub(super) version: u64,
    /// How often somebody has begun it.
    pub(super) entered: u64,
    /// People in it now.
    pub(super) running: u64,
    /// People at each step now, and how often somebody has come to it.
    #[schema(value_type = Object)]
    pub(super) steps: BTreeMap<Box<str>, StepView>,
    /// How often it has ended, by outcome.
    #[schema(value_type = Object)]
    pub(super) outcomes: BTreeMap<Box<str>, u64>,
    /// How often it could not go on, by reason.
    #[schema(value_type = Object)]
    pub(super) stuck: BTreeMap<&'static str, u64>,
}

/// One step.
#[derive(Default, Serialize, ToSchema)]
pub(super) struct StepView {
    /// People at it now.
    pub(super) at: u64,
    /// How often somebody has come to it.
    pub(super) reached: u64,
}

/// A page of journeys.
#[derive(Serialize, ToSchema)]
pub(super) struct JourneyList {
    /// The journeys, by id.
    pub(super) journeys: Vec<JourneyView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// A page of people in a journey.
#[derive(Serialize, ToSchema)]
pub(super) struct RunList {
    /// Who is in it, or was lately.
    pub(super) people: Vec<RunView>,
    /// Where the next page begins; none on the last one. A page may be short, or empty, and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One person in a journey.
#[derive(Serialize, ToSchema)]
pub(super) struct RunView {
    /// Who.
    #[schema(value_type = String)]
    pub(super) profile: ProfileIdText,
    /// Which journey.
    pub(super) journey: String,
    /// Which version of it.
    pub(super) version: u64,
    /// When they began it, milliseconds since 1970 UTC.
    pub(super) began_at_ms: i64,
    /// The step they are at, or were at when it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<String>,
    /// Since when they are at the step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since_ms: Option<i64>,
    /// When that is over by time alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until_ms: Option<i64>,
    /// What the last step ended with, or what began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) because: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended_at_ms: Option<i64>,
    /// How it ended: `converted`, `finished`, `stopped`, `stuck`, or what its `end` step says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outcome: Option<String>,
    /// Why it could not go on, or who stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// Somebody is to begin a journey.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRun {
    /// The person's profile id.
    #[schema(value_type = String)]
    pub(super) profile: Box<str>,
    /// The campaign its decisions are of, where the journey names none.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) campaign: Option<Box<str>>,
    /// What it is about, for templates.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(super) context: Map<String, Value>,
}
