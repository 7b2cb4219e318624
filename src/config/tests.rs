//! What a good file becomes, and that no text at all brings the reader down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::model::{
    Auth, ClassOverride, Compare, Config, Encoding, HeaderParser, KeyDecoding, Lane, RateLimit,
    SecretRef, Sync, Timing,
};
use super::presets::Preset;
use super::{parse, report};
use crate::queue::model::Class;
use crate::record::map::Clean;
use crate::record::ownership::{MatchRule, Policy, Role, WhenDown};

mod contracts;
mod records;

const SHOP: &str = include_str!("../../fixtures/config/valid/shop.toml");
const RECIPES: &str = include_str!("../../fixtures/config/valid/recipes.toml");
const DEFAULTS: &str = include_str!("../../fixtures/config/valid/defaults.toml");

const OAUTH: &str = include_str!("../../fixtures/config/valid/oauth.toml");
const POLLING: &str = include_str!("../../fixtures/config/valid/polling.toml");
const EVENING: &str = include_str!("../../fixtures/config/valid/first_evening.toml");
const PRESETS: &str = include_str!("../../fixtures/config/valid/presets.toml");
const ENTITIES: &str = include_str!("../../fixtures/config/valid/entities.toml");
const RECORDS: &str = include_str!("../../fixtures/config/valid/records.toml");

/// What is cut up and put together again.
const FILES: [&str; 8] = [
    SHOP, RECIPES, DEFAULTS, RECORDS, OAUTH, EVENING, PRESETS, ENTITIES,
];

