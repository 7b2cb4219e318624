//! What the database adds to a probe: how the system's webhook stands, and a record to look up. Reads only; called by the
//! action layer, and by `midwatch probe` where no worker runs.

use crate::config::model::System;
use crate::remote::probe::Facts;
use crate::store::{ReadError, Reader};

/// Records that are looked through for one that the system holds.
const LOOK: usize = 20;

/// The longest key that is asked for: the store cuts longer ones.
const LONGEST_KEY: usize = 200;

/// What the database knows of `system`.
///
/// # Errors
/// When it cannot be read.
pub fn facts(reader: &Reader, system: &System) -> Result<Facts, ReadError> {
    let mut known = None;
    for (kind, map) in &system.records {
        if map.lookup.is_none() || known.is_some() {
            continue;
        }
        let rows = reader.record_search(Some(kind), "", LOOK)?;
        known = rows
            .into_iter()
            .find(|row| row.ids.contains_key(&system.name) && row.about.key.len() < LONGEST_KEY)
            .map(|row| (row.about.kind, row.about.key));
    }
    let senders = reader.senders()?;
    Ok(Facts {
        sender: senders.into_iter().find(|row| row.system == system.name),
        known,
    })
}
