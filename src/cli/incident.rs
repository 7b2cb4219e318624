//! `midwatch incident`, `midwatch ack`, `midwatch now`: what is wrong, who has it, whom it was told to.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::Voice;
use super::context::{Context, reader};
use super::out;
use crate::config::model::Config;
use crate::control::action::Action;
use crate::duty;
use crate::ids::IncidentId;
use crate::incident::{Act, Impact, Incident, PageState, handed, post_mortem};
use crate::store::view::Severity;
use crate::store::{IncidentDetail, Reader};
use crate::time::{Clock, Timestamp, short};
use crate::visible::Visible;
use crate::watch::{self, Rule};

/// Lists the incidents, the newest first; says what one is about, and does something with it.
///
/// An incident gathers what is wrong by its cause. It is firing until somebody takes it (`ack`), and over when nothing of it
/// was wrong for five minutes. What comes back within half an hour is the same incident.
///
/// With --json one object a line, as it is kept.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Only those that are not over.
    #[arg(long)]
    open: bool,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    count: usize,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the same.
    List(ListArgs),
    /// Shows one: what is wrong, what changed before it, who was told, its timeline.
    ///
    /// With --json one object: incident, lines, steps, pages.
    Show {
        /// Its number; none: the worst that is open.
        id: Option<i64>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Takes one: nobody else is told while you have it. It lapses after `watch.lease`, unless you go on working.
    Ack(One),
    /// Is quiet about one for a while, unless it becomes worse.
    Snooze {
        #[command(flatten)]
        one: One,
        /// How long: `2h`, or `08:00`.
        #[arg(long = "for", value_name = "TIME", default_value = "1h")]
        time: String,
    },
    /// Adds a note to one's timeline.
    Note {
        #[command(flatten)]
        one: One,
        /// What.
        #[arg(long)]
        text: String,
    },
    /// Says that what one does is stopped.
    Mitigate(One),
    /// Says that one is over.
    Resolve(One),
    /// Tells the next level of one now.
    Escalate(One),
    /// Offers one to somebody, with what that one should know; taken with `accept`.
    Handover {
        #[command(flatten)]
        one: One,
        /// To whom.
        #[arg(long)]
        to: String,
        /// What to know; none: made of what is wrong and of the last lines of the timeline.
        #[arg(long)]
        summary: Option<String>,
    },
    /// Takes over what is offered.
    Accept(One),
    /// Opens one that no rule found.
    Declare {
        /// What is wrong, in a line.
        title: String,
        /// The path that it is about.
        #[arg(long)]
        path: Option<String>,
        /// Somebody may be woken for it.
        #[arg(long)]
        critical: bool,
        #[command(flatten)]
        how: How,
    },
    /// Writes one as a post-mortem in markdown.
    Export {
        /// Its number.
        id: i64,
        /// Into this new file; none: to the standard output.
        #[arg(long, short = 'o', value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Tells nobody of a rule, or of a path, for a while.
    Silence {
        /// Only this rule (`path_failing`).
        #[arg(long)]
        rule: Option<String>,
        /// Only this path, job or system.
        #[arg(long)]
        subject: Option<String>,
        /// How long: `2h`, or `08:00`.
        #[arg(long = "for", value_name = "TIME")]
        time: String,
        /// Why.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        how: How,
    },
    /// Lists the silences.
    ///
    /// With --json one object a line.
    Silences {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Ends a silence.
    Unsilence {
        /// Its number.
        id: i64,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Debug, clap::Args)]
struct One {
    /// Its number; none: the worst that is open.
    id: Option<i64>,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Takes an incident: nobody else is told while you have it. The worst that is open, if none is named.
///
/// With --json one object: text, batch (null), delivery (null).
#[derive(Debug, clap::Args)]
pub struct AckArgs {
    /// Its number.
    id: Option<i64>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Says in a few lines, for a telephone, what is wrong now: the open incidents, the worst first, and what to do next.
///
/// Exit code 0: nothing is open; 1: warnings; 2: something critical.
#[derive(Debug, clap::Args)]
pub struct NowArgs {}

/// Does what was asked.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let zone = config.site.timezone;
    let now = Clock::System.now();
    let time = |text: &str| {
        duty::until(text, now, zone).ok_or_else(|| {
            anyhow::anyhow!("`{}` is no time: write 2h, or 08:00", Visible::of(text))
        })
    };
    let what = match args.what {
        None => What::List(args.list),
        Some(what) => what,
    };
    let reader = || reader(&config);
    let (one, act) = match what {
        What::List(list) => return listed(&reader()?, &list, &config, now),
        What::Show { id, json } => {
            let detail = detail(&reader()?, id)?;
            if json {
                out::json(&detail)?;
            } else {
                out::say(&whole(&detail, &config, now))?;
            }
            return Ok(super::OK);
        }
        What::Export { id, output } => {
            return export(&reader()?, IncidentId(id), output, &config);
        }
        What::Silences { json } => return silences(&reader()?, json, now),
        What::Declare {
            title,
            path,
            critical,
            how,
        } => {
            let action = Action::Declare {
                title,
                path,
                critical,
            };
            return super::previewed(action, &how.consent, how.json, context).await;
        }
        What::Silence {
            rule,
            subject,
            time: text,
            reason,
            how,
        } => {
            let rule = rule.as_deref().map(rule_of).transpose()?;
            let action = Action::Silence {
                rule,
                subject,
                until: time(&text)?,
                reason,
            };
            return super::previewed(action, &how.consent, how.json, context).await;
        }
        What::Unsilence { id, how } => {
            let action = Action::EndSilence { silence: id };
            return super::previewed(action, &how.consent, how.json, context).await;
        }
        What::Ack(one) => (one, Act::Ack),
        What::Snooze { one, time: text } => (
            one,
            Act::Snooze {
                until: time(&text)?,
            },
        ),
        What::Note { one, text } => (one, Act::Note { text }),
        What::Mitigate(one) => (one, Act::Mitigate),
        What::Resolve(one) => (one, Act::Resolve),
        What::Escalate(one) => (one, Act::Escalate),
        What::Accept(one) => (one, Act::Accept),
        What::Handover { one, to, summary } => {
            let summary = match summary {
                Some(summary) => summary,
                None => handed(&detail(&reader()?, one.id)?),
            };
            (one, Act::HandOver { to, summary })
        }
    };
    let incident = match one.id {
        Some(id) => IncidentId(id),
        None => worst(&reader()?)?.id,
    };
    let action = Action::Incident { incident, act };
    super::previewed(action, &one.how.consent, one.how.json, context).await
}

/// Takes one.
pub async fn ack(args: AckArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let incident = match args.id {
        Some(id) => IncidentId(id),
        None => worst(&reader(&config)?)?.id,
    };
    let act = Act::Ack;
    let acting = context.acting(&config).await?;
    let outcome = acting
        .submit_plain(Action::Incident { incident, act })
        .await;
    acting.close().await;
    let done = outcome?;
    match Voice::of(args.json) {
        Voice::Words => out::say(&done.text)?,
        Voice::Json | Voice::JsonLater => out::json(&done)?,
    }
    Ok(super::OK)
}

/// What is wrong now.
pub fn now(_: &NowArgs, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let reader = reader(&config)?;
    let mut overview = reader.overview()?;
    overview.incidents.sort_by_key(order);
    let worker = watch::worker_state(&overview.worker, overview.at);
    let mut text = watch::summary(&overview, &config);
    if !worker.is_up() {
        text.push_str("\nThe worker is down: nothing is watched, nobody is told.");
    }
    for incident in &overview.incidents {
        let _ = write!(text, "\n{}", short_line(incident, overview.at));
    }
    if let Some(first) = overview.incidents.first() {
        let id = first.id;
        let _ = write!(
            text,
            "\nmidwatch ack {id}   take it\nmidwatch walk {id}  its runbook, step by step"
        );
    }
    out::say(&text)?;
    let worst = overview.incidents.iter().map(|one| one.severity).max();
    Ok(match worst {
        _ if !worker.is_up() => super::CRITICAL,
        Some(Severity::Critical) => super::CRITICAL,
        Some(_) => super::FAILED,
        None => super::OK,
    })
}

fn rule_of(word: &str) -> anyhow::Result<Rule> {
    let found = Rule::ALL.into_iter().find(|rule| rule.word() == word);
    found.ok_or_else(|| {
        let words: Vec<&str> = Rule::ALL.iter().map(|rule| rule.word()).collect();
        anyhow::anyhow!(
            "there is no rule {}; there are: {}",
            Visible::of(word),
            words.join(", ")
        )
    })
}

/// The worst first, then the oldest.
fn order(incident: &Incident) -> (bool, std::cmp::Reverse<Severity>, IncidentId) {
    let over = !incident.is_open();
    (over, std::cmp::Reverse(incident.severity), incident.id)
}

/// The worst incident that is open.
pub(super) fn worst(reader: &Reader) -> anyhow::Result<Incident> {
    let mut open = reader.incidents_since(Timestamp(i64::MAX))?;
    open.sort_by_key(order);
    let first = open.into_iter().next();
    first.ok_or_else(|| anyhow::anyhow!("no incident is open"))
}

pub(super) fn detail(reader: &Reader, id: Option<i64>) -> anyhow::Result<IncidentDetail> {
    let id = match id {
        Some(id) => IncidentId(id),
        None => worst(reader)?.id,
    };
    reader
        .incident(id)?
        .ok_or_else(|| anyhow::anyhow!("there is no incident {id}"))
}

fn severity(incident: &Incident) -> &'static str {
    match incident.severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// `#7 CRITICAL firing 14m: ...`
pub(super) fn short_line(incident: &Incident, now: Timestamp) -> String {
    let age = short(Duration::from_secs(now.since(incident.opened).as_secs()));
    let who = match incident.ack.as_ref().filter(|ack| ack.until > now) {
        Some(ack) => format!(" by {}", ack.by),
        None => String::new(),
    };
    format!(
        "#{} {} {}{who} {age}: {}",
        incident.id,
        severity(incident),
        incident.stage.word(),
        incident.title
    )
}

fn listed(reader: &Reader, args: &ListArgs, config: &Config, now: Timestamp) -> anyhow::Result<u8> {
    let mut all = reader.incidents(args.count.max(if args.open { 500 } else { 0 }))?;
    if args.open {
        all.retain(Incident::is_open);
        all.truncate(args.count);
    }
    if args.json {
        for incident in &all {
            out::json(incident)?;
        }
        return Ok(super::OK);
    }
    if all.is_empty() {
        out::say(if args.open {
            "no incident is open"
        } else {
            "there was no incident yet"
        })?;
        return Ok(super::OK);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|incident| {
            let end = incident.resolved.unwrap_or(now);
            vec![
                format!("#{}", incident.id),
                watch::when(incident.opened, now, config.site.timezone),
                severity(incident).to_owned(),
                incident.stage.word().to_owned(),
                (incident.ack.as_ref()).map_or_else(String::new, |ack| ack.by.clone()),
                short(Duration::from_secs(end.since(incident.opened).as_secs())),
                incident.title.clone(),
            ]
        })
        .collect();
    out::say(&out::table(&rows))?;
    out::say(&means(&all))?;
    Ok(super::OK)
}

/// How long it takes until somebody has an incident, and until it is over: means of those listed.
fn means(all: &[Incident]) -> String {
    let mean = |times: Vec<u64>| match times.len() {
        0 => "unknown".to_owned(),
        n => short(Duration::from_secs(times.iter().sum::<u64>() / n as u64)),
    };
    let took = all
        .iter()
        .filter_map(|one| Some(one.first_ack?.since(one.opened).as_secs()));
    let over = all
        .iter()
        .filter_map(|one| Some(one.resolved?.since(one.opened).as_secs()));
    format!(
        "mean time to acknowledge {}, to resolve {}",
        mean(took.collect()),
        mean(over.collect())
    )
}

fn whole(detail: &IncidentDetail, config: &Config, now: Timestamp) -> String {
    let incident = &detail.incident;
    let zone = config.site.timezone;
    let at = |at: Timestamp| watch::when(at, now, zone);
    let mut text = short_line(incident, now);
    for signal in &incident.signals {
        let over = match signal.calm {
            Some(calm) => format!(" (not any more since {})", at(calm)),
            None => String::new(),
        };
        let _ = write!(text, "\n  {}: {}{over}", signal.rule, signal.words);
    }
    if !incident.changed.is_empty() {
        text.push_str("\nbefore it");
        for change in &incident.changed {
            let _ = write!(text, "\n  {change}");
        }
    }
    if let Some(runbook) = &incident.runbook {
        let name = crate::runbook::stem(runbook.as_ref());
        let _ = write!(text, "\nrunbook {name}: `midwatch walk {}`", incident.id);
    }
    if let Some(policy) = &incident.policy {
        let _ = write!(text, "\nescalates to {policy}");
    } else {
        text.push_str("\nescalates to nobody: set `escalation` on its path, or in [watch]");
    }
    if incident.is_snoozed(now) {
        let _ = write!(
            text,
            "\nquiet until {}",
            at(incident.snoozed.unwrap_or(now))
        );
    }
    if let Some(offer) = &incident.offer {
        let _ = write!(
            text,
            "\noffered by {} to {}: {}",
            offer.by, offer.to, offer.summary
        );
    }
    for page in &detail.pages {
        let state = match page.state {
            PageState::Arrived => "arrived".to_owned(),
            PageState::Failed => "FAILED".to_owned(),
            PageState::Sending => match &page.why {
                Some(why) => format!("not yet: {}", Visible::of(why)),
                None => "on its way".to_owned(),
            },
        };
        let _ = write!(
            text,
            "\n  page {} {} to {} over {}: {state}",
            at(page.at),
            page.occasion,
            page.who,
            page.channel
        );
    }
    text.push_str("\ntimeline");
    for line in &detail.lines {
        let who = if line.actor.is_empty() {
            "midwatch"
        } else {
            &line.actor
        };
        let _ = write!(
            text,
            "\n  {} {} {who}: {}",
            at(line.at),
            line.kind,
            line.text
        );
    }
    text
}

fn export(
    reader: &Reader,
    id: IncidentId,
    output: Option<PathBuf>,
    config: &Config,
) -> anyhow::Result<u8> {
    let detail = detail(reader, Some(id.0))?;
    let overview = reader.overview()?;
    let incident = &detail.incident;
    let row = (incident.path.as_deref())
        .and_then(|path| overview.paths.iter().find(|row| row.name == path));
    let impact = row.map(|row| {
        let end = incident.resolved.unwrap_or(overview.at);
        let during = |at: Timestamp| at >= incident.opened - Duration::from_secs(60) && at <= end;
        let slots = || row.minutes.iter().filter(|slot| during(slot.at));
        Impact {
            accepted: slots().map(|slot| slot.accepted).sum(),
            delivered: slots().map(|slot| slot.delivered).sum(),
            dead: row.counts.dead,
            waiting: row.counts.backlog(),
        }
    });
    let text = post_mortem(&detail, impact, config);
    match output {
        None => out::say(text.trim_end())?,
        Some(file) => {
            use std::io::Write as _;
            let shown = Visible::of(&file.to_string_lossy()).into_string();
            let made = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .open(&file);
            made.and_then(|mut made| made.write_all(text.as_bytes()))
                .map_err(|error| anyhow::anyhow!("cannot write {shown}: {error}"))?;
            out::say(&format!("incident {id} is written to {shown}"))?;
        }
    }
    Ok(super::OK)
}

fn silences(reader: &Reader, json: bool, now: Timestamp) -> anyhow::Result<u8> {
    let all = reader.silences()?;
    if json {
        for one in &all {
            out::json(one)?;
        }
        return Ok(super::OK);
    }
    if all.is_empty() {
        out::say("nothing is silenced")?;
    }
    for one in &all {
        out::say(&format!(
            "{}  {} {}  {} left  {}: {}",
            one.id,
            one.rule.map_or("any rule", Rule::word),
            one.subject
                .as_deref()
                .map_or_else(String::new, |subject| Visible::of(subject).into_string()),
            short(one.until.since(now)),
            one.actor,
            one.reason
        ))?;
    }
    Ok(super::OK)
}
