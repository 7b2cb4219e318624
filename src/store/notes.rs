//! Notes: what was noticed in passing about a system (a new field in its answers, a deprecation, fields that were left out),
//! each once, with how often and when last. The first time, and again after a day of silence, it is told in the log too.

use rusqlite::{Connection, OptionalExtension, params};

use super::types::{LogEntry, Note};
use super::view::{NoteFilter, NoteKind, NoteRow};
use super::work::Work;
use super::writer::Fault;
use crate::ids::DeliveryId;
use crate::time::Timestamp;

/// Notes kept; the ones that were noticed longest ago go first.
const MOST_NOTES: i64 = 10_000;
/// The longest `what` and `text`, in bytes: parts of them come from outside.
const LONGEST: usize = 400;
/// A note that was silent for this long, in milliseconds, is news again.
const SILENT: i64 = 86_400_000;

/// Keeps a note, or counts it once more.
pub(super) fn note(work: &mut Work<'_>, note: &Note) -> Result<(), Fault> {
    let connection = work.connection;
    // NULL is never equal to NULL, so a note on no path is kept under 0.
    let path = note.path.map_or(0, |path| path.0);
    let cut = |text: &'_ str| text[..text.floor_char_boundary(LONGEST)].to_owned();
    let (kind, what, text) = (note.kind.word(), cut(&note.what), cut(&note.text));
    let delivery = note.delivery.map(|delivery| delivery.0);
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT last FROM note WHERE system = ?1 AND path = ?2 AND kind = ?3 AND what = ?4",
        )?
        .query_row(params![note.system, path, kind, what], |row| row.get(0))
        .optional()?;
    connection
        .prepare_cached(
            "INSERT INTO note(path, system, kind, what, text, first, last, n, delivery) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, ?7)
             ON CONFLICT(system, path, kind, what) DO UPDATE SET text = excluded.text, last = excluded.last, n = n + 1,
               delivery = coalesce(excluded.delivery, delivery)",
        )?
        .execute(params![path, note.system, kind, what, text, work.now.0, delivery])?;
    if last.is_none() {
        connection
            .prepare_cached(
                "DELETE FROM note WHERE id IN (SELECT id FROM note ORDER BY last DESC, id DESC LIMIT -1 OFFSET ?1)",
            )?
            .execute([MOST_NOTES])?;
    }
    if last.is_none_or(|last| work.now.0 - last > SILENT) {
        work.log(&LogEntry {
            severity: note.kind.severity(),
            actor: None,
            kind: "note",
            path: note.path,
            delivery: note.delivery,
            text: format!("{}: {text}", note.system),
        })?;
    }
    Ok(())
}

/// The notes of a filter, the one noticed last first.
pub(super) fn notes(
    connection: &Connection,
    filter: &NoteFilter,
    limit: usize,
) -> rusqlite::Result<Vec<NoteRow>> {
    let rows = connection
        .prepare_cached(
            "SELECT p.name, n.system, n.kind, n.what, n.text, n.first, n.last, n.n, n.delivery
             FROM note n LEFT JOIN path p ON p.id = n.path
             WHERE n.last >= ?1 AND (?2 IS NULL OR p.name = ?2) AND (?3 IS NULL OR n.system = ?3)
             ORDER BY n.last DESC, n.id DESC LIMIT ?4",
        )?
        .query_map(
            params![filter.since.0, filter.path, filter.system, limit as i64],
            |row| {
                let Some(kind) = NoteKind::from_word(row.get_ref(2)?.as_str()?) else {
                    return Ok(None);
                };
                Ok(Some(NoteRow {
                    path: row.get(0)?,
                    system: row.get(1)?,
                    kind,
                    what: row.get(3)?,
                    text: row.get(4)?,
                    first: Timestamp(row.get(5)?),
                    last: Timestamp(row.get(6)?),
                    count: row.get(7)?,
                    delivery: row.get::<_, Option<i64>>(8)?.map(DeliveryId),
                }))
            },
        )?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(rows.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::tests::{Bed, START};
    use crate::store::view::Severity;

    fn missing(what: &str) -> Note {
        Note {
            path: None,
            system: "crm".into(),
            kind: NoteKind::AnswerMissingField,
            what: what.into(),
            text: format!("{what} is missing"),
            delivery: None,
        }
    }

    #[tokio::test]
    async fn a_note_is_kept_once_counted_and_told_when_it_is_news() {
        let bed = Bed::new().await;
        let on_path = Note {
            path: Some(bed.path),
            delivery: Some(DeliveryId(256)),
            ..missing("/id")
        };
        // (minutes since the last one, lines in the log after it)
        for (minutes, lines) in [(0, 1), (1, 1), (1_439, 1), (1_441, 2), (1, 2)] {
            bed.clock.advance(Duration::from_secs(minutes * 60));
            bed.store.note(on_path.clone()).await.unwrap();
            let log = bed.store.reader().unwrap().log(None, 100).unwrap();
            let told: Vec<_> = log.iter().filter(|row| row.kind == "note").collect();
            assert_eq!(told.len(), lines, "after {minutes} minutes");
            assert_eq!(told[0].severity, Severity::Warning);
            assert_eq!(told[0].text, "crm: /id is missing");
            assert_eq!(told[0].path.as_deref(), Some("p"));
        }
        // Of no path: two of them are one row.
        bed.store.note(missing("/x")).await.unwrap();
        bed.store.note(missing("/x")).await.unwrap();
        let reader = bed.store.reader().unwrap();
        let all = reader.notes(&NoteFilter::default(), 10).unwrap();
        let seen: Vec<_> = all.iter().map(|row| (&row.what[..], row.count)).collect();
        assert_eq!(seen, [("/x", 2), ("/id", 5)]);
        assert_eq!(all[1].first, START);
        assert_eq!(all[1].delivery, Some(DeliveryId(256)));
        let of = |filter| reader.notes(&filter, 10).unwrap().len();
        let path = Some("p".to_owned());
        assert_eq!(
            of(NoteFilter {
                path,
                ..NoteFilter::default()
            }),
            1
        );
        let system = Some("shop".to_owned());
        assert_eq!(
            of(NoteFilter {
                system,
                ..NoteFilter::default()
            }),
            0
        );
        let since = bed.clock.now() + Duration::from_secs(1);
        assert_eq!(
            of(NoteFilter {
                since,
                ..NoteFilter::default()
            }),
            0
        );
    }

    #[tokio::test]
    async fn notes_are_bounded_and_the_ones_that_were_silent_longest_go() {
        let bed = Bed::new().await;
        bed.store
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
                 INSERT INTO note(path, system, kind, what, text, first, last, n) SELECT 0, 'a', 'sunset', i, i, 0, i, 1 FROM n",
            )
            .await
            .unwrap();
        bed.store.note(missing("/new")).await.unwrap();
        let reader = bed.store.reader().unwrap();
        let all = reader.notes(&NoteFilter::default(), 20_000).unwrap();
        assert_eq!(all.len(), 10_000);
        assert_eq!(all[0].what, "/new");
        assert!(all.iter().all(|row| row.what != "1"), "the oldest went");
        // Retention takes what nobody noticed for as long as the log is kept.
        while bed.store.prune(Timestamp(0), START, None).await.unwrap() {}
        assert_eq!(
            reader.notes(&NoteFilter::default(), 20_000).unwrap().len(),
            1
        );
    }
}
