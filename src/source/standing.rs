//! How a vendor's webhooks stand: which of those it lists are ours, and whether they call. Pure.

use reqwest::Url;

use crate::config::model::hook_address;
use crate::store::view::{SenderRow, Severity};
use crate::visible::Visible;

/// One webhook, as the vendor lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) state: String,
}

/// How they stand, together: a vendor may have one for each topic, and one that is silent is one too many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// `enabled`, `missing`, `elsewhere`, or the vendor's own word for one that does not call.
    pub(super) state: String,
    /// The address of the one that the state is about.
    pub(super) address: Option<String>,
    /// Their ids: those that do not call, or all of ours if all do.
    pub(super) ids: Vec<String>,
}

/// Where a system's webhooks should call: `public_url` is `site.public_url`; without it any host will do.
pub(super) struct Ours<'a> {
    pub(super) public_url: Option<&'a str>,
    pub(super) system: &'a str,
}

impl Ours<'_> {
    fn path(&self) -> String {
        format!("/hooks/{}", self.system)
    }

    /// The whole address, where it is known.
    pub(super) fn address(&self) -> Option<String> {
        Some(hook_address(self.public_url?, self.system))
    }

    fn is(&self, address: &str) -> bool {
        match self.address() {
            Some(ours) => match (plain(address), plain(&ours)) {
                (Some(one), Some(other)) => one == other,
                _ => address == ours,
            },
            None => self.is_like(address),
        }
    }

    /// It has our path, at least.
    fn is_like(&self, address: &str) -> bool {
        plain(address).is_some_and(|url| url.path().ends_with(&self.path()))
    }
}

/// An address without what does not say where it leads.
fn plain(address: &str) -> Option<Url> {
    let mut url = Url::parse(address).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Some(url)
}

/// How the listed webhooks stand; `enabled` is the vendor's word.
pub(super) fn judge(hooks: &[Hook], ours: &Ours<'_>, enabled: &str) -> Standing {
    let calling: Vec<&Hook> = hooks.iter().filter(|hook| ours.is(&hook.address)).collect();
    let Some(first) = calling.first() else {
        let like = hooks.iter().find(|hook| ours.is_like(&hook.address));
        return Standing {
            state: if like.is_some() {
                SenderRow::ELSEWHERE
            } else {
                SenderRow::MISSING
            }
            .to_owned(),
            address: like.map(|hook| hook.address.clone()),
            ids: like.map(|hook| hook.id.clone()).into_iter().collect(),
        };
    };
    let silent: Vec<&&Hook> = calling
        .iter()
        .filter(|hook| hook.state != enabled)
        .collect();
    let ids = |hooks: &[&&Hook]| hooks.iter().map(|hook| hook.id.clone()).collect();
    match silent.first() {
        Some(worst) => Standing {
            state: worst.state.clone(),
            address: Some(worst.address.clone()),
            ids: ids(&silent),
        },
        None => Standing {
            state: SenderRow::ENABLED.to_owned(),
            address: Some(first.address.clone()),
            ids: ids(&calling.iter().collect::<Vec<_>>()),
        },
    }
}

