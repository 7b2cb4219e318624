//! An operator's night at the console: what they press, what they see, and what then really happened.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::place::{Answer, Place, Receiver, event, post, until};
use crate::terminal::{ENTER, ESC, Terminal, size};

const STRICT: &str = "schedule = [\"0\", \"50ms\"]\nrunbook = \"runbooks/receiver-down.md\"\nescalation = \"slack:ops\"\nbreaker = { min = 1000, refused = 1000 }";

const CHAT: &str = "[channels.slack.ops]\nwebhook = \"file:chat\"\nprivate = true";

/// A place whose one path has a runbook, and a chat to escalate to.
fn shop(receiver: &Receiver, chat: &Receiver, more: &str) -> Place {
    let place = Place::new(receiver, "", STRICT, &format!("{CHAT}\n{more}"));
    place.secret("chat", &format!("http://{}/hooks/ops", chat.address));
    let runbooks = place.folder.path().join("runbooks");
    std::fs::create_dir(&runbooks).unwrap();
    let (name, text) = midwatch::runbook::SHIPPED
        .iter()
        .find(|(name, _)| *name == "receiver-down.md")
        .unwrap();
    std::fs::write(runbooks.join(name), text).unwrap();
    place
}

/// Sends events through the worker that is at work.
fn send(place: &Place, ids: &[&str]) {
    let lines: Vec<String> = ids
        .iter()
        .map(|id| event(id, &json!({"id": id, "email": "none"})))
        .collect();
    let file = place.folder.path().join("events.ndjson");
    std::fs::write(&file, lines.join("\n")).unwrap();
    place.ok(&["send", file.to_str().unwrap()]);
}

fn strict() -> Receiver {
    Receiver::start(|_| Answer::status(422).body("{\"message\":\"email must be an address\"}"))
}

#[test]
fn from_the_overview_to_a_dead_letter_its_runbook_and_its_delivery() {
    let receiver = strict();
    let place = shop(&receiver, &Receiver::ok(), "");
    let mut console = Terminal::open(&place, "anna", &[]);
    console.sees(&["Nordlys Coffee", "running here", "crm"]);
    send(&place, &["first", "second"]);
    console.sees(&["2 dead letters on crm", "3 Dead"]);

    console.press("3");
    console.sees(&["email must be an address", "rejected", "422"]);
    console.press(ENTER);
    console.sees(&["filter: path:crm state:dead group:", "2-1", "1-1"]);
    console.press("G");
    console.press(ENTER);
    console.sees(&["order.created", "Attempts", "anna", "order first"]);

    console.press("o");
    console.sees(&["runbook of crm", "Receiver down"]);
    console.loses("Escalation");
    for _ in 0..20 {
        console.press("\x1b[6~");
    }
    console.loses("Receiver down");
    console.press(ESC);
    console.sees(&["order first", "Attempts"]);

    // Refused again: the answer is seen, and nothing is hidden by the replay.
    receiver.behave(|_| Answer::status(200).body("{\"id\":\"deal-77\"}"));
    console.press("r");
    console.confirms(&["Replay delivery", "1 delivery"], "y does it", "y");
    console.sees(&["delivered", "deal-77"]);
    let seen = receiver.seen();
    let of_first: Vec<_> = seen
        .iter()
        .filter(|seen| seen.body.contains("first"))
        .map(|seen| &seen.headers["idempotency-key"])
        .collect();
    assert!(
        of_first.len() == 2 && of_first[0] == of_first[1],
        "{of_first:?}"
    );
    let states = place.states();
    assert_eq!(
        (&*states["first"], &*states["second"]),
        ("delivered", "dead")
    );
    console.press("1");
    console.sees(&["1 dead letter"]);
    let log = place.ok(&["tail", "--once", "-n", "50"]);
    assert!(log.contains("anna") && log.contains("replay"), "{log}");
}

