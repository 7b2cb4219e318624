//! The schema and its migrations. A migration is rehearsed on a copy and preceded by a backup; a newer database is refused.
//!
//! Why the tables are cut as they are (measured, see the README's figures):
//! hot delivery rows are small and apart from payloads, so that claims and settles dirty few pages;
//! every key rises with time, so that inserts append; the deliveries of an event are `event * 256 + n`,
//! so that no index joins them; dedupe hashes live behind a coarse time bucket, so that random keys stay local
//! and a whole bucket can be dropped.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::types::OpenError;

/// One step per schema version, in order; the database's `user_version` counts those applied.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5];

/// Records: what is known of each, in which system, and what waits for it.
///
/// `alias` has every key by which a record is known, its first one too, so that finding a record is one look-up.
const V2: &str = "
ALTER TABLE attempt ADD COLUMN steps TEXT;
ALTER TABLE path ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
ALTER TABLE path ADD COLUMN live_at INTEGER;
ALTER TABLE delivery ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX delivery_shadowed ON delivery(path, changed) WHERE state = 8;
CREATE TABLE record(id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, changed INTEGER NOT NULL);
CREATE INDEX record_changed ON record(changed);
CREATE TABLE alias(kind TEXT NOT NULL, key TEXT NOT NULL, record INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(kind, key)) WITHOUT ROWID;
CREATE INDEX alias_record ON alias(record);
CREATE TABLE holding(
  record INTEGER NOT NULL, system TEXT NOT NULL, id TEXT, id_at INTEGER, version_kind INTEGER, version INTEGER,
  adopted INTEGER NOT NULL DEFAULT 0, at INTEGER NOT NULL, PRIMARY KEY(record, system)) WITHOUT ROWID;
CREATE INDEX holding_id ON holding(id) WHERE id IS NOT NULL;
CREATE TABLE holding_field(
  record INTEGER NOT NULL, system TEXT NOT NULL, name TEXT NOT NULL, sent TEXT, sent_at INTEGER, agreed TEXT, agreed_at INTEGER,
  delivery INTEGER, PRIMARY KEY(record, system, name)) WITHOUT ROWID;
CREATE TABLE joined(
  record INTEGER NOT NULL, system TEXT NOT NULL, kind TEXT NOT NULL, other TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY(record, system, kind, other)) WITHOUT ROWID;
CREATE TABLE event_record(event INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY(event, record)) WITHOUT ROWID;
CREATE INDEX event_record_record ON event_record(record);
CREATE TABLE story(
  record INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, event INTEGER, delivery INTEGER, path INTEGER, text TEXT NOT NULL,
  PRIMARY KEY(record, n)) WITHOUT ROWID;
CREATE TABLE need(
  delivery INTEGER PRIMARY KEY, path INTEGER NOT NULL, system TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
  until INTEGER NOT NULL, since INTEGER NOT NULL);
CREATE INDEX need_key ON need(kind, key, system);
CREATE INDEX need_until ON need(until);
CREATE INDEX need_path ON need(path);
CREATE TABLE adoption(
  kind TEXT NOT NULL, system TEXT NOT NULL, started INTEGER NOT NULL, next TEXT, seen INTEGER NOT NULL, listed INTEGER,
  PRIMARY KEY(kind, system)) WITHOUT ROWID;
CREATE TABLE adopted(
  kind TEXT NOT NULL, system TEXT NOT NULL, key TEXT NOT NULL, id TEXT, version_kind INTEGER, version INTEGER, fields TEXT NOT NULL,
  twice INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(kind, system, key)) WITHOUT ROWID;
CREATE TABLE watermark(
  system TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, run INTEGER NOT NULL, seen INTEGER NOT NULL, error TEXT,
  PRIMARY KEY(system, kind)) WITHOUT ROWID;
CREATE TABLE sender(
  system TEXT PRIMARY KEY, called INTEGER, checked INTEGER, state TEXT, address TEXT, hook TEXT, error TEXT) WITHOUT ROWID;
";

/// Contracts and ownership: why events are held, what they were caused by, what was seen where, what a person must decide.
///
/// `fault` has the reasons of held events, grouped. `lineage` has only events that another one caused or that carry a
/// correlation. `answer` says what receivers answered; `shape` and `note` what changed in it.
const V3: &str = "
CREATE TABLE fault(event INTEGER PRIMARY KEY, grp TEXT NOT NULL, faults TEXT NOT NULL);
CREATE INDEX fault_group ON fault(grp, event);
CREATE TABLE original(
  event INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY(event, n)) WITHOUT ROWID;
