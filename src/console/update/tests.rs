//! Stories: what an operator does, and what comes of it.

use super::*;
use crate::console::fixture::{self, answer, id, key, keys, model, talk};
use crate::console::model::{OverviewId, Replace, Stage};
use crate::control::action::Stands;
use crate::ids::Fingerprint;
use crate::queue::model::State;

const SIZE: (u16, u16) = (100, 30);

fn submissions(effects: &[Effect]) -> Vec<&Action> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Submit { action, .. } => Some(action),
            _ => None,
        })
        .collect()
}

fn arm_timer(effects: &[Effect]) -> Timer {
    effects
        .iter()
        .find_map(|effect| match effect {
            Effect::Timer(timer @ Timer::Arm(_), after) => {
                assert_eq!(*after, READABLE);
                Some(*timer)
            }
            _ => None,
        })
        .expect("the dialog asks to be told when it was readable")
}

fn queries(effects: &[Effect]) -> Vec<&Query> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Read { query, .. } => Some(query),
            _ => None,
        })
        .collect()
}

#[test]
fn a_dead_group_is_opened_its_runbook_read_and_replayed() {
    let mut model = model(SIZE);
    // The second trouble is the dead letters of the crm; Enter leads to their group.
    talk(&mut model, "j\n");
    assert_eq!(model.place, Place::Dead);
    let effects = talk(&mut model, "o");
    let file = model.config.path("crm").unwrap().runbook.clone().unwrap();
    assert!(effects.contains(&Effect::ReadRunbook(file)));
    assert_eq!(model.place, Place::Runbook);
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Dead);

    let effects = talk(&mut model, "r");
    let timer = arm_timer(&effects);
    // Too early, and Enter never: nothing happens.
    assert!(submissions(&talk(&mut model, "y\n")).is_empty());
    update(&mut model, Input::Timer(timer));
    assert!(submissions(&talk(&mut model, "\n")).is_empty());
    let effects = talk(&mut model, "y");
    let done = submissions(&effects);
    let [Action::Replay { filter, canary, .. }] = done[..] else {
        panic!("{done:?}");
    };
    assert_eq!(
        (
            &filter.paths[..],
            filter.fingerprint,
            &filter.states[..],
            *canary
        ),
        (
            &["crm".to_owned()][..],
            Some(Fingerprint(0x0a1b_2c3d)),
            &[State::Dead][..],
            3
        )
    );
    // A second y is not a second replay.
    assert!(submissions(&talk(&mut model, "y")).is_empty());
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        panic!();
    };
    let dialog = dialog.id;
    let done = Done {
        text: "replay 8 has begun".into(),
        batch: None,
        delivery: None,
        report: None,
    };
    let effects = update(
        &mut model,
        Input::Submitted {
            dialog,
            result: Ok(done),
        },
    );
    assert!(model.overlay.is_none());
    assert_eq!(model.toast.as_ref().unwrap().text, "replay 8 has begun");
    assert!(queries(&effects).contains(&&Query::Dead));
}

#[test]
fn a_timer_of_an_earlier_dialog_arms_nothing() {
    let mut model = model(SIZE);
    let old = arm_timer(&talk(&mut model, "3r"));
    talk(&mut model, "\x1b");
    let new = arm_timer(&talk(&mut model, "r"));
    update(&mut model, Input::Timer(old));
    assert!(submissions(&talk(&mut model, "y")).is_empty());
    update(&mut model, Input::Timer(new));
    assert_eq!(submissions(&talk(&mut model, "y")).len(), 1);
}

#[test]
fn an_answer_to_a_closed_dialog_is_not_taken_for_the_next_ones() {
    let mut model = model(SIZE);
    let stale = keys("3r")
        .into_iter()
        .flat_map(|input| update(&mut model, input))
        .find_map(|effect| match effect {
            Effect::Preview { dialog, .. } => Some(dialog),
            _ => None,
        })
        .unwrap();
    update(&mut model, key("esc"));
    update(&mut model, key("r"));
    let result = Ok(fixture::preview());
    let effects = update(
        &mut model,
        Input::Previewed {
            dialog: stale,
            result,
        },
    );
    assert_eq!(effects, []);
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        panic!();
    };
    assert_eq!(dialog.stage, Stage::Asking);
}

