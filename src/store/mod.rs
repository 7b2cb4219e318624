//! The one SQLite file: schema, writer, readers. Only this module knows SQL.

mod accept;
mod act;
mod adoption;
mod api;
mod backfills;
mod backup;
mod batch;
mod events;
mod filter_sql;
mod held;
mod incidents;
mod ledger;
mod lineage;
mod load;
mod lock;
mod needs;
mod notes;
mod order;
mod outside;
mod overview;
mod paths;
mod plans;
mod reader;
mod records;
mod release;
mod review;
mod runs;
mod schema;
mod senders;
mod shapes;
mod sides;
mod stats;
mod story;
mod turn;
mod types;
mod under_way;
pub mod view;
mod work;
mod writer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod review_tests;
#[cfg(test)]
mod tests;

pub use accept::{CAME_AGAIN, TOO_DEEP};
pub use api::Store;
pub use ledger::HashKey;
pub use lineage::reference;
pub use outside::Outside;
pub use plans::{plan_digest, tolerance};
pub use reader::{Cursor, IncidentDetail, ReadError, Reader, Soundness};
pub use types::{
    AdoptPage, AdoptRecord, Agreed, BatchOptions, Decided, Health, Incoming, Judged, LogEntry,
    MOST_ABOUT, Note, OpenError, Options, Receipt, Released, Route, Started, StoreError, Turn,
    Want,
};
