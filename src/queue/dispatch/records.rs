//! Which records are being written: one attempt at a time for each record of a receiving system, whatever path or event it
//! comes by, and no create of one whose last create may still be under way there. In memory: one process delivers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::ids::DeliveryId;

/// How long after an outcome that is not known a receiver may still finish what it was sent. No lookup that is to decide
/// about a create comes sooner: it would find nothing, and a duplicate would follow. The attempt's deadline has passed
/// before that (15 s unless the path says otherwise), so a receiver has that and this.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// A record in a receiving system.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) system: String,
    pub(super) kind: String,
    pub(super) key: String,
}

/// All records that are being written. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    locks: HashMap<Place, Arc<tokio::sync::Mutex<()>>>,
    /// Records whose last create may still be under way there, and until when.
    unsettled: HashMap<Place, Instant>,
    /// What deliveries of several records have done in their generation: keys of the records that were written.
    done: HashMap<DeliveryId, (u32, Vec<String>)>,
}

/// A record that nobody else writes while this is held.
#[derive(Debug)]
pub(super) struct Held {
    place: Place,
    records: Records,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Records {
    /// Waits until nobody else writes this record.
    pub(super) async fn hold(&self, place: Place) -> Held {
        let lock = Arc::clone(self.inner().locks.entry(place.clone()).or_default());
        let guard = lock.lock_owned().await;
        Held {
            place,
            records: self.clone(),
            guard: Some(guard),
        }
    }

    /// Whether this delivery has written the record of that key in this generation.
    pub(super) fn is_done(&self, delivery: DeliveryId, generation: u32, key: &str) -> bool {
        let inner = self.inner();
        let done = inner.done.get(&delivery);
        done.is_some_and(|(of, keys)| *of == generation && keys.iter().any(|done| done == key))
    }

    /// Remembers that it has.
    pub(super) fn done(&self, delivery: DeliveryId, generation: u32, key: &str) {
        let mut inner = self.inner();
        let (of, keys) = inner.done.entry(delivery).or_default();
        if *of != generation {
            *of = generation;
            keys.clear();
        }
        keys.push(key.to_owned());
    }

    /// The delivery is settled: nothing of it will be repeated.
    pub(super) fn settled(&self, delivery: DeliveryId) {
        self.inner().done.remove(&delivery);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Whole after each statement: a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// How long a create of this record may still be under way there.
    pub(super) fn unsettled(&self) -> Option<Duration> {
        let until = *self.records.inner().unsettled.get(&self.place)?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// A create is about to be sent, or was sent with an unknown outcome: it may be under way for so long.
    pub(super) fn unsettle(&self, span: Duration) {
        let now = Instant::now();
        let mut inner = self.records.inner();
        inner.unsettled.retain(|_, until| *until > now);
        inner.unsettled.insert(self.place.clone(), now + span);
    }

    /// The outcome is known.
    pub(super) fn settle(&self) {
        self.records.inner().unsettled.remove(&self.place);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.guard = None;
        let mut inner = self.records.inner();
        // Whoever waits for it has a handle of its own.
        if inner
            .locks
            .get(&self.place)
            .is_some_and(|lock| Arc::strong_count(lock) == 1)
        {
            inner.locks.remove(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EventId;

    fn place(key: &str) -> Place {
        Place {
            system: "crm".to_owned(),
            kind: "order".to_owned(),
            key: key.to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_nothing_is_kept_afterwards() {
        let records = Records::default();
        let first = records.hold(place("1")).await;
        let _other = records.hold(place("2")).await;
        let second = tokio::time::timeout(Duration::from_secs(1), records.hold(place("1")));
        assert!(second.await.is_err(), "it is held");
        let waiting = tokio::spawn({
            let records = records.clone();
            async move { drop(records.hold(place("1")).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        waiting.await.expect("it had its turn");
        assert_eq!(records.inner().locks.len(), 1, "only what is held");
    }

    #[tokio::test(start_paused = true)]
    async fn a_create_that_may_be_under_way_is_remembered_for_a_while() {
        let records = Records::default();
        let held = records.hold(place("1")).await;
        assert_eq!(held.unsettled(), None);
        held.unsettle(SETTLE);
        drop(held);
        let held = records.hold(place("1")).await;
        assert_eq!(held.unsettled(), Some(SETTLE));
        tokio::time::advance(SETTLE).await;
        assert_eq!(held.unsettled(), None);
        held.unsettle(SETTLE);
        held.settle();
        assert_eq!(held.unsettled(), None);
    }

    #[test]
    fn progress_belongs_to_a_generation() {
        let records = Records::default();
        let delivery = DeliveryId::new(EventId(1), 0);
        records.done(delivery, 1, "a");
        assert!(records.is_done(delivery, 1, "a") && !records.is_done(delivery, 1, "b"));
        assert!(!records.is_done(delivery, 2, "a"));
        records.done(delivery, 2, "b");
        assert!(!records.is_done(delivery, 1, "a") && records.is_done(delivery, 2, "b"));
        records.settled(delivery);
        assert!(records.inner().done.is_empty());
    }
}
