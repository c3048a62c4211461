//! Sending a feed to a running server through its own door, as a client of its would.
//!
//! A request is sent again until it is answered: the door knows the events of the last day or two by their message
//! ids, so an event that came twice is one. A row without an id of its own gets one made of its content, the same
//! each time the file is sent with the same mapping.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    sync::atomic::Ordering,
    time::Duration,
};

use super::{
    feed::{Batch, Feed, Stop, Totals},
    load::Far,
};
use crate::{config::IngestLimits, http::Client, ingest::Call};

/// Times one request is tried in a row before the import is given up.
const TRIES_MAX: u32 = 30;
/// The first pause after a request that failed and does not say when to try again; doubled with each.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause, also where the server asks for a longer one.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Bytes of events in one request, well below what the door takes.
const BODY_BYTES_MAX: usize = 400 << 10;

/// A running server.
#[derive(Clone, Debug)]
pub struct Remote {
    addresses: Vec<SocketAddr>,
    write_key: String,
    limits: IngestLimits,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// What was read.
    pub totals: Totals,
    /// Events the server has acknowledged.
    pub events: u64,
    /// Events larger than the door takes.
    pub too_large: u64,
    /// Requests that were sent again.
    pub again: u64,
}

/// Why sending ended early; what was acknowledged before stays.
#[derive(Debug)]
pub enum SendError {
    /// The files.
    Stop(Stop),
    /// The server.
    Server(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop(stop) => stop.fmt(f),
            Self::Server(what) => f.write_str(what),
        }
    }
}

impl Remote {
    /// The server at `url`, `http://HOST:PORT`.
    ///
    /// # Errors
    /// It is no such URL, or no such host.
    pub fn new(url: &str, write_key: String, limits: IngestLimits) -> Result<Self, String> {
        let host = url.strip_prefix("http://").ok_or_else(|| {
            format!("`{url}` does not begin with http://; what speaks TLS before the server is for others to pass")
        })?;
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.is_empty() || host.contains('/') {
            return Err(format!("`{url}` is not of the form http://HOST:PORT"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:80") };
        let addresses: Vec<_> = host.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.collect();
        if addresses.is_empty() || write_key.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!("{host} has no address, or the key is none"));
        }
        Ok(Self { addresses, write_key, limits })
    }

    /// Sends everything, in the order of the files. `pause` waits.
    ///
    /// # Errors
    /// A file that can't be read; a server that refuses, or is not there for too long.
    pub fn send(&self, feed: Feed<'_>, far: &Far, pause: &dyn Fn(Duration)) -> Result<Sent, SendError> {
        let mut sending = Sending { remote: self, client: None, pause, sent: Sent::default(), failed: None };
        let read = feed.by_file(|batch| {
            far.folded.fetch_add(batch.rows.len() as u64, Ordering::Relaxed);
            sending.batch(&batch).map_err(|what| {
                sending.failed = Some(what);
                Stop::Gone
            })
        });
        match (read, sending.failed) {
            (_, Some(what)) => Err(SendError::Server(what)),
            (Err(stop), None) => Err(SendError::Stop(stop)),
            (Ok(totals), None) => Ok(Sent { totals, ..sending.sent }),
        }
    }
}

struct Sending<'a> {
    remote: &'a Remote,
    client: Option<Client>,
    pause: &'a dyn Fn(Duration),
    sent: Sent,
    failed: Option<String>,
}

