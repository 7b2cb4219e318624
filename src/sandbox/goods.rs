//! What Nordlys Coffee sells, and to whom: the orders of the demo. Deterministic by seed.

use serde_json::{Value, json};

use super::random::Random;
use crate::time::Timestamp;

/// Product and price in øre.
const GOODS: &[(&str, u64)] = &[
    ("Nordlys Espresso 500 g", 18_900),
    ("Tromsø Filter 250 g", 11_900),
    ("Svalbard Mørk 1 kg", 32_900),
    ("Lofoten Koffeinfri 250 g", 12_900),
    ("Aeropress Go", 44_900),
    ("Hario kaffekvern", 54_900),
    ("Papirfilter, 100 stk", 5_900),
    ("Gavekort", 50_000),
];

const FIRST: &[&str] = &[
    "Ingrid", "Kåre", "Astrid", "Øyvind", "Solveig", "Jonas", "Åse", "Mats", "Ragnhild", "Sindre",
    "Maja", "Leif", "Nora", "Håkon", "Tiril", "Aslak",
];

const LAST: &[&str] = &[
    "Hansen",
    "Johansen",
    "Berg",
    "Solbakken",
    "Lund",
    "Dahl",
    "Strand",
    "Nygård",
    "Moen",
    "Fjell",
    "Aas",
    "Haugen",
    "Vik",
    "Sæther",
];

const CITIES: &[&str] = &[
    "Tromsø",
    "Bergen",
    "Oslo",
    "Bodø",
    "Trondheim",
    "Ålesund",
    "Alta",
    "Stavanger",
];

/// The share of orders that are taken by telephone: no email address.
const BY_TELEPHONE: f64 = 0.3;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    first: &'static str,
    last: &'static str,
    city: &'static str,
    /// Blank for telephone orders.
    pub email: String,
}

impl Customer {
    /// Someone with an email address.
    pub fn new(random: &mut Random) -> Self {
        let (first, last) = (*random.pick(FIRST), *random.pick(LAST));
        let plain = format!("{first}.{last}")
            .to_lowercase()
            .replace('å', "aa")
            .replace('ø', "o")
            .replace('æ', "ae");
        Self {
            first,
            last,
            city: *random.pick(CITIES),
            email: format!("{plain}{}@post.example", random.below(100)),
        }
    }

    /// A registered customer, as WooCommerce writes one, without its id.
    pub fn row(&self, now: Timestamp) -> serde_json::Map<String, Value> {
        let members = [
            ("email", self.email.clone().into()),
            ("first_name", self.first.into()),
            ("last_name", self.last.into()),
            ("billing", self.billing()),
            ("date_created_gmt", gmt(now).into()),
            ("date_modified_gmt", gmt(now).into()),
        ];
        let named = members.into_iter();
        named
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// WooCommerce's billing block.
    pub fn billing(&self) -> Value {
        json!({
            "first_name": self.first,
            "last_name": self.last,
            "city": self.city,
            "country": "NO",
            "phone": "",
            "company": "",
            "email": self.email,
        })
    }
}

/// One order of the website.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub number: u64,
    /// `processing`, `completed`, `cancelled`, `refunded`.
    pub status: &'static str,
    /// Who ordered.
    pub customer: Customer,
    lines: Vec<(&'static str, u64, u64)>,
    created: Timestamp,
    /// When it last changed.
    pub modified: Timestamp,
    /// The payment, once it is known here.
    pub transaction: Option<String>,
    /// What the customer wrote.
    pub note: String,
}

impl Order {
    /// A new order.
    pub fn new(number: u64, random: &mut Random, now: Timestamp) -> Self {
        let mut customer = Customer::new(random);
        if random.chance(BY_TELEPHONE) {
            customer.email.clear();
        }
        let lines = (0..=random.below(3))
            .map(|_| {
                let (name, price) = *random.pick(GOODS);
                (name, 1 + random.below(2) as u64, price)
            })
            .collect();
        Self {
            number,
            status: "processing",
            customer,
            lines,
            created: now,
            modified: now,
            transaction: None,
            note: String::new(),
        }
    }

    /// An order of one gift card (500.00 NOK), from whoever has this address; blank is by telephone.
    pub fn gift(number: u64, email: &str, now: Timestamp) -> Self {
        let mut order = Self::new(number, &mut Random::new(number), now);
        order.lines = vec![("Gavekort", 1, 50_000)];
        email.clone_into(&mut order.customer.email);
        order
    }

    /// The total in øre (a hundredth of a krone).
    pub fn total(&self) -> u64 {
        self.lines
            .iter()
            .map(|(_, count, price)| count * price)
            .sum()
    }

    /// As WooCommerce writes it: amounts are texts, GMT times have no offset.
    pub fn json(&self) -> Value {
        let lines: Vec<_> = self
            .lines
            .iter()
            .map(|(name, count, price)| {
                json!({ "name": name, "quantity": count, "total": kroner(count * price) })
            })
            .collect();
        json!({
            "id": self.number,
            "number": self.number.to_string(),
            "status": self.status,
            "currency": "NOK",
            "total": kroner(self.total()),
            "billing": self.customer.billing(),
            "line_items": lines,
            "date_created_gmt": gmt(self.created),
            "date_modified_gmt": gmt(self.modified),
            "transaction_id": self.transaction.clone().unwrap_or_default(),
            "customer_note": self.note,
        })
    }
}

/// A time as WooCommerce writes it: GMT, without offset, in whole seconds.
pub fn gmt(at: Timestamp) -> String {
    at.utc().format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Øre as a decimal text.
pub fn kroner(ore: u64) -> String {
    format!("{}.{:02}", ore / 100, ore % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_takes_the_same_orders() {
        let orders = |seed| {
            let mut random = Random::new(seed);
            (1042..1092)
                .map(|number| Order::new(number, &mut random, Timestamp(0)).json())
                .collect::<Vec<_>>()
        };
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
        let blank = orders(7)
            .iter()
            .filter(|order| order["billing"]["email"] == "")
            .count();
        assert!((5..30).contains(&blank), "{blank} of 50 by telephone");
    }

    #[test]
    fn amounts_are_exact_decimals() {
        for (ore, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (18_900, "189.00"),
            (12_345_678, "123456.78"),
        ] {
            assert_eq!(kroner(ore), text);
        }
    }
}