#[test]
fn no_letter_acts_outside_a_confirmation() {
    let letters: Vec<String> = ('!'..='~').map(|c| c.to_string()).collect();
    for place in fixture::PLACES {
        for letter in letters
            .iter()
            .map(String::as_str)
            .chain(["enter", "space", "esc"])
        {
            let mut model = model(SIZE);
            model.place = place;
            let effects = update(&mut model, key(letter));
            for effect in effects {
                assert!(
                    !matches!(effect, Effect::Submit { .. } | Effect::Leave(_)),
                    "{place:?} {letter}"
                );
            }
        }
    }
}

#[test]
fn a_paste_is_text_in_an_input_and_nothing_anywhere_else() {
    for place in fixture::PLACES {
        let mut model = model(SIZE);
        model.place = place;
        assert_eq!(update(&mut model, Input::Paste("rycy\nqs".into())), []);
        assert!(model.overlay.is_none() && model.prompt.is_none());
    }
    let mut model = model(SIZE);
    let timer = arm_timer(&talk(&mut model, "3r"));
    update(&mut model, Input::Timer(timer));
    assert_eq!(update(&mut model, Input::Paste("y".into())), []);
    talk(&mut model, "\x1b2/");
    update(&mut model, Input::Paste("path:\ncrm\x1b".into()));
    assert_eq!(model.prompt.unwrap().line.value(), "path: crm ");
}

#[test]
fn escalating_takes_a_note_and_follows_the_message_until_it_has_arrived() {
    let mut model = model(SIZE);
    talk(&mut model, "3E");
    // Without a note the preview is there already; Tab writes one, in which y is a letter.
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        panic!();
    };
    assert_eq!(dialog.stage, Stage::Reading { armed: false });
    talk(&mut model, "\tcall yes");
    let effects = talk(&mut model, "\n");
    let timer = arm_timer(&effects);
    update(&mut model, Input::Timer(timer));
    let effects = talk(&mut model, "y");
    let done = submissions(&effects);
    let [
        Action::Escalate {
            path,
            delivery,
            note,
        },
    ] = done[..]
    else {
        panic!("{done:?}");
    };
    assert_eq!(
        (path.as_str(), *delivery, note.as_str()),
        ("crm", Some(id(4200)), "call yes")
    );
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        panic!();
    };
    let dialog = dialog.id;
    let result = Ok(Done {
        text: "queued".into(),
        batch: None,
        delivery: Some(id(9000)),
        report: None,
    });
    let effects = update(&mut model, Input::Submitted { dialog, result });
    assert!(queries(&effects).contains(&&Query::Delivery(id(9000))));

    let mut detail = fixture::detail();
    detail.row.id = id(9000);
    detail.row.state = State::Delivered;
    let loaded = Loaded::Delivery(id(9000), Some(Box::new(detail)));
    answer(&mut model, Slot::Followed, loaded);
    assert!(model.toast.as_ref().unwrap().text.contains("has arrived"));
    // It is settled: nobody asks for it again.
    assert!(!queries(&update(&mut model, Input::Changed)).contains(&&Query::Delivery(id(9000))));
}

#[test]
fn a_path_without_a_channel_cannot_be_escalated_and_says_so() {
    let mut model = model(SIZE);
    let ids = model.overview_ids();
    let ledger = ids
        .iter()
        .position(|id| *id == OverviewId::Path("ledger".into()))
        .unwrap();
    talk(&mut model, &"j".repeat(ledger));
    talk(&mut model, "E");
    assert!(model.overlay.is_none());
    assert!(model.toast.unwrap().text.contains("escalation"));
}

#[test]
fn replaying_all_needs_a_filter() {
    let mut model = model(SIZE);
    talk(&mut model, "2R");
    assert!(model.overlay.is_none() && model.toast.is_some());
    talk(&mut model, "/state:dead\n");
    let effects = talk(&mut model, "R");
    arm_timer(&effects);
}

#[test]
fn marked_deliveries_are_what_is_replayed() {
    let mut model = model(SIZE);
    talk(&mut model, "2  j ");
    let marked: Vec<_> = model.deliveries.marked.iter().copied().collect();
    assert_eq!(marked, [id(4197), id(4199), id(4200)]);
    let effects = talk(&mut model, "r");
    let asked = effects.iter().find_map(|effect| match effect {
        Effect::Preview {
            action: Action::Replay { filter, .. },
            ..
        } => Some(filter.ids.clone()),
        _ => None,
    });
    assert_eq!(asked, Some(marked));
}

