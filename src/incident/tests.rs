use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::config::model::Config;
use crate::console::fixture::overview;
use crate::duty::Stint;
use crate::ids::{DeliveryId, IncidentId};
use crate::page::Occasion;
use crate::store::view::{Severity, Slot};
use crate::time::Timestamp;
use crate::watch::{Rule, Trouble};

const TOML: &str = r#"
[site]
name = "Nordlys"
timezone = "Europe/Oslo"
[systems.shop]
[systems.crm]
url = "https://crm.example"
[systems.ledger]
url = "https://ledger.example"
[mail]
server = "smtp.example:465"
from = "m@example.org"
[people]
anna = { ntfy = "env:A", email = "anna@example.org" }
bo = { ntfy = "env:B" }
[oncall.weekly]
rota = ["anna", "bo"]
change = "Mon 09:00"
first = 2026-11-23
[channels.slack.ops]
webhook = "env:S"
[escalation.shop]
critical = [{ tell = "oncall:weekly", repeat = "5m" }, { tell = "anna,bo", after = "20m" }]
warning = [{ tell = "slack:ops", hours = "workdays 08-18" }]
[defaults.path]
escalation = "shop"
owner = "anna"
[paths.crm]
route = "shop -> crm"
events = ["order.*"]
url = "/o"
[paths.contacts]
route = "shop -> crm"
events = ["contact.*"]
url = "/c"
[paths.ledger]
route = "shop -> ledger"
events = ["order.*"]
url = "/l"
"#;

/// Thursday night, 02:10 in Oslo.
fn night() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-26T02:10:00+01:00").unwrap()
}

/// A house with a clock: what is wrong is said, what follows is kept.
struct House {
    config: Arc<Config>,
    now: Timestamp,
    incidents: Vec<Incident>,
    lines: Vec<IncidentLine>,
    pages: Vec<PageRow>,
    silences: Vec<Silence>,
    taken: Vec<Stint>,
    failing: u64,
}

impl House {
    fn new() -> Self {
        let loaded = crate::config::parse(TOML, Path::new("/x/midwatch.toml")).unwrap();
        Self {
            config: Arc::new(loaded.config),
            now: night(),
            incidents: Vec::new(),
            lines: Vec::new(),
            pages: Vec::new(),
            silences: Vec::new(),
            taken: Vec::new(),
            failing: 0,
        }
    }

    /// After so many seconds this is wrong.
    fn look(&mut self, later: u64, wrong: &[(Rule, &str, Severity)]) -> &mut Self {
        self.now = self.now + Duration::from_secs(later);
        let troubles: Vec<Trouble> = (wrong.iter())
            .map(|(rule, path, severity)| Trouble::of_path(*rule, path, *severity))
            .collect();
        let mut overview = overview();
        for row in &mut overview.paths {
            row.minutes = vec![Slot::default(); 60];
            (row.minutes[58].attempts, row.minutes[58].failed) = (100, self.failing);
        }
        let seen = Seen {
            config: &self.config,
            overview: &overview,
            troubles: &troubles,
            silences: &self.silences,
            changed: &["02:00 anna: configuration applied".to_owned()],
            now: self.now,
        };
        for (mut incident, lines) in step(&self.incidents, &seen) {
            self.lines.extend(lines);
            if incident.id == IncidentId(0) {
                incident.id = IncidentId(self.incidents.len() as i64 + 1);
                self.incidents.push(incident);
            } else {
                let at = incident.id.0 as usize - 1;
                self.incidents[at] = incident;
            }
        }
        for at in 0..self.incidents.len() {
            let mut incident = self.incidents[at].clone();
            let own: Vec<PageRow> = (self.pages.iter())
                .filter(|page| page.incident == incident.id)
                .cloned()
                .collect();
            for one in due(&mut incident, &self.config, &self.taken, &own, self.now) {
                self.pages.push(PageRow {
                    id: self.pages.len() as i64 + 1,
                    incident: incident.id,
                    occasion: one.occasion.word().to_owned(),
                    level: one.level,
                    who: one.who,
                    channel: one.channel,
                    at: self.now,
                    instead_of: one.instead_of,
                    delivery: DeliveryId(0),
                    state: PageState::Arrived,
                    attempts: 1,
                    ended: None,
                    why: None,
                });
            }
            self.incidents[at] = incident;
        }
        self
    }

    fn act(&mut self, what: &Act, who: &str) {
        let lease = self.config.watch.lease;
        let (after, line) = act(&self.incidents[0], what, who, lease, self.now).unwrap();
        self.incidents[0] = after;
        self.lines.push(line);
    }

    fn stages(&self) -> Vec<Stage> {
        self.incidents
            .iter()
            .map(|incident| incident.stage)
            .collect()
    }

