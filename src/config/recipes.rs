//! The built-in signature recipes, and how each vendor's request becomes an event by default.
//!
//! All are HMAC-SHA-256 (RFC 2104, FIPS 198-1) over the raw body or a text that contains it. Each cites the vendor's
//! page that says so. The templates run over undefined names strictly, so whatever a vendor may leave out is asked for
//! with `is defined` first.

use std::time::Duration;

use super::model::{Encoding, HeaderParser, HookMapping, KeyDecoding, Ping, Recipe, TimestampUnit};

/// Their names, as they are written in `hooks.recipe`.
pub const NAMES: &[&str] = &[
    "standard-webhooks",
    "stripe",
    "github",
    "shopify",
    "woocommerce",
    "hubspot",
    "slack",
    "paddle",
    "square",
    "hmac",
];

/// How far a time stamp may be off, past or future, where the vendor names no other: Standard Webhooks and Stripe's
/// libraries both use five minutes.
pub(super) const TOLERANCE: Duration = Duration::from_secs(300);

/// Paddle's libraries refuse what is older than five seconds.
const PADDLE_TOLERANCE: Duration = Duration::from_secs(5);

/// The recipe of that name and its mapping.
pub fn built_in(name: &str) -> Option<(Recipe, HookMapping)> {
    match name {
        "standard-webhooks" => Some(standard_webhooks()),
        "stripe" => Some(stripe()),
        "github" => Some(github()),
        "shopify" => Some(shopify()),
        "woocommerce" => Some(woocommerce()),
        "hubspot" => Some(hubspot()),
        "slack" => Some(slack()),
        "paddle" => Some(paddle()),
        "square" => Some(square()),
        "hmac" => Some(hmac()),
        _ => None,
    }
}

/// "Standard Webhooks specification", sections "Webhook headers" and "Signature scheme": `{id}.{timestamp}.{body}`, base64,
/// versioned; the secret is base64 after `whsec_`. `webhook-id` is the idempotency key.
fn standard_webhooks() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "standard-webhooks".to_owned(),
        header: "webhook-signature".to_owned(),
        parser: HeaderParser::Versioned("v1".to_owned()),
        key: KeyDecoding::Base64AfterPrefix,
        base: "{id}.{timestamp}.{body}".to_owned(),
        encoding: Encoding::Base64,
        timestamp_header: Some("webhook-timestamp".to_owned()),
        id_header: Some("webhook-id".to_owned()),
        timestamp_unit: TimestampUnit::Seconds,
        tolerance_past: Some(TOLERANCE),
        tolerance_future: Some(TOLERANCE),
    };
    let mapping = HookMapping {
        kind: "{{ body.type }}".to_owned(),
        id: "{{ headers['webhook-id'] }}".to_owned(),
        subject:
            "{% if body.data is mapping and body.data.id is defined %}{{ body.data.id }}{% endif %}"
                .to_owned(),
        time: "{% if body.timestamp is defined %}{{ body.timestamp }}{% endif %}".to_owned(),
        key: "{{ headers['webhook-id'] }}".to_owned(),
        ping: Ping::None,
        ok_status: 202,
    };
    (recipe, mapping)
}

/// Stripe Docs, "Receive Stripe events in your webhook endpoint", section "Verify webhook signatures manually":
/// `t=...,v1=...`, `{timestamp}.{body}`, hexadecimal, five minutes. The secret is its whole text, `whsec_` included.
fn stripe() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "stripe".to_owned(),
        header: "stripe-signature".to_owned(),
        parser: HeaderParser::Pairs {
            timestamp: "t".to_owned(),
            signature: "v1".to_owned(),
        },
        base: "{timestamp}.{body}".to_owned(),
        tolerance_past: Some(TOLERANCE),
        tolerance_future: Some(TOLERANCE),
        ..plain("stripe")
    };
    let mapping = HookMapping {
        kind: "{{ body.type }}".to_owned(),
        id: "{{ body.id }}".to_owned(),
        subject: "{% if body.data.object.id is defined %}{{ body.data.object.id }}{% endif %}"
            .to_owned(),
        time: "{{ body.created }}".to_owned(),
        key: "{{ body.id }}".to_owned(),
        ping: Ping::None,
        ok_status: 202,
    };
    (recipe, mapping)
}

