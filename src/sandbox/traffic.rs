//! What happens at Nordlys Coffee: orders come in, are paid, sent, cancelled, refunded; people sign up.
//!
//! Deterministic by seed: the same seed tells the same story in the same order. It changes the stand-ins and makes the
//! messages that they would send to midwatch; sending them is the outbox's business.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::crm::Crm;
use super::goods::{Customer, Order};
use super::payments::Payments;
use super::random::Random;
use super::secrets;
use super::website::Website;
use crate::time::Timestamp;

/// The first order's number.
const FIRST_ORDER: u64 = 1042;
/// How many of the sign-ups come from the plugin's first version.
const FIRST_PLUGIN: f64 = 0.3;
/// Orders remembered as open, paid or unpaid.
const OPEN: usize = 400;

/// Who sends a message: each sender keeps its messages in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The website.
    Shop,
    /// The payment provider.
    Payments,
    /// The CRM.
    Crm,
}

/// One request to midwatch's front door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who sends it.
    pub sender: Sender,
    /// `/hooks/...` or `/events`.
    pub path: &'static str,
    /// The subscription's topic, if it comes by one that may be disabled.
    pub topic: Option<&'static str>,
    /// Headers beside content type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
    /// A vendor's habit: the same message a second time. midwatch must not take it for a new one.
    pub again: bool,
}

/// The generator.
#[derive(Debug)]
pub struct Traffic {
    website: Arc<Website>,
    payments: Arc<Payments>,
    crm: Arc<Crm>,
    random: Random,
    next_order: u64,
    next_customer: u64,
    /// Orders whose payment was taken and not told of yet: number and event.
    untold: VecDeque<(u64, Value)>,
    unsent: VecDeque<u64>,
    paid: VecDeque<u64>,
    last_payment: Option<Message>,
    /// What follows from what happened last.
    next: VecDeque<Message>,
}

impl Traffic {
    /// Traffic between these stand-ins.
    pub fn new(website: Arc<Website>, payments: Arc<Payments>, crm: Arc<Crm>, seed: u64) -> Self {
        Self {
            website,
            payments,
            crm,
            random: Random::new(seed),
            next_order: FIRST_ORDER,
            next_customer: 1,
            untold: VecDeque::new(),
            unsent: VecDeque::new(),
            paid: VecDeque::new(),
            last_payment: None,
            next: VecDeque::new(),
        }
    }

    /// The next thing that happens.
    pub fn next(&mut self, now: Timestamp) -> Message {
        if let Some(message) = self.next.pop_front() {
            return message;
        }
        let happened = match self.random.below(100) {
            0..40 => None,
            40..60 => self.finish_order(now),
            60..82 => self.pay_order(now),
            82..86 => self.refund_order(now),
            86..96 => Some(self.sign_up(now)),
            _ => self.last_payment.clone().map(|message| Message {
                again: true,
                ..message
            }),
        };
        match happened {
            Some(message) => message,
            None => self.take_order(now),
        }
    }

    fn take_order(&mut self, now: Timestamp) -> Message {
        let order = Order::new(self.next_order, &mut self.random, now);
        self.next_order += 1;
        let payment = self.payments.charge(order.number, order.total(), now);
        remember(&mut self.untold, (order.number, payment));
        remember(&mut self.unsent, order.number);
        let message = webhook("order.created", order.number, &order.json());
        if let Some(archived) = self.website.take(order) {
            self.crm.archive(archived);
        }
        message
    }

    fn finish_order(&mut self, now: Timestamp) -> Option<Message> {
        if self.unsent.len() < 3 {
            return None;
        }
        let number = self.unsent.pop_front()?;
        let status = if self.random.chance(0.1) {
            "cancelled"
        } else {
            "completed"
        };
        let order = self.website.set_status(number, status, now)?;
        if status == "cancelled"
            && let Some(told) = self.give_back(number, now)
        {
            self.next.push_back(told);
        }
        Some(webhook("order.updated", number, &order.json()))
    }

    fn pay_order(&mut self, now: Timestamp) -> Option<Message> {
        let (number, event) = self.untold.pop_front()?;
        remember(&mut self.paid, number);
        Some(self.payment(&event, now))
    }

    fn refund_order(&mut self, now: Timestamp) -> Option<Message> {
        let place = self.random.below(self.paid.len());
        let number = self.paid.remove(place)?;
        let told = self.give_back(number, now)?;
        let order = self.website.set_status(number, "refunded", now)?;
        self.unsent.retain(|unsent| *unsent != number);
        self.next.push_back(told);
        Some(webhook("order.updated", number, &order.json()))
    }

    /// Gives the money of an order back; returns what the payment provider tells of it.
    fn give_back(&mut self, number: u64, now: Timestamp) -> Option<Message> {
        let event = self.payments.refund(number, now)?;
        Some(self.payment(&event, now))
    }

