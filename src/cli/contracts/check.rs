//! `midwatch contracts check`: whether the versions of every contract keep to its mode; or what the stored events of a type
//! have against a proposed version.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::super::context::Context;
use super::super::{complain, out};
use super::{ShownFinding, words};
use crate::config::model::Config;
use crate::event::contract::compat::{Direction, Verdict};
use crate::event::contract::{Contract, Mode};

/// Holds each version of every contract against the earlier ones, as its mode says; the same is part of `check`. A version that
/// a cast makes readable need not fit.
///
/// With --against-stored it holds the stored events of a type to a proposed version: how many would fail, and of the newest
/// five where, by which rule, and which records. The exit code is 0 if all is well, 1 if something does not fit or would fail,
/// 2 if a file or the database cannot be read.
///
/// With --json one object a line for each contract: type, versions, mode, compatible, findings (as in `contracts diff`, and
/// version), bridged (old, new, direction, casts); with --against-stored one object: type, events, would_fail, held (of those
/// that would fail), pruned (without a payload, apart), first (event, source, version, keys, faults: pointer, rule, text).
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An event type; with --against-stored the file of the proposed version.
    #[arg(value_name = "TYPE or FILE", required_if_eq("against_stored", "true"))]
    what: Option<String>,
    /// Hold the stored events of a type to the file.
    #[arg(long, requires = "kind")]
    against_stored: bool,
    /// The event type whose stored events are meant.
    #[arg(long = "type", value_name = "TYPE", requires = "against_stored")]
    kind: Option<String>,
    /// JSON, one object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    versions: &'a [String],
    mode: &'static str,
    compatible: bool,
    findings: Vec<OfVersion<'a>>,
    bridged: &'a [Bridged],
}

#[derive(Serialize)]
struct OfVersion<'a> {
    version: &'a str,
    #[serde(flatten)]
    finding: ShownFinding<'a>,
}

/// Two versions that do not fit, and need not.
#[derive(Debug, Serialize)]
struct Bridged {
    old: String,
    new: String,
    direction: Direction,
    casts: String,
}

/// What the versions of one contract have against each other.
struct Checked {
    kind: String,
    mode: Mode,
    names: Vec<String>,
    /// Of each version that was compared.
    verdicts: Vec<(usize, Verdict)>,
    bridged: Vec<Bridged>,
}

pub(super) fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = match context.uncompared() {
        Ok(config) => config,
        Err(error) => {
            complain(&error);
            return Ok(super::super::CRITICAL);
        }
    };
    match (&args.what, &args.kind) {
        (Some(file), Some(kind)) => against_stored(Path::new(file), kind, args.json, &config),
        (kind, _) => check(kind.as_deref(), args.json, &config),
    }
}

fn against_stored(file: &Path, kind: &str, json: bool, config: &Config) -> anyhow::Result<u8> {
    let held = super::read(file).and_then(|schema| super::stored::hold(config, kind, &schema));
    let stored = match held {
        Ok(stored) => stored,
        Err(error) => {
            complain(&error);
            return Ok(super::super::CRITICAL);
        }
    };
    if json {
        out::json(&stored)?;
    } else {
        out::say(&stored.words())?;
    }
    Ok(if stored.would_fail == 0 {
        super::super::OK
    } else {
        super::super::FAILED
    })
}

fn check(kind: Option<&str>, json: bool, config: &Config) -> anyhow::Result<u8> {
    if let Some(kind) = kind.filter(|kind| !config.contracts.contains_key(*kind)) {
        let known: Vec<&str> = config.contracts.keys().map(String::as_str).collect();
        let known = match &known[..] {
            [] => "no event type has one".to_owned(),
            known => format!("known: {}", known.join(", ")),
        };
        complain(&anyhow::anyhow!("{kind} has no contract; {known}"));
        return Ok(super::super::CRITICAL);
    }
    let wanted = |contract: &&Contract| kind.is_none_or(|kind| contract.kind == kind);
    let mut fits = true;
    for (at, contract) in config.contracts.values().filter(wanted).enumerate() {
        let checked = Checked::of(contract);
        fits &= checked.fits();
        if json {
            out::json(&checked.shown())?;
        } else {
            let gap = if at > 0 { "\n" } else { "" };
            out::say(&format!("{gap}{}", checked.words()))?;
        }
    }
    if config.contracts.is_empty() && !json {
        out::say("no event type has a contract")?;
    }
    Ok(if fits {
        super::super::OK
    } else {
        super::super::FAILED
    })
}

impl Checked {
    fn of(contract: &Contract) -> Self {
        let mut verdicts: Vec<(usize, Verdict)> = Vec::new();
        let mut bridged = Vec::new();
        for pair in contract.pairs() {
            let verdict = pair.judge();
            if let (false, Some(casts)) = (verdict.compatible, pair.bridge()) {
                bridged.push(Bridged {
                    old: pair.old_name().to_owned(),
                    new: pair.new_name().to_owned(),
                    direction: pair.direction,
                    casts,
                });
                continue;
            }
            match verdicts.last_mut().filter(|(new, _)| *new == pair.new) {
                Some((_, all)) => {
                    all.compatible &= verdict.compatible;
                    all.findings.extend(verdict.findings);
                }
                None => verdicts.push((pair.new, verdict)),
            }
        }
        Self {
            kind: contract.kind.clone(),
            mode: contract.mode,
            names: (contract.versions.iter())
                .map(|version| version.name.clone())
                .collect(),
            verdicts,
            bridged,
        }
    }

    fn fits(&self) -> bool {
        self.verdicts.iter().all(|(_, verdict)| verdict.compatible)
    }

    fn shown(&self) -> Shown<'_> {
        let findings = self.verdicts.iter().flat_map(|(new, verdict)| {
            (super::shown(verdict, self.mode, &self.names)
                .findings
                .into_iter())
            .map(|finding| OfVersion {
                version: &self.names[*new],
                finding,
            })
        });
        Shown {
            kind: &self.kind,
            versions: &self.names,
            mode: self.mode.word(),
            compatible: self.fits(),
            findings: findings.collect(),
            bridged: &self.bridged,
        }
    }

    /// A line for the contract, one for each pair that a cast keeps apart, and what breaks in full.
    fn words(&self) -> String {
        let state = match (self.fits(), self.mode, self.names.len()) {
            (false, ..) => "incompatible",
            (true, _, 1) => "one version",
            (true, Mode::None, _) => "nothing is promised",
            (true, ..) => "compatible",
        };
        let mut out = format!(
            "{}  {}  {}: {state}",
            self.kind,
            self.names.join(", "),
            self.mode.word()
        );
        for one in &self.bridged {
            let (reader, writer) = match one.direction {
                Direction::Backward => (&one.new, &one.old),
                Direction::Forward => (&one.old, &one.new),
            };
            let _ = write!(
                out,
                "\n  {reader} does not read {writer} as it is: {} makes it readable",
                one.casts
            );
        }
        for (new, verdict) in self.verdicts.iter().filter(|(_, one)| !one.compatible) {
            let told = words(verdict, self.mode, &self.names);
            let _ = write!(
                out,
                "\n  version {}: {}",
                self.names[*new],
                told.replace('\n', "\n  ").replace("\n  \n", "\n\n")
            );
        }
        if !self.fits() {
            out.push_str("\n  make it a new event type, add a cast, or change the contract's mode");
        }
        out
    }
}