#[test]
fn an_escalation_is_shown_first_then_posted_and_its_arrival_is_seen() {
    let chat = Receiver::ok();
    let place = shop(&strict(), &chat, "");
    let mut console = Terminal::open(&place, "anna", &[]);
    console.sees(&["running here"]);
    send(&place, &["first"]);
    console.sees(&["1 dead letter"]);
    console.press("3");
    console.sees(&["email must be an address"]);
    console.press("E");
    console.sees(&["y does it", "tab adds a note"]);
    console.press("\tcall the agency\r");
    console.confirms(
        &[
            "[Nordlys Coffee note] crm (shop -> crm) needs help",
            "slack:ops",
            "call the agency",
        ],
        "y does it",
        "y",
    );
    console.sees(&["arrived"]);
    // The incident about the dead letter is told there, too.
    let seen = chat.seen();
    let told = || seen.iter().filter(|one| one.body.contains("needs help"));
    let posted = told().next().expect("the escalation");
    assert_eq!(posted.target, "/hooks/ops");
    let message: serde_json::Value = serde_json::from_str(&posted.body).unwrap();
    let text = message["text"].as_str().unwrap();
    for part in [
        "needs help",
        "email must be an address",
        "Escalated by anna",
        "call the agency",
        "runbooks/receiver-down.md",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(told().count(), 1);
}

#[test]
fn two_consoles_see_each_other_and_one_that_only_looks_cannot_act() {
    let receiver = strict();
    let place = shop(&receiver, &Receiver::ok(), "");
    let size = (140, 30);
    let mut anna = Terminal::with(&place, "anna", &[], size, &[]);
    anna.sees(&["running here"]);
    let mut bo = Terminal::with(&place, "bo", &[], size, &[]);
    bo.sees(&["running elsewhere", "anna: looking at Overview"]);
    anna.sees(&["bo: looking at Overview"]);
    bo.press("5");
    anna.sees(&["bo: looking at Log"]);
    send(&place, &["first"]);
    anna.sees(&["1 dead letter"]);
    let mut eye = Terminal::with(&place, "eye", &["--read-only"], size, &[]);
    eye.sees(&["read-only", "1 dead letter"]);
    anna.sees(&["2 others here"]);
    eye.press("3");
    eye.sees(&["email must be an address"]);
    for key in ["r", "c", "p", "E"] {
        eye.press(key);
        eye.sees(&["read-only: nothing can be changed from here"]);
    }
    // The one that attached acts through the one that works.
    bo.press("3");
    bo.sees(&["email must be an address"]);
    bo.press("p");
    bo.sees(&["y does it", "tab adds a note"]);
    bo.press("\tdeploy\r");
    bo.confirms(&["Pause crm", "reason: deploy"], "y does it", "y");
    anna.press("1");
    anna.sees(&["paused"]);
    eye.press("1");
    eye.sees(&["paused"]);
    // Who attached goes without a question, and nothing else ends.
    bo.press("q");
    assert_eq!(bo.ended().0, 0);
    anna.sees(&["eye: looking at Overview"]);
    assert_eq!(receiver.count(), 1);
}

/// CPU time of a process in clock ticks (hundredths of a second).
fn ticks(pid: Pid) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap();
    let after = stat.rsplit(')').next().unwrap();
    let field = |n: usize| {
        after
            .split_whitespace()
            .nth(n)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    field(11) + field(12)
}

#[test]
fn a_terminal_that_goes_away_takes_the_console_with_it_and_no_delivery() {
    let receiver = Receiver::ok();
    let place = shop(&receiver, &Receiver::ok(), "");
    let mut console = Terminal::with(&place, "anna", &[], (140, 30), &[]);
    console.sees(&["running here"]);
    let watching = Terminal::with(&place, "bo", &[], (140, 30), &[]);
    watching.sees(&["anna: looking at Overview"]);
    send(&place, &["before"]);
    receiver.wait("before", 1);
    console.hang_up();
    let since = Instant::now();
    watching.loses("anna: looking at");
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "{:?}",
        since.elapsed()
    );
    send(&place, &["after", "later"]);
    receiver.wait("after", 3);
    watching.sees(&["running"]);
    // Nothing turns in circles around the terminal that is gone.
    let before = ticks(console.pid());
    std::thread::sleep(Duration::from_secs(1));
    let spent = ticks(console.pid()) - before;
    assert!(spent < 30, "{spent} hundredths of a second in one second");
    console.signal(Signal::TERM);
    assert_eq!(console.ended().0, 0);
    watching.sees(&["the worker was stopped"]);
    assert!(place.states().values().all(|state| state == "delivered"));
}

