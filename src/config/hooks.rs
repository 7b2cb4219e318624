//! `hooks` of a system: which recipe signs, with which secrets, and how a request becomes an event.
//!
//! `recipe` is a built-in's name, or a table that changes one: `{ like = "hmac", header = "X-Shop-Signature", prefix = "sha256=" }`.

use std::path::Path;
use std::time::Duration;

use super::model::{
    Encoding, HeaderParser, HookMapping, Hooks, KeyDecoding, Recipe, TimestampUnit,
};
use super::reader::{Section, Value, quoted};
use super::recipes;
use super::suggest::{alternatives, did_you_mean};
use super::values::DAY;
use crate::event::expr::Kind;

/// How often `watch = true` asks.
const WATCH: Duration = Duration::from_secs(15 * 60);
/// What may stand between braces in a recipe's `base`.
const PLACEHOLDERS: &[&str] = crate::event::signature::PLACEHOLDERS;

/// `hooks`, if they can be verified.
pub(super) fn hooks(section: &Section<'_>, base: &Path, public_url: bool) -> Option<Hooks> {
    let expected = alternatives(recipes::NAMES.iter().copied());
    let recipe = section
        .require("recipe", &format!("{expected}, or a table"))
        .and_then(|value| recipe(&value, public_url));
    let secrets = section
        .require(
            "secrets",
            "at least one secret: without one anybody could forge this system's events",
        )
        .and_then(|value| value.secrets("a list such as [\"file:hook_secret\"]", base));
    let event = section.section("event");
    let mapping = recipe
        .as_ref()
        .map(|(_, mapping)| mapping_of(&event, mapping.clone()));
    let exclude = section.get("exclude").map(|value| excluded(&value));
    let watch = section.get("watch").and_then(|value| watched(&value));
    section.finish(&[]);
    let (recipe, _) = recipe?;
    Some(Hooks {
        recipe,
        secrets: secrets?,
        mapping: mapping?,
        exclude: exclude.unwrap_or_default(),
        watch,
    })
}

/// `true` for every quarter of an hour, or how often.
fn watched(value: &Value<'_>) -> Option<Duration> {
    let Some(text) = value.as_text() else {
        return value.boolean()?.then_some(WATCH);
    };
    // A word that is no duration is told of both forms.
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        value.wrong("true, false, or how often, such as \"15m\"", None);
        return None;
    }
    value.duration(Duration::from_secs(1)..=Duration::from_hours(24))
}

/// JSON Pointers into the body.
fn excluded(value: &Value<'_>) -> Vec<String> {
    let Some(items) = value.items() else {
        value.wrong("a list of JSON Pointers such as [\"/attempt\"]", None);
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| item.pointer(false))
        .collect()
}

/// `hooks.event` over the recipe's own mapping.
fn mapping_of(section: &Section<'_>, own: HookMapping) -> HookMapping {
    let template = |key, own: String| {
        section
            .get(key)
            .and_then(|value| value.expression(Kind::Hook))
            .unwrap_or(own)
    };
    let kind = section.get("type").and_then(|value| {
        let template = value.expression(Kind::Hook)?;
        if template.trim().is_empty() {
            value.wrong("a template that renders the event's type", None);
            return None;
        }
        Some(template)
    });
    let mapping = HookMapping {
        kind: kind.unwrap_or(own.kind),
        id: template("id", own.id),
        subject: template("subject", own.subject),
        time: template("time", own.time),
        key: template("key", own.key),
        ping: own.ping,
        ok_status: own.ok_status,
    };
    section.finish(&[]);
    mapping
}

/// `hooks.recipe`.
fn recipe(value: &Value<'_>, public_url: bool) -> Option<(Recipe, HookMapping)> {
    if value.is_table() {
        return value.section().and_then(|table| custom(&table, public_url));
    }
    let found = built_in(value)?;
    if signed_url(&found.0).is_some() && !public_url {
        value.error(
            &format!(
                "the recipe {} signs the URL that the sender calls, which is unknown",
                found.0.name
            ),
            Some("set site.public_url".to_owned()),
        );
    }
    Some(found)
}

