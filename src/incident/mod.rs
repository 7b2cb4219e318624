//! Incidents: what is wrong, gathered by its cause, from the first sign to the last; who has taken it, whom it was told
//! to, what was done.
//!
//! Pure, but for `run`, the loop that looks at the store and keeps what follows. `step` says what becomes of incidents by
//! what is wrong now, `act` what a person does with one, `pages` who must be told. They read no clock.

mod act;
mod export;
mod model;
mod pages;
mod run;
mod step;
mod walk;

pub use act::{Act, act};
pub use export::{Impact, post_mortem};
pub use model::{
    Ack, Detected, Incident, IncidentLine, Offer, PageRow, PageState, Signal, Silence, Stage,
    StepRow, StepState, Told,
};
pub use pages::{Due, due, page_of};
pub use run::spawn;
pub use step::{Seen, step};
pub use walk::{Bearings, Doing, doing, handed, runbook_of, said};

#[cfg(test)]
pub(crate) mod tests;