#[test]
fn q_finishes_what_is_under_way_and_gives_the_terminal_back() {
    let receiver = Receiver::start(|_| Answer::status(200).after(Duration::from_millis(700)));
    let place = shop(&receiver, &Receiver::ok(), "");
    let mut console = Terminal::open(&place, "anna", &[]);
    console.sees(&["running here"]);
    send(&place, &["first"]);
    receiver.wait("it is under way", 1);
    console.press("q");
    console.sees(&["Leave midwatch?", "drain and stop"]);
    console.press(ESC);
    console.loses("Leave midwatch?");
    console.press("q");
    console.confirms(&["Leave midwatch?"], "s    finish what", "s");
    let (code, raw) = console.ended();
    assert_eq!(code, 0);
    let raw = String::from_utf8(raw).unwrap();
    let end = raw.rfind("\x1b[?1049l").expect("the main screen is back");
    assert!(
        raw[end..].contains("finishing what is under way"),
        "{:?}",
        &raw[end..]
    );
    for mode in ["\x1b[?25h", "\x1b[?2004l"] {
        assert!(
            raw[..end].ends_with(mode) || raw[end - 40..end].contains(mode),
            "{mode:?}"
        );
    }
    assert_eq!(place.states()["first"], "delivered");
    assert_eq!(receiver.count(), 1, "not cut off, not repeated");
}

/// A process that was left behind on purpose; ended with the test.
struct Left(Pid);

