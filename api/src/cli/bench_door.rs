//! `impresario bench slow-clients|connections|overload`: how the door bears crowds.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::bench::timestamp;
use crate::bench::{BenchError, Client, Crowd, Dawdlers, Server, Tally, Watch, percentile};

/// Pause between two looks at the server.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause of the good client between two requests.
const GOOD_EVERY: Duration = Duration::from_millis(10);
/// Connections of the normal load, and the pause of each between two batches.
const NORMAL_CONNECTIONS: u64 = 8;
const NORMAL_PAUSE: Duration = Duration::from_millis(100);
/// Events in one batch of the normal load.
const NORMAL_BATCH: usize = 10;
/// Seconds of normal load before the overload.
const BEFORE_S: u64 = 5;
/// Seconds after the overload from which all is to be as before.
const RECOVERED_AFTER_S: u64 = 10;

/// The arguments of `bench slow-clients`.
#[derive(Args, Clone, Debug)]
pub struct SlowClientsArgs {
    /// Clients at once, a quarter each that is silent, slow with its head, slow with its body, and slow to read
    #[arg(long, default_value_t = 10_000)]
    pub clients: u64,
    /// Gives up waiting until all are closed
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
}

/// What `bench slow-clients` found.
#[derive(Debug, Serialize)]
pub(super) struct SlowClients {
    clients: u64,
    /// Connected at once at most, as the server's descriptors tell.
    open_max: u64,
    /// Still open at the end.
    open_at_end: u64,
    /// From the last connection made until the server had closed all.
    closed_after_s: f64,
    /// Requests of a good client meanwhile.
    good_requests: u64,
    good_errors: u64,
    good_ms_p50: f64,
    good_ms_p99: f64,
    rss_mib_max: u64,
}

impl fmt::Display for SlowClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, open_max, open_at_end, closed_after_s, .. } = self;
        writeln!(f, "{clients} slow clients, {open_max} of them at once")?;
        writeln!(f, "closed within {closed_after_s:.1} s; {open_at_end} are still open")?;
        let Self { good_requests, good_errors, good_ms_p50, good_ms_p99, rss_mib_max, .. } = self;
        writeln!(
            f,
            "a good client meanwhile: {good_requests} requests, {good_errors} errors, {good_ms_p50:.2} ms (p50), {good_ms_p99:.2} ms (p99)"
        )?;
        write!(f, "{rss_mib_max} MiB of memory at most")
    }
}

pub(super) fn slow_clients(args: &SlowClientsArgs, directory: &Path) -> Result<SlowClients, BenchError> {
    let server = Server::start(directory, &[])?;
    let mut good = Client::connect(server.address, &server.write_key)?;
    good.ask("POST", "/v1/track", br#"{"userId":"good","event":"First"}"#)?;
    let before = server.descriptors();
    let (connected, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let dawdlers = Dawdlers {
        address: server.address,
        write_key: server.write_key.clone(),
        clients: args.clients,
        connected: Arc::clone(&connected),
        stop: Arc::clone(&stop),
    };
    let within = Duration::from_secs(args.seconds);
    let watch = Watch::start();
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| dawdlers.run());
        let asking = scope.spawn(|| be_good(&mut good, &stop));
        let mut open_max = 0;
        let mut all_connected = None;
        let open_at_end = loop {
            std::thread::sleep(LOOK_EVERY);
            let open = server.descriptors().saturating_sub(before);
            open_max = open_max.max(open);
            if all_connected.is_none() && connected.load(Ordering::Acquire) >= args.clients {
                all_connected = Some(watch.passed());
            }
            if (open == 0 && all_connected.is_some()) || watch.passed() > within {
                break open;
            }
        };
        let closed_after = watch.passed().saturating_sub(all_connected.unwrap_or_default());
        stop.store(true, Ordering::Release);
        let ended = crowd.join().unwrap_or_else(|_| Err(BenchError::Server("the slow clients have failed".into())));
        ended?;
        let (mut micros, good_errors) = asking.join().unwrap_or_default();
        Ok(SlowClients {
            clients: args.clients,
            open_max,
            open_at_end,
            closed_after_s: closed_after.as_secs_f64(),
            good_requests: micros.len() as u64,
            good_errors,
            good_ms_p50: millis(percentile(&mut micros, 50)),
            good_ms_p99: millis(percentile(&mut micros, 99)),
            rss_mib_max: server.rss_mib().1,
        })
    })
}

