//! Every screen, drawn with fixed data.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use unicode_width::UnicodeWidthStr;

use super::draw;
use crate::console::fixture::{self, PLACES, key, keys};
use crate::console::model::Slot;
use crate::console::model::{Fold, Link, Model, Overlay, Place};
use crate::console::paint::Painter;
use crate::console::theme::{Palette, Theme};
use crate::console::update::{Input, Loaded, update};

fn frame(model: &Model) -> Buffer {
    let (width, height) = model.size;
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    draw(model, &mut buffer);
    buffer
}

fn rows(buffer: &Buffer) -> Vec<String> {
    (0..buffer.area.height)
        .map(|y| {
            let mut skip = 0;
            let mut line = String::new();
            for x in 0..buffer.area.width {
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                let symbol = buffer[(x, y)].symbol();
                skip = symbol.width().saturating_sub(1);
                line.push_str(symbol);
            }
            line.trim_end().to_owned()
        })
        .collect()
}

fn text(model: &Model) -> String {
    let mut out = String::new();
    for row in rows(&frame(model)) {
        let _ = writeln!(out, "{row}");
    }
    out
}

fn at(size: (u16, u16), place: Place) -> Model {
    let mut model = fixture::model(size);
    model.place = place;
    update(&mut model, Input::Resize(size.0, size.1));
    model
}

#[test]
fn every_screen_at_every_size_that_matters() {
    for size in [(45, 20), (80, 24), (120, 40), (250, 60)] {
        let mut all = String::new();
        for place in PLACES {
            let model = at(size, place);
            let _ = writeln!(all, "=== {place:?}");
            all.push_str(&text(&model));
        }
        insta::assert_snapshot!(format!("screens_{}x{}", size.0, size.1), all);
    }
}

#[test]
fn what_lies_over_the_screens() {
    let mut all = String::new();
    for size in [(45, 20), (80, 24)] {
        for (name, typed) in [
            ("help", "?"),
            ("palette", ":rep"),
            ("leave", "q"),
            ("suspend", "^Z"),
            ("replay", "3r"),
            ("cancel", "2c"),
            ("filter", "2/path:crm state:"),
        ] {
            let mut model = fixture::model(size);
            fixture::talk(&mut model, typed);
            let _ = writeln!(all, "=== {name} {}x{}", size.0, size.1);
            all.push_str(&text(&model));
        }
    }
    insta::assert_snapshot!("overlays", all);
}

#[test]
fn troubles_of_midwatch_itself_stand_in_a_banner() {
    let mut overview = fixture::overview();
    overview.trouble = Some("the disk is full: 12 MB free".into());
    overview.foreign_host = Some("old-server".into());
    overview.worker.heartbeat = fixture::at(42);
    let mut model = fixture::full((80, 24), overview, &|_| {});
    model.link = Link::Attached;
    model.read_only = true;
    insta::assert_snapshot!("banners", text(&model));
    let buffer = frame(&model);
    let banner = &buffer[(2, 2)];
    assert_eq!(banner.bg, ratatui::style::Color::Red);
}

#[test]
fn states_have_a_word_a_glyph_and_a_colour_and_the_selected_row_is_reversed() {
    let mut model = at((120, 40), Place::Deliveries);
    fixture::talk(&mut model, "j");
    let buffer = frame(&model);
    let lines = rows(&buffer);
    let dead = lines
        .iter()
        .position(|line| line.contains("✖ dead"))
        .unwrap() as u16;
    let column = lines[dead as usize]
        .find('✖')
        .map(|at| lines[dead as usize][..at].width())
        .unwrap() as u16;
    assert_eq!(buffer[(column, dead)].fg, ratatui::style::Color::Red);
    let selected = lines.iter().position(|line| line.starts_with('›')).unwrap() as u16;
    for x in 0..120 {
        assert!(
            buffer[(x, selected)].modifier.contains(Modifier::REVERSED),
            "{x}"
        );
    }
}