CREATE TABLE lineage(
  event INTEGER PRIMARY KEY, cause INTEGER, correlation TEXT, depth INTEGER NOT NULL, inferred INTEGER NOT NULL);
CREATE INDEX lineage_cause ON lineage(cause) WHERE cause IS NOT NULL;
CREATE INDEX lineage_correlation ON lineage(correlation) WHERE correlation IS NOT NULL;
CREATE TABLE note(
  id INTEGER PRIMARY KEY, path INTEGER, system TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL, text TEXT NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, n INTEGER NOT NULL, delivery INTEGER, UNIQUE(system, path, kind, what));
CREATE INDEX note_last ON note(last);
CREATE TABLE shape(
  path INTEGER NOT NULL, step TEXT NOT NULL, pointer TEXT NOT NULL, kind TEXT NOT NULL, seen INTEGER NOT NULL, total INTEGER NOT NULL,
  PRIMARY KEY(path, step, pointer)) WITHOUT ROWID;
ALTER TABLE holding_field ADD COLUMN seen TEXT;
ALTER TABLE holding_field ADD COLUMN seen_at INTEGER;
CREATE TABLE review(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, record INTEGER NOT NULL, field TEXT NOT NULL, source TEXT NOT NULL, receiver TEXT NOT NULL,
  sensitive INTEGER NOT NULL, ours TEXT, ours_at INTEGER, theirs TEXT, theirs_at INTEGER, base TEXT, reason TEXT NOT NULL,
  delivery INTEGER, path INTEGER, decided INTEGER, decision TEXT, actor TEXT, repair INTEGER);
CREATE UNIQUE INDEX review_open ON review(record, field, source, receiver) WHERE decided IS NULL;
CREATE INDEX review_record ON review(record);
ALTER TABLE delivery ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN forced INTEGER NOT NULL DEFAULT 0;
";

/// Reconciliation: what a run found and is doing, what it would write, what was listed because it was missed.
///
/// `run_side` is the checkpoint of a listing. `tolerated` has differences that a person accepted, by a hash of all that they
/// are made of: when a value changes they count again.
const V4: &str = "
ALTER TABLE run ADD COLUMN why TEXT NOT NULL DEFAULT 'schedule';
ALTER TABLE run ADD COLUMN phase TEXT;
ALTER TABLE run ADD COLUMN in_flight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN vanished INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN money TEXT NOT NULL DEFAULT '{}';
ALTER TABLE run ADD COLUMN level INTEGER;
ALTER TABLE run ADD COLUMN mode TEXT NOT NULL DEFAULT 'report';
ALTER TABLE run ADD COLUMN rules INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN note TEXT;
ALTER TABLE run ADD COLUMN plan INTEGER;
ALTER TABLE difference ADD COLUMN id_first TEXT;
ALTER TABLE difference ADD COLUMN id_second TEXT;
ALTER TABLE difference ADD COLUMN base TEXT;
ALTER TABLE difference ADD COLUMN changed TEXT;
ALTER TABLE difference ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE difference ADD COLUMN grade TEXT NOT NULL DEFAULT 'told';
ALTER TABLE difference ADD COLUMN note TEXT;
CREATE TABLE run_side(
  run INTEGER NOT NULL, side INTEGER NOT NULL, system TEXT NOT NULL, kind TEXT NOT NULL, since INTEGER, seen INTEGER NOT NULL,
  expected INTEGER, next TEXT, bytes INTEGER NOT NULL, done INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY(run, side)) WITHOUT ROWID;
CREATE TABLE plan(
  id INTEGER PRIMARY KEY, run INTEGER NOT NULL, job TEXT NOT NULL, at INTEGER NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL,
  undoes INTEGER, decided INTEGER, actor TEXT, ended INTEGER, note TEXT);
CREATE INDEX plan_job ON plan(job, id);
CREATE INDEX plan_open ON plan(id) WHERE ended IS NULL;
CREATE TABLE plan_write(
  plan INTEGER NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, system TEXT NOT NULL, id TEXT, verb TEXT NOT NULL,
  field TEXT, old TEXT, new TEXT, rule TEXT NOT NULL, sensitive INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT, event INTEGER,
  PRIMARY KEY(plan, n)) WITHOUT ROWID;
