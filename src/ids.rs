//! Identifiers: small typed integers that order by time of acceptance. They are ours, not SQLite's,
//! and are what an operator types (`midwatch show 1042-1`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One accepted event. Positive, allocated by the store's writer in commit order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub i64);

/// One delivery: an event on one path. Written `EVENT-N`, N counting the event's paths from 1.
///
/// Inside it is `event * 256 + ordinal`, so that the deliveries of an event are neighbours and need no index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub i64);

/// The most paths one event can fan out to.
pub const MAX_FAN_OUT: usize = 256;

impl DeliveryId {
    /// The delivery of `event` on its `ordinal`-th path (0-based).
    pub fn new(event: EventId, ordinal: u8) -> Self {
        Self(event.0 * MAX_FAN_OUT as i64 + i64::from(ordinal))
    }

    /// The event that is delivered.
    pub fn event(self) -> EventId {
        EventId(self.0.div_euclid(MAX_FAN_OUT as i64))
    }

    /// 0-based place among the event's paths.
    pub fn ordinal(self) -> u8 {
        self.0.rem_euclid(MAX_FAN_OUT as i64) as u8
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.event().0, u16::from(self.ordinal()) + 1)
    }
}

/// What was typed is no delivery id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no delivery id: expected EVENT-N, for example 1042-1")]
pub struct BadDeliveryId(String);

impl FromStr for DeliveryId {
    type Err = BadDeliveryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadDeliveryId(text.to_owned());
        let (event, ordinal) = text.split_once('-').unwrap_or((text, "1"));
        let event: i64 = event.parse().map_err(|_| bad())?;
        let ordinal: u16 = ordinal.parse().map_err(|_| bad())?;
        if !(1..=i64::MAX / 512).contains(&event) || !(1..=MAX_FAN_OUT as u16).contains(&ordinal) {
            return Err(bad());
        }
        Ok(Self::new(EventId(event), (ordinal - 1) as u8))
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeliveryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The store's number for a path name; stays the same while the database lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PathId(pub i64);

/// One replay batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BatchId(pub i64);

/// One execution of a reconciliation job.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a reconciliation would write, for a person to approve.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PlanId(pub i64);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One incident.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct IncidentId(pub i64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One listing of what was missed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BackfillId(pub i64);

/// One field of which a person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReviewId(pub i64);

impl fmt::Display for ReviewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A stable hash of what went wrong: failures are grouped by it. Shown as 8 hex digits of the low half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub i64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 as u32)
    }
}

/// A group of held events: what they have in common, as a short number that stays the same. Written as 8 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldGroupId(pub u32);

impl fmt::Display for HeldGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What was typed is no group of held events.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no group: expected 8 hex digits, as `midwatch held` shows them")]
pub struct BadHeldGroupId(String);

impl FromStr for HeldGroupId {
    type Err = BadHeldGroupId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits
            .then(|| u32::from_str_radix(text, 16).ok())
            .flatten()
            .map(Self)
            .ok_or_else(|| BadHeldGroupId(text.to_owned()))
    }
}

impl Serialize for HeldGroupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HeldGroupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_id_reads_back_what_it_prints() {
        for (event, ordinal) in [(1, 0), (1042, 3), (9_000_000_000, 255)] {
            let id = DeliveryId::new(EventId(event), ordinal);
            assert_eq!(id.to_string().parse(), Ok(id));
            assert_eq!((id.event().0, id.ordinal()), (event, ordinal));
        }
    }

    #[test]
    fn a_bare_event_number_means_its_first_delivery_and_nonsense_is_refused() {
        assert_eq!("7".parse(), Ok(DeliveryId::new(EventId(7), 0)));
        for bad in ["", "-1", "0-1", "1-0", "1-257", "x-1", "1-x", "1-1-1"] {
            assert!(bad.parse::<DeliveryId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_held_group_reads_back_what_it_prints() {
        for id in [0, 7, 0xdead_beef, u32::MAX].map(HeldGroupId) {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "7", "+1234567", "123456789", "1234567g"] {
            assert!(text.parse::<HeldGroupId>().is_err(), "{text}");
        }
    }
}
