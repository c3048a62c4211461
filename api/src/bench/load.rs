//! The load: connections that each send a batch, wait for its answer, and send the next.
//!
//! A few threads share the connections, so that the load takes little of the machine that is measured.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{BenchError, Bodies, Client, Watch, Whom};

/// Pause after the server said "busy".
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Threads that send.
const THREADS_MAX: u64 = 4;

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Load {
    /// Where.
    pub address: SocketAddr,
    /// With which key.
    pub write_key: String,
    /// Connections at once.
    pub connections: u64,
    /// Events in one batch.
    pub batch: usize,
    /// People the events are of.
    pub profiles: u64,
    /// Whether each of them gets one before anybody gets another.
    pub each_once: bool,
    /// Numbers of the connections begin here: two loads of one server must not send the same events.
    pub first_connection: u64,
    /// How long.
    pub duration: Duration,
    /// Events a second at most, over all connections; `None` for as many as are taken.
    pub rate: Option<u64>,
    /// After how many events to stop before that.
    pub events_max: u64,
    /// When the events happened, RFC 3339.
    pub timestamp: String,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Events acknowledged.
    pub events: u64,
    /// Bytes of an event, on average.
    pub event_bytes: usize,
    /// Time from the request to the acknowledgement, in microseconds, of each batch.
    pub ack_micros: Vec<u64>,
    /// How often the server said "busy"; the batch was sent again.
    pub busy: u64,
}

impl Load {
    /// Sends until the time is up.
    ///
    /// # Errors
    /// A connection fails, or the server refuses.
    pub fn run(&self) -> Result<Outcome, BenchError> {
        self.run_until(&AtomicBool::new(false))
    }

    /// Sends until the time is up, or somebody says so.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_until(&self, stop: &AtomicBool) -> Result<Outcome, BenchError> {
        std::thread::scope(|scope| {
            let threads = self.connections.clamp(1, THREADS_MAX);
            let senders: Vec<_> = (0..threads)
                .map(|thread| (thread..self.connections).step_by(threads as usize).collect::<Vec<_>>())
                .map(|connections| scope.spawn(move || self.send(&connections, stop)))
                .collect();
            let mut whole = Outcome::default();
            for sender in senders {
                let sent = sender.join().unwrap_or_else(|_| Err(BenchError::Server("a sender has failed".into())));
                if sent.is_err() {
                    stop.store(true, Ordering::Relaxed);
                }
                let sent = sent?;
                whole.events += sent.events;
                whole.busy += sent.busy;
                whole.event_bytes = sent.event_bytes;
                whole.ack_micros.extend(sent.ack_micros);
            }
            Ok(whole)
        })
    }

    fn send(&self, connections: &[u64], stop: &AtomicBool) -> Result<Outcome, BenchError> {
        let open = |connection: &u64| {
            let of = |share: u64| self.profiles * share / self.connections.max(1);
            let whom = match self.each_once {
                true => Whom::EachOf(of(*connection), of(*connection + 1)),
                false => Whom::Anybody(self.profiles),
            };
            let bodies = Bodies::new(self.first_connection + *connection, self.batch, whom, &self.timestamp);
            Ok(Sender { client: Client::connect(self.address, &self.write_key)?, bodies, sent: Watch::start() })
        };
        let mut senders: Vec<Sender> = connections.iter().map(open).collect::<Result<_, BenchError>>()?;
        let event_bytes = senders.first().map_or(0, |sender| sender.bodies.event_bytes());
        let mut outcome = Outcome { event_bytes, ..Outcome::default() };
        let share = self.events_max / self.connections.max(1) * connections.len() as u64;
        // The connections take turns, so that the load is even.
        let turn = self.rate.map(|rate| Duration::from_secs_f64(self.batch as f64 / rate.max(1) as f64));
        let mut round = Duration::ZERO;
        let watch = Watch::start();
        while watch.passed() < self.duration && outcome.events < share && !stop.load(Ordering::Relaxed) {
            for (sender, connection) in senders.iter_mut().zip(connections) {
                if let Some(turn) = turn {
                    let due = round + turn * u32::try_from(*connection).unwrap_or_default();
                    std::thread::sleep(due.saturating_sub(watch.passed()));
                }
                sender.send()?;
            }
            round += turn.unwrap_or_default() * u32::try_from(self.connections).unwrap_or(1);
            for sender in &mut senders {
                sender.answered(&mut outcome)?;
                outcome.events += self.batch as u64;
            }
        }
        Ok(outcome)
    }
}

/// One connection.
struct Sender {
    client: Client,
    bodies: Bodies,
    sent: Watch,
}

impl Sender {
    fn send(&mut self) -> Result<(), BenchError> {
        self.sent = Watch::start();
        Ok(self.client.send("POST", "/v1/batch", self.bodies.next_batch())?)
    }

    /// Waits until the batch is taken in.
    fn answered(&mut self, outcome: &mut Outcome) -> Result<(), BenchError> {
        loop {
            match self.client.receive()? {
                (200, _) => break,
                (429 | 503, _) => {
                    outcome.busy += 1;
                    std::thread::sleep(BUSY_PAUSE);
                    self.sent = Watch::start();
                    self.client.send_again()?;
                }
                (status, answer) => {
                    let answer = String::from_utf8_lossy(answer);
                    return Err(BenchError::Server(format!("a batch was answered {status}: {answer}")));
                }
            }
        }
        outcome.ack_micros.push(self.sent.micros());
        Ok(())
    }
}
