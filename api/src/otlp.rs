//! Traces by OTLP over HTTP: to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, and to nobody where it
//! names none. The specification's variables for headers, sampling, batches and the service's name hold as well.
//!
//! Without TLS: a collector runs beside the program and takes the traces from there.

use std::{
    future::Future,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    pin::Pin,
    time::Duration,
};

use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use bytes::Bytes;
use opentelemetry::{propagation::TextMapPropagator, trace::TracerProvider};
use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, Layer, registry::LookupSpan};

const NAME: &str = "impresario";
/// What is traced: requests, agents' steps, and what happens within.
const TRACED: &str = "info,impresario::requests=debug,impresario_runtime=debug";
/// How long the collector may take, for each step of an answer.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of the head of its answer at most.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const HTTP_PORT: u16 = 80;

/// Sends what is left when it is dropped.
pub(crate) struct Exporting(SdkTracerProvider);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// The layer that makes traces of spans, and what sends them; `None` where no collector is named.
pub(crate) fn layer<S>() -> Result<Option<(impl Layer<S> + Send + Sync, Exporting)>, String>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let named = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
    let named: Vec<_> = named.iter().filter_map(std::env::var_os).collect();
    if named.is_empty() {
        return Ok(None);
    }
    if named.iter().any(|endpoint| !endpoint.to_string_lossy().starts_with("http://")) {
        return Err("the collector's address must begin with http://".into());
    }
    let exporter =
        SpanExporter::builder().with_http().with_http_client(Sender).build().map_err(|error| error.to_string())?;
    let resource = Resource::builder();
    let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
        Some(_) => resource,
        None => resource.with_service_name(NAME),
    };
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = provider.tracer(NAME);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(EnvFilter::new(TRACED));
    Ok(Some((layer, Exporting(provider))))
}

/// Makes a request's span part of the trace its sender names (W3C Trace Context).
pub(crate) fn adopt(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    let _ = span.set_parent(parent);
}

/// Sends one batch by one connection. It blocks, on the exporter's own thread.
#[derive(Debug)]
struct Sender;

impl HttpClient for Sender {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(std::future::ready(send(&request)))
    }
}

/// The collector's status; whatever else it answers is not read.
fn send(request: &Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let host = uri.host().ok_or("the collector's address has no host")?;
    let mut stream = connect(host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(HTTP_PORT))?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.set_write_timeout(Some(WITHIN))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut head = format!("{} {path} HTTP/1.1\r\n", request.method()).into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    field("host", uri.authority().map_or(host, |authority| authority.as_str()).as_bytes());
    field("connection", b"close");
    field("content-length", request.body().len().to_string().as_bytes());
    for (name, value) in request.headers() {
        if ![header::HOST, header::CONNECTION, header::CONTENT_LENGTH].contains(name) {
            field(name.as_str(), value.as_bytes());
        }
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)?;
    stream.write_all(request.body())?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status(&mut stream)?;
    Ok(response)
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the collector's name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, WITHIN) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Reads the head of an answer.
fn status(stream: &mut impl Read) -> Result<StatusCode, HttpError> {
    let mut head = Vec::new();
    let mut part = [0; 1_024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err("the collector's answer is none".into());
        }
        head.extend_from_slice(part.get(..count).unwrap_or_default());
    }
    let code = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    Ok(StatusCode::from_bytes(code)?)
}
