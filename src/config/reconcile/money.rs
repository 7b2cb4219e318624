//! The preset `payment-order`: which fields say what of payments (the first side) and of orders (the second).
//!
//! Nothing but `sides` has to be written where the record maps have the usual names.

use super::super::model::{JobSide, Money};
use super::super::reader::Section;
use super::super::values::check_reference;

/// The statuses of WooCommerce's orders, https://woocommerce.github.io/woocommerce-rest-api-docs/ ("Orders"), and those of
/// Stripe's payments, https://docs.stripe.com/payments/paymentintents/lifecycle.
const PAID: &[&str] = &["processing", "completed", "refunded", "paid"];
const PENDING: &[&str] = &["pending", "on-hold"];
const CANCELLED: &[&str] = &["cancelled", "failed", "trash"];
const COUNTS: &[&str] = &["succeeded"];

/// Reads it.
pub(super) fn read(section: &Section<'_>, sides: &[JobSide; 2]) -> Option<Money> {
    let [payment, order] = [&sides[0].map, &sides[1].map];
    let refs = payment.layout.refs.keys().map(String::as_str);
    let of =
        match section.get("of") {
            Some(value) => value.reference(&format!("`refs` of {}", sides[0].kind), refs)?,
            None if payment.layout.refs.contains_key(&sides[1].kind) => sides[1].kind.clone(),
            None => {
                section.error(
                &format!(
                    "systems.{}.records.{} has no refs.{}: nothing says which {} a {} belongs to",
                    sides[0].system, sides[0].kind, sides[1].kind, sides[1].kind, sides[0].kind
                ),
                Some(format!("add refs.{} = \"/metadata/order_id\"", sides[1].kind)),
            );
                return None;
            }
        };
    let field = |key, side: usize, usual: &[&str]| {
        let fields = &sides[side].map.layout.fields;
        if let Some(value) = section.get(key) {
            let text = value.filled("the name of a field")?;
            let what = format!("field of {}.{}", sides[side].system, sides[side].kind);
            let known = fields.keys().map(String::as_str);
            return check_reference(&value, &what, text, known).then(|| text.to_owned());
        }
        let found = usual.iter().find(|name| fields.contains_key(**name));
        found.map(|name| (*name).to_owned())
    };
    let captured = field("captured", 0, &["captured", "received", "amount"]);
    let refunded = field("refunded", 0, &["refunded"]);
    let total = field("total", 1, &["total", "amount"]);
    for (what, found, side) in [("captured", &captured, 0), ("total", &total, 1)] {
        if found.is_none() && section.get(what).is_none() {
            let side = &sides[side];
            section.error(
                &format!(
                    "systems.{}.records.{} has no field `{what}`",
                    side.system, side.kind
                ),
                Some(format!(
                    "say which of its fields it is: {what} = \"amount\""
                )),
            );
        }
    }
    for (side, map) in [(0, payment), (1, order)] {
        if !map.layout.fields.contains_key("status") {
            let side = &sides[side];
            section.error(
                &format!(
                    "systems.{}.records.{} has no field `status`",
                    side.system, side.kind
                ),
                None,
            );
        }
    }
    let words = |key, usual: &[&str]| match section.get(key) {
        Some(value) => value
            .texts("a list of statuses")
            .unwrap_or_default()
            .into_iter()
            .map(|(_, text)| text.to_owned())
            .collect(),
        None => usual
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>(),
    };
    let (paid, pending) = (words("paid", PAID), words("pending", PENDING));
    let becomes = match section.get("becomes") {
        Some(value) => {
            let text = value.filled("a status of a paid order")?;
            check_reference(
                &value,
                "status of `paid`",
                text,
                paid.iter().map(String::as_str),
            )
            .then(|| text.to_owned())
        }
        None => paid.first().cloned(),
    };
    Some(Money {
        of,
        captured: captured?,
        refunded,
        counts: words("counts", COUNTS),
        total: total?,
        paid,
        pending,
        cancelled: words("cancelled", CANCELLED),
        becomes,
    })
}
