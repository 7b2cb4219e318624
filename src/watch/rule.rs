//! The rules by which something is called wrong: what each is called, and which runbook it leads to.

use serde::{Deserialize, Serialize};

/// A rule. Its word is what runbooks name in `alerts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The database or the disk refuses.
    StoreTrouble,
    /// A secret cannot be read.
    SecretUnreadable,
    /// The database came from another host.
    ForeignHost,
    /// No worker, or one that does not answer.
    WorkerDead,
    /// Too many attempts fail.
    PathFailing,
    /// The breaker is open.
    BreakerOpen,
    /// The receiver asks to be left alone more often than not.
    Throttled,
    /// A person paused a path on which something waits.
    PathPaused,
    /// midwatch paused a path, because its credentials are refused or its receiver is gone.
    PathPausedAuth,
    /// The business notices, or will before it has drained.
    WillMissDue,
    /// Deliveries are due and nobody takes them up.
    BacklogGrowing,
    /// Something waits behind a dead letter of its key.
    Blocked,
    /// A path with deliveries is no longer configured.
    PathRemoved,
    /// A path records and does not send.
    Shadow,
    /// Deliveries wait long for another record.
    NeedsUnmet,
    /// Dead letters wait for a person.
    DeadLetters,
    /// A page could not be delivered.
    PageDead,
    /// Deliveries are held.
    Held,
    /// A webhook is disabled, gone, or calls another address.
    HookDisabled,
    /// A sender does not call any more.
    SourceSilent,
    /// A system cannot be asked for what changed.
    SourceUnreachable,
    /// What a system sent is about to be lost, or is.
    EventsAtRisk,
    /// Tokens run out or are refused.
    AuthFailing,
    /// Two systems have drifted apart.
    DriftAboveThreshold,
    /// Payments and orders disagree.
    MoneyDisagrees,
    /// A reconciliation cannot be run, or was not for too long.
    ReconcileStale,
    /// Events are refused at the door by their contract, or held there.
    Rejected,
    /// Events match no path.
    Unrouted,
    /// Systems answer one another without end.
    Loop,
    /// Fields wait for a decision.
    Review,
    /// A vendor changed something.
    VendorChanged,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 31] = [
        Self::StoreTrouble,
        Self::SecretUnreadable,
        Self::ForeignHost,
        Self::WorkerDead,
        Self::PathFailing,
        Self::BreakerOpen,
        Self::Throttled,
        Self::PathPaused,
        Self::PathPausedAuth,
        Self::WillMissDue,
        Self::BacklogGrowing,
        Self::Blocked,
        Self::PathRemoved,
        Self::Shadow,
        Self::NeedsUnmet,
        Self::DeadLetters,
        Self::PageDead,
        Self::Held,
        Self::HookDisabled,
        Self::SourceSilent,
        Self::SourceUnreachable,
        Self::EventsAtRisk,
        Self::AuthFailing,
        Self::DriftAboveThreshold,
        Self::MoneyDisagrees,
        Self::ReconcileStale,
        Self::Rejected,
        Self::Unrouted,
        Self::Loop,
        Self::Review,
        Self::VendorChanged,
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::StoreTrouble => "store_trouble",
            Self::SecretUnreadable => "secret_unreadable",
            Self::ForeignHost => "foreign_host",
            Self::WorkerDead => "worker_dead",
            Self::PathFailing => "path_failing",
            Self::BreakerOpen => "breaker_open",
            Self::Throttled => "throttled",
            Self::PathPaused => "path_paused",
            Self::PathPausedAuth => "path_paused_auth",
            Self::WillMissDue => "will_miss_due",
            Self::BacklogGrowing => "backlog_growing",
            Self::Blocked => "blocked",
            Self::PathRemoved => "path_removed",
            Self::Shadow => "shadow",
            Self::NeedsUnmet => "needs_unmet",
            Self::DeadLetters => "dead_letters",
            Self::PageDead => "page_dead",
            Self::Held => "held",
            Self::HookDisabled => "hook_disabled",
            Self::SourceSilent => "source_silent",
            Self::SourceUnreachable => "source_unreachable",
            Self::EventsAtRisk => "events_at_risk",
            Self::AuthFailing => "auth_failing",
            Self::DriftAboveThreshold => "drift_above_threshold",
            Self::MoneyDisagrees => "money_disagrees",
            Self::ReconcileStale => "reconcile_stale",
            Self::Rejected => "rejected",
            Self::Unrouted => "unrouted",
            Self::Loop => "loop",
            Self::Review => "review",
            Self::VendorChanged => "vendor_changed",
        }
    }

    /// The shipped runbook that it leads to where nothing else is configured: the name of its file.
    pub fn runbook(self) -> &'static str {
        match self {
            Self::StoreTrouble => "disk-filling",
            Self::SecretUnreadable | Self::PathPausedAuth | Self::AuthFailing => "auth-expired",
            Self::ForeignHost | Self::WorkerDead => "worker-dead",
            Self::PathFailing | Self::BreakerOpen | Self::PathPaused => "receiver-down",
            Self::Throttled => "rate-limited",
            Self::WillMissDue | Self::EventsAtRisk => "late-or-lost",
            Self::BacklogGrowing
            | Self::Blocked
            | Self::PathRemoved
            | Self::Shadow
            | Self::NeedsUnmet
            | Self::PageDead => "backlog-growing",
            Self::HookDisabled | Self::SourceSilent | Self::SourceUnreachable => "source-silent",
            Self::DriftAboveThreshold | Self::ReconcileStale | Self::Review => {
                "drift-above-threshold"
            }
            Self::MoneyDisagrees => "payment-and-order-disagree",
            Self::DeadLetters
            | Self::Held
            | Self::Rejected
            | Self::Unrouted
            | Self::Loop
            | Self::VendorChanged => "contract-rejected",
        }
    }

    /// Whether it opens an incident; the others are only shown.
    pub fn opens(self) -> bool {
        !matches!(self, Self::Shadow | Self::VendorChanged | Self::Review)
    }

    /// Whether it speaks of a receiver that does not take what it is sent: one that is down opens one incident, whatever
    /// the number of its paths.
    pub fn is_of_receiver(self) -> bool {
        matches!(
            self,
            Self::PathFailing
                | Self::BreakerOpen
                | Self::Throttled
                | Self::PathPausedAuth
                | Self::WillMissDue
                | Self::BacklogGrowing
        )
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_leads_to_a_runbook_that_is_shipped_and_names_it() {
        for rule in Rule::ALL {
            let runbook = crate::runbook::shipped(rule.runbook()).unwrap();
            let named = runbook
                .front
                .alerts
                .iter()
                .any(|alert| alert == rule.word());
            assert!(named, "{} does not name {rule}", rule.runbook());
            let json = serde_json::to_string(&rule).unwrap();
            assert_eq!(json, format!("\"{rule}\""));
        }
    }
}
