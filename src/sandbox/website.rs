//! The stand-in website: WooCommerce-like orders, listed and updated over REST.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use super::goods::Order;
use super::keys::{Keys, Seen};
use super::script::Faults;
use super::secrets;
use super::server::{Call, Reply, System};
use crate::time::{Clock, Timestamp};

/// Orders kept; the oldest finished ones are archived first.
pub const KEPT: usize = 2_000;

/// The website.
#[derive(Debug, Default)]
pub struct Website {
    orders: Mutex<BTreeMap<u64, Order>>,
    keys: Keys,
    clock: Clock,
}

#[derive(Deserialize)]
struct Paid {
    transaction_id: String,
}

impl Website {
    fn orders(&self) -> MutexGuard<'_, BTreeMap<u64, Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an order into the books. Returns the number of the one that was archived for it, if one was.
    pub fn take(&self, order: Order) -> Option<u64> {
        let mut orders = self.orders();
        orders.insert(order.number, order);
        (orders.len() > KEPT)
            .then(|| orders.pop_first().map(|(number, _)| number))
            .flatten()
    }

    /// Changes an order's status; returns the order as it is now.
    pub fn set_status(&self, number: u64, status: &'static str, now: Timestamp) -> Option<Order> {
        let mut orders = self.orders();
        let order = orders.get_mut(&number)?;
        (order.status, order.modified) = (status, now);
        Some(order.clone())
    }

    /// What its receiver saw of keys.
    pub fn seen(&self) -> Seen {
        self.keys.seen()
    }

    fn pay(&self, number: &str, call: &Call) -> Reply {
        let Ok(paid) = serde_json::from_slice::<Paid>(&call.body) else {
            let code = "rest_invalid_param";
            return error(400, code, "Invalid parameter(s): transaction_id");
        };
        let mut orders = self.orders();
        match number
            .parse()
            .ok()
            .and_then(|number: u64| orders.get_mut(&number))
        {
            None => error(404, "woocommerce_rest_shop_order_invalid_id", "Invalid ID."),
            Some(order) => {
                if !self.keys.note(call) {
                    order.transaction = Some(paid.transaction_id);
                    order.modified = self.clock.now();
                }
                Reply::json(200, &order.json())
            }
        }
    }
}

impl System for Website {
    fn answer(&self, call: &Call, faults: &Faults) -> Reply {
        if faults.locked || !secrets::opens_shop(call) {
            let words = "Consumer key is invalid.";
            return error(401, "woocommerce_rest_authentication_error", words);
        }
        match (call.method.as_str(), &call.segments()[..]) {
            ("GET", ["orders"]) => {
                let all: Vec<Value> = self.orders().values().map(Order::json).collect();
                Reply::json(200, &Value::Array(all))
            }
            ("PUT", ["orders", number]) => self.pay(number, call),
            _ => error(404, "rest_no_route", "No route was found matching the URL."),
        }
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    let body = json!({ "code": code, "message": message, "data": { "status": status } });
    Reply::json(status, &body)
}
