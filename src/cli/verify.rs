//! `midwatch verify`: is this request signed, and if not, why not.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use super::context::Context;
use super::out;
use crate::config::model::{Recipe, SecretRef, hook_address};
use crate::config::{recipes, secret};
use crate::event::signature::dump::{self, Dump};
use crate::event::signature::explain::{Explanation, Known, explain};
use crate::event::signature::{PLACEHOLDERS, Signed};
use crate::time::{Clock, Timestamp};
use crate::visible::{Visible, line};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 32 << 20;

/// The signature is good.
const VALID: u8 = super::OK;
/// It is not.
const INVALID: u8 = super::FAILED;
/// The request, a secret or the configuration cannot be read.
const CANNOT_READ: u8 = super::CRITICAL;

/// Checks a webhook's signature as the front door would, and explains the verdict.
///
/// FILE is a body, or a request as it was written down: request line, headers, a blank line, the body. Nothing is sent,
/// stored or acted on, and no secret is ever shown: secrets are told by their reference.
///
/// Exit codes: 0 the signature is good, 1 it is not, 2 something cannot be read.
///
/// With --json one object: recipe, valid, verdict, secret, header, value, form, signatures, time (text, at, words, good),
/// template, base, base_bytes, key, secrets (reference, matched, usable), causes, tried, notes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The body, or the whole request; - for the standard input.
    file: String,
    /// A built-in recipe.
    #[arg(long, value_name = "NAME", required_unless_present = "system", conflicts_with = "system",
          value_parser = clap::builder::PossibleValuesParser::new(recipes::NAMES))]
    recipe: Option<String>,
    /// A system of the configuration: its recipe, its secrets, its address.
    #[arg(long, value_name = "NAME")]
    system: Option<String>,
    /// Where a secret is read from, file:PATH or env:NAME; several while one is rolled. For a system, instead of its own.
    #[arg(long = "secret", value_name = "REFERENCE")]
    secrets: Vec<String>,
    /// A header as it came; in place of the same header of the request.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The address that the sender called, for recipes that sign it.
    #[arg(long)]
    url: Option<String>,
    /// The request's method, where FILE is a body alone.
    #[arg(long, default_value = "POST")]
    method: String,
    /// The time to judge by: RFC 3339, or Unix seconds. Now, unless given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Show the base string, the header as parsed, the time against the clock, and what would match.
    #[arg(long)]
    explain: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What is checked with what.
struct Case {
    recipe: Recipe,
    /// References and texts.
    secrets: Vec<(String, secret::Secret)>,
    dump: Dump,
    url: Option<String>,
    at: Timestamp,
    notes: Vec<String>,
}

/// Reads everything, judges, prints.
pub fn run(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let case = match read(args, context) {
        Ok(case) => case,
        Err(error) => {
            super::complain(&error);
            return Ok(CANNOT_READ);
        }
    };
    let headers: Vec<(&str, &[u8])> = (case.dump.headers.iter())
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let known: Vec<Known<'_>> = (case.secrets.iter())
        .map(|(reference, secret)| Known {
            reference,
            text: secret.expose(),
        })
        .collect();
    let signed = Signed {
        method: &case.dump.method,
        headers: &headers,
        url: case.url.as_deref(),
        body: &case.dump.body,
    };
    let found = explain(&case.recipe, &known, signed, case.at);
    if args.json {
        #[derive(serde::Serialize)]
        struct Told<'a> {
            #[serde(flatten)]
            found: &'a Explanation,
            notes: &'a [String],
        }
        out::json(&Told {
            found: &found,
            notes: &case.notes,
        })?;
    } else {
        out::say(&words(&found, &case.notes, args.explain))?;
    }
    Ok(if found.valid { VALID } else { INVALID })
}

