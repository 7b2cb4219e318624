//! The face of the worker for consoles and commands: in this process, or over the socket, with the same calls.
//!
//! Must never block its caller on a worker that is gone: every call is answered within seconds of the worker's
//! absence, with words. A client that began inside the worker's process goes over to the socket when that worker ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::action::{Action, Done, Preview, Refused, Submission};
use super::actions::Actions;
use super::presence::Presence;
use super::socket;
use super::who::Who;
use super::wire::{Answer, Peer, Request, SendReceipt, Welcome};

mod keep;

/// How long a call waits for a worker to come (back) before it is refused.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a socket cannot be opened that is there.
const NOT_ALLOWED: &str = "its socket may not be opened by this user";

/// Between two attempts to reach a worker that is not there.
const RETRY: Duration = Duration::from_millis(500);

/// Where the worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// In this process.
    Inside,
    /// In another process, reached over the socket.
    Attached(Welcome),
    /// Nowhere (yet), and why.
    Away(String),
}

/// The worker of this process, as its clients reach it.
#[derive(Debug, Clone)]
pub(super) struct Inside {
    pub actions: Actions,
    pub presence: Presence,
}

/// A handle to the worker, wherever it is. Cheap to clone; the connection ends with the last clone.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    who: Who,
    inside: watch::Receiver<Option<Inside>>,
    database: PathBuf,
    own_id: AtomicU64,
    calls: mpsc::Sender<Call>,
    changes: watch::Sender<u64>,
    link: watch::Sender<Link>,
    peers: watch::Sender<Vec<Peer>>,
    doing: watch::Sender<String>,
}

#[derive(Debug)]
struct Call {
    request: Request,
    answer: oneshot::Sender<Result<Answer, Refused>>,
    asked: Instant,
    sent: bool,
}

impl Client {
    /// Attaches to the worker of `database`, now or whenever one appears. Needs a tokio runtime.
    pub fn attach(database: &Path, who: Who) -> Self {
        let (_, nobody) = watch::channel(None);
        Self::start(database, who, nobody)
    }