#[test]
fn a_replay_of_one_is_its_own_canary() {
    for typed in ["2r", "4r", "2 r"] {
        let mut model = model(SIZE);
        let effects = talk(&mut model, typed);
        let asked = effects.iter().find_map(|effect| match effect {
            Effect::Preview {
                action: Action::Replay { filter, canary, .. },
                ..
            } => Some((filter.ids.len(), *canary)),
            _ => None,
        });
        assert_eq!(asked, Some((1, 1)), "{typed}");
    }
}

#[test]
fn a_filter_is_applied_as_it_is_typed_and_esc_brings_the_old_one_back() {
    let mut model = model(SIZE);
    talk(&mut model, "2");
    let effects = talk(&mut model, "/state:dead");
    let last = queries(&effects).pop().cloned();
    assert_eq!(
        last,
        Some(Query::Deliveries {
            filter: Box::new("state:dead".parse().unwrap()),
            cursor: Cursor::Newest,
            limit: crate::console::model::PAGE
        })
    );
    talk(&mut model, "\x1b");
    assert!(model.deliveries.filter.is_empty());
}

#[test]
fn the_selection_stays_on_its_delivery_when_newer_ones_come_in() {
    let mut model = model(SIZE);
    talk(&mut model, "2jjj");
    assert_eq!(model.deliveries.selection.id, Some(id(4197)));
    let load = |model: &mut Model, newest: i64| {
        let loaded = Loaded::Deliveries {
            filter: Box::default(),
            cursor: Cursor::Newest,
            rows: (0..60).map(|n| fixture::delivery(newest - n)).collect(),
            done: true,
        };
        answer(model, Slot::Deliveries, loaded);
    };
    load(&mut model, 4205);
    assert_eq!(model.deliveries.selection.id, Some(id(4197)));
    assert_eq!(model.deliveries.selection.index, 8);
    // Back at the top it follows the newest again.
    talk(&mut model, "g");
    load(&mut model, 4210);
    assert_eq!(model.deliveries.selection.id, Some(id(4210)));
}

#[test]
fn walking_down_asks_for_older_pages_and_keeps_its_place() {
    let mut model = model(SIZE);
    talk(&mut model, "2");
    let rows: Vec<_> = (0..240).map(|n| fixture::delivery(4200 - n)).collect();
    let loaded = Loaded::Deliveries {
        filter: Box::default(),
        cursor: Cursor::Newest,
        rows: rows.clone(),
        done: true,
    };
    answer(&mut model, Slot::Deliveries, loaded);
    model.refresh.clear();
    let mut asked = None;
    for _ in 0..239 {
        let effects = update(&mut model, key("j"));
        if let Some(Query::Deliveries { cursor, .. }) = queries(&effects).first() {
            asked = Some(*cursor);
            break;
        }
    }
    let here = model.deliveries.selection.id.unwrap();
    let Some(Cursor::Older(from)) = asked else {
        panic!("{asked:?}");
    };
    assert!(from > here, "what is above the selection stays in memory");
    let top_row = model.deliveries.rows[model.deliveries.selection.top].id;
    let start = from.event().0 - 1;
    let loaded = Loaded::Deliveries {
        filter: Box::default(),
        cursor: Cursor::Older(from),
        rows: (0..240).map(|n| fixture::delivery(start - n)).collect(),
        done: true,
    };
    let seq = model.refresh[&Slot::Deliveries].pending.unwrap();
    let effects = update(
        &mut model,
        Input::Loaded {
            slot: Slot::Deliveries,
            seq,
            result: Ok(loaded),
        },
    );
    assert_eq!(queries(&effects), Vec::<&Query>::new());
    assert_eq!(model.deliveries.selection.id, Some(here));
    let list = &model.deliveries;
    assert_eq!(
        list.rows[list.selection.top].id, top_row,
        "nothing moves on the screen"
    );
}

#[test]
fn many_changes_are_one_read_at_a_time_and_none_while_frozen() {
    let mut model = Model::new(fixture::config(), fixture::LOOKS, fixture::NOW, SIZE);
    let effects = update(&mut model, Input::Start);
    assert_eq!(queries(&effects), [&Query::Overview]);
    for _ in 0..100 {
        assert_eq!(update(&mut model, Input::Changed), []);
    }
    let seq = model.refresh[&Slot::Overview].pending.unwrap();
    let result = Ok(Loaded::Overview(Box::new(fixture::overview()), Vec::new()));
    let slot = Slot::Overview;
    let effects = update(&mut model, Input::Loaded { slot, seq, result });
    assert_eq!(queries(&effects), Vec::<&Query>::new(), "it rests first");
    let effects = update(&mut model, Input::Timer(Timer::Cool(slot)));
    assert_eq!(queries(&effects), [&Query::Overview]);

    let mut model = fixture::model(SIZE);
    model.refresh.clear();
    talk(&mut model, "f");
    assert!(model.frozen);
    assert_eq!(
        queries(&update(&mut model, Input::Changed)),
        Vec::<&Query>::new()
    );
    assert_eq!(queries(&talk(&mut model, "f")), [&Query::Overview]);
}

