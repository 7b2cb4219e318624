//! `[channels.KIND.NAME]`: where pages and escalations go.

use std::collections::BTreeMap;
use std::path::Path;

use super::model::Channel;
use super::reader::Section;
use super::sections::Named;
use super::suggest::{alternatives, did_you_mean};
use super::values::check_name;

/// The kinds of this version.
const KINDS: &[&str] = &["slack", "webhook"];

/// Kinds that a later version brings.
const LATER: &[&str] = &["email", "ntfy", "pagerduty"];

/// Every channel, keyed `kind:name`.
pub(super) fn channels(section: &Section<'_>, base: &Path) -> Named<Channel> {
    let mut all = Named {
        good: BTreeMap::new(),
        names: Vec::new(),
    };
    for (kind, value) in section.entries() {
        if !KINDS.contains(&kind) {
            let message = if LATER.contains(&kind) {
                "channels of this kind are not part of this version yet"
            } else {
                "unknown kind of channel"
            };
            let suggestion = did_you_mean(kind, KINDS.iter().copied());
            let expected = alternatives(KINDS.iter().copied());
            value.problems.error(
                value.key_at,
                &value.path,
                message,
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
            if let Some(channel) = value.section().and_then(|one| channel(&one, &key, base))
                && named
            {
                all.good.insert(key, channel);
            }
        }
    }
    all
}

fn channel(section: &Section<'_>, name: &str, base: &Path) -> Option<Channel> {
    let webhook = section
        .require(
            "webhook",
            "the webhook's URL as a secret: \"file:PATH\" or \"env:NAME\"",
        )
        .and_then(|value| value.secret(base));
    let private = section.get("private").and_then(|value| value.boolean());
    section.finish(&[]);
    Some(Channel {
        name: name.to_owned(),
        webhook: webhook?,
        private: private.unwrap_or(false),
    })
}
