//! What is asked and answered of deals, leads and tasks.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::control::{
    page::{Limit, limit_default},
    profiles::ProfileIdText,
};

/// A page of deals.
#[derive(Serialize, ToSchema)]
pub(super) struct DealList {
    /// The deals.
    pub(super) deals: Vec<DealView>,
    /// Where the next page begins; none on the last one. A page may be short, or empty, and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One deal.
#[derive(Serialize, ToSchema)]
pub(super) struct DealView {
    /// Whose.
    #[schema(value_type = String)]
    pub(super) profile: ProfileIdText,
    /// Its id.
    pub(super) deal: String,
    /// Its name for people.
    pub(super) name: String,
    /// Its stage.
    pub(super) stage: String,
    /// `open`, `won` or `lost`.
    pub(super) status: &'static str,
    /// Why it is lost.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) why: String,
    /// What it is worth, millionths of the currency.
    pub(super) value_micros: i64,
    /// Three letters (ISO 4217); empty where no value is told.
    pub(super) currency: String,
    /// When it last changed, milliseconds since 1970 UTC.
    pub(super) changed_at_ms: i64,
}

/// A deal to be begun, or told anew.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDeal {
    /// The person's profile id.
    #[schema(value_type = String)]
    pub(super) profile: Box<str>,
    /// Its id, 1 to 64 bytes.
    #[schema(value_type = String)]
    pub(super) deal: Box<str>,
    /// Its name for people, at most 256 bytes.
    #[serde(default)]
    #[schema(value_type = String)]
    pub(super) name: Box<str>,
    /// Its stage, at most 256 bytes; `new` unless said.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) stage: Option<Box<str>>,
    /// What it is worth, millionths of the currency.
    #[serde(default)]
    pub(super) value_micros: i64,
    /// Three capital letters (ISO 4217); none where no value is told.
    #[serde(default)]
    #[schema(value_type = String)]
    pub(super) currency: Box<str>,
}

/// What becomes of a deal: exactly one of the three.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangedDeal {
    /// It comes to this stage.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) stage: Option<Box<str>>,
    /// It is won.
    #[serde(default)]
    pub(super) won: Option<bool>,
    /// It is lost, for this reason.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) lost: Option<Box<str>>,
}

/// Leads, the highest score first.
#[derive(Serialize, ToSchema)]
pub(super) struct LeadList {
    /// The leads.
    pub(super) leads: Vec<LeadView>,
    /// Where the next page begins; none on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One lead.
#[derive(Serialize, ToSchema)]
pub(super) struct LeadView {
    /// Who.
    #[schema(value_type = String)]
    pub(super) profile: ProfileIdText,
    /// The score now, thousandths of a point.
    pub(super) score_milli: i64,
    /// Whether it was last said to be hot.
    pub(super) hot: bool,
    /// What the score is made of.
    pub(super) parts: Vec<LeadPart>,
}

/// One part of a score.
#[derive(Serialize, ToSchema)]
pub(super) struct LeadPart {
    /// What was done: `asked`, `signed_up`, `form`, `view`, `cart`, `checkout`, `order`, `answer`.
    pub(super) deed: &'static str,
    /// What it is worth now, thousandths of a point.
    pub(super) worth_milli: i64,
}

/// A page of tasks.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskList {
    /// The open tasks.
    pub(super) tasks: Vec<TaskView>,
    /// Where the next page begins; none on the last one. A page may be short, or empty, and still have a next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

/// One task.
#[derive(Serialize, ToSchema)]
pub(super) struct TaskView {
    /// Its id.
    pub(super) id: String,
    /// Whom it is about.
    #[schema(value_type = String)]
    pub(super) profile: ProfileIdText,
    /// `hot_lead`, `ticket_open` or `complaint`.
    pub(super) kind: &'static str,
    /// Why, in words.
    pub(super) why: String,
    /// Since when, milliseconds since 1970 UTC.
    pub(super) since_ms: i64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LeadPage {
    /// Where the page begins: `next` of the page before.
    pub(super) cursor: Option<String>,
    /// At most so many.
    #[serde(default = "limit_default")]
    #[param(value_type = usize, minimum = 1, maximum = 1000, default = 100)]
    pub(super) limit: Limit,
}
