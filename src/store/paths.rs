//! Paths, pauses, breakers, and who works the database.

use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};

use super::load::{meta, meta_text, set_meta};
use super::types::{LogEntry, Started};
use super::view::{Breaker, Pause, Severity};
use super::work::Work;
use super::writer::Fault;
use crate::ids::PathId;
use crate::queue::model::Class;
use crate::time::Timestamp;

/// Registers the configured paths (name, and whether it is in shadow mode) and marks the others removed: nothing is
/// claimed on those. A path that is set back to shadow mode in the configuration is no longer live.
pub(super) fn configure(
    work: &mut Work<'_>,
    paths: &[(String, bool)],
    hash: i64,
    text: &str,
) -> Result<Vec<(String, PathId)>, Fault> {
    work.connection
        .prepare_cached("INSERT OR IGNORE INTO config(hash, at, text) VALUES (?1, ?2, ?3)")?
        .execute(params![hash, work.now.0, text])?;
    set_meta(work.connection, "config", hash)?;
    let before: Vec<(PathId, String, bool)> = work
        .connection
        .prepare("SELECT id, name, removed FROM path")?
        .query_map([], |row| {
            Ok((PathId(row.get(0)?), row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    for (id, name, removed) in &before {
        let gone = !paths.iter().any(|(configured, _)| configured == name);
        if gone != *removed {
            work.connection.execute(
                "UPDATE path SET removed = ?2 WHERE id = ?1",
                params![id.0, gone],
            )?;
            let backlog = work
                .memory
                .counts
                .get(id)
                .map_or(0, super::view::Counts::backlog);
            work.log(&LogEntry {
                severity: if gone && backlog > 0 { Severity::Warning } else { Severity::Info },
                actor: None,
                kind: "path",
                path: Some(*id),
                delivery: None,
                text: if gone {
                    format!("the path is no longer configured; {backlog} deliveries are held until it returns or they are cancelled")
                } else {
                    "the path is configured again".to_owned()
                },
            })?;
        }
    }
    // What the answers on a path looked like is of no use without it, and may be years old when it returns.
    work.connection.execute(
        "DELETE FROM shape WHERE path IN (SELECT id FROM path WHERE removed)",
        [],
    )?;
    let mut numbers = Vec::with_capacity(paths.len());
    for (name, shadow) in paths {
        let known = before
            .iter()
            .find(|(_, known, _)| known == name)
            .map(|(id, ..)| *id);
        let id = if let Some(id) = known {
            id
        } else {
            work.connection
                .execute("INSERT INTO path(name) VALUES (?1)", [name])?;
            PathId(work.connection.last_insert_rowid())
        };
        work.connection
            .prepare_cached("UPDATE path SET shadow = ?2, live_at = iif(?2, NULL, live_at) WHERE id = ?1 AND shadow <> ?2")?
            .execute(params![id.0, shadow])?;
        numbers.push((name.clone(), id));
    }
    work.woke = true;
    Ok(numbers)
}

/// A path in shadow mode begins to send. One that does already is left as it is, and nothing is logged.
pub(super) fn golive(work: &mut Work<'_>, path: PathId, log: &LogEntry) -> Result<(), Fault> {
    let changed = work
        .connection
        .prepare_cached(
            "UPDATE path SET live_at = ?2 WHERE id = ?1 AND shadow = 1 AND live_at IS NULL",
        )?
        .execute(params![path.0, work.now.0])?;
    if changed == 1 {
        work.woke = true;
        work.log(log)?;
    }
    Ok(())
}

pub(super) fn set_pause(
    work: &mut Work<'_>,
    path: PathId,
    pause: Option<&Pause>,
    log: &LogEntry,
) -> Result<(), Fault> {
    put(
        work,
        path,
        "UPDATE path SET pause = ?2 WHERE id = ?1",
        pause,
    )?;
    if pause.is_none() {
        // What the pause's cause had shut out is not kept waiting for its end.
        work.connection
            .prepare_cached(
                "UPDATE delivery SET due = ?2 WHERE state = 0 AND path = ?1 AND due > ?2 AND last_class IN (?3, ?4)",
            )?
            .execute(params![
                path.0,
                work.now.0,
                Class::Auth.code(),
                Class::Gone.code()
            ])?;
    }
    work.woke = true;
    Ok(work.log(log)?)
}

pub(super) fn set_breaker(
    work: &mut Work<'_>,
    path: PathId,
    breaker: &Breaker,
    log: Option<&LogEntry>,
) -> Result<(), Fault> {
    let stored = (*breaker != Breaker::Closed).then_some(breaker);
    put(
        work,
        path,
        "UPDATE path SET breaker = ?2 WHERE id = ?1",
        stored,
    )?;
    work.woke = true;
    log.map_or(Ok(()), |log| Ok(work.log(log)?))
}

fn put(
    work: &Work<'_>,
    path: PathId,
    sql: &str,
    value: Option<&impl serde::Serialize>,
) -> Result<(), Fault> {
    let text = value
        .map(serde_json::to_string)
        .transpose()
        .map_err(|error| Fault::Invalid(error.to_string()))?;
    match work
        .connection
        .prepare_cached(sql)?
        .execute(params![path.0, text])?
    {
        0 => Err(Fault::Invalid(format!(
            "path number {} does not exist",
            path.0
        ))),
        _ => Ok(()),
    }
}

/// Takes the database for this worker.
pub(super) fn begin(
    work: &mut Work<'_>,
    identity: &Identity,
    service: bool,
) -> Result<Started, Fault> {
    let epoch = meta(work.connection, "epoch")?.unwrap_or(0) + 1;
    set_meta(work.connection, "epoch", epoch)?;
    work.new_epoch = Some(epoch);
    let foreign_host = foreign(work, identity)?;
    let away_since = away(work.connection, foreign_host.is_some())?;
    work.foreign = Some(foreign_host.is_some());
    set_meta(work.connection, "foreign", foreign_host.as_deref())?;
    for (key, value) in [
        ("worker_host", identity.host.as_str()),
        ("worker_version", env!("CARGO_PKG_VERSION")),
        ("worker_state", "running"),
    ] {
        set_meta(work.connection, key, value)?;
    }
    set_meta(work.connection, "worker_pid", std::process::id())?;
    set_meta(work.connection, "worker_started", work.now.0)?;
    set_meta(work.connection, "heartbeat", work.now.0)?;
    if service {
        set_meta(work.connection, "service", 1)?;
    }
    set_meta(work.connection, "worker_service", i64::from(service))?;
    let rescued = super::turn::rescue(work)?;
    if rescued > 0 {
        work.log(&LogEntry {
            severity: Severity::Warning,
            actor: None,
            kind: "rescue",
            path: None,
            delivery: None,
            text: format!("{rescued} deliveries were running when the last worker died; they are ready again, uncharged"),
        })?;
    }
    work.connection.execute(
        "UPDATE batch SET state = 'aborted', reason = 'the worker stopped while the set was being frozen', ended = ?1 WHERE state = 'freezing'",
        [work.now.0],
    )?;
    let paths = work
        .connection
        .prepare("SELECT id, name, pause, breaker FROM path")?
        .query_map([], |row| {
            Ok((
                PathId(row.get(0)?),
                row.get(1)?,
                pause_of(row, 2)?,
                breaker_of(row, 3)?,
            ))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let shadow = work
        .connection
        .prepare("SELECT id FROM path WHERE shadow = 1 AND live_at IS NULL")?
        .query_map([], |row| row.get(0).map(PathId))?
        .collect::<rusqlite::Result<_>>()?;
    work.woke = true;
    let unsettled =
        super::load::meta(work.connection, super::turn::UNSETTLED)?.map(crate::time::Timestamp);
    Ok(Started {
        shadow,
        unsettled,
        away_since,
        epoch,
        rescued,
        foreign_host,
        paths,
        batches: super::batch::running(work.connection)?,
    })
}

/// The last sign of life of an earlier worker. On another host's database signs of life go on while nothing is asked for:
/// what was known when that began counts until the database is adopted.
fn away(
    connection: &rusqlite::Connection,
    is_foreign: bool,
) -> rusqlite::Result<Option<Timestamp>> {
    const AWAY: &str = "away_since";
    let since = match meta(connection, AWAY)? {
        Some(since) => Some(since),
        None => meta(connection, "heartbeat")?,
    };
    match since {
        Some(since) if is_foreign => set_meta(connection, AWAY, since)?,
        _ => {
            connection
                .prepare_cached("DELETE FROM meta WHERE key = ?1")?
                .execute([AWAY])?;
        }
    }
    Ok(since.map(Timestamp))
}

/// This host and this place, as a database remembers them.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// Host name, for people.
    pub(super) host: String,
    /// Hash of the machine's id and the database's canonical path.
    pub(super) place: String,
}

impl Identity {
    pub(super) fn of(file: &std::path::Path) -> Self {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let machine = if machine.trim().is_empty() {
            host.clone()
        } else {
            machine
        };
        let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let mut hasher = Sha256::new();
        hasher.update(machine.trim());
        hasher.update([0]);
        hasher.update(path.as_os_str().as_encoded_bytes());
        Self {
            host,
            place: hex::encode(&hasher.finalize()[..16]),
        }
    }
}

/// The host that owns the database, in words, if it is not this one; an unowned database becomes ours.
fn foreign(work: &Work<'_>, identity: &Identity) -> Result<Option<String>, Fault> {
    let found = foreign_to(work.connection, identity)?;
    if found.is_none() {
        own(work, identity)?;
    }
    Ok(found)
}

/// The host that owns the database, in words, if it is not `identity`'s. Changes nothing.
pub(super) fn foreign_to(
    connection: &rusqlite::Connection,
    identity: &Identity,
) -> rusqlite::Result<Option<String>> {
    let copied = meta(connection, "copied")?.is_some();
    Ok(match meta_text(connection, "place")? {
        Some(place) if place == identity.place && !copied => None,
        Some(place) => {
            let owner = meta_text(connection, "owner_host")?.unwrap_or_default();
            Some(match (copied, place == identity.place) {
                (true, _) => format!("{owner} (this is a backup copy)"),
                (false, _) if owner == identity.host => {
                    format!("{owner}, at another place on this host")
                }
                _ => owner,
            })
        }
        None if copied => Some("an unknown host (this is a backup copy)".to_owned()),
        None => None,
    })
}

fn own(work: &Work<'_>, identity: &Identity) -> rusqlite::Result<()> {
    set_meta(work.connection, "place", &identity.place)?;
    set_meta(work.connection, "owner_host", &identity.host)?;
    work.connection
        .execute("DELETE FROM meta WHERE key = 'copied'", [])?;
    Ok(())
}

pub(super) fn adopt(work: &mut Work<'_>, identity: &Identity, log: &LogEntry) -> Result<(), Fault> {
    own(work, identity)?;
    work.foreign = Some(false);
    set_meta(work.connection, "foreign", rusqlite::types::Null)?;
    work.woke = true;
    Ok(work.log(log)?)
}

/// The pause in a JSON column.
pub(super) fn pause_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Option<Pause>> {
    let text: Option<String> = row.get(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The breaker in a JSON column; none means closed.
pub(super) fn breaker_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Breaker> {
    let text: Option<String> = row.get(column)?;
    Ok(text
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default())
}

/// Whether the database was ever worked by a service, and whether it is foreign; for those who only read.
pub(super) fn served(connection: &rusqlite::Connection) -> rusqlite::Result<bool> {
    Ok(connection
        .query_row("SELECT value FROM meta WHERE key = 'service'", [], |row| {
            row.get::<_, i64>(0)
        })
        .optional()?
        .is_some())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::queue::model::{Class, Next};
    use crate::store::tests::{Bed, configure, line};
    use crate::store::view::{Pause, ShapeRow};

    #[tokio::test]
    async fn what_credentials_had_shut_out_is_due_when_the_pause_ends_and_the_rest_keeps_its_time()
    {
        for (class, at_once) in [
            (Class::Auth, true),
            (Class::Gone, true),
            (Class::Transient, false),
            (Class::Throttled, false),
        ] {
            let bed = Bed::new().await;
            bed.accept("e1", None).await;
            let claim = bed.claim(1).await.remove(0);
            let later = bed.clock.now() + Duration::from_secs(3600);
            bed.settle(&claim, class, Next::Retry { due: later }).await;
            let due = || {
                let reader = bed.store.reader().unwrap();
                let detail = reader.delivery(claim.delivery).unwrap().unwrap();
                detail.row.due_at
            };
            let pause = Pause {
                by_person: true,
                by: "anna".into(),
                reason: "deploy".into(),
                since: bed.clock.now(),
            };
            bed.store
                .set_pause(bed.path, Some(pause), line())
                .await
                .unwrap();
            assert_eq!(due(), later, "{class:?}: a pause changes no time");
            bed.store.set_pause(bed.path, None, line()).await.unwrap();
            let expected = if at_once { bed.clock.now() } else { later };
            assert_eq!(due(), expected, "{class:?}");
            assert_eq!(bed.claim(1).await.len(), usize::from(at_once), "{class:?}");
            bed.audit();
        }
    }

    #[tokio::test]
    async fn how_long_nobody_worked_counts_from_the_last_sign_of_life_until_the_database_is_adopted()
     {
        let mut bed = Bed::new().await;
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let start = bed.clock.now();
        bed.clock.advance(minutes(1));
        bed.store.heartbeat("running", None).await.unwrap();
        bed.clock.advance(minutes(9));
        assert_eq!(bed.restart().await.away_since, Some(start + minutes(1)));
        bed.clock.advance(minutes(5));
        let moved = bed.move_away().await;
        assert!(moved.foreign_host.is_some());
        bed.clock.advance(minutes(5));
        bed.store.heartbeat("running", None).await.unwrap();
        bed.store.adopt_host(line()).await.unwrap();
        let adopted = bed.store.begin_work(false).await.unwrap();
        assert_eq!(
            (adopted.foreign_host, adopted.away_since),
            (None, Some(start + minutes(10)))
        );
        let again = bed.store.begin_work(false).await.unwrap();
        assert_eq!(again.away_since, Some(bed.clock.now()));
    }

    #[tokio::test]
    async fn what_the_answers_on_a_removed_path_looked_like_is_forgotten() {
        let bed = Bed::new().await;
        let both = configure(&bed.store, &["p", "q"]).await;
        for (_, path) in &both {
            let row = ShapeRow {
                pointer: "/id".into(),
                kind: "string".into(),
                seen: 7,
                total: 7,
            };
            bed.store
                .keep_shape(*path, "POST".into(), vec![row])
                .await
                .unwrap();
        }
        assert_eq!(bed.store.shapes().await.unwrap().len(), 2);
        configure(&bed.store, &["q"]).await;
        let left = bed.store.shapes().await.unwrap();
        let left: Vec<_> = left.iter().map(|(path, ..)| *path).collect();
        assert_eq!(left, [both[1].1]);
    }
}
