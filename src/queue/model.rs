//! The words of the queue as types: delivery states, outcome classes, fences, attempts and settlements.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{BatchId, DeliveryId, Fingerprint, PathId};
use crate::time::Timestamp;

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $code:literal $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $word)] $variant),+ }
        impl $name {
            /// Every value, in stored order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The number stored for it.
            pub fn code(self) -> i64 { match self { $(Self::$variant => $code),+ } }
            /// The value of a stored number.
            pub fn from_code(code: i64) -> Option<Self> { match code { $($code => Some(Self::$variant),)+ _ => None } }
            /// The word shown and typed.
            pub fn word(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.word()) }
        }
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.word() == text).ok_or_else(|| {
                    let words: Vec<_> = Self::ALL.iter().map(|v| v.word()).collect();
                    format!("`{text}` is none of {}", words.join(", "))
                })
            }
        }
    };
}

words! {
    /// Where a delivery stands.
    State {
        /// Will be attempted when it is due.
        Ready = 0 "ready",
        /// An attempt is under way.
        Running = 1 "running",
        /// Behind an earlier delivery of the same order key.
        Waiting = 2 "waiting",
        /// The receiver took it.
        Delivered = 3 "delivered",
        /// Given up, with a reason; stays until reviewed.
        Dead = 4 "dead",
        /// Stopped by a rule or a person until released.
        Held = 5 "held",
        /// An operator gave it up.
        Cancelled = 6 "cancelled",
        /// A newer delivery made it needless, with proof.
        Superseded = 7 "superseded",
        /// Rendered and recorded on a path in shadow mode: nothing was sent.
        Shadowed = 8 "shadowed",
    }
}

impl State {
    /// Nothing more happens by itself.
    pub fn is_settled(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Dead | Self::Cancelled | Self::Superseded | Self::Shadowed
        )
    }

    /// Counts as backlog: accepted, not yet settled, not held.
    pub fn is_backlog(self) -> bool {
        matches!(self, Self::Ready | Self::Running | Self::Waiting)
    }
}

words! {
    /// What an attempt's end means (the classes of the path's contract).
    Class {
        /// 2xx.
        Delivered = 0 "delivered",
        /// 408, 425, 5xx, or the network before anything was sent: try again.
        Transient = 1 "transient",
        /// 429, or 503 with Retry-After: try again, never sooner than asked.
        Throttled = 2 "throttled",
        /// 400, 422: the receiver says the body is wrong.
        Rejected = 3 "rejected",
        /// 3xx and other 4xx: trying again cannot help.
        Permanent = 4 "permanent",
        /// 401, 403: the path pauses, the delivery is not charged.
        Auth = 5 "auth",
        /// 410: the path pauses, the delivery is not charged.
        Gone = 6 "gone",
        /// Sent, but no answer was read: it may have happened.
        Unknown = 7 "unknown",
        /// Nothing was written, by a rule: it waits, is superseded, is only recorded, or goes to a person. No failure.
        Withheld = 8 "withheld",
    }
}

/// Tells one attempt from every other: a settle that does not carry the current fence changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// Raised each time a worker takes the database.
    pub epoch: i64,
    /// Raised by each replay.
    pub generation: u32,
    /// Number of the attempt within its generation, from 1.
    pub attempt: u32,
}

/// A request, rendered: what an attempt sends, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// HTTP method, upper case.
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header names (lower case) and values, without secrets and without the idempotency key.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// The idempotency key that belongs to these bytes.
    pub key: String,
}

