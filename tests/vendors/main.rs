//! The presets as their users would use them, against stand-ins with the vendors' habits: signed hook in, mapped, looked up,
//! written, and nothing twice.

mod crm;
mod lists;
mod oauth;
mod others;
mod payments;
mod place;
mod presets;
mod probe;
