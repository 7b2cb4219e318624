//! `midwatch init`: a commented configuration to start from, and the runbooks that come with midwatch.
//!
//! It must never overwrite: a file that is there is somebody's work.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::runbook;

/// A short configuration that passes `check` as it is.
const CONFIGURATION: &str = include_str!("starter.toml");

/// Writes `midwatch.toml` and `runbooks/` into a folder, which is made if need be. Answers what was written; what was
/// there already is left alone and not in the answer.
///
/// # Errors
/// The first file or folder that cannot be written, named.
pub fn write(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = dir.join("runbooks");
    fs::create_dir_all(&folder).map_err(|error| named(&folder, &error))?;
    let runbooks = runbook::SHIPPED
        .iter()
        .map(|(name, text)| (folder.join(name), *text));
    let mut written = Vec::new();
    for (file, text) in std::iter::once((dir.join("midwatch.toml"), CONFIGURATION)).chain(runbooks)
    {
        match fs::File::create_new(&file) {
            Ok(mut opened) => {
                opened
                    .write_all(text.as_bytes())
                    .map_err(|error| named(&file, &error))?;
                written.push(file);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(named(&file, &error)),
        }
    }
    Ok(written)
}

/// The error with the file that it is about.
fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn what_it_writes_passes_the_check_without_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("shop");
        let written = write(&dir).unwrap();
        assert_eq!(written.len(), 1 + runbook::SHIPPED.len());
        let loaded = config::load(&dir.join("midwatch.toml"))
            .map_err(|errors| config::report::render(&errors))
            .unwrap();
        assert_eq!(config::report::render(&loaded.warnings), "");
        let names: Vec<_> = loaded
            .config
            .paths
            .iter()
            .map(|path| path.name.as_str())
            .collect();
        assert_eq!(names, ["orders", "paid", "page/slack:ops"]);
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join("midwatch.toml");
        fs::write(&mine, "# mine\n").unwrap();
        let first = write(folder.path()).unwrap();
        assert!(!first.contains(&mine) && !first.is_empty());
        assert_eq!(fs::read_to_string(&mine).unwrap(), "# mine\n");
        assert_eq!(write(folder.path()).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let error = write(&blocked).unwrap_err().to_string();
        assert!(error.contains("file/runbooks"), "{error}");
    }
}
