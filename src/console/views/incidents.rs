//! Incidents: the list, and one with the numbers of its path, what came before it, who was told, and its runbook to be
//! walked, step by step.

use std::time::Duration;

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use crate::incident::{Bearings, Doing, Incident, PageState, Stage, StepState, doing};
use crate::store::view::Severity;
use crate::time::short;
use crate::visible::Visible;
use crate::watch;

const COLUMNS: &[Column] = &[
    number("no.", 4, 99),
    fixed("severity", 10, 98),
    fixed("stands", 12, 96),
    flex("whose", 5, 14, 80),
    flex("began", 5, 16, 70),
    flex("lasts", 4, 10, 75),
    flex("what", 20, 200, 97),
];

const STEPS: &[Column] = &[
    fixed("", 2, 99),
    number("step", 4, 98),
    flex("of", 8, 14, 40),
    flex("what to do", 20, 200, 97),
    flex("by", 4, 14, 60),
];

/// Lines below the list for the selected incident.
fn described(model: &Model) -> usize {
    match model.size.1 {
        0..16 => 0,
        16..30 => 7,
        _ => 12,
    }
}

/// Lines of the list's body that are not its rows.
pub(super) fn above(model: &Model) -> usize {
    2 + described(model)
}

/// Lines below the steps: what the selected one says, and the end of the timeline.
fn below(model: &Model) -> usize {
    match model.size.1 {
        0..14 => 0,
        14..20 => 4,
        20..30 => 7,
        _ => 16,
    }
}

/// Lines over the steps.
const HEAD: usize = 5;

/// Lines of one incident's body that are not steps.
pub(super) fn around(model: &Model) -> usize {
    1 + HEAD + below(model)
}

fn severity(model: &Model, incident: &Incident) -> (String, Role) {
    let glyph = |unicode, ascii| model.theme.glyph(unicode, ascii);
    if !incident.is_open() {
        return (format!("{} over", glyph("·", "-")), Role::Dim);
    }
    match incident.severity {
        Severity::Critical => (format!("{} critical", glyph("▲", "!")), Role::Bad),
        Severity::Warning => (format!("{} warning", glyph("△", "+")), Role::Warn),
        Severity::Info => (format!("{} info", glyph("·", "-")), Role::Dim),
    }
}

fn stage(model: &Model, incident: &Incident) -> (String, Role) {
    if incident.is_open() && incident.is_snoozed(model.now) {
        return ("snoozed".to_owned(), Role::Dim);
    }
    let role = match incident.stage {
        Stage::Firing => Role::Bad,
        Stage::Acknowledged => Role::Busy,
        Stage::Mitigated => Role::Good,
        Stage::Resolved => Role::Dim,
    };
    (incident.stage.word().to_owned(), role)
}

fn holder(model: &Model, incident: &Incident) -> String {
    let held = incident.ack.as_ref().filter(|ack| ack.until > model.now);
    held.map_or_else(String::new, |ack| ack.by.clone())
}

fn lasts(model: &Model, incident: &Incident) -> String {
    let end = incident.resolved.unwrap_or(model.now);
    age(end.since(incident.opened))
}

/// Whole minutes once there is one: a screen that counts seconds is painted each second.
pub(super) fn age(lasts: Duration) -> String {
    let seconds = lasts.as_secs();
    let whole = if seconds < 60 {
        seconds
    } else {
        seconds - seconds % 60
    };
    short(Duration::from_secs(whole))
}

