//! The console: the screens that an operator sees. The only place that knows ratatui; nothing below knows of it.
//!
//! `update` turns the model and an input into the next model and effects, `views` draw the model, the driver does the
//! effects on threads of its own. Nothing here blocks the worker, and nothing here touches the database but a reader
//! on its own thread.

mod driver;
#[cfg(test)]
pub(crate) mod fixture;
mod input;
mod join;
pub mod json_view;
pub mod keymap;
pub mod markdown;
pub mod model;
pub mod paint;
mod reads;
pub mod spark;
mod term;
pub mod theme;
mod unseen;
pub mod update;
pub mod views;
mod widgets;

pub use driver::{ConsoleOptions, run};
pub use model::Demo;
pub use theme::Palette;
pub use update::Exit;