fn config(text: &str) -> Config {
    parse(text, Path::new("/etc/midwatch/midwatch.toml"))
        .map_err(|errors| report::render(&errors))
        .unwrap()
        .config
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn an_empty_file_is_all_defaults() {
    let config = config("");
    assert_eq!(config.site.name, "midwatch");
    assert_eq!(config.site.timezone, chrono_tz::UTC);
    assert_eq!(
        config.site.database,
        PathBuf::from("/etc/midwatch/midwatch.db")
    );
    assert_eq!(config.site.logs, PathBuf::from("/etc/midwatch/logs"));
    assert_eq!(config.ingest.listen.to_string(), "127.0.0.1:7420");
    assert_eq!(config.ingest.token, None);
    assert_eq!(config.ingest.max_body, 1 << 20);
    assert_eq!(config.ingest.dedupe, seconds(30 * 86_400));
    assert_eq!(config.limits.concurrency, 64);
    assert_eq!(config.limits.disk_reserve, 256 << 20);
    assert_eq!(config.retention.delivered, seconds(30 * 86_400));
    assert_eq!(config.retention.log, seconds(90 * 86_400));
    assert!(config.paths.is_empty() && config.systems.is_empty() && config.reconcile.is_empty());
    // SHA-256 of nothing begins e3b0c44298fc1c14.
    assert_eq!(config.hash as u64, 0xe3b0_c442_98fc_1c14);
}

#[test]
fn sections_and_systems_are_read() {
    let config = config(SHOP);
    assert_eq!(config.base, PathBuf::from("/etc/midwatch"));
    assert_eq!(&*config.text, SHOP);
    assert_eq!(config.site.timezone, chrono_tz::Europe::Oslo);
    assert_eq!(
        config.site.public_url.as_deref(),
        Some("https://shop.nordlys.example/_midwatch")
    );
    assert_eq!(
        config.site.database,
        PathBuf::from("/etc/midwatch/data/nordlys.db")
    );
    assert_eq!(config.site.group.as_deref(), Some("ops"));
    let file = |name: &str| SecretRef::File(Path::new("/etc/midwatch").join(name));
    assert_eq!(config.ingest.token, Some(file("ingest_token")));
    assert_eq!(config.ingest.max_body, 512 << 10);
    assert_eq!(
        config.systems["shop"].auth,
        Auth::Basic(file("woo_key"), file("woo_secret"))
    );
    assert_eq!(config.systems["crm"].auth, Auth::Bearer(file("crm_token")));
    assert_eq!(
        config.systems["crm"].url.as_deref(),
        Some("https://api.crm.example/v3")
    );
    assert_eq!(
        config.systems["crm"].limit,
        Some(RateLimit {
            count: 90,
            per: seconds(10)
        })
    );
    let key = SecretRef::Env("LEDGER_KEY".to_owned());
    assert_eq!(
        config.systems["ledger"].auth,
        Auth::Header("X-Api-Key".to_owned(), key)
    );
    assert!(config.systems["ledger"].private && !config.systems["crm"].private);
    let hooks = config.systems["shop"].hooks.as_ref().unwrap();
    assert_eq!(
        (hooks.mapping.ping, hooks.mapping.ok_status),
        (crate::config::model::Ping::Registration, 200)
    );
    assert_eq!(hooks.mapping.key, "{{ body.order_key }}");
    assert!(hooks.mapping.kind.contains("x-wc-webhook-topic"));
    let channel = &config.channels["webhook:pager"];
    assert!(channel.private && channel.name == "webhook:pager");
}

#[test]
fn paths_keep_file_order_and_pages_come_last() {
    let config = config(SHOP);
    let names: Vec<_> = config
        .paths
        .iter()
        .map(|path| (path.name.as_str(), path.lane))
        .collect();
    assert_eq!(
        names,
        [
            ("deals", Lane::Work),
            ("book", Lane::Work),
            ("badge", Lane::Work),
            ("page/slack:ops", Lane::Page),
            ("page/webhook:pager", Lane::Page),
        ]
    );
    let page = config.path("page/slack:ops").unwrap();
    assert_eq!((page.to.as_str(), page.events.len()), ("slack:ops", 0));
}

#[test]
fn a_paths_own_words_win_over_the_defaults_and_those_over_ours() {
    let config = config(SHOP);
    let deals = config.path("deals").unwrap();
    assert_eq!(
        (deals.from.as_str(), deals.to.as_str(), deals.sync),
        ("shop", "crm", Sync::Queue)
    );
    assert_eq!(
        (deals.owner.as_str(), deals.escalation.as_deref()),
        ("anna", Some("slack:ops"))
    );
    assert_eq!(
        deals.runbook,
        Some(PathBuf::from("/etc/midwatch/runbooks/receiver-down.md"))
    );
    assert_eq!(deals.request.method, "PUT");
    assert_eq!(
        deals.request.headers,
        [
            ("X-Status".to_owned(), "{{ data.status }}".to_owned()),
            ("X-Sent-By".to_owned(), "midwatch".to_owned())
        ]
    );
    assert_eq!(deals.schedule.len(), 10);
    assert_eq!(deals.schedule.last(), Some(&seconds(86_400)));
    assert_eq!(
        (deals.jitter, deals.timeout, deals.concurrency),
        (0.2, seconds(15), 4)
    );
    assert_eq!(
        (deals.breaker.min, deals.breaker.rate, deals.breaker.refused),
        (20, 0.5, 5)
    );
    assert_eq!(deals.due, Some(crate::duty::Due::After(seconds(12 * 3600))));
    assert_eq!(
        deals.classes,
        [
            ClassOverride {
                status: (409, 409),
                body_contains: None,
                class: Class::Delivered
            },
            ClassOverride {
                status: (500, 599),
                body_contains: Some("already exists".to_owned()),
                class: Class::Delivered
            },
        ]
    );
    let book = config.path("book").unwrap();
    assert_eq!(book.schedule, [0, 10, 60, 3600].map(seconds));
    assert_eq!(
        (book.breaker.min, book.breaker.refused, book.breaker.rate),
        (20, 3, 0.8)
    );
    assert_eq!(book.breaker.window, seconds(300));
    assert_eq!(
        (book.jitter, book.concurrency, book.on_dead_continue),
        (0.1, 1, true)
    );
    assert_eq!(book.request.key_header, "X-Request-Id");
    assert_eq!(
        config.path("badge").unwrap().schedule,
        [0, 30, 210].map(seconds)
    );

    let other = self::config(DEFAULTS);
    let one = other.path("one").unwrap();
    assert_eq!(
        (one.sync, one.request.method.as_str(), one.jitter),
        (Sync::Webhook, "PATCH", 0.0)
    );
    assert_eq!(one.timeout, Duration::from_millis(900));
    assert_eq!(other.path("two").unwrap().sync, Sync::Queue);
}

#[test]
fn recipes_of_ones_own_change_the_built_in_ones() {
    let config = config(RECIPES);
    let recipe = |system: &str| {
        config.systems[system]
            .hooks
            .as_ref()
            .unwrap()
            .recipe
            .clone()
    };
    let intranet = recipe("intranet");
    assert_eq!(intranet.header, "x-intranet-signature");
    assert_eq!(intranet.parser, HeaderParser::Prefix("sha256=".to_owned()));
    assert_eq!(
        (intranet.key, intranet.encoding),
        (KeyDecoding::Hex, Encoding::Hex)
    );
    assert_eq!(intranet.tolerance_past, None);
    let slack = recipe("slack");
    assert_eq!(slack.base, "v0:{timestamp}:{body}");
    assert_eq!(
        slack.timestamp_header.as_deref(),
        Some("x-slack-request-timestamp")
    );
    assert_eq!(slack.tolerance_past, Some(seconds(300)));
    let paddle = recipe("paddle");
    assert_eq!(
        (paddle.tolerance_past, paddle.tolerance_future),
        (Some(seconds(5)), Some(seconds(5)))
    );
    let svix = recipe("svix");
    assert_eq!(
        (svix.key, svix.id_header.as_deref()),
        (KeyDecoding::Base64AfterPrefix, Some("svix-id"))
    );
    // Stripe's secret is its whole text; Standard Webhooks' is base64 after the prefix.
    assert_eq!(recipe("stripe").key, KeyDecoding::Raw);
    assert_eq!(recipe("standard").key, KeyDecoding::Base64AfterPrefix);
}

#[test]
fn jobs_are_read() {
    let config = config(SHOP);
    let job = &config.reconcile[0];
    assert_eq!(job.timing, Timing::Every(seconds(3600)));
    assert_eq!(job.shares(), Some([0.01, 0.05]));
    let records = job.records().unwrap();
    assert_eq!(records.grace, seconds(1800));
    let items = records
        .sides
        .each_ref()
        .map(|side| side.map.list.as_ref().unwrap().shape.answer.as_str());
    assert_eq!(items, ["", "/results"]);
    let version = records.sides[0].map.layout.version.as_ref().unwrap();
    assert_eq!(version.at, "/date_modified_gmt");
    let fields: Vec<_> = records
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.compare))
        .collect();
    assert_eq!(
        fields,
        [
            ("status", Some(Compare::Casefold)),
            ("total", Some(Compare::Money))
        ]
    );
}

