//! The writer's lock, and files that only their owner can read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::types::OpenError;
use super::view::Lock;

/// Room in the lock file, claimed when the lock is taken: a full disk does not keep the words out.
const ROOM: usize = 1024;
/// A look at the lock holds it for a moment; whoever wants to keep it tries this often.
const TRIES: u32 = 5;

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
    let mut tries = 1;
    let taken = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if tries < TRIES => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(10));
            }
            other => break other,
        }
    };
    match taken {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Only for the message: an unreadable number is shown as 0.
            let _ = file.read_to_string(&mut pid);
            return Err(OpenError::Locked {
                file: database.to_owned(),
                pid: parts(&pid).0,
            });
        }
        Err(TryLockError::Error(error)) => return Err(words(error)),
    }
    file.set_len(0).map_err(words)?;
    file.seek(SeekFrom::Start(0)).map_err(words)?;
    file.write_all(&content(None)).map_err(words)?;
    Ok(file)
}

/// Writes beside the lock what the store cannot do, for those who only read. Must be the one who holds the lock.
pub(super) fn tell(database: &Path, trouble: Option<&str>) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file_of(database))?;
    file.write_all(&content(trouble))
}

/// Process id, words, then blanks up to a fixed length: always written over the same bytes.
fn content(trouble: Option<&str>) -> Vec<u8> {
    let words = trouble.unwrap_or_default().replace('\n', " ");
    let mut text = format!("{}\n{words}", std::process::id());
    let end = text.floor_char_boundary(ROOM - 1);
    text.truncate(end);
    let mut bytes = text.into_bytes();
    bytes.resize(ROOM - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// The process id (0 if there is none) and the words of a lock file.
fn parts(text: &str) -> (u32, Option<String>) {
    let (pid, words) = text.split_once('\n').unwrap_or((text, ""));
    let words = words.trim();
    (
        pid.trim().parse().unwrap_or(0),
        (!words.is_empty()).then(|| words.to_owned()),
    )
}

/// Who holds the lock now, and what its store cannot do.
pub(super) fn look(database: &Path) -> (Lock, Option<String>) {
    let mut file = match File::open(file_of(database)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return (Lock::Free, None),
        Err(_) => return (Lock::Unknown, None),
    };
    match file.try_lock_shared() {
        Ok(()) => (Lock::Free, None),
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Only words: who holds it is certain without them.
            let _ = file.read_to_string(&mut text);
            let (pid, trouble) = parts(&text);
            (Lock::Held { pid }, trouble)
        }
        Err(TryLockError::Error(_)) => (Lock::Unknown, None),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_lock_is_known_while_it_is_held_and_its_words_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("m.db");
        assert_eq!(look(&database), (Lock::Free, None));
        let lock = take(&database).unwrap();
        let held = Lock::Held {
            pid: std::process::id(),
        };
        assert_eq!(look(&database), (held, None));
        tell(&database, Some("disk full:\n0 MiB free")).unwrap();
        let words = Some("disk full: 0 MiB free".to_owned());
        assert_eq!(look(&database), (held, words));
        let Err(OpenError::Locked { pid, .. }) = take(&database) else {
            panic!("taken twice");
        };
        assert_eq!(pid, std::process::id());
        let size = std::fs::metadata(file_of(&database)).unwrap().len();
        tell(&database, Some(&"é".repeat(5000))).unwrap();
        tell(&database, None).unwrap();
        assert_eq!(look(&database), (held, None));
        assert_eq!(std::fs::metadata(file_of(&database)).unwrap().len(), size);
        drop(lock);
        assert_eq!(look(&database), (Lock::Free, None));
    }
}
