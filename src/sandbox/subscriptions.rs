//! The webhooks that a stand-in sends: where to, which topics, and whether it still does. A vendor that gives up after
//! failures disables the subscription until someone enables it by the API.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// What it tells of (`order.updated`).
    pub topic: String,
    /// The address that it calls.
    pub address: String,
    /// It sends.
    pub active: bool,
    /// Failures in a row.
    pub failures: u32,
}

/// All webhooks of a stand-in.
#[derive(Debug)]
pub struct Subscriptions {
    /// More failures in a row than this disable one.
    patience: u32,
    all: Mutex<Vec<Subscription>>,
}

impl Subscriptions {
    /// None yet; one that fails more often than `patience` times in a row is disabled.
    pub fn new(patience: u32) -> Self {
        Self {
            patience,
            all: Mutex::default(),
        }
    }

    /// Registers one.
    pub fn add(&self, id: &str, topic: &str, address: &str) {
        self.lock().push(Subscription {
            id: id.to_owned(),
            topic: topic.to_owned(),
            address: address.to_owned(),
            active: true,
            failures: 0,
        });
    }

    /// As they are now.
    pub fn all(&self) -> Vec<Subscription> {
        self.lock().clone()
    }

    /// Whether something of this topic is sent: a topic without a subscription of its own is told some other way.
    pub fn sends(&self, topic: &str) -> bool {
        let all = self.lock();
        let mut mine = all.iter().filter(|one| one.topic == topic).peekable();
        mine.peek().is_none() || mine.any(|one| one.active)
    }

    /// How a delivery of this topic ended.
    pub fn ended(&self, topic: &str, well: bool) {
        let patience = self.patience;
        for one in self
            .lock()
            .iter_mut()
            .filter(|one| one.topic == topic && one.active)
        {
            one.failures = if well { 0 } else { one.failures + 1 };
            one.active = one.failures <= patience;
        }
    }

    /// Changes the address of one.
    pub fn move_to(&self, id: &str, address: &str) {
        for one in self.lock().iter_mut().filter(|one| one.id == id) {
            address.clone_into(&mut one.address);
        }
    }

    /// Enables or disables one by the API; none if there is no such one.
    pub fn switch(&self, id: &str, active: bool) -> Option<Subscription> {
        let mut all = self.lock();
        let one = all.iter_mut().find(|one| one.id == id)?;
        (one.active, one.failures) = (active, 0);
        Some(one.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subscription>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_failures_are_borne_the_sixth_disables_and_the_api_enables_again() {
        let hooks = Subscriptions::new(5);
        hooks.add("1", "order.updated", "https://m.example/hooks/shop");
        for _ in 0..5 {
            hooks.ended("order.updated", false);
        }
        assert!(hooks.sends("order.updated"));
        hooks.ended("order.updated", true);
        for _ in 0..6 {
            hooks.ended("order.updated", false);
        }
        assert!(!hooks.sends("order.updated") && hooks.sends("order.created"));
        assert!(hooks.switch("1", true).is_some_and(|one| one.failures == 0));
        assert!(hooks.sends("order.updated"));
        assert_eq!(hooks.switch("2", true), None);
    }
}