/// Sends one event after the other, with pauses; how long each took, and how many failed.
fn be_good(client: &mut Client, stop: &AtomicBool) -> (Vec<u64>, u64) {
    let (mut micros, mut errors) = (Vec::new(), 0);
    while !stop.load(Ordering::Acquire) {
        let body = format!("{{\"userId\":\"good\",\"event\":\"Asked\",\"messageId\":\"good-{}\"}}", micros.len());
        let sent = Watch::start();
        match client.ask("POST", "/v1/track", body.as_bytes()) {
            Ok((200, _)) => {}
            Ok(_) => errors += 1,
            Err(_) => return (micros, errors + 1),
        }
        micros.push(sent.micros());
        std::thread::sleep(GOOD_EVERY);
    }
    (micros, errors)
}

/// The arguments of `bench connections`.
#[derive(Args, Clone, Debug)]
pub struct ConnectionsArgs {
    /// Connections at once, each sending one event, waiting for its answer, and sending the next
    #[arg(long, default_value_t = 8_000)]
    pub connections: u64,
    /// How long
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
}

/// What `bench connections` found.
#[derive(Debug, Serialize)]
pub(super) struct Connections {
    connections: u64,
    requests: u64,
    requests_per_s: f64,
    /// Answers other than 200, and connections that broke.
    errors: u64,
    by_status: BTreeMap<u16, u64>,
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    rss_mib_max: u64,
}

impl fmt::Display for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, requests, requests_per_s, errors, .. } = self;
        writeln!(f, "{connections} busy connections: {requests} requests, {requests_per_s:.0}/s, {errors} errors")?;
        writeln!(f, "acknowledged after {:.0} ms (p50), {:.0} ms (p99)", self.ack_ms_p50, self.ack_ms_p99)?;
        write!(f, "{} MiB of memory at most", self.rss_mib_max)
    }
}

pub(super) fn connections(args: &ConnectionsArgs, directory: &Path) -> Result<Connections, BenchError> {
    let server = Server::start(directory, &[])?;
    // As many people as connections: profiles take memory of their own, which is not what is measured here.
    let crowd = Crowd { profiles: args.connections, ..crowd(&server, 1, args.connections, 1, Duration::ZERO) };
    let watch = Watch::start();
    let tally = std::thread::scope(|scope| {
        let sending = scope.spawn(|| crowd.run(watch));
        std::thread::sleep(Duration::from_secs(args.seconds));
        crowd.stop.store(true, Ordering::Release);
        joined(sending)
    })?;
    let seconds = watch.passed().as_secs_f64();
    let requests: u64 = tally.by_status.values().sum();
    let mut micros = tally.micros(0, u64::MAX);
    Ok(Connections {
        connections: args.connections,
        requests,
        requests_per_s: requests as f64 / seconds,
        errors: requests - tally.answered(200) + tally.broken,
        by_status: tally.by_status,
        ack_ms_p50: millis(percentile(&mut micros, 50)),
        ack_ms_p99: millis(percentile(&mut micros, 99)),
        rss_mib_max: server.rss_mib().1,
    })
}

/// The arguments of `bench overload`.
#[derive(Args, Clone, Debug)]
pub struct OverloadArgs {
    /// Connections that send as fast as they can, and come again at once when refused
    #[arg(long, default_value_t = 1_000)]
    pub connections: u64,
    /// Events in each of their requests
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// How long they do so
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// How long the normal load goes on after them
    #[arg(long, default_value_t = 20)]
    pub after_seconds: u64,
}