/// What is worth a line in the log: nothing while it stands as it stood. `before` is the row as it was kept, if it was.
pub(super) fn news(before: Option<&SenderRow>, now: &SenderRow) -> Option<(Severity, String)> {
    let system = &now.system;
    let was = before.map(|row| (row.state.as_deref(), row.error.as_deref()));
    if was == Some((now.state.as_deref(), now.error.as_deref())) {
        return None;
    }
    if let Some(error) = &now.error {
        // Its words may change with each try; that it fails is the news.
        return before.is_none_or(|row| row.error.is_none()).then(|| {
            let error = Visible::of(error);
            (
                Severity::Warning,
                format!("{system} could not be asked for its webhooks: {error}"),
            )
        });
    }
    let hook = now.hook.as_deref().unwrap_or("");
    let hook = Visible::of(hook);
    let warning = |text: String| Some((Severity::Warning, text));
    match now.state.as_deref()? {
        SenderRow::ENABLED => {
            let known = before.is_some_and(|row| row.state.is_some() || row.error.is_some());
            known.then(|| {
                (
                    Severity::Info,
                    format!("the webhooks of {system} are enabled and call this address"),
                )
            })
        }
        SenderRow::MISSING => warning(format!(
            "{system} has no webhook that calls this address: make one, or it does not tell what happens"
        )),
        SenderRow::ELSEWHERE => {
            let address = Visible::of(now.address.as_deref().unwrap_or(""));
            warning(format!(
                "the webhook of {system} calls {address}, which is not this address: correct it there, or site.public_url here"
            ))
        }
        state => {
            let state = Visible::of(state);
            warning(format!(
                "{system} does not call: its webhook {hook} is {state}; `midwatch hook enable {system}`, then ask for what was missed"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(id: &str, address: &str, state: &str) -> Hook {
        Hook {
            id: id.into(),
            address: address.into(),
            state: state.into(),
        }
    }

    #[test]
    fn hooks_are_ours_by_address_and_the_worst_of_ours_counts() {
        const OURS: &str = "https://shop.example/_midwatch/hooks/shop";
        let other = hook("9", "https://else.example/cb", "active");
        let old = hook("8", "https://old.example/_midwatch/hooks/shop", "active");
        for (hooks, state, ids) in [
            (vec![other.clone()], SenderRow::MISSING, vec![]),
            (vec![], SenderRow::MISSING, vec![]),
            (
                vec![other.clone(), old.clone()],
                SenderRow::ELSEWHERE,
                vec!["8"],
            ),
            (
                vec![hook("1", OURS, "active")],
                SenderRow::ENABLED,
                vec!["1"],
            ),
            (
                vec![hook("1", &format!("{OURS}/?a=b#c"), "active"), old.clone()],
                SenderRow::ENABLED,
                vec!["1"],
            ),
            (
                vec![
                    hook("1", OURS, "active"),
                    hook(
                        "2",
                        "HTTPS://SHOP.example:443/_midwatch/hooks/shop",
                        "disabled",
                    ),
                    hook("3", OURS, "paused"),
                    other,
                ],
                "disabled",
                vec!["2", "3"],
            ),
        ] {
            let ours = Ours {
                public_url: Some("https://shop.example/_midwatch/"),
                system: "shop",
            };
            let standing = judge(&hooks, &ours, "active");
            assert_eq!(
                (standing.state.as_str(), standing.ids),
                (state, ids.into_iter().map(str::to_owned).collect()),
                "{hooks:?}"
            );
        }
        // Without a public address any host is believed.
        let ours = Ours {
            public_url: None,
            system: "shop",
        };
        assert_eq!(judge(&[old], &ours, "active").state, SenderRow::ENABLED);
    }

    #[test]
    fn only_a_change_is_news() {
        let row = |state: Option<&str>, error: Option<&str>| SenderRow {
            system: "shop".into(),
            state: state.map(str::to_owned),
            error: error.map(str::to_owned),
            hook: Some("7".into()),
            ..SenderRow::default()
        };
        let good = row(Some(SenderRow::ENABLED), None);
        for (before, now, expected) in [
            (None, good.clone(), None),
            (Some(row(None, None)), good.clone(), None),
            (Some(good.clone()), good.clone(), None),
            (
                Some(good.clone()),
                row(Some("disabled"), None),
                Some("its webhook 7 is disabled"),
            ),
            (
                Some(row(Some("disabled"), None)),
                row(Some("disabled"), None),
                None,
            ),
            (
                Some(row(Some("disabled"), None)),
                good.clone(),
                Some("are enabled"),
            ),
            (
                Some(good.clone()),
                row(None, Some("401")),
                Some("could not be asked"),
            ),
            (
                Some(row(None, Some("401"))),
                row(None, Some("timeout")),
                None,
            ),
            (
                Some(row(None, Some("401"))),
                good.clone(),
                Some("are enabled"),
            ),
            (
                None,
                row(Some(SenderRow::MISSING), None),
                Some("has no webhook"),
            ),
            (
                None,
                row(Some(SenderRow::ELSEWHERE), None),
                Some("not this address"),
            ),
        ] {
            let text = news(before.as_ref(), &now).map(|(_, text)| text);
            assert_eq!(
                text.is_some(),
                expected.is_some(),
                "{before:?} {now:?} {text:?}"
            );
            assert!(text.unwrap_or_default().contains(expected.unwrap_or("")));
        }
    }
}
