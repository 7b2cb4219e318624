//! What a reconciliation would write, write by write, with the rule that allows each, and what became of it.

use ratatui::layout::Rect;

use super::super::model::{Model, Slot};
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, flex};
use super::super::widgets::{self, Pen};
use crate::record::{alike, mask};
use crate::store::view::{PlanRow, PlanState, PlanWrite, WriteState, WriteVerb};
use crate::time::short;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("system", 4, 12, 90),
    flex("record", 10, 24, 99),
    flex("what", 18, 60, 95),
    flex("stands", 9, 60, 97),
    flex("rule", 12, 80, 50),
];

/// Lines below the list for the selected write.
fn detail_rows(model: &Model) -> usize {
    match model.size.1 {
        0..16 => 0,
        _ => 6,
    }
}

/// Lines of the body that are not rows of the list.
pub(super) fn above(model: &Model) -> usize {
    3 + detail_rows(model)
}

/// Where a plan stands, in words, and how that is shown.
pub(super) fn standing(model: &Model, plan: &PlanRow) -> (String, Role) {
    let [planned, sent, delivered, refused, failed] = plan.writes;
    let all = planned + sent + delivered + refused + failed;
    let writes = if all == 1 { "1 write" } else { "writes" };
    let writes = if all == 1 {
        writes.to_owned()
    } else {
        format!("{all} {writes}")
    };
    let mut parts = Vec::new();
    for (count, word) in [
        (sent, "under way"),
        (delivered, "delivered"),
        (refused, "refused"),
        (failed, "failed"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let ends = if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    };
    match plan.state {
        PlanState::Proposed => {
            let wait = if all == 1 { "waits" } else { "wait" };
            let left = short(plan.expires.since(model.now));
            (format!("{writes} {wait} for you, {left} left"), Role::Warn)
        }
        PlanState::Applying => (format!("{writes} go to the queue{ends}"), Role::Busy),
        PlanState::Applied if failed > 0 => (format!("carried out{ends}"), Role::Bad),
        PlanState::Applied => (format!("carried out{ends}"), Role::Good),
        PlanState::Stopped => (format!("{writes}, stopped by the rails"), Role::Bad),
        state => (format!("{writes}, {}", state.word()), Role::Dim),
    }
}

fn value(write: &PlanWrite, text: Option<&String>, model: &Model) -> String {
    match text {
        _ if write.sensitive => mask::HIDDEN.to_owned(),
        Some(text) => alike::plain(text).into_owned(),
        None => model.theme.glyph("–", "-").to_owned(),
    }
}

fn what(model: &Model, write: &PlanWrite) -> String {
    match (write.verb, &write.field) {
        (WriteVerb::Update, field) => format!(
            "{}: {} {} {}",
            field.as_deref().unwrap_or_default(),
            value(write, write.from.as_ref(), model),
            model.theme.glyph("→", "->"),
            value(write, write.to.as_ref(), model)
        ),
        (verb, _) => format!("{} the {}", verb.word(), write.kind),
    }
}

fn key(model: &Model, write: &PlanWrite) -> String {
    let systems = model.config.systems.values();
    let maps = systems.filter_map(|system| system.records.get(&write.kind));
    mask::shown(maps.map(AsRef::as_ref), &write.key)
}

fn role(state: WriteState) -> Role {
    match state {
        WriteState::Planned => Role::Text,
        WriteState::Sent => Role::Busy,
        WriteState::Delivered => Role::Good,
        WriteState::Refused => Role::Warn,
        WriteState::Failed => Role::Bad,
    }
}

/// Draws the plan.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let recon = &model.recon;
    let Some((plan, writes)) = recon.data.as_deref() else {
        super::empty(
            model,
            pen,
            area,
            Slot::Plan,
            "there is no such plan any more",
        );
        return;
    };
    let zone = model.config.site.timezone;
    let head = format!(
        "plan {} of {}, {}: ",
        plan.id,
        plan.job,
        watch::when(plan.at, model.now, zone)
    );
    let (words, role_of) = standing(model, plan);
    pen.pieces(
        area.x + 1,
        area.y,
        area.width,
        &[(head, Role::Title), (words, role_of)],
    );
    let mut notes: Vec<String> = Vec::new();
    if let Some(undone) = plan.undone {
        notes.push(format!("taken back by plan {undone}"));
    }
    if let Some(undoes) = plan.undoes {
        notes.push(format!("takes plan {undoes} back"));
    }
    if let Some((at, who)) = &plan.decided {
        notes.push(format!(
            "decided {} by {who}",
            watch::when(*at, model.now, zone)
        ));
    }
    notes.extend(plan.note.clone());
    if notes.is_empty() && plan.state == PlanState::Proposed {
        notes.push("each is judged again before it is made; nothing else is written".to_owned());
    }
    if area.height > 1 {
        pen.text(
            area.x + 1,
            area.y + 1,
            area.width.saturating_sub(1),
            &notes.join("; "),
            Role::Dim,
        );
    }
    let detail = detail_rows(model).min(area.height.into()) as u16;
    let below = Rect::new(area.x, area.bottom() - detail, area.width, detail);
    let top = area.height.min(2);
    let list = Rect::new(
        area.x,
        area.y + top,
        area.width,
        area.height.saturating_sub(top + detail),
    );
    let height = usize::from(list.height.saturating_sub(1));
    let rows: Vec<Row> = super::window(writes, recon.write.top, height)
        .map(|(index, write)| Row {
            cells: vec![
                (write.system.clone(), Role::Dim),
                (format!("{} {}", write.kind, key(model, write)), Role::Title),
                (what(model, write), Role::Text),
                (stands(write), role(write.state)),
                (write.rule.clone(), Role::Dim),
            ],
            selected: index == recon.write.index,
            marked: false,
        })
        .collect();
    table::draw(pen, list, &table::snug(COLUMNS, &rows), &rows);
    pen.scrollbar(
        Rect::new(
            list.x,
            list.y + list.height.min(1),
            list.width,
            list.height.saturating_sub(1),
        ),
        recon.write.top,
        writes.len(),
    );
    if let Some(write) = writes.get(recon.write.index) {
        describe(model, pen, below, write);
    }
}

fn stands(write: &PlanWrite) -> String {
    match &write.reason {
        Some(reason) => format!("{}: {reason}", write.state.word()),
        None => write.state.word().to_owned(),
    }
}

/// The selected write whole, one part a line.
fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, write: &PlanWrite) {
    let width = usize::from(area.width.saturating_sub(2));
    let id = write
        .id
        .as_ref()
        .map(|id| format!(" ({id})"))
        .unwrap_or_default();
    let mut lines = vec![
        (String::new(), Role::Text),
        (
            format!(
                "{} {} in {}{id}",
                write.kind,
                key(model, write),
                write.system
            ),
            Role::Title,
        ),
        (what(model, write), Role::Text),
    ];
    let rule = format!("because {}", write.rule);
    lines.extend(
        widgets::wrap(&rule, width)
            .into_iter()
            .take(2)
            .map(|line| (line, Role::Dim)),
    );
    if write.state != WriteState::Planned {
        let words = stands(write);
        let wrapped = widgets::wrap(&words, width).into_iter().take(2);
        lines.extend(wrapped.map(|line| (line, role(write.state))));
    }
    for (offset, (line, role)) in lines.iter().enumerate().take(area.height.into()) {
        pen.text(
            area.x + 1,
            area.y + offset as u16,
            area.width.saturating_sub(1),
            line,
            *role,
        );
    }
}
