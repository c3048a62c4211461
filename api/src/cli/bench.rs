//! `impresario bench`: measures the real program.

mod decisions;
mod import;
mod replay;
mod restart;
mod segments;
mod worst;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use clap::{Args, Subcommand};
use impresario_runtime::{Clock, WallClock};
use serde::Serialize;
use serde_json::Value;

use super::{
    CommandError, Common,
    bench_door::{self, ConnectionsArgs, OverloadArgs, SlowClientsArgs},
    output::Output,
    serve::raise_descriptor_limit,
};
use crate::bench::{BenchError, Client, Load, MARKED, Outcome, Server, Watch, definitions, percentile, yardstick};

/// How long the agents may take to catch up at the end.
const SETTLE_WITHIN: Duration = Duration::from_secs(120);
/// Pause between two marked events.
const MARK_EVERY: Duration = Duration::from_millis(50);
/// Pause between two looks for it: the questions must not be the load.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// How long a marked event may take to be seen.
const MARK_WITHIN: Duration = Duration::from_secs(30);

/// The arguments of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What can be measured.
#[derive(Subcommand, Clone, Debug)]
pub enum What {
    /// Events over HTTP into profiles and segments, and two yardsticks in the same run
    Ingest(IngestArgs),
    /// Slow clients: when they are closed, and how a good one fares meanwhile
    SlowClients(SlowClientsArgs),
    /// Very many busy connections
    Connections(ConnectionsArgs),
    /// More events than can be taken in
    Overload(OverloadArgs),
    /// What an event costs with more segments and more people, back-filling, and the worst definition there can be
    Segments(segments::SegmentsArgs),
    /// Memory, disk, and how soon a directory is ready again after a stop and after a kill
    Restart(restart::RestartArgs),
    /// Folding a journal again on one core, and playing a scenario of many people
    Replay(replay::ReplayArgs),
    /// How fast a policy of 384 arms decides and learns
    Decisions(decisions::DecisionsArgs),
    /// Importing a table
    Import(import::ImportArgs),
}

/// The arguments of `bench ingest`.
#[derive(Args, Clone, Debug)]
pub struct IngestArgs {
    /// People the events are of
    #[arg(long, default_value_t = 100_000)]
    pub profiles: u64,
    /// Stops after so many events
    #[arg(long, default_value_t = 1_000_000_000)]
    pub events: u64,
    /// Events in one request
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    pub connections: u64,
    /// How long to send
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Events a second at most [default: as many as are taken]
    #[arg(long)]
    pub rate: Option<u64>,
    /// Segments defined before
    #[arg(long, default_value_t = 100)]
    pub segments: usize,
    /// Where the data lies meanwhile; it is removed at the end [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Leaves the yardsticks out
    #[arg(long)]
    pub no_yardsticks: bool,
}

/// What `bench ingest` found.
#[derive(Debug, Serialize)]
struct Report {
    /// Events acknowledged, from the first request until every agent had folded them, by the second.
    events_per_s: f64,
    /// Events acknowledged while the load ran, by the second.
    acked_per_s: f64,
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    /// From just before a marked event is sent until the segment's size, asked for every millisecond,
    /// counts the person.
    event_to_segment_ms_p50: f64,
    event_to_segment_ms_p99: f64,
    rss_mib: u64,
    rss_mib_max: u64,
    events: u64,
    event_bytes: usize,
    batch: usize,
    connections: u64,
    segments: usize,
    profiles: u64,
    seconds: f64,
    /// Of them, waiting for the agents after the last acknowledgement.
    catching_up_s: f64,
    /// How often the door said "busy".
    busy: u64,
    groups: u64,
    entries: u64,
    /// Of them, how often somebody entered or left a segment, by event.
    segment_changes_per_event: f64,
    marked_events: usize,
    /// Time of each stage as a share of the whole run; stages run side by side.
    share_by_stage: BTreeMap<String, f64>,
    /// Processor time by thread as a share of the whole run.
    processor_by_thread: BTreeMap<String, f64>,
    /// The same door, which only parses and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    parse_only_per_s: Option<f64>,
    /// A file the same bytes are appended to, synced once for all who wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    synced_file_per_s: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, connections, segments, profiles, .. } = self;
        writeln!(
            f,
            "{:.0} events/s end to end ({:.0} acknowledged/s): batches of {batch}, {connections} connections, {segments} segments, {profiles} people",
            self.events_per_s, self.acked_per_s
        )?;
        writeln!(f, "acknowledged after {:.2} ms (p50), {:.2} ms (p99)", self.ack_ms_p50, self.ack_ms_p99)?;
        writeln!(
            f,
            "in its segment after {:.2} ms (p50), {:.2} ms (p99)",
            self.event_to_segment_ms_p50, self.event_to_segment_ms_p99
        )?;
        writeln!(f, "{} MiB of memory, {} at most", self.rss_mib, self.rss_mib_max)?;
        for (stage, share) in &self.share_by_stage {
            writeln!(f, "  {stage:<24} {:>5.1} % of the time", share * 100.0)?;
        }
        for (thread, share) in &self.processor_by_thread {
            writeln!(f, "  thread {thread:<17} {:>5.1} % of a processor", share * 100.0)?;
        }
        if let Some(parse_only) = self.parse_only_per_s {
            writeln!(f, "the door alone (parses and answers): {parse_only:.0} events/s")?;
        }
        if let Some(file) = self.synced_file_per_s {
            writeln!(f, "a synced file alone: {file:.0} events/s")?;
        }
        write!(f, "{} events in {:.1} s", self.events, self.seconds)
    }
}