impl Drop for Left {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn who_detaches_leaves_a_worker_that_goes_on_and_can_be_attached_to() {
    let receiver = Receiver::ok();
    let place = shop(&receiver, &Receiver::ok(), "");
    let mut console = Terminal::open(&place, "anna", &[]);
    console.sees(&["running here"]);
    console.press("q");
    console.confirms(&["Leave midwatch?"], "d    detach", "d");
    let (code, raw) = console.ended();
    let said = String::from_utf8(raw).unwrap();
    assert_eq!(code, 0, "{said:?}");
    let pid = said
        .split("goes on as process ")
        .nth(1)
        .expect("its pid is told");
    let pid: i32 = pid.split(';').next().unwrap().parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    let _left = Left(pid);
    let reader = midwatch::store::Reader::open(&place.database()).unwrap();
    until("it has taken over", || {
        let worker = reader.worker().unwrap();
        worker.state == "running" && worker.service
    });
    let again = Terminal::open(&place, "anna", &[]);
    again.sees(&["running as a service"]);
    send(&place, &["after"]);
    receiver.wait("after", 1);
    kill_process(pid, Signal::TERM).unwrap();
    again.sees(&["the worker was stopped"]);
}

#[test]
fn every_size_is_painted_and_works() {
    let place = shop(&strict(), &Receiver::ok(), "");
    let mut console = Terminal::open(&place, "anna", &[]);
    console.sees(&["running here"]);
    // Where next to nothing can be seen, a colleague sees how far she is.
    let colleague = Terminal::with(&place, "bo", &[], (140, 30), &[]);
    colleague.sees(&["anna: looking at Overview"]);
    send(&place, &["first"]);
    console.sees(&["1 dead letter"]);
    for (cols, rows) in [
        (1, 1),
        (20, 5),
        (45, 20),
        (80, 24),
        (1, 60),
        (120, 40),
        (250, 1),
        (250, 60),
        (2, 2),
        (80, 24),
    ] {
        console.resize(cols, rows);
        // Every screen and everything that lies over one, at this size. (An ESC with another key close behind would be
        // that key with Alt.)
        for key in [
            "2", "3", "4", "5", "6", "7", "8", "?", "q", ":", "\x03", "3", "r", "n", "1", "o",
        ] {
            console.press(key);
        }
        colleague.sees(&["anna: reading the runbook of crm"]);
        console.press("1");
        colleague.sees(&["anna: looking at Overview"]);
        if (cols, rows) == (20, 5) {
            // What matters comes before the name.
            console.sees(&["running", "1 dead"]);
        } else if cols >= 45 && rows >= 20 {
            console.sees(&[
                "running",
                "1 dead",
                "1 Overview",
                "1 dead letter",
                "Wrong now",
                "crm",
            ]);
        }
        if cols >= 120 && rows >= 40 {
            console.sees(&["Nordlys Coffee", "p95", "8 Held"]);
        }
    }
    console.press("q");
    console.confirms(&["Leave midwatch?"], "s    finish what", "s");
    assert_eq!(console.ended().0, 0);
}

#[test]
fn without_colours_and_with_ascii_only_everything_is_still_said() {
    let place = shop(&strict(), &Receiver::ok(), "");
    let mut console = Terminal::with(&place, "anna", &["--ascii"], (80, 24), &[("NO_COLOR", "1")]);
    console.sees(&["running here"]);
    send(&place, &["first", "second"]);
    console.sees(&["2 dead letters"]);
    for (keys, text) in [
        ("2", "x dead"),
        ("?", "What can I do here"),
        (ESC, "x dead"),
        ("3", "email must be"),
        ("o", "Receiver down"),
        (ESC, "email must be"),
        ("5", "notable"),
        ("6", "econciliation"),
        ("1", "Wrong now"),
    ] {
        console.press(keys);
        console.sees(&[text]);
    }
    console.press("2");
    console.until("the selected line is reversed", |screen| {
        let (rows, cols) = size(screen);
        (0..rows).any(|row| {
            (0..cols.min(40)).all(|col| screen.cell(row, col).is_some_and(vt100::Cell::inverse))
        })
    });
    let raw = console.raw();
    assert!(raw.is_ascii(), "{:?}", String::from_utf8_lossy(&raw));
    for sequence in Sequences::of(&raw).filter(|sequence| sequence.ends_with('m')) {
        let codes = sequence.trim_matches(|c: char| !c.is_ascii_digit() && c != ';');
        for code in codes.split(';').filter(|code| !code.is_empty()) {
            let code: u16 = code.parse().unwrap();
            assert!(code < 30, "a colour: {sequence:?}");
        }
    }
}

// --- Hostile text --------------------------------------------------------------------------------------------------

/// The escape sequences in what was written to a terminal, without their ESC.
struct Sequences<'a> {
    rest: &'a [u8],
}

impl<'a> Sequences<'a> {
    fn of(raw: &'a [u8]) -> Self {
        Self { rest: raw }
    }
}

impl Iterator for Sequences<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let at = self.rest.iter().position(|byte| *byte == 0x1b)?;
        let from = &self.rest[at + 1..];
        let length = match from.first() {
            Some(b'[') => from
                .iter()
                .skip(1)
                .position(|byte| (0x40..=0x7e).contains(byte))
                .map_or(from.len(), |last| last + 2),
            Some(_) => 1,
            None => 0,
        };
        self.rest = &from[length..];
        Some(String::from_utf8_lossy(&from[..length]).into_owned())
    }
}

/// What somebody out there would like to send to a terminal, each with a word by which it is found again.
const HOSTILE: [(&str, &str); 12] = [
    ("title", "\x1b]0;title\x07"),
    ("report", "\x1b[6nreport"),
    ("reset", "\x1bcreset"),
    ("mouse", "\x1b[?1003hmouse"),
    ("device", "\x1bPdevice\x1b\\"),
    ("eight", "\u{9b}31meight"),
    ("string", "\u{9d}0;string\u{9c}"),
    ("bidi", "\u{202e}idib\u{2066}bidi"),
    ("zero", "ze\u{200b}\u{200d}\u{feff}ro zero"),
    ("tags", "\u{e0001}\u{e0041}\u{e007f}tags"),
    ("bell", "\x07\x08\x0e\x7fbell"),
    ("lines", "a\r\n\u{2028}\u{85}\x0blines"),
];

