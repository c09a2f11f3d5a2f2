//! Reads a handshake one record at a time, to detect a certificate request.
//!
//! OpenSSL has a callback for certificate requests, but the Rust bindings do not expose it. They expose the name of the
//! handshake's state, so the connection makes the handshake wait before each read.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use openssl::ssl;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_openssl::SslStream;

use super::super::connect::Stream;
use crate::forward::forward_writes;

/// OpenSSL's short name for the state after a CertificateRequest, in TLS 1.3 and before.
const CERTIFICATE_REQUESTED: &str = "TRCR";

/// A connection whose reads, during a handshake, first return pending once.
pub(in crate::database) struct Stepwise {
    stream: Box<dyn Stream>,
    in_handshake: bool,
    has_waited: bool,
    asked: bool,
}

impl Stepwise {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Stepwise { stream, in_handshake: true, has_waited: false, asked: false }
    }

    pub(super) fn asked_for_certificate(&self) -> bool {
        self.asked
    }
}

/// Performs the handshake, and records whether the server requested a certificate.
pub(super) async fn connect(stream: &mut SslStream<Stepwise>) -> Result<(), ssl::Error> {
    let outcome = poll_fn(|context| {
        let outcome = Pin::new(&mut *stream).poll_connect(context);
        let asks = stream.ssl().state_string() == CERTIFICATE_REQUESTED;
        stream.get_mut().asked |= asks;
        outcome
    })
    .await;
    stream.get_mut().in_handshake = false;
    outcome
}

impl AsyncRead for Stepwise {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.in_handshake && !self.has_waited {
            self.has_waited = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.has_waited = outcome.is_pending();
        outcome
    }
}

forward_writes!(Stepwise);
