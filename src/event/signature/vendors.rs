//! Each built-in recipe against an example that its vendor published, and against everything that must not pass.

use super::*;
use crate::config::recipes::built_in;

/// A request that a vendor signed.
struct Example {
    recipe: &'static str,
    secret: &'static str,
    method: &'static str,
    url: &'static str,
    /// Header names and values; the first carries the signature.
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    /// When it was signed, in milliseconds; none where no time is signed.
    at: Option<i64>,
}

const EXAMPLES: &[Example] = &[
    // HubSpot's own library: hubspot-api-python, tests/spec/utils/test_signature.py, `test_get_signature__v3`.
    Example {
        recipe: "hubspot",
        secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        method: "POST",
        url: "https://www.example.com/webhook_uri",
        headers: &[
            (
                "x-hubspot-signature-v3",
                "HPW73RUtKmcYoEDADG0s6MmGFWUzWJKAW07r8RDgcQw=",
            ),
            ("x-hubspot-request-timestamp", "15000000"),
        ],
        body: "{'example_field':'example_value'}",
        at: Some(15_000_000),
    },
    // Of an address with escapes HubSpot publishes no signature; this one was computed with Python's hmac over
    // `POSThttps://www.example.com/webhook_uri?to=anna@x.example&at=12:30/a%20b%25{}1700000000000`.
    Example {
        recipe: "hubspot",
        secret: "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        method: "POST",
        url: "https://www.example.com/webhook_uri?to=anna%40x.example&at=12%3A30%2fa%20b%25",
        headers: &[
            (
                "x-hubspot-signature-v3",
                "IYKB7/qK3FRoBg9EotJkVIOEVbSYtPRY2yun2C2tP+I=",
            ),
            ("x-hubspot-request-timestamp", "1700000000000"),
        ],
        body: "{}",
        at: Some(1_700_000_000_000),
    },
    // https://docs.slack.dev/authentication/verifying-requests-from-slack, the worked example.
    Example {
        recipe: "slack",
        secret: "8f742231b10e8888abcd99yyyzzz85a5",
        method: "POST",
        url: "https://shop.example/hooks/slack",
        headers: &[
            (
                "x-slack-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
            ("x-slack-request-timestamp", "1531420618"),
        ],
        body: "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
        at: Some(1_531_420_618_000),
    },
    // Paddle's own library: paddle-python-sdk, tests/Unit/Notification/test_Verifier.py. Two signatures, one of them none.
    Example {
        recipe: "paddle",
        secret: "pdl_ntf_01hbpjmytsa32fhr36nqgc3kgb_WvRO0eL4Bj9rgYYIBZY6wZhG4EHy9jzh",
        method: "POST",
        url: "https://shop.example/hooks/paddle",
        headers: &[(
            "paddle-signature",
            "ts=1696195954;h1=dummy;h1=d96299976a6eb066f484d7fde011ac56fc32b38fc9940bc419d6e537fdc6ef02",
        )],
        body: "hello-world",
        at: Some(1_696_195_954_000),
    },
    // Square's own library: square-python-sdk, tests/integration/test_webhooks_helper.py.
    Example {
        recipe: "square",
        secret: "Ibxx_5AKakO-3qeNVR61Dw",
        method: "POST",
        url: "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9",
        headers: &[(
            "x-square-hmacsha256-signature",
            "GF4YkrJgGBDZ9NIYbNXBnMzqb2HoL4RW/S6vkZ9/2N4=",
        )],
        body: r#"{"merchant_id":"MLEFBHHSJGVHD","type":"webhooks.test_notification","event_id":"ac3ac95b-f97d-458c-a6e6-18981597e05f","created_at":"2022-07-13T20:30:59.037339943Z","data":{"type":"webhooks","id":"bc368e64-01aa-407e-b46e-3231809b1129"}}"#,
        at: None,
    },
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation".
    Example {
        recipe: "github",
        secret: "It's a Secret to Everybody",
        method: "POST",
        url: "https://shop.example/hooks/github",
        headers: &[(
            "x-hub-signature-256",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        )],
        body: "Hello, World!",
        at: None,
    },
    // https://github.com/standard-webhooks/standard-webhooks, the reference libraries' shared vector.
    Example {
        recipe: "standard-webhooks",
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        method: "POST",
        url: "https://shop.example/hooks/standard",
        headers: &[
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
        ],
        body: r#"{"test": 2432232314}"#,
        at: Some(1_614_265_330_000),
    },
    // Stripe, Shopify, WooCommerce and the plain recipe publish no vector: these were computed with Python's hmac.
    Example {
        recipe: "stripe",
        secret: "whsec_test_secret",
        method: "POST",
        url: "https://shop.example/hooks/stripe",
        headers: &[(
            "stripe-signature",
            "t=1700000000,v1=86d195bdf7fa8d2a41b621d0367baa5f34b0c4861d35227c2012edbaf25cf1a2,v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39",
        )],
        body: r#"{"id": "evt_1", "object": "event"}"#,
        at: Some(1_700_000_000_000),
    },
    Example {
        recipe: "shopify",
        secret: "hush",
        method: "POST",
        url: "https://shop.example/hooks/shopify",
        headers: &[(
            "x-shopify-hmac-sha256",
            "i5diZFzZA/A9bO2sjFBC0j7LYSJpPm4TOpEa0nnZLMc=",
        )],
        body: "{\"id\":820982911946154508}\n",
        at: None,
    },
    Example {
        recipe: "woocommerce",
        secret: "hush",
        method: "POST",
        url: "https://shop.example/hooks/woo",
        headers: &[(
            "x-wc-webhook-signature",
            "i5diZFzZA/A9bO2sjFBC0j7LYSJpPm4TOpEa0nnZLMc=",
        )],
        body: "{\"id\":820982911946154508}\n",
        at: None,
    },
    Example {
        recipe: "hmac",
        secret: "hush",
        method: "POST",
        url: "https://shop.example/hooks/own",
        headers: &[(
            "x-signature",
            "8b9762645cd903f03d6cedac8c5042d23ecb6122693e6e133a911ad279d92cc7",
        )],
        body: "{\"id\":820982911946154508}\n",
        at: None,
    },
];

/// A request to judge: an example, changed.
struct Request {
    recipe: Recipe,
    secrets: Vec<&'static str>,
    method: &'static str,
    url: Option<&'static str>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    now: i64,
}

impl Request {
    fn of(example: &Example) -> Self {
        let headers = example.headers.iter();
        Self {
            recipe: built_in(example.recipe).unwrap().0,
            secrets: vec![example.secret],
            method: example.method,
            url: Some(example.url),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: example.body.into(),
            now: example.at.unwrap_or(0),
        }
    }

    fn judged(&self) -> Result<Verified, SignatureError> {
        let headers: Vec<(&str, &[u8])> = (self.headers.iter())
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let signed = Signed {
            method: self.method,
            headers: &headers,
            url: self.url,
            body: &self.body,
        };
        verify(&self.recipe, &self.secrets, signed, Timestamp(self.now))
    }
}

/// The example with `change` made to it.
fn changed(
    example: &Example,
    change: impl FnOnce(&mut Request),
) -> Result<Verified, SignatureError> {
    let mut request = Request::of(example);
    change(&mut request);
    request.judged()
}

#[test]
fn the_vendors_examples_are_good_and_a_second_secret_is_too() {
    for example in EXAMPLES {
        let good = Verified {
            secret: 0,
            at: example.at.map(Timestamp),
        };
        let name = example.recipe;
        assert_eq!(changed(example, |_| {}), Ok(good.clone()), "{name}");
        let second = changed(example, |request| request.secrets.insert(0, "whsec_AAAA"));
        let second_good = Verified { secret: 1, ..good };
        assert_eq!(second, Ok(second_good), "{name}");
    }
    let tried: Vec<_> = EXAMPLES.iter().map(|example| example.recipe).collect();
    for name in crate::config::recipes::NAMES {
        assert!(tried.contains(name), "{name} has no example");
    }
}

#[test]
fn another_secret_body_method_or_address_is_no_match() {
    for example in EXAMPLES {
        let name = example.recipe;
        let no_match = Err(SignatureError::NoMatch);
        assert_eq!(
            changed(example, |request| request.secrets = vec!["whsec_AAAA"]),
            no_match,
            "{name}: secret"
        );
        assert_eq!(
            changed(example, |request| request.body[0] ^= 1),
            no_match,
            "{name}: body"
        );
        assert_eq!(
            changed(example, |request| request.body.push(b'\n')),
            no_match,
            "{name}: newline"
        );
        let base = &Request::of(example).recipe.base;
        if base.contains("url}") {
            for url in [
                "http://www.example.com/webhook_uri",
                "https://webhook.site/679a4f3a-dcfa-49ee-bac5-9d0edad886b9/",
            ] {
                let judged = changed(example, |request| request.url = Some(url));
                assert_eq!(judged, no_match, "{name}: {url}");
            }
            let judged = changed(example, |request| request.url = None).unwrap_err();
            assert!(judged.is_ours(), "{name}: {judged}");
        }
        if base.contains("{method}") {
            let judged = changed(example, |request| request.method = "PUT");
            assert_eq!(judged, no_match, "{name}: method");
        }
        if example.at.is_some() && example.headers.len() > 1 {
            let judged = changed(example, |request| {
                let last = request.headers.last_mut().unwrap();
                last.1 = format!("{}0", last.1);
            });
            assert_eq!(judged, no_match, "{name}: another time");
        }
    }
}

#[test]
fn a_time_stamp_holds_as_long_as_the_vendor_says() {
    for example in EXAMPLES {
        let Some(at) = example.at else { continue };
        let name = example.recipe;
        let most = if name == "paddle" { 5_000 } else { 300_000 };
        for (now, words) in [
            (at + most, None),
            (at - most, None),
            (at + most + 1, Some("ago")),
            (at - most - 1, Some("ahead")),
            (at + 86_400_000, Some("ago")),
        ] {
            let judged = changed(example, |request| request.now = now);
            match words {
                None => assert!(judged.is_ok(), "{name}: {judged:?}"),
                Some(words) => {
                    let error = judged.unwrap_err().to_string();
                    assert!(error.contains(words), "{name}: {error}");
                }
            }
        }
    }
}

#[test]
fn missing_and_malformed_headers_say_which() {
    for example in EXAMPLES {
        let name = example.recipe;
        for at in 0..example.headers.len() {
            let header = example.headers[at].0;
            let judged = changed(example, |request| {
                request.headers.remove(at);
            });
            let missing = SignatureError::Missing(header.to_owned());
            assert_eq!(judged, Err(missing), "{name}");
            let judged = changed(example, |request| {
                let twice = request.headers[at].clone();
                request.headers.push(twice);
            });
            let error = judged.unwrap_err().to_string();
            assert!(
                error.contains(header) && error.contains("twice"),
                "{name}: {error}"
            );
        }
        for value in ["", "=", "abc", "sha256=zz", "v1,", "ts=1;h1=", "t=1,v1=0"] {
            let judged = changed(example, |request| {
                value.clone_into(&mut request.headers[0].1);
            });
            let error = judged.unwrap_err();
            assert!(
                matches!(&error, SignatureError::Malformed { header, .. } if header == example.headers[0].0),
                "{name}: {value}: {error}"
            );
        }
        if let [_, .., (header, _)] = example.headers {
            // A time that is none is signed like any other text, so that only a good signature is told of it.
            let judged = changed(example, |request| {
                "soon".clone_into(&mut request.headers.last_mut().unwrap().1);
            });
            assert_eq!(judged, Err(SignatureError::NoMatch), "{name}: {header}");
        }
    }
}