/// GitHub Docs, "Validating webhook deliveries" and "Webhook events and payloads", section "Delivery headers":
/// `X-Hub-Signature-256: sha256=<hex>` over the body. A redelivery carries the same `X-GitHub-Delivery`.
fn github() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "github".to_owned(),
        header: "x-hub-signature-256".to_owned(),
        parser: HeaderParser::Prefix("sha256=".to_owned()),
        ..plain("github")
    };
    let mapping = HookMapping {
        kind: "{{ headers['x-github-event'] }}{% if body.action is defined %}.{{ body.action }}{% endif %}".to_owned(),
        id: "{{ headers['x-github-delivery'] }}".to_owned(),
        subject: "{% if body.repository is mapping and body.repository.full_name is defined %}{{ body.repository.full_name }}{% endif %}"
            .to_owned(),
        time: String::new(),
        key: "{{ headers['x-github-delivery'] }}".to_owned(),
        ping: Ping::None,
        ok_status: 202,
    };
    (recipe, mapping)
}

/// Shopify developer documentation, "Deliver webhooks through HTTPS" (base64 over the body, 200, five seconds) and
/// "Ignore duplicate webhooks" (`X-Shopify-Event-Id`). One merchant's action can raise several topics under one event
/// id, so that the topic belongs to our id.
fn shopify() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "shopify".to_owned(),
        header: "x-shopify-hmac-sha256".to_owned(),
        encoding: Encoding::Base64,
        ..plain("shopify")
    };
    let id = "{% if headers['x-shopify-event-id'] is defined %}\
              {{ headers['x-shopify-event-id'] }}/{{ headers['x-shopify-topic'] }}{% endif %}";
    let mapping = HookMapping {
        kind: "{{ headers['x-shopify-topic'] | replace('/', '.') }}".to_owned(),
        id: id.to_owned(),
        subject: "{% if body.id is defined %}{{ body.id }}{% endif %}".to_owned(),
        time: "{% if headers['x-shopify-triggered-at'] is defined %}{{ headers['x-shopify-triggered-at'] }}{% endif %}"
            .to_owned(),
        key: String::new(),
        ping: Ping::None,
        ok_status: 200,
    };
    (recipe, mapping)
}

/// WooCommerce developer documentation, "Webhooks" in the REST API and `WC_Webhook::generate_signature`: base64 over the
/// body. The first ping is unsigned and wants exactly 200. The delivery id is made of the hook and the second, and several
/// versions of an order can share a second, so that no part of the request names the event: its bytes do.
fn woocommerce() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "woocommerce".to_owned(),
        header: "x-wc-webhook-signature".to_owned(),
        encoding: Encoding::Base64,
        ..plain("woocommerce")
    };
    let mapping = HookMapping {
        kind: "{{ headers['x-wc-webhook-topic'] }}".to_owned(),
        id: String::new(),
        subject: "{% if body.id is defined %}{{ body.id }}{% endif %}".to_owned(),
        time: "{% if body.date_modified_gmt is string %}{{ body.date_modified_gmt }}Z{% endif %}"
            .to_owned(),
        key: String::new(),
        ping: Ping::Registration,
        ok_status: 200,
    };
    (recipe, mapping)
}

/// HubSpot developer documentation, "Validating requests", section "Validate the v3 request signature": base64 over method,
/// URI (twelve escapes in it decoded), body and time stamp in milliseconds; the key is the app's client secret; five minutes.
/// One request carries several changes and is one event, of the type of its first change.
fn hubspot() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "hubspot".to_owned(),
        header: "x-hubspot-signature-v3".to_owned(),
        base: "{method}{hubspot_url}{body}{timestamp}".to_owned(),
        encoding: Encoding::Base64,
        timestamp_header: Some("x-hubspot-request-timestamp".to_owned()),
        timestamp_unit: TimestampUnit::Milliseconds,
        tolerance_past: Some(TOLERANCE),
        tolerance_future: Some(TOLERANCE),
        ..plain("hubspot")
    };
    let mapping = HookMapping {
        kind: "{{ body[0].subscriptionType }}".to_owned(),
        id: "{{ body[0].eventId }}/{{ body | length }}".to_owned(),
        subject: "{{ body[0].objectId }}".to_owned(),
        time: String::new(),
        key: String::new(),
        ping: Ping::None,
        ok_status: 202,
    };
    (recipe, mapping)
}

/// Slack developer documentation, "Verifying requests from Slack": `v0:{timestamp}:{body}`, hexadecimal after `v0=`, five
/// minutes; and "Using the Events API": `event_id` is unique in a workspace, an answer within three seconds.
fn slack() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "slack".to_owned(),
        header: "x-slack-signature".to_owned(),
        parser: HeaderParser::Prefix("v0=".to_owned()),
        base: "v0:{timestamp}:{body}".to_owned(),
        timestamp_header: Some("x-slack-request-timestamp".to_owned()),
        tolerance_past: Some(TOLERANCE),
        tolerance_future: Some(TOLERANCE),
        ..plain("slack")
    };
    let mapping = HookMapping {
        kind:
            "{% if body.event is mapping %}{{ body.event.type }}{% else %}{{ body.type }}{% endif %}"
                .to_owned(),
        id: "{% if body.event_id is defined %}{{ body.event_id }}{% endif %}".to_owned(),
        subject: "{% if body.event is mapping and body.event.channel is string %}{{ body.event.channel }}{% endif %}"
            .to_owned(),
        time: "{% if body.event_time is defined %}{{ body.event_time }}{% endif %}".to_owned(),
        key: "{% if body.event_id is defined %}{{ body.event_id }}{% endif %}".to_owned(),
        ping: Ping::Challenge,
        ok_status: 200,
    };
    (recipe, mapping)
}

