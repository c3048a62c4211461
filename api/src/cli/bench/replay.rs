//! `impresario bench replay`: folding a journal again on one core, and playing a scenario of many people.

use std::{fmt, sync::Arc};

use clap::Args;
use impresario_agents::{Casting, segmentation::SegmentDefined};
use impresario_runtime::{
    Driver, RuntimeError, new_entry,
    store::{Commit, Journal, JournalLimits, MemoryEngine, OUTSIDE, copy},
};
use impresario_scenarios::{RunOptions, Scenario};
use serde::Serialize;

use crate::{
    bench::{Bodies, Watch, Whom, definitions, processor_of_thread},
    cli::{CommandError, Common, output::Output},
    config::IngestLimits,
    import::segment,
};

const START_MS: i64 = 1_777_852_800_000;
const BATCH: usize = 500;

/// The arguments of `bench replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// People in the journal that is folded again
    #[arg(long, default_value_t = 20_000)]
    profiles: u64,
    /// Events in it
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Segments defined before them
    #[arg(long, default_value_t = 100)]
    segments: usize,
    /// People of the scenario, at most 20,000
    #[arg(long, default_value_t = 1_000)]
    people: u64,
    /// Days it lasts
    #[arg(long, default_value_t = 30)]
    days: u64,
}

/// What `bench replay` found.
#[derive(Debug, Serialize)]
struct Report {
    /// Entries folded again, by all agents on one thread.
    entries: u64,
    seconds: f64,
    processor_s: f64,
    /// By the second of processor time.
    entries_per_s: f64,
    /// Whether they came to the same states.
    same: bool,
    scenario: Played,
}

/// A scenario of people who each look at products every other day and order every eighth.
#[derive(Debug, Serialize)]
struct Played {
    people: u64,
    days: u64,
    events: u64,
    entries: u64,
    seconds: f64,
    processor_s: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, seconds, entries_per_s, same, scenario, .. } = self;
        let same = if *same { "the same states" } else { "other states" };
        writeln!(
            f,
            "{entries} entries folded again in {seconds:.2} s: {entries_per_s:.0} entries/s on one core, {same}"
        )?;
        let Played { people, days, events, entries, seconds, .. } = scenario;
        write!(f, "{people} people for {days} days, {events} events, {entries} entries: {seconds:.2} s")
    }
}

pub(super) fn run(common: &Common, args: &ReplayArgs, output: &Output) -> Result<(), CommandError> {
    let report = fold_again(common.casting, args)?;
    let same = report.same;
    output.answer(&report);
    if same { Ok(()) } else { Err(CommandError::No("the states differ from what the journal says".into())) }
}

fn fold_again(casting: Casting, args: &ReplayArgs) -> Result<Report, CommandError> {
    let engine = Arc::new(MemoryEngine::new());
    let mut driver = start(casting, Arc::clone(&engine))?;
    fill(&mut driver, args)?;
    let (entries, states) = (driver.journal().head(), driver.states_digest()?);
    drop(driver.stop()?);
    let bare = Arc::new(MemoryEngine::new());
    copy(engine.as_ref(), bare.as_ref(), false)?;
    drop(engine);
    let (watch, before) = (Watch::start(), processor_of_thread());
    let mut again = start(casting, bare)?;
    again.settle()?;
    let (seconds, processor) = (watch.passed().as_secs_f64(), processor_of_thread().saturating_sub(before));
    let same = again.states_digest()? == states;
    drop(again);
    let processor_s = processor.as_secs_f64();
    let entries_per_s = entries as f64 / processor_s.max(f64::MIN_POSITIVE);
    Ok(Report { entries, seconds, processor_s, entries_per_s, same, scenario: play(casting, args)? })
}

fn start(casting: Casting, engine: Arc<MemoryEngine>) -> Result<Driver, RuntimeError> {
    let journal = Journal::open(engine, JournalLimits::default())?;
    Driver::start(journal, casting(1), [7; 32], START_MS)
}

fn fill(driver: &mut Driver, args: &ReplayArgs) -> Result<(), CommandError> {
    for definition in definitions(args.segments) {
        let defined: SegmentDefined = serde_json::from_value(definition).map_err(|error| unlike(&error))?;
        driver.say(defined)?;
    }
    driver.settle()?;
    let limits = IngestLimits::default();
    let mut bodies = Bodies::new(0, BATCH, Whom::Anybody(args.profiles), "2026-05-04T00:00:00.000Z");
    let mut sent = 0;
    while sent < args.events {
        let body: serde_json::Value = serde_json::from_slice(bodies.next_batch()).map_err(|error| unlike(&error))?;
        let mut commit = Commit::new(OUTSIDE);
        for event in body.get("batch").and_then(serde_json::Value::as_array).into_iter().flatten() {
            let event = segment::event(&event.to_string(), &limits).map_err(|what| CommandError::No(what.into()))?;
            commit.entries.push(new_entry(driver.journal(), 0, event).map_err(RuntimeError::from)?);
        }
        sent += commit.entries.len() as u64;
        driver.submit(commit)?;
        driver.settle()?;
    }
    Ok(())
}

/// What this program wrote itself can't be read.
fn unlike(error: &serde_json::Error) -> CommandError {
    CommandError::No(error.to_string())
}

fn play(casting: Casting, args: &ReplayArgs) -> Result<Played, CommandError> {
    let ReplayArgs { people, days, .. } = args;
    let text = format!(
        r#"
scenario: bench
start: 2026-05-04T08:00:00+02:00[Europe/Warsaw]
seed: 7
people:
  anna: {{ email: anna@example.test }}
  crowd:
    traits: {{ plan: free }}
    population:
      count: {people}
      habits:
        - {{ track: Product Viewed, properties: {{ price: 5..80, currency: EUR }}, per_day: 0.5 }}
        - {{ track: Order Completed, properties: {{ total: 20..60, currency: EUR }}, every: 8d }}
segments:
  buyers: {{ condition: {{ event: {{ name: Order Completed, window: {{ last: 14d }}, op: ">=", value: 2 }} }} }}
  lookers: {{ condition: {{ event: {{ name: Product Viewed, window: {{ last: 7d }}, op: ">=", value: 4 }} }} }}
  regulars: {{ condition: {{ feature: {{ name: orders, op: ">=", value: 3 }} }} }}
goals:
  slipping-away: {{ metric: churn_risk, threshold: 0.9 }}
timeline:
  - at: 09:00
    events: [ {{ who: anna, track: Signed In }} ]
  - at: day {} 08:00
    expect: [ {{ segment: {{ name: buyers, has_not: anna }} }} ]
always: [membership_matches_entries, no_duplicate_events, journal_verifies]
"#,
        days + 1
    );
    let scenario = Scenario::parse(&text).map_err(|error| CommandError::Usage(error.to_string()))?;
    let (watch, before) = (Watch::start(), processor_of_thread());
    let outcome = impresario_scenarios::run(&scenario, &RunOptions { casting, ..RunOptions::default() });
    let outcome = outcome.map_err(|error| CommandError::No(error.to_string()))?;
    let (seconds, processor) = (watch.passed(), processor_of_thread().saturating_sub(before));
    if let Some(failure) = outcome.failures.first() {
        return Err(CommandError::No(format!("the scenario failed: {failure}")));
    }
    Ok(Played {
        people: *people,
        days: *days,
        events: outcome.metrics.events_sent,
        entries: outcome.metrics.entries,
        seconds: seconds.as_secs_f64(),
        processor_s: processor.as_secs_f64(),
    })
}