#[test]
fn without_colour_nothing_has_one_and_the_selection_is_still_reversed() {
    for place in PLACES {
        let mut model = at((120, 40), place);
        model.theme = Theme {
            palette: Palette::None,
            ascii: false,
        };
        let buffer = frame(&model);
        let mut reversed = false;
        for cell in buffer.content() {
            assert_eq!(
                (cell.fg, cell.bg),
                (ratatui::style::Color::Reset, ratatui::style::Color::Reset)
            );
            reversed |= cell.modifier.contains(Modifier::REVERSED);
        }
        assert!(reversed || place == Place::Runbook, "{place:?}");
    }
}

#[test]
fn in_ascii_every_cell_is_ascii() {
    for place in PLACES {
        let mut model = at((120, 40), place);
        model.theme.ascii = true;
        if let Some(Ok(_)) = &model.reading.text {
            // The runbook's own letters stay as they are.
            model.reading.text = None;
        }
        let buffer = frame(&model);
        for (index, cell) in buffer.content().iter().enumerate() {
            assert!(
                cell.symbol().is_ascii(),
                "{place:?} {index} {:?}",
                cell.symbol()
            );
        }
    }
}

#[test]
fn any_size_is_drawn_without_panic() {
    let widths = [1, 2, 3, 5, 8, 13, 20, 33, 45, 60, 80, 100, 140, 200, 300];
    let heights = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 20, 24, 40, 60, 100];
    let typed = ["", "?", ":", "q", "r", "c", "/x", "jjjjj", "G"];
    let mut model = fixture::model((1, 1));
    for place in PLACES {
        for width in widths {
            for height in heights {
                model.place = place;
                model.overlay = None;
                model.prompt = None;
                update(&mut model, Input::Resize(width, height));
                let typed = typed[usize::from(width + height) % typed.len()];
                fixture::talk(&mut model, typed);
                draw(&model, &mut Buffer::empty(Rect::new(0, 0, width, height)));
            }
        }
    }
}

/// What may not reach the terminal as it is: control characters, and characters that do not show.
fn is_raw(symbol: &str) -> bool {
    let combining = symbol
        .chars()
        .filter(|c| unicode_width::UnicodeWidthChar::width(*c) == Some(0))
        .count();
    symbol
        .chars()
        .any(|c| c.is_control() || crate::visible::is_hidden(c))
        || combining > 4
}

