//! Clients that dawdle: each part of a request has its time, and others are not held up.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::{
    http::{Request, connect},
    server::{Server, directory},
};

/// Dawdlers of each kind at once.
const DAWDLERS: usize = 50;

#[test]
fn silent_slow_and_endless_clients_are_closed_and_a_good_one_is_served() {
    let (_directory, data) = directory();
    let settings = [
        ("IMPRESARIO_SERVER_HEADER_MS_MAX", "400"),
        ("IMPRESARIO_SERVER_BODY_MS_MAX", "400"),
        ("IMPRESARIO_SERVER_WRITE_MS_MAX", "400"),
    ];
    let server = Server::start_with(&data, &settings);
    let starts: [&[u8]; 4] = [
        b"",
        b"POST /v1/track HTTP/1.1\r\nhost: t\r\n",
        b"POST /v1/track HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n{",
        b"POST /v1/batch HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"bat",
    ];
    let dawdlers: Vec<TcpStream> = starts
        .iter()
        .cycle()
        .take(starts.len() * DAWDLERS)
        .map(|start| {
            let mut stream = connect(server.address).expect("connected");
            stream.write_all(start).expect("sent");
            stream
        })
        .collect();
    let good = server.post("/v1/track", br#"{"userId":"u1","event":"E"}"#);
    assert_eq!(good.status, 200);
    let start = Instant::now();
    for mut stream in dawdlers {
        // Closed, with or without a word before.
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.is_empty() || said.contains(" 408 ") || said.contains(" 401 "), "{said}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "they were not closed");
    assert_eq!(server.get("/health/ready")["status"], "ok");
}

#[test]
fn beyond_the_limit_of_connections_no_more_are_served_until_one_ends() {
    let (_directory, data) = directory();
    let server = Server::start_with(&data, &[("IMPRESARIO_SERVER_CONNECTIONS_MAX", "2")]);
    let mut held = [connect(server.address).expect("connected"), connect(server.address).expect("connected")];
    for stream in &mut held {
        stream.write_all(b"GET /health/live HTTP/1.1\r\nhost: t\r\n\r\n").expect("sent");
        assert_eq!(crate::http::read_answer(stream).expect("an answer").status, 200);
    }
    assert!(Request::new("GET", "/health/live").try_send(server.address).is_err(), "a third is served");
    drop(held);
    let start = Instant::now();
    while Request::new("GET", "/health/live").try_send(server.address).is_err() {
        assert!(start.elapsed() < Duration::from_secs(10), "nobody is served any more");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn heads_beyond_reason_are_refused() {
    let (_directory, data) = directory();
    let server = Server::start(&data);
    let long = Request::new("GET", "/health/live").header("x-long", "x".repeat(64 * 1024)).send(server.address);
    assert_eq!(long.status, 431);
    let mut many = Request::new("GET", "/health/live");
    many.headers = (0..200).map(|_| ("x-many", "x".to_owned())).collect();
    assert_eq!(many.send(server.address).status, 431);
}