#[test]
fn an_old_answer_does_not_replace_a_newer_question() {
    let mut model = model(SIZE);
    talk(&mut model, "2");
    let old = model.refresh[&Slot::Deliveries].pending.unwrap();
    talk(&mut model, "/state:dead\n");
    let result = Ok(Loaded::Deliveries {
        filter: Box::default(),
        cursor: Cursor::Newest,
        rows: vec![fixture::delivery(1)],
        done: true,
    });
    let slot = Slot::Deliveries;
    update(
        &mut model,
        Input::Loaded {
            slot,
            seq: old,
            result,
        },
    );
    assert!(model.deliveries.rows.is_empty());
}

#[test]
fn a_yes_too_early_is_answered_and_one_to_a_refusal_is_not_offered() {
    let mut model = model(SIZE);
    let timer = arm_timer(&talk(&mut model, "3r"));
    assert!(submissions(&talk(&mut model, "y")).is_empty());
    let Some(Overlay::Dialog(dialog)) = &model.overlay else {
        panic!();
    };
    assert!(dialog.hasty);
    assert!(contexts(&model).contains(&Context::Confirm));
    update(&mut model, Input::Timer(timer));
    let Some(Overlay::Dialog(dialog)) = &mut model.overlay else {
        panic!();
    };
    dialog.stage = Stage::Refused("no".into());
    assert_eq!(contexts(&model), [Context::Shut]);
    assert!(submissions(&talk(&mut model, "y")).is_empty());
}

#[test]
fn what_leads_nowhere_is_not_offered() {
    let mut model = model(SIZE);
    for (place, command) in [
        (Place::Delivery, Command::Replay),
        (Place::Replays, Command::Open),
        (Place::Replays, Command::AbortReplay),
        (Place::Dead, Command::Open),
        (Place::Dead, Command::Replay),
        (Place::Deliveries, Command::ReplayAll),
    ] {
        model.place = place;
        if place != Place::Deliveries {
            assert!(able(&model, command), "{place:?} {command:?}");
        }
    }
    model.detail = crate::console::model::Detail::default();
    model.batches.clear();
    model.groups.clear();
    for (place, command) in [
        (Place::Delivery, Command::Replay),
        (Place::Replays, Command::Open),
        (Place::Replays, Command::AbortReplay),
        (Place::Dead, Command::Open),
        (Place::Dead, Command::Replay),
        (Place::Deliveries, Command::ReplayAll),
    ] {
        model.place = place;
        assert!(!able(&model, command), "{place:?} {command:?}");
    }
}

#[test]
fn nobody_detaches_from_the_demo() {
    let mut model = model(SIZE);
    model.demo = Some(crate::console::model::Demo::Deleted);
    let timer = arm_timer(&talk(&mut model, "^Z"));
    update(&mut model, Input::Timer(timer));
    assert_eq!(talk(&mut model, "d"), []);
    assert_eq!(talk(&mut model, "s"), [Effect::Leave(Exit::Quit)]);
}

#[test]
fn leaving_with_the_worker_inside_asks_and_elsewhere_just_leaves() {
    let mut model = model(SIZE);
    let effects = talk(&mut model, "q");
    let timer = arm_timer(&effects);
    assert!(talk(&mut model, "s").is_empty(), "not yet readable");
    update(&mut model, Input::Timer(timer));
    assert_eq!(talk(&mut model, "s"), [Effect::Leave(Exit::Quit)]);
    talk(&mut model, "\x1b");
    let timer = arm_timer(&talk(&mut model, "^Z"));
    update(&mut model, Input::Timer(timer));
    assert_eq!(talk(&mut model, "d"), [Effect::Leave(Exit::Detach)]);

    let mut model = fixture::model(SIZE);
    model.link = Link::Attached;
    assert_eq!(talk(&mut model, "q"), [Effect::Leave(Exit::Quit)]);
    assert_eq!(talk(&mut model, "^Z"), [Effect::Suspend]);
}