impl Sending<'_> {
    fn batch(&mut self, batch: &Batch) -> Result<(), String> {
        const HEAD: &str = "{\"batch\":[";
        let (mut body, mut events) = (HEAD.to_owned(), 0);
        for event in &batch.events {
            let call = serde_json::to_string(&Call::to_send(event)).map_err(|error| error.to_string())?;
            if call.len() > self.remote.limits.event_bytes_max {
                self.sent.too_large += 1;
                continue;
            }
            let full = body.len() + call.len() > BODY_BYTES_MAX.min(self.remote.limits.batch_bytes_max / 2)
                || events == self.remote.limits.batch_events_max;
            if full && events > 0 {
                self.post(&mut body, events)?;
                (body, events) = (HEAD.to_owned(), 0);
            }
            if events > 0 {
                body.push(',');
            }
            body.push_str(&call);
            events += 1;
        }
        if events > 0 { self.post(&mut body, events) } else { Ok(()) }
    }

    fn post(&mut self, body: &mut String, events: usize) -> Result<(), String> {
        body.push_str("]}");
        let mut tries = 0;
        loop {
            let (what, after) = match self.ask(body.as_bytes()) {
                Ok((200, _)) => {
                    self.sent.events += events as u64;
                    return Ok(());
                }
                Ok((status @ (408 | 429 | 500..=599), after)) => (format!("it answered {status}"), after),
                Ok((status, _)) => return Err(format!("the server answered {status}; nothing of that request is in")),
                Err(error) => (error, None),
            };
            tries += 1;
            if tries == TRIES_MAX {
                return Err(format!("the server did not take a request in {TRIES_MAX} tries; the last time {what}"));
            }
            self.sent.again += 1;
            (self.pause)(pause_before(tries, after));
        }
    }

    /// One try: the status, and after how many seconds to come again.
    fn ask(&mut self, body: &[u8]) -> Result<(u16, Option<u64>), String> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.connect()?,
        };
        // A connection that failed is not used again.
        let (status, _) = client.ask("POST", "/v1/import", body).map_err(|error| error.to_string())?;
        let after = client.retry_after_s();
        self.client = Some(client);
        Ok((status, after))
    }

    fn connect(&self) -> Result<Client, String> {
        let mut last = String::new();
        for address in &self.remote.addresses {
            match Client::connect(*address, &self.remote.write_key) {
                Ok(client) => return Ok(client),
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }
}

/// How long to wait before the next try: as long as the server asks, else longer each time.
fn pause_before(tries: u32, after_s: Option<u64>) -> Duration {
    let own = PAUSE_MIN.saturating_mul(1 << tries.saturating_sub(1).min(16));
    after_s.map_or(own, Duration::from_secs).clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        io::{BufRead, BufReader, Read, Write},
        net::TcpListener,
        sync::Arc,
    };

    use super::*;
    use crate::import::{Ledger, Mapping, Rejects, Rules, Source};

    /// Answers one request after the other, each on its turn; an empty answer closes the connection unanswered.
    fn server(answers: &'static [&'static str]) -> (SocketAddr, std::thread::JoinHandle<Vec<serde_json::Value>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = std::thread::spawn(move || {
            let mut bodies = Vec::new();
            let mut answers = answers.iter();
            while answers.len() > 0 {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
                loop {
                    let (mut line, mut length) = (String::new(), 0);
                    if reader.read_line(&mut line).expect("a line") == 0 {
                        break;
                    }
                    assert_eq!(line, "POST /v1/import HTTP/1.1\r\n");
                    while line != "\r\n" {
                        line.clear();
                        reader.read_line(&mut line).expect("a line");
                        if let Some(value) = line.strip_prefix("Content-Length: ") {
                            length = value.trim().parse().expect("a length");
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).expect("a body");
                    bodies.push(serde_json::from_slice(&body).expect("JSON"));
                    let Some(answer) = answers.next().filter(|answer| !answer.is_empty()) else { break };
                    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).expect("it is sent");
                    if answers.len() == 0 {
                        break;
                    }
                }
            }
            bodies
        });
        (address, serving)
    }

    fn send(address: SocketAddr, pauses: &RefCell<Vec<Duration>>) -> Result<Sent, SendError> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rows.csv");
        std::fs::write(&file, "id,date,sum\n1,2026-05-04,9.50\n1,2026-05-04,9.50\n2,2026-05-05,3\n").expect("a file");
        let mut mapping = Mapping { user: Some("id".into()), time: Some("date".into()), ..Mapping::default() };
        mapping.event = Some("Order Completed".into());
        mapping.properties.insert("revenue".into(), "sum".into());
        let mut ledger = Ledger::fresh(mapping.digest(), String::new());
        let mut rejects = Rejects::new(None).expect("no file");
        let rules = Rules { latest_ms: i64::MAX, limits: IngestLimits::default() };
        let sources = vec![Source::open(&file).expect("a source")];
        let feed = Feed::new(sources, &mapping, rules, Arc::default(), &mut ledger, &mut rejects).expect("a feed");
        let remote = Remote::new(&format!("http://{address}/"), "ingest_1".into(), IngestLimits::default());
        remote.expect("a server").send(feed, &Far::default(), &|pause| pauses.borrow_mut().push(pause))
    }

    #[test]
    fn a_request_is_sent_again_until_it_is_taken() {
        let (address, serving) =
            server(&["429 Busy\r\nRetry-After: 7", "503 Stopping\r\nretry-after: 100000", "", "200 OK"]);
        let pauses = RefCell::default();
        let sent = send(address, &pauses).expect("it is taken in the end");
        assert_eq!((sent.events, sent.again, sent.totals.rows), (3, 3, 3));
        assert_eq!(*pauses.borrow(), [Duration::from_secs(7), PAUSE_MAX, PAUSE_MIN * 4]);
        let bodies = serving.join().expect("it has served");
        assert_eq!(bodies.len(), 4);
        assert!(bodies.iter().all(|body| *body == bodies[0]), "the same events, by the same ids");
        let ids: std::collections::BTreeSet<_> =
            bodies[0]["batch"].as_array().expect("events").iter().map(|event| event["messageId"].to_string()).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
        assert_eq!(bodies[0]["batch"][0]["timestamp"], "2026-05-04T00:00:00.000Z");
    }

    #[test]
    fn a_refusal_ends_it_at_once() {
        let (address, serving) = server(&["401 Unauthorized"]);
        let pauses = RefCell::default();
        let refused = send(address, &pauses).expect_err("a wrong key");
        assert!(refused.to_string().contains("401"), "{refused}");
        assert!(pauses.borrow().is_empty());
        serving.join().expect("it has served");
    }

    #[test]
    fn a_server_that_is_never_there_is_given_up() {
        let address = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let pauses = RefCell::default();
        let refused = send(address, &pauses).expect_err("nobody listens");
        assert!(refused.to_string().contains("30 tries"), "{refused}");
        assert_eq!(pauses.borrow().len(), 29);
        assert_eq!(pauses.borrow().last(), Some(&PAUSE_MAX));
    }

    #[test]
    fn urls_are_checked() {
        let check = |url: &str, key: &str| Remote::new(url, key.into(), IngestLimits::default()).map(drop);
        assert_eq!(check("http://127.0.0.1:8080", "ingest_1"), Ok(()));
        assert_eq!(check("http://127.0.0.1", "ingest_1"), Ok(()));
        for url in ["https://127.0.0.1", "127.0.0.1:8080", "http://", "http://127.0.0.1/v1"] {
            assert!(check(url, "ingest_1").is_err(), "{url}");
        }
        assert!(check("http://127.0.0.1", "two\r\nlines").is_err());
    }
}
