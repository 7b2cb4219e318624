//! The demo's fault script: what goes wrong with which stand-in, when. Pure data and pure time arithmetic.
//!
//! `fixtures/demo/faults.toml` is embedded; after `repeat_from` the story repeats. Called by the sandbox's director.

use std::time::Duration;

use serde::Deserialize;

use crate::time::parse_duration;

/// The story of `midwatch demo`.
const STORY: &str = include_str!("../../fixtures/demo/faults.toml");

/// A stand-in system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The website (WooCommerce-like).
    Shop,
    /// The CRM (HubSpot-like).
    Crm,
    /// Payments (Stripe-like).
    Payments,
    /// Chat (Slack-like).
    Chat,
}

/// What is wrong with a system at some moment.
// Each is a fault of its own: any of them may be in force beside the others.
#[expect(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Faults {
    /// Added to every answer, give or take 40 %.
    pub latency: Duration,
    /// Answered instead of the application's own answer ...
    pub status: Option<u16>,
    /// ... to this share of requests (0 to 1; all if not said) ...
    pub share: Option<f64>,
    /// ... whose method and path (`POST /contacts`) contain this (any, if not said) ...
    pub only: Option<String>,
    /// ... with this Retry-After, in seconds.
    pub retry_after: Option<u64>,
    /// This share of requests is done, but the connection is cut before the answer (0 to 1).
    pub cut: f64,
    /// Each such write is done, but the connection is cut before the answer; 0: none.
    pub cut_every: u32,
    /// Connections are refused.
    pub down: bool,
    /// Every credential is refused with 401.
    pub locked: bool,
    /// The CRM refuses deals without an email address with 422.
    pub strict: bool,
    /// Someone types a contact into the CRM just after it was asked for and not found.
    pub rival: bool,
}

impl Faults {
    /// How many requests get `status` (0 to 1).
    pub fn fail_chance(&self) -> f64 {
        match self.status {
            Some(_) => self.share.unwrap_or(1.0),
            None => 0.0,
        }
    }

    /// Whether `status` is meant for a request.
    pub fn concerns(&self, method: &str, path: &str) -> bool {
        let request = format!("{method} {path}");
        self.only.as_ref().is_none_or(|part| request.contains(part))
    }
}

/// Something that is done once to the data of a stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Someone types another amount into a deal.
    EditDeal,
    /// Someone deletes a deal.
    DeleteDeal,
    /// Someone puts the edited and deleted deals right again.
    MendDeals,
    /// The website's webhook for changed orders has failed too often: it disables itself.
    DisableHook,
    /// Someone enables it again.
    EnableHook,
    /// The website's sign-up plugin is updated and breaks its contract, until someone notices.
    UpdatePlugin,
    /// Someone changes a contact in the CRM: what the CRM owns of it, and what it does not.
    EditContact,
    /// Someone changes a telephone number in the CRM while the customer changes it on the website.
    EditBoth,
    /// The website's webhook of an order that was just taken is lost.
    LoseOrder,
    /// The payment provider gives an order's money back, and the website does not hear of it.
    LateRefund,
}

/// One step of the story.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// When it ends; as `at` for a deed.
    pub until: Duration,
    /// Whom it befalls.
    pub system: Who,
    /// What is told about it.
    pub says: String,
    /// What is wrong meanwhile.
    pub faults: Faults,
    /// What is done at its beginning.
    pub deed: Option<Deed>,
}

/// The whole story.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    steps: Vec<Step>,
    repeat_from: Duration,
    repeat_every: Duration,
}

/// A script that cannot be read; says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the fault script: {0}")]
pub struct ScriptError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScript {
    repeat_from: String,
    repeat_every: String,
    step: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools)]
struct RawStep {
    at: String,
    #[serde(rename = "for")]
    lasts: Option<String>,
    system: Who,
    says: String,
    latency: Option<String>,
    status: Option<u16>,
    share: Option<f64>,
    only: Option<String>,
    retry_after: Option<u64>,
    #[serde(default)]
    cut: f64,
    #[serde(default)]
    cut_every: u32,
    #[serde(default)]
    down: bool,
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    rival: bool,
    deed: Option<Deed>,
}