#[test]
fn read_only_opens_no_dialog() {
    for typed in ["3r", "3c", "1p", "3E", "6r", "7c", ":reload\n", ":adopt\n"] {
        let mut model = model(SIZE);
        model.read_only = true;
        let effects = talk(&mut model, typed);
        assert!(
            !effects
                .iter()
                .any(|effect| matches!(effect, Effect::Preview { .. })),
            "{typed}"
        );
        assert!(
            !matches!(model.overlay, Some(Overlay::Dialog(_))),
            "{typed}"
        );
    }
}

#[test]
fn the_palette_finds_and_does() {
    let mut model = model(SIZE);
    talk(&mut model, ":dead l\n");
    assert_eq!(model.place, Place::Dead);
    let effects = talk(&mut model, ":adopt\n");
    arm_timer(&effects);
}

#[test]
fn esc_goes_back_the_way_one_came() {
    let mut model = model(SIZE);
    talk(&mut model, "3\n");
    assert_eq!(model.place, Place::Deliveries);
    assert!(!model.deliveries.filter.is_empty());
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Dead);
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Overview);
    talk(&mut model, "2");
    talk(&mut model, "\x1b\x1b");
    assert_eq!(model.place, Place::Overview);
}

#[test]
fn a_runbook_is_searched() {
    let mut model = model(SIZE);
    model.place = Place::Runbook;
    talk(&mut model, "/breaker\n");
    let first = model.reading.found.unwrap();
    talk(&mut model, "n");
    let second = model.reading.found.unwrap();
    assert!(second > first);
    talk(&mut model, "N");
    assert_eq!(model.reading.found, Some(first));
}

#[test]
fn json_folds_where_the_cursor_is() {
    let mut model = model(SIZE);
    model.place = Place::Delivery;
    update(&mut model, Input::Resize(100, 60));
    let rows = views::delivery::rows(&model);
    let inside = rows
        .iter()
        .position(|row| row.line.to_string().contains("KAFFE-1"))
        .expect("the payload is laid out");
    model.detail.line = inside;
    talk(&mut model, "\n");
    let folded = views::delivery::rows(&model);
    assert!(folded.len() < rows.len());
    assert!(
        !folded
            .iter()
            .any(|row| row.line.to_string().contains("KAFFE-1"))
    );
    talk(&mut model, "+");
    assert_eq!(views::delivery::rows(&model).len(), rows.len());
}

#[test]
fn a_filter_in_the_making_does_not_replace_the_one_in_force() {
    let mut model = model(SIZE);
    talk(&mut model, "2/state:dead\n");
    talk(&mut model, "/");
    assert_eq!(model.prompt.as_ref().unwrap().line.value(), "state:dead ");
    for typed in ["pat", "h", ":", "cmr"] {
        talk(&mut model, typed);
        assert_eq!(model.deliveries.filter.to_string(), "state:dead", "{typed}");
    }
    // No such path: it says so, names the near one, and Enter stays.
    talk(&mut model, "\n");
    let error = model.prompt.as_ref().unwrap().error.clone().unwrap();
    assert!(error.contains("cmr") && error.contains("crm"), "{error}");
    update(&mut model, key("backspace"));
    update(&mut model, key("backspace"));
    talk(&mut model, "rm\n");
    assert!(model.prompt.is_none());
    assert_eq!(model.deliveries.filter.paths, ["crm"]);
}

#[test]
fn a_replay_shows_its_items_its_report_and_its_end_is_told() {
    let mut model = model(SIZE);
    talk(&mut model, "7\n");
    assert_eq!(model.place, Place::Deliveries);
    assert_eq!(model.deliveries.filter.to_string(), "replay:7");
    talk(&mut model, "\x1bv");
    assert!(matches!(model.overlay, Some(Overlay::Report(_))));
    assert_eq!(model.place, Place::Replays);
    talk(&mut model, "\x1b1");
    model.replaying = Some(fixture::batch().id);
    let mut batch = fixture::batch();
    batch.ended = Some(fixture::NOW);
    answer(&mut model, Slot::Batches, Loaded::Batches(vec![batch]));
    let toast = model.toast.clone().unwrap().text;
    assert_eq!(toast, "replay 7: 14 delivered, 1 died again, 1 skipped");
    assert_eq!(model.replaying, None);
}

#[test]
fn a_difference_leads_to_its_deliveries() {
    let mut model = model(SIZE);
    talk(&mut model, "6\n\n");
    assert_eq!(model.place, Place::Deliveries);
    assert_eq!(model.deliveries.filter.to_string(), "key:1042");
}

