//! The store against a model: any sequence of accepts, claims, settles (also late ones), waits for records, what is learnt
//! of them, deadlines, crashes, replays and cancellations keeps commit order inside a key, lets at most one of a key run,
//! honours fences, strands nothing, and keeps the counters exact.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{Bed, dead, line, settlement};
use super::*;
use crate::ids::DeliveryId;
use crate::queue::filter::Filter;
use crate::queue::model::{Claimed, Class, Need, Next, Request, State};
use crate::record::ledger::{About, Learned};
use crate::time::Timestamp;

#[derive(Debug, Clone)]
enum Step {
    Accept { key: Option<u8> },
    Claim { count: usize },
    Settle { which: usize, end: u8 },
    LateSettle { which: usize },
    Crash,
    Replay { which: usize },
    Cancel { which: usize },
    Learn { record: u8, alias: Option<u8> },
    Expire,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::option::weighted(0.8, 0u8..3).prop_map(|key| Step::Accept { key }),
        3 => (1usize..5).prop_map(|count| Step::Claim { count }),
        6 => (0usize..8, 0u8..10).prop_map(|(which, end)| Step::Settle { which, end }),
        1 => (0usize..8).prop_map(|which| Step::LateSettle { which }),
        1 => Just(Step::Crash),
        1 => (0usize..12).prop_map(|which| Step::Replay { which }),
        1 => (0usize..12).prop_map(|which| Step::Cancel { which }),
        1 => (0u8..3, proptest::option::weighted(0.2, 0u8..3)).prop_map(|(record, alias)| Step::Learn { record, alias }),
        1 => Just(Step::Expire),
        1 => Just(Step::Wait),
    ]
}

/// What the model remembers.
#[derive(Default)]
struct Model {
    accepted: Vec<DeliveryId>,
    keys: HashMap<DeliveryId, u8>,
    running: Vec<Claimed>,
    settled: Vec<Claimed>,
}

impl Model {
    fn pick(&self, which: usize) -> Option<DeliveryId> {
        (!self.accepted.is_empty()).then(|| self.accepted[which % self.accepted.len()])
    }
}

async fn apply(bed: &mut Bed, model: &mut Model, step: Step) {
    match step {
        Step::Accept { key } => {
            let name = key.map(|key| format!("k{key}"));
            let id = bed
                .accept(&format!("e{}", model.accepted.len()), name.as_deref())
                .await;
            model.accepted.push(id);
            model.keys.extend(key.map(|key| (id, key)));
        }
        Step::Claim { count } => {
            let before = states(bed);
            for claim in bed.claim(count).await {
                assert_eq!(before[&claim.delivery], State::Ready);
                if let Some(key) = model.keys.get(&claim.delivery) {
                    let elder_open = before.iter().any(|(id, state)| {
                        *id < claim.delivery
                            && model.keys.get(id) == Some(key)
                            && !is_closed(*state)
                    });
                    assert!(
                        !elder_open,
                        "{} ran before an elder of its key: {before:?}",
                        claim.delivery
                    );
                    let beside = before.iter().any(|(id, state)| {
                        model.keys.get(id) == Some(key) && *state == State::Running
                    });
                    assert!(!beside, "two of a key ran at once: {before:?}");
                }
                model.running.push(claim);
            }
        }
        Step::Settle { which, end } => {
            if model.running.is_empty() {
                return;
            }
            let claim = model.running.remove(which % model.running.len());
            let due = bed.clock.now() + Duration::from_secs(5);
            let (class, next) = match end {
                0 | 1 => (Class::Delivered, Next::Delivered),
                2 => (Class::Transient, Next::Retry { due }),
                3 => (Class::Rejected, dead()),
                4 => (
                    Class::Rejected,
                    Next::Review {
                        reason: "two hits".into(),
                    },
                ),
                5 => (
                    Class::Delivered,
                    Next::Superseded {
                        reason: "older".into(),
                    },
                ),
                6 => {
                    // In shadow mode, or gone live while it ran.
                    bed.shadow(which % 2 == 0).await;
                    (Class::Delivered, shadowed())
                }
                record => (Class::Transient, wait(record - 7, due)),
            };
            let expected: &[State] = match &next {
                Next::Delivered => &[State::Delivered],
                Next::Dead { .. } => &[State::Dead],
                // Ready where the id was learnt while it ran; then an elder may go first.
                Next::Wait { .. } => &[State::Waiting, State::Ready],
                Next::Review { .. } => &[State::Held],
                Next::Superseded { .. } => &[State::Superseded],
                Next::Shadowed { .. } if which % 2 == 0 => &[State::Shadowed],
                // Ready; then an elder may go first.
                Next::Retry { .. } | Next::Deferred { .. } | Next::Shadowed { .. } => {
                    &[State::Ready, State::Waiting]
                }
            };
            let turn = bed
                .store
                .turn(vec![settlement(&claim, class, next)], vec![])
                .await
                .unwrap();
            assert_eq!(turn.late, 0);
            let state = states(bed)[&claim.delivery];
            assert!(expected.contains(&state), "{state}, not {expected:?}");
            model.settled.push(claim);
        }
        Step::LateSettle { which } => {
            if model.settled.is_empty() {
                return;
            }
            let claim = &model.settled[which % model.settled.len()];
            let before = states(bed);
            let turn = bed
                .store
                .turn(
                    vec![settlement(claim, Class::Delivered, Next::Delivered)],
                    vec![],
                )
                .await
                .unwrap();
            assert_eq!((turn.late, states(bed)), (1, before));
        }
        Step::Crash => {
            model.settled.append(&mut model.running);
            bed.restart().await;
            assert!(states(bed).values().all(|state| *state != State::Running));
        }
        Step::Replay { which } => {
            let Some(id) = model.pick(which) else { return };
            let state = states(bed)[&id];
            let needs = needing(bed).contains(&id);
            let filter = Filter {
                ids: vec![id],
                ..Filter::default()
            };
            let options = BatchOptions {
                skip_risky: false,
                canary: 1,
                pace: 1.0,
                scope: String::new(),
                forced: false,
            };
            let batch = bed
                .store
                .create_batch(filter, id, 1, options, line())
                .await
                .unwrap();
            bed.store.release(batch.id, 10).await.unwrap();
            let after = states(bed)[&id];
            if state == State::Running || (state == State::Waiting && !needs) {
                assert_eq!(after, state, "what is under way is left alone");
            } else {
                assert!(
                    matches!(after, State::Ready | State::Waiting),
                    "{state} became {after}"
                );
            }
        }
        Step::Cancel { which } => {
            let Some(id) = model.pick(which) else { return };
            let before = states(bed)[&id];
            let filter = Filter {
                ids: vec![id],
                ..Filter::default()
            };
            let count = bed
                .store
                .cancel(filter, id, 1, "test".into(), line())
                .await
                .unwrap();
            let may = matches!(
                before,
                State::Ready | State::Waiting | State::Dead | State::Held
            );
            assert_eq!(
                (count == 1, states(bed)[&id] == State::Cancelled),
                (may, may || before == State::Cancelled)
            );
        }
        Step::Learn { record, alias } => {
            let before = states(bed);
            bed.store
                .learn(Learned {
                    system: "crm".into(),
                    about: about(record),
                    aliases: alias.map(|alias| about(alias).key).into_iter().collect(),
                    id: Some("9001".into()),
                    ..Learned::default()
                })
                .await
                .unwrap();
            for (id, after) in states(bed) {
                let moved = (before[&id], after) == (State::Waiting, State::Ready);
                assert!(moved || before[&id] == after, "{id} became {after}");
            }
        }
        Step::Expire => {
            let before = needing(bed).len() as u64;
            let held = bed.store.expire_needs().await.unwrap();
            assert_eq!(needing(bed).len() as u64, before - held);
        }
        Step::Wait => bed.clock.advance(Duration::from_secs(6)),
    }
    bed.audit();
}

