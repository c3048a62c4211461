//! Everything held of one person, as JSON lines: what is handed to them when they ask for it.
//!
//! The first line is the customer as the system knows them; then one line for each agent that keeps
//! something of them; then every entry of the journal that is theirs, in order; then how many that were.

use impresario_agents::vocabulary::Tracked;
use impresario_runtime::{
    KeyState, Topic,
    store::{Entry, Journal, NameId, codec},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::ingest::Call;

/// Makes lines of a person's entries.
pub(crate) struct EntryLines<'a> {
    journal: &'a Journal,
    tracked: Option<NameId>,
    /// Entries so far.
    pub(crate) count: u64,
}

#[derive(Serialize)]
struct Line<'a, T> {
    seq: u64,
    at_ms: i64,
    topic: &'a str,
    #[serde(flatten)]
    said: Said<T>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Said<T> {
    /// A customer event, as Segment has it.
    Event(T),
    /// What an agent or an operator said.
    Body(T),
}

impl<'a> EntryLines<'a> {
    pub(crate) fn of(journal: &'a Journal) -> Self {
        Self { journal, tracked: journal.known_name(Tracked::NAME), count: 0 }
    }

    /// The line of one entry.
    pub(crate) fn line(&mut self, entry: &Entry) -> Result<Vec<u8>, serde_json::Error> {
        self.count += 1;
        let topic = self.journal.name_of(entry.topic);
        let (seq, at_ms, topic) = (entry.seq, entry.at_ms, topic.as_str());
        let event =
            if Some(entry.topic) == self.tracked { entry.decode::<Tracked>(Tracked::VERSION).ok() } else { None };
        let mut line = match event {
            Some(event) => serde_json::to_vec(&Line { seq, at_ms, topic, said: Said::Event(Call::of(event)) })?,
            None => serde_json::to_vec(&Line { seq, at_ms, topic, said: Said::Body(body(entry)) })?,
        };
        line.push(b'\n');
        Ok(line)
    }
}

/// The body of an entry of any topic; where it is nothing JSON can say, its bytes.
fn body(entry: &Entry) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    codec::decode::<Value>(u8::MAX, &entry.body).unwrap_or_else(|_| json!({ "base64": STANDARD.encode(&entry.body) }))
}

/// The first line: who they are.
pub(crate) fn profile_line(view: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    line(&json!({ "profile": view }))
}

/// What an agent keeps of them.
pub(crate) fn state_line(agent: &str, state: &KeyState) -> Result<Vec<u8>, serde_json::Error> {
    line(&json!({ "agent": agent, "key": state.key, "as_of_seq": state.seq, "state": state.state }))
}

/// The last line: that it is whole.
pub(crate) fn end_line(entries: u64) -> Result<Vec<u8>, serde_json::Error> {
    line(&json!({ "entries": entries, "whole": true }))
}

fn line(value: &Value) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}