#[test]
fn a_delivery_leads_to_its_record_and_the_record_back_to_deliveries() {
    let mut model = model(SIZE);
    talk(&mut model, "4s");
    assert_eq!(model.place, Place::Record);
    assert_eq!(model.record.about.as_ref().unwrap().key, "1042");
    // Once it is read, Enter leads to what waits, else to the newest of the story: no key is needed in between.
    let waits = fixture::story().waiting[0].delivery;
    let about = model.record.about.clone().unwrap();
    model.record.data = None;
    model.record.line = 0;
    answer(
        &mut model,
        Slot::Story,
        Loaded::Story(about.clone(), Some(Box::new(fixture::story())), Vec::new()),
    );
    talk(&mut model, "\n");
    assert_eq!(
        (model.place, model.detail.id),
        (Place::Delivery, Some(waits))
    );
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Record);
}

#[test]
fn from_the_list_the_records_of_a_delivery_are_read_first() {
    let mut model = model(SIZE);
    let effects = talk(&mut model, "2js");
    let id = model.deliveries.selection.id.unwrap();
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Read { slot: Slot::About, query: Query::About(asked), .. } if *asked == id
    )));
    let contact = crate::record::ledger::About {
        kind: "contact".into(),
        key: "anna".into(),
    };
    answer(
        &mut model,
        Slot::About,
        Loaded::About(id, vec![contact.clone()]),
    );
    assert_eq!(
        (model.place, model.record.about.clone()),
        (Place::Record, Some(contact))
    );
}

#[test]
fn records_are_found_by_the_palette_and_esc_goes_back_to_what_was_found() {
    let mut model = model(SIZE);
    let effects = talk(&mut model, ":story order 7\n");
    assert_eq!(model.place, Place::Record);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Read { query: Query::Story(record), .. } if record.key == "7"
    )));
    let effects = talk(&mut model, ":record 104\n");
    assert_eq!(model.record.about, None);
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Read { query: Query::Found(text), .. } if text == "104"
    )));
    answer(
        &mut model,
        Slot::Found,
        Loaded::Found("104".into(), fixture::records()),
    );
    talk(&mut model, "j\n");
    assert_eq!(model.record.about.as_ref().unwrap().key, "1043");
    talk(&mut model, "\x1b");
    assert_eq!(
        (model.place, model.record.about.clone()),
        (Place::Record, None)
    );
    assert_eq!(model.record.pick.id.as_ref().unwrap().key, "1043");
}

#[test]
fn a_secret_is_typed_unseen_tried_and_leaves_nothing_behind() {
    let mut model = model(SIZE);
    talk(&mut model, "0");
    model.system.id = Some("crm".into());
    update(&mut model, Input::Changed);
    let secret = |model: &Model| match &model.overlay {
        Some(Overlay::Secret(secret)) => (secret.stage.clone(), secret.typed.len(), secret.id),
        other => panic!("{other:?}"),
    };
    talk(&mut model, "w");
    assert_eq!(secret(&model).0, Replace::Typing);
    // `q`, `y` and Tab are letters or nothing here; Esc forgets, and leaves only when nothing is typed.
    talk(&mut model, "qy\t");
    update(&mut model, Input::Paste("hunter2\n".into()));
    assert_eq!(secret(&model).1, 9);
    assert!(!format!("{model:?}").contains("hunter2"));
    talk(&mut model, "\x1b");
    assert_eq!((secret(&model).0, secret(&model).1), (Replace::Typing, 0));
    assert!(talk(&mut model, "\n").is_empty(), "nothing was typed");
    talk(&mut model, "abc");
    let effects = talk(&mut model, "\n");
    let Effect::Submit {
        dialog,
        action:
            Action::ReplaceSecret {
                system,
                which,
                value,
                ..
            },
        ..
    } = &effects[0]
    else {
        panic!("{effects:?}");
    };
    assert_eq!(
        (system.as_str(), which.as_str(), value.expose()),
        ("crm", "token", "abc")
    );
    assert_eq!((secret(&model).0, secret(&model).1), (Replace::Acting, 0));
    let result = Err("nothing was saved: crm does not take it (401)".to_owned());
    update(
        &mut model,
        Input::Submitted {
            dialog: *dialog,
            result,
        },
    );
    assert!(matches!(secret(&model).0, Replace::Refused(_)));
    talk(&mut model, "\x1b");
    assert!(model.overlay.is_none());
}

