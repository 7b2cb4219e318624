//! Secrets: read where they are needed, from the environment or a file that only its owner can read; never kept in the
//! configuration, never printed. Called by the outbound client and the front door at the moment of use.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::model::{Auth, ChannelKind, Config, SecretRef};

/// The largest secret file, in bytes: a key, not a document.
const LARGEST: u64 = 64 * 1024;

/// A secret's text. Its `Debug` and `Display` say nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// Why a secret could not be read. Names the place, never the text.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The variable holds bytes that are no text.
    #[error("the environment variable {0} is not UTF-8")]
    NotText(String),
    /// Nothing is in it.
    #[error("{0} is empty")]
    Empty(String),
    /// The file cannot be read.
    #[error("the secret file {} cannot be read: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Group or others may read it.
    #[error("the secret file {} can be read by others (mode {mode:04o}): run `chmod 600 {}`", file.display(), shell(file))]
    Open {
        /// Which.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no ordinary file, too large, or no text.
    #[error("the secret file {} {why}", file.display())]
    Unusable {
        /// Which.
        file: PathBuf,
        /// Why.
        why: &'static str,
    },
}

/// Reads a secret. One newline at its end is dropped: editors and `echo` write it.
///
/// # Errors
/// [`SecretError`], which says what to do.
pub fn read(reference: &SecretRef) -> Result<Secret, SecretError> {
    let (text, place) = match reference {
        SecretRef::Env(name) => {
            let text = std::env::var_os(name).ok_or_else(|| SecretError::NotSet(name.clone()))?;
            let text = text
                .into_string()
                .map_err(|_| SecretError::NotText(name.clone()))?;
            (text, format!("the environment variable {name}"))
        }
        SecretRef::File(file) => (
            read_file(file)?,
            format!("the secret file {}", file.display()),
        ),
    };
    let trimmed = text.strip_suffix('\n').map_or(text.as_str(), |text| {
        text.strip_suffix('\r').unwrap_or(text)
    });
    if trimmed.is_empty() {
        return Err(SecretError::Empty(place));
    }
    Ok(Secret(trimmed.to_owned()))
}

fn read_file(file: &Path) -> Result<String, SecretError> {
    let failed = |error| SecretError::File {
        file: file.to_owned(),
        error,
    };
    let unusable = |why| SecretError::Unusable {
        file: file.to_owned(),
        why,
    };
    // Before it is opened: opening a named pipe would wait for a writer.
    if !std::fs::metadata(file).map_err(failed)?.is_file() {
        return Err(unusable("is not an ordinary file"));
    }
    let mut opened = std::fs::File::open(file).map_err(failed)?;
    // Asked of the opened file: what is checked is what is read.
    let metadata = opened.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open {
            file: file.to_owned(),
            mode,
        });
    }
    if metadata.len() > LARGEST {
        return Err(unusable("is larger than 64 KiB"));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut opened)
        .take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8"))
}

/// The file's name as a shell takes it.
fn shell(file: &Path) -> String {
    let text = file.display().to_string();
    let plain = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
    if plain {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Every secret that a configuration names, with the place that names it.
pub fn all(config: &Config) -> Vec<(String, &SecretRef)> {
    let mut all: Vec<(String, &SecretRef)> = Vec::new();
    if let Some(token) = &config.ingest.token {
        all.push(("ingest.token".to_owned(), token));
    }
    for (name, system) in &config.systems {
        let at = format!("systems.{name}.auth");
        match &system.auth {
            Auth::None => {}
            Auth::OAuth2(oauth) => {
                all.push((at.clone(), &oauth.client_id));
                all.extend(oauth.client_secret.iter().map(|one| (at.clone(), one)));
            }
            Auth::Bearer(one) | Auth::Header(_, one) => all.push((at, one)),
            Auth::Basic(user, password) => {
                all.push((at.clone(), user));
                all.push((at, password));
            }
        }
        if let Some(one) = &system.sign {
            all.push((format!("systems.{name}.sign"), one));
        }
        for one in system.hooks.iter().flat_map(|hooks| &hooks.secrets) {
            all.push((format!("systems.{name}.hooks"), one));
        }
    }
    for (name, channel) in &config.channels {
        let at = format!("channel {name}");
        match &channel.kind {
            ChannelKind::Email { .. } => {}
            ChannelKind::Ntfy {
                topic,
                token,
                replies,
            } => {
                all.push((at.clone(), topic));
                let others = token.iter().chain(replies);
                all.extend(others.map(|one| (at.clone(), one)));
            }
            ChannelKind::PagerDuty { key, .. } => all.push((at, key)),
            ChannelKind::Slack(webhook) | ChannelKind::Webhook(webhook) => all.push((at, webhook)),
        }
    }
    if let Some((_, password)) = config.mail.as_ref().and_then(|mail| mail.login.as_ref()) {
        all.push(("mail".to_owned(), password));
    }
    if let Some(heartbeat) = &config.watch.heartbeat {
        all.push(("watch.heartbeat".to_owned(), heartbeat));
    }
    all
}

/// The secrets of a configuration that cannot be read by this process, in words that name place and reason.
pub fn unreadable(config: &Config) -> Vec<String> {
    all(config)
        .into_iter()
        .filter_map(|(at, one)| read(one).err().map(|error| format!("{at}: {error}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("my token");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn a_file_is_read_and_one_newline_dropped() {
        for (text, read_as) in [
            ("abc", "abc"),
            ("abc\n", "abc"),
            ("abc\r\n", "abc"),
            ("abc\n\n", "abc\n"),
            (" abc ", " abc "),
        ] {
            let (_folder, file) = file_of(text.as_bytes(), 0o600);
            assert_eq!(read(&SecretRef::File(file)).unwrap().expose(), read_as);
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_to_run() {
        for mode in [0o640, 0o604, 0o644, 0o660, 0o666] {
            let (_folder, file) = file_of(b"abc", mode);
            let error = read(&SecretRef::File(file.clone()))
                .unwrap_err()
                .to_string();
            let command = format!("chmod 600 '{}'", file.display());
            assert!(error.contains(&command), "{error}");
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_quoting_it() {
        let (_folder, empty) = file_of(b"\n", 0o600);
        let (_other, binary) = file_of(b"\xff\xfe", 0o600);
        let (folder, _) = file_of(b"", 0o600);
        for (reference, words) in [
            (SecretRef::File(empty), "is empty"),
            (SecretRef::File(binary), "is not UTF-8"),
            (
                SecretRef::File(folder.path().to_owned()),
                "is not an ordinary file",
            ),
            (
                SecretRef::File(folder.path().join("none")),
                "cannot be read",
            ),
            (
                SecretRef::Env("MIDWATCH_TEST_NOT_SET".to_owned()),
                "the environment variable MIDWATCH_TEST_NOT_SET is not set",
            ),
        ] {
            let error = read(&reference).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        let secret = Secret::from("sk_live_1".to_owned());
        assert!(!format!("{secret} {secret:?} {:#?}", Some(&secret)).contains("sk_live"));
    }
}
