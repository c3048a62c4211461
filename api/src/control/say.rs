//! What an operator says: once, durably, and taken in before the answer.

use std::{collections::BTreeMap, time::Duration};

use impresario_agents::segmentation::{Condition, Definitions, Segmentation};
use impresario_runtime::{
    Agent, Topic, new_entry,
    store::{Commit, Durability, OUTSIDE, RequestKey, Seq},
};

use crate::{app::App, problem::Problem};

/// How long an answer waits for the agent to take in what was said.
const TAKEN_IN_WITHIN: Duration = Duration::from_secs(3);
/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(5);

/// The conditions that stand, by segment.
pub(super) type Conditions = BTreeMap<Box<str>, Condition>;

/// Says one thing, durably; its place, or that of the first time under this request.
pub(super) async fn say<T: Topic>(app: &App, what: T, request: Option<RequestKey>) -> Result<Seq, Problem> {
    let mut commit = Commit::new(OUTSIDE);
    commit.durability = Durability::Synced;
    commit.request = request;
    commit.entries.push(new_entry(app.host.journal(), 0, what)?);
    let receipt = app.submit(commit).await?;
    Ok(receipt.repeated.unwrap_or(receipt.first))
}

/// Whether this request was answered before: what it asks for is done.
pub(super) fn is_repeated(app: &App, request: Option<RequestKey>) -> bool {
    request.is_some_and(|key| app.host.journal().answered(&key).is_some())
}

/// What was said under this request before, if anything was, and where.
pub(super) fn told_again<T: Topic + Clone>(
    app: &App,
    request: Option<RequestKey>,
) -> Result<Option<(Seq, T)>, Problem> {
    let journal = app.host.journal();
    let Some(seq) = request.and_then(|key| journal.answered(&key)) else { return Ok(None) };
    let chunk = journal.chunk(seq)?;
    let entry = chunk.as_ref().and_then(|chunk| chunk.get(seq));
    let told = entry.map(|entry| entry.decode::<T>(T::VERSION)).transpose()?.cloned();
    Ok(told.map(|told| (seq, told)))
}

/// Waits until an agent has folded what was said at `seq`.
pub(super) async fn taken_in<A: Agent>(app: &App, seq: Seq) -> Result<(), Problem> {
    let folded = app.host.folded(A::NAME, seq, TAKEN_IN_WITHIN).await;
    folded.map_err(|_| not_taken_in(A::NAME))
}

/// Waits until the agent knows a segment in the version that is looked for, or no more.
pub(super) async fn segment_is(app: &App, id: &str, is_so: impl Fn(Option<Seq>) -> bool) -> Result<(), Problem> {
    let asking = async {
        loop {
            let id = id.to_owned();
            let known = app.host.read_worker::<Segmentation, _>(0, move |reading| {
                reading.shared::<Definitions>().and_then(|all| all.get(&id)).map(|segment| segment.version)
            });
            if is_so(known.await?) {
                return Ok(());
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
    };
    let asked: Result<Result<(), Problem>, _> = tokio::time::timeout(TAKEN_IN_WITHIN, asking).await;
    asked.unwrap_or_else(|_| Err(not_taken_in(Segmentation::NAME)))
}

fn not_taken_in(agent: &str) -> Problem {
    let detail = format!("it is on record, but agent `{agent}` has not taken it in yet; look again");
    Problem::unavailable(detail).retry_after(2)
}

/// Whether a segment of this id can be reached: `/api/segments/preview` is another door.
pub(super) fn may_be_id(id: &str) -> Result<(), Problem> {
    if id == "preview" {
        Err(Problem::invalid_body("`id`: `preview` is none; it is a path of its own"))
    } else {
        Ok(())
    }
}
