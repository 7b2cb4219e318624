//! Values of a record in canonical form: the same whatever system wrote them.

use std::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// One field's value. A field that is missing is not in the record at all; null and blank are values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON null.
    Null,
    /// Text; may be blank.
    Text(String),
    /// True or false.
    Bool(bool),
    /// A number that is no money, as its source wrote it.
    Number(String),
    /// An exact amount.
    Money {
        /// Decimal text in major units, normal form (`12.1`, `-3`): never a float.
        amount: String,
        /// ISO 4217 code, upper case, where known.
        currency: Option<String>,
    },
    /// A point in time.
    Instant(Timestamp),
    /// Texts without order.
    Set(BTreeSet<String>),
}

impl Value {
    /// The value as one text: what the ledger keeps and screens show. Equal values have equal texts.
    pub fn canonical(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Bool(is) => is.to_string(),
            Self::Money {
                amount,
                currency: Some(currency),
            } => format!("{amount} {currency}"),
            Self::Money {
                amount,
                currency: None,
            } => amount.clone(),
            Self::Instant(at) => at.rfc3339(),
            Self::Set(texts) => serde_json::json!(texts).to_string(),
        }
    }
}

/// How new a record is: compared only with versions of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Time of the last change.
    Instant(Timestamp),
    /// A counter that only rises.
    Number(i64),
}

/// One record as a system holds it, or as it should be written, in canonical form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Its business key (an order number, an email address); none if the source has none.
    pub key: Option<String>,
    /// The id that the system gave it.
    pub id: Option<String>,
    /// How new it is.
    pub version: Option<Version>,
    /// When it was created, where the source says so.
    pub created: Option<Timestamp>,
    /// Fields by name.
    pub fields: BTreeMap<String, Value>,
    /// Business keys of the records that this one belongs to, by record type.
    pub refs: BTreeMap<String, String>,
}
