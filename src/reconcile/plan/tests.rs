use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::record::ownership::Writer;
use crate::store::{Options, Store};
use crate::time::Clock;

const TEXT: &str = r#"
[systems.shop]
url = "http://127.0.0.1:1"
private = true
[systems.crm]
url = "http://127.0.0.1:2"
private = true
[systems.payments]
url = "http://127.0.0.1:3"
private = true
[systems.shop.records.order]
events = ["order.*"]
id = "/id"
key = "/key"
version = "/modified"
fields.status = "/status"
fields.total = { at = "/total", type = "money" }
fields.made = { at = "/made", read_only = true }
lookup = { url = "/orders/{{ key }}" }
list = { url = "/orders", answer = "" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
[systems.crm.records.order]
id = "/id"
key = "/key"
version = "/modified"
fields.status = "/status"
fields.total = { at = "/total", type = "money" }
fields.made = { at = "/made", read_only = true }
lookup = { url = "/orders/{{ key }}" }
list = { url = "/orders", answer = "" }
create = { method = "POST", url = "/orders" }
update = { method = "PATCH", url = "/orders/{{ id }}" }
delete = { method = "DELETE", url = "/orders/{{ id }}" }
[systems.payments.records.payment]
events = ["payment.*"]
key = "/id"
refs.order = "/order"
fields.amount = { at = "/amount", type = "money" }
fields.status = "/status"
list = { url = "/payments", answer = "" }
[paths.deals]
route = "shop.order -> crm.order"
events = ["order.*"]
owner = "anna"
runbook = "r.md"
[reconcile.orders]
sides = ["shop.order", "crm.order"]
repair = "propose"
owner = "anna"
runbook = "r.md"
[reconcile.money]
preset = "payment-order"
sides = ["payments.payment", "shop.order"]
repair = "propose"
owner = "anna"
runbook = "r.md"
"#;

struct Bed {
    config: Config,
    key: HashKey,
    _folder: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            clock: Clock::System,
            disk_reserve: 1 << 20,
            dedupe: Duration::from_secs(60),
        };
        let store = Store::open(&folder.path().join("m.db"), options).unwrap();
        let config = crate::config::parse(TEXT, FilePath::new("/m.toml"))
            .unwrap()
            .config;
        Self {
            config,
            key: store.hash_key(),
            _folder: folder,
        }
    }

    fn owned(&mut self, field: &str, rule: OwnedField) {
        let entity = Entity {
            name: "order".to_owned(),
            fields: BTreeMap::from([(field.to_owned(), rule)]),
            ..Entity::default()
        };
        self.config
            .entities
            .insert("order".to_owned(), Arc::new(entity));
    }

    fn job(&mut self, name: &str) -> &mut Records {
        let job = self
            .config
            .reconcile
            .iter_mut()
            .find(|job| job.name == name)
            .unwrap();
        let crate::config::model::Check::Records(records) = &mut job.check else {
            panic!("it compares records");
        };
        records
    }

    fn grade(
        &self,
        name: &str,
        mut row: DifferenceRow,
        read: [Option<&Record>; 2],
        complete: bool,
    ) -> (DifferenceRow, Option<PlanWrite>) {
        let job = self
            .config
            .reconcile
            .iter()
            .find(|job| job.name == name)
            .unwrap();
        let ground = Ground {
            config: &self.config,
            job,
            records: job.records().unwrap(),
            complete,
            key: &self.key,
        };
        let write = grade(&ground, &mut row, read);
        (row, write)
    }
}

fn rule(owner: &str, writers: &[&str], policy: Policy) -> OwnedField {
    OwnedField {
        owner: owner.to_owned(),
        writers: (writers.iter())
            .map(|system| Writer {
                system: (*system).to_owned(),
                create_only: false,
            })
            .collect(),
        policy,
        order: ["pending", "paid", "sent"].map(str::to_owned).to_vec(),
        gap: Duration::from_secs(5),
        compare: None,
        sensitive: false,
        when_owner_down: None,
    }
}

fn record(status: &str, minute: i64) -> Record {
    Record {
        key: Some("1".to_owned()),
        id: Some("x1".to_owned()),
        version: Some(Version::Instant(Timestamp(minute * 60_000))),
        fields: BTreeMap::from([("status".to_owned(), Value::Text(status.to_owned()))]),
        ..Record::default()
    }
}

