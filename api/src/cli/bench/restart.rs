//! `impresario bench restart`: memory, disk, and how soon a directory is ready again.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{check_load, in_directory, timestamp};
use crate::{
    bench::{Keys, Load, Outcome, Server, Watch, definitions, disk_bytes},
    cli::{CommandError, output::Output},
};

/// How long anything may take before it is given up.
const WITHIN: Duration = Duration::from_secs(1_800);
const MIB: f64 = 1_048_576.0;

/// The arguments of `bench restart`. In full: `--profiles 1000000 --events 20000000`.
#[derive(Args, Clone, Debug)]
pub struct RestartArgs {
    /// People
    #[arg(long, default_value_t = 50_000)]
    profiles: u64,
    /// Events
    #[arg(long, default_value_t = 500_000)]
    events: u64,
    /// Segments defined before
    #[arg(long, default_value_t = 100)]
    segments: usize,
    /// Events in one request
    #[arg(long, default_value_t = 500)]
    batch: usize,
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    connections: u64,
    /// Where the data lies meanwhile; it is removed at the end [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// What `bench restart` found.
#[derive(Debug, Serialize)]
struct Report {
    profiles: u64,
    events: u64,
    segments: usize,
    /// Filling it, until every agent had folded everything.
    filled_s: f64,
    rss_mib_filled: u64,
    rss_mib_max: u64,
    /// The events as JSON, as they were sent.
    raw_mib: f64,
    /// The directory after a clean stop.
    disk_mib: f64,
    disk_by_raw: f64,
    stopped_s: f64,
    after_stop: Started,
    /// Events acknowledged after that, until it was killed.
    events_before_kill: u64,
    after_kill: Started,
}

/// How a server came up again.
#[derive(Debug, Serialize)]
struct Started {
    /// From its start until it took events in.
    ready_s: f64,
    /// Until every agent had folded everything.
    folded_s: f64,
    /// Processor time until then.
    processor_s: f64,
    rss_mib: u64,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready_s, folded_s, rss_mib, .. } = self;
        write!(f, "ready after {ready_s:.2} s, all folded after {folded_s:.2} s, {rss_mib} MiB")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profiles, events, segments, filled_s, .. } = self;
        writeln!(f, "{profiles} people, {events} events, {segments} segments, in {filled_s:.1} s")?;
        writeln!(f, "{} MiB of memory, {} at most", self.rss_mib_filled, self.rss_mib_max)?;
        let Self { raw_mib, disk_mib, disk_by_raw, .. } = self;
        writeln!(f, "{disk_mib:.0} MiB of disk for {raw_mib:.0} MiB of JSON: {disk_by_raw:.2} times")?;
        writeln!(f, "stopped in {:.2} s; then {}", self.stopped_s, self.after_stop)?;
        write!(f, "killed after {} more events; then {}", self.events_before_kill, self.after_kill)
    }
}

pub(super) fn run(args: &RestartArgs, output: &Output) -> Result<(), CommandError> {
    check_load(args.batch, args.connections)?;
    let report = in_directory(args.directory.as_deref(), |directory| measure(args, &directory.join("data")))?;
    output.answer(&report);
    Ok(())
}

fn measure(args: &RestartArgs, directory: &Path) -> Result<Report, CommandError> {
    let server = Server::start(directory, &[])?;
    server.define(&definitions(args.segments))?;
    let watch = Watch::start();
    let Outcome { events, event_bytes, .. } = load(args, &server, 0).run()?;
    server.settled(WITHIN)?;
    let filled_s = watch.passed().as_secs_f64();
    let (rss_mib_filled, rss_mib_max) = server.rss_mib();
    let keys = server.keys();
    let watch = Watch::start();
    server.stop()?;
    let stopped_s = watch.passed().as_secs_f64();
    let (raw, disk) = (events as f64 * event_bytes as f64, disk_bytes(directory) as f64);
    let (server, after_stop) = start_again(directory, keys.clone())?;
    let killed_after = Load { events_max: args.events / 10, ..load(args, &server, args.connections) };
    let outcome = killed_after.run()?;
    server.kill();
    let (server, after_kill) = start_again(directory, keys)?;
    server.stop()?;
    Ok(Report {
        profiles: args.profiles,
        events,
        segments: args.segments,
        filled_s,
        rss_mib_filled,
        rss_mib_max,
        raw_mib: raw / MIB,
        disk_mib: disk / MIB,
        disk_by_raw: disk / raw.max(1.0),
        stopped_s,
        after_stop,
        events_before_kill: outcome.events,
        after_kill,
    })
}

fn load(args: &RestartArgs, server: &Server, first_connection: u64) -> Load {
    Load {
        address: server.address,
        write_key: server.write_key.clone(),
        connections: args.connections,
        batch: args.batch,
        profiles: args.profiles,
        each_once: first_connection == 0,
        first_connection,
        duration: WITHIN,
        rate: None,
        events_max: args.events,
        timestamp: timestamp(),
    }
}

fn start_again(directory: &Path, keys: Keys) -> Result<(Server, Started), CommandError> {
    let watch = Watch::start();
    let server = Server::start_again(directory, keys)?;
    server.ready(WITHIN)?;
    let ready_s = watch.passed().as_secs_f64();
    server.settled(WITHIN)?;
    let folded_s = watch.passed().as_secs_f64();
    let started =
        Started { ready_s, folded_s, processor_s: server.processor().as_secs_f64(), rss_mib: server.rss_mib().0 };
    Ok((server, started))
}
