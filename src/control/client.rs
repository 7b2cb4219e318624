//! The face of the worker for consoles and commands: in this process, or over the socket, with the same calls.
//!
//! Must never block its caller on a worker that is gone: every call is answered within seconds of the worker's
//! absence, with words. A client that began inside the worker's process goes over to the socket when that worker ends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::action::{Action, Actor, Done, Preview, Refused, Submission};
use super::actions::Actions;
use super::presence::Presence;
use super::socket;
use super::wire::{
    Answer, ClientFrame, FrameReader, Hello, Peer, PeerKind, Request, SendReceipt, VERSION,
    Welcome, WorkerFrame, write_frame,
};
use crate::time::Timestamp;

/// How long a call waits for a worker to come (back) before it is refused.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a socket cannot be opened that is there.
const NOT_ALLOWED: &str = "its socket may not be opened by this user";

/// Between two attempts to reach a worker that is not there.
const RETRY: Duration = Duration::from_millis(500);

/// Who acts, as claimed: goes into every audit row beside the socket peer's uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// `--as NAME`, else SUDO_USER, else USER.
    pub name: String,
    /// The client address in SSH_CONNECTION.
    pub from: Option<String>,
    /// Screen or command.
    pub kind: PeerKind,
    /// Never acts.
    pub read_only: bool,
}

impl Who {
    /// Reads the claims of this process; `variable` is `std::env::var`.
    pub fn new(
        named: Option<String>,
        kind: PeerKind,
        read_only: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let name = named
            .or_else(|| variable("SUDO_USER"))
            .or_else(|| variable("USER"))
            .filter(|name| !name.trim().is_empty())
            .unwrap_or_else(|| "someone".to_owned());
        let from = variable("SSH_CONNECTION")
            .and_then(|line| line.split_whitespace().next().map(str::to_owned));
        Self {
            name: name.chars().take(64).collect(),
            from: from.map(|from| from.chars().take(64).collect()),
            kind,
            read_only,
        }
    }