    /// Who was told what since the last time this was asked.
    fn told(&mut self) -> Vec<String> {
        let told = self.pages.iter().filter(|page| page.ended.is_none());
        let told = told
            .map(|page| format!("{} {}", page.occasion, page.channel))
            .collect();
        for page in &mut self.pages {
            page.ended = page.ended.or(Some(self.now));
        }
        told
    }
}

/// An incident about the path `crm`.
pub fn incident() -> Incident {
    House::new().look(0, &[DOWN]).incidents.remove(0)
}

const DOWN: (Rule, &str, Severity) = (Rule::BreakerOpen, "crm", Severity::Critical);
const OTHER: (Rule, &str, Severity) = (Rule::PathFailing, "contacts", Severity::Warning);
const LATER: (Rule, &str, Severity) = (Rule::BreakerOpen, "crm", Severity::Warning);

#[test]
fn a_system_that_is_down_opens_one_incident_whatever_the_number_of_its_paths() {
    let mut house = House::new();
    house.look(0, &[DOWN]).look(5, &[DOWN, OTHER]);
    house.look(
        5,
        &[
            DOWN,
            OTHER,
            (Rule::DeadLetters, "ledger", Severity::Warning),
        ],
    );
    assert_eq!(house.incidents.len(), 2);
    assert_eq!(house.incidents[0].cause, "system:crm");
    assert_eq!(house.incidents[0].signals.len(), 2);
    assert_eq!(house.incidents[0].title, "breaker_open on crm (and 1 more)");
    assert_eq!(house.incidents[0].runbook.as_deref(), Some("receiver-down"));
    assert_eq!(
        house.incidents[0].changed,
        ["02:00 anna: configuration applied"]
    );
    assert_eq!(house.incidents[1].cause, "dead_letters:ledger");
}

#[test]
fn it_is_over_when_nothing_was_wrong_for_five_minutes_and_what_comes_back_is_the_same() {
    let mut house = House::new();
    house.look(0, &[DOWN]).look(60, &[]).look(240, &[]);
    assert_eq!(house.stages(), [Stage::Firing]);
    // It flaps: nothing begins anew.
    house.look(5, &[DOWN]).look(5, &[]).look(299, &[]);
    assert_eq!(house.stages(), [Stage::Firing]);
    house.look(1, &[]);
    assert_eq!(house.stages(), [Stage::Resolved]);
    house.look(29 * 60, &[DOWN]);
    assert_eq!((house.incidents.len(), house.incidents[0].reopened), (1, 1));
    assert_eq!(house.stages(), [Stage::Firing]);
    house.look(1, &[]).look(300, &[]).look(31 * 60, &[DOWN]);
    assert_eq!(house.incidents.len(), 2, "half an hour later it is another");
}

#[test]
fn what_still_fails_at_half_the_limit_is_not_over() {
    let mut house = House::new();
    let failing = (Rule::PathFailing, "crm", Severity::Warning);
    house.failing = 30;
    house.look(0, &[failing]);
    house.failing = 10;
    house.look(60, &[]).look(600, &[]).look(600, &[]);
    assert_eq!(
        house.stages(),
        [Stage::Firing],
        "10 of 100 fail, half of the limit"
    );
    house.failing = 9;
    house.look(5, &[]).look(300, &[]);
    assert_eq!(house.stages(), [Stage::Resolved]);
}

