//! `midwatch preset list|show`: the presets inside the binary, readable before they are used.

use serde::Serialize;

use super::out;
use crate::config::presets::{self, Preset};

/// Shows the presets: what is known of vendors' record maps, signatures, paging and limits.
///
/// A system names one with preset = "NAME" in midwatch.toml; every key there goes over the preset's own, and `false`
/// removes it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists them: name, title, what each brings.
    ///
    /// With --json one object a line: name, title, brings.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Prints one as it is: TOML, with the vendor's pages that it follows.
    ///
    /// With --json one object: name, title, brings, text.
    Show {
        /// Which.
        name: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Shown {
    name: &'static str,
    title: &'static str,
    brings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'static str>,
}

/// Lists or shows.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    match &args.what {
        What::List { json } => list(*json)?,
        What::Show { name, json } => show(name, *json)?,
    }
    Ok(super::OK)
}

fn shown(preset: &Preset) -> Shown {
    Shown {
        name: preset.name,
        title: preset.title(),
        brings: preset.brings(),
        text: None,
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    if json {
        return presets::ALL
            .iter()
            .map(shown)
            .try_for_each(|one| out::json(&one));
    }
    for (at, preset) in presets::ALL.iter().enumerate() {
        let gap = if at == 0 { "" } else { "\n" };
        let brings = preset.brings().join(", ");
        out::say(&format!(
            "{gap}{}: {}\n  {brings}",
            preset.name,
            preset.title()
        ))?;
    }
    Ok(())
}

fn show(name: &str, json: bool) -> anyhow::Result<()> {
    let Some(preset) = Preset::find(name) else {
        anyhow::bail!(
            "there is no preset {}; {}",
            crate::visible::line(name, 60),
            presets::suggestion(name)
        );
    };
    if json {
        let text = Some(preset.text);
        return out::json(&Shown {
            text,
            ..shown(preset)
        });
    }
    out::raw(preset.text.as_bytes())
}