/// Paddle developer documentation, "Verify webhook signatures": `ts=...;h1=...` (several `h1` while a secret is rolled),
/// `{timestamp}:{body}`, hexadecimal; Paddle's own libraries tolerate five seconds. The secret is its whole text.
fn paddle() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "paddle".to_owned(),
        header: "paddle-signature".to_owned(),
        parser: HeaderParser::Pairs {
            timestamp: "ts".to_owned(),
            signature: "h1".to_owned(),
        },
        base: "{timestamp}:{body}".to_owned(),
        tolerance_past: Some(PADDLE_TOLERANCE),
        tolerance_future: Some(PADDLE_TOLERANCE),
        ..plain("paddle")
    };
    let mapping = HookMapping {
        kind: "{{ body.event_type }}".to_owned(),
        id: "{{ body.event_id }}".to_owned(),
        subject:
            "{% if body.data is mapping and body.data.id is defined %}{{ body.data.id }}{% endif %}"
                .to_owned(),
        time: "{% if body.occurred_at is defined %}{{ body.occurred_at }}{% endif %}".to_owned(),
        key: "{{ body.event_id }}".to_owned(),
        ping: Ping::None,
        ok_status: 200,
    };
    (recipe, mapping)
}

/// Square developer documentation, "Verify and validate an event notification": base64 over the notification URL and the
/// body, without a time stamp. The URL is the one of the subscription, so that `site.public_url` must be right.
fn square() -> (Recipe, HookMapping) {
    let recipe = Recipe {
        name: "square".to_owned(),
        header: "x-square-hmacsha256-signature".to_owned(),
        base: "{url}{body}".to_owned(),
        encoding: Encoding::Base64,
        ..plain("square")
    };
    let mapping = HookMapping {
        kind: "{{ body.type }}".to_owned(),
        id: "{{ body.event_id }}".to_owned(),
        subject:
            "{% if body.data is mapping and body.data.id is defined %}{{ body.data.id }}{% endif %}"
                .to_owned(),
        time: "{% if body.created_at is defined %}{{ body.created_at }}{% endif %}".to_owned(),
        key: "{{ body.event_id }}".to_owned(),
        ping: Ping::None,
        ok_status: 200,
    };
    (recipe, mapping)
}

/// RFC 2104 over the body, hexadecimal, in one header: what most home-made senders do.
fn hmac() -> (Recipe, HookMapping) {
    let mapping = HookMapping {
        kind: "{{ body.type }}".to_owned(),
        id: "{% if body.id is defined %}{{ body.id }}{% endif %}".to_owned(),
        subject: "{% if body.subject is defined %}{{ body.subject }}{% endif %}".to_owned(),
        time: "{% if body.time is defined %}{{ body.time }}{% endif %}".to_owned(),
        key: String::new(),
        ping: Ping::None,
        ok_status: 202,
    };
    (plain("hmac"), mapping)
}

