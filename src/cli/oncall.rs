//! `midwatch oncall`: who is on call, and taking it over.

use super::context::{Context, reader};
use super::out;
use crate::control::action::Action;
use crate::control::wire::PeerKind;
use crate::duty;
use crate::time::Clock;
use crate::visible::Visible;
use crate::watch;

/// Says who is on call by each rota, until when, and how that one is reached.
///
/// With --json one object a line: rota, person, until (milliseconds since 1970), channels.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Takes a rota over for a while.
    Take {
        /// Which; none: the only one there is.
        rota: Option<String>,
        /// Until when: `08:00`, `2h`, or a time with its offset.
        #[arg(long, value_name = "TIME")]
        until: String,
        /// Who; none: you.
        #[arg(long = "for", value_name = "PERSON")]
        person: Option<String>,
        #[command(flatten)]
        consent: out::Consent,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Says, or takes over.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let now = Clock::System.now();
    let zone = config.site.timezone;
    let Some(What::Take {
        rota,
        until,
        person,
        consent,
        json,
    }) = args.what
    else {
        let taken = reader(&config)?.stints()?;
        if config.oncall.is_empty() {
            out::say("there is no rota: add [oncall.NAME] with rota = [\"...\"]")?;
        }
        for rota in config.oncall.values() {
            let (person, until) = rota.on_call(now, &taken, zone);
            let channels = (config.people.get(person)).map_or(&[][..], |one| &one.channels[..]);
            if args.json {
                out::json(&serde_json::json!({
                    "rota": rota.name, "person": person, "until": until, "channels": channels,
                }))?;
            } else {
                out::say(&format!(
                    "{}: {person} until {} ({}); {rota}",
                    rota.name,
                    watch::when(until, now, zone),
                    channels.join(", ")
                ))?;
            }
        }
        return Ok(super::OK);
    };
    let rota = match (rota, config.oncall.len()) {
        (Some(rota), _) => rota,
        (None, 1) => config.oncall.keys().next().cloned().unwrap_or_default(),
        (None, 0) => anyhow::bail!("there is no rota: add [oncall.NAME] with rota = [\"...\"]"),
        (None, _) => {
            let names: Vec<&str> = config.oncall.keys().map(String::as_str).collect();
            anyhow::bail!("which rota? There are: {}", names.join(", "));
        }
    };
    let until = duty::until(&until, now, zone).ok_or_else(|| {
        anyhow::anyhow!("`{}` is no time: write 08:00, or 2h", Visible::of(&until))
    })?;
    let person = person.unwrap_or_else(|| context.who(PeerKind::Command, true).name);
    let action = Action::TakeRota {
        rota,
        person,
        until,
    };
    super::previewed(action, &consent, json, context).await
}
