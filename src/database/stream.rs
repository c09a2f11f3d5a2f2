//! Open connections, whatever carries them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::forward::forward_writes;

/// An open connection, TCP, Unix or TLS over either.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// A connection that fails after a maximum number of bytes was read, so that a hostile server cannot exhaust memory,
/// and that remembers the first bytes.
pub(super) struct LimitedStream {
    stream: Box<dyn Stream>,
    left: u64,
    heard: FirstBytes,
}

/// The first bytes that a server sent.
#[derive(Debug, Clone, Default)]
pub(super) struct FirstBytes(Arc<Mutex<Vec<u8>>>);

impl FirstBytes {
    /// The longest beginning that is remembered: more than is shown of it, since half a secret could not be scrubbed.
    pub(super) const MOST: usize = 4096;

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, bytes: &[u8]) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = Self::MOST - heard.len();
        heard.extend(bytes.iter().take(room));
    }
}

impl LimitedStream {
    pub(super) fn new(stream: Box<dyn Stream>, most: u64) -> Self {
        LimitedStream { stream, left: most, heard: FirstBytes::default() }
    }

    pub(super) fn heard(&self) -> FirstBytes {
        self.heard.clone()
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        let new = &buffer.filled()[before..];
        self.heard.add(new);
        let read = u64::try_from(new.len()).unwrap_or(u64::MAX);
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => {
                let error = io::Error::new(io::ErrorKind::InvalidData, "the server does not stop sending");
                return Poll::Ready(Err(error));
            }
        }
        outcome
    }
}

forward_writes!(LimitedStream);
