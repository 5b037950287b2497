//! Where the components' standard output and error go, and the host's own lines with them.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::lock::lock;
use crate::options::Stderr;

/// Most that is kept of captured output; a test that logs more is broken.
const CAPTURED_BYTES_MAX: usize = 16 << 20;

/// A sink of log lines, cheap to clone.
#[derive(Clone)]
pub(crate) struct Log {
    captured: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Log {
    pub(crate) fn new(target: Stderr) -> Self {
        Self { captured: (target == Stderr::Capture).then(Arc::default) }
    }

    /// Writes one line of the host's own.
    pub(crate) fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    pub(crate) fn captured(&self) -> String {
        let bytes = self.captured.as_ref().map(|bytes| lock(bytes).clone());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    /// Writes at once and without buffer: a guest that traps right afterwards must be heard.
    fn write(&self, bytes: &[u8]) {
        match &self.captured {
            // Nobody is left to be told that standard error is gone.
            None => drop(std::io::stderr().lock().write_all(bytes)),
            Some(captured) => {
                let mut captured = lock(captured);
                let room = CAPTURED_BYTES_MAX.saturating_sub(captured.len());
                captured.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
        }
    }
}

impl AsyncWrite for Log {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}