/// Draws the list.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let rows = &model.incidents.rows;
    let open = rows.iter().filter(|one| one.is_open()).count();
    let heading = match open {
        0 => " no incident is open".to_owned(),
        1 => " 1 incident is open".to_owned(),
        n => format!(" {n} incidents are open"),
    };
    let words = [
        (heading, Role::Title),
        (
            format!("; {} are kept", widgets::count(rows.len() as u64)),
            Role::Dim,
        ),
    ];
    pen.pieces(area.x, area.y, area.width, &words);
    let under = described(model).min(usize::from(area.height.saturating_sub(2))) as u16;
    let list = Rect::new(
        area.x,
        area.y + 1,
        area.width,
        area.height.saturating_sub(1 + under),
    );
    let height = usize::from(list.height.saturating_sub(1));
    let pick = &model.incidents.pick;
    let zone = model.config.site.timezone;
    let lines: Vec<Row> = super::window(rows, pick.top, height)
        .map(|(index, incident)| Row {
            cells: vec![
                (format!("#{}", incident.id), Role::Title),
                severity(model, incident),
                stage(model, incident),
                (holder(model, incident), Role::Accent),
                (watch::when(incident.opened, model.now, zone), Role::Dim),
                (lasts(model, incident), Role::Dim),
                (
                    incident.title.clone(),
                    if incident.is_open() {
                        Role::Text
                    } else {
                        Role::Dim
                    },
                ),
            ],
            selected: index == pick.index,
            marked: false,
        })
        .collect();
    table::draw(pen, list, &table::snug(COLUMNS, &lines), &lines);
    let inner = Rect::new(
        list.x,
        list.y + list.height.min(1),
        list.width,
        list.height.saturating_sub(1),
    );
    if lines.is_empty() {
        super::empty(
            model,
            pen,
            inner,
            Slot::Incidents,
            "nothing was wrong so far",
        );
    }
    pen.scrollbar(inner, pick.top, rows.len());
    if let Some(incident) = model.incidents.here() {
        let place = Rect::new(area.x, list.bottom(), area.width, under);
        text(pen, place, &about(model, incident));
    }
}

/// What is wrong of an incident, what came before it, where it leads.
fn about(model: &Model, incident: &Incident) -> Vec<(String, Role)> {
    let mut lines = vec![(String::new(), Role::Dim)];
    for signal in &incident.signals {
        let role = match (signal.calm, signal.severity) {
            (Some(_), _) => Role::Dim,
            (None, Severity::Critical) => Role::Bad,
            (None, _) => Role::Warn,
        };
        lines.push((format!("{}: {}", signal.rule, signal.words), role));
    }
    for change in incident.changed.iter().take(3) {
        lines.push((format!("before it: {change}"), Role::Dim));
    }
    if let Some(offer) = &incident.offer {
        let words = format!("offered by {} to {}: {}", offer.by, offer.to, offer.summary);
        lines.push((words, Role::Accent));
    }
    let told = match &incident.policy {
        Some(policy) => format!("escalates to {policy}"),
        None => "escalates to nobody: set watch.escalation".to_owned(),
    };
    let runbook = (incident.runbook.as_deref())
        .map_or_else(String::new, |file| crate::runbook::stem(file.as_ref()));
    lines.push((format!("runbook {runbook}; {told}"), Role::Dim));
    if incident.is_snoozed(model.now) {
        let until = incident.snoozed.unwrap_or(model.now);
        let zone = model.config.site.timezone;
        let words = format!(
            "quiet until {}, unless it becomes worse",
            watch::when(until, model.now, zone)
        );
        lines.push((words, Role::Dim));
    }
    lines
}

/// Lines, wrapped; what has no room is left out.
fn text(pen: &mut Pen<'_>, area: Rect, lines: &[(String, Role)]) {
    let width = usize::from(area.width.saturating_sub(2));
    let mut y = area.y;
    for (line, role) in lines {
        let line = Visible::of(line);
        for part in widgets::wrap(line.as_str(), width.max(1)) {
            if y >= area.bottom() {
                return;
            }
            pen.text(area.x + 1, y, area.width.saturating_sub(1), &part, *role);
            y += 1;
        }
        if line.as_str().is_empty() {
            y += 1;
        }
    }
}