#[test]
fn the_shortest_budgets_end_when_they_say() {
    let webhook: Duration = config(SHOP).path("badge").unwrap().schedule.iter().sum();
    assert!(webhook.mul_f64(1.2) < seconds(300));
}

#[test]
fn more_paths_than_an_event_can_fan_out_to_are_refused() {
    use std::fmt::Write as _;

    let mut text = "[systems.a]\nurl = \"https://a.example\"\n".to_owned();
    for number in 0..257 {
        write!(
            text,
            "[paths.p{number}]\nroute = \"a -> a\"\nevents = [\"*\"]\n"
        )
        .unwrap();
    }
    let errors = parse(&text, Path::new("midwatch.toml")).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!(
        errors[0].to_string(),
        "midwatch.toml:3:2: paths: 257 paths; one event can go to at most 256"
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.toml");
    std::fs::File::create(&large)
        .unwrap()
        .set_len((1 << 20) + 1)
        .unwrap();
    for (file, words) in [
        (
            folder.path().join("none.toml"),
            "none.toml: no such file; `midwatch init` writes",
        ),
        (
            folder.path().to_owned(),
            "is a folder, not a file; name the midwatch.toml inside it",
        ),
        (large, "is 1048577 bytes long; at most 1 MiB is read"),
    ] {
        let errors = super::load(&file).unwrap_err();
        assert!(
            errors.len() == 1 && errors[0].to_string().contains(words),
            "{}",
            errors[0]
        );
    }
}

/// Reading must not panic, and must either take the text or say something printable about it.
fn survives(text: &str) {
    if let Err(errors) = parse(text, Path::new("midwatch.toml")) {
        assert!(!errors.is_empty());
        for error in &errors {
            let preset = error
                .file
                .to_str()
                .and_then(|file| file.strip_prefix("preset "));
            let read = preset
                .and_then(Preset::find)
                .map_or(text, |preset| preset.text);
            let lines = read.matches('\n').count() as u32 + 1;
            assert!(
                error.line >= 1 && error.line <= lines && error.column >= 1,
                "{error}"
            );
            assert!(
                !error.to_string().chars().any(char::is_control),
                "{error:?}"
            );
        }
        report::render(&errors);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn a_good_file_with_a_piece_replaced_is_read_or_refused(
        file in prop::sample::select(FILES.to_vec()),
        from in any::<prop::sample::Index>(),
        length in 0usize..40,
        new in prop_oneof![
            any::<String>(),
            prop::sample::select(vec![
                "", "\n", "\"", "[", "]", "{", "}", "=", ".", "''", "-1", "1e308", "nan", "0x", "true", "1979-05-27",
                "[[paths]]", "\"\\u0000\"", "{{", "%}", "\"file:\\u0000\"", "999999999999999999999", "->", "false", "/", "a.b -> c.d",
            ])
            .prop_map(str::to_owned),
        ],
    ) {
        let chars: Vec<char> = file.chars().collect();
        let from = from.index(chars.len());
        let to = (from + length).min(chars.len());
        let text: String = chars[..from].iter().copied().chain(new.chars()).chain(chars[to..].iter().copied()).collect();
        survives(&text);
    }

    #[test]
    fn a_good_file_with_lines_swapped_or_dropped_is_read_or_refused(
        file in prop::sample::select(FILES.to_vec()),
        first in any::<prop::sample::Index>(),
        second in any::<prop::sample::Index>(),
        drop in any::<bool>(),
    ) {
        let mut lines: Vec<&str> = file.lines().collect();
        let (first, second) = (first.index(lines.len()), second.index(lines.len()));
        lines.swap(first, second);
        if drop {
            lines.remove(first);
        }
        survives(&lines.join("\n"));
    }
}

#[test]
fn an_entity_is_read_with_its_rules_and_veils_what_it_calls_sensitive() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/valid/entities.toml");
    let config = super::load(&file).unwrap().config;
    let order = &config.entities["order"];
    assert_eq!(
        order.matches,
        [
            MatchRule {
                field: None,
                clean: Vec::new()
            },
            MatchRule {
                field: Some("email".to_owned()),
                clean: vec![Clean::Trim, Clean::Lower]
            }
        ]
    );
    let status = &order.fields["status"];
    assert_eq!(
        (status.owner.as_str(), status.policy),
        ("shop", Policy::Monotonic)
    );
    assert_eq!(status.order, ["pending", "processing", "completed"]);
    assert_eq!(status.compare, Some(Compare::Casefold));
    assert_eq!(status.when_owner_down, Some(WhenDown::Queue));
    assert_eq!(status.role("crm"), Role::Writer);
    let note = &order.fields["note"];
    assert_eq!(
        (note.policy, note.gap),
        (Policy::Newest, Duration::from_secs(60))
    );
    let rest = order.rest.as_ref().unwrap();
    assert_eq!(
        (rest.policy, rest.gap),
        (Policy::Owner, Duration::from_secs(5))
    );
    assert_eq!(rest.role("crm"), Role::CreateOnly);
    for system in ["shop", "crm"] {
        let fields = &config.systems[system].records["order"].layout.fields;
        let veiled: Vec<&str> = fields
            .iter()
            .filter(|(_, field)| field.sensitive)
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(veiled, ["email"], "{system}");
    }
}
