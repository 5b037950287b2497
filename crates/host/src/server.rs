//! The listening side: HTTP/1.1 connections, bounded and with TCP_NODELAY, and a stop that lets
//! requests finish.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::http_trigger::HttpTrigger;

/// Connections at the same time; later ones wait in the system's queue. Enough for any load test
/// on one machine, and far below what runs it out of memory.
const CONNECTIONS_MAX: usize = 8_192;
/// Bytes of a request's head; what common proxies admit.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Time for a client to send a whole head, so that idle sockets do not pile up.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that open requests get to finish when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which usually means that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running server, stopped by [`stop`](Server::stop) or by dropping it.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    triggers: JoinSet<String>,
}

impl Server {
    pub(crate) async fn start(
        address: SocketAddr,
        trigger: Arc<HttpTrigger>,
        triggers: JoinSet<String>,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        Ok(Self {
            address,
            stop,
            accepting: tokio::spawn(accept(listener, trigger, stopped)),
            triggers,
        })
    }

    /// Resolves with the reason when a Redis trigger ends, which in Spin ends the app; never if
    /// there is none.
    pub async fn trigger_ended(&mut self) -> String {
        match self.triggers.join_next().await {
            Some(Ok(reason)) => reason,
            Some(Err(error)) => format!("redis trigger: {error}"),
            None => std::future::pending().await,
        }
    }

    /// Stops accepting, lets open requests finish for a while, and closes.
    pub async fn stop(mut self) {
        self.triggers.abort_all();
        self.stop.send_replace(true);
        // The task ends by itself, or was aborted: both are a stop.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    trigger: Arc<HttpTrigger>,
    mut stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        tokio::select! {
            biased;
            _ = is_stopped(&mut stopped) => break,
            (permit, accepted) = next => match accepted {
                Ok((stream, client)) => {
                    let trigger = Arc::clone(&trigger);
                    let stopped = stopped.clone();
                    connections.spawn(async move {
                        let _permit = permit;
                        serve(stream, client, trigger, stopped).await;
                    });
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            // Takes finished connections off the set.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    let finish = async { while connections.join_next().await.is_some() {} };
    // Whoever has not finished by then is cut off when the set is dropped.
    let _ = tokio::time::timeout(STOP_TIMEOUT, finish).await;
}

/// Resolves when the server stops, or is gone.
async fn is_stopped(stopped: &mut watch::Receiver<bool>) {
    // An error means that the server was dropped, which stops it too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    trigger: Arc<HttpTrigger>,
    mut stopped: watch::Receiver<bool>,
) {
    // Fails only on a socket that is already gone, which the first read will tell.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let trigger = Arc::clone(&trigger);
        async move {
            let request =
                request.map(|body| body.map_err(wasmtime_wasi_http::Error::from).boxed_unsync());
            Ok::<_, Infallible>(trigger.handle(request, client).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A connection that breaks is its client's affair.
        _ = connection.as_mut() => {}
        _ = is_stopped(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
