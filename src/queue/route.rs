//! Which paths an event takes, decided once, when it is accepted: type patterns, `when`, and the frozen `order_by`.
//! A pure function of configuration and event; the front door calls it for every event before the store sees it.
//!
//! An expression that fails holds the event with the reason: routing it anyway, or dropping it, would be a guess.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::mapped;
use crate::config::live::Runtime;
use crate::config::model::{Config, Lane, Path, Sync, System};
use crate::event::contract::{self, Unreadable};
use crate::event::expr::{Engine, ExprError, Scope};
use crate::event::{Event, Origin};
use crate::ids::MAX_FAN_OUT;
use crate::record::{RecordError, ownership, read};
use crate::store::Route;

/// Longest order key, in bytes: it is indexed.
pub const MAX_ORDER_KEY: usize = 256;

/// Where an event goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routing {
    /// To these paths; none means unrouted.
    Routes(Vec<Route>),
    /// Nowhere until someone looks: an expression failed.
    Hold(String),
}

/// Whether `pattern` (exact, or a prefix ending in `*`) covers the event type `kind`.
pub fn matches(pattern: &str, kind: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => kind.starts_with(prefix),
        None => pattern == kind,
    }
}

/// Routes an event by the configuration in force. An event whose source is a configured system takes only the paths that
/// begin there; any other source (a URI, a script's name) is judged by type, but what came by `POST /events` never takes
/// the paths of a system that signs its events: a made-up source would be the way around its signatures. Path order is file order, so deliveries keep their ordinals.
pub fn route(runtime: &Runtime, engine: &Engine, event: &Event) -> Routing {
    let mut routes = Vec::new();
    // The event's data is parsed at most once, whatever the number of paths, and not at all without an expression.
    let mut scope: Option<Scope> = None;
    let known = runtime.config.systems.contains_key(&event.source);
    for path in &runtime.config.paths {
        if !takes(path, &event.kind) || (known && path.from != event.source) {
            continue;
        }
        let from = runtime.config.systems.get(&path.from);
        if event.origin == Origin::Http && from.is_some_and(System::signs) {
            continue;
        }
        let Some(id) = runtime.id(&path.name) else {
            continue;
        };
        let mut order_key = None;
        // What the path asks of an event it asks of the version that it reads.
        let asks = path.when.is_some() || path.order_by.is_some();
        let read = contract::readable(&runtime.config, path, event, engine);
        if asks {
            let judged = match &read {
                Ok(Cow::Borrowed(event)) => judge(
                    engine,
                    path,
                    scope.get_or_insert_with(|| Scope::event(event)),
                ),
                Ok(Cow::Owned(cast)) => judge(engine, path, &Scope::event(cast)),
                Err(unreadable) => Err(unread(path, unreadable)),
            };
            match judged {
                Ok(Judged::Passed) => continue,
                Ok(Judged::Taken(key)) => order_key = key,
                Err(reason) => return Routing::Hold(reason),
            }
        }
        // What cannot be read is told by its attempt.
        let read = read.as_deref().unwrap_or(event);
        if by_record(path) {
            let key = mapped::order_key(&runtime.config, path, read, engine);
            order_key = key.map(indexable);
        }
        if routes.len() == MAX_FAN_OUT {
            return Routing::Hold(format!("it matches more than {MAX_FAN_OUT} paths"));
        }
        routes.push(Route {
            path: id,
            order_key,
            on_dead_continue: path.on_dead_continue,
            delay: path.schedule.first().copied().unwrap_or(Duration::ZERO),
            hold: may_not(&runtime.config, engine, path, read),
        });
    }
    Routing::Routes(routes)
}

/// Whether one path takes an event; else why not, in words. The rules of [`route`], for those who ask about one path.
pub fn why_not(config: &Config, engine: &Engine, path: &Path, event: &Event) -> Option<String> {
    if !takes(path, &event.kind) {
        return Some(format!("its type {} is none of the path's", event.kind));
    }
    if config.systems.contains_key(&event.source) && path.from != event.source {
        return Some(format!(
            "it comes from {}, not from {}",
            event.source, path.from
        ));
    }
    let judged = match contract::readable(config, path, event, engine) {
        Ok(event) => judge(engine, path, &Scope::event(&event)),
        Err(_) if path.when.is_none() && path.order_by.is_none() => return None,
        Err(unreadable) => Err(unread(path, &unreadable)),
    };
    match judged {
        Ok(Judged::Taken(_)) => None,
        Ok(Judged::Passed) => Some("the path's `when` is not true for it".to_owned()),
        Err(reason) => Some(format!("it would be held: {reason}")),
    }
}

