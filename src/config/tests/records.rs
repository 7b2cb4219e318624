//! Record maps, the paths between them, and how systems are asked: what a good file becomes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::super::model::{
    Auth, Grant, Lane, LimitHeaders, Mapping, Mode, ResetUnit, SecretRef, Trust, Write,
};
use super::{EVENING, OAUTH, POLLING, RECORDS, config, seconds};
use crate::event::expr::Engine;
use crate::event::testing::event;
use crate::record::map::{
    Clean, Currency, Field, Format, Kind, Paging, Part, Shape, Source, VersionAt,
};
use crate::record::shape::{self, Filling};
use crate::record::{read, translate};

fn at(pointer: &str) -> Source {
    Source::At(pointer.to_owned())
}

fn plain(pointer: &str, kind: Kind) -> Field {
    Field {
        source: at(pointer),
        kind,
        values: Vec::new(),
        clean: Vec::new(),
        read_only: false,
        sensitive: false,
    }
}

#[test]
fn a_record_says_where_its_parts_are() {
    let config = config(RECORDS);
    let order = &config.systems["shop"].records["order"];
    assert_eq!(
        (order.system.as_str(), order.kind.as_str()),
        ("shop", "order")
    );
    assert_eq!(
        (order.object.as_str(), order.at.as_str()),
        ("order", "/order")
    );
    assert_eq!(order.events, ["order.*"]);
    let layout = &order.layout;
    assert_eq!(layout.id.as_deref(), Some("/id"));
    assert_eq!(layout.created.as_deref(), Some("/date_created_gmt"));
    let version = |at: &str, number| VersionAt {
        at: at.to_owned(),
        number,
    };
    assert_eq!(layout.version, Some(version("/date_modified_gmt", false)));
    let email = Part {
        from: at("/billing/email"),
        clean: vec![Clean::Trim, Clean::Lower],
    };
    assert_eq!(layout.refs["contact"], email);
    let money = |currency, number| Kind::Money { currency, number };
    assert_eq!(
        layout.fields["total"],
        plain("/total", money(Currency::At("/currency".to_owned()), false))
    );
    assert_eq!(layout.fields["paid"], plain("/paid", Kind::Bool));
    assert_eq!(layout.fields["items"], plain("/items", Kind::Number));
    let separator = Some(";".to_owned());
    assert_eq!(
        layout.fields["tags"],
        plain("/tags", Kind::Set { separator })
    );
    assert_eq!(
        layout.fields["note"],
        Field {
            sensitive: true,
            clean: vec![Clean::Trim],
            ..plain("/note", Kind::Text)
        }
    );
    let contact = &config.systems["shop"].records["contact"];
    assert_eq!(contact.from["order"].layout.key, Some(email));
    assert_eq!(contact.from["order"].many, None);
    let name = &contact.layout.fields["name"];
    assert!(matches!(&name.source, Source::Computed(text) if text.contains("data.last_name")));
    assert!(name.read_only, "a computed field cannot be written");
    let item = &config.systems["shop"].records["item"];
    assert_eq!(item.from["order"].many.as_deref(), Some("/line_items"));
    let payment = &config.systems["payments"].records["payment"];
    assert_eq!(payment.layout.version, Some(version("/version", true)));
    assert_eq!(payment.layout.fields["taken"].kind, Kind::Seconds);
    let deal = &config.systems["crm"].records["order"];
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(
        deal.layout.fields["status"].values,
        [
            pair("processing", "paid_stage"),
            pair("completed", "closedwon")
        ]
    );
    assert!(deal.layout.fields["owner"].read_only);
    let currency = Currency::Fixed("NOK".to_owned());
    assert_eq!(
        deal.layout.fields["total"].kind,
        Kind::Minor {
            currency,
            exponents: BTreeMap::from([("ISK".to_owned(), 2)])
        }
    );
}

