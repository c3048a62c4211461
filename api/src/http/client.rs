//! A client of one kept-alive connection, as cheap as can be: where it measures, it must not be what is measured.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The system's error.
    #[error("could not {what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's error.
        error: std::io::Error,
    },
    /// The answer is none, or not the one wanted.
    #[error("{0}")]
    Answer(String),
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> ClientError {
    move |error| ClientError::Io { what, error }
}

const WITHIN: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A client of one connection.
pub struct Client {
    stream: TcpStream,
    authorization: String,
    request: Vec<u8>,
    answer: Vec<u8>,
    retry_after_s: Option<u64>,
}

impl Client {
    /// Connects, and says `key` as bearer with every request.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(address: SocketAddr, key: &str) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).map_err(failed("connect to the server"))?;
        let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(WITHIN)));
        set.map_err(failed("set up the connection"))?;
        let authorization = format!("Bearer {key}");
        Ok(Self { stream, authorization, request: Vec::new(), answer: vec![0; 64 << 10], retry_after_s: None })
    }

    /// Sends a request and reads its answer: status and body.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, &[u8]), ClientError> {
        self.send(method, path, body)?;
        self.receive()
    }

    /// Sends a request; its answer is to be received before the next one.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(), ClientError> {
        self.request.clear();
        let (length, authorization) = (body.len(), &self.authorization);
        let head = write!(
            self.request,
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        head.map_err(failed("write a request"))?;
        self.request.extend_from_slice(body);
        self.send_again()
    }

    /// Sends the last request once more.
    ///
    /// # Errors
    /// The system's.
    pub fn send_again(&mut self) -> Result<(), ClientError> {
        self.stream.write_all(&self.request).map_err(failed("send a request"))
    }

    /// Receives the answer to what was sent: status and body.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub fn receive(&mut self) -> Result<(u16, &[u8]), ClientError> {
        let mut read = 0;
        let (mut body_at, mut whole) = (0, usize::MAX);
        while read < whole {
            if read == self.answer.len() {
                self.answer.resize(read * 2, 0);
            }
            let into = self.answer.get_mut(read..).unwrap_or_default();
            let count = self.stream.read(into).map_err(failed("read an answer"))?;
            if count == 0 {
                return Err(ClientError::Answer("the server closed the connection".into()));
            }
            read += count;
            if body_at == 0
                && let Some((at, head)) = head_of(self.answer.get(..read).unwrap_or_default())
            {
                body_at = at;
                whole = at + number_in(head, "content-length").and_then(|n| n.try_into().ok()).unwrap_or(0);
                self.retry_after_s = number_in(head, "retry-after");
                if whole > ANSWER_BYTES_MAX {
                    return Err(ClientError::Answer("an answer is too long".into()));
                }
            }
        }
        let status = std::str::from_utf8(self.answer.get(9..12).unwrap_or_default()).ok();
        let status = status.and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| ClientError::Answer("an answer has no status".into()))?;
        Ok((status, self.answer.get(body_at..whole).unwrap_or_default()))
    }

    /// After how many seconds the last answer asked to be asked again, if it did.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// Asks for JSON; anything but a success is an error.
    ///
    /// # Errors
    /// The system's, or the server's refusal.
    pub fn json(&mut self, method: &str, path: &str, body: &[u8]) -> Result<serde_json::Value, ClientError> {
        let (status, answer) = self.ask(method, path, body)?;
        if !(200..300).contains(&status) {
            let answer = String::from_utf8_lossy(answer);
            return Err(ClientError::Answer(format!("{method} {path} was answered {status}: {answer}")));
        }
        serde_json::from_slice(answer).map_err(|error| ClientError::Answer(format!("{path}: {error}")))
    }
}

/// Where an answer's body begins, and its head, once that is there.
pub(crate) fn head_of(answer: &[u8]) -> Option<(usize, &str)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    Some((end + 4, head))
}

/// The number a header gives.
pub(crate) fn number_in(head: &str, name: &str) -> Option<u64> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().parse().ok())?
    })
}
