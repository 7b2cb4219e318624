//! The one SQLite file: schema, writer, readers. Only this module knows SQL.

pub mod api;
pub mod reader;
pub mod view;

pub use api::{
    Health, Incoming, LogEntry, OpenError, Options, Receipt, Route, Store, StoreError, Turn, Want,
};
pub use reader::{Cursor, Reader};