/// The numbers of the path, now.
fn strip(model: &Model, bearings: &Bearings) -> String {
    let Some(overview) = &model.overview else {
        return String::new();
    };
    let row = (bearings.path.as_ref())
        .and_then(|path| overview.paths.iter().find(|row| row.name == *path));
    let Some(row) = row else {
        return watch::summary(overview, &model.config);
    };
    let worker = watch::worker_state(&overview.worker, model.now);
    let path = model.config.path(&row.name);
    let zone = model.config.site.timezone;
    let state = watch::path_state(row, path, worker, overview.at, zone);
    let failing = row.failure_percent().map_or_else(
        || "no attempts in 5m".to_owned(),
        |share| format!("{share:.0} % fail"),
    );
    let late = watch::late_at(row, path, zone)
        .filter(|_| row.counts.backlog() > 0)
        .map_or_else(String::new, |at| {
            format!(", noticed {}", watch::when(at, model.now, zone))
        });
    format!(
        "{}: {}, {} wait, {} dead, {failing}{late}",
        row.name,
        state.word(),
        watch::grouped(row.counts.backlog()),
        watch::grouped(row.counts.dead)
    )
}

/// Draws one incident.
pub(super) fn draw_one(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let Some(data) = &model.incidents.data else {
        super::empty(
            model,
            pen,
            area,
            Slot::Incident,
            "there is no such incident any more",
        );
        return;
    };
    let incident = &data.incident;
    let bearings = Bearings::of(incident, &model.config);
    head(model, pen, area, incident, &bearings);
    let under = below(model).min(usize::from(area.height).saturating_sub(HEAD + 2)) as u16;
    let over = (HEAD as u16).min(area.height);
    let list = Rect::new(
        area.x,
        area.y + over,
        area.width,
        area.height.saturating_sub(over + under),
    );
    steps(model, pen, list);
    let place = Rect::new(area.x, list.bottom(), area.width, under);
    let half = place.height / 2;
    let upper = Rect::new(place.x, place.y, place.width, place.height - half);
    text(pen, upper, &step(model, incident, &bearings));
    let lower = Rect::new(place.x, upper.bottom(), place.width, half);
    let zone = model.config.site.timezone;
    let room = usize::from(half);
    let skip = data.lines.len().saturating_sub(room);
    for (offset, line) in data.lines[skip..].iter().enumerate() {
        let who = if line.actor.is_empty() {
            "midwatch"
        } else {
            &line.actor
        };
        let words = format!(
            "{} {who}: {}",
            watch::when(line.at, model.now, zone),
            line.text
        );
        let words = Visible::of(&words);
        let width = lower.width.saturating_sub(1);
        pen.text(
            lower.x + 1,
            lower.y + offset as u16,
            width,
            words.as_str(),
            Role::Dim,
        );
    }
}

fn head(model: &Model, pen: &mut Pen<'_>, area: Rect, incident: &Incident, bearings: &Bearings) {
    let (word, role) = severity(model, incident);
    let (stands, stage_role) = stage(model, incident);
    let whose = match holder(model, incident) {
        who if who.is_empty() => String::new(),
        who => format!(" by {who}"),
    };
    let first = [
        (format!(" #{} ", incident.id), Role::Title),
        (format!("{word} "), role),
        (format!("{stands}{whose} "), stage_role),
        (format!("{} ", lasts(model, incident)), Role::Dim),
        (incident.title.clone(), Role::Text),
    ];
    let mut lines: Vec<Vec<(String, Role)>> = vec![first.to_vec()];
    lines.push(vec![(format!(" {}", strip(model, bearings)), Role::Accent)]);
    let before = incident.changed.first();
    lines.push(vec![(
        before.map_or_else(
            || " nothing is known to have changed before it".to_owned(),
            |change| format!(" before it: {change}"),
        ),
        Role::Text,
    )]);
    lines.push(vec![told(model)]);
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        let pieces: Vec<(String, Role)> = pieces
            .iter()
            .map(|(words, role)| (Visible::of(words).into_string(), *role))
            .collect();
        pen.pieces(area.x, area.y + offset as u16, area.width, &pieces);
    }
}

