//! `midwatch status`: what is wrong now, for people, scripts and monitoring.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::context::{Context, reader};
use super::out;
use crate::config::model::{Config, System};
use crate::http::oauth::health::{self, Health};
use crate::queue::filter::Filter;
use crate::store::view::{NoteFilter, NoteRow, Overview, PathRow, Severity, Shadowed};
use crate::store::{ReadError, Reader};
use crate::time::{Timestamp, short};
use crate::watch::{Trouble, path_state, worker_state, wrong_now};

/// For how long what was noticed is named.
const LATELY: Duration = Duration::from_secs(86_400);
/// So many of it are named.
const MOST_NOTICED: usize = 5;
/// So many are looked at for those that matter.
const MOST_LOOKED_AT: usize = 200;

/// Says how things stand: exit code 0 all is well, 1 a warning, 2 critical, 3 it cannot be read.
///
/// With --json one object: severity (ok, warning, critical), wrong (severity, about, words, path, job, runbook), shadowed
/// (path, count, oldest, newest, would: words and how many), needs (path, count, and of the oldest: system, kind, since,
/// until), noticed (of the last 24 h, as `midwatch notes` tells them, 5 at most), tokens (system, level: ok, warn, bad; is_known, words, valid_until, refresh_known, last_error), and overview:
/// at, paths (id, name, removed, counts, oldest_due, oldest_open, blocked, retrying, last_accepted, last_delivered,
/// shadow, live_at, shadow_since, needing, needing_since, pause, breaker, minutes, recent, latency, attempt_time), unrouted, held_events, events, worker, batches, runs, senders (system, called,
/// checked, state, address, hook, error), polls (system, kind, mark, run, seen, error), backfills (as `midwatch backfill`
/// tells them: what is open, and the last of each system and record type), log, foreign_host,
/// trouble, unreadable, config (its hash, 16 hex digits); times in milliseconds since 1970, durations in milliseconds.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    severity: &'static str,
    wrong: &'a [Trouble],
    shadowed: &'a [Recorded],
    needs: &'a [Needing],
    noticed: &'a [NoteRow],
    tokens: &'a [Health],
    overview: &'a Overview,
}

/// What a path in shadow mode recorded.
#[derive(Serialize)]
struct Recorded {
    path: String,
    #[serde(flatten)]
    shadowed: Shadowed,
}

/// How many of a path wait for another record's id, and what the oldest of them waits for; not its key, which may be an
/// address.
#[derive(Serialize)]
struct Needing {
    path: String,
    count: u64,
    system: String,
    kind: String,
    since: Timestamp,
    until: Timestamp,
}

/// Reads and judges.
pub fn run(args: &Args, context: &Context) -> u8 {
    judge(args, context).unwrap_or_else(|error| {
        if super::is_closed_pipe(&error) {
            return super::OK;
        }
        super::complain(&error);
        super::UNREADABLE
    })
}

fn judge(args: &Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let overview = reader.overview()?;
    let tokens = health::all(&config, overview.at);
    let wrong = wrong_now(&overview, &tokens, &config);
    let (shadowed, needs) = (recorded(&reader, &overview)?, needing(&reader, &overview)?);
    let noticed = noticed(&reader, overview.at)?;
    let worst = wrong.iter().map(|trouble| trouble.severity).max();
    let (severity, code) = match worst {
        Some(Severity::Critical) => ("critical", super::CRITICAL),
        Some(Severity::Warning) => ("warning", super::FAILED),
        Some(Severity::Info) | None => ("ok", super::OK),
    };
    if args.json {
        out::json(&Shown {
            severity,
            wrong: &wrong,
            shadowed: &shadowed,
            needs: &needs,
            noticed: &noticed,
            tokens: &tokens,
            overview: &overview,
        })?;
    } else {
        let mut text = words(severity, &wrong, &overview, &config);
        let more = [
            modes(&shadowed, &needs, overview.at),
            systems(&overview, &config, &tokens),
            remarks(&noticed, overview.at),
        ];
        for rows in more.iter().filter(|rows| !rows.is_empty()) {
            let _ = write!(text, "\n\n{}", out::table(rows));
        }
        out::say(&text)?;
    }
    Ok(code)
}

fn recorded(reader: &Reader, overview: &Overview) -> Result<Vec<Recorded>, ReadError> {
    let shadow = overview.paths.iter().filter(|path| path.shadow);
    let recorded = |path: &PathRow| {
        Ok(Recorded {
            path: path.name.clone(),
            shadowed: reader.shadowed(&path.name)?,
        })
    };
    shadow.map(recorded).collect()
}

/// What was noticed about the systems lately and may break something, the last first.
fn noticed(reader: &Reader, now: Timestamp) -> Result<Vec<NoteRow>, ReadError> {
    let filter = NoteFilter {
        since: now - LATELY,
        ..NoteFilter::default()
    };
    let mut rows = reader.notes(&filter, MOST_LOOKED_AT)?;
    rows.retain(|row| row.kind.severity() >= Severity::Warning);
    rows.truncate(MOST_NOTICED);
    Ok(rows)
}

