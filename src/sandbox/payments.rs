//! The stand-in payment provider: Stripe-like payments, announced by signed webhooks and listed over REST.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::script::Faults;
use super::secrets;
use super::server::{Call, Reply, System};
use crate::time::Timestamp;

/// Payments kept for the listing.
const KEPT: usize = 2_000;

/// The payment provider.
#[derive(Debug, Default)]
pub struct Payments {
    payments: Mutex<VecDeque<Payment>>,
}

#[derive(Debug, Clone)]
struct Payment {
    order: u64,
    amount: u64,
    refunded: bool,
    created: i64,
}

impl Payment {
    fn id(&self) -> String {
        format!("pi_demo_{}", self.order)
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id(),
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": self.amount,
            "currency": "nok",
            "status": "succeeded",
            "refunded": self.refunded,
            "created": self.created,
            "metadata": { "order": self.order.to_string() },
        })
    }
}

impl Payments {
    fn payments(&self) -> MutexGuard<'_, VecDeque<Payment>> {
        self.payments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `amount` øre for an order; returns the event that its webhook carries.
    pub fn charge(&self, order: u64, amount: u64, now: Timestamp) -> Value {
        let payment = Payment {
            order,
            amount,
            refunded: false,
            created: now.0.div_euclid(1000),
        };
        let event = event("payment_intent.succeeded", order, &payment.json(), now);
        let mut payments = self.payments();
        payments.push_back(payment);
        if payments.len() > KEPT {
            payments.pop_front();
        }
        event
    }

    /// Gives an order's money back; returns the event that its webhook carries.
    pub fn refund(&self, order: u64, now: Timestamp) -> Option<Value> {
        let mut payments = self.payments();
        let payment = payments
            .iter_mut()
            .find(|p| p.order == order && !p.refunded)?;
        payment.refunded = true;
        let charge = json!({
            "id": format!("ch_demo_{order}"),
            "object": "charge",
            "amount_refunded": payment.amount,
            "currency": "nok",
            "payment_intent": payment.id(),
            "metadata": { "order": order.to_string() },
        });
        Some(event("charge.refunded", order, &charge, now))
    }
}

fn event(kind: &str, order: u64, object: &Value, now: Timestamp) -> Value {
    let short = kind.rsplit('.').next().unwrap_or_default();
    json!({
        "id": format!("evt_demo_{order}_{short}"),
        "object": "event",
        "api_version": "2026-10-29",
        "created": now.0.div_euclid(1000),
        "type": kind,
        "data": { "object": object },
    })
}

impl System for Payments {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        let error = |status, kind: &str, message: &str| {
            Reply::json(
                status,
                &json!({ "error": { "type": kind, "message": message } }),
            )
        };
        if faults.locked || !secrets::bears(call, secrets::PAYMENTS_KEY) {
            return error(401, "invalid_request_error", "Expired API Key provided");
        }
        match (call.method.as_str(), &call.segments()[..]) {
            ("GET", ["v1", "payment_intents"]) => {
                let all: Vec<Value> = self.payments().iter().map(Payment::json).collect();
                Reply::json(
                    200,
                    &json!({ "object": "list", "has_more": false, "data": all }),
                )
            }
            _ => error(404, "invalid_request_error", "Unrecognized request URL"),
        }
    }
}
