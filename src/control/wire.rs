//! What goes over the control socket: newline-delimited JSON frames, a versioned hello first.
//!
//! Must never let one peer make the other hold more than [`MAX_FRAME`] bytes of a frame. Used by `socket` and `client`.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::action::{Action, Actor, Done, Preview, Refused, Submission};
use crate::event::contract::Fault;
use crate::ids::EventId;
use crate::time::Timestamp;

/// Version of these frames; both sides must speak the same.
pub const VERSION: u32 = 2;

/// The longest frame in bytes, newline included.
pub const MAX_FRAME: usize = 8 << 20;

/// How long a peer may take to read one frame before it is dropped.
pub const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// What a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerKind {
    /// A screen that stays.
    Console,
    /// A command that ends.
    Command,
}

/// Someone who is attached, as everyone else sees them. The texts are claims: make them `Visible` before showing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Number of the connection.
    pub id: u64,
    /// Who.
    pub actor: Actor,
    /// What.
    pub kind: PeerKind,
    /// It cannot act.
    pub read_only: bool,
    /// Since when.
    pub since: Timestamp,
    /// What they are looking at or doing, at most 80 characters.
    pub doing: String,
}

/// The first frame of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub protocol: u32,
    /// Version of the binary.
    pub version: String,
    /// Claimed name.
    pub name: String,
    /// Claimed address of an SSH client.
    pub from: Option<String>,
    /// What it is.
    pub kind: PeerKind,
    /// It gives up the right to act.
    pub read_only: bool,
}

/// The answer to a good hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Number of this connection.
    pub id: u64,
    /// The worker's process id.
    pub pid: u32,
    /// The worker's version.
    pub version: String,
    /// It runs as a service.
    pub service: bool,
}

/// What a client asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Request {
    /// What would this do?
    Preview(Action),
    /// Do this.
    Submit(Submission),
    /// Take these events in, each as the JSON object that stood on one line.
    Send(Vec<Box<RawValue>>),
}

/// What became of one sent event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendReceipt {
    /// How it ended.
    pub outcome: SendOutcome,
    /// Its number, or the number of the one that is stored already.
    pub event: Option<EventId>,
    /// How many deliveries it became.
    pub deliveries: u32,
    /// Why it was refused or held.
    pub reason: Option<String>,
    /// What its data has against its contract.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
}

/// How a sent event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendOutcome {
    /// Stored, on its way.
    Accepted,
    /// Stored before, same content.
    Duplicate,
    /// Known with other content: not stored.
    Conflict,
    /// Stored, but held.
    Held,
    /// Stored; no path matches.
    Unrouted,
    /// Not an event: not stored.
    Refused,
}

/// A good answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// To a preview.
    Preview(Preview),
    /// To a submission.
    Done(Done),
    /// To a send, one for each event in order.
    Receipts(Vec<SendReceipt>),
}

/// From client to worker.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientFrame {
    /// Must come first.
    Hello(Hello),
    /// A question, to be answered under its id.
    Request {
        /// Chosen by the client.
        id: u64,
        /// The question.
        request: Box<Request>,
    },
    /// What this client's operator is doing now.
    Doing(String),
}

/// From worker to client.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerFrame {
    /// To a good hello.
    Welcome(Welcome),
    /// To a bad one; the connection ends.
    Refused(Refused),
    /// To a request.
    Answer {
        /// The request's.
        id: u64,
        /// What came of it.
        result: Result<Answer, Refused>,
    },
    /// Something that a screen shows has changed; at most ten a second.
    Changed,
    /// Who is attached now.
    Presence(Vec<Peer>),
}

/// Reads frames of at most [`MAX_FRAME`] bytes. `next` may be cancelled and called again.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    line: Vec<u8>,
    whole: bool,
}

impl<R: AsyncBufRead + Unpin> FrameReader<R> {
    /// Reads from `from`.
    pub fn new(from: R) -> Self {
        Self {
            from,
            line: Vec::new(),
            whole: false,
        }
    }

    /// The next frame; none at the end. A frame that is too long or no JSON is an error: the connection is then useless.
    pub async fn next<T: serde::de::DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        if self.whole {
            self.line.clear();
            self.whole = false;
        }
        loop {
            let some = self.from.fill_buf().await?;
            if some.is_empty() {
                return if self.line.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            let end = some.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(some.len(), |end| end + 1);
            if self.line.len() + taken > MAX_FRAME {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "frame is too long",
                ));
            }
            self.line.extend_from_slice(&some[..taken]);
            self.from.consume(taken);
            if end.is_some() {
                self.whole = true;
                return serde_json::from_slice(&self.line)
                    .map(Some)
                    .map_err(io::Error::from);
            }
        }
    }
}

/// Writes one frame; fails if the peer does not take it within [`WRITE_LIMIT`].
pub async fn write_frame<T: Serialize + Sync>(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &T,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    if line.len() > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "frame is too long",
        ));
    }
    tokio::time::timeout(WRITE_LIMIT, to.write_all(&line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_reads_back_and_keeps_the_event_as_it_was_written() {
        let line = r#"{"n": 18446744073709551616, "a":1,"a":2}"#;
        let raw = RawValue::from_string(line.to_owned()).unwrap();
        let mut bytes = Vec::new();
        let frame = ClientFrame::Request {
            id: 7,
            request: Box::new(Request::Send(vec![raw])),
        };
        write_frame(&mut bytes, &frame).await.unwrap();
        write_frame(&mut bytes, &ClientFrame::Doing("reads".into()))
            .await
            .unwrap();
        let mut reader = FrameReader::new(&bytes[..]);
        let Some(ClientFrame::Request { id: 7, request }) = reader.next().await.unwrap() else {
            panic!("another frame");
        };
        let Request::Send(events) = *request else {
            panic!("another request");
        };
        assert_eq!(events[0].get(), line);
        assert!(matches!(
            reader.next().await.unwrap(),
            Some(ClientFrame::Doing(text)) if text == "reads"
        ));
        assert!(reader.next::<ClientFrame>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn too_long_cut_off_and_broken_frames_are_errors() {
        let long = vec![b' '; MAX_FRAME + 1];
        for bytes in [&long[..], b"{\"doing\":\"x\"}", b"nonsense\n"] {
            let mut reader = FrameReader::new(bytes);
            assert!(reader.next::<ClientFrame>().await.is_err());
        }
    }
}
