//! Crowds: thousands of connections at once, that dawdle or keep the server busy.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpSocket, TcpStream},
    task::JoinSet,
};

use super::{BenchError, Bodies, Watch, Whom, failed};
use crate::http::{head_of, number_in};

/// How often a dawdler does the little it does.
const DAWDLE_EVERY: Duration = Duration::from_secs(1);
/// Pause before a connection that could not be made is tried again.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Requests a slow reader sends and does not wait for: more than the system's buffers hold.
const UNREAD_ANSWERS: usize = 100;
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// In which way a client is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dawdler {
    /// It says nothing.
    Silent,
    /// It says the head of its request byte by byte.
    Header,
    /// It says the body of its request byte by byte.
    Body,
    /// It reads its answers byte by byte.
    Reader,
}

/// Slow clients, a quarter of each kind.
#[derive(Clone, Debug)]
pub struct Dawdlers {
    /// Where.
    pub address: SocketAddr,
    /// The key of those who get as far as a body.
    pub write_key: String,
    /// How many.
    pub clients: u64,
    /// How many of them are connected by now.
    pub connected: Arc<AtomicU64>,
    /// Ends them.
    pub stop: Arc<AtomicBool>,
}

impl Dawdlers {
    /// Runs them until each is closed by the server, or they are stopped.
    ///
    /// # Errors
    /// No runtime for them.
    pub fn run(&self) -> Result<(), BenchError> {
        with_runtime(async {
            let mut tasks = JoinSet::new();
            for number in 0..self.clients {
                let kind = match number % 4 {
                    0 => Dawdler::Silent,
                    1 => Dawdler::Header,
                    2 => Dawdler::Body,
                    _ => Dawdler::Reader,
                };
                let crowd = self.clone();
                tasks.spawn(async move { crowd.dawdle(kind).await });
            }
            while tasks.join_next().await.is_some() {}
        })
    }

    async fn dawdle(&self, kind: Dawdler) {
        let Some(stream) = connect(self.address, kind == Dawdler::Reader, &self.stop).await else { return };
        self.connected.fetch_add(1, Ordering::AcqRel);
        let authorization = format!("authorization: Bearer {}\r\n", self.write_key);
        let start = match kind {
            Dawdler::Silent => String::new(),
            Dawdler::Header => "POST /v1/track HTTP/1.1\r\nhost: bench\r\nx-slow: ".into(),
            Dawdler::Body => {
                format!("POST /v1/track HTTP/1.1\r\nhost: bench\r\n{authorization}content-length: 9999\r\n\r\n")
            }
            Dawdler::Reader => "GET /api/openapi.json HTTP/1.1\r\nhost: bench\r\n\r\n".repeat(UNREAD_ANSWERS),
        };
        if write_all(&stream, start.as_bytes()).await.is_err() {
            return;
        }
        let mut read = [0; 1];
        while !self.stop.load(Ordering::Acquire) {
            let going_on = match kind {
                Dawdler::Header | Dawdler::Body => write_all(&stream, b"a").await.is_ok(),
                Dawdler::Silent => true,
                Dawdler::Reader => !matches!(stream.try_read(&mut read), Ok(0)),
            };
            if !going_on {
                return;
            }
            if kind == Dawdler::Reader {
                tokio::time::sleep(DAWDLE_EVERY).await;
            } else if matches!(
                tokio::time::timeout(DAWDLE_EVERY, read_some(&stream, &mut read)).await,
                Ok(Ok(0) | Err(_))
            ) {
                return;
            }
        }
    }
}

/// Busy clients: each sends, waits for the answer, and sends the next.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// Where.
    pub address: SocketAddr,
    /// With which key.
    pub write_key: String,
    /// How many.
    pub connections: u64,
    /// Tells the message ids of several crowds apart, and those of one from all others': at most 9,999.
    pub number: u64,
    /// Events in one request.
    pub batch: usize,
    /// People the events are of.
    pub profiles: u64,
    /// Pause of a connection between an answer and its next request.
    pub pause: Duration,
    /// When the events happened, RFC 3339.
    pub timestamp: String,
    /// Ends them.
    pub stop: Arc<AtomicBool>,
}

/// What came of a crowd.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Events acknowledged.
    pub events: u64,
    /// Refusals that don't say when to come again.
    pub without_retry_after: u64,
    /// Connections that broke, or could not be made.
    pub broken: u64,
    /// The second each acknowledged request was sent in, and the microseconds until its answer.
    pub acked: Vec<(u32, u32)>,
}

