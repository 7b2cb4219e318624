//! The control socket: where consoles and commands reach the worker.
//!
//! A Unix socket beside the database, 0600 (0660 with the configured group): who may open it is the file's business,
//! and who did is asked of the kernel. A peer that does not read is dropped: it must never hold up a delivery, nor
//! another peer. Called by the worker.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::action::{Actor, Refused};
use super::client::Inside;
use super::wire::{
    Answer, ClientFrame, FrameReader, Hello, Peer, Request, VERSION, Welcome, WorkerFrame,
    write_frame,
};

/// Peers at once; more are turned away.
const MAX_PEERS: usize = 64;

/// Requests of one peer under way at once; more wait in its socket.
const MAX_REQUESTS: usize = 8;

/// Between two "changed" pushes to one peer.
const PUSH_EVERY: Duration = Duration::from_millis(100);

/// A peer must have said hello by then.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// The socket of a database: `X.db` has `X.db.sock`.
pub fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}

/// A name for `path` that fits into a socket address (108 bytes), with the open folder that it leads through, if it does.
fn short(path: &Path) -> io::Result<(PathBuf, Option<std::fs::File>)> {
    const LONGEST: usize = 107;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_owned(), None));
    };
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.to_owned(), None));
    }
    let folder = std::fs::File::open(folder)?;
    let by_number = format!("/proc/self/fd/{}", folder.as_raw_fd());
    Ok((Path::new(&by_number).join(name), Some(folder)))
}

/// Connects to the socket of `database`.
pub async fn connect(database: &Path) -> io::Result<UnixStream> {
    let (name, _folder) = short(&path_of(database))?;
    UnixStream::connect(name).await
}

/// Binds the socket of `database`. Only the holder of the writer's lock may call this: it replaces what is there.
pub fn bind(database: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    let path = path_of(database);
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short_name, _folder) = short(&fresh)?;
    let listener = UnixListener::bind(short_name)?;
    let mode = if let Some(group) = group {
        std::os::unix::fs::chown(&fresh, None, Some(group))?;
        0o660
    } else {
        0o600
    };
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(mode))?;
    // Only now, with its permissions right, does it appear where peers look.
    std::fs::rename(&fresh, &path)?;
    Ok(listener)
}

/// Removes the socket of `database`, so that peers learn at once that nobody listens.
pub fn remove(database: &Path) {
    // Gone already is as good.
    let _ = std::fs::remove_file(path_of(database));
}

/// Serves peers until `stop`.
pub(super) async fn serve(
    listener: UnixListener,
    inside: Inside,
    service: bool,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_PEERS));
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the control socket could not accept");
                    tokio::time::sleep(PUSH_EVERY).await;
                    continue;
                }
            },
        };
        let Ok(place) = places.clone().try_acquire_owned() else {
            tracing::warn!(
                limit = MAX_PEERS,
                "too many are attached; one was turned away"
            );
            continue;
        };
        let peer = serve_peer(stream, inside.clone(), service);
        let stop = stop.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = stop.run_until_cancelled(peer).await {
                tracing::info!(%error, "a peer was dropped");
            }
            drop(place);
        });
    }
}

async fn serve_peer(stream: UnixStream, inside: Inside, service: bool) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let (read, mut write) = stream.into_split();
    let mut reader = FrameReader::new(BufReader::new(read));
    let hello = tokio::time::timeout(HELLO_LIMIT, reader.next::<ClientFrame>())
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
    let hello = match hello {
        Ok(Some(ClientFrame::Hello(hello))) if hello.protocol == VERSION => hello,
        Ok(None) => return Ok(()),
        other => {
            let theirs = match other {
                Ok(Some(ClientFrame::Hello(hello))) => format!(
                    "version {} of the control frames (midwatch {:?})",
                    hello.protocol, hello.version
                ),
                _ => "something else".to_owned(),
            };
            let refused = WorkerFrame::Refused(Refused {
                text: format!(
                    "the worker is midwatch {} and speaks version {VERSION} of the control frames, this side {theirs}: use the same binary, or restart the worker with this one",
                    env!("CARGO_PKG_VERSION")
                ),
            });
            return write_frame(&mut write, &refused).await;
        }
    };
    let actor = Actor {
        uid,
        name: hello.name.chars().take(64).collect(),
        from: hello
            .from
            .as_ref()
            .map(|from| from.chars().take(64).collect()),
    };
    let attendance = Arc::new(inside.presence.join(peer(&actor, &hello, &inside)));
    let welcome = WorkerFrame::Welcome(Welcome {
        id: attendance.id,
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        service,
    });
    write_frame(&mut write, &welcome).await?;

    let (answers, answered) = mpsc::channel::<WorkerFrame>(MAX_REQUESTS);
    let pushing = push(write, answered, inside.clone());
    let asking = async {
        let room = Arc::new(Semaphore::new(MAX_REQUESTS));
        while let Some(frame) = reader.next::<ClientFrame>().await? {
            match frame {
                ClientFrame::Hello(_) => {}
                ClientFrame::Doing(text) => attendance.doing(&text),
                ClientFrame::Request { id, request } => {
                    let Ok(room) = room.clone().acquire_owned().await else {
                        break;
                    };
                    let (inside, actor, answers) = (inside.clone(), actor.clone(), answers.clone());
                    let read_only = hello.read_only;
                    // What was asked for is done even if the asker leaves: its outcome is kept under its id.
                    tokio::spawn(async move {
                        let result = answer(&inside, *request, actor, read_only).await;
                        let _ = answers.send(WorkerFrame::Answer { id, result }).await;
                        drop(room);
                    });
                }
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = asking => ended,
        broken = pushing => broken,
    }
}

fn peer(actor: &Actor, hello: &Hello, inside: &Inside) -> Peer {
    Peer {
        id: 0,
        actor: actor.clone(),
        kind: hello.kind,
        read_only: hello.read_only,
        since: inside.actions.now(),
        doing: String::new(),
    }
}

async fn answer(
    inside: &Inside,
    request: Request,
    actor: Actor,
    read_only: bool,
) -> Result<Answer, Refused> {
    match request {
        Request::Preview(action) => inside.actions.preview(action).await.map(Answer::Preview),
        _ if read_only => Err(Refused {
            text: "this connection is read-only".to_owned(),
        }),
        Request::Submit(submission) => {
            let done = inside.actions.submit(submission, actor).await;
            done.map(Answer::Done)
        }
        Request::Send(events) => inside.actions.send(events).await.map(Answer::Receipts),
    }
}

/// Writes answers and pushes; the only writer of a peer. "Changed" and presence are latest-wins, so nothing queues up.
async fn push(
    mut write: tokio::net::unix::OwnedWriteHalf,
    mut answers: mpsc::Receiver<WorkerFrame>,
    inside: Inside,
) -> io::Result<()> {
    let mut changes = inside.actions.changes();
    let mut presence = inside.presence.watch();
    presence.mark_changed();
    drop(inside);
    let mut next_push = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            Some(frame) = answers.recv() => write_frame(&mut write, &frame).await?,
            Ok(()) = presence.changed() => {
                let peers = presence.borrow_and_update().clone();
                write_frame(&mut write, &WorkerFrame::Presence(peers)).await?;
            }
            Ok(()) = async {
                tokio::time::sleep_until(next_push).await;
                changes.changed().await
            } => {
                next_push = tokio::time::Instant::now() + PUSH_EVERY;
                write_frame(&mut write, &WorkerFrame::Changed).await?;
            }
            else => return Ok(()),
        }
    }
}