fn read(args: &Args, context: &Context) -> anyhow::Result<Case> {
    let at = match &args.at {
        None => Clock::System.now(),
        Some(text) => time(text).ok_or_else(|| {
            anyhow::anyhow!(
                "--at {}: expected RFC 3339 such as 2026-11-24T08:00:00Z, or Unix seconds",
                line(text, 60)
            )
        })?,
    };
    let mut notes = Vec::new();
    let bytes = bytes(&args.file)?;
    let mut dump = match dump::parse(&bytes)? {
        Some(dump) => dump,
        None => Dump {
            method: args.method.to_ascii_uppercase(),
            target: String::new(),
            headers: Vec::new(),
            body: bytes,
            note: None,
        },
    };
    notes.extend(dump.note.clone());
    let mut given = Vec::new();
    for text in &args.headers {
        let header = dump::header(text.as_bytes())
            .ok_or_else(|| anyhow::anyhow!("--header {}: expected NAME: VALUE", line(text, 60)))?;
        given.push(header);
    }
    (dump.headers).retain(|(name, _)| given.iter().all(|(other, _)| other != name));
    dump.headers.extend(given);

    let (recipe, references, address) = subject(args, context, &dump)?;
    let secrets = references
        .into_iter()
        .map(|(name, reference)| Ok((name, secret::read(&reference)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let needs_url = PLACEHOLDERS
        .iter()
        .filter(|name| name.ends_with("url"))
        .any(|name| recipe.base.contains(&format!("{{{name}}}")));
    let mut url = args.url.clone().or(address).filter(|_| needs_url);
    if needs_url && url.is_none() {
        let guessed = guessed(&dump).ok_or_else(|| {
            anyhow::anyhow!(
                "{} signs the address that the sender called: give it with --url",
                recipe.name
            )
        })?;
        notes.push(format!(
            "the address is taken from the request: {}; --url gives another",
            line(&guessed, 200)
        ));
        url = Some(guessed);
    }
    Ok(Case {
        recipe,
        secrets,
        dump,
        url,
        at,
        notes,
    })
}

/// The recipe, the references of the secrets by name, and the address if the configuration knows it.
#[expect(clippy::type_complexity, reason = "one caller takes it apart at once")]
fn subject(
    args: &Args,
    context: &Context,
    dump: &Dump,
) -> anyhow::Result<(Recipe, Vec<(String, SecretRef)>, Option<String>)> {
    let given = args
        .secrets
        .iter()
        .map(|text| Ok((text.clone(), reference(text)?)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let Some(name) = &args.system else {
        let name = args.recipe.as_deref().unwrap_or_default();
        let (recipe, _) = recipes::built_in(name)
            .ok_or_else(|| anyhow::anyhow!("there is no recipe called {}", line(name, 60)))?;
        if given.is_empty() {
            anyhow::bail!("say where the secret is: --secret file:PATH, or --secret env:NAME");
        }
        return Ok((recipe, given, None));
    };
    let config = context.config_in_force()?;
    let hooks = config
        .systems
        .get(name)
        .ok_or_else(|| anyhow::anyhow!("there is no system called {}", line(name, 60)))?
        .hooks
        .as_ref()
        .ok_or_else(|| anyhow::anyhow!("{name} has no hooks: nothing says how it signs"))?;
    let references = if given.is_empty() {
        (hooks.secrets.iter())
            .map(|reference| (told(reference, &config.base), reference.clone()))
            .collect()
    } else {
        given
    };
    let address = config.site.public_url.as_deref().map(|public| {
        if dump.target.starts_with('/') {
            format!("{}{}", public.trim_end_matches('/'), dump.target)
        } else {
            hook_address(public, name)
        }
    });
    Ok((hooks.recipe.clone(), references, address))
}

/// A reference as the configuration writes it.
fn told(reference: &SecretRef, base: &Path) -> String {
    match reference {
        SecretRef::Env(name) => format!("env:{name}"),
        SecretRef::File(file) => {
            format!("file:{}", file.strip_prefix(base).unwrap_or(file).display())
        }
    }
}

/// `env:NAME` or `file:PATH`. What is neither may be the secret itself, and is not quoted.
fn reference(text: &str) -> anyhow::Result<SecretRef> {
    match text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Ok(SecretRef::Env(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Ok(SecretRef::File(std::path::absolute(path)?)),
        _ => anyhow::bail!(
            "--secret: expected file:PATH or env:NAME. A secret itself must not stand on a command line, where others see it"
        ),
    }
}

/// The address that a request itself tells: its target if that is whole, or its Host and its target.
fn guessed(dump: &Dump) -> Option<String> {
    if dump.target.contains("://") {
        return Some(dump.target.clone());
    }
    let host = dump.header("host")?;
    (dump.target.starts_with('/')).then(|| format!("https://{host}{}", dump.target))
}

fn bytes(file: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failed = |error| anyhow::anyhow!("cannot read {}: {error}", Visible::of(file));
    if file == "-" {
        let mut input = std::io::stdin().take(LARGEST + 1);
        input.read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        let mut opened = opened.take(LARGEST + 1);
        opened.read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.len() as u64 > LARGEST {
        anyhow::bail!("{} is larger than 32 MiB", Visible::of(file));
    }
    Ok(bytes)
}

/// RFC 3339, or Unix seconds.
fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(text).or_else(|| {
        let seconds: i64 = text.parse().ok()?;
        seconds.checked_mul(1000).map(Timestamp)
    })
}

fn words(found: &Explanation, notes: &[String], explained: bool) -> String {
    let mut out = if found.valid {
        "valid".to_owned()
    } else {
        "not valid".to_owned()
    };
    let _ = write!(out, ": {}", found.verdict);
    if let Some(secret) = &found.secret {
        let _ = write!(out, ", made with {secret}");
    }
    for note in notes {
        let _ = write!(out, "\n  note: {note}");
    }
    if !explained {
        if !found.valid {
            out.push_str("\n  --explain says more");
        }
        return out;
    }
    let _ = write!(out, "\n\n  recipe     {}", found.recipe);
    let _ = write!(out, "\n  header     {}", found.header);
    match &found.value {
        Some(value) => {
            let _ = write!(out, ": {value}");
        }
        None => out.push_str(": not there, or there twice"),
    }
    let _ = write!(out, "\n  read as    {}", found.form);
    if found.signatures.is_empty() {
        out.push_str("\n  signature  none found");
    }
    for signature in &found.signatures {
        let _ = write!(out, "\n  signature  {signature}");
    }
    if let Some(time) = &found.time {
        let at = time
            .at
            .as_deref()
            .map_or(String::new(), |at| format!("{at}, "));
        let _ = write!(out, "\n  time       {}: {at}{}", time.text, time.words);
    }
    let _ = write!(out, "\n  key        {}", found.key);
    for secret in &found.secrets {
        let verdict = match (secret.matched, secret.usable) {
            (true, _) => "matches",
            (false, true) => "does not match",
            (false, false) => "cannot be decoded as this recipe wants",
        };
        let _ = write!(out, "\n  secret     {}: {verdict}", secret.reference);
    }
    let _ = write!(out, "\n  signed     {}", found.template);
    match &found.base {
        Some(base) => {
            let _ = write!(out, "\n  base       {} bytes: {base}", found.base_bytes);
        }
        None => out.push_str("\n  base       cannot be made: something that is signed is missing"),
    }
    if !found.causes.is_empty() {
        out.push_str("\n\n  likely:");
    }
    for cause in &found.causes {
        let _ = write!(out, "\n    {cause}");
    }
    if !found.tried.is_empty() {
        out.push_str(
            "\n\n  tried without a match, one and two together, so that it is probably another secret or another body:",
        );
    }
    for tried in &found.tried {
        let _ = write!(out, "\n    {tried}");
    }
    out
}
