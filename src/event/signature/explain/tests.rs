use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::config::recipes::built_in;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn mac(key: &[u8], base: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(base).finalize().into_bytes().to_vec()
}

fn base64(key: &[u8], base: &str) -> String {
    STANDARD.encode(mac(key, base))
}

fn hexadecimal(key: &[u8], base: &str) -> String {
    hex::encode(mac(key, base))
}

/// Explains a request to `https://shop.example/_mw/hooks/x` with the secret `file:hook`.
fn explained(
    recipe: &str,
    secret: &str,
    headers: &[(&str, &str)],
    body: &str,
    now: Timestamp,
) -> Explanation {
    let (recipe, _) = built_in(recipe).unwrap();
    let headers: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    let known = Known {
        reference: "file:hook",
        text: secret,
    };
    let signed = Signed {
        method: "POST",
        headers: &headers,
        url: Some("https://shop.example/_mw/hooks/x?a=1"),
        body: body.as_bytes(),
    };
    explain(&recipe, &[known], signed, now)
}

#[test]
fn a_good_request_shows_what_was_signed_and_which_secret_matched() {
    let body = "{\"a\":\"\u{1b}[31m\"}";
    let value = base64(
        &STANDARD.decode(&SECRET[6..]).unwrap(),
        &format!("m1.1700000000.{body}"),
    );
    let found = explained(
        "standard-webhooks",
        SECRET,
        &[
            ("webhook-signature", &format!("v1,{value}")),
            ("webhook-id", "m1"),
            ("webhook-timestamp", "1700000000"),
        ],
        body,
        NOW,
    );
    assert!(found.valid && found.causes.is_empty() && found.tried.is_empty());
    assert_eq!(found.secret.unwrap().as_str(), "file:hook");
    assert_eq!(
        found.base.unwrap().as_str(),
        "m1.1700000000.{\"a\":\"\\x1b[31m\"}"
    );
    assert_eq!(found.signatures[0].as_str(), value);
    let time = found.time.unwrap();
    assert!(time.good && time.words.contains("within the tolerated 5m"));
}

#[test]
fn what_commonly_goes_wrong_is_named() {
    let body = "{\"id\": 1, \"url\": \"a/b\", \"name\": \"\u{f8}\"}\n";
    let compact = "{\"id\":1,\"url\":\"a/b\",\"name\":\"\u{f8}\"}";
    let php = "{\"id\":1,\"url\":\"a\\/b\",\"name\":\"\\u00f8\"}";
    let trimmed = body.trim_end();
    let raw = SECRET.as_bytes();
    let decoded = STANDARD.decode(&SECRET[6..]).unwrap();
    let url = "https://shop.example/_mw/hooks/x?a=1";
    let square = |url: &str| base64(raw, &format!("{url}{body}"));
    let plain = |key: &[u8], body: &str| hexadecimal(key, body);
    let cases: Vec<(&str, &str, String, &str)> = vec![
        // Encoding.
        (
            "hmac",
            "x-signature",
            base64(raw, body),
            "read as base64 instead of hexadecimal",
        ),
        (
            "shopify",
            "x-shopify-hmac-sha256",
            plain(raw, body),
            "read as hexadecimal instead of base64",
        ),
        // Prefix, and the place of the signature.
        (
            "hmac",
            "x-signature",
            format!("sha256={}", plain(raw, body)),
            "the prefix `sha256=`",
        ),
        (
            "github",
            "x-hub-signature-256",
            plain(raw, body),
            "no prefix before the signature, where the recipe reads `sha256=`",
        ),
        (
            "github",
            "x-signature",
            plain(raw, body),
            "the signature of the header x-signature",
        ),
        (
            "hmac",
            "x-signature",
            format!("t=1,v1={}", plain(raw, body)),
            "the prefix `v1=`",
        ),
        // The key.
        (
            "hmac",
            "x-signature",
            plain(&decoded, body),
            "decoded as base64 after `whsec_`",
        ),
        (
            "hmac",
            "x-signature",
            plain(&raw[6..], body),
            "`whsec_` taken off the secret",
        ),
        (
            "hmac",
            "x-signature",
            plain(&[raw, b"\n"].concat(), body),
            "a newline at the secret's end",
        ),
        // The body.
        (
            "hmac",
            "x-signature",
            plain(raw, trimmed),
            "the newline at the body's end removed",
        ),
        (
            "hmac",
            "x-signature",
            plain(raw, &format!("{body}\n")),
            "a newline at the body's end",
        ),
        (
            "hmac",
            "x-signature",
            plain(raw, compact),
            "without blanks: it was re-serialised",
        ),
        (
            "hmac",
            "x-signature",
            plain(raw, php),
            "slashes escaped, in ASCII: it was re-serialised",
        ),
        (
            "hmac",
            "x-signature",
            plain(raw, &body.replace('\n', "\r\n")),
            "CR LF",
        ),
        // The address.
        (
            "square",
            "x-square-hmacsha256-signature",
            square(&url.replace("https", "http")),
            "the address http://shop.example/_mw/hooks/x?a=1",
        ),
        (
            "square",
            "x-square-hmacsha256-signature",
            square("https://shop.example/_mw/hooks/x/?a=1"),
            "the address https://shop.example/_mw/hooks/x/?a=1",
        ),
        (
            "square",
            "x-square-hmacsha256-signature",
            square("https://shop.example/_mw/hooks/x"),
            "the address https://shop.example/_mw/hooks/x",
        ),
        (
            "square",
            "x-square-hmacsha256-signature",
            square("https://shop.example/hooks/x?a=1"),
            "the address https://shop.example/hooks/x?a=1",
        ),
        (
            "square",
            "x-square-hmacsha256-signature",
            base64(raw, body),
            "{body} as what is signed",
        ),
        // Two at once.
        (
            "hmac",
            "x-signature",
            plain(&decoded, trimmed),
            "decoded as base64 after `whsec_`, and the newline at the body's end removed",
        ),
        (
            "hmac",
            "x-signature",
            format!("sha256={}", base64(raw, trimmed)),
            "the newline at the body's end removed, and the prefix `sha256=`",
        ),
    ];
    for (recipe, header, value, words) in cases {
        let found = explained(recipe, SECRET, &[(header, &value)], body, NOW);
        assert!(!found.valid, "{words}");
        let likely: Vec<&str> = found.causes.iter().map(Visible::as_str).collect();
        assert!(
            likely
                .iter()
                .any(|cause| cause.starts_with("file:hook would match with")
                    && cause.contains(words)),
            "{recipe}: {words}: {likely:#?}"
        );
        let told = serde_json::to_string(&found).unwrap();
        assert!(!told.contains(&SECRET[6..]), "{told}");
    }
}

