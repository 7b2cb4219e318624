//! What readers get of lineage and of notes: what was caused by what, and what changed at the systems.

use serde::Serialize;

use crate::ids::{DeliveryId, EventId};
use crate::queue::model::State;
use crate::time::Timestamp;

/// Everything that one event belongs to: its oldest known ancestor, and all that was caused from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// The event that was asked for.
    pub asked: EventId,
    /// The tree, each event before what it caused, brothers in the order in which they came. The first is the root.
    pub nodes: Vec<TraceNode>,
    /// There is more than [`MOST_TRACED`]: what is left out is below or beside what is here, never between the root and
    /// the event that was asked for.
    pub cut: bool,
}

/// The most events that one trace shows.
pub const MOST_TRACED: usize = 500;

/// One event of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceNode {
    /// Its number.
    pub event: EventId,
    /// How many steps it is below the root.
    pub level: usize,
    /// The event that caused it; none for the root.
    pub cause: Option<EventId>,
    /// Nobody named the cause: midwatch had written one of its records into its source just before.
    pub inferred: bool,
    /// How many events make the chain that ends in it, itself too; from 1.
    pub depth: u32,
    /// What it belongs together with, as it said or inherited.
    pub correlation: Option<String>,
    /// What is still known of it; none once it was pruned.
    pub known: Option<TraceEvent>,
    /// Its deliveries, by number.
    pub deliveries: Vec<TraceDelivery>,
}

/// What is stored of an event in a trace. The texts come from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceEvent {
    /// Accepted at.
    pub at: Timestamp,
    /// Source.
    pub source: String,
    /// Its id at the source.
    pub id: String,
    /// Type.
    pub kind: String,
    /// Subject.
    pub subject: Option<String>,
    /// Why it has no delivery, if it is held or unrouted.
    pub reason: Option<String>,
}

/// One delivery in a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TraceDelivery {
    /// Its id.
    pub id: DeliveryId,
    /// Its path.
    pub path: String,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub changed: Timestamp,
    /// Why, in words; parts of it may come from outside.
    pub reason: Option<String>,
}
