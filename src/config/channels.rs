//! `[channels.KIND.NAME]` and `[mail]`: where pages and escalations go.
//!
//! ```toml
//! [channels.slack.ops]
//! webhook = "file:slack_ops"
//! [channels.pagerduty.shop]
//! key = "file:pagerduty_key"
//! [mail]
//! server = "smtp.example.org:465"
//! from = "midwatch@example.org"
//! user = "midwatch"
//! password = "file:mail_password"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use super::model::{Channel, ChannelKind, Mail, Security};
use super::reader::{Section, Value};
use super::sections::Named;
use super::suggest::{alternatives, did_you_mean};
use super::values::check_name;

/// The kinds that there are.
const KINDS: &[&str] = &["email", "ntfy", "pagerduty", "slack", "webhook"];

/// Where PagerDuty takes events (Events API v2, "Send an Event to PagerDuty").
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// Every channel, keyed `kind:name`.
pub(super) fn channels(section: &Section<'_>, base: &Path, has_mail: bool) -> Named<Channel> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (kind, value) in section.entries() {
        if !KINDS.contains(&kind) {
            let suggestion = did_you_mean(kind, KINDS.iter().copied());
            let expected = alternatives(KINDS.iter().copied());
            value.problems.error(
                value.key_at,
                &value.path,
                "unknown kind of channel",
                Some(&expected),
                suggestion,
            );
            continue;
        }
        let Some(of_kind) = value.section() else {
            continue;
        };
        for (name, value) in of_kind.entries() {
            let key = format!("{kind}:{name}");
            all.names.push(key.clone());
            let named = check_name(&value, name);
            if let Some(one) = value.section()
                && let Some(channel) = channel(&one, kind, &key, base)
                && named
            {
                needs_mail(&value, kind, has_mail);
                all.good.insert(key, channel);
            }
        }
    }
    all
}

/// A mail address needs a server to send from.
pub(super) fn needs_mail(value: &Value<'_>, kind: &str, has_mail: bool) {
    if kind == "email" && !has_mail {
        value.error(
            "there is no [mail] to send it by",
            Some("add [mail] with server, from, user and password".to_owned()),
        );
    }
}

fn channel(section: &Section<'_>, kind: &str, name: &str, base: &Path) -> Option<Channel> {
    let secret = |key, what: &str| {
        let expected = format!("{what} as a secret: \"file:PATH\" or \"env:NAME\"");
        section
            .require(key, &expected)
            .and_then(|value| value.secret(base))
    };
    let optional = |key| section.get(key).and_then(|value| value.secret(base));
    let kind = match kind {
        "email" => section
            .require("to", "mail addresses, such as [\"ops@example.org\"]")
            .and_then(|value| addresses(&value))
            .map(|to| ChannelKind::Email { to }),
        "ntfy" => secret("topic", "the topic's whole URL").map(|topic| ChannelKind::Ntfy {
            topic,
            token: optional("token"),
            replies: optional("replies"),
        }),
        "pagerduty" => {
            let url = section
                .get("url")
                .and_then(|value| {
                    let text = value.filled("an absolute URL")?;
                    value.absolute_url(text, "an absolute URL")
                })
                .map_or_else(|| PAGERDUTY.to_owned(), |url| url.to_string());
            secret("key", "the integration key").map(|key| ChannelKind::PagerDuty { key, url })
        }
        "slack" => secret("webhook", "the webhook's URL").map(ChannelKind::Slack),
        _ => secret("webhook", "the webhook's URL").map(ChannelKind::Webhook),
    };
    let private = section.get("private").and_then(|value| value.boolean());
    section.finish(&[]);
    Some(Channel {
        name: name.to_owned(),
        kind: kind?,
        private: private.unwrap_or(false),
    })
}

fn addresses(value: &Value<'_>) -> Option<Vec<String>> {
    let all = value.texts("mail addresses, such as [\"ops@example.org\"]")?;
    let checked = all.into_iter().map(|(value, _)| address(&value));
    checked.collect()
}

/// A mail address: enough of RFC 5321's form to find a typing error, and nothing that could break a header.
pub(super) fn address(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a mail address such as \"ops@example.org\"";
    let text = value.filled(EXPECTED)?;
    let plain = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_graphic() && !b"<>()[],;:\\\"@".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed)
    };
    let parts = text.split_once('@');
    if parts.is_none_or(|(local, domain)| !plain(local) || !plain(domain)) {
        value.wrong(EXPECTED, None);
        return None;
    }
    Some(text.to_owned())
}

/// `[mail]`: the server that takes our mail.
pub(super) fn mail(section: &Section<'_>, base: &Path) -> Option<Mail> {
    const SERVER: &str = "a mail server with its port, such as \"smtp.example.org:465\"";
    let securities = [
        ("tls", Security::Tls),
        ("starttls", Security::StartTls),
        ("none", Security::None),
    ];
    let server = section.require("server", SERVER).and_then(|value| {
        let text = value.filled(SERVER)?;
        let parts = text.rsplit_once(':');
        let read = parts.and_then(|(host, port)| {
            let fine = !host.is_empty() && !host.contains([' ', '/', '@']);
            Some((fine.then(|| host.to_owned())?, port.parse::<u16>().ok()?))
        });
        if read.is_none() {
            value.wrong(SERVER, None);
        }
        read
    });
    let security = section
        .get("security")
        .and_then(|value| value.word(&securities).map(|word| (word, value)));
    let user = section
        .get("user")
        .and_then(|value| value.filled("the user's name"));
    let password = section.get("password");
    let login = match (user, &password) {
        (Some(user), Some(password)) => password
            .secret(base)
            .map(|secret| (user.to_owned(), secret)),
        (None, None) => None,
        _ => {
            section.error("`user` and `password` belong together", None);
            None
        }
    };
    let from = section
        .require("from", "a mail address such as \"midwatch@example.org\"")
        .and_then(|value| address(&value));
    let private = section.get("private").and_then(|value| value.boolean());
    section.finish(&[]);
    let (host, port) = server?;
    let by_port = if port == 465 {
        Security::Tls
    } else {
        Security::StartTls
    };
    if let (Some((Security::None, value)), Some(_)) = (&security, &login) {
        value.error(
            "the password would go over the network in clear",
            Some("use \"tls\" or \"starttls\"".to_owned()),
        );
    }
    Some(Mail {
        host,
        port,
        security: security.map_or(by_port, |(word, _)| word),
        login,
        from: from?,
        private: private.unwrap_or(false),
    })
}
