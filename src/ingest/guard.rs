//! A connection that remembers how the heads of its requests were really sent, and gives up on a peer that does not
//! take its answers. Wraps the socket below hyper; decides nothing itself.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::head::{Tracker, Verdict};

/// Shared between the connection and the service that answers on it.
#[derive(Debug, Clone)]
pub(super) struct Verdicts(Arc<Mutex<Tracker>>);

impl Verdicts {
    /// The verdict on the request that hyper has just parsed; none means that it was not seen, so it must be refused.
    pub(super) fn next(&self) -> Option<Verdict> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_verdict()
    }
}

/// The socket, watched.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    tracker: Arc<Mutex<Tracker>>,
    /// Runs while a write is stuck.
    stalled: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl<S> Guard<S> {
    /// Watches `inner`; a write that is stuck for `patience` ends the connection.
    pub(super) fn new(inner: S, patience: Duration) -> (Self, Verdicts) {
        let tracker = Arc::new(Mutex::new(Tracker::new()));
        let verdicts = Verdicts(Arc::clone(&tracker));
        let guard = Self {
            inner,
            tracker,
            stalled: None,
            patience,
        };
        (guard, verdicts)
    }

    /// Passes a write's outcome on, unless it has been stuck for too long.
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.tracker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .feed(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.patiently(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.patiently(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.patiently(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.patiently(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let (mut guard, _) = Guard::new(near, Duration::from_secs(15));
        let started = Instant::now();
        let error = guard.write_all(&[b'x'; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 15);
    }
}
