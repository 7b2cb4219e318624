//! The filter of deliveries: one grammar for the screens' `/`, the CLI's `--filter`, and replays.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{DeliveryId, Fingerprint};
use crate::queue::model::{Class, State};

/// Which deliveries. Every part given must hold; within one part any value may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Path names.
    pub paths: Vec<String>,
    /// States.
    pub states: Vec<State>,
    /// Classes of the last attempt.
    pub classes: Vec<Class>,
    /// Statuses of the last attempt.
    pub statuses: Vec<u16>,
    /// Failure group.
    pub fingerprint: Option<Fingerprint>,
    /// Event type: exact, or a prefix ending in `*`.
    pub kind: Option<String>,
    /// Subject or order key, exact.
    pub subject: Option<String>,
    /// Accepted no longer ago than this.
    pub newer_than: Option<Duration>,
    /// Accepted longer ago than this.
    pub older_than: Option<Duration>,
    /// Text found in event id, type, subject, source or reason, without regard to ASCII case.
    pub text: Option<String>,
    /// Exactly these.
    pub ids: Vec<DeliveryId>,
}
