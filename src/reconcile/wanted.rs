//! What a job reads of the records of one side. Pure: from the configuration.

use crate::config::model::{Matching, Records};

/// What is read of each record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The record type whose business key is taken instead of the record's own (the order of a payment).
    pub of: Option<String>,
    /// The fields, in the order in which they are compared.
    pub fields: Vec<WantedField>,
}

/// A field that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedField {
    /// Its canonical name.
    pub name: String,
    /// Read as a keyed hash.
    pub sensitive: bool,
}

impl Wanted {
    /// What a comparison reads of its side 0 or 1. With [`Matching::Money`] a payment's fields are what was captured, what was
    /// refunded and the status (the last two only where they are read); an order's are its total and its status.
    pub fn of(records: &Records, side: usize) -> Self {
        let plain = |name: &str| WantedField {
            name: name.to_owned(),
            sensitive: false,
        };
        match (&records.matching, side) {
            (Matching::Key, _) => Self {
                of: None,
                fields: (records.fields.iter())
                    .map(|field| WantedField {
                        name: field.name.clone(),
                        sensitive: field.sensitive,
                    })
                    .collect(),
            },
            (Matching::Money(money), 0) => Self {
                of: Some(money.of.clone()),
                fields: vec![
                    plain(&money.captured),
                    plain(money.refunded.as_deref().unwrap_or_default()),
                    plain("status"),
                ],
            },
            (Matching::Money(money), _) => Self {
                of: None,
                fields: vec![plain(&money.total), plain("status")],
            },
        }
    }
}