#[test]
fn no_byte_of_a_hostile_payload_reaches_the_screen_raw() {
    let zalgo = format!("e{}", "\u{301}".repeat(40));
    let payloads = [
        "\x1b[2J\x1b[31mred",
        "\x1b]0;title\x07",
        "\x1b]52;c;cm0gLXJm\x07",
        "\x1bP$q\x1b\\",
        "\u{9b}2J\u{9d}0;x\u{9c}",
        "a\rb\nc\x08d\x7f\0",
        "\u{202e}gpj.exe\u{202c}",
        "\u{2066}x\u{2069}",
        "pay\u{200b}ment\u{200d}\u{feff}",
        "\u{e0041}\u{e0042}\u{e007f}",
        "\u{2028}\u{2029}\u{ad}\u{34f}",
        zalgo.as_str(),
    ];
    for payload in payloads {
        let bad = || payload.to_owned();
        let mut overview = fixture::overview();
        overview.trouble = Some(bad());
        overview.foreign_host = Some(bad());
        overview.paths[0].name = bad();
        overview.paths[0].breaker = crate::store::view::Breaker::HalfOpen {
            since: fixture::NOW,
            reason: bad(),
        };
        overview.paths[1].pause = Some(crate::store::view::Pause {
            by_person: true,
            by: bad(),
            reason: bad(),
            since: fixture::NOW,
        });
        overview.runs[0].error = Some(bad());
        overview.log[0].text = bad();
        overview.senders[0].state = Some(bad());
        overview.senders[0].address = Some(bad());
        overview.senders[0].error = Some(bad());
        overview.log[0].path = Some(bad());
        let spoil = |rows: &mut fixture::Rows| {
            for row in rows
                .deliveries
                .iter_mut()
                .chain(&mut rows.detail.siblings)
                .chain([&mut rows.detail.row])
            {
                row.path = bad();
                row.kind = bad();
                row.source = bad();
                row.event_id = bad();
                row.subject = Some(bad());
                row.order_key = Some(bad());
                row.reason = Some(bad());
            }
            rows.groups[0].path = bad();
            rows.groups[0].reason = bad();
            let detail = &mut rows.detail;
            detail.origin = bad();
            detail.content_type = Some(bad());
            detail.event_key = Some(bad());
            detail.schema_version = Some(bad());
            detail.extensions = vec![(bad(), bad())];
            detail.data =
                Some(serde_json::to_vec(&serde_json::json!({ payload: [payload, 1] })).unwrap());
            for attempt in &mut detail.attempts {
                attempt.error = bad();
                attempt.method = bad();
                attempt.url = bad();
                attempt.key = bad();
                attempt.answer_headers = vec![(bad(), bad())];
                attempt.answer_body = payload.as_bytes().to_vec();
            }
            for line in rows.log.iter_mut().chain(&mut detail.log) {
                line.actor = bad();
                line.kind = bad();
                line.path = Some(bad());
                line.text = bad();
            }
            rows.runs[0].error = Some(bad());
            rows.runs[0].note = Some(bad());
            rows.runs[1].note = Some(bad());
            rows.runs[0].why = bad();
            rows.runs[0].money = [(bad(), bad())].into();
            let write = &mut rows.plan.1[0];
            (write.key, write.system, write.rule) = (bad(), bad(), bad());
            (write.from, write.to, write.reason) = (Some(bad()), Some(bad()), Some(bad()));
            rows.plan.0.note = Some(bad());
            rows.differences[0].note = Some(bad());
            rows.differences[0].base = Some(bad());
            rows.differences[0].ids = [Some(bad()), Some(bad())];
            rows.differences[0].key = bad();
            rows.differences[0].field = Some(bad());
            rows.differences[0].first = Some(bad());
            rows.differences[0].second = Some(bad());
            rows.batches[0].actor = bad();
            rows.batches[0].scope = bad();
            rows.batches[0].reason = Some(bad());
            let group = &mut rows.held_groups[0];
            (group.text, group.kind, group.source) = (bad(), bad(), bad());
            for row in rows.held_list.iter_mut().chain([&mut rows.held.row]) {
                row.source = bad();
                row.event_id = bad();
                row.kind = bad();
                row.subject = Some(bad());
                row.reason = bad();
            }
            rows.held.about[0].key = bad();
            rows.held.edits[0].actor = bad();
            rows.held.edits[0].data = payload.as_bytes().to_vec();
            for fault in &mut rows.held.faults {
                (fault.pointer, fault.rule, fault.text) = (bad(), bad(), bad());
            }
            if let Some(event) = &mut rows.held.event {
                event.schema_version = Some(bad());
                let data = serde_json::json!({ payload: [payload, 1] });
                event.data = serde_json::to_vec(&data).unwrap().into();
            }
            for node in &mut rows.trace.nodes {
                if let Some(known) = &mut node.known {
                    (known.kind, known.source) = (bad(), bad());
                    (known.subject, known.reason) = (Some(bad()), Some(bad()));
                }
                for delivery in &mut node.deliveries {
                    delivery.path = bad();
                    delivery.reason = Some(bad());
                }
            }
            rows.notes[0].text = bad();
            for field in &mut rows.reviews {
                (field.field, field.source, field.receiver) = (bad(), bad(), bad());
                (field.ours, field.theirs) = (Some(bad()), Some(bad() + "x"));
                (field.base, field.reason) = (Some(bad()), bad());
                (field.about.kind, field.about.key) = (bad(), bad());
            }
            rows.held_deliveries[0].reason = Some(bad());
            detail.need = Some(crate::store::view::NeedRow {
                system: bad(),
                kind: bad(),
                key: bad(),
                reason: Some(bad()),
                ..fixture::need()
            });
            detail.about[0].key = bad();
            for step in detail.attempts.iter_mut().flat_map(|a| &mut a.steps) {
                step.what = bad();
                step.url = bad();
                step.note = bad();
            }
            rows.records[0].about.kind = bad();
            rows.records[0].about.key = bad();
            rows.records[0].ids.insert(bad(), bad());
            let story = &mut rows.story;
            story.about.key = bad();
            story.keys.push(bad());
            for line in &mut story.lines {
                line.text = bad();
                line.path = Some(bad());
            }
            let mut held = story.holdings["crm"].clone();
            held.id = Some(bad());
            held.joined.insert((bad(), bad()));
            let field = held.fields.values().next().cloned().unwrap();
            held.fields.insert(bad(), field.clone());
            if let Some(field) = held.fields.get_mut("status") {
                field.sent = Some((bad(), fixture::NOW));
                field.agreed = Some((bad() + "x", fixture::NOW));
            }
            story.holdings.insert(bad(), held);
        };
        let mut model = fixture::full((160, 60), overview, &spoil);
        model.others = vec![bad()];
        model.reading.about = bad();
        model.reading.text = Some(Ok(std::sync::Arc::new(crate::runbook::parse(
            payload,
            std::path::Path::new("x.md"),
        ))));
        for place in PLACES {
            for typed in ["", "r", "c", "E", "p", "/"] {
                model.place = place;
                model.overlay = None;
                model.prompt = None;
                fixture::talk(&mut model, typed);
                update(&mut model, Input::Paste(bad()));
                if let Some(Overlay::Dialog(dialog)) = &model.overlay {
                    // Only ids of ours and names of the configuration.
                    assert!(
                        !dialog.title.contains(payload) && !dialog.title.contains("gpj"),
                        "{}",
                        dialog.title
                    );
                    let id = dialog.id;
                    let mut preview = fixture::preview();
                    preview.scope = bad();
                    preview.notes = vec![bad()];
                    update(
                        &mut model,
                        Input::Previewed {
                            dialog: id,
                            result: Ok(preview),
                        },
                    );
                }
                let buffer = frame(&model);
                for cell in buffer.content() {
                    assert!(
                        !is_raw(cell.symbol()),
                        "{place:?} {payload:?}: {:?}",
                        cell.symbol()
                    );
                }
            }
        }
    }
}