#[test]
fn a_wrong_clock_is_told_from_a_wrong_signature() {
    let signed = |at: &str| {
        let value = format!("v0={}", hexadecimal(b"s", &format!("v0:{at}:a=b")));
        let headers = [
            ("x-slack-signature", value.as_str()),
            ("x-slack-request-timestamp", at),
        ];
        explained("slack", "s", &headers, "a=b", NOW)
    };
    for (at, cause, time) in [
        (
            "1699990000",
            "only its age does not",
            "2h 46m ago by this clock, more than the tolerated 5m",
        ),
        (
            "1700000900",
            "only its time does not",
            "15m ahead of this clock",
        ),
        (
            "1700000000000",
            "it would be near if it were milliseconds",
            "ahead",
        ),
        ("soon", "only the time stamp cannot be read", "is no number"),
    ] {
        let found = signed(at);
        assert!(!found.valid);
        let told = found.time.unwrap();
        assert!(!told.good && told.words.contains(time), "{told:?}");
        assert_eq!(found.causes.len(), 1);
        assert!(
            found.causes[0].as_str().contains(cause),
            "{:?}",
            found.causes
        );
        assert_eq!(found.secret.unwrap().as_str(), "file:hook");
    }
}

#[test]
fn where_nothing_matches_it_says_what_was_tried() {
    let value = base64(b"another", "x");
    let found = explained(
        "hubspot",
        "s",
        &[("x-hubspot-signature-v3", &value)],
        "{}",
        NOW,
    );
    assert_eq!(
        found.verdict.as_str(),
        "header x-hubspot-request-timestamp is missing"
    );
    assert!(found.causes.is_empty() && found.base.is_none());
    assert_eq!(found.tried.len(), 6);
    let found = explained("standard-webhooks", "?!", &[], "{}", NOW);
    assert!(!found.secrets[0].usable && found.value.is_none());
}

#[test]
fn a_long_base_string_is_cut_in_its_middle() {
    let body = format!("{}end\n", "x".repeat(5_000));
    let value = hexadecimal(b"s", &body);
    let found = explained("hmac", "s", &[("x-signature", &value)], &body, NOW);
    let base = found.base.unwrap();
    assert_eq!(found.base_bytes, 5_004);
    assert!(base.as_str().contains("… 3304 bytes …") && base.as_str().ends_with("end\\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes in, the explanation agrees with the verifier and ends.
    #[test]
    fn it_agrees_with_the_verifier(
        recipe in proptest::sample::select(crate::config::recipes::NAMES),
        value in ".{0,80}",
        body in proptest::collection::vec(any::<u8>(), 0..60),
        secret in ".{0,20}",
    ) {
        let (recipe, _) = built_in(recipe).unwrap();
        let headers = [(recipe.header.as_str(), value.as_bytes())];
        let signed = Signed { method: "POST", headers: &headers, url: Some("https://a.example/%4"), body: &body };
        let known = Known { reference: "env:S", text: &secret };
        let found = explain(&recipe, &[known], signed, NOW);
        prop_assert_eq!(found.valid, verify(&recipe, &[&secret], signed, NOW).is_ok());
    }
}