impl Script {
    /// The embedded story.
    pub fn story() -> Result<Self, ScriptError> {
        Self::parse(STORY)
    }

    /// Reads a script. Steps of one system must not overlap in time with the same fault; those that do add up.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let raw: RawScript = toml::from_str(text).map_err(|e| ScriptError(e.to_string()))?;
        let time = |text: &str| {
            parse_duration(text).ok_or_else(|| ScriptError(format!("`{text}` is no duration")))
        };
        let repeat_every = time(&raw.repeat_every)?;
        if repeat_every.is_zero() {
            return Err(ScriptError("`repeat_every` must be more than 0".to_owned()));
        }
        let steps = raw
            .step
            .into_iter()
            .map(|raw| {
                let at = time(&raw.at)?;
                let lasts = raw.lasts.as_deref().map_or(Ok(Duration::ZERO), time)?;
                Ok(Step {
                    at,
                    until: at + lasts,
                    system: raw.system,
                    says: raw.says,
                    faults: Faults {
                        latency: raw.latency.as_deref().map_or(Ok(Duration::ZERO), time)?,
                        status: raw.status,
                        share: raw.share,
                        only: raw.only,
                        retry_after: raw.retry_after,
                        cut: raw.cut,
                        cut_every: raw.cut_every,
                        down: raw.down,
                        locked: raw.locked,
                        strict: raw.strict,
                        rival: raw.rival,
                    },
                    deed: raw.deed,
                })
            })
            .collect::<Result<Vec<_>, ScriptError>>()?;
        Ok(Self {
            steps,
            repeat_from: time(&raw.repeat_from)?,
            repeat_every,
        })
    }

    /// What is wrong with `system` when the demo is `elapsed` old.
    pub fn faults(&self, system: Who, elapsed: Duration) -> Faults {
        let now = self.place(elapsed);
        let mut all = Faults::default();
        for step in &self.steps {
            if step.system != system || now < step.at || now >= step.until {
                continue;
            }
            let one = &step.faults;
            all.latency = all.latency.max(one.latency);
            if one.status.is_some() {
                (all.status, all.share, all.retry_after) = (one.status, one.share, one.retry_after);
                all.only.clone_from(&one.only);
            }
            all.cut = all.cut.max(one.cut);
            all.cut_every = all.cut_every.max(one.cut_every);
            all.down |= one.down;
            all.locked |= one.locked;
            all.strict |= one.strict;
            all.rival |= one.rival;
        }
        all
    }

    /// The steps that begin after `from` and no later than `to`, in order. Both are ages of the demo.
    pub fn begun(&self, from: Option<Duration>, to: Duration) -> Vec<&Step> {
        let mut found: Vec<(Duration, &Step)> = Vec::new();
        for step in &self.steps {
            let mut at = step.at;
            while at <= to {
                if from.is_none_or(|from| at > from) {
                    found.push((at, step));
                }
                if step.at < self.repeat_from {
                    break;
                }
                at += self.repeat_every;
            }
        }
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, step)| step).collect()
    }

    /// When, after `elapsed`, anything begins or ends.
    pub fn next_change(&self, elapsed: Duration) -> Option<Duration> {
        let now = self.place(elapsed);
        let end = self.repeat_from + self.repeat_every;
        self.steps
            .iter()
            .flat_map(|step| [step.at, step.until])
            .filter(|at| *at > now && *at < end)
            .chain([end])
            .min()
            .map(|at| elapsed + at.saturating_sub(now))
    }

    /// Where in the written story an age of the demo is.
    fn place(&self, elapsed: Duration) -> Duration {
        match elapsed.checked_sub(self.repeat_from) {
            None => elapsed,
            Some(over) => {
                let round = over.as_millis() % self.repeat_every.as_millis().max(1);
                self.repeat_from + Duration::from_millis(round as u64)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = r#"
        repeat_from = "10s"
        repeat_every = "20s"
        [[step]]
        at = "2s"
        for = "3s"
        system = "crm"
        says = "slow"
        latency = "300ms"
        [[step]]
        at = "4s"
        for = "2s"
        system = "crm"
        says = "busy"
        status = 429
        retry_after = 2
        [[step]]
        at = "12s"
        for = "1s"
        system = "crm"
        says = "down"
        down = true
        [[step]]
        at = "15s"
        system = "crm"
        says = "edit"
        deed = "edit-deal"
    "#;

    fn seconds(s: u64) -> Duration {
        Duration::from_secs(s)
    }

    #[test]
    fn faults_begin_end_add_up_and_repeat() {
        let script = Script::parse(SHORT).unwrap();
        let at = |s| script.faults(Who::Crm, seconds(s));
        for s in [0, 1, 6, 11, 13, 26] {
            assert_eq!(at(s), Faults::default(), "at {s} s");
        }
        assert_eq!(at(2).latency, Duration::from_millis(300));
        assert_eq!((at(4).status, at(4).latency.is_zero()), (Some(429), false));
        assert_eq!((at(5).status, at(5).latency.is_zero()), (Some(429), true));
        for s in [12, 32, 52] {
            assert!(at(s).down, "at {s} s");
        }
        // What lies before the repeated part does not come back.
        assert_eq!(at(34), Faults::default());
        assert_eq!(script.faults(Who::Shop, seconds(4)), Faults::default());
    }

    #[test]
    fn every_step_is_told_exactly_once_a_round() {
        let script = Script::parse(SHORT).unwrap();
        let mut told = Vec::new();
        let (mut from, mut now) = (None, Duration::ZERO);
        while now < seconds(60) {
            told.extend(script.begun(from, now).iter().map(|s| s.says.clone()));
            from = Some(now);
            let next = script.next_change(now).unwrap();
            assert!(next > now);
            now = next;
        }
        assert_eq!(
            told,
            [
                "slow", "busy", "down", "edit", "down", "edit", "down", "edit"
            ]
        );
    }

    #[test]
    fn the_embedded_story_shows_trouble_early_and_everything_it_promises() {
        let script = Script::story().unwrap();
        let first =
            |found: fn(&Step) -> bool| script.steps.iter().filter(|s| found(s)).map(|s| s.at).min();
        let by = |at: Option<Duration>, limit| at.is_some_and(|at| at <= seconds(limit));
        assert!(by(first(|s| !s.faults.latency.is_zero()), 10));
        assert!(by(first(|s| s.faults.retry_after.is_some()), 15));
        assert!(by(first(|s| s.faults.strict), 18));
        assert!(by(first(|s| s.faults.status.is_some_and(|s| s >= 500)), 60));
        assert!(by(first(|s| s.faults.down), 90));
        assert!(by(first(|s| s.faults.locked), 150));
        assert!(by(first(|s| s.faults.only.is_some()), 30));
        assert!(by(first(|s| s.faults.rival), 90));
        assert!(by(first(|s| s.faults.cut_every > 0), 100));
        // Each must fit a line of the log at 80 columns.
        assert!(script.steps.iter().all(|s| s.says.chars().count() <= 60));
        for deed in [
            Deed::EditDeal,
            Deed::DeleteDeal,
            Deed::MendDeals,
            Deed::DisableHook,
            Deed::EnableHook,
            Deed::UpdatePlugin,
            Deed::EditContact,
            Deed::EditBoth,
            Deed::LoseOrder,
            Deed::LateRefund,
        ] {
            assert!(
                script.steps.iter().any(|s| s.deed == Some(deed)),
                "{deed:?}"
            );
        }
    }

    #[test]
    fn a_bad_script_is_refused_with_words() {
        for bad in [
            "",
            "repeat_from = \"1s\"\nrepeat_every = \"0\"\nstep = []",
            "repeat_from = \"1s\"\nrepeat_every = \"soon\"\nstep = []",
            "repeat_from = \"1s\"\nrepeat_every = \"1s\"\nstep = [{at = \"1s\", system = \"erp\", says = \"\"}]",
            "repeat_from = \"1s\"\nrepeat_every = \"1s\"\nstep = [{at = \"1s\", system = \"crm\", says = \"\", sloow = 1}]",
        ] {
            assert!(Script::parse(bad).is_err(), "{bad}");
        }
    }
}