CREATE INDEX plan_write_event ON plan_write(event) WHERE event IS NOT NULL;
CREATE TABLE tolerated(
  job TEXT NOT NULL, hash BLOB NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY(job, hash)) WITHOUT ROWID;
CREATE TABLE backfill(
  id INTEGER PRIMARY KEY, system TEXT NOT NULL, kind TEXT NOT NULL, why TEXT NOT NULL, since INTEGER NOT NULL, started INTEGER NOT NULL,
  ended INTEGER, seen INTEGER NOT NULL DEFAULT 0, new INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX backfill_source ON backfill(system, kind, id);
";

/// Incidents: each is one document, beside what it is found by; its timeline, its runbooks' steps and its pages are rows.
///
/// A page's own state is that of its delivery.
const V5: &str = "
CREATE TABLE incident(
  id INTEGER PRIMARY KEY, cause TEXT NOT NULL, opened INTEGER NOT NULL, resolved INTEGER, revision INTEGER NOT NULL, document TEXT NOT NULL);
CREATE INDEX incident_open ON incident(id) WHERE resolved IS NULL;
CREATE INDEX incident_resolved ON incident(resolved) WHERE resolved IS NOT NULL;
CREATE TABLE incident_line(
  incident INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, actor TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY(incident, n)) WITHOUT ROWID;
CREATE TABLE incident_step(
  incident INTEGER NOT NULL, runbook TEXT NOT NULL, step INTEGER NOT NULL, state TEXT NOT NULL, actor TEXT NOT NULL, at INTEGER NOT NULL,
  note TEXT NOT NULL, PRIMARY KEY(incident, runbook, step)) WITHOUT ROWID;
CREATE TABLE page(
  id INTEGER PRIMARY KEY, incident INTEGER NOT NULL, occasion TEXT NOT NULL, level INTEGER NOT NULL, who TEXT NOT NULL,
  channel TEXT NOT NULL, at INTEGER NOT NULL, instead INTEGER, event INTEGER NOT NULL);
CREATE INDEX page_incident ON page(incident, id);
CREATE TABLE silence(
  id INTEGER PRIMARY KEY, rule TEXT, subject TEXT, at INTEGER NOT NULL, until INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL);
CREATE INDEX silence_until ON silence(until);
CREATE TABLE stint(
  id INTEGER PRIMARY KEY, rota TEXT NOT NULL, person TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX stint_until ON stint(until);
";

const V1: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE path(
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, removed INTEGER NOT NULL DEFAULT 0,
  pause TEXT, breaker TEXT);
CREATE TABLE counter(path INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY(path, state)) WITHOUT ROWID;
CREATE TABLE event(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL, kind TEXT NOT NULL,
  subject TEXT, admission INTEGER NOT NULL, reason TEXT);
CREATE INDEX event_stray ON event(id) WHERE admission <> 0;
CREATE TABLE payload(event INTEGER PRIMARY KEY, meta TEXT NOT NULL, data BLOB NOT NULL);
CREATE TABLE dedupe(
  bucket INTEGER NOT NULL, hash BLOB NOT NULL, event INTEGER NOT NULL, digest BLOB NOT NULL,
  PRIMARY KEY(bucket, hash)) WITHOUT ROWID;
CREATE TABLE delivery(
  id INTEGER PRIMARY KEY, path INTEGER NOT NULL, state INTEGER NOT NULL, due INTEGER NOT NULL,
  accepted INTEGER NOT NULL, changed INTEGER NOT NULL,
  generation INTEGER NOT NULL DEFAULT 1, attempt INTEGER NOT NULL DEFAULT 0, charged INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0,
  open INTEGER NOT NULL DEFAULT 1, continues INTEGER NOT NULL DEFAULT 0, order_key TEXT,
  last_class INTEGER, last_status INTEGER, fingerprint INTEGER, reason TEXT, batch INTEGER,
  crashes INTEGER NOT NULL DEFAULT 0, alone INTEGER NOT NULL DEFAULT 0, poison INTEGER NOT NULL DEFAULT 0);
CREATE INDEX delivery_ready ON delivery(path, due, id) WHERE state = 0;
CREATE INDEX delivery_waiting ON delivery(path, accepted) WHERE state = 2;
CREATE INDEX delivery_running ON delivery(id) WHERE state = 1;
CREATE INDEX delivery_dead ON delivery(path, fingerprint, id) WHERE state = 4;
CREATE INDEX delivery_key_open ON delivery(path, order_key, id) WHERE open = 1 AND order_key IS NOT NULL;
CREATE INDEX delivery_key_done ON delivery(path, order_key, id) WHERE state = 3 AND order_key IS NOT NULL;
CREATE TABLE target(id INTEGER PRIMARY KEY, method TEXT NOT NULL, url TEXT NOT NULL, UNIQUE(method, url));
CREATE TABLE attempt(
  delivery INTEGER NOT NULL, generation INTEGER NOT NULL, n INTEGER NOT NULL,
  at INTEGER NOT NULL, duration_us INTEGER NOT NULL, class INTEGER NOT NULL, status INTEGER, charged INTEGER NOT NULL,
  target INTEGER, method TEXT, url TEXT, key TEXT NOT NULL, config INTEGER NOT NULL, error TEXT,
  PRIMARY KEY(delivery, generation, n)) WITHOUT ROWID;
CREATE TABLE answer(
  delivery INTEGER NOT NULL, generation INTEGER NOT NULL, n INTEGER NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, truncated INTEGER NOT NULL, PRIMARY KEY(delivery, generation, n)) WITHOUT ROWID;
CREATE TABLE frozen(
  delivery INTEGER PRIMARY KEY, generation INTEGER NOT NULL, method TEXT NOT NULL, url TEXT NOT NULL,
  headers TEXT NOT NULL, body BLOB NOT NULL, key TEXT NOT NULL);
CREATE TABLE minute(
  path INTEGER NOT NULL, at INTEGER NOT NULL, accepted INTEGER NOT NULL, delivered INTEGER NOT NULL, dead INTEGER NOT NULL,
  attempts INTEGER NOT NULL, failed INTEGER NOT NULL, throttled INTEGER NOT NULL,
  latency BLOB NOT NULL, duration BLOB NOT NULL, PRIMARY KEY(path, at)) WITHOUT ROWID;
CREATE TABLE hour(
  path INTEGER NOT NULL, at INTEGER NOT NULL, accepted INTEGER NOT NULL, delivered INTEGER NOT NULL, dead INTEGER NOT NULL,
  attempts INTEGER NOT NULL, failed INTEGER NOT NULL, throttled INTEGER NOT NULL,
  latency BLOB NOT NULL, duration BLOB NOT NULL, PRIMARY KEY(path, at)) WITHOUT ROWID;
CREATE TABLE log(
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, severity INTEGER NOT NULL, actor TEXT, kind TEXT NOT NULL,
  path INTEGER, delivery INTEGER, text TEXT NOT NULL);
CREATE INDEX log_delivery ON log(delivery, id) WHERE delivery IS NOT NULL;
CREATE TABLE submission(id TEXT PRIMARY KEY, at INTEGER NOT NULL, done TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batch(
  id INTEGER PRIMARY KEY, created INTEGER NOT NULL, actor TEXT NOT NULL, scope TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
  total INTEGER NOT NULL DEFAULT 0, pending INTEGER NOT NULL DEFAULT 0, released INTEGER NOT NULL DEFAULT 0,
  delivered INTEGER NOT NULL DEFAULT 0, died INTEGER NOT NULL DEFAULT 0, skipped INTEGER NOT NULL DEFAULT 0,
  canary INTEGER NOT NULL, pace REAL NOT NULL, skip_risky INTEGER NOT NULL, cursor INTEGER NOT NULL DEFAULT 0, ended INTEGER);
CREATE TABLE batch_item(
  batch INTEGER NOT NULL, delivery INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, PRIMARY KEY(batch, delivery)) WITHOUT ROWID;
CREATE TABLE run(
  id INTEGER PRIMARY KEY, job TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER,
  first INTEGER NOT NULL DEFAULT 0, second INTEGER NOT NULL DEFAULT 0, compared INTEGER NOT NULL DEFAULT 0,
  only_first INTEGER NOT NULL DEFAULT 0, only_second INTEGER NOT NULL DEFAULT 0, differing INTEGER NOT NULL DEFAULT 0,
  skipped INTEGER NOT NULL DEFAULT 0, drift REAL, complete INTEGER NOT NULL DEFAULT 0, error TEXT);
CREATE INDEX run_job ON run(job, id);
CREATE TABLE difference(
  run INTEGER NOT NULL, n INTEGER NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL, field TEXT, first TEXT, second TEXT,
  PRIMARY KEY(run, n)) WITHOUT ROWID;
CREATE TABLE config(hash INTEGER PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL);
";

/// Brings a database to the newest schema. Returns the backup that was made, if one was needed.
pub(super) fn migrate(
    file: &Path,
    connection: &mut Connection,
    steps: &[&str],
) -> Result<Option<PathBuf>, OpenError> {
    let words = |what: &str, error: &dyn std::fmt::Display| {
        OpenError::Other(format!("{}: {what}: {error}", file.display()))
    };
    let found: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| words("cannot read the schema version", &error))?;
    let known = steps.len() as i64;
    if found > known {
        return Err(OpenError::Newer {
            file: file.to_owned(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(None);
    }
    let mut backup = None;
    if found > 0 {
        let kept = file.with_extension(format!("before-v{known}.db"));
        super::backup::copy(connection, &kept)
            .map_err(|error| words("cannot make the backup before the migration", &error))?;
        rehearse(&kept, found, steps).map_err(|error| {
            words("the migration fails on a copy, so the database was left as it was (the copy is kept beside it)", &error)
        })?;
        backup = Some(kept);
    }
    apply(connection, found, steps)
        .map_err(|error| words("the migration failed and was rolled back", &error))?;
    Ok(backup)
}

/// Runs the migration on a second copy, which is removed again.
fn rehearse(kept: &Path, found: i64, steps: &[&str]) -> Result<(), String> {
    let trial = kept.with_extension("trial");
    let result = std::fs::copy(kept, &trial)
        .map_err(|error| error.to_string())
        .and_then(|_| {
            let mut connection = Connection::open(&trial).map_err(|error| error.to_string())?;
            apply(&mut connection, found, steps).map_err(|error| error.to_string())?;
            let verdict: String = connection
                .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
                .map_err(|error| error.to_string())?;
            if verdict == "ok" {
                Ok(())
            } else {
                Err(verdict)
            }
        });
    let removed = std::fs::remove_file(&trial);
    result.and(removed.map_err(|error| error.to_string()))
}

fn apply(connection: &mut Connection, found: i64, steps: &[&str]) -> rusqlite::Result<()> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in &steps[found as usize..] {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", steps.len() as i64)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_keeps_the_data_and_leaves_a_backup_of_before() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let mut connection = Connection::open(&file).unwrap();
        migrate(&file, &mut connection, &["CREATE TABLE a(x)"]).unwrap();
        connection.execute("INSERT INTO a VALUES (7)", []).unwrap();
        let steps = ["CREATE TABLE a(x)", "ALTER TABLE a ADD COLUMN y DEFAULT 1"];
        let backup = migrate(&file, &mut connection, &steps).unwrap().unwrap();
        let after: (i64, i64) = connection
            .query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap();
        assert_eq!(after, (7, 1));
        let before = Connection::open(backup).unwrap();
        assert_eq!(
            before
                .query_row("SELECT x FROM a", [], |r| r.get::<_, i64>(0))
                .unwrap(),
            7
        );
        assert!(before.prepare("SELECT y FROM a").is_err());
    }

    #[test]
    fn a_migration_that_fails_changes_nothing_and_a_newer_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let mut connection = Connection::open(&file).unwrap();
        migrate(&file, &mut connection, &["CREATE TABLE a(x)"]).unwrap();
        let error = migrate(
            &file,
            &mut connection,
            &["CREATE TABLE a(x)", "CREATE TABLE a(x)"],
        )
        .unwrap_err();
        assert!(error.to_string().contains("left as it was"), "{error}");
        assert_eq!(
            connection
                .query_row("PRAGMA user_version", [], |r| r.get::<_, i64>(0))
                .unwrap(),
            1
        );
        assert!(matches!(
            migrate(&file, &mut connection, &[]),
            Err(OpenError::Newer {
                found: 1,
                known: 0,
                ..
            })
        ));
    }

    #[test]
    fn the_real_schema_applies() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.db");
        let mut connection = Connection::open(&file).unwrap();
        assert_eq!(migrate(&file, &mut connection, MIGRATIONS).unwrap(), None);
        assert_eq!(migrate(&file, &mut connection, MIGRATIONS).unwrap(), None);
    }
}
