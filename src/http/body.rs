//! A request body that knows whether it was asked for: the connection asks for it only once it is up and the head is
//! written, so "not asked" means that nothing was sent that could have been carried out. Used by `Outbound` alone.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Whether a request's body has been asked for.
#[derive(Debug, Clone, Default)]
pub struct Sent(Arc<AtomicBool>);

impl Sent {
    /// It has: the request may have arrived.
    pub fn happened(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The bytes of a request, in one piece.
#[derive(Debug)]
pub struct Tracked {
    bytes: Option<Bytes>,
    sent: Sent,
}

impl Tracked {
    /// `bytes`, and a view of whether they were asked for.
    pub fn new(bytes: Bytes) -> (Self, Sent) {
        let sent = Sent::default();
        let tracked = Self {
            bytes: Some(bytes),
            sent: sent.clone(),
        };
        (tracked, sent)
    }
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.sent.0.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}
