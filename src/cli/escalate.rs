//! `midwatch escalate PATH`: post an incident summary to the path's channel, and say whether it arrived.

use std::time::Duration;

use super::Voice;
use super::context::{Acting, Context, reader};
use super::out;
use crate::config::model::Config;
use crate::control::action::Action;
use crate::ids::DeliveryId;
use crate::queue::model::State;
use crate::store::view::{Breaker, DeliveryRow, Overview};
use crate::time::short;

/// How long a message may take before its sender is told to call someone.
const PATIENCE: Duration = Duration::from_mins(1);

/// Posts an incident summary to the path's escalation channel, through the queue, and waits until it has arrived.
///
/// With --json one object: text, batch (null), delivery, state (of the message's delivery) and why (it has
/// not arrived, or null); without both with --no-wait.
/// Exit code 1 if it died on the way, is held or paused, or has not arrived within a minute.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path; `test` sends a page that says it is one, and times it.
    path: String,
    /// With `test`: to which policy, channel or person; none: that of [watch].
    to: Option<String>,
    /// About this delivery.
    #[arg(long, value_name = "ID")]
    delivery: Option<DeliveryId>,
    /// What the others should know.
    #[arg(long, default_value = "")]
    note: String,
    /// Do not wait until it has arrived.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    consent: out::Consent,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows the message, asks, posts, follows.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let acting = context.acting(&config).await?;
    let begun = std::time::Instant::now();
    let is_test = args.path == "test" && config.path("test").is_none();
    let action = if is_test {
        let to = args.to.clone().or_else(|| config.watch.escalation.clone());
        Action::TestPage {
            to: to.ok_or_else(|| {
                anyhow::anyhow!(
                    "to whom? Name a policy, a channel or a person, or set watch.escalation"
                )
            })?,
        }
    } else {
        Action::Escalate {
            path: args.path.clone(),
            delivery: args.delivery,
            note: args.note.clone(),
        }
    };
    let wait = acting.is_attached() && !args.no_wait;
    let voice = match Voice::of(args.json) {
        Voice::Json if wait => Voice::JsonLater,
        voice => voice,
    };
    let outcome = super::ask_and_do(&acting, action, &args.consent, voice).await;
    let arrival = match &outcome {
        Ok(Some(done)) if wait => match done.delivery {
            Some(id) => Some((done.clone(), arrival(&acting, &config, id).await)),
            None => None,
        },
        _ => None,
    };
    acting.close().await;
    let Some((done, arrival)) = arrival else {
        return super::ended(outcome, &args.consent);
    };
    let (row, why) = arrival?;
    let arrived = row.state == State::Delivered;
    if args.json {
        let mut value = serde_json::to_value(&done)?;
        value["state"] = serde_json::to_value(row.state)?;
        value["why"] = serde_json::to_value((!arrived).then_some(why))?;
        out::json(&value)?;
    } else if arrived {
        let took = begun.elapsed().as_millis();
        out::say(&if is_test {
            format!("it arrived, {took} ms after it was asked for")
        } else {
            "it arrived".to_owned()
        })?;
    } else {
        out::say(&format!(
            "not arrived: {why}\n  the message is {}, {}; call someone another way. `midwatch show {}` says more",
            row.id, row.state, row.id
        ))?;
    }
    Ok(if arrived { super::OK } else { super::FAILED })
}

/// Waits until the message is settled or will not be soon; with why it has not arrived.
async fn arrival(
    acting: &Acting,
    config: &Config,
    id: DeliveryId,
) -> anyhow::Result<(DeliveryRow, String)> {
    let reader = reader(config)?;
    let mut changes = acting.client().changes();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        changes.mark_unchanged();
        let Some(detail) = reader.delivery(id)? else {
            anyhow::bail!("the message's delivery {id} is gone");
        };
        let overview = reader.overview()?;
        if let Some(why) = stuck(&detail.row, &overview) {
            return Ok((detail.row, why));
        }
        if let Ok(changed) = tokio::time::timeout_at(end, changes.changed()).await {
            changed?;
            continue;
        }
        let said = (detail.row.reason.as_deref())
            .map_or_else(String::new, |reason| format!(" ({reason})"));
        let limit = short(PATIENCE);
        let why = format!("nothing came of it within {limit}{said}; it is still tried");
        return Ok((detail.row, why));
    }
}