/// Notes in words.
fn remarks(noticed: &[NoteRow], now: Timestamp) -> Vec<Vec<String>> {
    let line = |note: &NoteRow| {
        vec![
            note.system.clone(),
            format!("noticed {} ago", short(now.since(note.last))),
            note.text.clone(),
        ]
    };
    noticed.iter().map(line).collect()
}

fn needing(reader: &Reader, overview: &Overview) -> Result<Vec<Needing>, ReadError> {
    let mut all = Vec::new();
    for path in overview.paths.iter().filter(|path| path.needing > 0) {
        let filter = Filter {
            paths: vec![path.name.clone()],
            ..Filter::default()
        };
        // The oldest comes first; none where it was just let go.
        let oldest = reader.needs(&filter, 1)?.into_iter().next();
        all.extend(oldest.map(|need| Needing {
            path: path.name.clone(),
            count: path.needing,
            system: need.system,
            kind: need.kind,
            since: need.since,
            until: need.until,
        }));
    }
    Ok(all)
}

/// Paths that do not send what comes: in shadow, or waiting for another record.
fn modes(shadowed: &[Recorded], needs: &[Needing], now: Timestamp) -> Vec<Vec<String>> {
    let ago = |at: Timestamp| format!("{} ago", short(now.since(at)));
    let shadow = shadowed.iter().map(|one| {
        let since = one.shadowed.oldest.map_or(String::new(), |oldest| {
            format!(", the first {}", ago(oldest))
        });
        vec![
            one.path.clone(),
            format!(
                "in shadow: {} recorded{since}, none sent",
                one.shadowed.count
            ),
        ]
    });
    let needing = needs.iter().map(|need| {
        vec![
            need.path.clone(),
            format!(
                "{} wait for another record, the oldest for {}, for a {} in {}; held for review in {}",
                need.count,
                short(now.since(need.since)),
                need.kind,
                need.system,
                short(need.until.since(now))
            ),
        ]
    });
    shadow.chain(needing).collect()
}

/// What comes from the systems, and how long they let us in.
fn systems(overview: &Overview, config: &Config, tokens: &[Health]) -> Vec<Vec<String>> {
    let ago = |at: Timestamp| format!("{} ago", short(overview.at.since(at)));
    let row =
        |system: &str, what: &str, words: String| vec![system.to_owned(), what.to_owned(), words];
    let mut rows = Vec::new();
    for (name, system) in &config.systems {
        let sender = overview.senders.iter().find(|row| row.system == *name);
        if system.hooks.is_some() {
            let called = sender.and_then(|row| row.called);
            let mut words = called.map_or("never called".to_owned(), |at| {
                format!("last called {}", ago(at))
            });
            let state =
                sender.and_then(|row| Some((row.state.as_deref()?, row.address.as_deref())));
            if let Some((state, address)) = state {
                let _ = write!(words, "; its webhook is {state}");
                if let Some(address) = address {
                    let _ = write!(words, ", to {address}");
                }
            }
            if let Some(error) = sender.and_then(|row| row.error.as_deref()) {
                let _ = write!(words, "; could not be asked: {error}");
            }
            rows.push(row(name, "webhook", words));
            rows.extend(missed(overview, system).map(|words| row(name, "missed", words)));
        }
        for (kind, every) in &system.poll {
            let found =
                (overview.polls.iter()).find(|row| row.system == *name && row.kind == *kind);
            let words = found.map_or("not asked yet".to_owned(), |poll| {
                let run = format!(
                    "asked for {kind} {}, every {}; complete up to {}",
                    ago(poll.run),
                    short(*every),
                    ago(poll.mark)
                );
                match &poll.error {
                    Some(error) => format!("{run}; failed: {error}"),
                    None => run,
                }
            });
            rows.push(row(name, "poll", words));
        }
        for health in tokens.iter().filter(|health| health.system == *name) {
            rows.push(row(name, "tokens", health.words.clone()));
        }
    }
    rows
}

/// When a system was last asked for what it did not tell, and how far back it can be.
fn missed(overview: &Overview, system: &System) -> Option<String> {
    let ago = |at: Timestamp| format!("{} ago", short(overview.at.since(at)));
    let missed = system.backfill()?;
    let last = (overview.backfills.iter())
        .rfind(|row| row.system == system.name)
        .map(|row| match row.ended {
            Some(ended) => format!(
                "asked {} for what it did not tell since {}: {} new",
                ago(ended),
                ago(row.since),
                row.new
            ),
            None => format!(
                "being asked for what it did not tell since {}",
                ago(row.since)
            ),
        });
    let keeps = (missed.horizon).map_or("its vendor has no known horizon".to_owned(), |horizon| {
        format!("its vendor lists {} back", short(horizon))
    });
    Some(match last {
        Some(last) => format!("{last}; {keeps}"),
        None => format!("never asked; {keeps}"),
    })
}

