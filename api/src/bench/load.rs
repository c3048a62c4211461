//! The load: connections that each send a batch, wait for its answer, and send the next.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use super::{BenchError, Bodies, Client, Watch};

/// Pause after the server said "busy".
const BUSY_PAUSE: Duration = Duration::from_millis(20);

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
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let stop = &stop;
            let senders: Vec<_> =
                (0..self.connections).map(|connection| scope.spawn(move || self.send(connection, stop))).collect();
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

    fn send(&self, connection: u64, stop: &AtomicBool) -> Result<Outcome, BenchError> {
        let mut bodies = Bodies::new(connection, self.batch, self.profiles, &self.timestamp);
        let mut client = Client::connect(self.address, &self.write_key)?;
        let mut outcome = Outcome { event_bytes: bodies.event_bytes(), ..Outcome::default() };
        let share = self.events_max / self.connections.max(1);
        let watch = Watch::start();
        // The connections take turns, so that the load is even.
        let turn = self.rate.map(|rate| Duration::from_secs_f64(self.batch as f64 / rate.max(1) as f64));
        let mut due = turn.unwrap_or_default() * u32::try_from(connection).unwrap_or_default();
        while watch.passed() < self.duration && outcome.events < share && !stop.load(Ordering::Relaxed) {
            if let Some(turn) = turn {
                std::thread::sleep(due.saturating_sub(watch.passed()));
                due += turn * u32::try_from(self.connections).unwrap_or(1);
            }
            let body = bodies.next_batch();
            loop {
                let sent = Watch::start();
                let (status, answer) = client.ask("POST", "/v1/batch", body)?;
                match status {
                    200 => {
                        outcome.ack_micros.push(sent.micros());
                        break;
                    }
                    429 | 503 => {
                        outcome.busy += 1;
                        std::thread::sleep(BUSY_PAUSE);
                    }
                    _ => {
                        let answer = String::from_utf8_lossy(answer);
                        return Err(BenchError::Server(format!("a batch was answered {status}: {answer}")));
                    }
                }
            }
            outcome.events += self.batch as u64;
        }
        Ok(outcome)
    }
}
