//! From drift to its repair: found by a run, planned, approved by a person, judged again, written by the queue, gone at the
//! next run; and whatever must not be written stays as it is. With the real worker, and two systems that people work in.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use midwatch::control::action::{Action, Done, Refused};
use midwatch::control::worker::{Worker, WorkerOptions};
use midwatch::control::{Client, Hidden, pinned};
use midwatch::store::view::{
    Changed, DifferenceKind, DifferenceRow, Grade, PlanRow, PlanState, PlanWrite, RunRow,
    WriteState, WriteVerb,
};
use midwatch::store::{Cursor, plan_digest};
use serde_json::{Value, json};

use crate::bed::{PATIENCE, soon};
use crate::crm::{Crm, Fault};

const MAPS: &str = r#"
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/key"
fields.name = "/name"
fields.status = "/status"
fields.total = { at = "/total", type = "money", currency = "/currency" }
lookup = { url = "/orders?key={{ key }}", items = true, answer = "/results" }
list = { url = "/orders", answer = "/results" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
[systems.crm.records.order]
id = "/id"
key = "/key"
fields.name = "/name"
fields.status = "/status"
fields.total = { at = "/total", type = "money", currency = "/currency" }
lookup = { url = "/orders?key={{ key }}", items = true, answer = "/results" }
list = { url = "/orders", answer = "/results" }
create = { method = "POST", url = "/orders" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
delete = { method = "DELETE", url = "/orders/{{ id }}" }
[systems.payments.records.payment]
id = "/id"
key = "/key"
refs.order = "/order"
fields.amount = { at = "/amount", type = "money", currency = "/currency" }
fields.refunded = { at = "/refunded", type = "money", currency = "/currency" }
fields.status = "/status"
lookup = { url = "/payments?key={{ key }}", items = true, answer = "/results" }
list = { url = "/payments", answer = "/results" }
[entities.order]
match = ["key"]
fields.name = { owner = "crm", writers = ["shop:create_only"] }
fields.status = { owner = "shop", writers = ["crm"], policy = "owner" }
fields.total = { owner = "shop" }
[paths.deals]
route = "shop.order -> crm.order"
events = ["order.*"]
owner = "anna"
runbook = "r.md"
"#;

const JOB: &str = r#"
[reconcile.orders]
sides = ["shop.order", "crm.order"]
every = "1h"
grace = "0"
drift = { warn = "1 order", critical = "90%" }
owner = "anna"
runbook = "r.md"
"#;

const PROPOSE: &str = "repair = \"propose\"\nrails = { stop_above = \"90%\" }\n";

/// A worker between two systems.
struct World {
    shop: Crm,
    crm: Crm,
    worker: Worker,
    folder: tempfile::TempDir,
}

fn order(key: u64, name: &str, status: &str, total: &str) -> Value {
    json!({"key": key.to_string(), "name": name, "status": status, "total": total, "currency": "NOK"})
}

fn put(system: &Crm, orders: &[Value]) {
    let mut held = system.held.lock().expect("lock");
    for order in orders {
        held.put("orders", order.clone());
    }
}

/// Somebody changes a field there.
fn edit(system: &Crm, key: u64, field: &str, value: &str) {
    let mut held = system.held.lock().expect("lock");
    let of =
        |record: &&mut (String, String, Value)| record.2["key"].as_str() == Some(&key.to_string());
    let record = held.records.iter_mut().find(of).expect("there");
    record.2[field] = json!(value);
}

/// Somebody removes a record there.
fn remove(system: &Crm, key: u64) {
    let mut held = system.held.lock().expect("lock");
    held.records
        .retain(|record| record.2["key"].as_str() != Some(&key.to_string()));
}

/// What a system holds, whatever order it keeps it in.
fn all(system: &Crm) -> Vec<String> {
    let held = system.held.lock().expect("lock");
    let mut all: Vec<String> = held
        .of("orders")
        .into_iter()
        .map(Value::to_string)
        .collect();
    all.sort();
    all
}

/// Marks a configuration in which no field is the CRM's.
const ALL_SHOPS: &str = "# the shop owns all of it\n";

async fn start(folder: &Path, shop: &Crm, crm: &Crm, job: &str) -> Worker {
    let maps = if job.contains(ALL_SHOPS) {
        MAPS.replace(
            "owner = \"crm\", writers = [\"shop:create_only\"]",
            "owner = \"shop\"",
        )
    } else {
        MAPS.to_owned()
    };
    let text = format!(
        "[site]\nname = \"test\"\ndatabase = \"m.db\"\n[ingest]\nlisten = \"127.0.0.1:0\"\n[limits]\ndisk_reserve = \"1MiB\"\n\
         [defaults.path]\njitter = 0\n[systems.shop]\nurl = \"http://{}\"\nprivate = true\n\
         [systems.crm]\nurl = \"http://{}\"\nprivate = true\n\
         [systems.payments]\nurl = \"http://{}\"\nprivate = true\n{maps}\n{job}",
        shop.receiver.address, crm.receiver.address, crm.receiver.address
    );
    let file = folder.join("midwatch.toml");
    std::fs::write(&file, text).expect("written");
    let config = match midwatch::config::load(&file) {
        Ok(loaded) => loaded.config,
        Err(problems) => {
            let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
            panic!("{}", words.join("\n"))
        }
    };
    let started = Worker::start(config, WorkerOptions::default()).await;
    started.expect("starts")
}

impl World {
    async fn start(rest: &str, shop: Crm, crm: Crm) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let job = format!("{JOB}{rest}");
        let worker = start(folder.path(), &shop, &crm, &job).await;
        let world = Self {
            shop,
            crm,
            worker,
            folder,
        };
        // The run that is due at the start.
        world.run_after(0).await;
        world
    }

    fn client(&self) -> Client {
        self.worker.client()
    }

    fn runs(&self) -> Vec<RunRow> {
        let reader = self.worker.store().reader().expect("reader");
        reader.runs(None, 100).expect("read")
    }

    async fn until<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let mut changes = self.worker.store().changes();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found() {
                return found;
            }
            let reader = self.worker.store().reader().expect("reader");
            assert!(
                Instant::now() < deadline,
                "never: {what}: {:#?} {:#?}",
                self.runs().first(),
                reader
                    .log(None, 20)
                    .expect("read")
                    .iter()
                    .map(|row| row.text.clone())
                    .collect::<Vec<_>>()
            );
            let _ = tokio::time::timeout(Duration::from_millis(20), changes.changed()).await;
        }
    }

    async fn run_after(&self, count: usize) -> RunRow {
        self.until("a run", || {
            let runs = self.runs();
            (runs.len() > count && runs[0].ended.is_some()).then(|| runs[0].clone())
        })
        .await
    }

    /// Runs the job, and waits for its end and that of its plan's row.
    async fn run(&self) -> RunRow {
        self.run_of("orders").await
    }

    async fn run_of(&self, job: &str) -> RunRow {
        let action = Action::Reconcile {
            job: job.to_owned(),
        };
        let deadline = Instant::now() + PATIENCE;
        let mut count = self.runs().len();
        // The last one may be at its very end still.
        while let Err(refused) = self.submit(action.clone()).await {
            assert!(
                refused.text.contains("under way") && Instant::now() < deadline,
                "{refused}"
            );
            tokio::task::yield_now().await;
            count = self.runs().len();
        }
        let run = self.run_after(count).await;
        // The plan is kept after the run.
        self.until("a job that may run", || self.settled(&run))
            .await
    }

    fn settled(&self, run: &RunRow) -> Option<RunRow> {
        let reader = self.worker.store().reader().expect("reader");
        let row = reader.run(run.id).expect("read").expect("there");
        let planned = reader.differences(run.id, 100).expect("read");
        let expects = planned.iter().any(|row| row.grade == Grade::Repairable);
        (row.plan.is_some() || !expects || row.mode == midwatch::config::model::RepairMode::Report)
            .then_some(row)
    }

    fn differences(&self, run: &RunRow) -> Vec<DifferenceRow> {
        let reader = self.worker.store().reader().expect("reader");
        reader.differences(run.id, 1_000).expect("read")
    }

    fn plan(&self, run: &RunRow) -> (PlanRow, Vec<PlanWrite>) {
        let id = run.plan.expect("a plan");
        let reader = self.worker.store().reader().expect("reader");
        reader.plan(id).expect("read").expect("there")
    }

    async fn submit(&self, action: Action) -> Result<Done, Refused> {
        let client = self.client();
        let preview = client.preview(action.clone()).await?;
        client
            .submit(pinned(action, &preview).expect("pinned"))
            .await
    }

    async fn approve(&self, run: &RunRow) {
        let (plan, writes) = self.plan(run);
        let digest = plan_digest(&plan, &writes);
        let done = self
            .submit(Action::ApprovePlan {
                plan: plan.id,
                digest,
            })
            .await;
        done.expect("approved");
    }

    /// Waits until every write of the newest plan has come to its end.
    async fn carried_out(&self) -> (PlanRow, Vec<PlanWrite>) {
        self.until("the end of a plan", || {
            let reader = self.worker.store().reader().expect("reader");
            let newest = reader.plans(None, 1).expect("read").pop()?;
            let (plan, writes) = reader.plan(newest.id).expect("read")?;
            let open =
                |write: &PlanWrite| matches!(write.state, WriteState::Planned | WriteState::Sent);
            (plan.state == PlanState::Applied && !writes.iter().any(open)).then_some((plan, writes))
        })
        .await
    }

    async fn end(self) -> tempfile::TempDir {
        soon(self.worker.drain()).await;
        self.folder
    }
}