#[test]
fn a_record_says_how_it_is_asked_for_and_written() {
    let config = config(RECORDS);
    let shape = |method: &str, url: &str| Shape {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: None,
        format: Format::Json,
        answer: String::new(),
        items: false,
        item: String::new(),
        missing: Vec::new(),
        exists: Vec::new(),
    };
    let order = &config.systems["shop"].records["order"];
    let found = Shape {
        missing: vec![404],
        ..shape("GET", "/orders/{{ key }}")
    };
    assert_eq!(order.lookup, Some(found));
    assert_eq!(order.update, Some(shape("PUT", "/orders/{{ id }}")));
    assert_eq!((&order.create, &order.delete), (&None, &None));
    let list = order.list.as_ref().unwrap();
    assert!(list.shape.items && list.since.as_deref().unwrap().contains("{{ since }}"));
    assert_eq!(
        list.paging,
        Paging::Page {
            param: "page".to_owned(),
            first: 1,
            size: 100,
            total_header: Some("X-WP-TotalPages".to_owned())
        }
    );
    let deal = &config.systems["crm"].records["order"];
    assert_eq!(deal.object, "deals");
    let lookup = deal.lookup.as_ref().unwrap();
    assert_eq!(
        (lookup.method.as_str(), lookup.answer.as_str(), lookup.items),
        ("POST", "/results", true),
        "a search with a body is posted"
    );
    assert!(
        lookup.missing.is_empty(),
        "a search that is not there found nothing out"
    );
    assert_eq!(
        deal.create,
        Some(Shape {
            exists: vec![409, 422],
            headers: vec![("X-Kind".to_owned(), "{{ kind }}".to_owned())],
            ..shape("POST", "/objects/{{ object }}")
        })
    );
    let one = "/objects/{{ object }}/{{ id }}";
    assert_eq!(deal.update, Some(shape("PATCH", one)));
    assert_eq!(deal.delete, Some(shape("DELETE", one)));
    assert_eq!(deal.links["contact"].method, "PUT");
    assert!(matches!(
        &deal.list.as_ref().unwrap().paging,
        Paging::Cursor { param, more: None, .. } if param == "after"
    ));
    let contact = &config.systems["crm"].records["contact"];
    assert_eq!(contact.create.as_ref().unwrap().format, Format::Form);
    assert_eq!(contact.create.as_ref().unwrap().exists, [409]);
    assert_eq!(contact.lookup.as_ref().unwrap().missing, [404, 410]);
}

#[test]
fn a_route_between_record_types_is_a_mapping() {
    let config = config(RECORDS);
    let expected = |source: &str, target: &str, write| Mapping {
        source: source.to_owned(),
        target: target.to_owned(),
        write,
        fields: Vec::new(),
        set: Vec::new(),
        needs: Vec::new(),
        links: Vec::new(),
        needs_within: seconds(86_400),
    };
    let contacts = config.path("contacts").unwrap();
    assert_eq!(
        contacts.mapping,
        Some(expected("contact", "contact", Write::Upsert))
    );
    assert_eq!(contacts.mode, Mode::Live);
    assert_eq!(
        contacts.events,
        ["customer.*", "order.*"],
        "without `events`, those that carry the record, also inside another"
    );
    assert_eq!(contacts.order_by, None);
    let deals = config.path("deals").unwrap();
    assert_eq!(deals.mode, Mode::Shadow);
    let contact = || vec!["contact".to_owned()];
    assert_eq!(
        deals.mapping,
        Some(Mapping {
            fields: ["name", "total", "status"].map(str::to_owned).to_vec(),
            needs: contact(),
            links: contact(),
            needs_within: seconds(7200),
            ..expected("order", "order", Write::Upsert)
        })
    );
    assert_eq!(
        deals.order_by, None,
        "`key` is the record's, not the event's"
    );
    let paid = config.path("paid").unwrap();
    let template = "{{ data.object.id }}-{{ fields.amount }}".to_owned();
    assert_eq!(
        paid.mapping,
        Some(Mapping {
            set: vec![("paid_ref".to_owned(), template)],
            ..expected("payment", "order", Write::Update)
        })
    );
    assert_eq!(paid.order_by.as_deref(), Some("subject"));
    let live_from = config.site.live_from.unwrap();
    assert_eq!(live_from.rfc3339(), "2026-11-23T19:00:00.000Z");
    assert_eq!(config.retention.ledger, Some(seconds(400 * 86_400)));
}