/// The placeholder by which the address that the sender calls is part of what it signs, if it is.
fn signed_url(recipe: &Recipe) -> Option<&'static str> {
    ["{url}", "{hubspot_url}"]
        .into_iter()
        .find(|placeholder| recipe.base.contains(placeholder))
}

fn built_in(value: &Value<'_>) -> Option<(Recipe, HookMapping)> {
    let expected = format!(
        "{}, or a table",
        alternatives(recipes::NAMES.iter().copied())
    );
    let name = value.text(&expected)?;
    let found = recipes::built_in(name);
    if found.is_none() {
        value.wrong(
            &expected,
            did_you_mean(name, recipes::NAMES.iter().copied()),
        );
    }
    found
}

/// A table over a built-in recipe (`hmac` unless `like` says otherwise).
fn custom(section: &Section<'_>, public_url: bool) -> Option<(Recipe, HookMapping)> {
    let like = match section.get("like") {
        Some(value) => built_in(&value),
        None => recipes::built_in("hmac"),
    };
    let (mut recipe, mapping) = like?;
    recipe.name = format!("{} (changed)", recipe.name);
    let header = |key| {
        section
            .get(key)
            .and_then(|value| value.header_name())
            .map(|name| name.to_ascii_lowercase())
    };
    if let Some(name) = header("header") {
        recipe.header = name;
    }
    if let Some(name) = header("timestamp_header") {
        recipe.timestamp_header = Some(name);
    }
    if let Some(name) = header("id_header") {
        recipe.id_header = Some(name);
    }
    if let Some(parser) = parser(section) {
        recipe.parser = parser;
    }
    let keys = [
        ("raw", KeyDecoding::Raw),
        ("base64", KeyDecoding::Base64),
        ("whsec", KeyDecoding::Base64AfterPrefix),
        ("hex", KeyDecoding::Hex),
    ];
    if let Some(key) = section.get("key").and_then(|value| value.word(&keys)) {
        recipe.key = key;
    }
    let encodings = [("hex", Encoding::Hex), ("base64", Encoding::Base64)];
    if let Some(encoding) = section
        .get("encoding")
        .and_then(|value| value.word(&encodings))
    {
        recipe.encoding = encoding;
    }
    let units = [
        ("s", TimestampUnit::Seconds),
        ("ms", TimestampUnit::Milliseconds),
    ];
    if let Some(unit) = section
        .get("timestamp_unit")
        .and_then(|value| value.word(&units))
    {
        recipe.timestamp_unit = unit;
    }
    let base = section.get("base");
    if let Some(text) = base.as_ref().and_then(base_text) {
        recipe.base = text;
    }
    let has_time =
        recipe.timestamp_header.is_some() || matches!(recipe.parser, HeaderParser::Pairs { .. });
    if has_time {
        recipe.tolerance_past.get_or_insert(recipes::TOLERANCE);
        recipe.tolerance_future.get_or_insert(recipes::TOLERANCE);
    } else {
        recipe.tolerance_past = None;
        recipe.tolerance_future = None;
    }
    for (key, tolerance) in [
        ("tolerance", &mut recipe.tolerance_past),
        ("tolerance_future", &mut recipe.tolerance_future),
    ] {
        let Some(value) = section.get(key) else {
            continue;
        };
        let Some(duration) = value.duration(Duration::from_secs(1)..=DAY) else {
            continue;
        };
        if has_time {
            *tolerance = Some(duration);
        } else {
            value.error(
                "this recipe has no time stamp to tolerate",
                Some("add `timestamp_header`, or `pairs` with one".to_owned()),
            );
        }
    }
    section.finish(&[("algorithm", "algorithms other than HMAC-SHA-256")]);
    check_base(section, base.as_ref(), &recipe, has_time, public_url);
    Some((recipe, mapping))
}

