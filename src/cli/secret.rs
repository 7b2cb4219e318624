//! `midwatch secret`: which secrets a system has, and another one for one of them, typed unseen.
//!
//! Never shows a secret, and never takes one from the command line: what stands there is seen by everyone who lists
//! processes, and kept in the shell's history.

use std::io::IsTerminal as _;

use serde::Serialize;

use super::context::Context;
use super::{hidden, out};
use crate::config::model::SecretRef;
use crate::control::action::Action;
use crate::control::{Hidden, places};

/// Shows where a system's secrets are, or replaces one.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Replaces a secret in its file, once the system took the new one.
    ///
    /// The new one is typed unseen, or read as the first line of the standard input where that is no terminal. It is tried
    /// against the system first (with its `probe` request), then takes the old one's place at once, and paths that the old one
    /// had paused go on. A secret in an environment variable cannot be replaced from here.
    ///
    /// With --json one object: text, batch (null), delivery (null).
    Replace {
        /// The system.
        system: String,
        /// Which secret, where it has several: token, header, user, password, client_id, client_secret, sign, hook.
        which: Option<String>,
        /// Save it even if the system refuses it.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        consent: out::Consent,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Lists the secrets of all systems, or of one: where they are, never what they are.
    ///
    /// With --json one object a line: system, which, what, file, variable, problem (why it cannot be read, or null).
    List {
        /// The system.
        system: Option<String>,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Listed<'a> {
    system: &'a str,
    which: &'a str,
    what: &'a str,
    file: Option<String>,
    variable: Option<&'a str>,
    problem: Option<String>,
}

/// Replaces or lists.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    match args.what {
        What::Replace {
            system,
            which,
            force,
            consent,
            json,
        } => {
            let action = |value| Action::ReplaceSecret {
                system: system.clone(),
                which: which.clone().unwrap_or_default(),
                value,
                force,
            };
            replace(action, &consent, json, context).await
        }
        What::List { system, json } => list(system.as_deref(), json, context),
    }
}

async fn replace(
    action: impl Fn(Hidden) -> Action,
    consent: &out::Consent,
    json: bool,
    context: &Context,
) -> anyhow::Result<u8> {
    let acting = context.acting(&context.config_in_force()?).await?;
    let outcome = async {
        // What is wrong with the question is said before anything is typed.
        let preview = acting.preview(&action(Hidden::default())).await?;
        if consent.is_dry() {
            if json {
                out::json(&preview)?;
            } else {
                out::say(&out::preview(&preview, crate::time::Clock::System.now()))?;
            }
            return Ok(super::OK);
        }
        if std::io::stdin().is_terminal() {
            let now = crate::time::Clock::System.now();
            out::note(&out::preview(&preview, now))?;
        }
        let Some(value) = hidden::read("new secret (not shown): ").await? else {
            anyhow::bail!("nothing was done: nothing was typed");
        };
        if std::io::stdin().is_terminal() && !consent.given("Try it and save it?").await? {
            return Ok(super::FAILED);
        }
        let done = acting.submit_plain(action(value)).await?;
        if json {
            out::json(&done)?;
        } else {
            out::say(&done.text)?;
        }
        Ok(super::OK)
    }
    .await;
    acting.close().await;
    outcome
}

fn list(only: Option<&str>, json: bool, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    if let Some(name) = only
        && !config.systems.contains_key(name)
    {
        anyhow::bail!(
            "there is no system called {}",
            crate::visible::line(name, 60)
        );
    }
    let mut rows = Vec::new();
    for (name, system) in &config.systems {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        for place in places(system) {
            let problem = crate::config::secret::read(&place.reference)
                .err()
                .map(|error| error.to_string());
            let (file, variable) = match &place.reference {
                SecretRef::File(file) => (Some(file.to_string_lossy().into_owned()), None),
                SecretRef::Env(variable) => (None, Some(variable.as_str())),
            };
            if json {
                out::json(&Listed {
                    system: name,
                    which: &place.which,
                    what: place.words,
                    file,
                    variable,
                    problem,
                })?;
                continue;
            }
            rows.push(vec![
                name.clone(),
                place.which.clone(),
                place.words.to_owned(),
                file.or_else(|| variable.map(|name| format!("${name}")))
                    .unwrap_or_default(),
                problem.unwrap_or_else(|| "can be read".to_owned()),
            ]);
        }
    }
    if !json && rows.is_empty() {
        out::say("no system has a secret")?;
    } else if !json {
        out::say(&out::table(&rows))?;
    }
    Ok(super::OK)
}
