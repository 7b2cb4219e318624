//! The one SQLite file: schema, writer, readers. Only this module knows SQL.

mod accept;
mod act;
mod api;
mod backup;
mod batch;
mod filter_sql;
mod load;
mod lock;
mod order;
mod overview;
mod paths;
mod reader;
mod runs;
mod schema;
mod stats;
mod turn;
mod types;
pub mod view;
mod work;
mod writer;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod tests;

pub use api::Store;
pub use reader::{Cursor, ReadError, Reader};
pub use types::{
    BatchOptions, Health, Incoming, LogEntry, OpenError, Options, Receipt, Route, Started,
    StoreError, Turn, Want,
};
