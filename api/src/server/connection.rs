//! One connection: requests by HTTP/1.1, each part within its time.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, Sleep},
};
use tower::ServiceExt;

use crate::config::ServerConfig;

/// Headers of one request at most.
const HEADERS_MAX: usize = 64;
/// Bytes of the head of a request at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an answer a client must take each time it is given for reading, or all that is left.
const PART_BYTES_MIN: usize = 64 * 1024;
/// Where tracking clients in browsers of other sites come in.
const INGEST: &str = "/v1/";
/// Bytes of the body of a question, which has none, that are read all the same.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy)]
pub(super) struct Settings {
    header_within: Duration,
    write_within: Duration,
}

impl Settings {
    pub(super) fn of(config: &ServerConfig) -> Self {
        Self {
            header_within: Duration::from_millis(config.header_ms_max),
            write_within: Duration::from_millis(config.write_ms_max),
        }
    }
}

/// Serves one connection to its end, or to the end of the request under way once `closing` is true.
///
/// Spawned as it is, its state in a box of its own: a future within a future takes its room twice, which
/// thousands of connections feel.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    settings: Settings,
    mut closing: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Hurried::new(stream, settings.write_within));
    let service = service_fn(move |request| answer(router.clone(), request, settings.header_within));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(settings.header_within);
    builder.max_headers(HEADERS_MAX).max_header_size(HEAD_BYTES_MAX);
    let mut connection = Box::pin(builder.serve_connection(io, service));
    drop(builder);
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = closed(&mut closing) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Waits until the door is closed.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // The guard it gives must not live on.
    drop(closing.wait_for(|closing| *closing).await);
}

async fn answer(
    router: Router,
    request: Request<Incoming>,
    within: Duration,
) -> Result<Response, std::convert::Infallible> {
    let mut request = without_idle_body(request, within).await;
    if !request.uri().path().starts_with(INGEST) {
        return router.oneshot(request).await;
    }
    let mut response = if request.method() == Method::OPTIONS {
        StatusCode::NO_CONTENT.into_response()
    } else {
        without_trailing_slash(request.uri_mut());
        router.oneshot(request).await?
    };
    allow_other_origins(response.headers_mut());
    Ok(response)
}

/// A question has no body. One that is sent all the same is read: left lying, it would break the connection off
/// when it is closed, before a long answer has arrived.
async fn without_idle_body(request: Request<Incoming>, within: Duration) -> Request {
    if !matches!(*request.method(), Method::GET | Method::HEAD) || request.body().is_end_stream() {
        return request.map(Body::new);
    }
    let (head, body) = request.into_parts();
    // Whatever comes of it, the question is answered.
    let _ = tokio::time::timeout(within, Limited::new(body, QUESTION_BYTES_MAX).collect()).await;
    Request::from_parts(head, Body::empty())
}

/// Browsers ask from the pages of the shop; the write key is all that counts.
fn allow_other_origins(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    let allowed = "authorization, content-type, content-encoding, x-retry-count";
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    // Without this a page can't see how long it is to wait.
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
}

fn without_trailing_slash(uri: &mut Uri) {
    let Some(path) = uri.path().strip_suffix('/') else { return };
    let whole = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(shorter) = whole.parse() {
        *uri = shorter;
    }
}

/// A stream whose other side must take what is written within a time: all of it, or a good part each time.
struct Hurried {
    stream: TcpStream,
    within: Duration,
    /// Runs from the first write that waits until all is written or a good part more.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Bytes written since it runs.
    written: usize,
}

impl Hurried {
    fn new(stream: TcpStream, within: Duration) -> Self {
        Self { stream, within, waiting: None, written: 0 }
    }

    /// What a write of `offered` bytes came to.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        offered: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written
            && self.waiting.is_some()
        {
            self.written += bytes;
            // A few bytes now and then don't keep a connection.
            if bytes == offered || self.written >= PART_BYTES_MIN {
                self.waiting = None;
            }
        }
        self.hurry(cx, written)
    }

    /// What was waited for; too long a wait is an error.
    fn hurry<T>(&mut self, cx: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            return done;
        }
        if self.waiting.is_none() {
            self.written = 0;
        }
        let deadline = Instant::now() + self.within;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for Hurried {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Hurried {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(cx, buf.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, parts.iter().map(|part| part.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.hurry(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.hurry(cx, shut)
    }
}