/// (key, field, state) of each write.
fn ends(writes: &[PlanWrite]) -> Vec<(&str, &str, WriteState)> {
    let mut ends: Vec<_> = (writes.iter())
        .map(|write| {
            (
                write.key.as_str(),
                write.field.as_deref().unwrap_or(write.verb.word()),
                write.state,
            )
        })
        .collect();
    ends.sort_by_key(|(key, field, _)| (*key, *field));
    ends
}

/// Five orders on both sides, that a run has learnt to agree.
async fn agreed(rest: &str) -> World {
    let (shop, crm) = (Crm::start().await, Crm::start().await);
    let orders: Vec<Value> = (1..=9)
        .map(|key| order(key, "Kari", "processing", "100.00"))
        .collect();
    put(&shop, &orders);
    put(&crm, &orders);
    let world = World::start(rest, shop, crm).await;
    let run = world.runs().remove(0);
    assert_eq!(
        (run.compared, run.drift, run.complete),
        (9, Some(0.0), true),
        "{run:?}"
    );
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drift_is_found_planned_approved_written_and_gone() {
    let world = agreed(PROPOSE).await;
    // The shop goes on, somebody edits the CRM by hand, a webhook is lost, both change one field.
    edit(&world.shop, 1, "status", "completed");
    edit(&world.crm, 2, "total", "90.00");
    edit(&world.shop, 3, "status", "cancelled");
    edit(&world.crm, 3, "status", "on hold");
    edit(&world.crm, 4, "name", "Karianne");
    put(&world.shop, &[order(10, "Ola", "processing", "12.50")]);
    let run = world.run().await;
    assert_eq!(
        (
            run.compared,
            run.only_first,
            run.differing,
            run.money.get("NOK").map(String::as_str)
        ),
        (9, 1, 4, Some("10")),
        "{run:?}"
    );
    let told: Vec<_> = (world.differences(&run).into_iter())
        .map(|row| (row.key, row.kind, row.changed, row.grade, row.confirmed))
        .collect();
    let field = DifferenceKind::Field;
    let expected = [
        ("1", field, Some(Changed::First), Grade::Repairable),
        ("10", DifferenceKind::OnlyFirst, None, Grade::Repairable),
        ("2", field, Some(Changed::Second), Grade::Repairable),
        ("3", field, Some(Changed::Both), Grade::Review),
        ("4", field, Some(Changed::Second), Grade::Repairable),
    ]
    .map(|(key, kind, changed, grade)| (key.to_owned(), kind, changed, grade, true));
    assert_eq!(told, expected);
    let (plan, writes) = world.plan(&run);
    assert_eq!(plan.state, PlanState::Proposed);
    let planned: Vec<_> = (writes.iter())
        .map(|write| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (
                write.key.as_str(),
                write.system.as_str(),
                write.verb,
                text(&write.from),
                text(&write.to),
                write.rule.as_str(),
            )
        })
        .collect();
    assert_eq!(
        planned,
        [
            (
                "1",
                "crm",
                WriteVerb::Update,
                "\"processing\"".into(),
                "\"completed\"".into(),
                "shop owns status of order; only shop changed it"
            ),
            (
                "10",
                "crm",
                WriteVerb::Create,
                String::new(),
                "\"10\"".into(),
                "path deals carries order from shop"
            ),
            (
                "2",
                "crm",
                WriteVerb::Update,
                "90.00 NOK".into(),
                "100.00 NOK".into(),
                "shop owns total of order; only crm changed it"
            ),
            (
                "4",
                "shop",
                WriteVerb::Update,
                "\"Kari\"".into(),
                "\"Karianne\"".into(),
                "crm owns name of order; only crm changed it"
            ),
        ]
    );
    // Nothing is written before somebody says so, and nobody approves what is not there.
    let writes = || {
        (
            world.shop.seen("PATCH"),
            world.crm.seen("PATCH"),
            world.crm.seen("POST"),
        )
    };
    assert_eq!(writes(), (0, 0, 0));
    let other = Action::ApprovePlan {
        plan: plan.id,
        digest: "0".repeat(32),
    };
    let refused = world.submit(other).await.expect_err("another digest");
    assert!(refused.text.contains("not what was looked at"), "{refused}");
    world.approve(&run).await;
    let (_, made) = world.carried_out().await;
    assert!(
        made.iter()
            .all(|write| write.state == WriteState::Delivered),
        "{made:#?}"
    );
    assert_eq!(writes(), (1, 2, 1));
    assert_eq!(world.crm.only("orders", "1")["status"], "completed");
    assert_eq!(world.crm.only("orders", "2")["total"], "100.00");
    assert_eq!(world.crm.only("orders", "10")["total"], "12.50");
    assert_eq!(world.shop.only("orders", "4")["name"], "Karianne");
    // The conflict is left for a person, as a review with both values.
    assert_eq!(world.crm.only("orders", "3")["status"], "on hold");
    let reader = world.worker.store().reader().expect("reader");
    let reviews = reader.reviews(true, 10).expect("read");
    assert_eq!(reviews.len(), 1);
    assert_eq!(
        (reviews[0].source.as_str(), reviews[0].ours.as_deref()),
        ("shop", Some("\"cancelled\""))
    );
    // Each write names where it comes from.
    let event = made[0].event.expect("carried");
    let event = reader.event(event).expect("read").expect("there");
    let origin = format!("reconcile/orders/{}", run.id);
    assert!(
        event
            .extensions
            .contains(&("repairorigin".to_owned(), origin)),
        "{event:?}"
    );
    // What is repairable is gone, and nothing else was touched.
    let run = world.run().await;
    let left: Vec<_> = (world.differences(&run).into_iter())
        .map(|row| (row.key, row.grade))
        .collect();
    assert_eq!(left, [("3".to_owned(), Grade::Review)]);
    assert_eq!(run.plan, None);
    for key in [5, 6, 7, 8, 9] {
        let untouched = order(key, "Kari", "processing", "100.00");
        for system in [&world.shop, &world.crm] {
            let mut held = system.only("orders", &key.to_string());
            held.as_object_mut().expect("an object").remove("id");
            assert_eq!(held, untouched);
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_since_is_refused_and_the_rest_is_written() {
    let world = agreed(PROPOSE).await;
    for key in [1, 2, 3] {
        edit(&world.shop, key, "status", "completed");
    }
    edit(&world.crm, 4, "total", "90.00");
    let run = world.run().await;
    assert_eq!(world.plan(&run).1.len(), 4);
    // Before it is approved: one is mended by hand, one gets another value, one goes on in the shop.
    edit(&world.crm, 1, "status", "completed");
    edit(&world.crm, 2, "status", "refunded");
    edit(&world.shop, 3, "status", "cancelled");
    world.approve(&run).await;
    let (_, writes) = world.carried_out().await;
    let refused = WriteState::Refused;
    assert_eq!(
        ends(&writes),
        [
            ("1", "status", refused),
            ("2", "status", refused),
            ("3", "status", refused),
            ("4", "total", WriteState::Delivered)
        ]
    );
    let why: Vec<_> = writes
        .iter()
        .filter_map(|write| write.reason.as_deref())
        .collect();
    assert_eq!(
        why,
        [
            "it is not so any more: both sides agree",
            "both changed it since they agreed",
            "another value stands now"
        ]
    );
    assert_eq!(world.crm.seen("PATCH"), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_taken_back_where_it_is_still_as_it_left_it() {
    let world = agreed(PROPOSE).await;
    for key in [1, 2] {
        edit(&world.shop, key, "status", "completed");
    }
    put(&world.shop, &[order(10, "Ola", "processing", "12.50")]);
    let run = world.run().await;
    let before = world.plan(&run).0;
    let early = world.submit(Action::UndoPlan { plan: before.id }).await;
    assert!(
        early
            .expect_err("nothing was written")
            .text
            .contains("none of its writes was delivered")
    );
    world.approve(&run).await;
    world.carried_out().await;
    edit(&world.crm, 2, "status", "refunded");
    world
        .submit(Action::UndoPlan { plan: before.id })
        .await
        .expect("taken back");
    let (undo, writes) = world.carried_out().await;
    assert_eq!(undo.undoes, Some(before.id));
    assert_eq!(
        ends(&writes),
        [
            ("1", "status", WriteState::Delivered),
            ("10", "create", WriteState::Refused),
            ("2", "status", WriteState::Refused),
        ]
    );
    assert_eq!(world.crm.only("orders", "1")["status"], "processing");
    assert_eq!(world.crm.only("orders", "2")["status"], "refunded");
    assert_eq!(world.crm.count("orders"), 10, "what was made stays");
    let again = world.submit(Action::UndoPlan { plan: before.id }).await;
    assert!(
        again
            .expect_err("twice")
            .text
            .contains("taken back already")
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_that_is_interrupted_goes_on_and_writes_nothing_twice() {
    let (shop, down) = (Crm::start().await, Arc::new(AtomicBool::new(false)));
    let failing = down.clone();
    // The CRM answers listings always, and other questions unless it is down.
    let crm = Crm::with(move |seen| {
        (failing.load(Ordering::SeqCst) && seen.url.contains("?key=3"))
            .then_some(Fault::Status(503))
    })
    .await;
    let orders: Vec<Value> = (1..=6)
        .map(|key| order(key, "Kari", "processing", "100.00"))
        .collect();
    put(&shop, &orders);
    put(&crm, &orders);
    let world = World::start(PROPOSE, shop, crm).await;
    for key in 1..=5 {
        edit(&world.shop, key, "status", "completed");
    }
    let run = world.run().await;
    down.store(true, Ordering::SeqCst);
    world.approve(&run).await;
    // All but the third are handed over; the worker ends in the middle.
    world
        .until("four that are handed over", || {
            let (plan, _) = world.plan(&run);
            (plan.writes[0] == 1 && plan.state == PlanState::Applying).then_some(())
        })
        .await;
    let World {
        shop,
        crm,
        worker,
        folder,
    } = world;
    soon(worker.drain()).await;
    drop(worker);
    down.store(false, Ordering::SeqCst);
    let job = format!("{JOB}{PROPOSE}");
    let worker = start(folder.path(), &shop, &crm, &job).await;
    let world = World {
        shop,
        crm,
        worker,
        folder,
    };
    let (_, writes) = world.carried_out().await;
    assert!(
        writes
            .iter()
            .all(|write| write.state == WriteState::Delivered),
        "{writes:#?}"
    );
    assert_eq!(world.crm.seen("PATCH"), 5, "each once");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_approves_itself_first_proposes_and_then_stays_inside_its_rails() {
    let rails = "repair = \"apply\"\nrails = { max = 2, stop_above = \"50%\" }\n";
    let world = agreed(rails).await;
    for key in [1, 2, 3] {
        edit(&world.shop, key, "status", "completed");
    }
    // The first run is behind it: it may write, two records a run.
    let run = world.run().await;
    assert_eq!((run.differing, world.plan(&run).1.len()), (3, 2));
    assert_eq!(
        world.plan(&run).0.note.as_deref(),
        Some("1 more record waits for the next run: 2 a run")
    );
    world.carried_out().await;
    assert_eq!(world.crm.seen("PATCH"), 2);
    let run = world.run().await;
    world.carried_out().await;
    assert_eq!((run.differing, world.crm.seen("PATCH")), (1, 3));
    // Half of everything differs: that is no drift, it is something else.
    for key in 1..=6 {
        edit(&world.crm, key, "total", "1.00");
    }
    let run = world.run().await;
    let (plan, writes) = world.plan(&run);
    assert_eq!((plan.state, writes.len()), (PlanState::Stopped, 2));
    assert!(plan.note.expect("why").contains("stop_above"));
    let run = world.run().await;
    assert_eq!(run.differing, 6);
    assert_eq!(world.crm.seen("PATCH"), 3, "nothing was written");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_side_that_lists_nothing_or_breaks_off_makes_and_removes_nothing() {
    let rails = "repair = \"apply\"\nrails = { max = 20, stop_above = \"100%\", deletes = true }\n";
    let world = agreed(rails).await;
    let before = all(&world.crm);
    let kept = std::mem::take(&mut world.shop.held.lock().expect("lock").records);
    let run = world.run().await;
    assert!(
        run.error
            .as_deref()
            .is_some_and(|error| error.contains("listed nothing")),
        "{run:?}"
    );
    assert_eq!((run.complete, run.plan, run.only_second), (false, None, 0));
    world.shop.held.lock().expect("lock").records = kept;
    assert_eq!(all(&world.crm), before);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_there_before_is_not_made_again() {
    let world = agreed(PROPOSE).await;
    put(&world.shop, &[order(10, "Ola", "processing", "12.50")]);
    let run = world.run().await;
    world.approve(&run).await;
    world.carried_out().await;
    // The CRM knew it, and somebody removed it there.
    remove(&world.crm, 10);
    let run = world.run().await;
    let found = world.differences(&run);
    assert_eq!((found.len(), found[0].grade), (1, Grade::Review));
    assert_eq!(
        found[0].note.as_deref(),
        Some("crm had it before: it was removed there")
    );
    assert_eq!(run.plan, None);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_accepts_does_not_count_until_a_value_changes() {
    let world = agreed(PROPOSE).await;
    edit(&world.shop, 1, "status", "completed");
    let run = world.run().await;
    assert_eq!(run.differing, 1);
    let tolerate = |reason: &str| Action::Tolerate {
        job: "orders".to_owned(),
        key: Hidden::from("1".to_owned()),
        reason: reason.to_owned(),
    };
    assert!(
        world.submit(tolerate(" ")).await.is_err(),
        "without a reason"
    );
    world
        .submit(tolerate("agreed with the accountant"))
        .await
        .expect("accepted");
    // The plan that waits was made before that: what is accepted now is not written by it any more.
    world.approve(&run).await;
    let (_, writes) = world.carried_out().await;
    assert_eq!(ends(&writes), [("1", "status", WriteState::Refused)]);
    let why = writes[0].reason.as_deref().unwrap_or_default();
    assert!(why.contains("agreed with the accountant"), "{why}");
    let run = world.run().await;
    assert_eq!(
        (run.differing, run.compared, run.note.as_deref()),
        (0, 9, Some("1 tolerated"))
    );
    edit(&world.shop, 1, "status", "refunded");
    assert_eq!(world.run().await.differing, 1);
    edit(&world.shop, 1, "status", "completed");
    assert_eq!(world.run().await.differing, 0);
    let again = Action::Untolerate {
        job: "orders".to_owned(),
        key: Hidden::from("1".to_owned()),
    };
    world.submit(again).await.expect("counts again");
    assert_eq!(world.run().await.differing, 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_delivery_ends_with_the_proof_once_both_sides_agree() {
    let (shop, refuses) = (Crm::start().await, Arc::new(AtomicBool::new(true)));
    let refusing = refuses.clone();
    let crm = Crm::with(move |seen| {
        (refusing.load(Ordering::SeqCst) && seen.method == "PATCH").then_some(Fault::Status(422))
    })
    .await;
    let orders: Vec<Value> = (1..=3)
        .map(|key| order(key, "Kari", "processing", "100.00"))
        .collect();
    put(&shop, &orders);
    put(&crm, &orders);
    let world = World::start(PROPOSE, shop, crm).await;
    for key in [1_u64, 2] {
        edit(&world.shop, key, "status", "completed");
        let changed = world.shop.only("orders", &key.to_string()).to_string();
        let sent = reqwest::Client::new()
            .post(format!("http://{}/events", world.worker.addr()))
            .header("content-type", "application/json")
            .header("ce-specversion", "1.0")
            .header("ce-id", format!("e{key}"))
            .header("ce-source", "shop")
            .header("ce-type", "order.updated")
            .body(changed)
            .send()
            .await
            .expect("sent");
        assert!(sent.status().is_success(), "{sent:?}");
    }
    let dead = || {
        let reader = world.worker.store().reader().expect("reader");
        reader
            .overview()
            .expect("read")
            .paths
            .iter()
            .map(|path| path.counts.dead)
            .sum::<u64>()
    };
    world
        .until("two dead", || (dead() == 2).then_some(()))
        .await;
    // One of them is done by hand, the other is still to do.
    edit(&world.crm, 1, "status", "completed");
    refuses.store(false, Ordering::SeqCst);
    let run = world.run().await;
    assert_eq!(run.differing, 1, "{run:?}");
    assert_eq!(dead(), 1);
    let reader = world.worker.store().reader().expect("reader");
    let filter: midwatch::queue::filter::Filter = "state:superseded".parse().expect("a filter");
    let (page, _) = reader
        .deliveries(&filter, Cursor::Newest, 10)
        .expect("read");
    let proof = format!(
        "run {} of orders read it in both: shop and crm agree on name, status, total",
        run.id
    );
    assert_eq!(
        page.iter()
            .map(|row| row.reason.clone())
            .collect::<Vec<_>>(),
        [Some(proof)]
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payments_are_held_against_their_orders_and_only_what_a_rule_decides_is_written() {
    let (shop, crm) = (Crm::start().await, Crm::start().await);
    let pay = |key: &str, order: Value, amount: &str, refunded: &str| json!({"key": key, "order": order, "amount": amount, "refunded": refunded, "currency": "NOK", "status": "succeeded"});
    let orders = [
        order(1, "Kari", "processing", "100.00"),
        order(2, "Kari", "pending", "100.00"),
        order(3, "Kari", "cancelled", "100.00"),
        order(4, "Kari", "processing", "100.00"),
        order(5, "Kari", "completed", "100.00"),
        order(6, "Kari", "pending", "100.00"),
    ];
    put(&shop, &orders);
    put(&crm, &orders);
    for payment in [
        pay("p1", json!("1"), "60.00", "0"),
        pay("p2", json!("1"), "40.00", "0"),
        pay("p3", json!("2"), "70.00", "0"),
        pay("p4", json!("2"), "30.00", "0"),
        pay("p5", json!("3"), "100.00", "0"),
        pay("p6", json!("5"), "100.00", "100.00"),
        pay("p7", json!("77"), "12.00", "0"),
        pay("p8", Value::Null, "13.00", "0"),
    ] {
        crm.held.lock().expect("lock").put("payments", payment);
    }
    let money = "repair = \"report\"\n[reconcile.money]\npreset = \"payment-order\"\nsides = [\"payments.payment\", \"shop.order\"]\n\
                 every = \"1h\"\ngrace = \"0\"\nrepair = \"propose\"\nowner = \"anna\"\nrunbook = \"r.md\"\n\
                 drift = { warn = \"1 order\", critical = \"3 orders or 500 NOK\" }\nrails = { stop_above = \"100%\" }\n";
    let world = World::start(money, shop, crm).await;
    let run = world.run_of("money").await;
    let told: Vec<_> = (world.differences(&run).into_iter())
        .map(|row| (row.key, row.kind, row.grade, row.confirmed))
        .collect();
    let row = |key: &str, kind, grade| (key.to_owned(), kind, grade, true);
    assert_eq!(
        told,
        [
            row("2", DifferenceKind::PaidPending, Grade::Repairable),
            row("3", DifferenceKind::PaidCancelled, Grade::Critical),
            row("4", DifferenceKind::Unpaid, Grade::Critical),
            row("5", DifferenceKind::Amount, Grade::Review),
            row("77", DifferenceKind::Orphan, Grade::Review),
            row("without order: p8", DifferenceKind::Orphan, Grade::Review),
        ],
        "{run:?}"
    );
    // 100 that is not known of, 100 kept, 100 that never came, 100 given back, 12 and 13 for nobody.
    assert_eq!(run.money.get("NOK").map(String::as_str), Some("425"));
    assert_eq!(run.level, Some(midwatch::store::view::Severity::Critical));
    let (_, writes) = world.plan(&run);
    assert_eq!(ends(&writes), [("2", "status", WriteState::Planned)]);
    world.approve(&run).await;
    let (_, made) = world.carried_out().await;
    assert_eq!(ends(&made), [("2", "status", WriteState::Delivered)]);
    assert_eq!(world.shop.only("orders", "2")["status"], "processing");
    assert_eq!(world.shop.seen("PATCH"), 1);
    let run = world.run_of("money").await;
    assert_eq!(
        (run.differing + run.only_first + run.only_second, run.plan),
        (5, None)
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_owner_removed_is_removed_only_where_the_job_says_so() {
    let deletes = format!(
        "{ALL_SHOPS}repair = \"propose\"\nrails = {{ stop_above = \"90%\", deletes = true }}\n"
    );
    let world = agreed(&deletes).await;
    put(&world.shop, &[order(10, "Ola", "processing", "12.50")]);
    let run = world.run().await;
    world.approve(&run).await;
    world.carried_out().await;
    // The CRM has a record that the shop never had, and one that the shop had and removed.
    put(&world.crm, &[order(11, "Per", "processing", "1.00")]);
    let learnt = midwatch::record::ledger::Learned {
        system: "shop".to_owned(),
        about: midwatch::record::ledger::About {
            kind: "order".to_owned(),
            key: "10".to_owned(),
        },
        id: Some("orders-10".to_owned()),
        ..midwatch::record::ledger::Learned::default()
    };
    world.worker.store().learn(learnt).await.expect("learnt");
    remove(&world.shop, 10);
    let run = world.run().await;
    let (_, writes) = world.plan(&run);
    let planned: Vec<_> = writes
        .iter()
        .map(|write| (write.key.as_str(), write.verb))
        .collect();
    assert_eq!(planned, [("10", WriteVerb::Delete)]);
    world.approve(&run).await;
    let (_, made) = world.carried_out().await;
    assert_eq!(made[0].state, WriteState::Delivered, "{made:#?}");
    assert_eq!(world.crm.seen("DELETE"), 1);
    assert_eq!(
        world.crm.only("orders", "11")["name"],
        "Per",
        "it was never the shop's"
    );
    assert_eq!(world.crm.count("orders"), 10);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_what_is_compared_is_only_reported_at_first() {
    let world = agreed(PROPOSE).await;
    edit(&world.shop, 1, "status", "completed");
    let World {
        shop,
        crm,
        worker,
        folder,
    } = world;
    soon(worker.drain()).await;
    drop(worker);
    let job = format!(
        "{JOB}fields.status = {{ compare = \"casefold\" }}\nfields.total = {{}}\n{PROPOSE}"
    );
    let worker = start(folder.path(), &shop, &crm, &job).await;
    let world = World {
        shop,
        crm,
        worker,
        folder,
    };
    let run = world.run().await;
    assert_eq!((run.differing, run.plan), (1, None), "{run:?}");
    assert_eq!(
        run.note.as_deref(),
        Some("what its records are matched or read by was changed: this run only reports")
    );
    let run = world.run().await;
    assert!(run.plan.is_some() && run.note.is_none(), "{run:?}");
    world.end().await;
}

/// A small generator: the same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_plan_nothing_repairable_is_left_and_nothing_else_was_touched() {
    for seed in [1, 7, 42] {
        let world = agreed(PROPOSE).await;
        let mut dice = Dice(seed);
        for n in 0..10 {
            let key = 1 + dice.below(9);
            let status = ["completed", "refunded", "on hold"][dice.below(3) as usize];
            match dice.below(6) {
                0 => edit(&world.shop, key, "status", status),
                1 => edit(&world.crm, key, "status", status),
                2 => edit(&world.crm, key, "total", &format!("{}.00", dice.below(90))),
                3 => edit(&world.crm, key, "name", &format!("Kari {n}")),
                4 => edit(&world.shop, key, "name", &format!("Ola {n}")),
                _ => put(&world.shop, &[order(20 + n, "Per", status, "5.00")]),
            }
        }
        let run = world.run().await;
        let Some(_) = run.plan else {
            panic!("seed {seed} made no plan: {run:?}");
        };
        let (_, writes) = world.plan(&run);
        let before = [all(&world.shop), all(&world.crm)];
        world.approve(&run).await;
        let (_, made) = world.carried_out().await;
        assert!(
            made.iter()
                .all(|write| write.state == WriteState::Delivered),
            "{seed}: {made:#?}"
        );
        let after = [all(&world.shop), all(&world.crm)];
        for (system, (before, after)) in ["shop", "crm"].iter().zip(before.iter().zip(&after)) {
            let planned = |record: &&String| {
                let value: Value = serde_json::from_str(record).expect("JSON");
                writes
                    .iter()
                    .any(|write| write.system == *system && value["key"] == write.key)
            };
            let others = |all: &[String]| -> Vec<String> {
                all.iter()
                    .filter(|record| !planned(record))
                    .cloned()
                    .collect()
            };
            assert_eq!(others(before), others(after), "seed {seed}, {system}");
        }
        let run = world.run().await;
        let left = world.differences(&run);
        assert!(
            left.iter().all(|row| row.grade != Grade::Repairable),
            "seed {seed}: {left:#?}"
        );
        world.end().await;
    }
}
