use serde_json::json;

use super::*;
use crate::config::model::SecretRef;

fn page() -> Page {
    Page {
        site: "Nordlys".to_owned(),
        occasion: Occasion::Firing,
        severity: Severity::Critical,
        incident: Some(7),
        title: "crm is down <!channel> & more".to_owned(),
        lines: vec!["14 wait".to_owned(), "late 09:00".to_owned()],
        runbook: Some("receiver-down".to_owned()),
        since: Timestamp::parse_rfc3339("2026-11-26T02:10:00Z").unwrap(),
        dedup: "midwatch/nordlys/7".to_owned(),
        buttons: vec![("Ack".to_owned(), "ack 7 abc".to_owned())],
        text: String::new(),
    }
}

fn secret() -> SecretRef {
    SecretRef::Env("NONE".to_owned())
}

fn of(kind: &ChannelKind, page: &Page) -> Value {
    serde_json::from_slice(&body(kind, page.to_json().as_bytes())).unwrap()
}

#[test]
fn each_channel_gets_exactly_what_it_documents() {
    let slack = ChannelKind::Slack(secret());
    let ntfy = ChannelKind::Ntfy {
        topic: secret(),
        token: None,
        replies: None,
    };
    let pagerduty = ChannelKind::PagerDuty {
        key: secret(),
        url: String::new(),
    };
    let whole = "[Nordlys #7 CRITICAL] crm is down <!channel> & more";
    assert_eq!(
        of(&slack, &page()),
        json!({ "text": "[Nordlys #7 CRITICAL] crm is down &lt;!channel&gt; &amp; more\n14 wait\nlate 09:00" })
    );
    assert_eq!(
        of(&ntfy, &page()),
        json!({
            "title": whole, "message": "14 wait\nlate 09:00", "priority": 5, "tags": ["rotating_light"],
            "actions": [{ "action": "http", "label": "Ack", "method": "POST", "body": "ack 7 abc", "clear": true }],
        })
    );
    assert_eq!(
        of(&pagerduty, &page()),
        json!({
            "event_action": "trigger", "dedup_key": "midwatch/nordlys/7", "client": "midwatch",
            "payload": {
                "summary": whole, "source": "Nordlys", "severity": "critical",
                "timestamp": "2026-11-26T02:10:00.000Z", "component": "receiver-down",
                "custom_details": { "text": format!("{whole}\n14 wait\nlate 09:00") },
            },
        })
    );
    for (occasion, action) in [
        (Occasion::Acknowledged, "acknowledge"),
        (Occasion::Resolved, "resolve"),
    ] {
        let other = Page { occasion, ..page() };
        assert_eq!(of(&pagerduty, &other)["event_action"], action);
    }
    let webhook = of(&ChannelKind::Webhook(secret()), &page());
    assert_eq!(webhook["text"], format!("{whole}\n14 wait\nlate 09:00"));
    assert_eq!(webhook["incident"], 7);
}

#[test]
fn what_is_too_long_is_cut_between_characters() {
    // A family of four is one character of 25 bytes, a flag one of 8.
    for text in ["👨‍👩‍👧‍👦", "🇳🇴", "e\u{301}", "ø", "x"] {
        let long = text.repeat(5_000);
        for limit in [20, 250, 1_024, 4_096] {
            let cut = cut(&long, limit);
            assert!(cut.len() <= limit, "{text} {limit}");
            let kept = cut.strip_suffix(" …").unwrap();
            assert_eq!(kept.len() % text.len(), 0, "{text} {limit}");
        }
    }
    assert_eq!(cut("short", 5), "short");
    let long = Page {
        title: "ø".repeat(5_000),
        lines: vec!["æ".repeat(5_000)],
        ..page()
    };
    let ntfy = ntfy::payload(&long);
    assert!(ntfy["message"].as_str().unwrap().len() <= 4_096);
    assert!(ntfy["title"].as_str().unwrap().len() <= 250);
    let summary = pagerduty::payload(&long)["payload"]["summary"].to_string();
    assert!(summary.len() <= 1_024 + 2);
}

#[test]
fn what_an_earlier_version_kept_goes_as_it_is() {
    let kept = br#"{"text":"crm needs help"}"#;
    assert_eq!(body(&ChannelKind::Slack(secret()), kept), kept);
}
