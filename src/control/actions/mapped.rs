//! What a replay would do, beyond what the queue knows: from today's contracts and, on mapped paths, from the ledger, from
//! who owns what and, for a few, from what the receiver says.
//! Reads only; called by the replay's preview. What is found here is told, and decided by the attempt itself.

use std::time::Duration;

use super::super::action::{Refused, Verdict};
use super::Actions;
use crate::config::model::Config;
use crate::event::contract;
use crate::event::expr::Engine;
use crate::event::{Event, Origin};
use crate::ids::DeliveryId;
use crate::queue::filter::Filter;
use crate::queue::mapped::{Carried, Ends, Standing};
use crate::queue::model::State;
use crate::record::shape::Filling;
use crate::record::{compare, ownership};
use crate::remote::{Found, Manner, Remote, Verb};
use crate::store::view::DeliveryDetail;
use crate::store::{Cursor, ReadError, Reader, Store};
use crate::visible;

/// Deliveries that are looked at, the newest first: a preview is for a person who waits.
const LOOKED_AT: usize = 200;
/// Of those, so many are looked up at the receiver.
const ASKED: usize = 5;
/// How long a lookup of a preview may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was found of the deliveries on mapped paths.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// In words.
    pub(super) notes: Vec<String>,
    /// Deliveries of which more is known than the queue tells: its verdict, and the better one.
    pub(super) moved: Vec<(Verdict, Verdict)>,
}

/// A mapped path's name, its two systems, its ends.
type Known = (String, [String; 2], Ends);

/// One record that the receiver can be asked about.
struct Question {
    verdict: Verdict,
    path: usize,
    carried: Carried,
}

#[derive(Default)]
struct Count {
    looked: u64,
    newer: u64,
    same: u64,
    /// Deliveries of paths that are not mapped which were held at the door, and why the newest was.
    held: Option<(u64, String)>,
    /// Deliveries that their path cannot read today, and why the newest cannot.
    unreadable: Option<(u64, String)>,
    /// Deliveries that are read, and break today's contract, and how the newest does.
    broken: Option<(u64, String)>,
    /// What the queue thought of both.
    changed: Vec<Verdict>,
    denied: Vec<Verdict>,
    questions: Vec<Question>,
}

impl Actions {
    /// What the ledger, the owners and the receivers say of those that `filter` matches; nothing where no mapped path is
    /// concerned.
    pub(super) async fn standings(&self, filter: Filter) -> Result<Looked, Refused> {
        let config = self.inner.live.borrow().config.clone();
        let ends: Vec<Known> = config
            .paths
            .iter()
            .filter_map(|path| {
                let systems = [path.from.clone(), path.to.clone()];
                Some((path.name.clone(), systems, Ends::of(&config, path)?))
            })
            .collect();
        let store = self.inner.store.clone();
        let (count, ends) = self
            .read(move |reader| Ok((count(reader, &store, &config, &filter, &ends)?, ends)))
            .await?;
        let of = format!("of {} looked at on mapped paths", count.looked);
        let mut found = Looked::default();
        if let Some((held, why)) = count.held {
            let why = visible::line(&why, 300);
            found.notes.push(match held {
                1 => format!("1 is held ({why}): it is sent as it is, because you say so"),
                _ => format!("{held} are held (one of them: {why}): they are sent as they are, because you say so"),
            });
        }
        for (some, words) in [
            (count.unreadable, "cannot be read by their path today"),
            (
                count.broken,
                "break today's contract and are sent all the same",
            ),
        ] {
            if let Some((some, why)) = some {
                let why = visible::line(&why, 300);
                found
                    .notes
                    .push(format!("{some} {words} (the newest: {why})"));
            }
        }
        let changed = count.changed.into_iter();
        found.moved = (changed.map(|before| (before, Verdict::ContractChanged))).collect();
        if count.newer > 0 {
            found.notes.push(format!(
                "{} {of} are older than what the receiver was given: superseded, not sent",
                count.newer
            ));
        }
        if count.same > 0 {
            found.notes.push(format!(
                "{} {of} are as they were written last: looked up or written again, never made twice",
                count.same
            ));
        }
        let denied = count.denied.into_iter();
        (found.moved).extend(denied.map(|before| (before, Verdict::NotOwner)));
        let more = count.questions.len().saturating_sub(ASKED);
        for question in count.questions.into_iter().take(ASKED) {
            let Some((_, [_, to], ends)) = ends.get(question.path) else {
                continue;
            };
            if self.is_applied(to, ends, &question.carried).await {
                found
                    .moved
                    .push((question.verdict, Verdict::AlreadyApplied));
            }
        }
        if more > 0 {
            found.notes.push(format!(
                "{more} {of} were not looked up: a preview asks about {ASKED} at most"
            ));
        }
        Ok(found)
    }

