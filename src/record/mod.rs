//! Record maps: what a system's records look like, written once and used by paths, lookups, replay verdicts and
//! reconciliation. Pure: from declarations and bytes to values, requests and differences. Must never do I/O, and money
//! must never become a float. The dispatcher, `remote` and the command line call it.

pub mod ledger;
pub mod map;
pub mod value;