/// What may be written to a terminal by us: our own few sequences, and visible text.
fn only_ours(raw: &[u8]) {
    let text = std::str::from_utf8(raw).expect("all of it is UTF-8");
    for sequence in Sequences::of(raw) {
        let (body, last) = sequence.split_at(sequence.len().saturating_sub(1));
        let parameters = body.strip_prefix('[').unwrap_or("?");
        let known = match last {
            "h" | "l" => ["?1049", "?2004", "?25", "?2026"].contains(&parameters),
            "m" | "H" | "C" | "J" | "K" | "S" | "T" | "r" | "X" => parameters
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b';'),
            _ => false,
        };
        assert!(known, "not ours: ESC {sequence:?}");
    }
    for character in text.chars() {
        let harmless = match character {
            '\x1b' | '\n' | '\r' => true,
            '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' => false,
            other => !other.is_control(),
        };
        assert!(harmless, "{:?} was written raw", character.escape_unicode());
    }
}

/// Every way in: each field of an event, three content modes, answers, listings, names, a runbook.
#[test]
fn whatever_hostile_text_comes_in_no_byte_of_it_reaches_the_terminal_raw() {
    let everything: String = HOSTILE.iter().map(|(_, text)| *text).collect();
    let raw_bytes = [everything.as_bytes(), b"\x9b31m\xff\xfe raw"].concat();
    let answer = {
        let raw_bytes = raw_bytes.clone();
        move || {
            Answer::status(422)
                .header("server", b"\xc2\x9b31m\x9d0;server\xe2\x80\xae".to_vec())
                .header("x-request-id", b"\xf3\xa0\x81\x81id".to_vec())
                .body(raw_bytes.clone())
        }
    };
    let receiver = Receiver::start(move |_| answer());
    let listing = |key: &str| {
        let records: Vec<_> = HOSTILE
            .iter()
            .map(|(word, text)| json!({"id": format!("{word}{text}"), "total": format!("{key}{text}")}))
            .collect();
        json!(records).to_string()
    };
    let (left, right) = (listing("left"), listing("right"));
    let listings = Receiver::start(move |seen| {
        Answer::status(200).body(if seen.target == "/left" {
            left.clone()
        } else {
            right.clone()
        })
    });
    let place = shop(
        &receiver,
        &Receiver::start({
            let raw_bytes = raw_bytes.clone();
            move |_| Answer::status(404).body(raw_bytes.clone())
        }),
        &format!(
            r#"
[systems.ledger]
url = "http://{}"
private = true

[reconcile.orders]
first = {{ system = "ledger", list = "/left", key = "/id" }}
second = {{ system = "ledger", list = "/right", key = "/id" }}
fields.total = {{ first = "/total", second = "/total" }}
every = "1h"
owner = "anna"
"#,
            listings.address
        ),
    );
    let runbook = place.folder.path().join("runbooks/receiver-down.md");
    let text = format!(
        "---\nowner: {everything}\n---\n# Runbook {everything}\n\n- {everything}\n\n```sh\n{everything}\n```\n"
    );
    std::fs::write(&runbook, text).unwrap();

    let size = (120, 40);
    let name: String = everything.replace('\0', "");
    let mut console = Terminal::with(&place, "anna", &[], size, &[]);
    console.sees(&["running here"]);
    let mut other = Terminal::with(&place, &name, &[], size, &[]);
    other.sees(&["running elsewhere"]);

    let worker = midwatch::store::Reader::open(&place.database())
        .unwrap()
        .worker()
        .unwrap();
    let door = worker.listening.unwrap().parse().unwrap();
    let mut accepted = 0;
    let invisible: String = HOSTILE.iter().map(|(_, text)| *text).collect();
    let invisible = invisible.replace(char::is_control, "");
    for field in [
        "id", "type", "subject", "source", "comment", "data", "stray",
    ] {
        for text in [&everything, &invisible] {
            let mut one = json!({
                "specversion": "1.0", "id": format!("{field}{}", text.len()), "source": "shop",
                "type": "order.created", "subject": "s", "data": {"a": 1},
            });
            match field {
                "type" => one["type"] = format!("order.{text}").into(),
                "stray" => one["type"] = format!("stray.{text}").into(),
                "data" => one["data"] = json!({text: text}),
                field => one[field] = text.clone().into(),
            }
            let answer = post(door, &one.to_string(), None).unwrap();
            let status = answer.status().unwrap();
            assert!(matches!(status, 202 | 400 | 422), "{field}: {status}");
            accepted += usize::from(status == 202);
        }
    }
    assert!(accepted >= 8, "{accepted}");
    binary(door, &raw_bytes);
    until("everything is dead", || {
        let states = place.states();
        states.contains_key("binary") && states.values().all(|state| state == "dead")
    });

    visit(&mut console);
    visit(&mut other);
    // A paste is not a key press, and its bytes are not ours to repeat.
    console.press("2/");
    console.sees(&["filter:"]);
    console.press(&format!(
        "\x1b[200~{}\x1b[201~",
        everything.replace('\x1b', "")
    ));
    console.sees(&["\\u{202e}idib"]);
    console.press(ESC);
    for terminal in [console, other] {
        terminal.signal(Signal::TERM);
        let (_, raw) = terminal.ended();
        only_ours(&raw);
    }
}