impl From<BenchError> for CommandError {
    fn from(error: BenchError) -> Self {
        Self::No(error.to_string())
    }
}

/// Runs `bench`.
///
/// # Errors
/// A measurement that could not be taken.
pub fn run(common: &Common, args: &BenchArgs, output: &Output) -> Result<(), CommandError> {
    let args = match &args.what {
        What::Ingest(args) => args,
        What::SlowClients(args) => return within_directory(output, |at| bench_door::slow_clients(args, at)),
        What::Connections(args) => return within_directory(output, |at| bench_door::connections(args, at)),
        What::Overload(args) => return within_directory(output, |at| bench_door::overload(args, at)),
        What::Segments(args) => return segments::run(args, output),
        What::Restart(args) => return restart::run(args, output),
        What::Replay(args) => return replay::run(common, args, output),
        What::Decisions(args) => return decisions::run(args, output),
        What::Import(args) => return import::run(args, output),
    };
    check_load(args.batch, args.connections)?;
    let report = in_directory(args.directory.as_deref(), |directory| Ok(ingest(args, directory)?))?;
    output.answer(&report);
    Ok(())
}

/// What a load may be.
fn check_load(batch: usize, connections: u64) -> Result<(), CommandError> {
    if batch == 0 || batch > 2_500 || !(1..=9_000).contains(&connections) {
        return Err(CommandError::Usage("a batch has 1 to 2,500 events, and there are 1 to 9,000 connections".into()));
    }
    Ok(())
}

