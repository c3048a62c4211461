//! What can be seen of a segment.

use impresario_agents::segmentation::{Condition, Segment, SegmentSize, SegmentSizes};
use impresario_runtime::{AgentError, store::Journal};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{app::App, control::condition::ConditionSchema, problem::Problem};

/// One segment.
#[derive(Serialize, ToSchema)]
pub(in crate::control) struct SegmentView {
    /// Its id.
    pub(in crate::control) id: String,
    /// Its name for people.
    name: String,
    /// Who is in it.
    #[schema(value_type = ConditionSchema)]
    condition: Condition,
    /// The goal that made it; none for an operator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::control) goal: Option<String>,
    /// Which definition this is: the place of its entry in the journal.
    version: u64,
    /// When it was defined so, milliseconds since 1970 UTC.
    defined_at_ms: i64,
    /// What people did before this was forgotten with age when the segment was defined, and is not looked at,
    /// milliseconds since 1970 UTC; none where the whole past was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    past_since_ms: Option<i64>,
    /// Whether all of the past, and then everybody, has been looked at for it: members and size are whole.
    ready: bool,
    /// How far that is, from 0 to 1.
    progress: f64,
    /// Members now.
    size: u64,
    /// How often somebody has entered, ever.
    entered: u64,
    /// How often somebody has left, ever.
    left: u64,
    /// When somebody last entered or left, milliseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_at_ms: Option<i64>,
}

pub(super) fn view(journal: &Journal, segment: &Segment, size: &SegmentSize) -> SegmentView {
    let defined = &segment.defined;
    SegmentView {
        id: defined.id.to_string(),
        name: defined.name.to_string(),
        condition: defined.condition.clone(),
        goal: defined.goal.as_deref().map(str::to_owned),
        version: segment.version,
        defined_at_ms: segment.defined_at_ms,
        past_since_ms: journal.horizon_at(segment.version).map(|horizon| horizon.since_ms),
        ready: size.backfill.is_done(segment.ready),
        progress: size.backfill.progress(segment.ready),
        size: size.size,
        entered: size.entered,
        left: size.left,
        changed_at_ms: size.changed_at_ms,
    }
}

pub(super) async fn with_size(app: &App, segment: &Segment) -> Result<SegmentView, Problem> {
    let sizes = sizes(app, vec![segment.defined.id.to_string()]).await?;
    Ok(view(app.host.journal(), segment, &sizes.into_iter().next().unwrap_or_default()))
}

/// What is counted of these segments, in their order.
pub(in crate::control) async fn sizes(app: &App, ids: Vec<String>) -> Result<Vec<SegmentSize>, Problem> {
    let read = app.host.read_worker::<SegmentSizes, _>(0, move |reading| {
        let size = |id: &String| Ok::<_, AgentError>(reading.get(id)?.cloned().unwrap_or_default());
        ids.iter().map(size).collect::<Result<Vec<_>, _>>()
    });
    Ok(read.await??)
}
