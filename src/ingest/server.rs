//! Listens, and keeps every connection inside its limits: how many there are, how long a head, a body, an answer and a
//! silence may take (TRAPS: a server without them keeps partial requests for ever). What is answered is decided in
//! `routes`. Started by the worker; stops taking connections when told, and lets what is under way finish.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Intake;
use super::guard::Guard;
use super::routes::Door;
use crate::config::live::Live;
use crate::store::Store;

/// Limits of the front door.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait in the system's backlog.
    pub connections: usize,
    /// A request's head must be here within this; an idle connection is closed after it.
    pub head: Duration,
    /// A request's body must be here within this after its head.
    pub body: Duration,
    /// The store must have answered within this after the body.
    pub commit: Duration,
    /// A peer must take something of its answer within this.
    pub write: Duration,
    /// How long requests under way may take to finish once stopped.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(10),
            body: Duration::from_secs(20),
            commit: Duration::from_secs(20),
            write: Duration::from_secs(15),
            drain: Duration::from_secs(10),
        }
    }
}

/// Largest head, in bytes, and most headers.
const MAX_HEAD: usize = 32 * 1024;
const MAX_HEADERS: usize = 128;

/// Serves until `stop`, then finishes what is under way. Only a listener that is broken for good is an error.
pub async fn serve(
    listener: TcpListener,
    intake: Intake,
    live: Live,
    store: Store,
    stop: CancellationToken,
) -> io::Result<()> {
    serve_within(Limits::default(), listener, intake, live, store, stop).await
}

/// As [`serve`], with limits of one's own.
pub async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    intake: Intake,
    live: Live,
    store: Store,
    stop: CancellationToken,
) -> io::Result<()> {
    let door = Arc::new(Door::new(intake, live, store, limits));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, peer, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, or a peer that left before it was taken: the listener itself stands.
                tracing::warn!(%error, "cannot take a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (door, stop) = (Arc::clone(&door), stop.clone());
        connections.spawn(async move {
            connection(stream, peer, door, limits, stop).await;
            drop(slot);
        });
    }
    connections.close();
    // Each connection ends by itself within the drain time.
    connections.wait().await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Arc<Door>,
    limits: Limits,
    stop: CancellationToken,
) {
    // Answers are small and whole: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let (guard, verdicts) = Guard::new(stream, limits.write);
    let service = service_fn(move |request| {
        let (door, verdicts) = (Arc::clone(&door), verdicts.clone());
        async move {
            Ok::<_, std::convert::Infallible>(door.answer(verdicts.next(), peer, request).await)
        }
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_header_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            // A sender may close its side once it has said everything; it still gets its answer.
            .half_close(true)
            .serve_connection(TokioIo::new(guard), service)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let Ok(ended) = timeout(limits.drain, connection).await else {
                tracing::warn!(%peer, "a request did not finish before the front door closed");
                return;
            };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, ?error, "a connection ended early");
    }
}
