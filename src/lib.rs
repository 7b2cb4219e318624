//! midwatch keeps a small business's integrations trustworthy, from a terminal: a durable retry queue and a
//! reconciliation loop behind, a console in front, one SQLite file beneath.

pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod cron;
pub mod duty;
pub mod event;
pub mod http;
pub mod ids;
pub mod incident;
pub mod ingest;
pub mod logging;
pub mod page;
pub mod queue;
pub mod reconcile;
pub mod record;
pub mod remote;
pub mod runbook;
pub mod sandbox;
pub mod source;
pub mod store;
pub mod time;
pub mod visible;
pub mod watch;