fn quoted(text: &str) -> String {
    Value::Text(text.to_owned()).canonical()
}

/// A field that differs, read a second time.
fn differs(base: Option<&str>, first: &str, second: &str) -> DifferenceRow {
    let changed = base.map(|base| match (base == first, base == second) {
        (true, false) => Changed::Second,
        (false, true) => Changed::First,
        _ => Changed::Both,
    });
    DifferenceRow {
        key: "1".to_owned(),
        kind: DifferenceKind::Field,
        field: Some("status".to_owned()),
        first: Some(quoted(first)),
        second: Some(quoted(second)),
        base: base.map(quoted),
        changed,
        confirmed: true,
        ..DifferenceRow::default()
    }
}

/// (owner, writers, policy, base, the shop's, the CRM's, grade, the system that is written).
type Case = (
    &'static str,
    &'static [&'static str],
    Policy,
    Option<&'static str>,
    &'static str,
    &'static str,
    Grade,
    Option<&'static str>,
);

#[test]
fn the_rule_of_a_field_says_which_value_stands() {
    use Grade::{Repairable, Review, Told};
    use Policy::{Manual, Monotonic, Newest, Owner, OwnerUnlessBlank};
    let table: &[Case] = &[
        (
            "shop",
            &[],
            Owner,
            Some("paid"),
            "sent",
            "paid",
            Repairable,
            Some("crm"),
        ),
        (
            "shop",
            &[],
            Owner,
            Some("paid"),
            "paid",
            "sent",
            Repairable,
            Some("crm"),
        ),
        (
            "shop",
            &[],
            Owner,
            None,
            "paid",
            "sent",
            Repairable,
            Some("crm"),
        ),
        (
            "shop",
            &[],
            Owner,
            Some("paid"),
            "sent",
            "pending",
            Review,
            None,
        ),
        (
            "crm",
            &[],
            Owner,
            Some("paid"),
            "paid",
            "sent",
            Repairable,
            Some("shop"),
        ),
        (
            "crm",
            &[],
            Owner,
            None,
            "paid",
            "sent",
            Repairable,
            Some("shop"),
        ),
        // A writer's change goes to the owner; without a base the owner's stands.
        (
            "shop",
            &["crm"],
            Owner,
            Some("paid"),
            "paid",
            "sent",
            Repairable,
            Some("shop"),
        ),
        (
            "shop",
            &["crm"],
            Owner,
            None,
            "paid",
            "sent",
            Repairable,
            Some("crm"),
        ),
        // Nobody here may write it.
        (
            "payments",
            &[],
            Owner,
            Some("paid"),
            "sent",
            "paid",
            Told,
            None,
        ),
        (
            "payments",
            &["shop"],
            Owner,
            Some("paid"),
            "sent",
            "paid",
            Repairable,
            Some("crm"),
        ),
        (
            "payments",
            &["shop"],
            Owner,
            Some("paid"),
            "paid",
            "sent",
            Told,
            None,
        ),
        (
            "payments",
            &["shop", "crm"],
            Owner,
            None,
            "paid",
            "sent",
            Review,
            None,
        ),
        // A blank erases nothing.
        (
            "shop",
            &[],
            OwnerUnlessBlank,
            Some("paid"),
            "",
            "paid",
            Told,
            None,
        ),
        (
            "shop",
            &["crm"],
            OwnerUnlessBlank,
            Some("paid"),
            "",
            "paid",
            Repairable,
            Some("shop"),
        ),
        (
            "shop",
            &[],
            OwnerUnlessBlank,
            Some("paid"),
            "sent",
            "paid",
            Repairable,
            Some("crm"),
        ),
        // Further on stands, wherever it is.
        (
            "shop",
            &["crm"],
            Monotonic,
            Some("pending"),
            "pending",
            "sent",
            Repairable,
            Some("shop"),
        ),
        (
            "shop",
            &["crm"],
            Monotonic,
            None,
            "sent",
            "pending",
            Repairable,
            Some("crm"),
        ),
        ("shop", &[], Monotonic, None, "pending", "sent", Told, None),
        ("shop", &[], Monotonic, None, "lost", "sent", Review, None),
        // The shop's record is the younger one below.
        (
            "shop",
            &["crm"],
            Newest,
            None,
            "paid",
            "sent",
            Repairable,
            Some("crm"),
        ),
        (
            "shop",
            &["crm"],
            Newest,
            Some("paid"),
            "paid",
            "sent",
            Repairable,
            Some("shop"),
        ),
        (
            "shop",
            &["crm"],
            Manual,
            Some("paid"),
            "sent",
            "paid",
            Repairable,
            Some("crm"),
        ),
        ("shop", &["crm"], Manual, None, "sent", "paid", Review, None),
    ];
    let mut bed = Bed::new();
    for (owner, writers, policy, base, first, second, grade, written) in table {
        bed.owned("status", rule(owner, writers, *policy));
        let (one, other) = (record(first, 9), record(second, 1));
        let row = differs(*base, first, second);
        let (row, write) = bed.grade("orders", row, [Some(&one), Some(&other)], true);
        let case = format!(
            "{owner} {writers:?} {policy:?} {base:?} {first} {second}: {:?}",
            row.note
        );
        assert_eq!(
            (row.grade, write.as_ref().map(|write| write.system.as_str())),
            (*grade, *written),
            "{case}"
        );
        if let Some(write) = write {
            let (from, to) = if write.system == "crm" {
                (second, first)
            } else {
                (first, second)
            };
            assert_eq!(
                (write.from, write.to),
                (Some(quoted(from)), Some(quoted(to))),
                "{case}"
            );
            assert!(
                write.rule.starts_with(&format!("{owner} owns status")),
                "{}",
                write.rule
            );
        }
    }
}