/// What `bench overload` found.
#[derive(Debug, Serialize)]
pub(super) struct Overload {
    connections: u64,
    seconds: u64,
    /// Events sent by the second, taken in or not.
    offered_per_s: f64,
    /// Events taken in by the second.
    accepted_per_s: f64,
    /// The crowd's answers by status.
    by_status: BTreeMap<u16, u64>,
    /// Refusals that don't say when to come again.
    without_retry_after: u64,
    /// Connections that broke.
    broken: u64,
    /// The normal load's p99 before, meanwhile, and from ten seconds after.
    normal_ms_p99_before: f64,
    normal_ms_p99_meanwhile: f64,
    normal_ms_p99_after: f64,
    /// Requests of the normal load that were refused, all the while.
    normal_refused: u64,
    rss_mib_max: u64,
}

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, seconds, offered_per_s, accepted_per_s, .. } = self;
        writeln!(
            f,
            "{connections} connections for {seconds} s: {offered_per_s:.0} events/s offered, {accepted_per_s:.0}/s taken in"
        )?;
        for (status, answers) in &self.by_status {
            writeln!(f, "  {status}: {answers} answers")?;
        }
        writeln!(f, "{} refusals without Retry-After, {} connections broke", self.without_retry_after, self.broken)?;
        writeln!(
            f,
            "the normal load's p99: {:.1} ms before, {:.1} ms meanwhile, {:.1} ms from {RECOVERED_AFTER_S} s after; {} refused",
            self.normal_ms_p99_before, self.normal_ms_p99_meanwhile, self.normal_ms_p99_after, self.normal_refused
        )?;
        write!(f, "{} MiB of memory at most", self.rss_mib_max)
    }
}

pub(super) fn overload(args: &OverloadArgs, directory: &Path) -> Result<Overload, BenchError> {
    let server = Server::start(directory, &[])?;
    let normal = crowd(&server, 1, NORMAL_CONNECTIONS, NORMAL_BATCH, NORMAL_PAUSE);
    let rude = crowd(&server, 2, args.connections, args.batch, Duration::ZERO);
    let watch = Watch::start();
    let (usual, crowded, rude_s) = std::thread::scope(|scope| {
        let usual = scope.spawn(|| normal.run(watch));
        std::thread::sleep(Duration::from_secs(BEFORE_S));
        let rude_watch = Watch::start();
        let crowded = scope.spawn(|| rude.run(watch));
        std::thread::sleep(Duration::from_secs(args.seconds));
        rude.stop.store(true, Ordering::Release);
        let crowded = joined(crowded);
        let rude_s = rude_watch.passed().as_secs_f64();
        std::thread::sleep(Duration::from_secs(args.after_seconds));
        normal.stop.store(true, Ordering::Release);
        (joined(usual), crowded, rude_s)
    });
    let (usual, crowded) = (usual?, crowded?);
    let ended_s = BEFORE_S + rude_s.ceil() as u64;
    let p99 = |from, to| millis(percentile(&mut usual.micros(from, to), 99));
    let answers: u64 = crowded.by_status.values().sum();
    Ok(Overload {
        connections: args.connections,
        seconds: args.seconds,
        offered_per_s: (answers * args.batch as u64) as f64 / rude_s,
        accepted_per_s: crowded.events as f64 / rude_s,
        without_retry_after: crowded.without_retry_after,
        broken: crowded.broken,
        normal_ms_p99_before: p99(1, BEFORE_S),
        normal_ms_p99_meanwhile: p99(BEFORE_S, ended_s),
        normal_ms_p99_after: p99(ended_s + RECOVERED_AFTER_S, u64::MAX),
        normal_refused: usual.by_status.values().sum::<u64>() - usual.answered(200),
        by_status: crowded.by_status,
        rss_mib_max: server.rss_mib().1,
    })
}

fn crowd(server: &Server, number: u64, connections: u64, batch: usize, pause: Duration) -> Crowd {
    Crowd {
        address: server.address,
        write_key: server.write_key.clone(),
        connections,
        number,
        batch,
        profiles: 100_000,
        pause,
        timestamp: timestamp(),
        stop: Arc::new(AtomicBool::new(false)),
    }
}

fn joined(sending: std::thread::ScopedJoinHandle<'_, Result<Tally, BenchError>>) -> Result<Tally, BenchError> {
    sending.join().unwrap_or_else(|_| Err(BenchError::Server("the crowd has failed".into())))
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}
