//! The demo's folder: a real configuration with the stand-ins' ports filled in, its secrets and its runbooks.
//!
//! A temporary one (0700) is removed when it is dropped; a chosen one stays, and must be new or empty, because the story
//! starts from nothing.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Addresses, secrets};
use crate::runbook;

/// One file of `fixtures/demo/contracts`.
macro_rules! contract {
    ($kind:literal, $file:literal) => {
        (
            $kind,
            $file,
            include_str!(concat!("../../fixtures/demo/contracts/", $kind, "/", $file)),
        )
    };
}

/// The configuration, with the addresses of [`PLACEHOLDERS`] where the real ones will stand.
const CONFIGURATION: &str = include_str!("../../fixtures/demo/midwatch.toml");

/// The contracts' files, by event type, and one that would break its contract, to be tried.
const CONTRACTS: [(&str, &str, &str); 6] = [
    contract!("order.created", "1.json"),
    contract!("order.created", "2.json"),
    contract!("order.created", "proposed.json"),
    contract!("customer.created", "1.json"),
    contract!("customer.created", "2.json"),
    contract!("customer.created", "1-to-2.json"),
];

/// Where the written configuration says that things listen: the front door, then shop, crm, payments, chat.
const PLACEHOLDERS: [&str; 5] = [
    "127.0.0.1:7420",
    "127.0.0.1:7421",
    "127.0.0.1:7422",
    "127.0.0.1:7423",
    "127.0.0.1:7424",
];

/// The folder.
#[derive(Debug)]
pub struct Home {
    folder: PathBuf,
    /// Removes it; none if it stays.
    temporary: Option<TempDir>,
}

impl Home {
    /// A temporary folder, or `chosen`.
    pub fn new(chosen: Option<&Path>) -> io::Result<Self> {
        let Some(chosen) = chosen else {
            let temporary = tempfile::Builder::new()
                .prefix("midwatch-demo-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir()?;
            return Ok(Self {
                folder: temporary.path().to_owned(),
                temporary: Some(temporary),
            });
        };
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        match builder.create(chosen) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(chosen)?.next().is_some() {
                    return Err(io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "the folder is not empty; the demo starts from nothing: choose a new one",
                    ));
                }
            }
            done => done?,
        }
        Ok(Self {
            folder: chosen.canonicalize()?,
            temporary: None,
        })
    }

    /// The folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes configuration, secrets (0600) and runbooks. Returns the configuration's file.
    pub fn furnish(&self, door: SocketAddr, systems: Addresses) -> io::Result<PathBuf> {
        let Addresses {
            shop,
            crm,
            payments,
            chat,
        } = systems;
        let mut text = CONFIGURATION.to_owned();
        for (placeholder, address) in PLACEHOLDERS.iter().zip([door, shop, crm, payments, chat]) {
            text = text.replace(placeholder, &address.to_string());
        }
        let folder = |name: &str| -> io::Result<PathBuf> {
            let folder = self.folder.join(name);
            let mut builder = DirBuilder::new();
            builder.mode(0o700).recursive(true).create(&folder)?;
            Ok(folder)
        };
        let kept = folder("secrets")?;
        for (name, secret) in secrets::FILES {
            write(&kept.join(name), secret)?;
        }
        let ops = format!("http://{chat}/services/T0/B0/ops");
        write(&kept.join("slack_ops"), &ops)?;
        let runbooks = folder("runbooks")?;
        for (name, text) in runbook::SHIPPED {
            write(&runbooks.join(name), text)?;
        }
        for (kind, name, text) in CONTRACTS {
            write(&folder(&format!("contracts/{kind}"))?.join(name), text)?;
        }
        let file = self.folder.join("midwatch.toml");
        write(&file, &text)?;
        Ok(file)
    }

    /// Removes the folder now if it is temporary. Says so if it cannot.
    pub fn close(self) -> io::Result<()> {
        self.temporary.map_or(Ok(()), TempDir::close)
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn furnish(home: &Home) -> PathBuf {
        let systems = Addresses {
            shop: address(41001),
            crm: address(41002),
            payments: address(41003),
            chat: address(41004),
        };
        home.furnish(address(41000), systems).unwrap()
    }

    #[test]
    fn the_configuration_of_the_demo_is_good_short_and_points_at_the_stand_ins() {
        let home = Home::new(None).unwrap();
        let loaded = config::load(&furnish(&home)).unwrap();
        // What the demo shows on purpose: a source that brings what is not its own.
        let warned: Vec<&str> = loaded.warnings.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(warned, ["paths.colleagues.route"], "{:?}", loaded.warnings);
        let config = loaded.config;
        assert_eq!(config.ingest.listen, address(41000));
        for (system, port) in [
            ("shop", 41001),
            ("crm", 41002),
            ("payments", 41003),
            ("chat", 41004),
        ] {
            let url = config.systems[system].url.as_deref().unwrap_or_default();
            assert!(
                url.starts_with(&format!("http://127.0.0.1:{port}")),
                "{url}"
            );
        }
        assert!(config.text.lines().count() < 140);
        for (name, secret) in secrets::FILES {
            let file = home.folder().join("secrets").join(name);
            assert_eq!(fs::read_to_string(&file).unwrap(), *secret);
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_temporary_folder_is_private_and_goes_a_chosen_one_stays_and_must_be_empty() {
        let home = Home::new(None).unwrap();
        let folder = home.folder().to_owned();
        assert_eq!(
            folder.metadata().unwrap().permissions().mode() & 0o777,
            0o700
        );
        furnish(&home);
        home.close().unwrap();
        assert!(!folder.exists());

        let outer = tempfile::tempdir().unwrap();
        let chosen = outer.path().join("kept");
        let home = Home::new(Some(&chosen)).unwrap();
        furnish(&home);
        home.close().unwrap();
        assert!(chosen.join("midwatch.toml").exists());
        assert!(Home::new(Some(&chosen)).is_err());
    }
}
