//! Screen 6: reconciliation jobs, their drift against their limits, what is under way and what waits for somebody.

use ratatui::layout::Rect;

use super::super::model::Model;
use super::super::spark;
use super::super::theme::Role;
use super::super::widgets::table::{self, Column, Row, fixed, flex, number};
use super::super::widgets::{self, Pen};
use super::replays::progress;
use crate::config::model::{Backlog, Check, Job, Timing};
use crate::store::view::{PlanState, RunRow, Severity, SideRow};
use crate::time::short;
use crate::watch;

const COLUMNS: &[Column] = &[
    flex("job", 9, 24, 99),
    fixed("state", 11, 98),
    flex("last run", 8, 16, 85),
    flex("compared", 11, 16, 40),
    flex("missing", 10, 34, 70),
    number("differ", 6, 75),
    number("drift", 6, 95),
    flex("plan", 8, 20, 80),
    flex("against the limits", 12, 24, 50),
    flex("runs, newest last", 12, 40, 30),
];
const BAR: usize = 8;
const RUNS: usize = 9;

/// Lines below the table that describe the selected job.
const DETAIL: usize = 13;
/// Lines of the chart below them, where there is room.
const CHART: usize = 8;

fn detail_rows(height: usize) -> usize {
    match height {
        0..16 => 0,
        16..22 => 9,
        22..36 => DETAIL,
        _ => DETAIL + CHART + 2,
    }
}

/// Lines of the body that are not rows of the table.
pub(super) fn above(model: &Model) -> usize {
    1 + detail_rows(usize::from(model.size.1))
}

/// How a job is, in glyph, word and role.
pub(super) fn state(model: &Model, run: Option<&RunRow>) -> (&'static str, &'static str, Role) {
    let (unicode, ascii, word, role) = match run {
        None => ("○", "o", "not yet", Role::Dim),
        Some(run) if run.ended.is_none() => ("▶", ">", "running", Role::Busy),
        Some(run) if run.error.is_some() => ("✖", "X", "failed", Role::Bad),
        Some(run) => match run.level {
            None => ("?", "?", "unknown", Role::Warn),
            Some(Severity::Critical) => ("✖", "X", "critical", Role::Bad),
            Some(Severity::Warning) => ("▲", "!", "drifting", Role::Warn),
            Some(Severity::Info) if run.drift.is_some_and(|drift| drift > 0.0) => {
                ("●", "*", "in limits", Role::Good)
            }
            Some(Severity::Info) => ("●", "*", "ok", Role::Good),
        },
    };
    (model.theme.glyph(unicode, ascii), word, role)
}

/// Draws the jobs.
pub(super) fn draw(model: &Model, pen: &mut Pen<'_>, area: Rect) {
    let jobs = &model.config.reconcile;
    if jobs.is_empty() {
        let text = "no reconciliation job is configured: see [reconcile] in midwatch.toml";
        for (offset, line) in widgets::wrap(text, usize::from(area.width.saturating_sub(2)))
            .iter()
            .enumerate()
            .take(area.height.into())
        {
            pen.text(
                area.x + 1,
                area.y + offset as u16,
                area.width,
                line,
                Role::Dim,
            );
        }
        return;
    }
    let detail = detail_rows(usize::from(model.size.1)).min(area.height.into()) as u16;
    let list = Rect::new(area.x, area.y, area.width, area.height - detail);
    let inner = list.width.saturating_sub(2).max(1);
    let height = usize::from(list.height.saturating_sub(1));
    let rows = |bar: u16, runs: u16| -> Vec<Row> {
        let shown = super::window(jobs, model.job.top, height);
        let row = |(index, job)| Row {
            cells: cells(model, job, bar.into(), runs.into()),
            selected: index == model.job.index,
            marked: false,
        };
        shown.map(row).collect()
    };
    // Bars are as wide as their columns, which are as wide as all the rest lets them be.
    let columns = table::snug(COLUMNS, &rows(COLUMNS[BAR].most, COLUMNS[RUNS].most));
    let bar = table::width_of(&columns, inner, BAR);
    let runs = table::width_of(&columns, inner, RUNS);
    table::draw(pen, list, &columns, &rows(bar, runs));
    if detail > 0
        && let Some(job) = jobs.get(model.job.index)
    {
        let below = Rect::new(area.x, list.bottom(), area.width, detail);
        describe(model, pen, below, job);
    }
}

