//! Record maps: what a system's records look like, written once and used by paths, lookups, replay verdicts and
//! reconciliation. Pure: from declarations and bytes to values, requests and differences. Must never do I/O, and money
//! must never become a float. The dispatcher, `remote` and the command line call it.

pub mod alike;
pub mod amount;
pub mod body;
mod compare;
mod convert;
pub mod currency;
pub mod decimal;
pub mod edit;
pub mod error;
mod form;
pub(crate) mod instant;
pub mod json;
pub mod ledger;
pub mod map;
pub mod mask;
pub mod ownership;
pub mod pointer;
pub mod read;
pub mod shape;
#[cfg(test)]
mod testing;
mod translate;
pub mod value;
mod wire;

pub use compare::{FieldDiff, compare, same_by};
pub use error::{Problem, RecordError};
pub use translate::{held_as, is_written, translate, written};
