use super::*;
use crate::event::Origin;
use crate::time::Timestamp;

fn event(data: &str) -> Event {
    Event {
        source: "shop".into(),
        id: "e-1".into(),
        kind: "order.updated".into(),
        subject: Some("1042".into()),
        time: Some(Timestamp(1_764_000_000_000)),
        content_type: Some("application/json".into()),
        idempotency_key: None,
        schema_version: None,
        extensions: vec![("traceparent".into(), "00-ab-cd-01".into())],
        data: Bytes::copy_from_slice(data.as_bytes()),
        origin: Origin::Http,
    }
}

const ORDER: &str = r#"{"id":1042,"total":12.10,"big":18446744073709551616,"currency":"NOK","note":null,
 "paid":true,"customer":{"email":" Anna@Example.COM "},"lines":[{"sku":"A<1>&'\"","price":5.00},{"sku":"B","price":7.10}]}"#;

#[test]
fn conditions() {
    let engine = Engine::new();
    let event = event(ORDER);
    for (expr, expected) in [
        ("data.total > 12", true),
        ("data.total > 100", false),
        ("data.total == 12.1", true),
        ("data.big > 18446744073709551615", true),
        ("data.paid and type == 'order.updated'", true),
        ("data.coupon is defined", false),
        ("data.coupon | default('') == ''", true),
        ("data.note | default('none') == 'none'", true),
        ("data.note", false),
        ("subject in ['1042', '7']", true),
        (
            "ext.traceparent is defined and ext.tracestate is not defined",
            true,
        ),
        ("data.lines | length == 2", true),
        ("source == 'shop' and id == 'e-1'", true),
        ("time >= '2025-11-24'", true),
    ] {
        assert_eq!(engine.eval_bool(expr, &event), Ok(expected), "{expr}");
    }
}

#[test]
fn what_is_missing_is_an_error_that_names_it() {
    let engine = Engine::new();
    let event = event(ORDER);
    for (expr, name) in [
        ("key", "`key`"),
        ("data.totl", "`data.totl`"),
        ("data.totl > 100", "`data.totl`"),
        ("data.customer.phone.work", "`data.customer.phone`"),
        ("not data.totl", "`data.totl`"),
        ("data.totl or true", "`data.totl`"),
        ("data['totl'] == 1", "totl"),
        ("nonsense", "`nonsense`"),
        ("'x' ~ data.totl", "`data.totl`"),
    ] {
        let error = engine.eval_bool(expr, &event).unwrap_err();
        assert!(error.message.contains(name), "{expr}: {error}");
        let error = engine.eval_text(expr, &event).unwrap_err();
        assert!(error.message.contains(name), "{expr}: {error}");
    }
    for (template, name) in [
        ("a {{ data.totl }} b", "`data.totl`"),
        ("{{ key }}", "`key`"),
        ("{{ data.totl | tojson }}", "`data.totl`"),
        ("{{ data.totl | lower }}", "`data.totl`"),
        ("{% for x in data.items %}{% endfor %}", "`data.items`"),
        ("{% if data.totl %}x{% endif %}", "`data.totl`"),
    ] {
        let error = engine.render(template, &event).unwrap_err();
        assert!(error.message.contains(name), "{template}: {error}");
    }
}

#[test]
fn null_is_never_printed_as_nothing() {
    let engine = Engine::new();
    let event = event(ORDER);
    assert!(engine.eval_text("data.note", &event).is_err());
    let error = engine
        .render("/contacts/{{ data.note }}", &event)
        .unwrap_err();
    assert!(error.message.contains("null"), "{error}");
    assert_eq!(
        engine.render("{{ data.note | tojson }}", &event).as_deref(),
        Ok("null")
    );
}

#[test]
fn texts_keep_the_spelling_of_numbers() {
    let engine = Engine::new();
    let event = event(ORDER);
    for (expr, text) in [
        ("data.total", "12.10"),
        ("data.big", "18446744073709551616"),
        ("data.id", "1042"),
        ("data.paid", "true"),
        ("data.customer.email | trim | lower", "anna@example.com"),
        ("(data.total | string) ~ ' ' ~ data.currency", "12.10 NOK"),
        ("data.total | minor", "1210"),
        ("data.lines[1].price", "7.10"),
        ("data.total * 2", "24.2"),
    ] {
        assert_eq!(
            engine.eval_text(expr, &event).as_deref(),
            Ok(text),
            "{expr}"
        );
    }
    for (template, text) in [
        ("{{ data.total }} {{ data.currency }}", "12.10 NOK"),
        (
            "{% for line in data.lines %}[{{ line.price }}]{% endfor %}",
            "[5.00][7.10]",
        ),
        (
            "{% if data.total > 9 %}{{ data.total }}{% endif %}",
            "12.10",
        ),
        ("{{ data.paid }}", "true"),
        ("/orders/{{ data.id }}", "/orders/1042"),
    ] {
        assert_eq!(
            engine.render(template, &event).as_deref(),
            Ok(text),
            "{template}"
        );
    }
}

