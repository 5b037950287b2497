//! The load generator: connections that are kept, on each one request after the other. It has a
//! thread and a runtime of its own, and does as little as possible for each request, because it
//! shares the machine with what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::Request;
use http::header::CONTENT_LENGTH;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at the same time.
pub const CONNECTIONS: u64 = 16;
/// Requests of one connection in one measurement.
const REQUESTS_MAX: u64 = 1 << 20;
/// After the end of a measurement, for the answers that are still to come.
const GRACE: Duration = Duration::from_secs(30);
const HEADERS_MAX: usize = 32;
const RESPONSE_BYTES_MAX: usize = 1 << 20;
/// The longest latency that is told from a longer one.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Digits of a latency that count.
const DIGITS: u8 = 3;

/// What to send, and for how long.
#[derive(Clone)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Makes the bytes of a request.
    pub request: Arc<dyn Fn() -> Bytes + Send + Sync>,
    /// Anything else than this status ends the measurement.
    pub status: u16,
    /// How long new requests are sent.
    pub time: Duration,
}

/// What came of it.
pub struct Measured {
    /// Answers a second.
    pub rate: f64,
    /// Microseconds of processor time of this process for each answer: server and load generator,
    /// without Redis. Unlike the rate it hardly depends on what else the machine does.
    pub cpu_us: f64,
    /// Microseconds from sending a request to having its answer.
    pub latencies: Histogram<u64>,
}

/// The bytes of a request.
pub fn wire(request: &Request<Bytes>) -> Bytes {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    let mut header = |name: &str, value: &[u8]| {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    };
    header("host", b"localhost");
    for (name, value) in request.headers() {
        header(name.as_str(), value.as_bytes());
    }
    if !request.body().is_empty() {
        header(CONTENT_LENGTH.as_str(), request.body().len().to_string().as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(request.body());
    bytes.into()
}

/// Sends one request and gives the body of its answer.
///
/// # Errors
/// The connection's, or another status.
pub async fn once(load: &Load) -> Result<Bytes> {
    let mut client = Client::connect(load.address).await?;
    let (status, body) = timeout(GRACE, client.exchange(&(load.request)())).await??;
    ensure!(status == load.status, "{status} {}", body.escape_ascii());
    Ok(Bytes::copy_from_slice(body))
}

/// Sends load.
///
/// # Errors
/// Of any connection, or another status.
pub async fn run(load: Load) -> Result<Measured> {
    let (done, measured) = oneshot::channel();
    thread::Builder::new().name("load".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let limit = load.time + GRACE;
        let result = match runtime {
            Ok(runtime) => runtime.block_on(async { timeout(limit, measure(load)).await }),
            Err(error) => Ok(Err(error.into())),
        };
        let result = result.unwrap_or_else(|_| Err(anyhow!("there are answers missing")));
        // Nobody waits any more: then the measurement was given up.
        let _given_up = done.send(result);
    })?;
    measured.await?
}

async fn measure(load: Load) -> Result<Measured> {
    let (start, cpu_start) = (Instant::now(), cpu_time());
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(keep_sending(load.clone(), start + load.time));
    }
    let mut latencies = histogram()?;
    while let Some(connection) = connections.join_next().await {
        latencies.add(connection??)?;
    }
    let answers = latencies.len() as f64;
    let rate = answers / start.elapsed().as_secs_f64();
    let cpu_us = (cpu_time() - cpu_start).as_secs_f64() * 1e6 / answers;
    Ok(Measured { rate, cpu_us, latencies })
}

/// Processor time of all threads of this process so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

async fn keep_sending(load: Load, end: Instant) -> Result<Histogram<u64>> {
    let mut client = Client::connect(load.address).await?;
    let mut latencies = histogram()?;
    for _ in 0..REQUESTS_MAX {
        let request = (load.request)();
        let start = Instant::now();
        if start >= end {
            break;
        }
        let (status, body) = client.exchange(&request).await?;
        ensure!(status == load.status, "{status} {}", body.escape_ascii());
        let us = start.elapsed().as_micros().try_into().unwrap_or(LATENCY_US_MAX);
        latencies.saturating_record(us);
    }
    Ok(latencies)
}

/// An empty histogram of latencies.
///
/// # Errors
/// None with these limits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS)?)
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 << 10) })
    }

    /// Status and body of the answer.
    async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8])> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (status, head_bytes, body_bytes) = loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed");
            if let Some(head) = head(&self.buffer)? {
                break head;
            }
        };
        let bytes = head_bytes + body_bytes;
        ensure!(bytes <= RESPONSE_BYTES_MAX, "an answer of {bytes} bytes");
        while self.buffer.len() < bytes {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed");
        }
        ensure!(self.buffer.len() == bytes, "there is more than one answer");
        Ok((status, &self.buffer[head_bytes..]))
    }
}

/// Status, bytes of the head and bytes of the body; nothing while the head is not whole.
fn head(bytes: &[u8]) -> Result<Option<(u16, usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = response.parse(bytes)? else {
        ensure!(bytes.len() <= RESPONSE_BYTES_MAX, "a head of {} bytes", bytes.len());
        return Ok(None);
    };
    let status = response.code.context("an answer has a status")?;
    let named =
        |name: &str| response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    let body_bytes = match named(CONTENT_LENGTH.as_str()) {
        Some(header) => std::str::from_utf8(header.value)?.parse()?,
        None if status == 204 => 0,
        None => bail!("an answer without content-length"),
    };
    Ok(Some((status, head_bytes, body_bytes)))
}
