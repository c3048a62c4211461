//! A client of one kept-alive connection, as cheap as can be: it must not be what is measured.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use super::{BenchError, failed};

const WITHIN: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A client of one connection.
pub struct Client {
    stream: TcpStream,
    authorization: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Client {
    /// Connects, and says `key` as bearer with every request.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(address: SocketAddr, key: &str) -> Result<Self, BenchError> {
        let stream = TcpStream::connect(address).map_err(failed("connect to the server"))?;
        let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(WITHIN)));
        set.map_err(failed("set up the connection"))?;
        let authorization = format!("Bearer {key}");
        Ok(Self { stream, authorization, request: Vec::new(), answer: vec![0; 64 << 10] })
    }

    /// Sends a request and reads its answer: status and body.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(u16, &[u8]), BenchError> {
        self.send(method, path, body)?;
        self.receive()
    }

    /// Sends a request; its answer is to be received before the next one.
    ///
    /// # Errors
    /// The system's.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Result<(), BenchError> {
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
    pub fn send_again(&mut self) -> Result<(), BenchError> {
        self.stream.write_all(&self.request).map_err(failed("send a request"))
    }

    /// Receives the answer to what was sent: status and body.
    ///
    /// # Errors
    /// The system's, or an answer that is none.
    pub fn receive(&mut self) -> Result<(u16, &[u8]), BenchError> {
        let mut read = 0;
        let (mut body_at, mut whole) = (0, usize::MAX);
        while read < whole {
            if read == self.answer.len() {
                self.answer.resize(read * 2, 0);
            }
            let into = self.answer.get_mut(read..).unwrap_or_default();
            let count = self.stream.read(into).map_err(failed("read an answer"))?;
            if count == 0 {
                return Err(BenchError::Server("the server closed the connection".into()));
            }
            read += count;
            if body_at == 0
                && let Some((at, length)) = head_of(self.answer.get(..read).unwrap_or_default())
            {
                body_at = at;
                whole = at + length;
                if whole > ANSWER_BYTES_MAX {
                    return Err(BenchError::Server("an answer is too long".into()));
                }
            }
        }
        let status = std::str::from_utf8(self.answer.get(9..12).unwrap_or_default()).ok();
        let status = status.and_then(|digits| digits.parse().ok());
        let status = status.ok_or_else(|| BenchError::Server("an answer has no status".into()))?;
        Ok((status, self.answer.get(body_at..whole).unwrap_or_default()))
    }

    /// Asks for JSON; anything but a success is an error.
    ///
    /// # Errors
    /// The system's, or the server's refusal.
    pub fn json(&mut self, method: &str, path: &str, body: &[u8]) -> Result<serde_json::Value, BenchError> {
        let (status, answer) = self.ask(method, path, body)?;
        if !(200..300).contains(&status) {
            let answer = String::from_utf8_lossy(answer);
            return Err(BenchError::Server(format!("{method} {path} was answered {status}: {answer}")));
        }
        serde_json::from_slice(answer).map_err(|error| BenchError::Server(format!("{path}: {error}")))
    }
}

/// Where an answer's body begins and how long it is, once the head is there.
pub(super) fn head_of(answer: &[u8]) -> Option<(usize, usize)> {
    let end = memchr::memmem::find(answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((end + 4, length.unwrap_or(0)))
}