/// Why a message is waited for no longer; empty once it arrived, none while it may arrive soon.
fn stuck(row: &DeliveryRow, overview: &Overview) -> Option<String> {
    let reason = row.reason.clone().unwrap_or_default();
    if row.state == State::Delivered {
        return Some(String::new());
    }
    if row.state.is_settled() || row.state == State::Held {
        return Some(reason);
    }
    if let Some(host) = &overview.foreign_host {
        return Some(format!(
            "everything is held, this database belongs to {host}; `midwatch adopt-host` first"
        ));
    }
    let path = overview.paths.iter().find(|path| path.name == row.path)?;
    if let Some(pause) = &path.pause {
        let why = match pause.reason.as_str() {
            "" => format!("{} paused it", pause.by),
            reason => reason.to_owned(),
        };
        return Some(format!("the channel is paused because {why}"));
    }
    match &path.breaker {
        Breaker::Open { reason, .. } => {
            Some(format!("the channel's breaker is open because {reason}"))
        }
        // It is being retried: whoever runs this should go and call someone.
        Breaker::Closed | Breaker::HalfOpen { .. } => {
            (row.charged > 1).then(|| format!("{} attempts failed: {reason}", row.charged))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::wire::PeerKind;
    use crate::store::view::Pause;
    use crate::time::Timestamp;

    fn row(state: State, charged: u32) -> DeliveryRow {
        DeliveryRow {
            id: "7-1".parse().unwrap(),
            path: "page/slack:ops".into(),
            state,
            kind: crate::control::ESCALATION.into(),
            source: "midwatch".into(),
            event_id: "7".into(),
            subject: None,
            order_key: None,
            generation: 1,
            charged,
            attempts: charged,
            accepted_at: Timestamp::ZERO,
            due_at: Timestamp::ZERO,
            changed_at: Timestamp::ZERO,
            last_class: None,
            last_status: None,
            reason: Some("no answer".into()),
            fingerprint: None,
        }
    }

    #[tokio::test]
    async fn a_message_that_will_not_arrive_soon_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("midwatch.toml");
        let text = "[site]\nname = \"x\"\ndatabase = \"midwatch.db\"\n[ingest]\nlisten = \"127.0.0.1:0\"\n[systems.shop]\n[channels.slack.ops]\nwebhook = \"env:NO_SUCH\"\n";
        std::fs::write(&file, text).unwrap();
        let config = crate::config::load(&file).unwrap().config;
        let who = crate::control::Who::new(None, PeerKind::Command, false, |_| None);
        let offline = crate::control::Offline::open(config.clone(), who)
            .await
            .unwrap();
        offline.close().await;
        let fresh = reader(&config).unwrap().overview().unwrap();
        let with = |change: &dyn Fn(&mut Overview)| {
            let mut overview = fresh.clone();
            change(&mut overview);
            overview
        };
        let paused = with(&|all| {
            let path = (all.paths.iter_mut()).find(|path| path.name == "page/slack:ops");
            path.unwrap().pause = Some(Pause {
                by_person: false,
                by: "midwatch".into(),
                reason: "its secret cannot be read".into(),
                since: Timestamp::ZERO,
            });
        });
        let foreign = with(&|all| all.foreign_host = Some("elsewhere".into()));
        for (row, overview, why) in [
            (row(State::Ready, 0), &fresh, None),
            (row(State::Running, 1), &fresh, None),
            (row(State::Delivered, 1), &fresh, Some("")),
            (row(State::Dead, 1), &fresh, Some("no answer")),
            (
                row(State::Ready, 2),
                &fresh,
                Some("2 attempts failed: no answer"),
            ),
            (
                row(State::Ready, 0),
                &paused,
                Some("the channel is paused because its secret cannot be read"),
            ),
            (
                row(State::Ready, 0),
                &foreign,
                Some(
                    "everything is held, this database belongs to elsewhere; `midwatch adopt-host` first",
                ),
            ),
        ] {
            assert_eq!(stuck(&row, overview).as_deref(), why, "{row:?}");
        }
    }
}