fn words(severity: &str, wrong: &[Trouble], overview: &Overview, config: &Config) -> String {
    let worker = worker_state(&overview.worker, overview.at);
    let mut text = severity.to_owned();
    let waiting: u64 = overview
        .paths
        .iter()
        .map(|path| path.counts.backlog())
        .sum();
    let dead: u64 = overview.paths.iter().map(|path| path.counts.dead).sum();
    let _ = write!(
        text,
        ": {waiting} wait, {dead} dead, {} events accepted",
        overview.events
    );
    for trouble in wrong {
        let _ = write!(text, "\n  {}", trouble.words);
    }
    let rows: Vec<Vec<String>> = (overview.paths.iter())
        .filter(|path| path.counts != crate::store::view::Counts::default() || !path.removed)
        .map(|path| {
            vec![
                path.name.clone(),
                format!("{} wait", path.counts.backlog()),
                format!("{} dead", path.counts.dead),
                path.failure_percent().map_or_else(
                    || match path.recent.attempts {
                        0 => "no attempts in 5m".into(),
                        _ => "throttled".into(),
                    },
                    |percent| format!("{percent:.0} % fail"),
                ),
                path.oldest_due
                    .map(|due| overview.at.since(due))
                    .filter(|age| *age >= Duration::from_secs(1))
                    .map_or_else(String::new, |age| format!("due for {}", short(age))),
                path_state(
                    path,
                    config.path(&path.name),
                    worker,
                    overview.at,
                    config.site.timezone,
                )
                .word()
                .to_owned(),
            ]
        })
        .collect();
    let _ = write!(text, "\n{}", out::table(&rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::oauth::health::Level;
    use crate::store::view::{NoteKind, PollRow, SenderRow};

    const NOW: Timestamp = Timestamp(1_795_464_000_000);

    fn before(seconds: u64) -> Timestamp {
        NOW - Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_noticed_is_named_with_its_system_and_its_age() {
        let note = NoteRow {
            path: Some("orders".into()),
            system: "crm".into(),
            kind: NoteKind::Sunset,
            what: "POST".into(),
            text: "POST ceases to answer on 2027-01-31".into(),
            first: before(9_000),
            last: before(120),
            count: 3,
            delivery: None,
        };
        assert_eq!(
            remarks(&[note], NOW),
            [[
                "crm",
                "noticed 2m ago",
                "POST ceases to answer on 2027-01-31"
            ]]
        );
        assert!(remarks(&[], NOW).is_empty());
    }

    #[test]
    fn who_sends_is_polled_or_handed_tokens_out_is_told_and_nobody_else() {
        let text = r#"
            [systems.shop]
            url = "https://shop.example"
            hooks = { recipe = "woocommerce", secrets = ["env:X"] }
            [systems.bank]
            hooks = { recipe = "stripe", secrets = ["env:X"] }
            [systems.other]
        "#;
        let file = std::path::Path::new("/srv/midwatch.toml");
        let mut config = match crate::config::parse(text, file) {
            Ok(loaded) => loaded.config,
            Err(wrong) => panic!("{}", crate::config::report::render(&wrong)),
        };
        let polled = config.systems.get_mut("other").unwrap();
        polled.poll = vec![("order".to_owned(), Duration::from_secs(300))];
        let overview = Overview {
            at: NOW,
            senders: vec![SenderRow {
                system: "shop".to_owned(),
                called: Some(before(120)),
                state: Some("disabled".to_owned()),
                address: Some("https://x.example/hooks/shop".to_owned()),
                ..SenderRow::default()
            }],
            polls: vec![PollRow {
                system: "other".to_owned(),
                kind: "order".to_owned(),
                mark: before(3600),
                run: before(60),
                seen: 3,
                error: Some("it answered 500".to_owned()),
            }],
            ..Overview::default()
        };
        let health = Health {
            system: "other".to_owned(),
            level: Level::Warn,
            is_known: true,
            words: "good for 1d, and cannot be renewed".to_owned(),
            valid_until: None,
            refresh_known: false,
            last_error: None,
        };
        let rows = systems(&overview, &config, std::slice::from_ref(&health));
        let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(
            rows,
            [
                "bank|webhook|never called",
                "other|poll|asked for order 1m ago, every 5m; complete up to 1h ago; failed: it answered 500",
                "other|tokens|good for 1d, and cannot be renewed",
                "shop|webhook|last called 2m ago; its webhook is disabled, to https://x.example/hooks/shop",
            ]
        );
    }

    #[test]
    fn what_is_not_sent_is_told_with_its_age_and_no_key() {
        let shadowed = Recorded {
            path: "deals".to_owned(),
            shadowed: Shadowed {
                count: 12,
                oldest: Some(before(7200)),
                ..Shadowed::default()
            },
        };
        let need = Needing {
            path: "orders".to_owned(),
            count: 4,
            system: "crm".to_owned(),
            kind: "contact".to_owned(),
            since: before(60),
            until: NOW + Duration::from_secs(3600),
        };
        let rows = modes(&[shadowed], &[need], NOW);
        let rows: Vec<String> = rows.iter().map(|row| row.join("|")).collect();
        assert_eq!(
            rows,
            [
                "deals|in shadow: 12 recorded, the first 2h ago, none sent",
                "orders|4 wait for another record, the oldest for 1m, for a contact in crm; held for review in 1h",
            ]
        );
    }
}