/// Measures in a directory of its own, which is removed at the end.
fn in_directory<R>(
    parent: Option<&Path>,
    measure: impl FnOnce(&Path) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_path_buf);
    let directory = parent.join(format!("impresario-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory)
        .map_err(|error| CommandError::Io { what: format!("make {}", directory.display()), error })?;
    let measured = measure(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    measured
}

/// The middle one of several measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Measures with a directory that is gone afterwards.
fn within_directory<R: Serialize + fmt::Display>(
    output: &Output,
    measure: impl FnOnce(&Path) -> Result<R, BenchError>,
) -> Result<(), CommandError> {
    raise_descriptor_limit();
    let directory = std::env::temp_dir().join(format!("impresario-bench-{}", std::process::id()));
    let report = measure(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    output.answer(&report?);
    Ok(())
}

fn ingest(args: &IngestArgs, directory: &Path) -> Result<Report, BenchError> {
    let server = Server::start(&directory.join("whole"), &[])?;
    let mut admin = server.admin()?;
    for definition in definitions(args.segments) {
        admin.json("POST", "/api/segments", definition.to_string().as_bytes())?;
    }
    server.settled(SETTLE_WITHIN)?;
    let before = server.metrics(&mut admin)?;
    let threads_before = server.thread_millis();
    let load = load(args, &server);
    let ended = AtomicBool::new(false);
    let watch = Watch::start();
    let (outcome, acked_s, marks) = std::thread::scope(|scope| {
        let marking = scope.spawn(|| mark(&server, &ended));
        let outcome = load.run();
        let acked_s = watch.passed().as_secs_f64();
        ended.store(true, Ordering::Release);
        let marks = marking.join().unwrap_or_else(|_| Err(BenchError::Server("the marker has failed".into())));
        (outcome, acked_s, marks)
    });
    let (outcome, mut marks) = (outcome?, marks?);
    server.settled(SETTLE_WITHIN)?;
    let whole_s = watch.passed().as_secs_f64();
    // The server has closed a connection that was idle for so long.
    let stages = server.metrics(&mut server.admin()?)?.since(&before);
    let threads = server.thread_millis();
    let (rss_mib, rss_mib_max) = server.rss_mib();
    drop(server);
    let Outcome { events, event_bytes, mut ack_micros, busy } = outcome;
    let millis = |micros: u64| micros as f64 / 1_000.0;
    let mut share_by_stage: BTreeMap<String, f64> = BTreeMap::new();
    share_by_stage.insert("sync".into(), stages.sync_micros as f64 / 1e6 / whole_s);
    for (agent, micros) in &stages.agent_micros {
        share_by_stage.insert(format!("agent {agent}"), *micros as f64 / 1e6 / whole_s);
    }
    let processor = threads.iter().map(|(name, millis)| {
        let spent = millis - threads_before.get(name).copied().unwrap_or_default();
        (name.clone(), spent as f64 / 1e3 / whole_s)
    });
    let (parse_only_per_s, synced_file_per_s) =
        if args.no_yardsticks { (None, None) } else { yardsticks(args, directory)? };
    Ok(Report {
        events_per_s: events as f64 / whole_s,
        acked_per_s: events as f64 / acked_s,
        ack_ms_p50: millis(percentile(&mut ack_micros, 50)),
        ack_ms_p99: millis(percentile(&mut ack_micros, 99)),
        event_to_segment_ms_p50: millis(percentile(&mut marks, 50)),
        event_to_segment_ms_p99: millis(percentile(&mut marks, 99)),
        rss_mib,
        rss_mib_max,
        events,
        event_bytes,
        batch: args.batch,
        connections: args.connections,
        segments: args.segments,
        profiles: args.profiles,
        seconds: whole_s,
        catching_up_s: whole_s - acked_s,
        busy,
        groups: stages.groups,
        entries: stages.entries,
        segment_changes_per_event: stages.segment_changes as f64 / events.max(1) as f64,
        marked_events: marks.len(),
        share_by_stage,
        processor_by_thread: processor.collect(),
        parse_only_per_s,
        synced_file_per_s,
    })
}

fn load(args: &IngestArgs, server: &Server) -> Load {
    Load {
        address: server.address,
        write_key: server.write_key.clone(),
        connections: args.connections,
        batch: args.batch,
        profiles: args.profiles,
        each_once: false,
        first_connection: 0,
        duration: Duration::from_secs(args.seconds),
        rate: args.rate,
        events_max: args.events,
        timestamp: timestamp(),
    }
}

pub(super) fn timestamp() -> String {
    let now = jiff::Timestamp::from_millisecond(WallClock.now_ms()).unwrap_or_default();
    format!("{now:.3}")
}

type Yardsticks = (Option<f64>, Option<f64>);

fn yardsticks(args: &IngestArgs, directory: &Path) -> Result<Yardsticks, BenchError> {
    let server = Server::start(&directory.join("door"), &["--parse-only"])?;
    let duration = Duration::from_secs(args.seconds.clamp(1, 5));
    let load = Load { duration, rate: None, ..load(args, &server) };
    let watch = Watch::start();
    let outcome = load.run()?;
    let parse_only = outcome.events as f64 / watch.passed().as_secs_f64();
    drop(server);
    let path = directory.join("synced");
    let file = yardstick::synced_file(&path, args.connections, args.batch, duration, &timestamp())?;
    Ok((Some(parse_only), Some(file)))
}

/// Sends marked events one by one, and waits for each until its segment counts it.
fn mark(server: &Server, ended: &AtomicBool) -> Result<Vec<u64>, BenchError> {
    let mut door = Client::connect(server.address, &server.write_key)?;
    let mut looking = server.admin()?;
    let path = format!("/api/segments/{MARKED}");
    let mut times = Vec::new();
    while !ended.load(Ordering::Acquire) {
        let number = times.len() as u64 + 1;
        let body =
            format!("{{\"userId\":\"marked-{number}\",\"event\":\"Bench Marked\",\"messageId\":\"mark-{number}\"}}");
        let watch = Watch::start();
        loop {
            let (status, _) = door.ask("POST", "/v1/track", body.as_bytes())?;
            if status == 200 {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        loop {
            let segment = looking.json("GET", &path, &[])?;
            if segment.get("size").and_then(Value::as_u64).is_some_and(|size| size >= number) {
                break;
            }
            if watch.passed() > MARK_WITHIN {
                return Err(BenchError::Server("a marked event did not reach its segment".into()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        times.push(watch.micros());
        std::thread::sleep(MARK_EVERY);
    }
    Ok(times)
}
