//! Stories of the whole program, told with the real binary: an operator at a terminal, and what may go wrong around it.
//!
//! Receivers are loopback servers of these tests; they end only processes that they started.

mod console;
mod place;
mod reliability;
mod terminal;
