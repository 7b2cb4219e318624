//! `midwatch send FILE|-`: take events in from a file of JSON lines, through the same door as everything else.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use serde::Serialize;
use serde_json::value::RawValue;

use super::bar::Bar;
use super::context::Context;
use super::out;
use crate::control::wire::{SendOutcome, SendReceipt};
use crate::visible::Visible;

/// Events in one batch: one commit.
const BATCH: usize = 128;

/// Bytes in one batch.
const BATCH_BYTES: usize = 4 << 20;

/// The longest line in bytes, whatever the configuration says: the largest that `ingest.max_body` can be.
const MAX_LINE: usize = 1 << 20;

/// Refused lines that are shown one by one.
const SHOWN: usize = 20;

/// Takes events in: one CloudEvent as JSON on each line.
///
/// Goes through the running worker, or takes the lock for its own duration. What was accepted is on disk when it is
/// counted. Sending a file again is safe: known ids are duplicates.
///
/// With --json one object a line for what was not plainly accepted: line, outcome (duplicate, conflict, held, unrouted,
/// refused), event, deliveries, reason, faults (pointer, rule, text; of what was held for its contract); then one with lines, accepted, duplicate, conflict, held, unrouted, refused.
/// Exit code 1 if any was refused or in conflict.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, or - for the standard input.
    file: PathBuf,
    /// JSON objects.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    lines: u64,
    accepted: u64,
    duplicate: u64,
    conflict: u64,
    held: u64,
    unrouted: u64,
    refused: u64,
}

impl Summary {
    fn count(&mut self, outcome: SendOutcome) {
        self.lines += 1;
        *match outcome {
            SendOutcome::Accepted => &mut self.accepted,
            SendOutcome::Duplicate => &mut self.duplicate,
            SendOutcome::Conflict => &mut self.conflict,
            SendOutcome::Held => &mut self.held,
            SendOutcome::Unrouted => &mut self.unrouted,
            SendOutcome::Refused => &mut self.refused,
        } += 1;
    }

    fn words(&self) -> String {
        let parts = [
            (self.accepted, "accepted"),
            (self.duplicate, "known already"),
            (self.unrouted, "unrouted"),
            (self.held, "held"),
            (self.conflict, "in conflict"),
            (self.refused, "refused"),
        ];
        let parts: Vec<String> = (parts.iter().enumerate())
            .filter(|(at, (count, _))| *at == 0 || *count > 0)
            .map(|(_, (count, word))| format!("{count} {word}"))
            .collect();
        format!("{} of {} events", parts.join(", "), self.lines)
    }
}

#[derive(Serialize)]
struct Exception<'a> {
    line: u64,
    #[serde(flatten)]
    receipt: &'a SendReceipt,
}

/// Sends.
pub async fn run(args: Args, context: &Context) -> anyhow::Result<u8> {
    let config = context.config_in_force()?;
    let (input, size): (Box<dyn Read + Send>, u64) = if args.file.as_os_str() == "-" {
        (Box::new(std::io::stdin()), 0)
    } else {
        let file = std::fs::File::open(&args.file).map_err(|error| {
            let name = crate::visible::Visible::of(&args.file.to_string_lossy());
            anyhow::anyhow!("cannot read {name}: {error}")
        })?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            let name = crate::visible::Visible::of(&args.file.to_string_lossy());
            anyhow::bail!("cannot read {name}: it is a folder; name a file of JSON lines, or -");
        }
        let size = metadata.len();
        (Box::new(file), size)
    };
    let mut bar = Bar::new((size > 0).then_some(size));
    let acting = context.acting(&config).await?;
    let outcome = all(
        &acting,
        BufReader::with_capacity(1 << 16, input),
        &mut bar,
        args.json,
        config.ingest.max_body.min(MAX_LINE),
    )
    .await;
    bar.clear();
    acting.close().await;
    let summary = outcome?;
    if args.json {
        out::json(&summary)?;
    } else {
        out::say(&summary.words())?;
    }
    let bad = summary.refused + summary.conflict > 0;
    Ok(if bad { super::FAILED } else { super::OK })
}

