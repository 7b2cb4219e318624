//! Held events from the command line: a contract breaks them, is mended or they are edited, and they are delivered; or not.

use serde_json::{Value, json};

use super::{Place, until};

/// The shop's orders are held to a contract whose total is a number.
struct Held {
    place: Place,
}

impl Held {
    fn new() -> Self {
        let place = Place::new();
        place.edit(
            "[paths.crm]",
            "[contracts.\"order.created\"]\nversions = [\"1\"]\n\n[paths.crm]",
        );
        let held = Self { place };
        let folder = held.place.folder.path().join("contracts/order.created");
        std::fs::create_dir_all(folder).unwrap();
        held.total_is("number");
        held
    }

    /// Writes the contract.
    fn total_is(&self, kind: &str) {
        let schema = json!({
            "type": "object",
            "required": ["total"],
            "properties": { "total": { "type": kind } },
        });
        let folder = self.place.folder.path().join("contracts/order.created");
        std::fs::write(folder.join("1.json"), schema.to_string()).unwrap();
    }

    /// Sends events with these data, `e1` first, and returns what the command said.
    fn send(&self, all: &[Value]) -> String {
        let lines: Vec<String> = (all.iter().enumerate())
            .map(|(n, data)| {
                let event = json!({
                    "specversion": "1.0", "id": format!("e{}", n + 1), "source": "shop",
                    "type": "order.created", "data": data,
                });
                event.to_string()
            })
            .collect();
        let output = self.place.fed(&lines.join("\n"), &["send", "-"]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let said = self.place.ok(&[arguments, &["--json"]].concat());
        let line = said.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap()
    }

    /// The data that the receiver was given, in order.
    fn bodies(&self) -> Vec<String> {
        let seen = self.place.receiver.seen();
        seen.into_iter().map(|seen| seen.body).collect()
    }
}

#[test]
fn what_breaks_its_contract_is_held_until_the_contract_is_mended_and_then_delivered_once() {
    let held = Held::new();
    let place = &held.place;
    let worker = place.worker(&[]);
    let said = held.send(&[json!({"total": "12.10"}), json!({"total": 3})]);
    assert!(
        said.contains("line 1: breaks the contract order.created 1: /total type")
            && said.contains("1 accepted, 1 held of 2 events"),
        "{said}"
    );
    place.delivered(1);

    let group = held.json(&["held"]);
    assert_eq!(
        (&group["count"], &group["admission"], &group["text"]),
        (
            &json!(1),
            &json!("held"),
            &json!("order.created 1: /total type")
        )
    );
    let group = group["id"].as_str().unwrap().to_owned();
    let row = held.json(&["held", "list", &group]);
    assert_eq!(
        (&row["id"], &row["event_id"], &row["group"]),
        (&json!(1), &json!("e1"), &json!(group))
    );
    let shown = held.json(&["held", "show", "1"]);
    assert_eq!(
        (&shown["faults"][0]["pointer"], &shown["faults"][0]["rule"]),
        (&json!("/total"), &json!("type"))
    );
    assert_eq!(shown["data"], r#"{"total":"12.10"}"#);

    // By the contract as it is, it stays; a file that is no contract changes nothing.
    let whole = ["held", "release", "--group", &group];
    let stays = place.run(&[&whole[..], &["--yes"]].concat());
    assert_eq!(stays.status.code(), Some(1), "{stays:?}");
    held.total_is("strin");
    let complaint = place.refused(&["reload"]);
    assert!(
        complaint.contains("no JSON Schema") && complaint.contains("goes on"),
        "{complaint}"
    );
    held.total_is("string");
    place.ok(&["reload"]);
    let preview = held.json(&[&whole[..], &["--dry-run"]].concat());
    assert_eq!(
        (&preview["count"], &preview["notes"][0]),
        (&json!(1), &json!("1 pass now: 1 to crm"))
    );
    let done = held.json(&[&whole[..], &["--yes"]].concat());
    assert_eq!(
        done["report"],
        json!({"released": 1, "deliveries": 1, "held": 0, "unrouted": 0, "moved_on": 0})
    );
    place.delivered(2);
    assert_eq!(held.bodies()[1], r#"{"total":"12.10"}"#);
    let complaint = place.refused(&[&whole[..], &["--yes"]].concat());
    assert!(complaint.contains("nothing matches"), "{complaint}");
    assert!(
        place
            .ok(&["held"])
            .contains("every event became a delivery")
    );
    worker.kill();
    assert_eq!(held.bodies().len(), 2);
}

#[test]
fn an_event_is_edited_and_released_and_an_edit_that_does_not_pass_is_refused() {
    let held = Held::new();
    let place = &held.place;
    let _worker = place.worker(&[]);
    held.send(&[json!({"total": "12.10", "note": "\u{1b}[2J"})]);
    for (arguments, words) in [
        (&["--set", "/total=\"7\""][..], "would still be held"),
        (&["--set", "=7"], "(the whole) type"),
        (&["--set", "/total=\"12.10\""], "changes nothing"),
        (&["--set", "/total=seven"], "a text needs its quotes"),
        (&["--set", "/total"], "POINTER=JSON"),
        (&["--set", "total=7"], "no JSON Pointer"),
        (&["--unset", "/colour"], "nothing at `/colour`"),
        (&["--file", "/dev/null"], "without data"),
        (&["--file", "/dev/zero"], "longer than 16 MiB"),
        (&[], "there is no terminal to edit on"),
    ] {
        let edit = [&["held", "edit", "1"], arguments, &["--yes"]].concat();
        let complaint = place.refused(&edit);
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    }
    let edit = ["held", "edit", "1", "--set", "/total=12.10", "--unset"];
    let edit = [&edit[..], &["/note"]].concat();
    let preview = held.json(&[&edit[..], &["--dry-run"]].concat());
    assert_eq!(
        (&preview["notes"][0], &preview["notes"][1]),
        (
            &json!(r#"/note: "\u001b[2J" -> (nothing)"#),
            &json!(r#"/total: "12.10" -> 12.10"#)
        )
    );
    let said = place.ok(&[&edit[..], &["--yes"]].concat());
    assert!(
        said.contains("event 1 edited and released: 1 delivery"),
        "{said}"
    );
    place.delivered(1);
    assert_eq!(held.bodies(), [r#"{"total":12.10}"#]);
    let complaint = place.refused(&[&edit[..], &["--yes"]].concat());
    assert!(complaint.contains("event 1 was accepted"), "{complaint}");
    let shown = held.json(&["held", "show", "1"]);
    assert_eq!(shown["row"]["admission"], "accepted");
    let actor = shown["edits"][0]["actor"].as_str().unwrap();
    assert!(actor.starts_with("anna"), "{shown}");
    until("the log tells of it", || {
        let log = place.ok(&["tail", "--once"]);
        log.contains("event 1 edited (/note, /total): 1 released (1 delivery)")
    });
}

#[test]
fn what_is_discarded_is_never_delivered_and_says_who_gave_it_up() {
    let held = Held::new();
    let place = &held.place;
    let all = [json!({"total": "1"}), json!({}), json!({"total": "2"})];
    held.send(&all);
    // Without a worker the command does it itself.
    let like = [
        "held",
        "discard",
        "--all-like",
        "3",
        "--reason",
        "test data",
    ];
    let complaint = place.refused(&like);
    assert!(complaint.contains("--yes"), "{complaint}");
    let preview = held.json(&[&like[..], &["--dry-run"]].concat());
    assert_eq!(preview["count"], 2);
    let done = held.json(&[&like[..], &["--yes"]].concat());
    assert_eq!(done["report"], json!({"discarded": 2}));
    let shown = place.ok(&["held", "show", "3"]);
    assert!(
        shown.contains("\nstate      discarded by anna: test data\n") && !shown.contains("group"),
        "{shown}"
    );
    for (arguments, words) in [
        (&["release", "3"][..], "nothing matches"),
        (&["release", "--group", "00000000"], "nothing matches"),
        (&["release", "--all-like", "3"], "neither held nor unrouted"),
        (&["discard", "3", "--reason", "again"], "nothing matches"),
        (&["discard", "2", "--reason", " "], "say why"),
        (&["edit", "3", "--set", "/total=1"], "was discarded"),
        (&["edit", "99", "--set", "/total=1"], "no event 99"),
        (&["show", "99"], "no event 99"),
    ] {
        let mut command = [&["held"], arguments].concat();
        if arguments[0] != "show" {
            command.push("--yes");
        }
        let complaint = place.refused(&command);
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    }
    for (of, words) in [
        (["--system", "cmr"], "no system called cmr"),
        (["--path", "cmr\u{1b}[2J"], "no path called cmr\\x1b[2J"),
    ] {
        let complaint = place.refused(&[&["notes"], &of[..]].concat());
        assert!(complaint.contains(words), "{of:?}: {complaint}");
    }
    assert!(
        place
            .ok(&["notes", "--system", "crm"])
            .contains("nothing was noticed")
    );
    // The contract goes: the one that is left is nobody's fault any more.
    place.edit("[contracts.\"order.created\"]\nversions = [\"1\"]", "");
    let said = place.ok(&["held", "release", "1", "2", "2", "--yes"]);
    assert!(
        said.contains("1 of those named are neither held nor unrouted")
            && said.contains("1 of events 1, 2 released: 1 delivery"),
        "{said}"
    );
    let _worker = place.worker(&[]);
    place.delivered(1);
    assert_eq!(held.bodies(), ["{}"]);
}
