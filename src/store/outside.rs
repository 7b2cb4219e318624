//! Somebody else's SQLite database, of which one SELECT is read: never written, never migrated, never locked for long. Rows
//! come as JSON objects of their columns. Called by `reconcile::files`.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags};
use serde_json::{Map, Value};

/// Rows that are read ahead.
const AHEAD: usize = 512;

/// The rows of a query, read by a thread of their own.
pub struct Outside {
    rows: Receiver<Result<String, String>>,
    interrupt: InterruptHandle,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outside")
    }
}

impl Outside {
    /// Begins to read. `since` (RFC 3339) stands for `:since` in the query, which may leave it out.
    ///
    /// # Errors
    /// In words, where the file cannot be opened; what is wrong with the query is told by the first row.
    pub fn open(file: &Path, query: &str, since: Option<String>) -> Result<Self, String> {
        let words = |error: rusqlite::Error| format!("{}: {error}", file.display());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(words)?;
        (connection.busy_timeout(Duration::from_secs(5))).map_err(words)?;
        (connection.execute_batch("PRAGMA query_only = ON")).map_err(words)?;
        let interrupt = connection.get_interrupt_handle();
        let (give, rows) = sync_channel(AHEAD);
        let (query, name) = (query.to_owned(), file.display().to_string());
        std::thread::Builder::new()
            .name("outside".into())
            .spawn(move || {
                if let Err(error) = read(&connection, &query, since, &give) {
                    // Nobody waits for it any more.
                    let _ = give.send(Err(format!("{name}: {error}")));
                }
            })
            .map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(Self { rows, interrupt })
    }

    /// The next row as JSON; none at the end.
    ///
    /// # Errors
    /// In words.
    pub fn row(&mut self) -> Result<Option<String>, String> {
        self.rows.recv().ok().transpose()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.interrupt.interrupt();
    }
}

fn read(
    connection: &Connection,
    query: &str,
    since: Option<String>,
    give: &SyncSender<Result<String, String>>,
) -> Result<(), String> {
    let words = |error: rusqlite::Error| error.to_string();
    let mut statement = connection.prepare(query).map_err(words)?;
    if !statement.readonly() {
        return Err("the query would write: it must be one SELECT".to_owned());
    }
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    if let Some(index) = statement.parameter_index(":since").map_err(words)? {
        statement.raw_bind_parameter(index, since).map_err(words)?;
    }
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(words)? {
        let mut members = Map::new();
        for (index, name) in names.iter().enumerate() {
            let value = match row.get_ref(index).map_err(words)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => number.into(),
                ValueRef::Real(number) => number.into(),
                ValueRef::Text(text) => match std::str::from_utf8(text) {
                    Ok(text) => text.into(),
                    Err(_) => return Err(format!("column {name} holds text that is no UTF-8")),
                },
                ValueRef::Blob(_) => return Err(format!("column {name} holds a blob")),
            };
            members.insert(name.clone(), value);
        }
        if give.send(Ok(Value::Object(members).to_string())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