/// `prefix`, `pairs` or `versioned`.
fn parser(section: &Section<'_>) -> Option<HeaderParser> {
    let prefix = section
        .get("prefix")
        .map(|value| value.text("what stands before the signature, such as \"sha256=\""));
    let versioned = section
        .get("versioned")
        .map(|value| value.filled("the version of the signatures, such as \"v1\""));
    let pairs = section.get("pairs").map(|value| {
        let table = value.section()?;
        let timestamp = table
            .require(
                "timestamp",
                "the name of the time stamp's pair, such as \"t\"",
            )
            .and_then(|value| value.filled("a name such as \"t\""));
        let signature = table
            .require(
                "signature",
                "the name of the signature's pair, such as \"v1\"",
            )
            .and_then(|value| value.filled("a name such as \"v1\""));
        table.finish(&[]);
        Some((timestamp?, signature?))
    });
    match (prefix, versioned, pairs) {
        (None, None, None) => None,
        (Some(prefix), None, None) => Some(HeaderParser::Prefix(prefix?.to_owned())),
        (None, Some(version), None) => Some(HeaderParser::Versioned(version?.to_owned())),
        (None, None, Some(pairs)) => {
            let (timestamp, signature) = pairs?;
            Some(HeaderParser::Pairs {
                timestamp: timestamp.to_owned(),
                signature: signature.to_owned(),
            })
        }
        _ => {
            section.error(
                "more than one of `prefix`, `versioned` and `pairs` is given",
                Some("a header is read in one way".to_owned()),
            );
            None
        }
    }
}

/// `base`, with known placeholders only.
fn base_text(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "what is signed, such as \"{timestamp}.{body}\"";
    let text = value.filled(EXPECTED)?;
    let mut good = true;
    for part in text.split('{').skip(1) {
        let name = part.split_once('}').map(|(name, _)| name);
        if !name.is_some_and(|name| PLACEHOLDERS.contains(&name)) {
            let shown = name.unwrap_or(part);
            value.error(
                &format!("unknown placeholder {}", quoted(&format!("{{{shown}}}"))),
                did_you_mean(shown, PLACEHOLDERS.iter().copied()).or_else(|| {
                    Some(format!(
                        "known: {}",
                        crate::event::signature::placeholders()
                    ))
                }),
            );
            good = false;
        }
    }
    good.then(|| text.to_owned())
}

/// What a recipe signs must be there, and what it promises to check must be signed.
fn check_base(
    section: &Section<'_>,
    base: Option<&Value<'_>>,
    recipe: &Recipe,
    has_time: bool,
    public_url: bool,
) {
    let error = |message: &str, suggestion: &str| match base {
        Some(value) => value.error(message, Some(suggestion.to_owned())),
        None => section.error(message, Some(suggestion.to_owned())),
    };
    let signs = |placeholder: &str| recipe.base.contains(placeholder);
    if !signs("{body}") {
        error(
            "the body is not signed, so that anyone could change it",
            "add {body}",
        );
    }
    if signs("{timestamp}") && !has_time {
        error(
            "{timestamp} is signed, but nothing says where it is read",
            "add `timestamp_header`, or `pairs`",
        );
    }
    if has_time && !signs("{timestamp}") {
        error(
            "the time stamp is not signed, so that anyone could renew an old message",
            "add {timestamp} to `base`",
        );
    }
    if signs("{id}") && recipe.id_header.is_none() {
        error(
            "{id} is signed, but nothing says where it is read",
            "add `id_header`",
        );
    }
    if let (Some(placeholder), false) = (signed_url(recipe), public_url) {
        error(
            &format!("{placeholder} is signed, but the URL that the sender calls is unknown"),
            "set site.public_url",
        );
    }
}