impl Tally {
    /// Microseconds of the requests that were sent in the seconds from `from` up to `to`.
    pub fn micros(&self, from: u64, to: u64) -> Vec<u64> {
        let within = self.acked.iter().filter(|(second, _)| (from..to).contains(&u64::from(*second)));
        within.map(|(_, micros)| u64::from(*micros)).collect()
    }

    /// Answers of this status.
    pub fn answered(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or_default()
    }
}

impl Crowd {
    /// Runs it until it is stopped. A refused request comes again at once: a crowd has no manners.
    ///
    /// # Errors
    /// No runtime for it.
    pub fn run(&self, watch: Watch) -> Result<Tally, BenchError> {
        let bodies =
            Arc::new(Mutex::new(Bodies::new(self.number, self.batch, Whom::Anybody(self.profiles), &self.timestamp)));
        let tally = Arc::new(Mutex::new(Tally::default()));
        with_runtime(async {
            let mut tasks = JoinSet::new();
            for _ in 0..self.connections {
                let (crowd, bodies, tally) = (self.clone(), Arc::clone(&bodies), Arc::clone(&tally));
                tasks.spawn(async move { crowd.send(watch, &bodies, &tally).await });
            }
            while tasks.join_next().await.is_some() {}
        })?;
        Ok(std::mem::take(&mut *tally.lock()))
    }

    async fn send(&self, watch: Watch, bodies: &Mutex<Bodies>, tally: &Mutex<Tally>) {
        let mut request = Vec::new();
        let mut answer = Vec::with_capacity(512);
        let mut connection = None;
        while !self.stop.load(Ordering::Acquire) {
            if request.is_empty() {
                let mut bodies = bodies.lock();
                let body = bodies.next_batch();
                let head = format!(
                    "POST /v1/batch HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n",
                    self.write_key,
                    body.len()
                );
                request.extend_from_slice(head.as_bytes());
                request.extend_from_slice(body);
            }
            let stream = match connection.take() {
                Some(stream) => stream,
                None => match connect(self.address, false, &self.stop).await {
                    Some(stream) => stream,
                    None => return,
                },
            };
            let (second, sent) = (watch.passed().as_secs(), Watch::start());
            match ask(&stream, &request, &mut answer).await {
                Ok((status, has_retry_after)) => {
                    let mut tally = tally.lock();
                    *tally.by_status.entry(status).or_default() += 1;
                    if status == 200 {
                        request.clear();
                        tally.events += self.batch as u64;
                        let micros = u32::try_from(sent.micros()).unwrap_or(u32::MAX);
                        tally.acked.push((u32::try_from(second).unwrap_or(u32::MAX), micros));
                    } else if !has_retry_after {
                        tally.without_retry_after += 1;
                    }
                    connection = Some(stream);
                }
                Err(_) => tally.lock().broken += 1,
            }
            if !self.pause.is_zero() {
                tokio::time::sleep(self.pause).await;
            }
        }
    }
}

fn with_runtime(work: impl Future<Output = ()>) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed("start the clients"))?.block_on(work);
    Ok(())
}

/// Connects, again and again until it is stopped. One that reads slowly also has little room for what it is sent.
async fn connect(address: SocketAddr, reads_slowly: bool, stop: &AtomicBool) -> Option<TcpStream> {
    while !stop.load(Ordering::Acquire) {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        if let Ok(socket) = socket {
            if reads_slowly {
                let _ = socket.set_recv_buffer_size(4_096);
            }
            if let Ok(stream) = socket.connect(address).await {
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
    None
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read_some(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Sends a request, reads its answer: the status, and whether it says when to come again.
async fn ask(stream: &TcpStream, request: &[u8], answer: &mut Vec<u8>) -> io::Result<(u16, bool)> {
    write_all(stream, request).await?;
    answer.clear();
    let mut whole = usize::MAX;
    let mut part = [0; 1_024];
    while answer.len() < whole {
        let read = read_some(stream, &mut part).await?;
        if read == 0 || answer.len() > ANSWER_BYTES_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(part.get(..read).unwrap_or_default());
        if whole == usize::MAX
            && let Some((body_at, head)) = head_of(answer)
        {
            let length = number_in(head, "content-length").and_then(|length| length.try_into().ok());
            whole = body_at + length.unwrap_or(0_usize);
        }
    }
    let status = std::str::from_utf8(answer.get(9..12).unwrap_or_default()).ok().and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, memchr::memmem::find(answer, b"retry-after:").is_some()))
}
