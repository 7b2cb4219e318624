use super::*;
use crate::config::model::HeaderParser;

const MINUTES_5: Option<Duration> = Some(Duration::from_secs(300));

fn plain(name: &str, header: &str, prefix: &str, encoding: Encoding) -> Recipe {
    Recipe {
        name: name.into(),
        header: header.into(),
        parser: HeaderParser::Prefix(prefix.into()),
        key: KeyDecoding::Raw,
        base: "{body}".into(),
        encoding,
        timestamp_header: None,
        id_header: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance_past: None,
        tolerance_future: None,
    }
}

fn github() -> Recipe {
    plain("github", "x-hub-signature-256", "sha256=", Encoding::Hex)
}

fn shopify() -> Recipe {
    plain("shopify", "x-shopify-hmac-sha256", "", Encoding::Base64)
}

fn woocommerce() -> Recipe {
    plain(
        "woocommerce",
        "x-wc-webhook-signature",
        "",
        Encoding::Base64,
    )
}

fn stripe() -> Recipe {
    Recipe {
        parser: HeaderParser::Pairs {
            timestamp: "t".into(),
            signature: "v1".into(),
        },
        base: "{timestamp}.{body}".into(),
        tolerance_past: MINUTES_5,
        tolerance_future: MINUTES_5,
        ..plain("stripe", "stripe-signature", "", Encoding::Hex)
    }
}

fn standard() -> Recipe {
    Recipe {
        parser: HeaderParser::Versioned("v1".into()),
        key: KeyDecoding::Base64AfterPrefix,
        base: "{id}.{timestamp}.{body}".into(),
        timestamp_header: Some("webhook-timestamp".into()),
        id_header: Some("webhook-id".into()),
        tolerance_past: MINUTES_5,
        tolerance_future: MINUTES_5,
        ..plain(
            "standard-webhooks",
            "webhook-signature",
            "",
            Encoding::Base64,
        )
    }
}

