//! Why a record cannot be read, carried over or written. The words may hold text from outside: show them through
//! [`crate::visible`]. The value of a sensitive field is never among them.

use super::pointer::PointerError;
use crate::event::expr::ExprError;
use crate::event::json::JsonError;
use crate::http::address::AddressError;

/// Why a record cannot be read, carried over or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes are no JSON.
    #[error("{what} is no JSON: {error}")]
    NotJson {
        /// `the event's data`, `the answer`.
        what: &'static str,
        /// Why.
        error: JsonError,
    },
    /// Something else stands where a record, or an array of them, should be.
    #[error("{what} has {found} at `{at}`, not {expected}")]
    Place {
        /// `the event's data`, `the answer`, or the record's name.
        what: String,
        /// JSON Pointer; empty for the whole.
        at: String,
        /// What should be there.
        expected: &'static str,
        /// What is there instead.
        found: &'static str,
    },
    /// No map says that events of this type carry such a record.
    #[error("events of type `{event}` carry no {kind}: see `events` and `from` of its record map")]
    NotCarried {
        /// The wanted record type.
        kind: String,
        /// The event's type.
        event: String,
    },
    /// The source names no record of the target's type: there is nothing to look up.
    #[error("{record} has no key of {kind} {}", if *own { "(its `key`)" } else { "(its `refs`)" })]
    NoKey {
        /// The source record, `system.type`.
        record: String,
        /// The target's type.
        kind: String,
        /// The types are the same: its own key is missing.
        own: bool,
    },
    /// One part of a record.
    #[error("{record}: {part}: {problem}")]
    Part {
        /// `system.type`.
        record: String,
        /// The field's name, or `key`, `version`, `created`, `refs.x`.
        part: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// A template of a request failed.
    #[error("cannot render the {part}: {error}")]
    Template {
        /// `body`, `header x`, `since`.
        part: String,
        /// Why.
        error: ExprError,
    },
    /// The URL makes no sense, or would lead elsewhere.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A header's value would end the header.
    #[error("the value of header {0} holds a control character")]
    Header(String),
    /// A rendered body is not the JSON that it is sent as.
    #[error("the rendered body is no JSON: {0}")]
    Body(JsonError),
}

/// What is wrong with one part of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The wrong kind of JSON.
    #[error("expected {expected}, found {found}")]
    Type {
        /// What its kind wants.
        expected: &'static str,
        /// What is there: a JSON type, or the text itself.
        found: String,
    },
    /// Outside the table of values.
    #[error("{value} is not in its table of values ({known})")]
    Table {
        /// The value.
        value: String,
        /// The table's side that was searched.
        known: String,
    },
    /// More decimals than the currency's minor unit: rounding would make another amount.
    #[error("{amount} {currency} has more than {exponent} decimals")]
    Decimals {
        /// The amount.
        amount: String,
        /// Its currency.
        currency: String,
        /// The currency's decimals.
        exponent: u8,
    },
    /// Longer than any amount.
    #[error("{0} is no amount of money")]
    Absurd(String),
    /// No currency code.
    #[error("{0} is no currency code")]
    Currency(String),
    /// The minor unit of this currency is unknown.
    #[error("{0} has no minor unit in ISO 4217")]
    NoMinorUnit(String),
    /// An amount without currency where one is needed.
    #[error("the amount has no currency, and the receiver needs one")]
    NoCurrency,
    /// An amount in one currency where another is meant.
    #[error("{found} where {expected} is meant")]
    OtherCurrency {
        /// The amount's.
        found: String,
        /// The field's, or that of another amount beside it.
        expected: String,
    },
    /// A value of one kind cannot become one of the other without a guess.
    #[error("{from} cannot be written as {to}")]
    Kind {
        /// What it is.
        from: &'static str,
        /// What the receiver's map wants.
        to: &'static str,
    },
    /// A set's text holds the separator of its target.
    #[error("{0} holds the separator of the receiver's list")]
    Separator(String),
    /// A computed value.
    #[error("{0}")]
    Template(#[from] ExprError),
    /// Its place in the JSON cannot be made.
    #[error("{0}")]
    Pointer(#[from] PointerError),
    /// The map has no such field.
    #[error("the map has no such field")]
    NoField,
}
