//! Held and unrouted events: released by today's configuration, edited and released, given up.
//!
//! The front door judges (`Intake::again`), for the preview and for the deed alike; a set is pinned by its newest event and
//! its size, an edit by how often the event had been edited. Must never make a delivery of what was not previewed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use super::super::action::{Actor, DataEdit, Done, HeldScope, Preview, Refused};
use super::super::hidden::Hidden;
use super::check::pins;
use super::preview::plain;
use super::{Actions, audit, because, done, held, refused};
use crate::config::live::Runtime;
use crate::config::model::Path;
use crate::event::Event;
use crate::event::contract::Fault;
use crate::ids::{DeliveryId, EventId};
use crate::ingest::Intake;
use crate::record::edit::{self, Change};
use crate::record::json::Node;
use crate::record::mask::{HIDDEN, Veil};
use crate::store::view::{Admission, HeldDetail, HeldRow};
use crate::store::{CAME_AGAIN, Incoming, Judged, ReadError, Reader, Released, TOO_DEEP};
use crate::visible::{self, Visible};

/// Events released in one transaction.
const CHUNK: usize = 200;
/// Events that a preview judges, the oldest first: it is for a person who waits.
const JUDGED: usize = 5_000;
/// Reasons that a preview tells apart.
const REASONS: usize = 8;
/// Places of an edit that are told.
const PLACES: usize = 40;
/// The longest value of an edit that is told, in characters.
const VALUE: usize = 200;

/// What would become of a scope.
#[derive(Debug, Default)]
struct Outlook {
    judged: u64,
    passing: u64,
    /// Deliveries by path.
    paths: BTreeMap<String, u64>,
    /// Those that stay, by why.
    stay: BTreeMap<String, u64>,
    /// A delivered one of the same key is newer.
    older: u64,
    /// They had come again with other content, and pass.
    again: u64,
    /// They had ended a chain of causes, and pass.
    deep: u64,
    pruned: u64,
}

impl Actions {
    /// What a release of `scope` would do.
    pub(super) async fn preview_release(&self, scope: HeldScope) -> Result<Preview, Refused> {
        let (words, asked) = (words(&scope), scope.clone());
        let (intake, runtime) = (self.inner.intake.clone(), self.runtime());
        let (count, oldest, last, outlook) = self
            .read(move |reader| {
                let (count, oldest, last) = reader.held_extent(&scope, EventId(i64::MAX))?;
                let outlook = match last {
                    Some(last) => outlook(reader, &intake, &runtime, &scope, last)?,
                    None => Outlook::default(),
                };
                Ok((count, oldest, last, outlook))
            })
            .await?;
        let mut preview = plain(format!("release {words}"));
        preview.count = count;
        preview.oldest = oldest;
        preview.high_water = last.map(|last| DeliveryId::new(last, u8::MAX));
        if count == 0 {
            preview
                .notes
                .push("no such event is held or unrouted".into());
            return Ok(preview);
        }
        preview.notes = outlook.notes(count);
        preview.notes.extend(named_in_vain(&asked, count));
        if let Some(host) = self.overview().await?.foreign_host {
            preview.notes.push(held(&host));
        }
        Ok(preview)
    }