/// Bytes to go from one model's screen to the next's.
fn cost(painter: &mut Painter<Vec<u8>>, model: &Model) -> usize {
    painter.paint(&frame(model), None).unwrap()
}

#[test]
fn frames_cost_what_they_may() {
    for (size, full, select, scroll) in [
        ((80, 24), 6 * 1024, 350, 1_500),
        ((250, 60), 38 * 1024, 800, 4_096),
    ] {
        for palette in [Palette::Sixteen, Palette::TwoFiftySix, Palette::True] {
            let mut model = at(size, Place::Deliveries);
            model.theme.palette = palette;
            model.deliveries.rows = (1..=200)
                .rev()
                .map(|n| fixture::delivery(4000 + n))
                .collect();
            fixture::talk(&mut model, "jjj");
            let mut painter = Painter::new(Vec::new());
            let bytes = cost(&mut painter, &model);
            assert!(bytes <= full, "full paint {size:?} {palette:?}: {bytes}");
            assert_eq!(cost(&mut painter, &model), 0, "nothing changed");
            fixture::talk(&mut model, "j");
            let bytes = cost(&mut painter, &model);
            assert!(
                bytes > 0 && bytes <= select,
                "select {size:?} {palette:?}: {bytes}"
            );
            fixture::talk(&mut model, &"j".repeat(usize::from(size.1)));
            cost(&mut painter, &model);
            fixture::talk(&mut model, "j");
            let bytes = cost(&mut painter, &model);
            assert!(
                bytes > 0 && bytes <= scroll,
                "scroll {size:?} {palette:?}: {bytes}"
            );
        }
    }
}