async fn all(
    acting: &super::context::Acting,
    mut input: impl BufRead,
    bar: &mut Bar,
    json: bool,
    most: usize,
) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    let mut lines = Lines { number: 0, most };
    let mut shown = 0;
    loop {
        let batch = lines.batch(&mut input)?;
        if batch.items.is_empty() {
            break;
        }
        bar.done += batch.bytes as u64;
        let numbers: Vec<u64> = batch.items.iter().map(|(number, _)| *number).collect();
        let mut events = Vec::with_capacity(batch.items.len());
        let mut receipts: Vec<Option<SendReceipt>> = Vec::with_capacity(batch.items.len());
        for (_, item) in batch.items {
            match item {
                Ok(event) => {
                    events.push(event);
                    receipts.push(None);
                }
                Err(reason) => receipts.push(Some(SendReceipt {
                    outcome: SendOutcome::Refused,
                    event: None,
                    deliveries: 0,
                    reason: Some(reason),
                    faults: Vec::new(),
                })),
            }
        }
        let mut stored = if events.is_empty() {
            Vec::new()
        } else {
            acting.client().send(events).await.map_err(|refused| {
                anyhow::anyhow!(
                    "{refused}\n{} before that; sending the file again is safe",
                    summary.words()
                )
            })?
        }
        .into_iter();
        for (line, receipt) in numbers.into_iter().zip(receipts) {
            let Some(receipt) = receipt.or_else(|| stored.next()) else {
                anyhow::bail!(
                    "the worker gave fewer receipts than events; sending the file again is safe"
                );
            };
            summary.count(receipt.outcome);
            if receipt.outcome == SendOutcome::Accepted {
                continue;
            }
            if json {
                out::json(&Exception {
                    line,
                    receipt: &receipt,
                })?;
            } else if let Some(reason) = &receipt.reason {
                shown += 1;
                if shown <= SHOWN {
                    bar.clear();
                    out::say(&format!("line {line}: {reason}"))?;
                    for fault in &receipt.faults {
                        let told = format!("{} {}", fault.pointer, fault.text);
                        out::say(&format!("  {}", Visible::of(told.trim_start())))?;
                    }
                }
            }
        }
        bar.draw(&format!(
            "{} KiB, {} accepted",
            bar.done >> 10,
            summary.accepted
        ));
    }
    if shown > SHOWN && !json {
        out::say(&format!("... and {} more like these", shown - SHOWN))?;
    }
    Ok(summary)
}

/// Reads lines in batches, never more than it must.
#[derive(Debug)]
struct Lines {
    number: u64,
    /// The longest line that is taken: what `POST /events` takes as a body.
    most: usize,
}

#[derive(Debug, Default)]
struct Batch {
    items: Vec<(u64, Result<Box<RawValue>, String>)>,
    bytes: usize,
}

impl Lines {
    fn batch(&mut self, input: &mut impl BufRead) -> std::io::Result<Batch> {
        let mut batch = Batch::default();
        let mut line = Vec::new();
        while batch.items.len() < BATCH && batch.bytes < BATCH_BYTES - MAX_LINE {
            line.clear();
            // Its end may be two bytes.
            let mut limited = input.by_ref().take(self.most as u64 + 3);
            let length = limited.read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            self.number += 1;
            batch.bytes += length;
            if line.trim_ascii().len() > self.most {
                if !line.ends_with(b"\n") {
                    skip_line(input)?;
                }
                batch.items.push((
                    self.number,
                    Err(format!(
                        "the event is longer than {} bytes, the most that is taken (ingest.max_body)",
                        self.most
                    )),
                ));
                continue;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let item = serde_json::from_slice::<Box<RawValue>>(text)
                .map_err(|error| format!("no JSON: {error}"));
            batch.items.push((self.number, item));
        }
        Ok(batch)
    }
}

/// Reads on to the end of a line without keeping it.
fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let some = input.fill_buf()?;
        if some.is_empty() {
            return Ok(());
        }
        let end = some.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(some.len(), |end| end + 1);
        input.consume(taken);
        if end.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_batches_with_their_numbers_and_bad_ones_in_place() {
        let mut text = b"{\"a\":1}\n\n nonsense\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE + 10]);
        text.extend(b"\n");
        for _ in 0..BATCH {
            text.extend(b"{}\n");
        }
        text.extend(b"{\"last\":true}");
        let (mut input, most) = (&text[..], MAX_LINE);
        let mut lines = Lines { number: 0, most };
        let mut seen = Vec::new();
        loop {
            let batch = lines.batch(&mut input).unwrap();
            if batch.items.is_empty() {
                break;
            }
            assert!(batch.items.len() <= BATCH);
            seen.extend(batch.items);
        }
        let good: Vec<bool> = seen.iter().map(|(_, item)| item.is_ok()).collect();
        assert_eq!(seen.len(), 3 + BATCH + 1);
        assert_eq!(&good[..4], &[true, false, false, true]);
        assert_eq!((seen[1].0, seen[2].0, seen[3].0), (3, 4, 5));
        assert_eq!(seen[0].1.as_ref().unwrap().get(), r#"{"a":1}"#);
    }

    #[test]
    fn a_line_is_as_long_as_a_body_may_be_and_not_longer() {
        let mut input = &b"{\"a\":12}\r\n{\"a\":123}\n{\"a\":123456789}\n{\"a\":1}"[..];
        let mut lines = Lines { number: 0, most: 8 };
        let batch = lines.batch(&mut input).unwrap();
        let shown: Vec<_> = (batch.items.into_iter())
            .map(|(number, item)| (number, item.map(|raw| raw.get().to_owned())))
            .collect();
        let refused = || {
            Err(
                "the event is longer than 8 bytes, the most that is taken (ingest.max_body)"
                    .to_owned(),
            )
        };
        assert_eq!(
            shown,
            [
                (1, Ok("{\"a\":12}".to_owned())),
                (2, refused()),
                (3, refused()),
                (4, Ok("{\"a\":1}".to_owned())),
            ]
        );
    }

    #[test]
    fn a_summary_names_only_what_happened() {
        let mut summary = Summary::default();
        for outcome in [
            SendOutcome::Accepted,
            SendOutcome::Refused,
            SendOutcome::Accepted,
        ] {
            summary.count(outcome);
        }
        assert_eq!(summary.words(), "2 accepted, 1 refused of 3 events");
    }
}
