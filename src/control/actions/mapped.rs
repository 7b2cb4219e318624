//! What a replay would do on mapped paths, from the ledger alone: nobody outside is asked. Reads only; called by the
//! replay's preview.

use super::super::action::Refused;
use super::Actions;
use crate::event::expr::Engine;
use crate::event::{Event, Origin};
use crate::queue::filter::Filter;
use crate::queue::mapped::{Ends, Standing};
use crate::store::view::DeliveryDetail;
use crate::store::{Cursor, ReadError, Reader, Store};

/// Deliveries that are looked at, the newest first: a preview is for a person who waits.
const LOOKED_AT: usize = 200;

impl Actions {
    /// How many of those that `filter` matches the ledger already knows to be needless, in words; nothing where no mapped
    /// path is concerned.
    pub(super) async fn standings(&self, filter: Filter) -> Result<Vec<String>, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let ends: Vec<(String, String, Ends)> = config
            .paths
            .iter()
            .filter_map(|path| Some((path.name.clone(), path.to.clone(), Ends::of(&config, path)?)))
            .collect();
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.inner.store.clone();
        let (looked, newer, same) = self
            .read(move |reader| count(reader, &store, &filter, &ends))
            .await?;
        let of = format!("of {looked} looked at on mapped paths");
        let mut notes = Vec::new();
        if newer > 0 {
            notes.push(format!(
                "{newer} {of} are older than what the receiver was given: superseded, not sent"
            ));
        }
        if same > 0 {
            notes.push(format!(
                "{same} {of} are as they were written last: looked up or written again, never made twice"
            ));
        }
        Ok(notes)
    }
}

/// Deliveries on mapped paths that were looked at; those that are older than what was written; those that equal it.
fn count(
    reader: &Reader,
    store: &Store,
    filter: &Filter,
    ends: &[(String, String, Ends)],
) -> Result<(u64, u64, u64), ReadError> {
    let engine = Engine::new();
    let (rows, _) = reader.deliveries(filter, Cursor::Newest, LOOKED_AT)?;
    let (mut looked, mut newer, mut same) = (0, 0, 0);
    for row in rows {
        let Some((_, to, ends)) = ends.iter().find(|(path, ..)| *path == row.path) else {
            continue;
        };
        let Some(event) = reader.delivery(row.id)?.and_then(event) else {
            continue;
        };
        // What cannot be read will say so itself; what is read anew at its source is not known here.
        let Ok(carried) = ends.carried(&event, &engine) else {
            continue;
        };
        looked += 1;
        let mut standings = Vec::new();
        for one in &carried {
            let known = reader.known(to, &ends.mapping.target, &one.key)?;
            standings.push(ends.standing(&known, one, |value, sensitive| {
                store.ledger_text(value, sensitive)
            }));
        }
        let all = |what| !standings.is_empty() && standings.iter().all(|one| *one == what);
        newer += u64::from(all(Standing::Older));
        same += u64::from(all(Standing::Same));
    }
    Ok((looked, newer, same))
}

/// The event of a delivery, as far as a record map reads it; none if its payload was pruned.
fn event(detail: DeliveryDetail) -> Option<Event> {
    Some(Event {
        source: detail.row.source,
        id: detail.row.event_id,
        kind: detail.row.kind,
        subject: detail.row.subject,
        time: detail.event_time,
        content_type: detail.content_type,
        idempotency_key: detail.event_key,
        schema_version: detail.schema_version,
        extensions: detail.extensions,
        data: detail.data?.into(),
        origin: Origin::from_word(&detail.origin),
    })
}