    /// Releases what passes of what was previewed, chunk by chunk, the oldest first.
    pub(super) async fn release_held(
        &self,
        scope: HeldScope,
        high_water: Option<DeliveryId>,
        expected: Option<u64>,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let up_to = self.pinned(&scope, high_water, expected).await?;
        let what = words(&scope);
        let mut all = Released::default();
        let mut stay: BTreeMap<String, u64> = BTreeMap::new();
        let mut after = EventId(0);
        loop {
            let (intake, runtime) = (self.inner.intake.clone(), self.runtime());
            let asked = scope.clone();
            let (judged, last) = self
                .read(move |reader| {
                    let rows = reader.held_chunk(&asked, (after, up_to), CHUNK)?;
                    let last = (rows.len() == CHUNK).then(|| rows.last().map(|(row, _)| row.id));
                    let judge = |(row, event): (HeldRow, Option<Event>)| {
                        Some(Judged {
                            event: row.id,
                            edits: row.edits,
                            incoming: intake.again(&runtime, event?),
                        })
                    };
                    let judged: Vec<Judged> = rows.into_iter().filter_map(judge).collect();
                    Ok((judged, last.flatten()))
                })
                .await?;
            for one in &judged {
                if let Some(why) = why(&one.incoming) {
                    *stay.entry(why).or_default() += 1;
                }
            }
            if !judged.is_empty() {
                let log = audit(actor, "release", None, None, format!("release of {what}"));
                all += self.inner.store.release_held(judged, log).await?;
            }
            match last {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut text = format!(
            "{} of {what} released: {}",
            all.events,
            deliveries(all.deliveries)
        );
        let staying = all.held + all.unrouted;
        if staying > 0 {
            let _ = write!(text, "; {staying} stay: {}", reasons(&stay));
        }
        if all.moved_on > 0 {
            let _ = write!(text, "; {} had moved on", all.moved_on);
        }
        let mut done = done(if all.deliveries > 0 {
            self.later(text).await
        } else {
            text
        });
        done.report = Some(serde_json::json!({
            "released": all.events,
            "deliveries": all.deliveries,
            "held": all.held,
            "unrouted": all.unrouted,
            "moved_on": all.moved_on,
        }));
        Ok(done)
    }

    /// What giving `scope` up would do.
    pub(super) async fn preview_discard(&self, scope: HeldScope) -> Result<Preview, Refused> {
        let mut preview = plain(format!("discard {}", words(&scope)));
        let asked = scope.clone();
        let (count, oldest, last) = self
            .read(move |reader| reader.held_extent(&scope, EventId(i64::MAX)))
            .await?;
        preview.count = count;
        preview.oldest = oldest;
        preview.high_water = last.map(|last| DeliveryId::new(last, u8::MAX));
        preview.notes = vec![if count == 0 {
            "no such event is held or unrouted".into()
        } else {
            "they are never delivered; the sender's own copy, sent again, is a duplicate".into()
        }];
        if count > 0 {
            preview.notes.extend(named_in_vain(&asked, count));
        }
        Ok(preview)
    }

    /// Gives up what was previewed.
    pub(super) async fn discard_held(
        &self,
        scope: HeldScope,
        reason: &str,
        high_water: Option<DeliveryId>,
        expected: Option<u64>,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let up_to = self.pinned(&scope, high_water, expected).await?;
        let text = format!("of {} discarded{}", words(&scope), because(reason));
        let (mut count, mut after) = (0, EventId(0));
        loop {
            let log = audit(actor, "discard", None, None, text.clone());
            let why = format!("discarded by {}: {reason}", actor.name);
            let (some, next) = (self.inner.store)
                .discard_held(scope.clone(), (after, up_to), CHUNK, why, log)
                .await?;
            count += some;
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        let mut done = done(format!("{count} {text}"));
        done.report = Some(serde_json::json!({ "discarded": count }));
        Ok(done)
    }

    /// The last event of what was previewed; refused if there is more than was shown.
    async fn pinned(
        &self,
        scope: &HeldScope,
        high_water: Option<DeliveryId>,
        expected: Option<u64>,
    ) -> Result<EventId, Refused> {
        let (high_water, expected) = pins(high_water, expected)?;
        let (asked, up_to) = (scope.clone(), high_water.event());
        let (count, ..) = self
            .read(move |reader| reader.held_extent(&asked, up_to))
            .await?;
        if count > expected {
            return Err(refused(format!(
                "{count} match now, {expected} were shown: preview again"
            )));
        }
        Ok(up_to)
    }

    /// What an edit would change, and where the event would go.
    pub(super) async fn preview_edit(
        &self,
        event: EventId,
        edit: &DataEdit,
    ) -> Result<Preview, Refused> {
        let (detail, now) = self.editable(event).await?;
        let edited = self.edited(&detail, &now, edit)?;
        let runtime = self.runtime();
        let mut preview = plain(format!("edit event {event} and release it"));
        preview.count = 1;
        preview.oldest = Some(detail.row.at);
        preview.high_water = Some(edit_pin(event, detail.row.edits));
        preview.notes = edited.told;
        for path in edited
            .judged
            .incoming
            .routes
            .iter()
            .filter_map(|route| runtime.path(route.path))
        {
            preview
                .notes
                .push(format!("{}: {}", path.name, asked_first(&runtime, path)));
        }
        if detail.row.text == CAME_AGAIN {
            preview.notes.push(format!("it {CAME_AGAIN_WORDS}"));
        }
        if let Some(host) = self.overview().await?.foreign_host {
            preview.notes.push(held(&host));
        }
        Ok(preview)
    }

    /// Puts the edit in and releases the event.
    pub(super) async fn edit_held(
        &self,
        event: EventId,
        edit: &DataEdit,
        high_water: Option<DeliveryId>,
        actor: &Actor,
    ) -> Result<Done, Refused> {
        let (detail, now) = self.editable(event).await?;
        if high_water != Some(edit_pin(event, detail.row.edits)) {
            return Err(refused(format!(
                "event {event} was edited meanwhile, or not previewed: preview it first"
            )));
        }
        let edited = self.edited(&detail, &now, edit)?;
        let text = format!("event {event} edited ({})", edited.places);
        let log = audit(actor, "edit", None, Some(DeliveryId::new(event, 0)), text);
        let released = self.inner.store.edit_held(edited.judged, log).await?;
        let text = format!(
            "event {event} edited and released: {}",
            deliveries(released.deliveries)
        );
        let mut done = done(self.later(text).await);
        done.delivery = Some(DeliveryId::new(event, 0));
        Ok(done)
    }

    /// A held or unrouted event that still has its data.
    async fn editable(&self, id: EventId) -> Result<(HeldDetail, Event), Refused> {
        let detail = self.read(move |reader| reader.held_event(id)).await?;
        let detail = detail.ok_or_else(|| refused(format!("there is no event {id}")))?;
        match detail.row.admission {
            Admission::Held | Admission::Unrouted => {}
            Admission::Accepted => {
                return Err(refused(format!(
                    "event {id} was accepted: what is delivered is not edited; look at {}",
                    DeliveryId::new(id, 0)
                )));
            }
            Admission::Discarded => {
                return Err(refused(format!("event {id} was discarded")));
            }
        }
        let event = detail.event.clone();
        let event = event.ok_or_else(|| refused(format!("event {id} has no data any more")))?;
        Ok((detail, event))
    }

    /// The event with its edit, judged; refused where it changes nothing or does not pass.
    fn edited(&self, detail: &HeldDetail, now: &Event, edit: &DataEdit) -> Result<Edited, Refused> {
        let data = match edit {
            DataEdit::Whole(text) => text.expose().as_bytes().to_vec(),
            DataEdit::Changes(changes) => {
                let changes: Vec<Change<'_>> = (changes.iter())
                    .map(|change| Change {
                        pointer: &change.pointer,
                        value: change.value.as_ref().map(Hidden::expose),
                    })
                    .collect();
                edit::changed(&now.data, &changes)
                    .map_err(|error| refused(Visible::of(&error.to_string()).to_string()))?
            }
        };
        let runtime = self.runtime();
        let veil = Veil::of(&runtime.config, &now.source, &now.kind, &now.data);
        let veil = veil.and(Veil::of(&runtime.config, &now.source, &now.kind, &data));
        let (told, places) = told(&veil, &now.data, &data);
        if places.is_empty() {
            return Err(refused("the edit changes nothing"));
        }
        let event = Event {
            data: data.into(),
            ..now.clone()
        };
        let incoming = self.inner.intake.again(&runtime, event);
        if let Some(reason) = &incoming.hold {
            return Err(refused(format!(
                "nothing was changed: it would still be held: {}{}",
                Visible::of(reason),
                fault_lines(veil.faults(incoming.faults.clone()))
            )));
        }
        if incoming.routes.is_empty() {
            return Err(refused(
                "nothing was changed: no path would take the event; mend the configuration first",
            ));
        }
        Ok(Edited {
            judged: Judged {
                event: detail.row.id,
                edits: detail.row.edits,
                incoming,
            },
            told,
            places,
        })
    }

    pub(super) fn runtime(&self) -> Arc<Runtime> {
        self.inner.live.borrow().clone()
    }
}

/// An edit that passes.
struct Edited {
    judged: Judged,
    /// Before and after, one line a place.
    told: Vec<String>,
    /// The places, for the log: no values.
    places: String,
}

/// What came again with other content passes the door: a person may let it.
const CAME_AGAIN_WORDS: &str =
    "came again under a known id or key with other content: it is delivered beside the first";

fn edit_pin(event: EventId, edits: u32) -> DeliveryId {
    DeliveryId::new(event, u8::try_from(edits).unwrap_or(u8::MAX))
}

/// A scope in words; nothing from outside but what the operator named.
fn words(scope: &HeldScope) -> String {
    match scope {
        HeldScope::Events(ids) => {
            let ids: BTreeSet<EventId> = ids.iter().copied().collect();
            let some: Vec<String> = ids.iter().take(5).map(ToString::to_string).collect();
            if let [one] = &some[..] {
                return format!("event {one}");
            }
            let more = ids.len().saturating_sub(some.len());
            let rest = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!("events {}{rest}", some.join(", "))
        }
        HeldScope::Group(group) => format!("group {group}"),
        HeldScope::Kind(kind) => format!("all of type {}", visible::line(kind, 80)),
    }
}

/// Of events that were named one by one: how many are neither held nor unrouted.
fn named_in_vain(scope: &HeldScope, count: u64) -> Option<String> {
    let HeldScope::Events(ids) = scope else {
        return None;
    };
    let named = ids.iter().collect::<BTreeSet<_>>().len() as u64;
    let vain = named.saturating_sub(count);
    (vain > 0).then(|| format!("{vain} of those named are neither held nor unrouted"))
}

/// A number of deliveries in words.
fn deliveries(count: u64) -> String {
    format!("{count} deliver{}", if count == 1 { "y" } else { "ies" })
}

/// Why an event does not go on; none if it does.
fn why(incoming: &Incoming) -> Option<String> {
    match &incoming.hold {
        Some(reason) => Some(incoming.group.as_ref().unwrap_or(reason).clone()),
        None if incoming.routes.is_empty() => Some("no path matches".to_owned()),
        None => None,
    }
}

/// Reasons with their numbers, the most frequent first.
fn reasons(stay: &BTreeMap<String, u64>) -> String {
    let mut all: Vec<(&String, &u64)> = stay.iter().collect();
    all.sort_by(|a, b| b.1.cmp(a.1));
    let more = all.len().saturating_sub(REASONS);
    let mut told: Vec<String> = (all.into_iter().take(REASONS))
        .map(|(why, count)| format!("{} ({count})", visible::line(why, 120)))
        .collect();
    if more > 0 {
        told.push(format!("{more} other reasons"));
    }
    told.join("; ")
}

/// Judges the oldest of a scope.
fn outlook(
    reader: &Reader,
    intake: &Intake,
    runtime: &Runtime,
    scope: &HeldScope,
    last: EventId,
) -> Result<Outlook, ReadError> {
    let mut all = Outlook::default();
    let mut after = EventId(0);
    while all.judged < JUDGED as u64 {
        let rows = reader.held_chunk(scope, (after, last), CHUNK)?;
        let Some((row, _)) = rows.last() else { break };
        after = row.id;
        for (row, event) in rows {
            all.judged += 1;
            let Some(event) = event else {
                all.pruned += 1;
                continue;
            };
            let incoming = intake.again(runtime, event);
            if let Some(why) = why(&incoming) {
                *all.stay.entry(why).or_default() += 1;
                continue;
            }
            all.passing += 1;
            all.again += u64::from(row.text == CAME_AGAIN);
            all.deep += u64::from(row.text == TOO_DEEP);
            let mut older = false;
            for route in &incoming.routes {
                let name = runtime.path(route.path).map(|path| path.name.clone());
                *all.paths.entry(name.unwrap_or_default()).or_default() += 1;
                if let Some(key) = &route.order_key {
                    older |= reader.delivered_after(route.path, key, row.id)?;
                }
            }
            all.older += u64::from(older);
        }
    }
    Ok(all)
}

impl Outlook {
    fn notes(&self, count: u64) -> Vec<String> {
        let mut notes = Vec::new();
        let paths: Vec<String> = (self.paths.iter())
            .map(|(path, count)| format!("{count} to {path}"))
            .collect();
        notes.push(if self.passing == 0 {
            "none of them passes now".to_owned()
        } else {
            format!("{} pass now: {}", self.passing, paths.join(", "))
        });
        let staying: u64 = self.stay.values().sum();
        if staying > 0 {
            notes.push(format!("{staying} stay: {}", reasons(&self.stay)));
        }
        if self.older > 0 {
            notes.push(format!(
                "{} are older than a delivered one of the same key: they are sent after it",
                self.older
            ));
        }
        if self.again > 0 {
            notes.push(format!("{} {CAME_AGAIN_WORDS}", self.again));
        }
        if self.deep > 0 {
            notes.push(format!(
                "{} ended a chain of events that cause each other: it goes on by so many",
                self.deep
            ));
        }
        if self.pruned > 0 {
            notes.push(format!("{} have no data any more: they stay", self.pruned));
        }
        if count > self.judged {
            notes.push(format!(
                "{} more were not looked at; each is judged as it is released",
                count - self.judged
            ));
        }
        notes
    }
}

/// Whether the receiver is asked before the edited event is written, and how.
fn asked_first(runtime: &Runtime, path: &Path) -> String {
    let to = &path.to;
    let looks = crate::queue::mapped::Ends::of(&runtime.config, path)
        .is_some_and(|ends| ends.target.lookup.is_some());
    if looks {
        format!("{to} is asked first whether it has it; a changed request has a new key")
    } else {
        format!(
            "{to} cannot be asked whether it has it: it is sent under a new key, because its bytes changed"
        )
    }
}

/// Before and after, one line for each place, and the places alone.
fn told(veil: &Veil, before: &[u8], after: &[u8]) -> (Vec<String>, String) {
    let (Ok(old), Ok(new)) = (Node::parse(before), Node::parse(after)) else {
        if before == after {
            return (Vec::new(), String::new());
        }
        let line = format!(
            "the whole data: {} bytes before, {} bytes after",
            before.len(),
            after.len()
        );
        return (vec![line], "the whole data".to_owned());
    };
    let found = edit::differences(&old, &new);
    let value = |hidden: bool, text: Option<&String>| match text {
        None => "(nothing)".to_owned(),
        Some(_) if hidden => HIDDEN.to_owned(),
        Some(text) => visible::line(text, VALUE).to_string(),
    };
    let more = found.len().saturating_sub(PLACES);
    let mut lines: Vec<String> = (found.iter().take(PLACES))
        .map(|one| {
            let hidden = veil.hides(&one.pointer);
            let before = value(hidden, one.before.as_ref());
            let after = value(hidden, one.after.as_ref());
            format!("{}: {before} -> {after}", place(&one.pointer))
        })
        .collect();
    let mut places: Vec<String> = (found.iter().take(REASONS))
        .map(|one| place(&one.pointer))
        .collect();
    if more > 0 {
        lines.push(format!("{more} other places"));
    }
    if found.len() > places.len() {
        places.push(format!("{} other places", found.len() - places.len()));
    }
    (lines, places.join(", "))
}

/// A place in the data, to be read.
fn place(pointer: &str) -> String {
    if pointer.is_empty() {
        "(the whole)".to_owned()
    } else {
        visible::line(pointer, VALUE).to_string()
    }
}

fn fault_lines(faults: Vec<Fault>) -> String {
    let mut out = String::new();
    for fault in faults {
        let _ = write!(
            out,
            "\n  {} {}: {}",
            place(&fault.pointer),
            Visible::of(&fault.rule),
            visible::line(&fault.text, VALUE)
        );
    }
    out
}
