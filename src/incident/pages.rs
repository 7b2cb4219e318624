//! Who must be told of an incident now. Pure.
//!
//! A level is due so long after the incident's clock, and again as often as it says, until somebody has it. What is not
//! critical keeps to the level's hours. A page that has not arrived is told over the next channel of the same person.

use std::time::Duration;

use super::model::{Incident, PageRow, PageState, Told};
use crate::config::model::Config;
use crate::duty::{Recipient, Stint};
use crate::page::{Occasion, Page};
use crate::store::view::Severity;
use crate::time::{Timestamp, short};
use crate::visible::line;

/// A page that has not arrived after this is told over another channel.
const PATIENCE: Duration = Duration::from_secs(60);
/// So is one that failed this often.
const ATTEMPTS: u32 = 3;

/// One page to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The level that tells it.
    pub level: usize,
    /// To whom.
    pub who: String,
    /// Over which channel.
    pub channel: String,
    /// What it says of the incident.
    pub occasion: Occasion,
    /// The page that it stands in for.
    pub instead_of: Option<i64>,
}

/// What is to be told now; `incident.told` is brought up to date. `pages` are all that were sent of it.
pub fn due(
    incident: &mut Incident,
    config: &Config,
    taken: &[Stint],
    pages: &[PageRow],
    now: Timestamp,
) -> Vec<Due> {
    let mut all = Vec::new();
    if incident.is_open() {
        levels(incident, config, taken, now, &mut all);
        if !incident.is_held(now) {
            fallbacks(incident, config, pages, now, &mut all);
        }
    } else {
        ended(pages, &mut all);
    }
    // The same channel is told once.
    let mut told: Vec<(String, Occasion)> = Vec::new();
    all.retain(|due| {
        let place = (due.channel.clone(), due.occasion);
        let is_new = !told.contains(&place);
        told.push(place);
        is_new
    });
    all
}

fn levels(
    incident: &mut Incident,
    config: &Config,
    taken: &[Stint],
    now: Timestamp,
    all: &mut Vec<Due>,
) {
    let Some(policy) = incident
        .policy
        .as_deref()
        .and_then(|name| config.policy(name))
    else {
        return;
    };
    let zone = config.site.timezone;
    let quiet = incident.is_held(now) || incident.is_snoozed(now) || incident.calm.is_some();
    let count = policy.levels(incident.severity).len();
    // A level beyond the last one was asked for: the last one is told again.
    if count > 0
        && incident
            .told
            .iter()
            .any(|told| told.times == 0 && told.level >= count)
    {
        incident.told.retain(|told| told.level < count - 1);
        incident.told.push(Told {
            level: count - 1,
            times: 0,
            last: now,
        });
    }
    for (number, level) in policy.levels(incident.severity).iter().enumerate() {
        let at = incident.told.iter().position(|told| told.level == number);
        let told = at.map(|at| incident.told[at].clone());
        // Somebody asked for it: neither a delay nor hours hold it back.
        let asked = told.as_ref().is_some_and(|told| told.times == 0);
        let due = match &told {
            _ if asked => true,
            _ if quiet => false,
            None => now.since(incident.clock) >= level.after,
            Some(told) => level
                .repeat
                .is_some_and(|every| now.since(told.last) >= every),
        };
        let in_hours = level.hours.is_none_or(|hours| hours.has(now, zone));
        if !due || !(in_hours || asked) {
            continue;
        }
        let recipients = level.tell.iter();
        let recipients = recipients.filter_map(|tell| config.recipient(tell, taken, now));
        for Recipient { who, channels } in recipients {
            let Some(channel) = channels.into_iter().next() else {
                continue;
            };
            all.push(Due {
                level: number,
                who,
                channel,
                occasion: Occasion::Firing,
                instead_of: None,
            });
        }
        let times = told.map_or(0, |told| told.times) + 1;
        let told = Told {
            level: number,
            times,
            last: now,
        };
        match at {
            Some(at) => incident.told[at] = told,
            None => incident.told.push(told),
        }
    }
    incident.told.retain(|told| told.times > 0);
}

/// Pages that have not arrived, over the next channel of whom they were for.
fn fallbacks(
    incident: &Incident,
    config: &Config,
    pages: &[PageRow],
    now: Timestamp,
    all: &mut Vec<Due>,
) {
    for page in pages
        .iter()
        .filter(|page| page.occasion == "firing" && page.at >= incident.clock)
    {
        let late = match page.state {
            PageState::Arrived => false,
            PageState::Failed => true,
            PageState::Sending => now.since(page.at) >= PATIENCE || page.attempts >= ATTEMPTS,
        };
        if !late || pages.iter().any(|other| other.instead_of == Some(page.id)) {
            continue;
        }
        let Some(person) = config.people.get(&page.who) else {
            continue;
        };
        let next = (person.channels.iter())
            .skip_while(|channel| **channel != page.channel)
            .nth(1);
        if let Some(channel) = next {
            all.push(Due {
                level: page.level,
                who: page.who.clone(),
                channel: channel.clone(),
                occasion: Occasion::Firing,
                instead_of: Some(page.id),
            });
        }
    }
}

/// That it is over goes to exactly those who were told that it began, and were not told of its end since.
fn ended(pages: &[PageRow], all: &mut Vec<Due>) {
    let firing = pages.iter().filter(|page| page.occasion == "firing");
    for page in firing {
        let since = pages.iter().any(|other| {
            other.occasion == "resolved" && other.channel == page.channel && other.id > page.id
        });
        if !since {
            all.push(Due {
                level: page.level,
                who: page.who.clone(),
                channel: page.channel.clone(),
                occasion: Occasion::Resolved,
                instead_of: None,
            });
        }
    }
}

/// What a page says of an incident. `others`: how many more incidents are open.
pub fn page_of(
    incident: &Incident,
    occasion: Occasion,
    config: &Config,
    others: usize,
    now: Timestamp,
) -> Page {
    let zone = config.site.timezone;
    let at = |at: Timestamp| crate::watch::when(at, now, zone);
    let mut lines: Vec<String> = if occasion == Occasion::Resolved {
        let end = incident.resolved.unwrap_or(now);
        vec![format!(
            "Over since {}; it lasted {}.",
            at(end),
            short(Duration::from_secs(end.since(incident.opened).as_secs()))
        )]
    } else {
        let live = incident
            .signals
            .iter()
            .filter(|signal| signal.calm.is_none());
        live.map(|signal| signal.words.clone()).take(5).collect()
    };
    if occasion == Occasion::Firing {
        lines.push(format!(
            "Since {}. Number {}.",
            at(incident.opened),
            incident.id
        ));
        if let Some(first) = incident.changed.first() {
            lines.push(format!("Before it: {}", line(first, 160)));
        }
        if others > 0 {
            let noun = if others == 1 {
                "incident is"
            } else {
                "incidents are"
            };
            lines.push(format!("{others} more {noun} open."));
        }
        if let Some(ack) = &incident.ack {
            lines.push(format!("{} has it.", line(&ack.by, 40)));
        }
    }
    Page {
        site: config.site.name.clone(),
        occasion,
        severity: if occasion == Occasion::Firing {
            incident.severity.max(Severity::Warning)
        } else {
            incident.worst
        },
        incident: Some(incident.id.0),
        title: incident.title.clone(),
        lines,
        runbook: incident
            .runbook
            .as_deref()
            .map(|file| crate::runbook::stem(file.as_ref())),
        since: incident.opened,
        dedup: format!("midwatch/{}/{}", config.site.name, incident.id),
        buttons: Vec::new(),
        text: String::new(),
    }
}