    /// As an actor of this very process.
    pub fn actor(&self) -> Actor {
        Actor {
            uid: own_uid(),
            name: self.name.clone(),
            from: self.from.clone(),
        }
    }
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

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
            running.run_until_cancelled(keep(&kept, called)).await;
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

/// Keeps the client's connection, for as long as the client lives.
async fn keep(shared: &Shared, mut calls: mpsc::Receiver<Call>) {
    follow_inside(shared).await;
    let mut open = Open::default();
    loop {
        let why = match connect(shared).await {
            Ok((stream, welcome)) => {
                shared.own_id.store(welcome.id, Ordering::Relaxed);
                shared.link.send_replace(Link::Attached(welcome));
                changed(shared);
                let why = attached(shared, stream, &mut calls, &mut open)
                    .await
                    .map_or_else(
                        |error| format!("the connection broke: {error}"),
                        |()| "the worker has stopped".to_owned(),
                    );
                shared.peers.send_replace(Vec::new());
                why
            }
            Err(refused) => refused,
        };
        shared.link.send_if_modified(|link| {
            let now = Link::Away(why.clone());
            let new = *link != now;
            *link = now;
            new
        });
        changed(shared);
        let again = Instant::now() + RETRY;
        loop {
            open.give_up(&why);
            tokio::select! {
                () = tokio::time::sleep_until(again) => break,
                call = calls.recv() => match call {
                    Some(call) => {
                        open.add(call);
                    }
                    None => return,
                },
            }
        }
    }
}

/// Passes on what the worker of this process says, until there is none.
async fn follow_inside(shared: &Shared) {
    let mut inside = shared.inside.clone();
    let Some(worker) = inside.borrow_and_update().clone() else {
        return;
    };
    let attendance = worker.presence.join(Peer {
        id: 0,
        actor: shared.who.actor(),
        kind: shared.who.kind,
        read_only: shared.who.read_only,
        since: worker.actions.now(),
        doing: String::new(),
    });
    shared.own_id.store(attendance.id, Ordering::Relaxed);
    let mut changes = worker.actions.changes();
    let mut presence = worker.presence.watch();
    let mut doing = shared.doing.subscribe();
    drop(worker);
    loop {
        tokio::select! {
            gone = inside.wait_for(Option::is_none) => {
                drop(gone);
                return;
            }
            Ok(()) = changes.changed() => changed(shared),
            Ok(()) = presence.changed() => {
                let peers = presence.borrow_and_update().clone();
                shared.peers.send_replace(peers);
                changed(shared);
            }
            Ok(()) = doing.changed() => {
                let text = doing.borrow_and_update().clone();
                attendance.doing(&text);
            }
            else => return,
        }
    }
}

fn changed(shared: &Shared) {
    shared
        .changes
        .send_modify(|count| *count = count.wrapping_add(1));
}

type Stream = (
    FrameReader<BufReader<tokio::net::unix::OwnedReadHalf>>,
    tokio::net::unix::OwnedWriteHalf,
);

/// Connects and greets; the error is in words.
async fn connect(shared: &Shared) -> Result<(Stream, Welcome), String> {
    let stream = socket::connect(&shared.database)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => NOT_ALLOWED.to_owned(),
            _ => "no worker holds the database".to_owned(),
        })?;
    let (read, mut write) = stream.into_split();
    let mut reader = FrameReader::new(BufReader::new(read));
    let hello = ClientFrame::Hello(Hello {
        protocol: VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name: shared.who.name.clone(),
        from: shared.who.from.clone(),
        kind: shared.who.kind,
        read_only: shared.who.read_only,
    });
    let greet = async {
        write_frame(&mut write, &hello).await?;
        reader.next::<WorkerFrame>().await
    };
    match tokio::time::timeout(PATIENCE, greet).await {
        Ok(Ok(Some(WorkerFrame::Welcome(welcome)))) => Ok(((reader, write), welcome)),
        Ok(Ok(Some(WorkerFrame::Refused(refused)))) => Err(refused.text),
        Ok(Ok(_)) => Err("it closed the connection".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

/// Speaks with the worker until it goes.
async fn attached(
    shared: &Shared,
    (mut reader, mut writer): Stream,
    calls: &mut mpsc::Receiver<Call>,
    open: &mut Open,
) -> std::io::Result<()> {
    let mut doing = shared.doing.subscribe();
    doing.mark_changed();
    for (id, call) in &mut open.calls {
        // What was sent before is sent again: previews change nothing, submissions and events are known by their ids.
        call.sent = true;
        write_request(&mut writer, *id, &call.request).await?;
    }
    loop {
        tokio::select! {
            frame = reader.next::<WorkerFrame>() => match frame? {
                None => return Ok(()),
                Some(WorkerFrame::Answer { id, result }) => open.answer(id, result),
                Some(WorkerFrame::Changed) => changed(shared),
                Some(WorkerFrame::Presence(peers)) => {
                    shared.peers.send_replace(peers);
                    changed(shared);
                }
                Some(WorkerFrame::Welcome(_) | WorkerFrame::Refused(_)) => {}
            },
            Some(call) = calls.recv() => {
                let id = open.add(call);
                if let Some(call) = open.calls.get_mut(&id) {
                    call.sent = true;
                    write_request(&mut writer, id, &call.request).await?;
                }
            }
            Ok(()) = doing.changed() => {
                let text = doing.borrow_and_update().clone();
                if !text.is_empty() {
                    write_frame(&mut writer, &ClientFrame::Doing(text)).await?;
                }
            }
        }
    }
}

async fn write_request(
    writer: &mut tokio::net::unix::OwnedWriteHalf,
    id: u64,
    request: &Request,
) -> std::io::Result<()> {
    let request = Box::new(request.clone());
    write_frame(writer, &ClientFrame::Request { id, request }).await
}

/// Calls that are not answered yet.
#[derive(Debug, Default)]
struct Open {
    last: u64,
    calls: BTreeMap<u64, Call>,
}

impl Open {
    fn add(&mut self, call: Call) -> u64 {
        self.last += 1;
        self.calls.insert(self.last, call);
        self.last
    }

    fn answer(&mut self, id: u64, result: Result<Answer, Refused>) {
        if let Some(call) = self.calls.remove(&id) {
            // The asker may have gone; that is its own affair.
            let _ = call.answer.send(result);
        }
    }

    /// Refuses what has waited longer than patience for a worker.
    fn give_up(&mut self, why: &str) {
        let tired: Vec<u64> = (self.calls.iter())
            .filter(|(_, call)| call.asked.elapsed() >= PATIENCE || !call.sent)
            .map(|(id, _)| *id)
            .collect();
        for id in tired {
            let sent = self.calls.get(&id).is_some_and(|call| call.sent);
            let text = if sent {
                "the worker went away before it answered: the log says whether this was done; repeating it under the same submission is safe"
                    .to_owned()
            } else {
                format!("nothing was done: {why}. Start a worker with `midwatch worker`")
            };
            self.answer(id, Err(Refused { text }));
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
        expected: Some(preview.count),
    })
}

/// The time of the last heartbeat in words, for a worker that is away.
pub fn away_since(heartbeat: Timestamp, now: Timestamp) -> String {
    if heartbeat == Timestamp::ZERO {
        return "no worker has run here yet".to_owned();
    }
    format!(
        "the worker is down; last sign of life {} ago",
        crate::time::short(now.since(heartbeat))
    )
}
