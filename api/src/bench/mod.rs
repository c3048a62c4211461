//! Measuring the real program: the server as its own process, driven over loopback HTTP.
//!
//! [`Server`] starts it and looks at it from outside; [`Load`] sends batches and waits for their
//! answers; [`Crowd`] and [`Dawdlers`] are very many clients; [`segments`] are what the events are folded into; [`yardstick`] is what the same
//! machine could do at best. Nothing here is part of the server.

mod crowd;
mod events;
mod load;
mod process;
mod segments;
mod server;
pub mod yardstick;

use std::time::{Duration, Instant};

pub use crate::http::{Client, ClientError};
pub use crowd::{Crowd, Dawdler, Dawdlers, Tally};
pub use events::{Bodies, Whom};
pub use load::{Load, Outcome};
pub use process::{disk_bytes, processor_of, processor_of_children, processor_of_thread, rss_mib_of};
pub use segments::{MARKED, definitions, scattered};
pub use server::{Keys, Server, Stages};

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The system's error.
    #[error("could not {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: std::io::Error,
    },
    /// The server does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server does not do what it should.
    #[error("{0}")]
    Server(String),
}

pub(crate) fn failed(what: &'static str) -> impl Fn(std::io::Error) -> BenchError {
    move |error| BenchError::Io { what, error }
}

/// A stopwatch: the one place of the benchmark that reads a clock.
#[derive(Clone, Copy, Debug)]
pub struct Watch(Instant);

impl Watch {
    /// Starts it.
    #[expect(clippy::disallowed_methods, reason = "a measurement from outside; no agent reads it")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    pub fn passed(self) -> Duration {
        self.0.elapsed()
    }

    /// Microseconds since the start.
    pub fn micros(self) -> u64 {
        u64::try_from(self.passed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// The value below which `percent` of the values lie; 0 for none. Sorts them.
pub fn percentile(values: &mut [u64], percent: usize) -> u64 {
    values.sort_unstable();
    let place = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_found() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!((percentile(&mut values, 50), percentile(&mut values, 99)), (51, 100));
        assert_eq!(percentile(&mut [], 50), 0);
        assert_eq!(percentile(&mut [7], 99), 7);
    }
}