#[test]
fn critical_wakes_whoever_is_on_call_again_and_again_until_somebody_has_it() {
    let mut house = House::new();
    house.look(0, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna"]);
    house.look(299, &[DOWN]);
    assert!(house.told().is_empty());
    house.look(1, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna"]);
    house.look(14 * 60, &[DOWN]);
    assert_eq!(
        house.told(),
        ["firing ntfy:anna"],
        "the second level is not due yet"
    );
    house.look(60, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna", "firing ntfy:bo"]);
    house.act(&Act::Ack, "bo");
    assert_eq!(house.stages(), [Stage::Acknowledged]);
    house.look(29 * 60, &[DOWN]);
    assert!(house.told().is_empty());
    // Nobody hears of bo any more.
    house.look(61, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna"]);
    assert_eq!(house.stages(), [Stage::Firing]);
    house.act(&Act::Ack, "bo");
    house.look(5, &[]).look(300, &[]);
    assert_eq!(
        house.told(),
        ["resolved ntfy:anna", "resolved ntfy:bo"],
        "exactly those who were told"
    );
    house.look(60, &[]);
    assert!(house.told().is_empty());
}

#[test]
fn what_heals_before_it_is_noticed_waits_for_the_morning_and_wakes_when_it_is_worse() {
    let mut house = House::new();
    house.look(0, &[LATER]).look(5 * 3_600, &[LATER]);
    assert!(house.told().is_empty(), "it is 07:10");
    house.look(50 * 60, &[LATER]);
    assert_eq!(house.told(), ["firing slack:ops"]);
    house.look(3_600, &[LATER]);
    assert!(house.told().is_empty(), "once");

    let mut house = House::new();
    house.look(0, &[LATER]);
    house.act(&Act::Ack, "anna");
    house.act(
        &Act::Snooze {
            until: night() + Duration::from_secs(7_200),
        },
        "anna",
    );
    house.look(60, &[LATER]);
    assert!(house.told().is_empty());
    house.look(60, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna"]);
    assert_eq!(house.stages(), [Stage::Firing], "worse must be taken again");
    // Back and worse again is nothing new.
    house.act(&Act::Ack, "anna");
    house.look(60, &[LATER]).look(60, &[DOWN]);
    assert!(house.told().is_empty());
}

#[test]
fn a_page_that_does_not_arrive_is_told_over_another_channel_once() {
    for (state, attempts, after, expected) in [
        (PageState::Sending, 1, 54, false),
        (PageState::Sending, 1, 60, true),
        (PageState::Sending, 3, 10, true),
        (PageState::Failed, 1, 10, true),
        (PageState::Arrived, 1, 100, false),
    ] {
        let mut house = House::new();
        house.look(0, &[DOWN]);
        assert_eq!(house.told(), ["firing ntfy:anna"]);
        (house.pages[0].state, house.pages[0].attempts) = (state, attempts);
        house.look(after, &[DOWN]).look(5, &[DOWN]);
        let told = house.told();
        assert_eq!(
            told == ["firing email:anna"],
            expected,
            "{state:?} {attempts} {after}: {told:?}"
        );
    }
}

#[test]
fn whoever_took_the_rota_over_is_told_and_silence_is_silence() {
    let mut house = House::new();
    house.taken.push(Stint {
        rota: "weekly".to_owned(),
        person: "bo".to_owned(),
        from: night(),
        until: night() + Duration::from_secs(3_600),
    });
    house.look(0, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:bo"]);

    let mut house = House::new();
    house.silences.push(Silence {
        id: 1,
        rule: Some(Rule::BreakerOpen),
        subject: Some("crm".to_owned()),
        at: night(),
        until: night() + Duration::from_secs(600),
        actor: "anna".to_owned(),
        reason: "maintenance".to_owned(),
    });
    house.look(0, &[DOWN]).look(599, &[DOWN]);
    assert!(house.incidents.is_empty());
    house.look(1, &[DOWN]);
    assert_eq!(house.incidents.len(), 1, "it ends when it says");
}

#[test]
fn who_asks_for_the_next_level_need_not_wait() {
    let mut house = House::new();
    house.look(0, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna"]);
    house.act(&Act::Escalate, "anna");
    house.look(1, &[DOWN]);
    assert_eq!(house.told(), ["firing ntfy:anna", "firing ntfy:bo"]);
    house.act(&Act::Escalate, "anna");
    house.look(1, &[DOWN]);
    assert_eq!(
        house.told(),
        ["firing ntfy:anna", "firing ntfy:bo"],
        "the last one again"
    );
}

#[test]
fn what_makes_no_sense_is_refused_in_words() {
    let mut house = House::new();
    house.look(0, &[DOWN]);
    let lease = Duration::from_secs(1_800);
    let incident = house.incidents[0].clone();
    let refused = |what: &Act| act(&incident, what, "anna", lease, house.now).unwrap_err();
    assert_eq!(refused(&Act::Accept), "nobody hands incident 1 over");
    assert_eq!(
        refused(&Act::Note {
            text: "  ".to_owned()
        }),
        "the note is empty"
    );
    assert_eq!(
        refused(&Act::Snooze { until: house.now }),
        "that is over already"
    );
    let offer = Act::HandOver {
        to: "bo".to_owned(),
        summary: "pause is on".to_owned(),
    };
    let (offered, _) = act(&incident, &offer, "anna", lease, house.now).unwrap();
    let (taken, line) = act(&offered, &Act::Accept, "bo", lease, house.now).unwrap();
    assert_eq!(taken.ack.unwrap().by, "bo");
    assert_eq!(line.text, "taken over from anna");
    let (over, _) = act(&incident, &Act::Resolve, "anna", lease, house.now).unwrap();
    assert_eq!(
        act(&over, &Act::Ack, "anna", lease, house.now).unwrap_err(),
        "incident 1 is over"
    );
}

#[test]
fn a_page_says_what_is_wrong_since_when_and_what_came_before() {
    let mut house = House::new();
    house.look(0, &[DOWN, OTHER]);
    let page = page_of(
        &house.incidents[0],
        Occasion::Firing,
        &house.config,
        2,
        house.now,
    );
    assert_eq!(
        page.headline(),
        "[Nordlys #1 CRITICAL] breaker_open on crm (and 1 more)"
    );
    assert_eq!(
        page.lines,
        [
            "breaker_open on crm",
            "path_failing on contacts",
            "Since 02:10. Number 1.",
            "Before it: 02:00 anna: configuration applied",
            "2 more incidents are open.",
        ]
    );
    assert_eq!(page.runbook.as_deref(), Some("receiver-down"));
}