/// It neither blocks its key nor runs again by itself.
fn is_closed(state: State) -> bool {
    matches!(
        state,
        State::Delivered | State::Cancelled | State::Superseded | State::Shadowed
    )
}

fn about(record: u8) -> About {
    About {
        kind: "contact".into(),
        key: format!("c{record}"),
    }
}

fn wait(record: u8, until: Timestamp) -> Next {
    Next::Wait {
        need: Need {
            system: "crm".into(),
            kind: "contact".into(),
            key: about(record).key,
            until,
        },
        reason: "waits".into(),
    }
}

fn shadowed() -> Next {
    Next::Shadowed {
        request: Request {
            method: "POST".into(),
            url: "http://a/x".into(),
            headers: vec![],
            body: "{}".into(),
            key: "k".into(),
        },
        reason: "would create".into(),
    }
}

fn needing(bed: &Bed) -> Vec<DeliveryId> {
    let reader = bed.store.reader().unwrap();
    let needs = reader.needs(&Filter::default(), 1000).unwrap();
    needs.into_iter().map(|need| need.delivery).collect()
}

fn states(bed: &Bed) -> BTreeMap<DeliveryId, State> {
    let rows = bed
        .store
        .reader()
        .unwrap()
        .deliveries(&Filter::default(), Cursor::Newest, 1000)
        .unwrap()
        .0;
    rows.into_iter().map(|row| (row.id, row.state)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_story_keeps_order_fences_and_counts(steps in proptest::collection::vec(step(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut bed = Bed::new().await;
            let mut model = Model::default();
            for step in steps {
                apply(&mut bed, &mut model, step).await;
            }
            // In the end everything that is not blocked by a dead or held elder can be delivered.
            bed.clock.advance(Duration::from_secs(6));
            bed.store.expire_needs().await.unwrap();
            for _ in 0..200 {
                for claim in std::mem::take(&mut model.running) {
                    bed.store.turn(vec![settlement(&claim, Class::Delivered, Next::Delivered)], vec![]).await.unwrap();
                }
                bed.clock.advance(Duration::from_secs(6));
                model.running = bed.claim(20).await;
                if model.running.is_empty() {
                    break;
                }
            }
            let end = states(&bed);
            for (id, state) in &end {
                let key = model.keys.get(id);
                let blocked = end.iter().any(|(other, s)| other < id && key.is_some() && model.keys.get(other) == key && matches!(s, State::Dead | State::Held));
                assert!(state.is_settled() || *state == State::Held || (*state == State::Waiting && blocked), "{id} is stuck {state}: {end:?}");
            }
        });
    }
}
