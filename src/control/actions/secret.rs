//! Replacing a secret: where it is, trying the new one before the old one goes, saving it so that either is whole.
//!
//! The new text is written to a file of its own beside the old one, the system is asked with that file, and only then
//! does it take the old one's name: a crash leaves the one or the other, never a half. Nothing here shows, logs or
//! stores the text. Called by the action layer.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use std::sync::Arc;
use std::time::Duration;

use super::super::action::{Actor, Done, Preview, Refused};
use super::super::hidden::Hidden;
use super::preview::plain;
use super::{Actions, Order, audit, done, refused};
use crate::config::live::Runtime;
use crate::config::model::{Auth, SecretRef, System};
use crate::http::Outbound;
use crate::queue::breaker::SHUT_OUT;
use crate::store::LogEntry;
use crate::store::view::Overview;
use crate::visible::Visible;

/// The longest secret in bytes: what can be read back.
const LONGEST: usize = 64 << 10;

/// A system that is asked whether it takes a new secret must answer by then.
const TRIAL_LIMIT: Duration = Duration::from_secs(15);

/// As much is read of its answer.
const TRIAL_CAP: usize = 4 << 10;

/// One of a system's secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The word that names it in a command (`token`, `password`, `hook1`).
    pub which: String,
    /// What it is, in words.
    pub words: &'static str,
    /// Where it is read from.
    pub reference: SecretRef,
    /// A request to the system shows whether it works; the others are only seen when the vendor calls, or checks a signature.
    pub is_tried: bool,
}

/// The secrets of a system, those of its requests first.
pub fn places(system: &System) -> Vec<Place> {
    let mut all = Vec::new();
    let mut add = |which: &str, words, reference: &SecretRef, is_tried| {
        all.push(Place {
            which: which.to_owned(),
            words,
            reference: reference.clone(),
            is_tried,
        });
    };
    match &system.auth {
        Auth::None => {}
        Auth::Bearer(token) => add("token", "the bearer token of its requests", token, true),
        Auth::Header(_, value) => add("header", "the key of its requests", value, true),
        Auth::Basic(user, password) => {
            add("user", "the user of its requests", user, true);
            add("password", "the password of its requests", password, true);
        }
        Auth::OAuth2(oauth) => {
            add("client_id", "the OAuth client's id", &oauth.client_id, true);
            if let Some(secret) = &oauth.client_secret {
                add("client_secret", "the OAuth client's secret", secret, true);
            }
        }
    }
    if let Some(sign) = &system.sign {
        add("sign", "what its requests are signed with", sign, false);
    }
    let secrets = system
        .hooks
        .as_ref()
        .map_or(&[][..], |hooks| &hooks.secrets);
    for (at, secret) in secrets.iter().enumerate() {
        let which = match secrets.len() {
            1 => "hook".to_owned(),
            _ => format!("hook{}", at + 1),
        };
        add(&which, "what its webhooks are signed with", secret, false);
    }
    all
}

