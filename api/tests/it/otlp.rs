//! Traces, where the program is built for them: a collector gets them, and nobody's name with them.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    time::Duration,
};

use crate::{
    http::Request,
    server::{Server, directory},
};

const PATIENCE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[test]
fn a_collector_gets_requests_and_steps_and_the_senders_trace_goes_on() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = Vec::new();
            let mut buffer = [0; 64 * 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..count]);
                if is_whole(&bytes) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                    let _ = sender.send(std::mem::take(&mut bytes));
                }
            }
        }
    });
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))]);
    let event = r#"{"userId":"canary-user","traits":{"email":"canary@example.test"}}"#;
    assert_eq!(server.post("/v1/identify", event).status, 200);
    server.settle();
    let found = Request::new("GET", "/api/profiles/email:canary%40example.test")
        .key(&server.admin_key)
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .send(server.address);
    assert_eq!(found.status, 200);
    // What is left is sent at the end.
    server.stop();
    let mut all = Vec::new();
    let trace: Vec<u8> =
        (0..16).map(|place| u8::from_str_radix(&TRACE[place * 2..place * 2 + 2], 16).expect("hex")).collect();
    let wanted = [b"POST /v1/traces".as_slice(), b"/v1/identify", b"/api/profiles/{id}", b"impresario", &trace];
    while !wanted.iter().all(|part| has(&all, part)) {
        all.extend(received.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&all))));
    }
    assert!(!has(&all, b"canary"), "somebody is named in a trace");
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() >= end + 4 + length)
}
