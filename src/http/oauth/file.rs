//! Where a system's tokens lie: `<database>.tokens/<system>.json`, readable by its owner alone. A file is replaced whole
//! (written beside, fsynced, renamed, its folder fsynced), so that a crash leaves the old one or the new one.
//! Called by `renew` and `health`; must never say what is in a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::Arc;

use super::token::Stored;

/// The largest token file in bytes.
const LARGEST: u64 = 256 << 10;

/// The steps of a renewal, in order. Tests cut between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The lock is ours, nothing was asked.
    Locked,
    /// The endpoint has answered, nothing is kept.
    Answered,
    /// The new file is written beside the old one.
    Written,
    /// It is on the disk.
    Synced,
    /// It has the old one's name.
    Renamed,
    /// So has it on the disk: the token may be used.
    Kept,
}

/// Is told of each step; ends the renewal there if it fails.
#[derive(Clone, Default)]
pub(super) struct Cut(#[cfg(test)] pub(super) Option<Arc<CutAt>>);

#[cfg(test)]
pub(super) type CutAt = dyn Fn(Step) -> io::Result<()> + Send + Sync;

impl Cut {
    /// A step was made.
    #[cfg_attr(not(test), allow(clippy::unused_self, clippy::unnecessary_wraps))]
    pub(super) fn at(&self, step: Step) -> io::Result<()> {
        #[cfg(test)]
        if let Some(cut) = &self.0 {
            return cut(step);
        }
        let _ = step;
        Ok(())
    }
}

/// Tells one version of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64, u64);

/// The token file of one system.
#[derive(Debug, Clone)]
pub(super) struct TokenFile {
    database: PathBuf,
    folder: PathBuf,
    file: PathBuf,
}

/// Held while tokens are renewed, by one process at a time; the operating system lets go of it when the process ends.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code)] File);

impl TokenFile {
    /// That of `system` (a checked name: letters, digits, `-`, `_`) beside `database`.
    pub(super) fn of(database: &Path, system: &str) -> Self {
        let mut folder = database.as_os_str().to_owned();
        folder.push(".tokens");
        let folder = PathBuf::from(folder);
        Self {
            database: database.to_owned(),
            file: folder.join(format!("{system}.json")),
            folder,
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.file
    }

    /// Which version is there; none if there is no file.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        let metadata = std::fs::metadata(&self.file).ok()?;
        Some(Stamp(
            metadata.ino(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.len(),
        ))
    }

    /// What is in it; none if there is no file. Refused when others may read it.
    pub(super) fn read(&self) -> io::Result<Option<Stored>> {
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(io::Error::other(format!(
                "it can be read by others (mode {mode:04o}): run `chmod 600`, and log in again if someone may have"
            )));
        }
        if metadata.len() > LARGEST {
            return Err(io::Error::other("it is too large to be ours"));
        }
        // The parser's words could quote a token.
        serde_json::from_reader(io::BufReader::new(file))
            .map(Some)
            .map_err(|_| io::Error::other("it is not as midwatch wrote it: log in again"))
    }

    /// Takes the lock, if nobody has it.
    pub(super) fn try_lock(&self) -> io::Result<Option<Lock>> {
        self.make_folder()?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.file.with_extension("lock"))?;
        self.hand_over(&file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Replaces the file. When this returns, a crash cannot take it back. Whoever calls holds the lock.
    pub(super) fn write(&self, stored: &Stored, _: &Lock, cut: &Cut) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(stored).map_err(io::Error::other)?;
        let beside = self.file.with_extension("json.new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        // A leftover of a crash keeps the mode that someone may have given it.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        self.hand_over(&file)?;
        file.write_all(&text)?;
        cut.at(Step::Written)?;
        file.sync_all()?;
        cut.at(Step::Synced)?;
        std::fs::rename(&beside, &self.file)?;
        cut.at(Step::Renamed)?;
        File::open(&self.folder)?.sync_all()?;
        cut.at(Step::Kept)
    }

    /// What root makes (a login through sudo) belongs to the database's owner, whose worker has to read it.
    fn hand_over(&self, file: &File) -> io::Result<()> {
        if !rustix::process::geteuid().is_root() {
            return Ok(());
        }
        match std::fs::metadata(&self.database) {
            Ok(owner) => std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid())),
            // There is none yet: whoever makes it is not known.
            Err(_) => Ok(()),
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        let private = std::fs::Permissions::from_mode(0o700);
        match std::fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => {
                // A folder is on disk once the one that it lies in is.
                let parent = self
                    .folder
                    .parent()
                    .filter(|parent| !parent.as_os_str().is_empty());
                self.hand_over(&File::open(&self.folder)?)?;
                File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mode = std::fs::metadata(&self.folder)?.permissions().mode();
                if mode & 0o077 != 0 {
                    std::fs::set_permissions(&self.folder, private)?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_private_whole_and_refused_when_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::of(&folder.path().join("m.db"), "crm");
        assert_eq!(file.read().unwrap(), None);
        assert_eq!(file.stamp(), None);
        let lock = file.try_lock().unwrap().expect("free");
        assert!(file.try_lock().unwrap().is_none(), "held");
        let stored = Stored {
            client: "c".to_owned(),
            refresh: Some("r3fresh".to_owned()),
            ..Stored::default()
        };
        file.write(&stored, &lock, &Cut::default()).unwrap();
        let first = file.stamp();
        assert_eq!(file.read().unwrap(), Some(stored.clone()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file.path()), mode(&file.folder)), (0o600, 0o700));
        // What a crash or a careless hand left behind is mended.
        let open = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::write(file.file.with_extension("json.new"), "half").unwrap();
        std::fs::set_permissions(file.file.with_extension("json.new"), open(0o644)).unwrap();
        std::fs::set_permissions(&file.folder, open(0o755)).unwrap();
        drop(lock);
        let lock = file.try_lock().unwrap().expect("free again");
        file.write(&stored, &lock, &Cut::default()).unwrap();
        assert_eq!((mode(file.path()), mode(&file.folder)), (0o600, 0o700));
        assert_ne!(file.stamp(), first, "a new version is seen");
        std::fs::set_permissions(file.path(), open(0o640)).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("chmod 600"));
        std::fs::write(file.path(), "{\"refresh\":\"r3fresh\"").unwrap();
        std::fs::set_permissions(file.path(), open(0o600)).unwrap();
        let error = file.read().unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("r3fresh"),
            "{error:?}"
        );
    }

    #[test]
    fn what_root_writes_belongs_to_the_databases_owner() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("m.db");
        std::fs::write(&database, "").unwrap();
        std::os::unix::fs::chown(&database, Some(4321), Some(4321)).unwrap();
        let file = TokenFile::of(&database, "crm");
        let lock = file.try_lock().unwrap().expect("free");
        file.write(&Stored::default(), &lock, &Cut::default())
            .unwrap();
        for path in [&file.file, &file.folder, &file.file.with_extension("lock")] {
            assert_eq!(std::fs::metadata(path).unwrap().uid(), 4321, "{path:?}");
        }
    }
}