    /// Sign-ups come from a plugin that speaks CloudEvents to `POST /events`.
    fn sign_up(&mut self, now: Timestamp) -> Message {
        let customer = Customer::new(&mut self.random);
        let id = self.next_customer;
        self.next_customer += 1;
        let whole = self.website.register(&customer, now);
        // Some of the shop's pages still have the plugin's first version.
        let (version, data) = if self.random.chance(FIRST_PLUGIN) {
            ("1", first_version(whole))
        } else {
            ("2", whole)
        };
        signed_up(
            &format!("signup-{id}"),
            &customer.email,
            version,
            &data,
            now,
        )
    }

    fn payment(&mut self, event: &Value, now: Timestamp) -> Message {
        let body = Bytes::from(event.to_string());
        let message = Message {
            sender: Sender::Payments,
            path: "/hooks/payments",
            topic: None,
            headers: vec![
                ("content-type", "application/json".to_owned()),
                (
                    "stripe-signature",
                    secrets::stripe(now.0.div_euclid(1000), &body),
                ),
            ],
            body,
            again: false,
        };
        self.last_payment = Some(message.clone());
        message
    }
}

/// A sign-up as the plugin's first version wrote it: one name instead of two.
fn first_version(mut data: Value) -> Value {
    if let Some(members) = data.as_object_mut() {
        let mut take = |name: &str| match members.remove(name) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let name = format!("{} {}", take("first_name"), take("last_name"));
        members.insert("name".to_owned(), name.into());
    }
    data
}

/// A sign-up as the plugin tells of it, in that version of its contract.
pub fn signed_up(id: &str, email: &str, version: &str, data: &Value, now: Timestamp) -> Message {
    let mut event = json!({
        "id": id,
        "source": "shop",
        "type": "customer.created",
        "subject": email,
        "schemaversion": version,
        "data": data,
    });
    cloud_event(Sender::Shop, &mut event, now)
}

/// What a workflow in the CRM tells of a contact that a colleague changed; `n` tells one from the other.
pub fn edited(n: u64, contact: &Value, now: Timestamp) -> Message {
    let mut event = json!({
        "id": format!("workflow-{n}"),
        "source": "crm",
        "type": "contact.changed",
        "data": contact,
    });
    cloud_event(Sender::Crm, &mut event, now)
}

/// A structured CloudEvents message with the members that all have.
fn cloud_event(sender: Sender, event: &mut Value, now: Timestamp) -> Message {
    event["specversion"] = "1.0".into();
    event["time"] = now.rfc3339().into();
    event["datacontenttype"] = "application/json".into();
    Message {
        sender,
        path: "/events",
        topic: None,
        headers: vec![("content-type", "application/cloudevents+json".to_owned())],
        body: event.to_string().into(),
        again: false,
    }
}

/// A signed webhook as WooCommerce sends it.
pub fn webhook(topic: &'static str, number: u64, record: &Value) -> Message {
    let body = Bytes::from(record.to_string());
    let (resource, event) = topic.split_once('.').unwrap_or((topic, ""));
    Message {
        sender: Sender::Shop,
        path: "/hooks/shop",
        topic: Some(topic),
        headers: vec![
            ("content-type", "application/json".to_owned()),
            ("x-wc-webhook-source", "https://nordlys.example/".to_owned()),
            ("x-wc-webhook-topic", topic.to_owned()),
            ("x-wc-webhook-resource", resource.to_owned()),
            ("x-wc-webhook-event", event.to_owned()),
            ("x-wc-webhook-id", "1".to_owned()),
            ("x-wc-webhook-delivery-id", format!("{number}-{event}")),
            ("x-wc-webhook-signature", secrets::woocommerce(&body)),
        ],
        body,
        again: false,
    }
}

/// Adds to a list that forgets its oldest.
fn remember<T>(list: &mut VecDeque<T>, item: T) {
    list.push_back(item);
    if list.len() > OPEN {
        list.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn story(seed: u64, count: i64) -> Vec<Message> {
        let mut traffic = Traffic::new(Arc::default(), Arc::default(), Arc::default(), seed);
        (0..count)
            .map(|n| traffic.next(Timestamp(n * 300)))
            .collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        assert_eq!(story(1, 300), story(1, 300));
        assert_ne!(story(1, 300), story(2, 300));
    }

    #[test]
    fn every_kind_of_message_occurs_and_none_twice_unless_it_says_so() {
        let story = story(1, 600);
        let mut kinds: HashMap<String, u32> = HashMap::new();
        let mut bodies = HashSet::new();
        for message in &story {
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            let topic = message
                .headers
                .iter()
                .find(|(name, _)| *name == "x-wc-webhook-topic");
            let kind = topic.map_or_else(|| body["type"].to_string(), |(_, topic)| topic.clone());
            *kinds.entry(kind).or_default() += 1;
            assert_eq!(
                bodies.insert(message.body.clone()),
                !message.again,
                "{body}"
            );
        }
        assert_eq!(kinds.len(), 5, "{kinds:?}");
        assert!(kinds.values().all(|count| *count >= 5), "{kinds:?}");
        assert!(story.iter().any(|message| message.again));
    }
}
