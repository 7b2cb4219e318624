//! A token of a system's budget that was taken before the requests it pays for were known: the dispatcher claims a
//! delivery only with a token in hand. What is not spent is given back. Used by mapped deliveries.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::queue::budget::Budget;

/// One token, spent at most once, given back when it is dropped unspent.
#[derive(Debug)]
pub struct Prepaid {
    system: String,
    budget: Budget,
    spent: AtomicBool,
}

impl Prepaid {
    /// A token that was taken of `system`'s `budget`.
    pub fn new(system: &str, budget: Budget) -> Self {
        Self {
            system: system.to_owned(),
            budget,
            spent: AtomicBool::new(false),
        }
    }

    /// Spends it on a request to `system`; false if it is spent, or of another system.
    pub(super) fn spend(&self, system: &str) -> bool {
        self.system == system && !self.spent.swap(true, Ordering::SeqCst)
    }

    /// Whether a request to its system was made with it.
    pub fn is_spent(&self) -> bool {
        self.spent.load(Ordering::SeqCst)
    }
}

impl Drop for Prepaid {
    fn drop(&mut self) {
        if !self.is_spent() {
            self.budget.give_back(1);
        }
    }
}
