//! Online copies. Copying the file by hand leaves the WAL behind and passes an integrity check while it is stale; this does not.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;

/// Copies the whole database through `connection` into `file`, which must not exist; it is created 0600 and fsynced.
/// The copy knows that it is one: opened by a worker, it holds everything until `adopt-host`. Returns its size in bytes.
pub(super) fn copy(connection: &Connection, file: &Path) -> Result<u64, String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    // Created first and with our mode: `VACUUM INTO` alone makes a file that others can read.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| fail(&error))?;
    let name = file
        .to_str()
        .ok_or_else(|| fail(&"the name is not UTF-8"))?;
    let finish = || -> Result<u64, String> {
        connection
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| fail(&error))?;
        let copied = Connection::open(file).map_err(|error| fail(&error))?;
        let has_meta: bool = copied
            .query_row(
                "SELECT count(*) FROM sqlite_master WHERE name = 'meta'",
                [],
                |row| row.get(0),
            )
            .map_err(|error| fail(&error))?;
        if has_meta {
            copied
                .execute(
                    "INSERT OR REPLACE INTO meta(key, value) VALUES ('copied', 1)",
                    [],
                )
                .map_err(|error| fail(&error))?;
        }
        copied.close().map_err(|(_, error)| fail(&error))?;
        let opened = std::fs::File::open(file).map_err(|error| fail(&error))?;
        opened.sync_all().map_err(|error| fail(&error))?;
        Ok(opened.metadata().map_err(|error| fail(&error))?.len())
    };
    finish().inspect_err(|_| {
        // A half-made copy must not be taken for a backup; if it cannot be removed, the error below already says why.
        let _ = std::fs::remove_file(file);
    })
}