#[test]
fn what_was_not_read_again_is_owned_by_nobody_or_cannot_be_written_is_told() {
    let mut bed = Bed::new();
    let (one, other) = (record("sent", 9), record("paid", 1));
    let read = [Some(&one), Some(&other)];
    let row = || differs(Some("paid"), "sent", "paid");
    let note = |found: (DifferenceRow, Option<PlanWrite>)| {
        assert_eq!((found.0.grade, found.1), (Grade::Told, None));
        found.0.note.unwrap_or_default()
    };
    assert!(note(bed.grade("orders", row(), read, true)).contains("declare [entities.order]"));
    bed.owned("total", rule("shop", &[], Policy::Owner));
    assert!(note(bed.grade("orders", row(), read, true)).contains("nobody is said to own status"));
    bed.owned("status", rule("shop", &[], Policy::Owner));
    let unread = DifferenceRow {
        confirmed: false,
        ..row()
    };
    assert_eq!(note(bed.grade("orders", unread, read, true)), "");
    assert!(note(bed.grade("orders", row(), [Some(&one), None], true)).contains("only listed"));
    bed.owned("made", rule("shop", &[], Policy::Owner));
    let made = |text: &str| Record {
        fields: BTreeMap::from([("made".to_owned(), Value::Text(text.to_owned()))]),
        ..record("", 1)
    };
    let row = DifferenceRow {
        field: Some("made".to_owned()),
        ..differs(Some("paid"), "sent", "paid")
    };
    let (one, other) = (made("sent"), made("paid"));
    assert!(
        note(bed.grade("orders", row, [Some(&one), Some(&other)], true))
            .contains("never gets made")
    );
}

#[test]
fn a_sensitive_value_is_planned_as_its_hash() {
    let mut bed = Bed::new();
    let hidden = OwnedField {
        sensitive: true,
        ..rule("shop", &[], Policy::Owner)
    };
    bed.owned("status", hidden);
    let (one, other) = (record("sent", 9), record("paid", 1));
    let hash = |text: &str| Some(bed.key.text(&Value::Text(text.to_owned()), true));
    let row = DifferenceRow {
        first: hash("sent"),
        second: hash("paid"),
        base: hash("paid"),
        ..differs(Some("paid"), "sent", "paid")
    };
    let (_, write) = bed.grade("orders", row, [Some(&one), Some(&other)], true);
    let write = write.unwrap();
    assert!(write.sensitive);
    assert_eq!((write.from, write.to), (hash("paid"), hash("sent")));
}