#[test]
fn a_probe_is_confirmed_and_shows_its_report() {
    let mut model = model(SIZE);
    let effects = talk(&mut model, "0p");
    let timer = arm_timer(&effects);
    update(&mut model, Input::Timer(timer));
    let effects = talk(&mut model, "y");
    let Some(Effect::Submit { dialog, action, .. }) = effects.first() else {
        panic!("{effects:?}");
    };
    let asked = Action::Probe {
        system: "crm".into(),
    };
    assert_eq!(*action, asked);
    let done = Done {
        text: "address: resolves\ncredentials: accepted".into(),
        batch: None,
        delivery: None,
        report: None,
    };
    let answer = Input::Submitted {
        dialog: *dialog,
        result: Ok(done),
    };
    update(&mut model, answer);
    assert!(matches!(&model.overlay, Some(Overlay::Probe(probe)) if probe.title == "Probe of crm"));
    talk(&mut model, "\x1b");
    model.read_only = true;
    talk(&mut model, "w");
    assert!(model.overlay.is_none(), "read-only");
}

#[test]
fn going_live_is_offered_in_shadow_only_and_confirmed() {
    let mut model = model(SIZE);
    talk(&mut model, "1");
    model.chosen.id = Some(OverviewId::Path("ledger".into()));
    update(&mut model, Input::Changed);
    assert!(!able(&model, Command::GoLive));
    let mut overview = fixture::overview();
    overview.paths[1].shadow = true;
    answer(
        &mut model,
        Slot::Overview,
        Loaded::Overview(Box::new(overview), Vec::new()),
    );
    assert!(able(&model, Command::GoLive));
    let effects = talk(&mut model, "L");
    assert!(effects.iter().any(|effect| matches!(
        effect,
        Effect::Preview { action: Action::GoLive { path }, .. } if path == "ledger"
    )));
}

#[test]
fn the_cursor_stays_on_its_line_of_a_story_that_grows() {
    let mut model = fixture::model((80, 24));
    model.place = Place::Record;
    update(&mut model, Input::Resize(80, 24));
    for top in [0, 7] {
        talk(&mut model, "g");
        talk(&mut model, &"j".repeat(14 + top * 3));
        let text = |model: &Model| {
            let row = &views::record::rows(model)[model.record.line];
            row.line.to_string()
        };
        let (line, was_top) = (model.record.line, model.record.top);
        let before = text(&model);
        let mut story = model.record.data.clone().unwrap();
        let mut newest = story.lines.last().cloned().unwrap();
        newest.text = format!("new {top}");
        story.lines.extend([newest.clone(), newest]);
        let about = story.about.clone();
        fixture::answer(
            &mut model,
            Slot::Story,
            Loaded::Story(about, Some(story), Vec::new()),
        );
        assert_eq!(text(&model), before);
        assert_eq!(model.record.line, line + 2);
        assert_eq!(model.record.top, if was_top > 0 { was_top + 2 } else { 0 });
    }
}

#[test]
fn a_conflict_is_decided_by_one_key_and_a_yes() {
    for (typed, expected) in [
        ("a", Stands::Ours),
        ("b", Stands::Theirs),
        ("e\n", Stands::Value("982.00 NOK".to_owned().into())),
        ("e0\n", Stands::Value("982.00 NOK0".to_owned().into())),
    ] {
        let mut model = model(SIZE);
        talk(&mut model, "V");
        let timer = arm_timer(&talk(&mut model, typed));
        update(&mut model, Input::Timer(timer));
        let effects = talk(&mut model, "y");
        let done = submissions(&effects);
        let [Action::Decide { review, side }] = &done[..] else {
            panic!("{typed}: {done:?}");
        };
        assert_eq!((review.0, side), (3, &expected), "{typed}");
    }
    // A sensitive value is not shown to be edited; one that is decided offers nothing.
    let mut model = model(SIZE);
    talk(&mut model, "Vje");
    assert_eq!(model.prompt.as_ref().expect("asked").line.value(), "");
    talk(&mut model, "\x1b");
    for decided in ["G", "Gk"] {
        talk(&mut model, decided);
        let effects = talk(&mut model, "abe");
        assert_eq!(
            (effects.len(), model.prompt.is_none()),
            (0, true),
            "{decided}"
        );
        assert!(model.overlay.is_none());
    }
    model.read_only = true;
    talk(&mut model, "ga");
    assert!(model.overlay.is_none() && model.toast.is_some());
}