/// The body alone, raw key, hexadecimal, no time stamp.
fn plain(name: &str) -> Recipe {
    Recipe {
        name: name.to_owned(),
        header: "x-signature".to_owned(),
        parser: HeaderParser::Prefix(String::new()),
        key: KeyDecoding::Raw,
        base: "{body}".to_owned(),
        encoding: Encoding::Hex,
        timestamp_header: None,
        id_header: None,
        timestamp_unit: TimestampUnit::Seconds,
        tolerance_past: None,
        tolerance_future: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::expr::{Engine, Scope};

    /// type, id, subject, time, key
    fn event(name: &str, headers: &[(&str, &str)], body: &Value) -> [String; 5] {
        let (_, mapping) = built_in(name).unwrap();
        let scope = Scope::hook(headers.iter().copied(), body.to_string().into());
        [
            mapping.kind,
            mapping.id,
            mapping.subject,
            mapping.time,
            mapping.key,
        ]
        .map(|template| Engine::new().render_in(&template, &scope).unwrap())
    }

    #[test]
    fn each_vendors_request_becomes_an_event() {
        assert_eq!(
            event(
                "stripe",
                &[],
                &json!({"id": "evt_1", "type": "charge.refunded", "created": 1_700_000_000, "data": {"object": {"id": "ch_1"}}}),
            ),
            ["charge.refunded", "evt_1", "ch_1", "1700000000", "evt_1"]
        );
        assert_eq!(
            event(
                "standard-webhooks",
                &[("webhook-id", "msg_1")],
                &json!({"type": "user.created", "timestamp": "2026-01-01T00:00:00Z", "data": {"id": 7}}),
            ),
            [
                "user.created",
                "msg_1",
                "7",
                "2026-01-01T00:00:00Z",
                "msg_1"
            ]
        );
        assert_eq!(
            event(
                "github",
                &[("x-github-event", "issues"), ("x-github-delivery", "d-1")],
                &json!({"action": "opened", "repository": {"full_name": "a/b"}}),
            ),
            ["issues.opened", "d-1", "a/b", "", "d-1"]
        );
        assert_eq!(
            event(
                "shopify",
                &[
                    ("x-shopify-topic", "orders/create"),
                    ("x-shopify-event-id", "e-1")
                ],
                &json!({"id": 820}),
            ),
            ["orders.create", "e-1/orders/create", "820", "", ""]
        );
        assert_eq!(
            event(
                "woocommerce",
                &[("x-wc-webhook-topic", "order.updated")],
                &json!({"id": 1042, "status": "processing", "date_modified_gmt": "2026-11-23T20:00:00"}),
            ),
            ["order.updated", "", "1042", "2026-11-23T20:00:00Z", ""]
        );
    }

    #[test]
    fn the_newer_vendors_requests_become_events() {
        assert_eq!(
            event(
                "hubspot",
                &[],
                &json!([{"eventId": 7, "subscriptionType": "contact.creation", "objectId": 123, "attemptNumber": 0}]),
            ),
            ["contact.creation", "7/1", "123", "", ""]
        );
        assert_eq!(
            event(
                "slack",
                &[],
                &json!({"type": "event_callback", "event_id": "Ev1", "event_time": 1_700_000_000, "event": {"type": "message", "channel": "C1"}}),
            ),
            ["message", "Ev1", "C1", "1700000000", "Ev1"]
        );
        assert_eq!(
            event("slack", &[], &json!({"type": "app_rate_limited"})),
            ["app_rate_limited", "", "", "", ""]
        );
        assert_eq!(
            event(
                "paddle",
                &[],
                &json!({"event_id": "evt_1", "event_type": "transaction.completed", "occurred_at": "2026-01-01T00:00:00Z", "data": {"id": "txn_1"}}),
            ),
            [
                "transaction.completed",
                "evt_1",
                "txn_1",
                "2026-01-01T00:00:00Z",
                "evt_1"
            ]
        );
        assert_eq!(
            event(
                "square",
                &[],
                &json!({"type": "payment.updated", "event_id": "e-1", "created_at": "2026-01-01T00:00:00Z", "data": {"type": "payment", "id": "p-1"}}),
            ),
            [
                "payment.updated",
                "e-1",
                "p-1",
                "2026-01-01T00:00:00Z",
                "e-1"
            ]
        );
    }

    #[test]
    fn what_a_vendor_leaves_out_is_empty_and_never_an_error() {
        assert_eq!(
            event(
                "stripe",
                &[],
                &json!({"id": "e", "type": "balance.available", "created": 1, "data": {"object": {}}})
            ),
            ["balance.available", "e", "", "1", "e"]
        );
        assert_eq!(
            event(
                "standard-webhooks",
                &[("webhook-id", "m")],
                &json!({"type": "t"})
            ),
            ["t", "m", "", "", "m"]
        );
        assert_eq!(
            event(
                "github",
                &[("x-github-event", "ping"), ("x-github-delivery", "d")],
                &json!({})
            ),
            ["ping", "d", "", "", "d"]
        );
        assert_eq!(
            event(
                "woocommerce",
                &[("x-wc-webhook-topic", "order.deleted")],
                &json!({"id": 5})
            ),
            ["order.deleted", "", "5", "", ""]
        );
        // An id made of nothing would be the same for all: then the hash of the body is the id.
        assert_eq!(
            event(
                "shopify",
                &[("x-shopify-topic", "orders/create")],
                &json!({})
            ),
            ["orders.create", "", "", "", ""]
        );
        assert_eq!(
            event(
                "woocommerce",
                &[("x-wc-webhook-topic", "action.paid")],
                &json!({"action": "paid", "arg": 7})
            ),
            ["action.paid", "", "", "", ""]
        );
        assert_eq!(
            event("hmac", &[], &json!({"type": "t"})),
            ["t", "", "", "", ""]
        );
    }

    #[test]
    fn every_name_has_a_recipe() {
        for name in NAMES {
            assert_eq!(
                built_in(name).map(|(recipe, _)| recipe.name).as_deref(),
                Some(*name)
            );
        }
    }
}