#[test]
fn oauth_says_where_tokens_come_from() {
    let config = config(OAUTH);
    let oauth = |name: &str| match &config.systems[name].auth {
        Auth::OAuth2(oauth) => oauth.clone(),
        other => panic!("{other:?}"),
    };
    let file = |name: &str| SecretRef::File(Path::new("/etc/midwatch").join(name));
    let machine = oauth("machine");
    assert_eq!(machine.grant, Grant::ClientCredentials);
    assert_eq!(
        machine.token_url,
        "https://login.machine.example/token?tenant=1"
    );
    assert_eq!(machine.client_id, SecretRef::Env("MACHINE_ID".to_owned()));
    assert_eq!(machine.client_secret, Some(file("machine_secret")));
    assert_eq!(machine.scope.as_deref(), Some("orders.read orders.write"));
    assert!(machine.secret_in_body && machine.redirect.is_none());
    let person = oauth("person");
    assert_eq!(person.grant, Grant::AuthorizationCode);
    assert_eq!(person.client_secret, None, "a public client has none");
    assert_eq!(
        person.redirect.as_deref(),
        Some("http://127.0.0.1:8765/back")
    );
    assert_eq!(
        person.authorize_url.as_deref(),
        Some("https://login.person.example/authorize")
    );
    assert!(!person.secret_in_body);
}

#[test]
fn a_system_says_how_it_is_asked() {
    let config = config(POLLING);
    let crm = &config.systems["crm"];
    assert_eq!(crm.poll, [("order".to_owned(), seconds(300))]);
    assert_eq!(
        crm.records["order"].events,
        ["order.changed"],
        "what is polled comes as an event of its own"
    );
    assert_eq!(
        crm.limit_headers,
        Some(LimitHeaders {
            remaining: "x-ratelimit-remaining".to_owned(),
            reset: Some("x-ratelimit-reset".to_owned()),
            reset_unit: ResetUnit::UnixSeconds,
        })
    );
    assert_eq!(crm.probe.as_deref(), Some("/me"));
    assert_eq!(
        crm.status.as_deref(),
        Some("https://status.crm.example/api")
    );
    assert_eq!(crm.trust, Trust::Event);
    assert_eq!(config.retention.ledger, None, "for ever");
    assert!(
        config.site.live_from.is_some(),
        "TOML's own date is read too"
    );
}