#[test]
fn a_second_without_news_is_no_byte_and_a_minute_is_few() {
    for place in PLACES {
        let mut model = at((80, 24), place);
        let mut painter = Painter::new(Vec::new());
        cost(&mut painter, &model);
        let mut bytes = 0;
        for second in 1..=9 {
            let now = crate::time::Timestamp(fixture::NOW.0 + second * 1_000);
            update(&mut model, Input::Tick(now));
            bytes = bytes.max(cost(&mut painter, &model));
        }
        assert!(bytes <= 60, "{place:?} {bytes}");
    }
}

#[test]
fn the_live_overview_stays_thrifty() {
    let mut model = at((80, 24), Place::Overview);
    let mut painter = Painter::new(Vec::new());
    cost(&mut painter, &model);
    for second in 1..=10_u64 {
        let mut overview = fixture::overview();
        overview.at = crate::time::Timestamp(fixture::NOW.0 + second as i64 * 1_000);
        for path in &mut overview.paths {
            // 200 deliveries a second.
            path.recent.accepted = 30_000 + second * 211;
            path.recent.delivered = 30_000 + second * 173;
            path.recent.attempts = 30_100 + second * 201;
            path.counts.ready = 100 + second * 17;
            path.latency.p95 = Some(80 + second * 3);
            path.minutes[59].accepted = second * 200;
        }
        fixture::answer(
            &mut model,
            Slot::Overview,
            Loaded::Overview(Box::new(overview), Vec::new()),
        );
        let bytes = cost(&mut painter, &model);
        assert!(bytes <= 1_024, "{bytes}");
    }
}

#[test]
fn the_help_and_the_footer_are_made_of_the_bindings() {
    let mut model = at((120, 60), Place::Dead);
    let shown = text(&model);
    for hint in ["replay", "runbook", "escalate", "help"] {
        assert!(shown.lines().last().unwrap().contains(hint), "{hint}");
    }
    update(&mut model, key("?"));
    let shown = text(&model);
    assert!(shown.contains("Replay: the marked"));
    for input in keys("j") {
        update(&mut model, input);
    }
}

/// Where `needle` begins on the screen.
fn find(buffer: &Buffer, needle: &str) -> (u16, u16) {
    let lines = rows(buffer);
    let y = lines
        .iter()
        .position(|line| line.contains(needle))
        .unwrap_or_else(|| panic!("no {needle:?} in\n{}", lines.join("\n")));
    let x = lines[y].find(needle).map(|at| lines[y][..at].width());
    (x.unwrap() as u16, y as u16)
}

#[test]
fn a_records_fields_say_what_was_sent_and_what_agrees_and_mask_what_is_sensitive() {
    let mut model = at((120, 40), Place::Record);
    let buffer = frame(&model);
    for (words, colour) in [
        ("● agreed 22:11", ratatui::style::Color::Green),
        ("▲ agreed on pending", ratatui::style::Color::Yellow),
        ("never sent", ratatui::style::Color::DarkGray),
    ] {
        assert_eq!(buffer[find(&buffer, words)].fg, colour, "{words}");
    }
    assert!(!text(&model).contains("0123456789abcdef"));
    assert!(text(&model).contains("••••••"));
    fixture::talk(&mut model, "m");
    assert!(text(&model).contains("hash #0123456789abcdef"));
    // The newest of the story comes first.
    let shown = text(&model);
    let newest = shown.find("joined to contact 77 in crm").unwrap();
    assert!(newest < shown.find("created in crm: id 9001").unwrap());
}