/// Why a raw path's delivery of `event` is held, in words: it carries a record of a declared entity, which the receiver has
/// too, with a field that its source may not write. Nothing can be left out of what is sent as it is, so a person decides.
/// None for mapped paths: they leave out.
pub fn may_not(config: &Config, engine: &Engine, path: &Path, event: &Event) -> Option<String> {
    if path.mapping.is_some() || path.lane != Lane::Work || config.entities.is_empty() {
        return None;
    }
    let from = config.systems.get(&path.from)?;
    let to = config.systems.get(&path.to)?;
    let mut reasons: Vec<String> = Vec::new();
    for entity in config.entities.values() {
        if !to.records.contains_key(&entity.name) {
            continue;
        }
        let records = match read::from_event(&from.records, &entity.name, event, engine) {
            Ok(records) => records,
            Err(RecordError::NotCarried { .. }) => continue,
            Err(error) => {
                let kind = &entity.name;
                reasons.push(format!("who may write its {kind} cannot be told: {error}"));
                continue;
            }
        };
        // Also what is there and cannot be read would be written.
        let names: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| record.fields.keys().chain(record.unread.keys()))
            .map(String::as_str)
            .collect();
        let stripped = ownership::strip(entity, &path.from, names, false);
        let denied = stripped.left_out.iter();
        reasons.extend(denied.map(|one| one.reason.to_string()));
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Page paths take no events of their own accord, and scheduled paths deliver none.
fn takes(path: &Path, kind: &str) -> bool {
    path.lane == Lane::Work
        && path.sync != Sync::Scheduled
        && path.events.iter().any(|pattern| matches(pattern, kind))
}

/// Whether deliveries are ordered by their record's business key: mapped paths, unless they say something else.
fn by_record(path: &Path) -> bool {
    path.mapping.is_some() && path.order_by.is_none()
}

/// A business key that is too long to be indexed is as good in a hash: it only has to be the same.
pub fn indexable(key: String) -> String {
    if key.len() <= MAX_ORDER_KEY {
        return key;
    }
    hex::encode(Sha256::digest(key))
}

fn unread(path: &Path, why: &Unreadable) -> String {
    format!("path {}: {why}", path.name)
}

enum Judged {
    Passed,
    Taken(Option<String>),
}

fn judge(engine: &Engine, path: &Path, scope: &Scope) -> Result<Judged, String> {
    let held = |key: &'static str| {
        let name = &path.name;
        move |error: ExprError| format!("path {name}, {key}: {error}")
    };
    if let Some(when) = &path.when
        && !engine.bool_in(when, scope).map_err(held("when"))?
    {
        return Ok(Judged::Passed);
    }
    let Some(order_by) = &path.order_by else {
        return Ok(Judged::Taken(None));
    };
    let key = engine.text_in(order_by, scope).map_err(held("order_by"))?;
    if key.is_empty() || key.len() > MAX_ORDER_KEY {
        return Err(format!(
            "path {}, order_by: the value has {} bytes, expected 1 to {MAX_ORDER_KEY}",
            path.name,
            key.len()
        ));
    }
    Ok(Judged::Taken(Some(key)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::model::Config;
    use crate::event::testing::{config, event};
    use crate::ids::PathId;

    fn path(name: &str, events: &[&str]) -> Path {
        Path {
            events: events.iter().map(|&event| event.into()).collect(),
            ..crate::queue::testing::path(name)
        }
    }

    fn runtime(paths: Vec<Path>) -> Runtime {
        let numbers = paths
            .iter()
            .enumerate()
            .map(|(index, path)| (path.name.clone(), PathId(index as i64 + 1)))
            .collect();
        let config = Config { paths, ..config() };
        Runtime::new(Arc::new(config), numbers)
    }

    fn routed(paths: Vec<Path>, kind: &str, data: &str) -> Routing {
        route(&runtime(paths), &Engine::new(), &event(kind, data))
    }

    fn ids(routing: &Routing) -> Vec<i64> {
        match routing {
            Routing::Routes(routes) => routes.iter().map(|route| route.path.0).collect(),
            Routing::Hold(reason) => panic!("held: {reason}"),
        }
    }

    #[test]
    fn patterns_are_exact_or_a_prefix() {
        for (pattern, kind, expected) in [
            ("order.created", "order.created", true),
            ("order.created", "order.created.v2", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order*", "order", true),
            ("*", "anything", true),
            ("order.*", "Order.created", false),
        ] {
            assert_eq!(matches(pattern, kind), expected, "{pattern} {kind}");
        }
    }

    #[test]
    fn an_event_fans_out_to_every_path_that_wants_it_in_file_order() {
        let mut large = path("large", &["order.*"]);
        large.when = Some("data.total > 100".into());
        let mut nightly = path("nightly", &["*"]);
        nightly.sync = Sync::Scheduled;
        let mut page = path("page/slack:ops", &["*"]);
        page.lane = Lane::Page;
        let paths = vec![
            path("a", &["customer.*", "order.created"]),
            large,
            path("c", &["order.*"]),
            nightly,
            page,
        ];
        let route = |kind, data| ids(&routed(paths.clone(), kind, data));
        assert_eq!(route("order.created", r#"{"total":100.01}"#), [1, 2, 3]);
        assert_eq!(route("order.created", r#"{"total":99}"#), [1, 3]);
        assert_eq!(route("order.paid", r#"{"total":99}"#), [3]);
        assert_eq!(route("refund", r#"{"total":99}"#), Vec::<i64>::new());
    }

    #[test]
    fn an_event_of_a_configured_system_takes_only_paths_that_begin_there() {
        let mut from_shop = path("deals", &["*"]);
        from_shop.from = "shop".into();
        let mut from_payments = path("paid", &["*"]);
        from_payments.from = "payments".into();
        let mut runtime = runtime(vec![from_shop, from_payments]);
        let mut configured = Config::clone(&runtime.config);
        for name in ["shop", "payments"] {
            let system = crate::config::model::System::new(name);
            configured.systems.insert(name.into(), system);
        }
        runtime.config = Arc::new(configured);
        for (source, expected) in [
            ("shop", vec![1]),
            ("payments", vec![2]),
            ("https://shop.example/", vec![1, 2]),
        ] {
            let event = Event {
                source: source.into(),
                ..event("order.paid", "{}")
            };
            assert_eq!(
                ids(&route(&runtime, &Engine::new(), &event)),
                expected,
                "{source}"
            );
        }
    }

    #[test]
    fn order_by_is_frozen_as_text() {
        let mut ordered = path("deals", &["order.*"]);
        ordered.order_by = Some("data.customer.id".into());
        ordered.on_dead_continue = true;
        ordered.schedule = vec![Duration::from_secs(5)];
        let routing = routed(vec![ordered], "order.paid", r#"{"customer":{"id":7}}"#);
        assert_eq!(
            routing,
            Routing::Routes(vec![Route {
                path: PathId(1),
                order_key: Some("7".into()),
                on_dead_continue: true,
                delay: Duration::from_secs(5),
                hold: None,
            }])
        );
    }

    #[test]
    fn an_expression_that_fails_holds_the_event_and_says_which() {
        let with = |when: Option<&str>, order_by: Option<&str>| {
            let mut path = path("deals", &["order.*"]);
            path.when = when.map(Into::into);
            path.order_by = order_by.map(Into::into);
            vec![path]
        };
        let long = format!(r#"{{"k":"{}"}}"#, "x".repeat(MAX_ORDER_KEY + 1));
        for (paths, data, words) in [
            (
                with(Some("data.totl > 1"), None),
                "{}",
                ["path deals, when:", "`data.totl`"],
            ),
            (
                with(None, Some("data.k")),
                r#"{"k":null}"#,
                ["order_by", "null"],
            ),
            (
                with(None, Some("data.k")),
                r#"{"k":""}"#,
                ["order_by", "0 bytes"],
            ),
            (with(None, Some("data.k")), &long, ["order_by", "257 bytes"]),
            (with(Some("data.k"), None), "<xml/>", ["when", "not JSON"]),
        ] {
            let Routing::Hold(reason) = routed(paths, "order.paid", data) else {
                panic!("{words:?}: not held")
            };
            for word in words {
                assert!(reason.contains(word), "{reason}");
            }
        }
    }

    #[test]
    fn a_path_that_passes_needs_no_order_key() {
        let mut path = path("deals", &["order.*"]);
        path.when = Some("data.k is defined".into());
        path.order_by = Some("data.k".into());
        assert_eq!(
            ids(&routed(vec![path], "order.paid", "{}")),
            Vec::<i64>::new()
        );
    }

    #[test]
    fn a_mapped_path_is_ordered_by_its_records_key_unless_it_says_otherwise() {
        let text = "[defaults.path]\nowner = \"anna\"\nrunbook = \"r.md\"\n\
                    [systems.shop.records.order]\nevents = [\"order.*\"]\nkey = \"/number\"\nfields.n = \"/n\"\n\
                    [systems.crm]\nurl = \"https://crm.example\"\n[systems.crm.records.order]\nkey = \"/key\"\nid = \"/id\"\nfields.n = \"/n\"\n\
                    lookup = { url = \"/{{ key }}\", missing = [404] }\ncreate = { method = \"POST\", url = \"/\" }\n\
                    update = { method = \"PATCH\", url = \"/{{ id }}\" }\n\
                    [paths.a]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.*\"]\n\
                    [paths.b]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.*\"]\norder_by = \"key\"\n\
                    [paths.c]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.*\"]\norder_by = \"data.n\"\n";
        let parsed = crate::config::parse(text, std::path::Path::new("/tmp/midwatch.toml"));
        let config = parsed.expect("valid").config;
        let numbers = (1..).map(PathId);
        let names = config.paths.iter().map(|path| path.name.clone());
        let runtime = Runtime::new(Arc::new(config.clone()), names.zip(numbers).collect());
        let keys = |data: &str| -> Vec<Option<String>> {
            match route(&runtime, &Engine::new(), &event("order.paid", data)) {
                Routing::Routes(routes) => {
                    routes.into_iter().map(|route| route.order_key).collect()
                }
                Routing::Hold(reason) => panic!("held: {reason}"),
            }
        };
        let some = |key: &str| Some(key.to_owned());
        assert_eq!(
            keys(r#"{"number": 1042, "n": "x"}"#),
            [some("1042"), some("1042"), some("x")]
        );
        // What cannot be read is not held at the door: its attempt says why.
        assert_eq!(keys(r#"{"n": "x"}"#), [None, None, some("x")]);
        let long = "9".repeat(MAX_ORDER_KEY + 1);
        let key = keys(&format!(r#"{{"number": "{long}", "n": "x"}}"#)).remove(0);
        assert_eq!(key.map(|key| key.len()), Some(64), "a hash");
    }

    #[test]
    fn a_raw_paths_delivery_is_held_where_its_source_may_not_write_what_it_carries() {
        let text = "[defaults.path]\nowner = \"anna\"\nrunbook = \"r.md\"\n\
                    [systems.shop.records.order]\nevents = [\"order.*\"]\nkey = \"/number\"\nfields.n = \"/n\"\nfields.m = { at = \"/m\", type = \"number\" }\n\
                    [systems.crm]\nurl = \"https://crm.example\"\n[systems.crm.records.order]\nkey = \"/key\"\nid = \"/id\"\nfields.n = \"/n\"\nfields.m = \"/m\"\n\
                    lookup = { url = \"/{{ key }}\", missing = [404] }\ncreate = { method = \"POST\", url = \"/\" }\n\
                    update = { method = \"PATCH\", url = \"/{{ id }}\" }\n\
                    [systems.log]\nurl = \"https://log.example\"\n\
                    [paths.raw]\nroute = \"shop -> crm\"\nevents = [\"*\"]\nurl = \"/in\"\n\
                    [paths.log]\nroute = \"shop -> log\"\nevents = [\"*\"]\nurl = \"/in\"\n\
                    [paths.mapped]\nroute = \"shop.order -> crm.order\"\nevents = [\"order.*\"]\n";
        let parsed = crate::config::parse(text, std::path::Path::new("/tmp/midwatch.toml"));
        let mut config = parsed.expect("valid").config;
        let rule = |writers| ownership::OwnedField {
            owner: "crm".to_owned(),
            writers,
            policy: ownership::Policy::Owner,
            order: Vec::new(),
            gap: Duration::ZERO,
            compare: None,
            sensitive: false,
            when_owner_down: None,
        };
        let shop = ownership::Writer {
            system: "shop".to_owned(),
            create_only: true,
        };
        let entity = ownership::Entity {
            name: "order".to_owned(),
            fields: [
                ("n".to_owned(), rule(Vec::new())),
                ("m".to_owned(), rule(vec![shop])),
            ]
            .into(),
            ..ownership::Entity::default()
        };
        config.entities.insert("order".to_owned(), Arc::new(entity));
        let numbers = (1..).map(PathId);
        let names = config.paths.iter().map(|path| path.name.clone());
        let runtime = Runtime::new(Arc::new(config.clone()), names.zip(numbers).collect());
        for (kind, data, words) in [
            (
                "order.paid",
                r#"{"number": "1", "n": "x"}"#,
                Some("shop may not write n of order: crm owns it"),
            ),
            (
                "order.paid",
                r#"{"number": "1", "m": 3}"#,
                Some("shop may write m only when the order is made: crm owns it"),
            ),
            // It cannot be read, but would be written.
            (
                "order.paid",
                r#"{"number": "1", "m": "no number"}"#,
                Some("shop may write m only"),
            ),
            ("order.paid", "no JSON", Some("order cannot be told")),
            ("order.paid", r#"{"number": "1", "other": 1}"#, None),
            ("stock.moved", r#"{"number": "1", "n": "x"}"#, None),
        ] {
            let Routing::Routes(routes) = route(&runtime, &Engine::new(), &event(kind, data))
            else {
                panic!("{data}: the event is held")
            };
            let raw = routes[0].hold.as_deref();
            match words {
                Some(words) => assert!(raw.is_some_and(|raw| raw.contains(words)), "{raw:?}"),
                None => assert_eq!(raw, None, "{data}"),
            }
            assert!(routes[1..].iter().all(|route| route.hold.is_none()));
        }
    }
}
