//! Every preset reads, and what the user writes goes over it.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::model::{Auth, System};
use super::super::uses::Use;
use super::super::{Compared, Loaded, parse_with, report};
use super::{ALL, Preset};
use crate::record::map::{Clean, Currency, Kind, Paging, Source};

/// A preset of tests alone, so that what vendors change does not change them.
const TINY: &[Preset] = &[Preset {
    name: "tiny",
    label: "preset tiny",
    text: include_str!("../../../fixtures/config/tiny_preset.toml"),
}];

fn load(text: &str) -> Result<Loaded, String> {
    parse_with(text, Path::new("midwatch.toml"), TINY, Compared::Yes)
        .map_err(|errors| report::render(&errors))
}

fn tiny(own: &str) -> System {
    let text = format!("[systems.a]\npreset = \"tiny\"\n{own}");
    let loaded = load(&text).unwrap();
    assert_eq!(report::render(&loaded.warnings), "");
    loaded.config.systems["a"].clone()
}

fn wrong(own: &str) -> String {
    load(&format!("[systems.a]\npreset = \"tiny\"\n{own}")).unwrap_err()
}

/// With everything that a user must give, so that nothing of the preset lies idle.
fn whole(preset: &Preset) -> String {
    let brings = preset.brings();
    let has = |key: &str| brings.iter().any(|part| part == key);
    let mut text = format!(
        "[site]\npublic_url = \"https://shop.example\"\n[systems.a]\npreset = \"{}\"\nauth = {{ bearer = \"file:token\" }}\n",
        preset.name
    );
    if !has("url") {
        text.push_str("url = \"https://vendor.example\"\n");
    }
    if has("hooks") {
        let watch = if has("webhooks") {
            ", watch = true"
        } else {
            ""
        };
        text.push_str("hooks = { secrets = [\"file:hook\"]");
        text.push_str(watch);
        text.push_str(" }\n");
    }
    text
}