#[test]
fn what_was_agreed_before_it_was_sent_anew_says_nothing_against_it() {
    let mut model = at((120, 40), Place::Record);
    let story = model.record.data.as_mut().unwrap();
    let status = story.holdings.get_mut("crm").unwrap();
    let status = status.fields.get_mut("status").unwrap();
    let (sent, agreed) = (status.sent.as_mut().unwrap(), &mut status.agreed);
    std::mem::swap(&mut sent.1, &mut agreed.as_mut().unwrap().1);
    let shown = text(&model);
    assert!(shown.contains("○ not compared since 22:06"), "{shown}");
    assert!(!shown.contains("agreed on pending"), "{shown}");
}

#[test]
fn only_a_record_with_hashes_offers_to_unmask_them() {
    let mut model = at((80, 24), Place::Record);
    assert!(text(&model).contains("m unmask"));
    for held in model.record.data.as_mut().unwrap().holdings.values_mut() {
        held.fields.remove("email");
    }
    let shown = text(&model);
    assert!(!shown.contains("unmask"), "{shown}");
}

#[test]
fn the_delivery_says_what_it_waits_for_its_steps_and_what_it_would_have_sent() {
    use crate::queue::model::{Request, State};
    let spoil = |rows: &mut fixture::Rows| {
        rows.detail.need = Some(fixture::need());
        rows.detail.row.state = State::Shadowed;
        rows.detail.frozen = Some(Request {
            method: "PATCH".into(),
            url: "http://127.0.0.1:2/deals/9001".into(),
            headers: Vec::new(),
            body: br#"{"total":"982.00"}"#.to_vec().into(),
            key: "k".into(),
        });
    };
    let mut model = fixture::full((120, 60), fixture::overview(), &spoil);
    model.place = Place::Delivery;
    update(&mut model, Input::Resize(120, 60));
    let shown = text(&model);
    for words in [
        "waits for   order 1042 in ledger since 22:10, to review at Tue 22:15",
        "lookup         404   45ms  not there",
        "Would have sent  PATCH http://127.0.0.1:2/deals/9001",
        "record      order 1042",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn a_path_in_shadow_has_a_word_and_a_glyph_and_says_what_it_kept() {
    let mut overview = fixture::overview();
    overview.paths[1].shadow = true;
    overview.paths[1].counts.shadowed = 213;
    let model = fixture::full((120, 40), overview, &|_| {});
    let shown = text(&model);
    assert!(shown.contains("◌ shadow"), "{shown}");
    assert!(shown.contains("213 deliveries recorded on ledger and not sent"));
}

#[test]
fn a_secret_is_dots_on_the_screen() {
    for size in [(45, 20), (80, 24)] {
        let mut model = at(size, Place::Systems);
        fixture::talk(&mut model, "w");
        update(&mut model, Input::Paste("sk_live_hunter2\n".into()));
        let shown = text(&model);
        assert!(shown.contains("new: •••••••••••••••"), "{shown}");
        assert!(!shown.contains("hunter2") && !format!("{model:?}").contains("hunter2"));
    }
}

#[test]
fn the_secrets_to_choose_from_stand_below_one_another() {
    use crate::config::model::SecretRef;
    use crate::console::model::{Replace, Replacing};
    use crate::control::Place as Secret;
    let mut model = at((80, 24), Place::Systems);
    let place = |which: &str| Secret {
        which: which.into(),
        words: "of its requests",
        reference: SecretRef::Env("X".into()),
        is_tried: true,
    };
    model.overlay = Some(Overlay::Secret(Box::new(Replacing {
        id: 1,
        system: "shop".into(),
        places: vec![place("user"), place("password")],
        which: 0,
        typed: crate::console::unseen::Unseen::default(),
        stage: Replace::Choosing,
        preview: None,
    })));
    let buffer = frame(&model);
    let (user, password) = (find(&buffer, "user "), find(&buffer, "password"));
    assert_eq!((user.0, user.1 + 1), password);
}

#[test]
fn the_record_screen_scrolls_cheaply() {
    for (size, full, select, scroll) in [
        ((80, 24), 6 * 1024, 350, 1_500),
        ((250, 60), 38 * 1024, 800, 4_096),
    ] {
        let mut model = at(size, Place::Record);
        let mut painter = Painter::new(Vec::new());
        let bytes = cost(&mut painter, &model);
        assert!(bytes <= full, "full paint {size:?}: {bytes}");
        fixture::talk(&mut model, "j");
        let bytes = cost(&mut painter, &model);
        assert!(bytes > 0 && bytes <= select, "select {size:?}: {bytes}");
        fixture::talk(&mut model, &"j".repeat(usize::from(size.1) - 5));
        cost(&mut painter, &model);
        fixture::talk(&mut model, "j");
        let bytes = cost(&mut painter, &model);
        assert!(bytes > 0 && bytes <= scroll, "scroll {size:?}: {bytes}");
    }
}

#[test]
fn a_held_event_shows_every_fault_and_marks_it_in_its_data() {
    let mut model = at((100, 40), Place::HeldEvent);
    let shown = text(&model);
    for words in [
        "/total       type           \"982,00\" is not of type \"number\"",
        "/lines/0/qty minimum        0 is less than the minimum of 1",
        "/customer    required       \"customer\" is a required property",
        "▲     \"total\": \"982,00\",",
        "▲         \"qty\": 0",
        "anna (uid 1000) changed it; as it came:",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    let buffer = frame(&model);
    let red = ratatui::style::Color::Red;
    let (x, y) = find(&buffer, "\"total\": \"982");
    assert_eq!((buffer[(x, y)].fg, buffer[(x + 10, y)].fg), (red, red));
    assert_ne!(buffer[find(&buffer, "\"currency\"")].fg, red);
    // Folded, the data is gone, and the faults are still told.
    let data = super::held::rows(&model);
    let heading = (data.iter()).position(|row| row.fold == Some(Fold::Part("data")));
    fixture::talk(&mut model, "g");
    fixture::talk(&mut model, &"j".repeat(heading.unwrap()));
    fixture::talk(&mut model, "\n");
    let shown = text(&model);
    assert!(
        !shown.contains("KAFFE-1") && shown.contains("/lines/0/qty"),
        "{shown}"
    );
}

#[test]
fn a_conflict_stands_side_by_side_with_what_differs_marked() {
    for size in [(45, 20), (80, 24), (120, 40)] {
        let model = at(size, Place::Review);
        let buffer = frame(&model);
        let (x, y) = find(&buffer, "a shop");
        let start = x + 2 + 8 + 1;
        let style = |offset: u16, line: u16| buffer[(start + offset, line)].fg;
        let red = ratatui::style::Color::Red;
        assert_eq!(buffer[(start, y)].symbol(), "9", "{size:?}");
        assert_eq!((style(1, y), style(2, y)), (red, red), "{size:?}");
        assert_ne!(style(0, y), red);
        assert_ne!(style(3, y), red);
        let (_, below) = find(&buffer, "b crm");
        assert_eq!((style(1, below), style(2, below)), (red, red));
        assert!(find(&buffer, "both had").1 == y + 1 && below == y + 2);
    }
    // A sensitive value is told apart, not told; a decided one is grey.
    let mut model = at((120, 40), Place::Review);
    let shown = text(&model);
    assert!(shown.contains("a… (19 characters)") && !shown.contains("anna(at)example.com "));
    let buffer = frame(&model);
    let grey = ratatui::style::Color::DarkGray;
    assert_eq!(buffer[find(&buffer, "order 1042 status")].fg, grey);
    assert!(shown.contains("anna (uid 1000) took crm's"));
    // What is held stands among them, and Enter leads to it.
    fixture::talk(&mut model, "jj\n");
    assert_eq!(model.place, Place::Delivery);
}

#[test]
fn the_delivery_tells_what_caused_it_and_what_was_noticed_on_its_path() {
    let model = at((120, 80), Place::Delivery);
    let shown = text(&model);
    for words in [
        "▾ Lineage  4 events, each below what caused it",
        "    event 4190, pruned",
        "    › order.created order 1042  from shop",
        "      └ deal.updated order 1042  from crm",
        "it seems: midwatch had just written there",
        "held: /total is not a number",
        "▾ Noticed  on this path, the last seen first",
        "(41 times since 20:15)",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}

#[test]
fn ownership_says_who_writes_what_is_left_out_and_what_happens_while_the_owner_is_down() {
    let mut model = at((120, 40), Place::Ownership);
    let shown = text(&model);
    for words in ["shop:create_only", "▲ queue now", "nobody", "crm (new)"] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    // The path to the CRM is stopped, that to the ledger is not.
    let buffer = frame(&model);
    let yellow = ratatui::style::Color::Yellow;
    assert_eq!(buffer[find(&buffer, "▲ queue now")].fg, yellow);
    assert_eq!(
        buffer[find(&buffer, "hold")].fg,
        ratatui::style::Color::DarkGray
    );
    assert_eq!(buffer[find(&buffer, "212 x")].fg, yellow);
    fixture::talk(&mut model, "jj");
    let shown = text(&model);
    assert!(
        shown.contains("total left out 212 times on crm, last 22:09"),
        "{shown}"
    );
}

#[test]
fn enter_on_a_field_of_a_record_explains_it() {
    let mut model = at((100, 40), Place::Record);
    let rows = super::record::rows(&model);
    let field = rows
        .iter()
        .position(|row| row.line.to_string().contains("status"));
    fixture::talk(&mut model, "g");
    fixture::talk(&mut model, &"j".repeat(field.unwrap()));
    fixture::talk(&mut model, "\n");
    let shown = text(&model);
    assert!(shown.contains("order 1042: status"), "{shown}");
    assert!(shown.contains("no entity order is declared"), "{shown}");
    assert!(
        shown.contains("crm: sent processing 22:06, agreed pending 22:11"),
        "{shown}"
    );
    fixture::talk(&mut model, "\x1b");
    assert!(model.overlay.is_none() && model.place == Place::Record);
}

#[test]
fn a_job_tells_what_went_wrong_first_and_keeps_its_figures_while_it_runs_again() {
    let mut model = at((80, 24), Place::Reconcile);
    let mut under_way = fixture::recon::runs()[0].clone();
    under_way.id = crate::ids::RunId(25);
    (under_way.ended, under_way.drift, under_way.level) = (None, None, None);
    under_way.phase = Some("listing".into());
    under_way.why = "asked".into();
    model.runs[0].error = Some("crm: HTTP 503 at page 7".into());
    model.runs.insert(0, under_way);
    for side in &mut model.recon.sides {
        side.run = crate::ids::RunId(25);
    }
    let shown = text(&model);
    let at = |words: &str| {
        let found = shown.find(words);
        found.unwrap_or_else(|| panic!("no {words:?} in\n{shown}"))
    };
    assert!(
        shown.contains("▶ running") && shown.contains("2.1%"),
        "{shown}"
    );
    let order = [
        "under way, asked for: listing shop 120 of about 480",
        "crm: HTTP 503 at page 7",
        "plan 7: 2 writes wait for you",
        "22:11, after an outage: missing in crm 7, in shop 1; 2 differ",
        "drift   2.1%",
    ];
    assert!(order.map(at).is_sorted(), "{shown}");
}

#[test]
fn the_runs_say_why_each_ran_and_what_it_found() {
    let shown = text(&at((120, 40), Place::Runs));
    for words in [
        "drift of its runs against warn 1%, critical 5%",
        "after an outage",
        "by schedule",
        "54 NOK",
        "✖ failed",
    ] {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
}
