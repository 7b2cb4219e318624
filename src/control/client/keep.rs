//! A client's connection, kept by one task: follows the worker of this process, then attaches and attaches again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tokio::io::BufReader;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::super::action::Refused;
use super::super::socket;
use super::super::wire::{
    Answer, ClientFrame, FrameReader, Hello, Peer, Request, VERSION, Welcome, WorkerFrame,
    write_frame,
};
use super::{Call, Link, NOT_ALLOWED, PATIENCE, RETRY, Shared};

/// Keeps the client's connection, for as long as the client lives.
pub(super) async fn keep(shared: &Shared, mut calls: mpsc::Receiver<Call>) {
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
    // It may have been said before we came here.
    doing.mark_changed();
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
                if !text.is_empty() {
                    attendance.doing(&text);
                }
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