    /// Whether the receiver says that it holds all of a record already. What cannot be asked is not known.
    async fn is_applied(&self, to: &str, ends: &Ends, carried: &Carried) -> bool {
        let remote = Remote::new(
            self.inner.live.clone(),
            self.outbound().clone(),
            Engine::new(),
        );
        let Ok(map) = remote.map(to, &ends.mapping.target) else {
            return false;
        };
        let filling = Filling {
            key: Some(&carried.key),
            ..Filling::default()
        };
        let manner = Manner {
            timeout: PATIENCE,
            patience: PATIENCE,
            ..Manner::default()
        };
        let Ok(asked) = remote.send(&map, Verb::Lookup, &filling, &manner).await else {
            return false;
        };
        let Found::Records(records) = &asked.found else {
            return false;
        };
        let [held] = &records[..] else { return false };
        let all = compare(&ends.target, &carried.wanted, held, ends.entity.as_deref());
        !all.is_empty() && all.iter().all(|field| field.same)
    }
}

/// Looks at the newest deliveries: on mapped paths, and of types that have a contract.
fn count(
    reader: &Reader,
    store: &Store,
    config: &Config,
    filter: &Filter,
    ends: &[Known],
) -> Result<Count, ReadError> {
    let engine = Engine::new();
    let (rows, _) = reader.deliveries(filter, Cursor::Newest, LOOKED_AT)?;
    let mut all = Count::default();
    for row in rows {
        let mapped = ends.iter().position(|(path, ..)| *path == row.path);
        if mapped.is_none() && row.state == State::Held {
            let why = row.reason.unwrap_or_default();
            all.held.get_or_insert((0, why)).0 += 1;
        }
        if mapped.is_none() && !config.contracts.contains_key(&row.kind) {
            continue;
        }
        let Some(event) = reader.delivery(row.id)?.and_then(event) else {
            continue;
        };
        let Some(route) = config.path(&row.path) else {
            continue;
        };
        let event = match contract::readable(config, route, &event, &engine) {
            Ok(read) => {
                if let Err(refusal) = contract::verify(&config.contracts, &event) {
                    all.broken.get_or_insert((0, refusal.reason)).0 += 1;
                    all.changed.extend(open(reader, row.id)?);
                    continue;
                }
                read
            }
            Err(unreadable) => {
                all.unreadable.get_or_insert((0, unreadable.reason)).0 += 1;
                all.changed.extend(open(reader, row.id)?);
                continue;
            }
        };
        let Some(path) = mapped else { continue };
        let (_, [from, to], ends) = &ends[path];
        // What cannot be read will say so itself; what is read anew at its source is not known here.
        let Ok(mut carried) = ends.carried(&event, &engine) else {
            continue;
        };
        all.looked += 1;
        let mut standings = Vec::new();
        let mut denied = !carried.is_empty();
        for one in &carried {
            let known = reader.known(to, &ends.mapping.target, &one.key)?;
            standings.push(ends.standing(&known, one, |value, sensitive| {
                store.ledger_text(value, sensitive)
            }));
            denied &= ends.entity.as_ref().is_some_and(|entity| {
                let sent = ends.sent(&one.wanted);
                let fields = sent.iter().map(|(name, ..)| name.as_str());
                let stripped = ownership::strip(entity, from, fields, known.id.is_none());
                stripped.kept.is_empty() && !stripped.left_out.is_empty()
            });
        }
        let are = |what| !standings.is_empty() && standings.iter().all(|one| *one == what);
        all.newer += u64::from(are(Standing::Older));
        all.same += u64::from(are(Standing::Same));
        let Some(verdict) = open(reader, row.id)? else {
            continue;
        };
        if denied {
            all.denied.push(verdict);
        } else if let (Some(carried), true) = (carried.pop(), carried.is_empty())
            && ends.target.lookup.is_some()
            && !are(Standing::Older)
        {
            all.questions.push(Question {
                verdict,
                path,
                carried,
            });
        }
    }
    Ok(all)
}

/// The queue's verdict on a delivery that would go, if it leaves anything to find out.
fn open(reader: &Reader, id: DeliveryId) -> Result<Option<Verdict>, ReadError> {
    Ok(reader.verdict(id)?.and_then(|(state, verdict)| {
        let goes = !matches!(state, State::Running | State::Waiting);
        (goes && matches!(verdict, Verdict::Safe | Verdict::Unknown)).then_some(verdict)
    }))
}

/// The event of a delivery, as far as a record map reads it; none if its payload was pruned.
pub(super) fn event(detail: DeliveryDetail) -> Option<Event> {
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