#[test]
fn what_is_missing_is_made_by_its_path_or_removed_where_the_rails_allow() {
    let mut bed = Bed::new();
    let missing = |kind, changed| DifferenceRow {
        key: "1".to_owned(),
        ids: [Some("s1".to_owned()), Some("c1".to_owned())],
        kind,
        changed,
        confirmed: true,
        ..DifferenceRow::default()
    };
    let none = [None, None];
    let (only_first, only_second) = (DifferenceKind::OnlyFirst, DifferenceKind::OnlySecond);
    let (row, write) = bed.grade("orders", missing(only_first, None), none, true);
    let write = write.unwrap();
    assert_eq!(
        (row.grade, write.verb, write.system.as_str()),
        (Grade::Repairable, WriteVerb::Create, "crm")
    );
    assert_eq!(write.rule, "path deals carries order from shop");
    for (kind, changed, complete, words) in [
        (only_first, None, false, "not whole"),
        (
            only_second,
            None,
            true,
            "no path makes order of crm in shop",
        ),
    ] {
        let (row, write) = bed.grade("orders", missing(kind, changed), none, complete);
        assert_eq!((row.grade, write), (Grade::Told, None));
        assert!(row.note.unwrap().contains(words));
    }
    // It was there before: never made again, and removed on the other side only where all agree to that.
    let removed = || missing(only_second, Some(Changed::First));
    for (deletes, owner, complete, grade, verb) in [
        (false, "shop", true, Grade::Review, None),
        (true, "crm", true, Grade::Review, None),
        (
            true,
            "shop",
            true,
            Grade::Repairable,
            Some(WriteVerb::Delete),
        ),
        (true, "shop", false, Grade::Told, None),
    ] {
        bed.job("orders").rails.deletes = deletes;
        bed.owned("status", rule(owner, &[], Policy::Owner));
        let (row, write) = bed.grade("orders", removed(), none, complete);
        let found = (row.grade, write.as_ref().map(|write| write.verb));
        assert_eq!(found, (grade, verb), "{deletes} {owner} {complete}");
        if let Some(write) = write {
            assert_eq!(
                (write.system.as_str(), write.id.as_deref()),
                ("crm", Some("c1"))
            );
        }
    }
}

#[test]
fn a_paid_order_becomes_what_the_job_says_where_somebody_may_say_so() {
    let mut bed = Bed::new();
    let pending = || DifferenceRow {
        key: "1".to_owned(),
        ids: [Some("p1".to_owned()), Some("s1".to_owned())],
        kind: DifferenceKind::PaidPending,
        field: Some("status".to_owned()),
        first: Some("100 NOK".to_owned()),
        second: Some(quoted("pending")),
        grade: Grade::Repairable,
        confirmed: true,
        note: Some("it is paid, and does not know it".to_owned()),
        ..DifferenceRow::default()
    };
    // (owner and writers of the status; none: not declared) (mode) -> written
    let propose = RepairMode::Propose;
    for (owned, mode, written) in [
        (None, propose, true),
        (Some(rule("shop", &[], Policy::Owner)), propose, true),
        (
            Some(rule("shop", &[], Policy::Owner)),
            RepairMode::Apply,
            false,
        ),
        (
            Some(rule("shop", &["payments"], Policy::Owner)),
            RepairMode::Apply,
            true,
        ),
        (Some(rule("crm", &[], Policy::Owner)), propose, false),
    ] {
        bed.config.entities.clear();
        let case = format!("{owned:?} {mode:?}");
        if let Some(owned) = owned {
            bed.owned("status", owned);
        }
        bed.job("money").repair = mode;
        let (row, write) = bed.grade("money", pending(), [None, None], true);
        assert_eq!(write.is_some(), written, "{case}: {row:?}");
        match write {
            Some(write) => {
                assert_eq!(
                    (write.system.as_str(), write.id.as_deref()),
                    ("shop", Some("s1"))
                );
                assert_eq!(
                    (write.from, write.to),
                    (Some(quoted("pending")), Some(quoted("processing")))
                );
            }
            None => assert_eq!(row.grade, Grade::Review, "{case}"),
        }
    }
    // What a person must see is never written, whatever the rules.
    for (kind, grade) in [
        (DifferenceKind::Unpaid, Grade::Critical),
        (DifferenceKind::PaidCancelled, Grade::Critical),
        (DifferenceKind::Amount, Grade::Review),
        (DifferenceKind::Orphan, Grade::Review),
    ] {
        let row = DifferenceRow {
            kind,
            grade,
            ..pending()
        };
        let (row, write) = bed.grade("money", row, [None, None], true);
        assert_eq!((row.grade, write), (grade, None), "{kind:?}");
    }
}
