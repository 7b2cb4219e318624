//! The writer's lock, and files that only their owner can read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::api::OpenError;

/// Where the lock of a database lies.
pub(super) fn file_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Takes the operating system's lock and writes our process id into the file, for messages.
pub(super) fn take(database: &Path) -> Result<File, OpenError> {
    let path = file_of(database);
    let words = |error: std::io::Error| OpenError::Other(format!("{}: {error}", path.display()));
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)
            .map_err(|error| OpenError::Other(format!("{}: {error}", folder.display())))?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(words)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message: an unreadable number is shown as 0.
            let _ = file.read_to_string(&mut pid);
            return Err(OpenError::Locked {
                file: database.to_owned(),
                pid: pid.trim().parse().unwrap_or(0),
            });
        }
        Err(TryLockError::Error(error)) => return Err(words(error)),
    }
    file.set_len(0).map_err(words)?;
    file.seek(SeekFrom::Start(0)).map_err(words)?;
    writeln!(file, "{}", std::process::id()).map_err(words)?;
    Ok(file)
}

/// Creates the database file 0600 before SQLite does: `-wal` and `-shm` inherit its mode.
pub(super) fn create_private(database: &Path) -> Result<(), OpenError> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(database)
    {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(OpenError::Other(format!("{}: {error}", database.display())))
        }
        _ => Ok(()),
    }
}
