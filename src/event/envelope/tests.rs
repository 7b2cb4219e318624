use super::*;
use proptest::prelude::*;

const MINIMAL: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t"}"#;

fn structured(text: &str) -> Result<Event, EnvelopeError> {
    from_structured(&Bytes::copy_from_slice(text.as_bytes()), Origin::Http)
}

/// The minimal event with one more member.
fn with(member: &str) -> String {
    MINIMAL.replace('}', &format!(",{member}}}"))
}

#[test]
fn a_structured_event_keeps_its_attributes_and_the_bytes_of_its_data() {
    let file = include_str!("../../../fixtures/events/order-created.json");
    let event = structured(file).unwrap();
    assert_eq!(event.kind, "order.created");
    assert_eq!(event.subject.as_deref(), Some("1042"));
    assert_eq!(
        event.time,
        Timestamp::parse_rfc3339("2026-11-23T19:14:05.250Z")
    );
    assert_eq!(event.schema_version.as_deref(), Some("2"));
    assert_eq!(event.idempotency_key.as_deref(), Some("order-1042-v1"));
    assert_eq!(event.content_type.as_deref(), Some("application/json"));
    assert_eq!(event.extension("sequence"), Some("17"));
    assert!(event.extension("traceparent").is_some());
    let start = file.find("\"data\": ").unwrap() + "\"data\": ".len();
    let end = file.rfind('}').unwrap();
    assert_eq!(event.data, file[start..end].trim_end().as_bytes());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    use EnvelopeProblem as P;
    let long = |n: usize| "x".repeat(n);
    for (text, at, problem) in [
        (MINIMAL.replace("\"id\":\"1\",", ""), "/id", P::Missing),
        (MINIMAL.replace("/s", ""), "/source", P::Empty),
        (
            MINIMAL.replace("\"t\"", "7"),
            "/type",
            P::Expected("a string"),
        ),
        (MINIMAL.replace("1.0", "0.3"), "/specversion", P::Version),
        (MINIMAL.replace("1.0", "1.0.2"), "/specversion", P::Version),
        (
            MINIMAL.replace("specversion", "specVersion"),
            "/specVersion",
            P::Name,
        ),
        (with(r#""id":"2""#), "/id", P::Duplicate),
        (with(r#""\u0069d":"2""#), "/id", P::Duplicate),
        (with(r#""a1":"x","a1":"x""#), "/a1", P::Duplicate),
        (with(r#""data":1,"data":1"#), "/data", P::Duplicate),
        (with(r#""trace-parent":"x""#), "/trace-parent", P::Name),
        (with(r#""a/b~":"x""#), "/a~1b~0", P::Name),
        (with(r#""":"x""#), "/", P::Name),
        (with(r#""subject":"""#), "/subject", P::Empty),
        (
            with(&format!(r#""subject":"{}""#, long(513))),
            "/subject",
            P::TooLong(512),
        ),
        (
            with(&format!(r#""ext":"{}""#, long(4097))),
            "/ext",
            P::TooLong(4096),
        ),
        (with(r#""subject":"a\u0000b""#), "/subject", P::Characters),
        (with(r#""ext":"\u009b31m""#), "/ext", P::Characters),
        (with(r#""time":"yesterday""#), "/time", P::Time),
        (with(r#""time":"2026-11-23 20:00:00""#), "/time", P::Time),
        (
            with(r#""time":1764000000"#),
            "/time",
            P::Expected("a string"),
        ),
        (
            with(r#""ext":{"a":1}"#),
            "/ext",
            P::Expected("a string, number or boolean"),
        ),
        (
            with(r#""data":1,"data_base64":"AA==""#),
            "/data_base64",
            P::TwoData,
        ),
        (with(r#""data_base64":"A""#), "/data_base64", P::Base64),
        (
            with(r#""data_base64":7"#),
            "/data_base64",
            P::Expected("a string"),
        ),
        ("[]".into(), "", P::Expected("an object")),
        ("7".into(), "", P::Expected("an object")),
    ] {
        let error = structured(&text).unwrap_err();
        assert_eq!((error.at.as_str(), error.problem), (at, problem), "{text}");
    }
    for text in ["", "{", "{}{}", "{\"a\":NaN}", "\u{feff}{}"] {
        let error = structured(text).unwrap_err();
        assert!(matches!(error.problem, P::Json(_)), "{text}: {error}");
    }
    let error = from_structured(&Bytes::from_static(b"{\"\xff\":1}"), Origin::Http).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn data_may_nest_as_deep_as_the_whole_body_may() {
    let nested = |depth: usize| {
        with(&format!(
            "\"data\":{}{}",
            "[".repeat(depth),
            "]".repeat(depth)
        ))
    };
    assert!(structured(&nested(127)).is_ok());
    let error = structured(&nested(128)).unwrap_err();
    assert!(error.to_string().contains("deeper"), "{error}");
}

#[test]
fn null_attributes_are_unset_and_extensions_may_be_numbers_and_booleans() {
    let event = structured(&with(
        r#""subject":null,"time":null,"data_base64":null,"sampled":true,"n":-5,"z":"","a":"ø""#,
    ))
    .unwrap();
    assert_eq!((event.subject.as_deref(), event.time), (None, None));
    assert_eq!(
        event.extensions,
        [("a", "ø"), ("n", "-5"), ("sampled", "true"), ("z", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert!(event.data.is_empty());
    assert_eq!(event.content_type, None);
}

#[test]
fn data_is_read_as_its_content_type_says() {
    for (member, data) in [
        (
            r#""data": {"b" : 1,"b":2.50} "#,
            &br#"{"b" : 1,"b":2.50}"#[..],
        ),
        (r#""data":"text""#, b"\"text\""),
        (r#""data":null"#, b"null"),
        (r#""datacontenttype":"text/plain","data":"a\nb""#, b"a\nb"),
        (
            r#""data":"a\u00f8","datacontenttype":"text/plain; charset=utf-8""#,
            "aø".as_bytes(),
        ),
        (
            r#""datacontenttype":"application/vnd.x+json","data":"t""#,
            b"\"t\"",
        ),
        (
            r#""datacontenttype":"application/pdf","data_base64":"JVBERg==""#,
            b"%PDF",
        ),
        (
            r#""datacontenttype":"application/xml","data":{"a":1}"#,
            br#"{"a":1}"#,
        ),
    ] {
        assert_eq!(structured(&with(member)).unwrap().data, data, "{member}");
    }
    let bad = with(r#""datacontenttype":"application/json","data_base64":"ew==""#);
    assert_eq!(structured(&bad).unwrap_err().at, "/data_base64");
}

#[test]
fn a_schema_version_of_its_own_beats_the_schemas_address() {
    let event = structured(&with(r#""dataschema":"urn:x:2""#)).unwrap();
    assert_eq!(event.schema_version.as_deref(), Some("urn:x:2"));
    let event = structured(&with(
        r#""dataschema":"urn:x:2","schemaversion":"3","e":"1""#,
    ))
    .unwrap();
    assert_eq!(event.schema_version.as_deref(), Some("3"));
    assert_eq!(event.extension("dataschema"), Some("urn:x:2"));
}

#[test]
fn a_batch_is_taken_or_refused_whole() {
    let file = include_str!("../../../fixtures/events/batch.json");
    let events = from_batch(&Bytes::from_static(file.as_bytes()), &Origin::Http).unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["customer.updated", "order.created", "newsletter.joined"]
    );
    assert_eq!(
        events[1].data,
        &br#"{"id":1043,"total":89.00,"currency":"NOK"}"#[..]
    );
    assert_eq!(events[2].data, &b"anna@example.com"[..]);

    let batch = |text: &str| from_batch(&Bytes::copy_from_slice(text.as_bytes()), &Origin::Http);
    assert_eq!(batch("[]").unwrap(), []);
    let error = batch(&format!("[{MINIMAL},{},7]", MINIMAL.replace("1.0", "2"))).unwrap_err();
    assert_eq!(error.at, "/1/specversion");
    assert_eq!(batch(&format!("[{MINIMAL},7]")).unwrap_err().at, "/1");
    assert_eq!(
        batch(MINIMAL).unwrap_err().problem,
        EnvelopeProblem::Expected("an array of events")
    );
    let many = format!("[{}]", vec![MINIMAL; MAX_BATCH + 1].join(","));
    assert_eq!(
        batch(&many).unwrap_err().problem,
        EnvelopeProblem::TooMany(MAX_BATCH)
    );
}

#[test]
fn every_line_of_a_file_is_an_event() {
    let file = include_str!("../../../fixtures/events/orders.ndjson");
    let events: Vec<_> = file
        .lines()
        .map(|line| from_json_line(line).unwrap())
        .collect();
    assert_eq!(events.len(), 5);
    assert_eq!(events[0].origin, Origin::Send);
    assert_eq!(
        events[0].data,
        &br#"{"id":2001,"total":12.10,"currency":"NOK"}"#[..]
    );
    assert!(events[4].data.starts_with(b"%PDF-1.7"));
}

#[test]
fn binary_mode_decodes_headers_once() {
    let binary = |extra: &[(&'static str, &'static str)], content_type, body: &'static str| {
        let base = [
            ("host", "x"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
        ];
        let headers: Vec<_> = base.iter().chain(extra).copied().collect();
        from_binary(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
            content_type,
            Bytes::from_static(body.as_bytes()),
            Origin::Http,
        )
    };
    for (raw, decoded) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%2525", "%25"),
        ("100%", "100%"),
        ("100%zz", "100%zz"),
        (r#""a \"quoted\" b""#, r#"a "quoted" b"#),
        ("ø", "ø"),
    ] {
        let event = binary(&[("ce-subject", raw)], None, "x").unwrap();
        assert_eq!(event.subject.as_deref(), Some(decoded), "{raw}");
    }
    let event = binary(
        &[("ce-idempotencykey", "k")],
        Some("application/json"),
        "{\"a\": 1.0}",
    )
    .unwrap();
    assert_eq!(event.idempotency_key.as_deref(), Some("k"));
    assert_eq!(event.data, &b"{\"a\": 1.0}"[..]);
    assert_eq!(event.content_type.as_deref(), Some("application/json"));

    for (extra, content_type, body, at) in [
        (&[("ce-id", "2")][..], None, "", "ce-id"),
        (&[("ce-time", "now")], None, "", "ce-time"),
        (&[("ce-subject", "a%00b")], None, "", "ce-subject"),
        (&[("ce-subject", "a%FFb")], None, "", "ce-subject"),
        (&[("ce-trace-parent", "x")], None, "", "ce-trace-parent"),
        (
            &[("ce-datacontenttype", "x/y")],
            None,
            "",
            "ce-datacontenttype",
        ),
        (&[], Some("application/json"), "{", ""),
    ] {
        assert_eq!(binary(extra, content_type, body).unwrap_err().at, at);
    }
    let error = from_binary(
        [("ce-id", &b"1"[..])].into_iter(),
        None,
        Bytes::new(),
        Origin::Http,
    )
    .unwrap_err();
    assert_eq!(
        (error.at.as_str(), error.problem),
        ("ce-specversion", EnvelopeProblem::Missing)
    );
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "[^\"\\\\\\x00-\\x1f]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""\u00e9\n\"""#.to_owned()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[ {}]", items.join(" ,"))),
            proptest::collection::vec(("[a-c]", inner), 0..5).prop_map(|members| {
                let members: Vec<_> = members
                    .iter()
                    .map(|(k, v)| format!("\"{k}\" :{v}"))
                    .collect();
                format!("{{{}}}", members.join(",\n"))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn data_round_trips_byte_for_byte(data in json_value(), blank in "[ \t\r\n]{0,3}") {
        let text = with(&format!("\"data\":{blank}{data}{blank}"));
        let event = structured(&text).unwrap();
        prop_assert_eq!(&event.data[..], data.as_bytes());
        let batch = from_batch(&Bytes::from(format!("[{text}{blank},{text}]")), &Origin::Http).unwrap();
        prop_assert_eq!(&batch[1].data[..], data.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let _ = from_structured(&bytes, Origin::Http);
        let _ = from_batch(&bytes, &Origin::Http);
        let _ = from_binary([("ce-id", &bytes[..]), ("ce-x", &bytes[..])].into_iter(), Some("application/json"), bytes.clone(), Origin::Http);
    }

    #[test]
    fn no_mutation_of_an_event_makes_it_panic(place in 0usize..1200, byte in any::<u8>(), cut in 0usize..1200) {
        let mut bytes = include_bytes!("../../../fixtures/events/order-created.json").to_vec();
        let place = place % bytes.len();
        bytes[place] = byte;
        bytes.truncate(cut.max(1));
        let _ = from_structured(&Bytes::from(bytes), Origin::Http);
    }
}