#[test]
fn a_plan_is_approved_as_it_was_looked_at_declined_with_a_reason_and_taken_back() {
    let (plan, writes) = fixture::recon::plan();
    let confirm = |typed: &str| {
        let mut model = model(SIZE);
        talk(&mut model, "6p");
        assert_eq!(model.place, Place::Plan);
        let timer = arm_timer(&talk(&mut model, typed));
        update(&mut model, Input::Timer(timer));
        let effects = talk(&mut model, "y");
        submissions(&effects)
            .into_iter()
            .cloned()
            .collect::<Vec<_>>()
    };
    let digest = crate::store::plan_digest(&plan, &writes);
    assert_eq!(
        confirm("a"),
        [Action::ApprovePlan {
            plan: plan.id,
            digest
        }]
    );
    let reason = String::new();
    assert_eq!(
        confirm("x"),
        [Action::DeclinePlan {
            plan: plan.id,
            reason
        }]
    );
    // What was not carried out cannot be taken back; what was cannot be approved again.
    let mut model = model(SIZE);
    talk(&mut model, "6pu");
    assert!(model.overlay.is_none() && model.toast.is_some());
    let done = Loaded::Plan(plan.id, Some(Box::new(fixture::recon::carried_out())));
    answer(&mut model, Slot::Plan, done);
    model.toast = None;
    talk(&mut model, "a");
    assert!(model.overlay.is_none() && model.toast.is_some());
    let timer = arm_timer(&talk(&mut model, "u"));
    update(&mut model, Input::Timer(timer));
    let effects = talk(&mut model, "y");
    assert_eq!(submissions(&effects), [&Action::UndoPlan { plan: plan.id }]);
    // A run under way is cancelled; one that has ended is not.
    let mut model = fixture::model(SIZE);
    talk(&mut model, "6c");
    assert!(model.overlay.is_none());
    let mut runs = fixture::recon::runs();
    runs[0].ended = None;
    let under_way = Loaded::Runs(runs, fixture::recon::sides(), Vec::new());
    answer(&mut model, Slot::Runs, under_way);
    talk(&mut model, "c");
    assert!(model.overlay.is_some());
}

#[test]
fn differences_are_narrowed_kind_by_kind_and_one_is_accepted_with_a_reason() {
    let mut model = model(SIZE);
    talk(&mut model, "6\n");
    assert_eq!(model.place, Place::Differences);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(model.shown_differences());
        talk(&mut model, "f");
    }
    assert_eq!(seen, [vec![0, 1, 2, 3], vec![0, 2], vec![1], vec![3]]);
    assert_eq!(model.shown_differences().len(), 4);
    talk(&mut model, "fj");
    assert_eq!(model.difference_here().unwrap().key, "1050");
    let timer = arm_timer(&talk(&mut model, "tthe books say so\n"));
    update(&mut model, Input::Timer(timer));
    let effects = talk(&mut model, "y");
    let done = submissions(&effects);
    let [Action::Tolerate { job, key, reason }] = &done[..] else {
        panic!("{done:?}");
    };
    let found = (job.as_str(), key.expose(), reason.as_str());
    assert_eq!(found, ("orders", "1050", "the books say so"));
}

#[test]
fn the_runs_of_a_job_lead_to_their_differences_and_back() {
    let mut model = model(SIZE);
    talk(&mut model, "6v");
    assert_eq!(model.place, Place::Runs);
    let newest = model.recon.past.id;
    let effects = talk(&mut model, "j\n");
    assert_eq!(model.place, Place::Differences);
    assert!(model.run != newest && model.run == model.recon.past.id);
    assert!(model.differences.is_empty());
    let asked = Query::Differences(model.run.unwrap());
    let reads = effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Read { query, .. } if *query == asked));
    assert_eq!(reads.count(), 1);
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Runs);
    talk(&mut model, "\x1b");
    assert_eq!(model.place, Place::Reconcile);
}

#[test]
fn differences_are_filtered_while_a_text_is_typed_and_esc_takes_it_back() {
    let mut model = model(SIZE);
    talk(&mut model, "6\n/928");
    assert_eq!(model.shown_differences(), [0]);
    talk(&mut model, "\x1b");
    assert_eq!(model.shown_differences().len(), 4);
    // Grades and what is said of it are looked through too, whatever the case.
    talk(&mut model, "/REVIEW\n");
    assert_eq!(model.difference_here().unwrap().key, "1050");
    // It is of this run alone.
    talk(&mut model, "vj\n");
    assert!(model.recon.needle.is_empty());
    // A hash is no text that anybody could look for.
    model.differences = fixture::recon::differences();
    model.differences[0].first = Some("#928".into());
    model.differences[0].second = None;
    model.recon.needle = "#928".into();
    assert!(model.shown_differences().is_empty());
}