/// The signature made the slow way, apart from the code under test.
fn sign(key: &[u8], base: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(base.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn check(
    recipe: &Recipe,
    secrets: &[&str],
    headers: &[(&str, &str)],
    body: &str,
    now: i64,
) -> Result<Verified, SignatureError> {
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    verify(
        recipe,
        secrets,
        Signed {
            method: "POST",
            headers: &headers,
            url: Some("https://shop.example/hooks/x"),
            body: body.as_bytes(),
        },
        Timestamp(now * 1000),
    )
}

const OK: Result<Verified, SignatureError> = Ok(Verified {
    secret: 0,
    at: None,
});

#[test]
fn the_example_of_githubs_documentation() {
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let header = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let secret = ["It's a Secret to Everybody"];
    let name = "x-hub-signature-256";
    let body = "Hello, World!";
    assert_eq!(check(&github(), &secret, &[(name, header)], body, 0), OK);
    let upper = format!("sha256={}", header[7..].to_ascii_uppercase());
    assert_eq!(check(&github(), &secret, &[(name, &upper)], body, 0), OK);
    for (headers, body, secrets, why) in [
        (
            &[(name, header)][..],
            "Hello, World",
            &secret,
            SignatureError::NoMatch,
        ),
        (
            &[(name, header)],
            body,
            &["another"],
            SignatureError::NoMatch,
        ),
        (&[], body, &secret, SignatureError::Missing(name.into())),
    ] {
        assert_eq!(check(&github(), secrets, headers, body, 0), Err(why));
    }
    for bad in [
        "",
        "sha1=abc",
        "sha256=",
        "sha256=zz",
        "sha256=7571",
        &header[7..],
    ] {
        let error = check(&github(), &secret, &[(name, bad)], body, 0).unwrap_err();
        assert!(
            matches!(error, SignatureError::Malformed { .. }),
            "{bad}: {error}"
        );
    }
    let twice = [(name, header), (name, header)];
    let error = check(&github(), &secret, &twice, body, 0).unwrap_err();
    assert!(error.to_string().contains("twice"), "{error}");
}

#[test]
fn the_example_of_the_standard_webhooks_specification() {
    // https://github.com/standard-webhooks/standard-webhooks, the reference libraries' shared vector.
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = r#"{"test": 2432232314}"#;
    let headers = |signature| {
        [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", signature),
        ]
    };
    let good = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let now = 1_614_265_330;
    let verified = Ok(Verified {
        secret: 0,
        at: Some(Timestamp(now * 1000)),
    });
    assert_eq!(
        check(&standard(), &[secret], &headers(good), body, now),
        verified
    );
    // The prefix is optional, other versions and other signatures stand beside it.
    let bare = &secret["whsec_".len()..];
    assert_eq!(
        check(&standard(), &[bare], &headers(good), body, now),
        verified
    );
    let several = format!("v1a,xyz v1,AAAA {good} v2,{}", &good[3..]);
    assert_eq!(
        check(&standard(), &[secret], &headers(&several), body, now),
        verified
    );

    let unversioned = good.replace("v1,", "v2,");
    for (signature, now, secret, expected) in [
        (good, now + 300, secret, None),
        (good, now - 300, secret, None),
        (good, now + 301, secret, Some("ago")),
        (good, now - 301, secret, Some("ahead")),
        (unversioned.as_str(), now, secret, Some("malformed")),
        (good, now, "whsec_AAAA", Some("no secret matches")),
        (good, now, "whsec_?!", Some("cannot be decoded")),
        (good, now, "", Some("cannot be decoded")),
    ] {
        let result = check(&standard(), &[secret], &headers(signature), body, now);
        match expected {
            None => assert_eq!(result, verified),
            Some(words) => {
                let error = result.unwrap_err().to_string();
                assert!(error.contains(words), "{error}");
            }
        }
    }
    // The id and the time are signed too.
    let mut other = headers(good);
    other[0].1 = "msg_other";
    let result = check(&standard(), &[secret], &other, body, now);
    assert_eq!(result, Err(SignatureError::NoMatch));
    let mut other = headers(good);
    other[1].1 = "1614265331";
    let result = check(&standard(), &[secret], &other, body, now);
    assert_eq!(result, Err(SignatureError::NoMatch));
    let missing = check(&standard(), &[secret], &headers(good)[1..], body, now);
    assert_eq!(missing, Err(SignatureError::Missing("webhook-id".into())));
}

#[test]
fn stripes_secret_is_the_whole_text_and_its_header_is_pairs() {
    let secret = "whsec_test_secret";
    let body = r#"{"id":"evt_1","object":"event"}"#;
    let signature = hex::encode(sign(secret.as_bytes(), &format!("1700000000.{body}")));
    let header = format!("t=1700000000,v0=deadbeef,v1={signature}");
    let verified = Ok(Verified {
        secret: 0,
        at: Some(Timestamp(1_700_000_000_000)),
    });
    let try_with = |header: &str, secrets: &[&str], now| {
        check(
            &stripe(),
            secrets,
            &[("stripe-signature", header)],
            body,
            now,
        )
    };
    assert_eq!(try_with(&header, &[secret], 1_700_000_010), verified);
    // Two signatures while a secret is rolled, in either order.
    let rolled = format!("t=1700000000,v1={},v1={signature}", "0".repeat(64));
    assert_eq!(try_with(&rolled, &[secret], 1_700_000_010), verified);
    for (header, now, words) in [
        (
            header.replace("t=1700000000", "t=1700000001"),
            1_700_000_010,
            "no secret matches",
        ),
        (
            header.replace("t=1700000000,", ""),
            1_700_000_010,
            "no time stamp",
        ),
        (format!("t=1,{header}"), 1_700_000_010, "two time stamps"),
        (header.replace("v1=", "v2="), 1_700_000_010, "malformed"),
        (header.clone(), 1_700_000_301, "ago"),
        (header.clone(), 1_699_999_699, "ahead"),
    ] {
        let error = try_with(&header, &[secret], now).unwrap_err().to_string();
        assert!(error.contains(words), "{header}: {error}");
    }
}

#[test]
fn any_of_the_secrets_in_rotation_may_have_signed() {
    for (recipe, header) in [
        (shopify(), "x-shopify-hmac-sha256"),
        (woocommerce(), "x-wc-webhook-signature"),
    ] {
        let body = "{\"id\": 1}\n";
        let signature = base64(&sign(b"old", body));
        let headers = [(header, signature.as_str())];
        let found = |secrets: &[&str]| check(&recipe, secrets, &headers, body, 0).map(|v| v.secret);
        assert_eq!(found(&["old"]), Ok(0));
        assert_eq!(found(&["new", "old"]), Ok(1));
        assert_eq!(
            found(&["", "old"]),
            Ok(1),
            "a broken secret does not hide a good one"
        );
        assert_eq!(found(&["new"]), Err(SignatureError::NoMatch));
        assert!(found(&[]).unwrap_err().is_ours());
        assert!(found(&[""]).unwrap_err().is_ours());
        // One byte of the body, even a blank at its end, is another body.
        let result = check(&recipe, &["old"], &headers, body.trim_end(), 0);
        assert_eq!(result, Err(SignatureError::NoMatch));
    }
}

#[test]
fn recipes_of_ones_own() {
    // Slack's shape: `v0:{timestamp}:{body}`, time in a header of its own; and one that signs the URL, in milliseconds.
    let slack = Recipe {
        base: "v0:{timestamp}:{body}".into(),
        timestamp_header: Some("x-slack-request-timestamp".into()),
        tolerance_past: MINUTES_5,
        tolerance_future: MINUTES_5,
        ..plain("slack", "x-slack-signature", "v0=", Encoding::Hex)
    };
    let signature = format!("v0={}", hex::encode(sign(b"s", "v0:100:a=b")));
    let headers = [
        ("x-slack-signature", signature.as_str()),
        ("x-slack-request-timestamp", "100"),
    ];
    assert!(check(&slack, &["s"], &headers, "a=b", 100).is_ok());
    assert_eq!(
        check(&slack, &["s"], &headers[..1], "a=b", 100),
        Err(SignatureError::Missing("x-slack-request-timestamp".into()))
    );

    let hubspot = Recipe {
        base: "POST{url}{body}{timestamp}".into(),
        timestamp_header: Some("x-time".into()),
        timestamp_unit: TimestampUnit::Milliseconds,
        tolerance_past: MINUTES_5,
        key: KeyDecoding::Hex,
        ..plain("hubspot", "x-sig", "", Encoding::Base64)
    };
    let base = "POSThttps://shop.example/hooks/x{}100000";
    let signature = base64(&sign(&[0xab, 0xcd], base));
    let headers = [("x-sig", signature.as_str()), ("x-time", "100000")];
    let verified = check(&hubspot, &["abcd"], &headers, "{}", 100).unwrap();
    assert_eq!(verified.at, Some(Timestamp(100_000)));

    for (base, words) in [
        ("{body", "closed"),
        ("{bdy}", "placeholders"),
        ("{id}", "id_header"),
    ] {
        let recipe = Recipe {
            base: base.into(),
            ..hubspot.clone()
        };
        let error = check(&recipe, &["abcd"], &headers, "{}", 100).unwrap_err();
        assert!(
            error.is_ours() && error.to_string().contains(words),
            "{error}"
        );
    }
}