    /// Attaches like [`Client::attach`] and waits for the outcome of the first attempt. None: no worker is there.
    pub async fn reach(database: &Path, who: Who) -> Result<Option<Self>, Refused> {
        match socket::connect(database).await {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(Refused {
                    text: format!(
                        "a worker runs, but {NOT_ALLOWED}: act as its user, or let site.group name a group of both"
                    ),
                });
            }
            Err(_) => return Ok(None),
        }
        let client = Self::attach(database, who);
        let mut link = client.link();
        let settled = link.wait_for(|link| *link != Link::Away(String::new()));
        let settled = match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Ok(link)) => link.clone(),
            _ => Link::Away("it does not answer".to_owned()),
        };
        match settled {
            Link::Away(why) => Err(Refused {
                text: format!("cannot attach to the worker: {why}"),
            }),
            Link::Inside | Link::Attached(_) => Ok(Some(client)),
        }
    }

    /// A client of the worker in this process.
    pub(super) fn inside(
        database: &Path,
        who: Who,
        inside: watch::Receiver<Option<Inside>>,
    ) -> Self {
        Self::start(database, who, inside)
    }

    fn start(database: &Path, who: Who, inside: watch::Receiver<Option<Inside>>) -> Self {
        let (calls, called) = mpsc::channel(64);
        let link = if inside.borrow().is_some() {
            Link::Inside
        } else {
            Link::Away(String::new())
        };
        let shared = Arc::new(Shared {
            who,
            inside,
            database: database.to_owned(),
            own_id: AtomicU64::new(0),
            calls,
            changes: watch::Sender::new(0),
            link: watch::Sender::new(link),
            peers: watch::Sender::new(Vec::new()),
            doing: watch::Sender::new(String::new()),
        });
        let stop = CancellationToken::new();
        let running = stop.clone();
        let kept = shared.clone();
        tokio::spawn(async move {
            running.run_until_cancelled(keep::keep(&kept, called)).await;
        });
        Self {
            shared,
            _stop: Arc::new(stop.drop_guard()),
        }
    }

    /// What would this do?
    pub async fn preview(&self, action: Action) -> Result<Preview, Refused> {
        if let Some(inside) = self.worker_here() {
            return inside.actions.preview(action).await;
        }
        match self.call(Request::Preview(action)).await? {
            Answer::Preview(preview) => Ok(preview),
            _ => Err(mixed_up()),
        }
    }

    /// Does it. Repeating the same submission is safe.
    pub async fn submit(&self, submission: Submission) -> Result<Done, Refused> {
        if self.shared.who.read_only {
            return Err(read_only());
        }
        if let Some(inside) = self.worker_here() {
            let actor = self.shared.who.actor();
            return inside.actions.submit(submission, actor).await;
        }
        match self.call(Request::Submit(submission)).await? {
            Answer::Done(done) => Ok(done),
            _ => Err(mixed_up()),
        }
    }

    /// Takes events in, each the JSON object of one line; one receipt for each, in order. Frames are bounded:
    /// send at most 128 events and 4 MiB at once.
    pub async fn send(&self, events: Vec<Box<RawValue>>) -> Result<Vec<SendReceipt>, Refused> {
        if self.shared.who.read_only {
            return Err(read_only());
        }
        if let Some(inside) = self.worker_here() {
            return inside.actions.send(events).await;
        }
        match self.call(Request::Send(events)).await? {
            Answer::Receipts(receipts) => Ok(receipts),
            _ => Err(mixed_up()),
        }
    }

    /// Rises whenever something that a screen shows has changed (at most ten times a second from afar).
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Where the worker is, as it changes.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.shared.link.subscribe()
    }

    /// The worker runs in this process.
    pub fn is_local(&self) -> bool {
        self.worker_here().is_some()
    }

    /// This client cannot act.
    pub fn read_only(&self) -> bool {
        self.shared.who.read_only
    }

    /// Who else is attached. A change of it also raises [`Client::changes`].
    pub fn peers(&self) -> Vec<Peer> {
        let own = self.shared.own_id.load(Ordering::Relaxed);
        let peers = self.shared.peers.borrow();
        peers
            .iter()
            .filter(|peer| peer.id != own)
            .cloned()
            .collect()
    }

    /// Tells the others what this operator is doing.
    pub fn doing(&self, text: &str) {
        self.shared.doing.send_if_modified(|doing| {
            let changed = doing != text;
            if changed {
                text.clone_into(doing);
            }
            changed
        });
    }

    fn worker_here(&self) -> Option<Inside> {
        self.shared.inside.borrow().clone()
    }

    async fn call(&self, request: Request) -> Result<Answer, Refused> {
        let action = match &request {
            Request::Preview(action) => Some(action),
            Request::Submit(submission) => Some(&submission.action),
            Request::Send(_) => None,
        };
        if let Some(Action::Replay { pace, .. }) = action
            && !pace.is_finite()
        {
            // JSON has no such number: the worker would not understand the frame.
            return Err(Refused {
                text: "the pace is no number".to_owned(),
            });
        }
        let (answer, answered) = oneshot::channel();
        let call = Call {
            request,
            answer,
            asked: Instant::now(),
            sent: false,
        };
        let gone = |_| ();
        let sent = self.shared.calls.send(call).await.map_err(gone);
        match (sent, answered.await) {
            (Ok(()), Ok(result)) => result,
            _ => Err(mixed_up()),
        }
    }
}

fn read_only() -> Refused {
    Refused {
        text: "this console is read-only: start midwatch without --read-only to act".to_owned(),
    }
}

fn mixed_up() -> Refused {
    Refused {
        text: "the worker's answer was not understood: are both the same version?".to_owned(),
    }
}

/// A new submission id: 32 hex digits.
pub fn submission_id() -> Result<String, Refused> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Refused {
        text: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(hex::encode(bytes))
}

/// What a preview pinned, as a submission.
pub fn pinned(action: Action, preview: &Preview) -> Result<Submission, Refused> {
    Ok(Submission {
        id: submission_id()?,
        action,
        high_water: preview.high_water,
        expected: Some(preview.matched()),
    })
}
