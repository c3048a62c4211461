//! `impresario bench segments`: what more segments and more people cost.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::{SETTLE_WITHIN, check_load, in_directory, median, timestamp, worst};
use crate::{
    bench::{BenchError, Client, Load, Outcome, Server, Watch, definitions, scattered},
    cli::{CommandError, output::Output},
};

/// How long a back-fill may take before it is given up.
const FILL_WITHIN: Duration = Duration::from_secs(600);
/// Pause between two looks at a back-fill.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The arguments of `bench segments`.
///
/// Two servers run side by side and get the load in turns, so that what else the machine does meets both; what is
/// compared is the processor time of each by event.
#[derive(Args, Clone, Debug)]
pub struct SegmentsArgs {
    /// Many people
    #[arg(long, default_value_t = 1_000_000)]
    profiles: u64,
    /// Few people
    #[arg(long, default_value_t = 10_000)]
    few_profiles: u64,
    /// Many segments, of which five look at the events that come
    #[arg(long, default_value_t = 1_000)]
    segments: usize,
    /// Few segments, of which five look at the events that come
    #[arg(long, default_value_t = 10)]
    few_segments: usize,
    /// Events of one turn
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// Turns of each server
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Events a second that come in while a new segment is filled
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Events of the person the dearest definitions look at; a measure keeps 10,000
    #[arg(long, default_value_t = 10_000)]
    person_events: u64,
    /// Events in one request
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    connections: u64,
    /// Where the data lies meanwhile; it is removed at the end [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// What `bench segments` found.
#[derive(Debug, Serialize)]
struct Report {
    by_segments: Compared,
    by_profiles: Compared,
    /// A new segment that reads the past, under load.
    back_fill: Filled,
    /// A new segment that asks for nothing that is not kept already, under load.
    sweep: Filled,
    /// The dearest definitions there can be, looked at for somebody with as many events as are kept.
    worst: Vec<worst::Worst>,
}

/// The cost of an event beside few and beside many.
#[derive(Debug, Serialize)]
struct Compared {
    few: u64,
    many: u64,
    /// Microseconds of the server's processor time by event, the median of all turns.
    micros_few: f64,
    micros_many: f64,
    /// The median of the ratios of neighbouring turns.
    ratio: f64,
    rss_mib_few: u64,
    rss_mib_many: u64,
}

/// How a new segment was filled while events came in.
#[derive(Debug, Serialize)]
struct Filled {
    profiles: u64,
    /// Entries of the journal at its definition.
    entries: u64,
    seconds: f64,
    /// Processor time of the server meanwhile, what the events took included.
    processor_s: f64,
    members: u64,
    /// Events acknowledged by the second meanwhile.
    events_per_s: f64,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { micros_few, micros_many, ratio, .. } = self;
        write!(f, "{micros_few:.2} and {micros_many:.2} us of processor time by event: {ratio:.2} times")
    }
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profiles, entries, seconds, members, events_per_s, .. } = self;
        write!(
            f,
            "{seconds:.1} s over {profiles} people and {entries} entries, {members} members, {events_per_s:.0} events/s meanwhile"
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by_segments, by_profiles, back_fill, sweep, worst } = self;
        writeln!(f, "{} and {} segments: {by_segments}", by_segments.few, by_segments.many)?;
        writeln!(f, "{} and {} people: {by_profiles}", by_profiles.few, by_profiles.many)?;
        writeln!(f, "a new segment that reads the past: {back_fill}")?;
        write!(f, "a new segment that does not: {sweep}")?;
        worst.iter().try_for_each(|worst| write!(f, "\n{worst}"))
    }
}

pub(super) fn run(args: &SegmentsArgs, output: &Output) -> Result<(), CommandError> {
    check_load(args.batch, args.connections)?;
    let report = in_directory(args.directory.as_deref(), |directory| measure(args, directory))?;
    output.answer(&report);
    Ok(())
}

fn measure(args: &SegmentsArgs, directory: &Path) -> Result<Report, CommandError> {
    let of_segments =
        |name: &str, count: usize| Side::start(args, &directory.join(name), &scattered(count), args.few_profiles);
    let few = of_segments("few-segments", args.few_segments)?;
    let many = of_segments("many-segments", args.segments)?;
    let by_segments = compare(args, &few, &many, (args.few_segments as u64, args.segments as u64))?;
    drop((few, many));
    let of_people = |name: &str, people: u64| Side::start(args, &directory.join(name), &definitions(100), people);
    let few = of_people("few-people", args.few_profiles)?;
    let many = of_people("many-people", args.profiles)?;
    let by_profiles = compare(args, &few, &many, (args.few_profiles, args.profiles))?;
    drop(few);
    let reads_past = json!({ "event": {
        "name": "Product Added", "aggregate": "sum", "property": "price", "window": { "last": "60d" },
        "op": ">=", "value": 50 } });
    let back_fill = fill(args, &many, "bench-new", &reads_past)?;
    let sweep =
        fill(args, &many, "bench-known", &json!({ "feature": { "name": "product_views", "op": ">=", "value": 1 } }))?;
    drop(many);
    Ok(Report { by_segments, by_profiles, back_fill, sweep, worst: worst::measure(args.person_events)? })
}