/// Who was told, and whether it arrived.
fn told(model: &Model) -> (String, Role) {
    let pages = model.incidents.data.iter().flat_map(|data| &data.pages);
    let pages: Vec<_> = pages.collect();
    let count = |state| pages.iter().filter(|page| page.state == state).count();
    let (sending, failed) = (count(PageState::Sending), count(PageState::Failed));
    match pages.first() {
        None => (" nobody was told".to_owned(), Role::Dim),
        Some(last) => {
            let zone = model.config.site.timezone;
            let at = watch::when(last.at, model.now, zone);
            let mut words = format!(" told {} over {} at {at}", last.who, last.channel);
            let mut role = Role::Dim;
            if sending > 0 {
                words = format!("{words}; {sending} on their way");
                role = Role::Warn;
            }
            if failed > 0 {
                words = format!("{words}; {failed} FAILED");
                role = Role::Bad;
            }
            (words, role)
        }
    }
}

fn steps(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let incidents = &model.incidents;
    let height = usize::from(area.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(&incidents.steps, incidents.step.top, height)
        .map(|(index, step)| {
            let ticked = incidents.ticked(index);
            let (mark, role) = match ticked.map(|row| row.state) {
                Some(StepState::Done) => (model.theme.glyph("✔", "x"), Role::Good),
                Some(StepState::Skipped) => (model.theme.glyph("–", "-"), Role::Dim),
                None => (" ", Role::Text),
            };
            let does = if step.cells.is_empty() {
                ""
            } else {
                model.theme.glyph("▶ ", "> ")
            };
            Row {
                cells: vec![
                    (mark.to_owned(), role),
                    ((index + 1).to_string(), Role::Dim),
                    (step.section.clone(), Role::Dim),
                    (
                        format!("{does}{}", step.title),
                        if ticked.is_some() {
                            Role::Dim
                        } else {
                            Role::Text
                        },
                    ),
                    (
                        ticked.map_or_else(String::new, |row| row.actor.clone()),
                        Role::Dim,
                    ),
                ],
                selected: index == incidents.step.index,
                marked: false,
            }
        })
        .collect();
    table::draw(pen, area, &table::snug(STEPS, &rows), &rows);
    let inner = Rect::new(
        area.x,
        area.y + area.height.min(1),
        area.width,
        area.height.saturating_sub(1),
    );
    if rows.is_empty() {
        let words = match &incidents.runbook {
            Some(Err(why)) => Visible::of(why).into_string(),
            _ => "its runbook has no steps; o shows it".to_owned(),
        };
        super::empty(model, pen, inner, Slot::Incident, &words);
    }
    pen.scrollbar(inner, incidents.step.top, incidents.steps.len());
}

/// What the selected step says and does.
fn step(model: &Model, incident: &Incident, bearings: &Bearings) -> Vec<(String, Role)> {
    let Some((_, step)) = model.step_here() else {
        return Vec::new();
    };
    let mut lines: Vec<(String, Role)> = Vec::new();
    for cell in &step.cells {
        lines.push(match doing(cell, incident, bearings) {
            Ok(Doing::Act(action)) => (
                format!("Enter: {}", crate::incident::said(&action)),
                Role::Accent,
            ),
            Ok(Doing::Wait(gate)) => {
                let now = (model.overview.as_ref()).and_then(|overview| gate.now(overview));
                match now {
                    Some((value, true)) => (
                        format!("{gate}: {} now, it holds", value.round()),
                        Role::Good,
                    ),
                    Some((value, false)) => (
                        format!("{gate}: {} now, not yet", value.round()),
                        Role::Warn,
                    ),
                    None => (format!("{gate}: there is no such path or job"), Role::Bad),
                }
            }
            Ok(Doing::Secret { system, .. }) => (
                format!("replace the secret of {system}: Systems (0), then w"),
                Role::Accent,
            ),
            Ok(Doing::Look { kind, .. }) => {
                (format!("look the {kind} up: Record (9)"), Role::Accent)
            }
            Ok(Doing::Shell(_)) => (
                "run these lines in a shell yourself".to_owned(),
                Role::Accent,
            ),
            Err(why) => (format!("cannot be done here: {why}"), Role::Bad),
        });
    }
    let body = step.text.lines().filter(|line| !line.trim().is_empty());
    lines.extend(body.map(|line| (line.to_owned(), Role::Text)));
    lines
}