#[test]
fn json_bodies_are_json_whatever_the_values_hold() {
    let engine = Engine::new();
    let event = event(ORDER);
    let body = engine
        .render(
            r#"{"id":{{ data.id | tojson }},"lines":{{ data.lines | tojson }},"mail":{{ data.customer.email | tojson }},"note":{{ data.note | tojson }},"total":{{ data.total | tojson }},"map":{{ {"b": 1, "a": data.total} | tojson }}}"#,
            &event,
        )
        .unwrap();
    assert!(crate::event::json::check(body.as_bytes()).is_ok(), "{body}");
    assert!(
        body.contains(r#"[{"sku":"A<1>&'\"","price":5.00},{"sku":"B","price":7.10}]"#),
        "{body}"
    );
    assert!(body.contains(r#""total":12.10"#), "{body}");
}

#[test]
fn work_and_output_are_bounded() {
    let engine = Engine::new();
    let event = event(ORDER);
    let error = engine
        .render(
            "{% for i in range(10000) %}{% for j in range(10000) %}{% endfor %}{% endfor %}",
            &event,
        )
        .unwrap_err();
    assert!(error.message.contains("too much work"), "{error}");
    let error = engine
        .render(
            "{% for i in range(9999) %}{{ 'x' * 1000 }}{% endfor %}",
            &event,
        )
        .unwrap_err();
    assert!(error.message.contains("4 MiB"), "{error}");
    assert!(engine.eval_text("'x' * 99999999", &event).is_err());
}

#[test]
fn a_template_reaches_no_other_template() {
    let engine = Engine::new();
    let event = event(r#"{"t":"{{ id }}"}"#);
    assert!(engine.render("{% include data.t %}", &event).is_err());
    assert!(engine.render("{% include 'x' %}", &event).is_err());
    // What an event holds is never taken for a template.
    assert_eq!(
        engine.render("{{ data.t }}", &event).as_deref(),
        Ok("{{ id }}")
    );
}

#[test]
fn data_that_is_no_json_fails_only_where_it_is_used() {
    let engine = Engine::new();
    let event = event("<order/>");
    assert_eq!(engine.eval_bool("subject == '1042'", &event), Ok(true));
    let error = engine.eval_bool("data.total > 1", &event).unwrap_err();
    assert!(error.message.contains("not JSON"), "{error}");
}

#[test]
fn hook_mappings_are_as_strict() {
    let engine = Engine::new();
    let scope = Scope::hook(
        [("x-topic", "order.created"), ("x-topic", "second")].into_iter(),
        Bytes::from_static(br#"{"id":7,"total":3.50,"sub":null}"#),
    );
    for (template, text) in [
        ("{{ headers['x-topic'] }}", "order.created"),
        ("shop.{{ body.id }}", "shop.7"),
        (
            "{% if body.customer is defined %}{{ body.customer.id }}{% endif %}",
            "",
        ),
        ("{{ body.total }}", "3.50"),
    ] {
        assert_eq!(engine.render_in(template, &scope).as_deref(), Ok(text));
    }
    for template in [
        "{{ body.customer.id }}",
        "{{ body.sub }}",
        "{{ headers.nope }}",
        "{{ data.id }}",
    ] {
        assert!(engine.render_in(template, &scope).is_err(), "{template}");
    }
}

#[test]
fn checking_finds_syntax_names_and_filters() {
    use Kind::{Expression, Hook, Template};
    for (text, kind) in [
        ("data.total > 100 and type == 'order.created'", Expression),
        ("data.a.b.c | default('x') | upper", Expression),
        (
            "data.lines | selectattr('paid') | list | length",
            Expression,
        ),
        ("{\"a\": {{ data.a | tojson }}}", Template),
        (
            "{% set x = data.y %}{{ x }}{% for l in data.lines %}{{ loop.index }}{{ l.a }}{% endfor %}",
            Template,
        ),
        ("{{ headers['x-event'] }}.{{ body.action }}", Hook),
        ("plain text", Template),
        ("{{ range(3) | list | tojson }}", Template),
    ] {
        assert_eq!(check(text, kind), Ok(()), "{text}");
    }
    for (text, kind, word) in [
        ("data.total >", Expression, ""),
        ("dta.total > 1", Expression, "`dta` is unknown"),
        ("{{ body.id }}", Template, "`body` is unknown"),
        ("{{ data.id }}", Hook, "`data` is unknown"),
        ("{{ data.id | tojsn }}", Template, "tojsn"),
        ("{% if data.x %}", Template, ""),
        ("{{ data.x is nonsens }}", Template, "nonsens"),
    ] {
        let error = check(text, kind).unwrap_err();
        assert!(error.message.contains(word), "{text}: {error}");
    }
    let error = check("a\nb {{ x y }}", Template).unwrap_err();
    assert_eq!(error.line, Some(2), "{error:?}");
    assert!(error.column.is_some_and(|column| column > 3), "{error:?}");
}