fn runs_of<'a>(model: &'a Model, job: &Job) -> impl Iterator<Item = &'a RunRow> {
    let name = job.name.clone();
    model.runs.iter().filter(move |run| run.job == name)
}

/// The newest run of a job, and the one whose figures are shown: the last that ended, while another is under way.
fn newest<'a>(model: &'a Model, job: &Job) -> Option<[&'a RunRow; 2]> {
    let newest = runs_of(model, job).next()?;
    let ended = runs_of(model, job).find(|run| run.ended.is_some());
    Some([newest, ended.unwrap_or(newest)])
}

/// The drift of the last runs, newest last; a run that could compare nothing is a gap.
fn drift_line(model: &Model, job: &Job, width: usize) -> String {
    let mut drifts: Vec<Option<u64>> = runs_of(model, job)
        .map(|run| run.drift)
        .take(width.max(1))
        .map(|drift| drift.map(|drift| (drift * 1e6) as u64))
        .collect();
    drifts.reverse();
    spark::spark(&drifts, width, None, model.theme.ascii)
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn cells(model: &Model, job: &Job, bar: usize, width: usize) -> Vec<(String, Role)> {
    let runs = newest(model, job);
    let (glyph, word, role) = state(model, runs.map(|[newest, _]| newest));
    let run = runs.map(|[_, figures]| figures);
    let (_, _, found) = state(model, run);
    let number = |f: fn(&RunRow) -> u64| {
        (
            run.map_or_else(String::new, |run| widgets::count(f(run))),
            Role::Text,
        )
    };
    let drift = run.and_then(|run| run.drift);
    let shares = job.shares();
    vec![
        (job.name.clone(), Role::Title),
        (format!("{glyph} {word}"), role),
        (
            run.map_or_else(
                || "never".to_owned(),
                |run| watch::when(run.started, model.now, model.config.site.timezone),
            ),
            Role::Dim,
        ),
        (run.map_or_else(String::new, compared), Role::Text),
        (
            run.map_or_else(String::new, |run| missing(job, run)),
            Role::Text,
        ),
        number(|run| run.differing),
        (drift.map_or_else(|| "?".to_owned(), percent), found),
        plan(model, job),
        (
            (drift.zip(shares)).map_or_else(String::new, |(drift, shares)| {
                let full = full(shares);
                let limits = shares.map(|limit| limit / full);
                gauge(drift / full, limits, bar, model.theme.ascii)
            }),
            found,
        ),
        (drift_line(model, job, width), Role::Busy),
    ]
}

/// The newest plan of a job, in a word or two.
fn plan(model: &Model, job: &Job) -> (String, Role) {
    match model.recon.plan_of(&job.name) {
        None => (String::new(), Role::Dim),
        Some(plan) if plan.state == PlanState::Proposed => {
            let writes: u64 = plan.writes.iter().sum();
            let waits = widgets::count(writes);
            (format!("{}: {waits} wait", plan.id), Role::Warn)
        }
        Some(plan) => {
            let (_, role) = super::plan::standing(model, plan);
            (format!("{} {}", plan.id, plan.state.word()), role)
        }
    }
}

/// The drift at which the bar is full: twice the critical one, so that both thresholds have a place on it.
fn full([_, critical]: [f64; 2]) -> f64 {
    (critical * 2.0).max(1e-9)
}

fn compared(run: &RunRow) -> String {
    let all = run.compared + run.only_first + run.only_second;
    format!(
        "{} of {}",
        widgets::count(run.compared),
        widgets::count(all)
    )
}

/// When the job runs next, in words; nothing where it runs now or has not yet.
fn next(model: &Model, job: &Job, run: Option<&RunRow>) -> String {
    let zone = model.config.site.timezone;
    let Some(run) = run.filter(|run| run.ended.is_some()) else {
        return String::new();
    };
    let at = match &job.timing {
        Timing::Every(every) => Some(run.started + *every),
        Timing::Cron(cron) => cron.next(model.now, zone),
    };
    at.map_or_else(String::new, |at| {
        format!(" (next {})", watch::when(at, model.now, zone))
    })
}

/// What is missing where, by the systems' names.
pub(super) fn missing(job: &Job, run: &RunRow) -> String {
    let sides = [(1, run.only_first), (0, run.only_second)];
    let parts: Vec<String> = sides
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(side, count)| format!("in {} {}", job.called()[side], widgets::count(count)))
        .collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// A bar with the limits marked on it, all as shares of its length.
fn gauge(share: f64, limits: [f64; 2], width: usize, ascii: bool) -> String {
    let mark = if ascii { '|' } else { '│' };
    let mut cells: Vec<char> = progress(share, width, ascii).chars().collect();
    for limit in limits {
        let at = (limit.clamp(0.0, 1.0) * width as f64).round() as usize;
        if let Some(cell) = cells.get_mut(at.min(width.saturating_sub(1))) {
            *cell = mark;
        }
    }
    cells.into_iter().collect()
}

/// What is compared, when and within which limits: of two systems, or of the queue.
fn about(model: &Model, job: &Job) -> (Vec<(String, Role)>, String) {
    let [first, second] = job.called();
    let next = next(model, job, runs_of(model, job).next());
    let (what, limits) = match &job.check {
        Check::Records(records) => (
            format!("{second} against {first}"),
            format!(
                "warn {}, critical {}; grace {}; repair {}",
                records.thresholds.warn,
                records.thresholds.critical,
                short(records.grace),
                records.repair.word()
            ),
        ),
        Check::Backlog(of) if of.paths.is_empty() => ("the queue".to_owned(), backlog(of)),
        Check::Backlog(of) => (format!("the queue of {}", of.paths.join(", ")), backlog(of)),
    };
    let title = vec![
        (format!(" {} ", job.name), Role::Title),
        (format!("{what}, {}{next}", job.timing), Role::Dim),
    ];
    (title, format!("limits: {limits}; owner {}", job.owner))
}

/// The limits of a job that watches queues, each as what warns and what is critical.
fn backlog(of: &Backlog) -> String {
    let count = |word: &str, pair: Option<(u64, u64)>| {
        pair.map(|(warn, critical)| format!("{word} {warn}/{critical}"))
    };
    let age = of
        .oldest_dead
        .map(|(warn, critical)| format!("oldest dead {}/{}", short(warn), short(critical)));
    let replayed = of
        .replayed
        .map(|(warn, critical)| format!("replayed {}/{}", percent(warn), percent(critical)));
    let parts = [count("dead", of.dead), count("due", of.due), age, replayed];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}

/// The selected job, what matters most first: less room cuts at the end.
fn describe(model: &Model, pen: &mut Pen<'_>, area: Rect, job: &Job) {
    let width = usize::from(area.width.saturating_sub(2));
    let (title, limits) = about(model, job);
    let mut lines: Vec<Vec<(String, Role)>> = vec![Vec::new(), title];
    let mut tell = |text: &str, role: Role| {
        let wrapped = widgets::wrap(text, width).into_iter().take(2);
        lines.extend(wrapped.map(|line| vec![(format!(" {line}"), role)]));
    };
    tell(&limits, Role::Dim);
    let Some([newest, run]) = newest(model, job) else {
        tell("it has not run yet; r runs it now", Role::Text);
        draw_lines(pen, area, &lines);
        return;
    };
    if newest.ended.is_none() {
        let sides: Vec<SideRow> = (model.recon.sides.iter())
            .filter(|side| side.run == newest.id)
            .cloned()
            .collect();
        let words = watch::progress(newest, &sides, model.now);
        let why = super::runs::why(newest);
        tell(&format!("under way, {why}: {words}"), Role::Busy);
    }
    if let Some(error) = &run.error {
        tell(error, Role::Bad);
    }
    if let Some(plan) = model.recon.plan_of(&job.name) {
        let (words, role) = super::plan::standing(model, plan);
        let key = match plan.state {
            PlanState::Proposed => " (p)",
            _ => "",
        };
        tell(&format!("plan {}: {words}{key}", plan.id), role);
    }
    if run.ended.is_some() {
        let (words, role) = found(model, job, run);
        tell(&words, role);
    }
    if let Some(note) = &run.note {
        tell(note, Role::Warn);
    }
    if !run.complete && run.ended.is_some() {
        let words = "a listing was not whole: nothing is called missing by it";
        tell(words, Role::Warn);
    }
    lines.extend(drawn(model, job, run, width));
    if usize::from(area.height) > DETAIL {
        lines.resize(DETAIL + 1, Vec::new());
        let runs: Vec<&RunRow> = runs_of(model, job)
            .filter(|run| run.ended.is_some())
            .collect();
        let shares = job.shares();
        let chart = super::drift::chart(&runs, shares, (width, CHART), model.theme.ascii);
        lines.extend(chart);
    }
    draw_lines(pen, area, &lines);
}

fn draw_lines(pen: &mut Pen<'_>, area: Rect, lines: &[Vec<(String, Role)>]) {
    for (offset, pieces) in lines.iter().enumerate().take(area.height.into()) {
        pen.pieces(area.x, area.y + offset as u16, area.width, pieces);
    }
}

/// What the run found, in words.
fn found(model: &Model, job: &Job, run: &RunRow) -> (String, Role) {
    let zone = model.config.site.timezone;
    let mut text = format!(
        "{}, {}: ",
        watch::when(run.started, model.now, zone),
        super::runs::why(run)
    );
    let mut parts = Vec::new();
    if job.records().is_some() {
        parts.push(format!("missing {}", missing(job, run)));
        parts.push(format!("{} differ", widgets::count(run.differing)));
        parts.push(format!("compared {}", compared(run)));
    } else {
        let paths = widgets::count(run.differing);
        parts.push(format!("{paths} paths beyond a limit"));
    }
    if !run.money.is_empty() {
        parts.push(format!("{} apart", super::runs::money(run)));
    }
    for (count, words) in [
        (run.skipped, "in grace"),
        (run.in_flight, "in flight"),
        (run.vanished, "gone at the second look"),
    ] {
        if count > 0 {
            parts.push(format!("{} {words}", widgets::count(count)));
        }
    }
    text.push_str(&parts.join("; "));
    (text, Role::Text)
}

/// The drift against its limits, and how it went.
fn drawn(model: &Model, job: &Job, run: &RunRow, width: usize) -> Vec<Vec<(String, Role)>> {
    let room = width.saturating_sub(38).min(60);
    let Some(drift) = run.drift.filter(|_| room >= 10) else {
        return Vec::new();
    };
    let ascii = model.theme.ascii;
    let (_, _, role) = state(model, Some(run));
    let mut now = vec![(format!(" drift {:>6} ", percent(drift)), role)];
    if let Some(shares) = job.shares() {
        let full = full(shares);
        let limits = shares.map(|limit| limit / full);
        now.push((gauge(drift / full, limits, room, ascii), role));
        now.push((format!(" of {}", percent(full)), Role::Dim));
    }
    let runs = vec![
        (" runs, newest last ".to_owned(), Role::Dim),
        (drift_line(model, job, room), Role::Busy),
        ("  (v: each of them)".to_owned(), Role::Dim),
    ];
    vec![now, runs]
}