/// A server that knows its people already.
struct Side {
    server: Server,
    people: u64,
    /// Connections so far: each sends events of its own.
    connections: std::cell::Cell<u64>,
}

impl Side {
    fn start(args: &SegmentsArgs, directory: &Path, definitions: &[Value], people: u64) -> Result<Self, BenchError> {
        let server = Server::start(directory, &[])?;
        server.define(definitions)?;
        let side = Self { server, people, connections: std::cell::Cell::new(0) };
        let load = Load { each_once: true, batch: 500, ..side.load(args, people) };
        load.run()?;
        side.server.settled(SETTLE_WITHIN)?;
        Ok(side)
    }

    fn load(&self, args: &SegmentsArgs, events: u64) -> Load {
        let first_connection = self.connections.replace(self.connections.get() + args.connections);
        Load {
            address: self.server.address,
            write_key: self.server.write_key.clone(),
            connections: args.connections,
            batch: args.batch,
            profiles: self.people,
            each_once: false,
            first_connection,
            duration: FILL_WITHIN,
            rate: None,
            events_max: events,
            timestamp: timestamp(),
        }
    }

    /// Microseconds of the server's processor time by event of one turn.
    fn turn(&self, args: &SegmentsArgs) -> Result<f64, BenchError> {
        let before = self.server.processor();
        let Outcome { events, .. } = self.load(args, args.events).run()?;
        self.server.settled(SETTLE_WITHIN)?;
        let spent = self.server.processor().saturating_sub(before);
        Ok(spent.as_secs_f64() * 1e6 / events.max(1) as f64)
    }
}

fn compare(
    args: &SegmentsArgs,
    few: &Side,
    many: &Side,
    (count_few, count_many): (u64, u64),
) -> Result<Compared, BenchError> {
    let (mut micros_few, mut micros_many, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=args.rounds.max(1) {
        let (of_few, of_many) = (few.turn(args)?, many.turn(args)?);
        // The first turn only warms up.
        if round > 0 {
            micros_few.push(of_few);
            micros_many.push(of_many);
            ratios.push(of_many / of_few.max(f64::MIN_POSITIVE));
        }
    }
    Ok(Compared {
        few: count_few,
        many: count_many,
        micros_few: median(micros_few),
        micros_many: median(micros_many),
        ratio: median(ratios),
        rss_mib_few: few.server.rss_mib().0,
        rss_mib_many: many.server.rss_mib().0,
    })
}

/// Defines a segment while events come in, and waits until it is whole.
fn fill(args: &SegmentsArgs, side: &Side, id: &str, condition: &Value) -> Result<Filled, BenchError> {
    let load = Load { events_max: u64::MAX, rate: Some(args.rate), ..side.load(args, 0) };
    let ended = std::sync::atomic::AtomicBool::new(false);
    let mut admin = side.server.admin()?;
    let entries = side.server.metrics(&mut admin)?.entries;
    std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run_until(&ended));
        let (watch, before) = (Watch::start(), side.server.processor());
        let definition = json!({ "id": id, "name": id, "condition": condition }).to_string();
        let filled = until_ready(&mut admin, id, &definition, watch);
        let seconds = watch.passed().as_secs_f64();
        let processor_s = side.server.processor().saturating_sub(before).as_secs_f64();
        ended.store(true, std::sync::atomic::Ordering::Release);
        let loaded = loading.join().unwrap_or_else(|_| Err(BenchError::Server("the load has failed".into())));
        let (segment, Outcome { events, .. }) = (filled?, loaded?);
        let members = segment.get("size").and_then(Value::as_u64).unwrap_or_default();
        let events_per_s = events as f64 / seconds;
        Ok(Filled { profiles: side.people, entries, seconds, processor_s, members, events_per_s })
    })
}

/// Defines a segment, and waits until it is whole.
fn until_ready(admin: &mut Client, id: &str, definition: &str, watch: Watch) -> Result<Value, BenchError> {
    admin.json("POST", "/api/segments", definition.as_bytes())?;
    loop {
        let segment = admin.json("GET", &format!("/api/segments/{id}"), &[])?;
        if segment.get("ready") == Some(&Value::Bool(true)) {
            return Ok(segment);
        }
        if watch.passed() > FILL_WITHIN {
            return Err(BenchError::Server("a new segment was not filled in time".into()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