#[test]
fn a_first_evening_is_what_its_presets_make_of_it() {
    let config = config(EVENING);
    let shop = &config.systems["shop"];
    assert_eq!(shop.trust, Trust::Refetch);
    let hooks = shop.hooks.as_ref().unwrap();
    assert!(hooks.watch == Some(Duration::from_secs(900)) && hooks.recipe.name == "woocommerce");
    let text = EVENING.replace(r#"woo_hook"], watch = true"#, r#"woo_hook"], watch = "5m""#);
    let often = self::config(&text).systems["shop"].hooks.clone();
    assert_eq!(often.unwrap().watch, Some(Duration::from_secs(300)));
    let webhooks = shop.webhooks.as_ref().unwrap();
    assert_eq!(
        (webhooks.enabled.as_str(), webhooks.list.answer.as_str()),
        ("active", "")
    );
    assert_eq!(webhooks.enable.as_ref().unwrap().method, "PUT");
    let crm = &config.systems["crm"];
    assert!(crm.hooks.is_none() && crm.url.is_some());
    let deal = &crm.records["order"];
    let lookup = &deal.lookup.as_ref().unwrap().url;
    assert!(
        lookup.contains("&properties=")
            && lookup.contains("dealstage")
            && !lookup.contains("{{ properties"),
        "the properties that the map reads are asked for: {lookup}"
    );
    assert_eq!(deal.layout.fields["status"].values.len(), 3);
    let mapping = |name: &str| config.path(name).unwrap().mapping.clone().unwrap();
    assert_eq!(mapping("deals").needs, ["contact"]);
    assert_eq!(mapping("deals").links, ["contact"]);
    assert_eq!(mapping("paid").write, Write::Update);
    assert!(
        config
            .paths
            .iter()
            .filter(|path| path.lane == Lane::Work)
            .all(|path| path.mode == Mode::Shadow)
    );
}

/// The body that a path of the first evening would send for an event: as a new record, or as a change of one with an id.
fn sent(path: &str, kind: &str, data: &str, id: Option<&str>) -> (String, String, String) {
    let config = config(EVENING);
    let path = config.path(path).unwrap();
    let mapping = path.mapping.as_ref().unwrap();
    let (engine, event) = (Engine::new(), event(kind, data));
    let (from, to) = (&config.systems[&path.from], &config.systems[&path.to]);
    let records = read::from_event(&from.records, &mapping.source, &event, &engine).unwrap();
    let [record] = records.as_slice() else {
        panic!("{records:?}");
    };
    let target = &to.records[&mapping.target];
    let source = &from.records[&mapping.source];
    let wanted = translate(record, source, target, mapping, &event, &engine).unwrap();
    let key = record
        .refs
        .get(&mapping.target)
        .or(record.key.as_ref())
        .unwrap();
    let shape = if id.is_some() {
        &target.update
    } else {
        &target.create
    };
    let filling = Filling {
        key: Some(key),
        id,
        record: Some(&wanted),
        ..Filling::default()
    };
    let base = reqwest::Url::parse(to.url.as_ref().unwrap()).unwrap();
    let request =
        shape::request(&base, target, shape.as_ref().unwrap(), &filling, &engine).unwrap();
    let body = String::from_utf8(request.body.to_vec()).unwrap();
    (
        key.clone(),
        format!("{} {}", request.method, request.url),
        body,
    )
}

#[test]
fn a_first_evening_carries_the_vendors_own_events_over() {
    let order = r#"{"id":1042,"number":"1042","status":"processing","currency":"NOK","total":"349.00","date_created_gmt":"2026-11-24T19:00:00","date_modified_gmt":"2026-11-24T19:05:00","transaction_id":"","customer_note":"","billing":{"email":" Kari@Example.no","first_name":"Kari","last_name":"Nordmann","phone":"","company":"","city":"Oslo","country":"NO"}}"#;
    let (key, request, body) = sent("contacts", "order.created", order, None);
    assert_eq!(key, "kari@example.no");
    assert_eq!(
        request,
        "POST https://api.hubapi.com/crm/v3/objects/contacts"
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["properties"]["email"], "kari@example.no");
    assert_eq!(json["properties"]["firstname"], "Kari");

    let (key, request, body) = sent("deals", "order.updated", order, None);
    assert_eq!(
        (key.as_str(), request.as_str()),
        ("1042", "POST https://api.hubapi.com/crm/v3/objects/deals")
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["properties"]["woo_order_id"], "1042");
    assert_eq!(
        json["properties"]["dealstage"], "paid_stage",
        "the user's table"
    );
    assert_eq!(json["properties"]["amount"], "349.00");

    let paid = r#"{"id":"evt_1","type":"payment_intent.succeeded","created":1795550000,"data":{"object":{"id":"pi_1","object":"payment_intent","amount":34900,"amount_received":34900,"currency":"nok","status":"succeeded","created":1795550000,"metadata":{"order_id":"1042"}}}}"#;
    let refunded = r#"{"id":"evt_2","type":"charge.refunded","created":1795560000,"data":{"object":{"id":"ch_1","object":"charge","amount":34900,"amount_refunded":1000,"currency":"nok","payment_intent":"pi_1","metadata":{"order_id":"1042"}}}}"#;
    for (kind, data) in [
        ("payment_intent.succeeded", paid),
        ("charge.refunded", refunded),
    ] {
        let (key, request, body) = sent("paid", kind, data, Some("1042"));
        assert_eq!(key, "1042", "the order's, by the payment's reference");
        assert_eq!(
            request,
            "PUT https://shop.nordlys.example/wp-json/wc/v3/orders/1042"
        );
        assert_eq!(body, r#"{"transaction_id":"pi_1"}"#);
    }
}