#[test]
fn every_preset_reads_without_a_complaint() {
    for preset in ALL {
        let loaded = parse_with(
            &whole(preset),
            Path::new("midwatch.toml"),
            ALL,
            Compared::Yes,
        )
        .map_err(|errors| report::render(&errors))
        .unwrap();
        assert_eq!(report::render(&loaded.warnings), "", "{}", preset.name);
        let system = &loaded.config.systems["a"];
        assert_eq!(system.preset.as_deref(), Some(preset.name));
        assert!(system.url.is_some());
        for (kind, map) in &system.records {
            let what = format!("{} {kind}", preset.name);
            assert!(map.layout.key.is_some(), "{what} has a key");
            assert!(map.layout.id.is_some(), "{what} has an id");
            assert!(map.lookup.is_some(), "{what} can be looked up");
            assert!(!map.layout.fields.is_empty(), "{what} has fields");
            if !map.events.is_empty() {
                assert!(map.read.is_some(), "{what} can be read again");
            }
        }
        assert!(!preset.title().is_empty() && !preset.brings().is_empty());
        assert_eq!(
            Preset::find(preset.name).map(|found| found.text),
            Some(preset.text)
        );
    }
    let names: Vec<_> = ALL.iter().map(|preset| preset.name).collect();
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn no_preset_names_a_secret() {
    for preset in ALL {
        let written = preset.text.lines().filter(|line| !line.starts_with('#'));
        for line in written {
            let code = line.split(" # ").next().unwrap_or(line);
            assert!(
                !code.contains("\"file:") && !code.contains("\"env:"),
                "{}: {line}",
                preset.name
            );
        }
    }
}

#[test]
fn a_system_that_says_nothing_is_its_preset() {
    let system = tiny("");
    assert_eq!(system.url.as_deref(), Some("https://api.tiny.example"));
    assert_eq!(system.headers, [("X-Version".to_owned(), "1".to_owned())]);
    assert_eq!(
        system.records.keys().collect::<Vec<_>>(),
        ["contact", "order"]
    );
    assert!(
        system.hooks.is_none(),
        "hooks without secrets are not there"
    );
    assert_eq!(system.auth, Auth::None, "a header's name is no credential");
    let order = &system.records["order"];
    assert!(order.create.is_some() && order.links.len() == 2);
}

#[test]
fn tables_are_read_as_one_and_everything_else_is_replaced() {
    let system = tiny(
        r#"
        url = "https://eu.tiny.example"
        headers = { "X-Version" = "2", "X-More" = "y" }
        auth = { value = "file:key" }
        hooks = { secrets = ["file:hook"] }
        [systems.a.records.order]
        object = "sales"
        fields.total = { at = "/sum", currency = "/sum_currency" }
        fields.status = { values = { done = "gone" } }
        fields.note = "/memo"
        fields.extra = { at = "/extra", type = "bool" }
        key = { at = "/ref" }
        refs.contact = "/buyer"
        create = { exists = [422] }
        [systems.a.records.product]
        key = "/sku"
        "#,
    );
    assert_eq!(system.url.as_deref(), Some("https://eu.tiny.example"));
    let headers: BTreeMap<_, _> = system.headers.iter().cloned().collect();
    assert_eq!(headers["X-Version"], "2");
    assert_eq!(headers["X-More"], "y");
    assert!(matches!(&system.auth, Auth::Header(name, _) if name == "X-Token"));
    let hooks = system.hooks.as_ref().unwrap();
    assert_eq!(
        (hooks.recipe.name.as_str(), hooks.mapping.kind.as_str()),
        ("hmac", "tiny.{{ body.topic }}")
    );
    assert_eq!(hooks.exclude, ["/try"]);
    assert_eq!(system.records.len(), 3);
    let order = &system.records["order"];
    assert_eq!(
        (order.object.as_str(), order.events.as_slice()),
        ("sales", &["order.*".to_owned()][..])
    );
    let total = &order.layout.fields["total"];
    assert_eq!(total.source, Source::At("/sum".to_owned()));
    let currency = Currency::At("/sum_currency".to_owned());
    assert_eq!(
        total.kind,
        Kind::Money {
            currency,
            number: true
        },
        "its type is the preset's"
    );
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let mut values = order.layout.fields["status"].values.clone();
    values.sort();
    assert_eq!(values, [pair("done", "gone"), pair("open", "1")]);
    let note = &order.layout.fields["note"];
    assert_eq!(note.source, Source::At("/memo".to_owned()));
    assert!(
        note.sensitive,
        "a pointer alone is its `at`: the rest stays"
    );
    assert!(order.layout.fields.contains_key("extra"));
    let key = order.layout.key.as_ref().unwrap();
    assert_eq!(
        (&key.from, key.clean.as_slice()),
        (&Source::At("/ref".to_owned()), &[Clean::Lower][..])
    );
    let create = order.create.as_ref().unwrap();
    assert_eq!(
        (create.url.as_str(), create.exists.as_slice()),
        ("/orders", &[422][..]),
        "a list is replaced whole"
    );
}

#[test]
fn false_removes_and_a_list_keeps_links() {
    let system = tiny(
        r#"
        limit = false
        [systems.a.records]
        contact = false
        [systems.a.records.order]
        lookup = false
        fields.note = false
        fields.status.values = false
        links = ["contact"]
        "#,
    );
    assert_eq!(system.limit, None);
    assert_eq!(system.records.keys().collect::<Vec<_>>(), ["order"]);
    let order = &system.records["order"];
    assert!(order.lookup.is_none() && order.create.is_some());
    assert!(!order.layout.fields.contains_key("note"));
    assert!(order.layout.fields["status"].values.is_empty());
    assert_eq!(order.links.keys().collect::<Vec<_>>(), ["contact"]);
    assert!(
        tiny("private = false").records.len() == 2,
        "a switch is only switched"
    );
}

#[test]
fn another_way_replaces_the_presets() {
    let system = tiny(
        r#"
        auth = { bearer = "file:token" }
        [systems.a.records.order]
        key = { value = "{{ data.a }}-{{ data.b }}" }
        list = { paging = { offset = "start", size = 50 } }
        fields.total = { type = "text" }
        [systems.a.records.contact]
        list = { paging = "link" }
        "#,
    );
    assert!(
        matches!(system.auth, Auth::Bearer(_)),
        "not the preset's header"
    );
    let order = &system.records["order"];
    assert!(matches!(
        &order.layout.key.as_ref().unwrap().from,
        Source::Computed(_)
    ));
    let paging = |kind: &str| system.records[kind].list.as_ref().unwrap().paging.clone();
    let param = "start".to_owned();
    assert_eq!(paging("order"), Paging::Offset { param, size: 50 });
    assert_eq!(paging("contact"), Paging::Link);
    assert_eq!(
        order.layout.fields["total"].kind,
        Kind::Text,
        "the preset's currency is left over"
    );
}

#[test]
fn what_is_wrong_points_at_whoever_wrote_it() {
    for (own, words) in [
        (
            "records.order.key = { at = \"number\" }",
            "midwatch.toml:3:28: systems.a.records.order.key.at: found \"number\"; expected a JSON Pointer such as \"/id\"; did you mean \"/number\"?",
        ),
        (
            "records.order.lookp = false",
            "midwatch.toml:3:15: systems.a.records.order.lookp: unknown key; did you mean `lookup`?",
        ),
        (
            "records.order.links = [\"contct\"]",
            "midwatch.toml:3:24: systems.a.records.order.links[0]: unknown link \"contct\" of the preset; did you mean `contact`?",
        ),
        (
            "hooks = { secrets = [\"file:s\"], recipe = { like = \"hmac\", base = \"{url}{body}\" } }",
            "midwatch.toml:3:66: systems.a.hooks.recipe.base: {url} is signed, but the URL that the sender calls is unknown; set site.public_url",
        ),
        // The preset says where a total is and what it is, so that its currency is what lacks.
        (
            "records.order.fields.total = { type = \"minor\", currency = false }",
            "midwatch.toml:3:22: systems.a.records.order.fields.total: no `currency`",
        ),
        (
            "records.contact.from = { basket = \"/x\" }",
            "midwatch.toml:3:35: systems.a.records.contact.from.basket: found a text; expected a table",
        ),
    ] {
        let said = wrong(own);
        assert!(said.contains(words), "{own}\n{said}");
        assert!(said.ends_with("1 error\n"), "{own}\n{said}");
    }
}

#[test]
fn check_says_what_is_in_use_and_why_the_rest_is_not() {
    let text = r#"
        [systems.a]
        preset = "tiny"
        limit = "1/s"
        records.order.fields.note = "/memo"

        [systems.b]
        preset = "tiny"
        hooks = { secrets = ["file:s"] }
        probe = false
        records.contact = { from = false }
        records.order = false

        [channels.slack.ops]
        webhook = "file:w"

        [paths.orders]
        route = "a.order -> a.order"
        owner = "anna"
        escalation = "slack:ops"
        runbook = "src/lib.rs"
        links = ["contact"]
        "#;
    let loaded = load(text).unwrap();
    let lines: Vec<String> = loaded.uses.iter().map(Use::lines).collect();
    assert_eq!(
        lines,
        [
            "systems.a takes from preset tiny:\n  url, probe, headers, records order (changed here; lookup, create, update, links, list, paging)\n  \
             not used: limit (replaced), auth (no auth of yours), hooks (no secrets), records contact",
            "systems.b takes from preset tiny:\n  url, limit, headers, hooks\n  \
             not used: probe (removed), auth (no auth of yours), records order (removed), records contact",
        ]
    );
}
