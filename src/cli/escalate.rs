//! `midwatch escalate PATH`: post an incident summary to the path's channel, and say whether it arrived.

use super::Voice;
use super::context::{Acting, Context, reader};
use super::out;
use crate::config::model::Config;
use crate::control::action::Action;
use crate::ids::DeliveryId;
use crate::queue::model::State;
use crate::store::view::DeliveryRow;

/// Posts an incident summary to the path's escalation channel, through the queue, and waits until it has arrived.
///
/// With --json one object: text, batch (null), delivery, state (of the message's delivery; null with --no-wait).
/// Exit code 1 if it died on the way.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The path.
    path: String,
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
    let action = Action::Escalate {
        path: args.path.clone(),
        delivery: args.delivery,
        note: args.note.clone(),
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
    let Some((done, row)) = arrival else {
        return super::ended(outcome, &args.consent);
    };
    let row = row?;
    if args.json {
        let mut value = serde_json::to_value(&done)?;
        value["state"] = serde_json::to_value(row.state)?;
        out::json(&value)?;
    } else if row.state == State::Delivered {
        out::say("it arrived")?;
    } else {
        let reason = row.reason.unwrap_or_default();
        out::say(&format!(
            "it did not arrive: {} is {}: {reason}",
            row.id, row.state
        ))?;
    }
    let arrived = row.state == State::Delivered;
    Ok(if arrived { super::OK } else { super::FAILED })
}

/// Waits until the message is settled or will not be soon.
async fn arrival(acting: &Acting, config: &Config, id: DeliveryId) -> anyhow::Result<DeliveryRow> {
    let reader = reader(config)?;
    let mut changes = acting.client().changes();
    loop {
        changes.mark_unchanged();
        let Some(detail) = reader.delivery(id)? else {
            anyhow::bail!("the message's delivery {id} is gone");
        };
        if detail.row.state.is_settled() || detail.row.state == State::Held {
            return Ok(detail.row);
        }
        if detail.row.charged > 1 {
            // It is being retried: whoever runs this should go and call someone.
            return Ok(detail.row);
        }
        changes.changed().await?;
    }
}
