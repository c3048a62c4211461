//! A go-between that does to requests what networks and busy servers do: refuses them, or passes them on and loses
//! the answer.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::http::connect;

/// Bytes of one request at most.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is passed on, and so is its answer.
    Pass,
    /// It is not passed on: the client is told this status, and to come again in a second.
    Refuse(u16),
    /// It is passed on, and the connection breaks before the answer.
    LoseAnswer,
    /// It is passed on, and the client is told this status all the same.
    Deny(u16),
}

/// Stands between clients and a server until it is dropped.
pub(crate) struct Between {
    /// Where clients find it.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    fates: Vec<Fate>,
    /// Requests with events so far.
    events: AtomicUsize,
    ended: AtomicBool,
}

impl Between {
    /// `fates` are those of the first requests with events; all after them are passed on.
    pub(crate) fn start(server: SocketAddr, fates: &[Fate]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (events, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        let shared = Arc::new(Shared { server, fates: fates.to_vec(), events, ended });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.ended.load(Ordering::Acquire) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || while shared.pass_on(&stream).is_some() {});
            }
        });
        Self { address, shared }
    }

    /// How many requests with events have met their fate.
    pub(crate) fn requests(&self) -> usize {
        self.shared.events.load(Ordering::Acquire)
    }
}

impl Drop for Between {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    /// One request and its answer; `None` once the connection is over.
    fn pass_on(&self, mut client: &TcpStream) -> Option<()> {
        let request = read_message(&mut client)?;
        let head = String::from_utf8_lossy(&request).into_owned();
        let has_events = head.starts_with("POST /v1/") && !head.starts_with("POST /v1/m ");
        let fate = if has_events {
            let number = self.events.fetch_add(1, Ordering::AcqRel);
            self.fates.get(number).copied().unwrap_or(Fate::Pass)
        } else {
            Fate::Pass
        };
        if let Fate::Refuse(status) = fate {
            return client.write_all(refusal(status).as_bytes()).ok();
        }
        let mut server = connect(self.server).ok()?;
        server.write_all(&request).ok()?;
        let answer = read_message(&mut server)?;
        match fate {
            Fate::LoseAnswer => None,
            Fate::Deny(status) => client.write_all(refusal(status).as_bytes()).ok(),
            Fate::Pass | Fate::Refuse(_) => client.write_all(&answer).ok(),
        }
    }
}

/// What the server itself says when it refuses.
fn refusal(status: u16) -> String {
    let body = format!("{{\"status\":{status},\"code\":\"busy\",\"message\":\"try again\",\"retry_after_s\":1}}");
    format!(
        "HTTP/1.1 {status} Refused\r\nretry-after: 1\r\naccess-control-allow-origin: *\r\n\
         access-control-expose-headers: retry-after\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A request or an answer, whole and as it came.
fn read_message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    let mut whole = usize::MAX;
    while bytes.len() < whole {
        let count = stream.read(&mut buffer).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        assert!(bytes.len() <= REQUEST_BYTES_MAX, "a message is too long");
        if whole == usize::MAX
            && let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            assert!(!head.contains("transfer-encoding"), "no client sends its body in chunks: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            whole = end + 4 + length.unwrap_or(0);
        }
    }
    Some(bytes)
}