/// The one place that is meant; refused with the choice where that is not clear.
pub(super) fn place(system: &System, which: &str) -> Result<Place, Refused> {
    let all = places(system);
    let name = &system.name;
    let words = |all: &[Place]| {
        (all.iter().map(|place| place.which.as_str()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    match (which, &all[..]) {
        (_, []) => Err(refused(format!(
            "{name} has no secret in the configuration"
        ))),
        ("", [one]) => Ok(one.clone()),
        ("", _) => Err(refused(format!(
            "{name} has several secrets, say which: {}",
            words(&all)
        ))),
        _ => (all.iter().find(|place| place.which == which).cloned()).ok_or_else(|| {
            refused(format!(
                "{name} has no secret called {}; it has {}",
                crate::visible::line(which, 60),
                words(&all)
            ))
        }),
    }
}

/// The file of a place; an environment variable cannot be replaced from here.
pub(super) fn file(place: &Place) -> Result<&Path, Refused> {
    match &place.reference {
        SecretRef::File(file) => Ok(file),
        SecretRef::Env(name) => Err(refused(format!(
            "the secret is in the environment variable {name}, which only whoever starts midwatch can change: change it there and restart, or name a file in the configuration"
        ))),
    }
}

impl Actions {
    /// What replacing a secret does, and whom it concerns.
    pub(super) async fn preview_replace(
        &self,
        system: &str,
        which: &str,
        force: bool,
    ) -> Result<Preview, Refused> {
        let found = self.system(system)?;
        let place = place(&found, which)?;
        let file = file(&place)?;
        let overview = self.overview().await?;
        let mut preview = plain(format!(
            "replace {} ({system}, {})",
            place.words, place.which
        ));
        preview.notes = vec![
            format!("it is kept in {}", Visible::of(&file.to_string_lossy())),
            match (place.is_tried, force) {
                (true, false) => {
                    "the new one is tried first, and saved only if the system takes it"
                }
                (true, true) => "the new one is saved even if the system refuses it",
                (false, _) => {
                    "it cannot be tried: only the next signed call shows whether it is right"
                }
            }
            .to_owned(),
        ];
        for path in self.shut_out(&overview, system) {
            preview
                .notes
                .push(format!("{path} is paused because of it and goes on then"));
        }
        Ok(preview)
    }

    /// Tries the new secret, saves it, and lets go on what was paused for want of it.
    pub(super) async fn replace_secret(
        &self,
        name: &str,
        which: &str,
        value: Hidden,
        force: bool,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let system = self.system(name)?;
        let place = place(&system, which)?;
        sound(value.expose())?;
        let target = file(&place)?.to_owned();
        let written =
            tokio::task::spawn_blocking(move || Candidate::write(&target, value.expose()));
        let candidate = written.await.map_err(|_| unsaved())??;
        let trial = if place.is_tried {
            let changed = with(&system, &place.which, candidate.path());
            self.try_secret(changed).await
        } else {
            Ok("which nothing has tried yet".to_owned())
        };
        let found = match trial {
            Ok(found) => found,
            Err(why) if force => format!("although {why}"),
            Err(why) => {
                return Err(refused(format!(
                    "nothing was saved: {why}. Look whether it is the right one; if it is, `midwatch secret replace {name} {} --force` asks for it once more and saves it although it is refused",
                    place.which
                )));
            }
        };
        let saved = tokio::task::spawn_blocking(move || candidate.save());
        saved.await.map_err(|_| unsaved())??;
        let resumed = self
            .let_in(name, &format!("{name} has another secret"), actor)
            .await?;
        let text = format!(
            "{name} has another secret ({}), {found}{resumed}",
            place.which
        );
        let log = audit(actor, "secret", None, None, text.clone());
        Ok((done(text), Some(log)))
    }

    /// Somebody has logged in; the tokens are where the worker finds them.
    pub(super) async fn logged_in(
        &self,
        name: &str,
        actor: &Actor,
    ) -> Result<(Done, Option<LogEntry>), Refused> {
        let system = self.system(name)?;
        if !matches!(system.auth, Auth::OAuth2(_)) {
            return Err(refused(format!("{name} does not use OAuth 2")));
        }
        let resumed = self
            .let_in(name, &format!("somebody logged in to {name}"), actor)
            .await?;
        let text = format!("logged in to {name}{resumed}");
        let log = audit(actor, "login", None, None, text.clone());
        Ok((done(text), Some(log)))
    }

    /// The paths that this system had paused go on. In words which; nothing if there were none.
    async fn let_in(&self, name: &str, why: &str, actor: &Actor) -> Result<String, Refused> {
        let overview = self.overview().await?;
        let mut resumed = Vec::new();
        for path in self.shut_out(&overview, name) {
            let number = self.number(path)?;
            let log = audit(
                actor,
                "resume",
                Some(number),
                None,
                format!("{path} resumed: {why}"),
            );
            self.inner.store.set_pause(number, None, log).await?;
            self.order(Order::PathChanged(number)).await;
            resumed.push(path);
        }
        Ok(if resumed.is_empty() {
            String::new()
        } else {
            format!("; resumed: {}", resumed.join(", "))
        })
    }

    /// One request of the probe's kind, with the candidate instead of the secret in force. What it found, or why not.
    async fn try_secret(&self, system: System) -> Result<String, String> {
        let name = system.name.clone();
        let Some(probe) = system.probe.clone() else {
            return Err(format!(
                "it cannot be tried, because systems.{name}.probe names no request"
            ));
        };
        let mut config = (*self.inner.live.borrow().config).clone();
        config.systems.insert(name.clone(), system);
        let runtime = Arc::new(Runtime::new(Arc::new(config), Vec::new()));
        let (_kept, live) = tokio::sync::watch::channel(runtime);
        // Connections and tokens of its own: nothing that the old secret opened may answer for the new one.
        let outbound = Outbound::new(live);
        let asked = async {
            // The budget is the system's, whoever asks.
            self.outbound().budget(&name).acquire().await;
            outbound.get(&name, &probe, TRIAL_LIMIT, TRIAL_CAP).await
        };
        let Some(answer) = self.inner.stop.run_until_cancelled(asked).await else {
            return Err("the worker is stopping".to_owned());
        };
        match answer {
            Ok(reply) if (200..300).contains(&reply.status) => {
                Ok(format!("which {name} takes ({})", reply.status))
            }
            Ok(reply) if matches!(reply.status, 401 | 403) => {
                Err(format!("{name} does not take it ({})", reply.status))
            }
            Ok(reply) => Err(format!("{name} answered {} to the trial", reply.status)),
            Err(error) => Err(format!(
                "{name} could not be asked: {}",
                crate::visible::line(&error.to_string(), 300)
            )),
        }
    }

    /// The paths that the machine paused because `system` does not let us in.
    fn shut_out<'a>(&self, overview: &'a Overview, system: &str) -> Vec<&'a str> {
        let runtime = self.inner.live.borrow();
        (overview.paths.iter())
            .filter(|row| {
                let paused = (row.pause.as_ref())
                    .is_some_and(|pause| !pause.by_person && pause.reason.starts_with(SHUT_OUT));
                paused && (runtime.config.path(&row.name)).is_some_and(|path| path.to == system)
            })
            .map(|row| row.name.as_str())
            .collect()
    }
}

fn unsaved() -> Refused {
    refused("nothing was saved: the secret could not be written")
}

/// The same system, with its secret read from `file`.
pub(super) fn with(system: &System, which: &str, file: &Path) -> System {
    let mut system = system.clone();
    let new = || SecretRef::File(file.to_owned());
    match (&mut system.auth, which) {
        (Auth::Bearer(one), "token")
        | (Auth::Header(_, one), "header")
        | (Auth::Basic(one, _), "user")
        | (Auth::Basic(_, one), "password") => *one = new(),
        (Auth::OAuth2(oauth), "client_id" | "client_secret") => {
            let mut changed = (**oauth).clone();
            if which == "client_id" {
                changed.client_id = new();
            } else {
                changed.client_secret = Some(new());
            }
            *oauth = Arc::new(changed);
        }
        _ => {}
    }
    system
}

/// What makes no secret, before anything is written; the words do not quote it.
pub(super) fn sound(text: &str) -> Result<(), Refused> {
    let wrong = if text.trim().is_empty() {
        "it is empty"
    } else if text.len() > LONGEST {
        "it is longer than 64 KiB"
    } else if text.chars().any(char::is_control) {
        "it holds a control character: was more pasted than the secret?"
    } else if text.trim() != text {
        "it begins or ends with a blank: was more pasted than the secret?"
    } else {
        return Ok(());
    };
    Err(refused(format!("nothing was saved: {wrong}")))
}

/// A new secret in a file of its own, beside the one that it may replace; removed unless it was saved.
#[derive(Debug)]
pub(super) struct Candidate {
    file: tempfile::NamedTempFile,
    target: PathBuf,
}

impl Candidate {
    /// Writes it, readable by its owner alone, and to the disk.
    pub fn write(target: &Path, text: &str) -> Result<Self, Refused> {
        // A link stays a link: what it leads to is replaced.
        let target = std::fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let written = || -> std::io::Result<tempfile::NamedTempFile> {
            let folder = target.parent().unwrap_or(Path::new("."));
            // Made 0600, under a name of its own.
            let mut file = (tempfile::Builder::new().prefix(".new-secret-")).tempfile_in(folder)?;
            writeln!(file, "{text}")?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        match written() {
            Ok(file) => Ok(Self { file, target }),
            Err(error) => Err(refused(format!(
                "nothing was saved: cannot write beside {}: {error}. The worker's user must be able to write in its folder",
                Visible::of(&target.to_string_lossy())
            ))),
        }
    }

    /// Where it is now.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Lets it take the old one's name, for good.
    pub fn save(self) -> Result<(), Refused> {
        let Self { file, target } = self;
        file.persist(&target).map_err(|error| {
            refused(format!(
                "nothing was saved: {} could not be replaced: {}",
                Visible::of(&target.to_string_lossy()),
                error.error
            ))
        })?;
        // The name is on the disk once its folder is; where that fails, the next sync of the disk does it.
        if let Some(folder) = target
            .parent()
            .and_then(|folder| std::fs::File::open(folder).ok())
        {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}