/// An event in binary mode: text in headers may be percent-encoded, and the body is any bytes.
fn binary(door: std::net::SocketAddr, body: &[u8]) {
    use std::io::{BufReader, Write};
    let mut stream = std::net::TcpStream::connect(door).unwrap();
    write!(
        stream,
        "POST /events HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: binary\r\nce-source: shop\r\nce-type: order.created\r\nce-subject: %E2%80%AEbidi%F3%A0%81%81\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let answer = crate::place::Message::read(&mut BufReader::new(stream)).unwrap();
    assert_eq!(
        answer.status(),
        Some(202),
        "{:?}",
        String::from_utf8_lossy(&answer.body)
    );
}

/// Goes through every screen and what lies over it.
fn visit(console: &mut Terminal) {
    console.press("1");
    console.sees(&["Wrong now", "dead letters"]);
    console.press("2");
    console.sees(&["filter: all", "dead"]);
    // Every delivery, each attempt, everything unfolded.
    for _ in 0..15 {
        console.press(ENTER);
        console.sees(&["Attempts"]);
        console.press("+");
        console.press("G");
        console.press("g");
        console.press(ESC);
        console.sees(&["filter: all"]);
        console.press("j");
    }
    console.press("3");
    console.sees(&["dead letters on crm, from"]);
    for keys in ["r", "c"] {
        console.press(keys);
        console.sees(&["esc leaves"]);
        if keys == "c" {
            console.sees(&["y does it"]);
            console.press("\twhy\r");
            console.sees(&["reason: why"]);
        }
        console.sees(&["y does it"]);
        console.press(ESC);
        console.loses("esc leaves");
    }
    console.press("E");
    console.confirms(&["needs help"], "y does it", "y");
    console.sees(&["escalation ", ": ✖ dead  HTTP 404"]);
    console.press("o");
    console.sees(&["Runbook"]);
    console.press("G");
    console.press(ESC);
    console.loses("Runbook");
    console.press("5");
    console.sees(&["notable"]);
    console.press("G");
    console.press("6");
    console.sees(&["critical"]);
    console.press(ENTER);
    console.sees(&["shown"]);
    console.press("G");
    console.press("7");
    console.press("8");
    console.sees(&["no path"]);
    console.press("G");
    console.press("?");
    console.sees(&["What can I do here"]);
    console.press("q");
    console.loses("What can I do here");
    console.press(":");
    console.sees(&["Commands"]);
    console.press(ESC);
    console.loses("Commands");
    console.press("1");
    console.sees(&["Wrong now"]);
}
