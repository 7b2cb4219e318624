//! What people do by hand to the stand-ins while the demo runs, and what a website's plugin does after an update. Done once,
//! when the script says so; what a vendor would tell of it by webhook goes into the outbox.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::crm::Crm;
use super::goods::{Customer, Order};
use super::outbox::Outbox;
use super::payments::Payments;
use super::random::Random;
use super::script::Deed;
use super::traffic::{edited, signed_up, webhook};
use super::website::Website;
use crate::time::Clock;

/// The topic of the webhook that disables itself.
pub(super) const ORDER_UPDATED: &str = "order.updated";

/// Sign-ups that an updated plugin sends before it is mended.
const BROKEN: u64 = 3;

/// Orders that get lost have numbers of their own, beyond all others.
const FIRST_LOST: u64 = 90_000;

/// Does deeds.
#[derive(Debug)]
pub(super) struct Deeds {
    pub(super) website: Arc<Website>,
    pub(super) crm: Arc<Crm>,
    pub(super) payments: Arc<Payments>,
    pub(super) outbox: Outbox,
    pub(super) random: Random,
    /// How many sign-ups were broken so far.
    pub(super) broken: u64,
    /// How many contacts were edited so far.
    pub(super) edits: u64,
    /// How many orders were lost so far.
    pub(super) lost: u64,
}

impl Deeds {
    /// Does one.
    pub(super) async fn done(&mut self, deed: Deed) {
        match deed {
            Deed::DisableHook => {
                let hooks = self.website.hooks();
                while hooks.sends(ORDER_UPDATED) {
                    hooks.ended(ORDER_UPDATED, false);
                }
            }
            Deed::EnableHook => {
                let hooks = self.website.hooks();
                for hook in hooks.all().iter().filter(|hook| !hook.active) {
                    hooks.switch(&hook.id, true);
                }
            }
            Deed::UpdatePlugin => self.update_plugin().await,
            Deed::EditContact => self.edit_contact().await,
            Deed::EditBoth => self.edit_both().await,
            Deed::LoseOrder => self.lose_order(),
            Deed::LateRefund => self.late_refund(),
            Deed::EditDeal | Deed::DeleteDeal | Deed::MendDeals => self.crm.befall(deed),
        }
    }

    /// Somebody known orders a gift card and pays; nobody is told.
    fn lose_order(&mut self) {
        let Some((_, email)) = self.shared(2) else {
            return;
        };
        let now = Clock::System.now();
        self.lost += 1;
        let order = Order::gift(FIRST_LOST + self.lost, &email, now);
        self.payments.charge(order.number, order.total(), now);
        self.website.take(order);
    }

    /// The newest order that was sent is paid back, and nobody is told.
    fn late_refund(&self) {
        if let Some(number) = self.website.newest("completed") {
            self.payments.refund(number, Clock::System.now());
        }
    }

    /// The sign-up plugin was updated: what it sends says version 2, and is not.
    async fn update_plugin(&mut self) {
        let now = Clock::System.now();
        for _ in 0..BROKEN {
            self.broken += 1;
            let customer = Customer::new(&mut self.random);
            let mut data = self.website.register(&customer, now);
            if let Some(members) = data.as_object_mut()
                && let Some(email) = members.remove("email")
            {
                members.insert("mail".to_owned(), email);
            }
            let id = format!("signup-update-{}", self.broken);
            let message = signed_up(&id, &customer.email, "2", &data, now);
            self.outbox.send(message).await;
        }
    }

    /// A colleague changes what the CRM owns of a contact, and what it does not.
    async fn edit_contact(&mut self) {
        if let Some((_, email)) = self.shared(0) {
            let (company, city) = ("Fjord Kontor AS", "Svolvær");
            self.edit(&email, &[("company", company), ("city", city)])
                .await;
        }
    }

    /// A colleague changes a telephone number in the CRM while the customer changes it on the website.
    async fn edit_both(&mut self) {
        let Some((id, email)) = self.shared(1) else {
            return;
        };
        let now = Clock::System.now();
        self.edit(&email, &[("phone", "+47 400 00 001")]).await;
        if let Some(customer) = self.website.call_by(id, "+47 400 00 002", now) {
            let message = webhook("customer.updated", id, &customer);
            self.outbox.send(message).await;
        }
    }

    async fn edit(&mut self, email: &str, changes: &[(&str, &str)]) {
        let changes: Map<String, Value> = changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        if let Some(contact) = self.crm.edit("contacts", email, changes) {
            self.edits += 1;
            let message = edited(self.edits, &contact, Clock::System.now());
            self.outbox.send(message).await;
        }
    }

    /// The newest registered customers that are contacts too: id there and address, after passing over `older` of them.
    fn shared(&self, older: usize) -> Option<(u64, String)> {
        let known = self.website.newest_customers();
        known
            .into_iter()
            .filter(|(_, email)| self.crm.find("contacts", email).is_some())
            .nth(older)
    }
}