/// A delivery that this worker has claimed, with all that an attempt needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// On which path.
    pub path: PathId,
    /// What its settlement must carry.
    pub fence: Fence,
    /// Charged attempts of this generation before this one.
    pub charged: u32,
    /// When the event was accepted.
    pub accepted_at: Timestamp,
    /// When this attempt was due.
    pub due_at: Timestamp,
    /// It was running when a worker died, more than once: it must run with nothing beside it.
    pub suspect: bool,
    /// The replay batch that raised this generation, if one did.
    pub batch: Option<BatchId>,
    /// A person forced it by the name of its record: nothing newer holds it back.
    pub forced: bool,
    /// The event.
    pub event: std::sync::Arc<crate::event::Event>,
    /// What the event belongs together with, as it said or inherited; none where it begins a chain or is alone.
    pub correlation: Option<String>,
    /// The request frozen at an earlier attempt of this generation, if the path renders one.
    pub frozen: Option<Request>,
    /// The idempotency key used before (an earlier generation), for comparison with today's rendering.
    pub last_key: Option<String>,
    /// The class of the last attempt that ended, of whatever generation.
    pub last_class: Option<Class>,
    /// When that attempt ended, where it is known.
    pub last_ended: Option<Timestamp>,
}

/// What was read of a receiver's answer, capped and unredacted: make it `Visible` before it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Selected headers, names lower case.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub body: Vec<u8>,
    /// The body was longer.
    pub truncated: bool,
}

/// One attempt as it is remembered.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What its end means.
    pub class: Class,
    /// HTTP status, if one was read.
    pub status: Option<u16>,
    /// It counts against the path's schedule.
    pub charged: bool,
    /// What went wrong, in words; empty when delivered.
    pub error: String,
    /// The answer; empty when none was read or nothing is worth keeping.
    pub answer: Answer,
    /// Method and URL.
    pub target: (String, String),
    /// The key it carried.
    pub key: String,
    /// Hash of the configuration it ran under, first 8 bytes as a number.
    pub config: i64,
    /// Stable hash of what went wrong; none when delivered.
    pub fingerprint: Option<Fingerprint>,
    /// The requests of a mapped path's attempt, in order; empty where there was only the one of `target`.
    pub steps: Vec<Step>,
}

/// One request of an attempt that took several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What for: `read`, `lookup`, `create`, `update`, `link contact`.
    pub what: String,
    /// HTTP method.
    pub method: String,
    /// URL, unredacted: make it `Visible` before it is shown.
    pub url: String,
    /// HTTP status, if one was read.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub millis: u32,
    /// What it brought, in a few words of ours (`not there`, `id 9001`, `already so`).
    pub note: String,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Delivered,
    /// Ready again at `due`; the attempt was charged if the attempt says so.
    Retry {
        /// When.
        due: Timestamp,
    },
    /// Ready again at `due` at the latest, uncharged and without a trace: the owner of a field that it writes is down. It is
    /// looked at sooner when that system is back.
    Deferred {
        /// When.
        due: Timestamp,
        /// What it waits for, in words.
        reason: String,
        /// The system that is down.
        owner: String,
    },
    /// Given up.
    Dead {
        /// Why, for the operator.
        reason: String,
    },
    /// Waits until the id of another record is known in a system; then ready again. The attempt is not charged.
    Wait {
        /// What for.
        need: Need,
        /// In words.
        reason: String,
    },
    /// Held until a person decides (two hits of one lookup, a deadline passed).
    Review {
        /// Why.
        reason: String,
    },
    /// Something newer was delivered, or the receiver holds it already: nothing was sent.
    Superseded {
        /// The proof, in words.
        reason: String,
    },
    /// Rendered on a path in shadow mode: kept, not sent.
    Shadowed {
        /// What would have been sent.
        request: Request,
        /// What it would have done, in words.
        reason: String,
    },
}

/// A record whose id in a system is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The system.
    pub system: String,
    /// The record type.
    pub kind: String,
    /// The business key.
    pub key: String,
    /// After this it goes to review.
    pub until: Timestamp,
}

/// The end of a claim: exactly one for each.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The claim's fence.
    pub fence: Fence,
    /// The attempt; none if the claim was handed back before anything was sent (breaker, pause, limit, shutdown).
    pub attempt: Option<Attempt>,
    /// What becomes of it.
    pub next: Next,
}
