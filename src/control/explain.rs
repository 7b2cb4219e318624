//! Why a field of a business record holds what it holds: its rule, what each system is known to have, which writes and
//! reviews led there, and the verdict in words. Pure: it looks at what was read from the store and the configuration, and
//! decides nothing. `ownership explain` prints it, the console's Ownership screen shows it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::model::Config;
use crate::ids::DeliveryId;
use crate::record::alike;
use crate::record::ledger::KnownField;
use crate::record::mask::HIDDEN;
use crate::record::ownership::{self, OwnedField, Policy, Role, Row};
use crate::store::view::{ReviewRow, Story, StoryLine};
use crate::time::Timestamp;

/// Everything that is known of one field of one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The record type.
    pub entity: String,
    /// The record's first key.
    pub key: String,
    /// The field.
    pub field: String,
    /// Who may write it, and the paths that do; none where the entity is not declared.
    pub rule: Option<Row>,
    /// What each system is known to have, by the system's name.
    pub systems: Vec<Held>,
    /// Whether all that are known to have it have the same; none where fewer than two do.
    pub agree: Option<bool>,
    /// What a person had or has to decide of it, oldest first; values are masked where it is sensitive. From outside.
    pub reviews: Vec<ReviewRow>,
    /// The lines of the record's story that speak of it, oldest first. Parts of them come from outside.
    pub lines: Vec<StoryLine>,
    /// Which value stands where they differ, in words.
    #[serde(skip)]
    stands: String,
}

/// What one system is known to have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Held {
    /// The system.
    pub system: String,
    /// What it may do with the field: `owner`, `writer`, `create_only`, `neither`; none where nothing is declared.
    pub role: Option<&'static str>,
    /// Written there last.
    pub sent: Option<Word>,
    /// Seen equal on both sides last.
    pub agreed: Option<Word>,
    /// Last seen to be there.
    pub seen: Option<Word>,
}

/// A value, and how it came there.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// As the ledger keeps it; hidden where it is sensitive and not kept as a hash. From outside.
    pub value: String,
    /// When.
    pub at: Timestamp,
    /// The delivery that did it, where the story tells.
    pub delivery: Option<DeliveryId>,
    /// Its path.
    pub path: Option<String>,
    /// The system that the path takes it from, where it is configured.
    pub from: Option<String>,
}

impl Held {
    /// What it has, by the last that is known.
    pub fn latest(&self) -> Option<&Word> {
        let words = [&self.sent, &self.agreed, &self.seen];
        words.into_iter().flatten().max_by_key(|word| word.at)
    }
}

/// Explains `field` of the record that `story` and `reviews` tell of. None: neither a rule nor a system nor a line knows the field.
pub fn explain(
    config: &Config,
    story: &Story,
    reviews: &[ReviewRow],
    field: &str,
) -> Option<Explained> {
    let kind = &story.about.kind;
    let entity = config.entities.get(kind);
    let rule = entity.and_then(|entity| entity.field(field));
    let sensitive = rule.is_some_and(|rule| rule.sensitive)
        || config.systems.values().any(|system| {
            let map = system.records.get(kind);
            map.is_some_and(|map| {
                let inside = map.from.values().map(|inside| &inside.layout);
                let mut layouts = inside.chain([&map.layout]);
                layouts.any(|layout| layout.fields.get(field).is_some_and(|one| one.sensitive))
            })
        });
    let word = |known: &Option<(String, Timestamp)>| {
        let (value, at) = known.as_ref()?;
        // What was written in the same commit tells by which delivery.
        let line = story
            .lines
            .iter()
            .find(|line| line.at == *at && line.delivery.is_some());
        let path = line.and_then(|line| line.path.clone());
        Some(Word {
            value: if sensitive && !value.starts_with('#') {
                HIDDEN.to_owned()
            } else {
                value.clone()
            },
            at: *at,
            delivery: line.and_then(|line| line.delivery),
            from: path
                .as_ref()
                .and_then(|path| Some(config.path(path)?.from.clone())),
            path,
        })
    };
    let held = |(system, known): (&String, &KnownField)| Held {
        system: system.clone(),
        role: entity.map(|_| role(rule, system)),
        sent: word(&known.sent),
        agreed: word(&known.agreed),
        seen: word(&known.seen),
    };
    let known: Vec<(&String, &KnownField)> = (story.holdings.iter())
        .filter_map(|(system, holding)| Some((system, holding.fields.get(field)?)))
        .collect();
    let values: Vec<&str> = (known.iter())
        .filter_map(|(_, known)| ownership::latest(known))
        .collect();
    let agree = (values.len() > 1).then(|| {
        let compare = rule.and_then(|rule| rule.compare);
        values
            .windows(2)
            .all(|two| alike::kept(compare, two[0], two[1]))
    });
    let systems: Vec<Held> = known.into_iter().map(held).collect();
    let deliveries: Vec<DeliveryId> = (systems.iter())
        .flat_map(|held| [&held.sent, &held.agreed, &held.seen])
        .filter_map(|word| word.as_ref()?.delivery)
        .collect();
    let speaks = |line: &&StoryLine| {
        line.delivery
            .is_some_and(|delivery| deliveries.contains(&delivery))
            || names(&line.text, field)
    };
    let masked = |row: &ReviewRow| {
        let mut row = row.clone();
        row.sensitive |= sensitive;
        let values = [&row.ours, &row.theirs, &row.base].map(|value| {
            let value = value.as_ref()?;
            Some(row.masked(value))
        });
        [row.ours, row.theirs, row.base] = values;
        if let Some(mut decided) = row.decided.take() {
            decided.value = decided.value.map(|value| row.masked(&value));
            row.decided = Some(decided);
        }
        row
    };
    let explained = Explained {
        reviews: (reviews.iter())
            .filter(|row| row.field == field)
            .map(masked)
            .collect(),
        entity: kind.clone(),
        key: story.about.key.clone(),
        field: field.to_owned(),
        rule: entity.and_then(|entity| ownership::row_of(config, entity, field)),
        agree,
        lines: story.lines.iter().filter(speaks).cloned().collect(),
        stands: stands(rule),
        systems,
    };
    let nothing = rule.is_none() && explained.systems.is_empty() && explained.lines.is_empty();
    (!nothing || explained.rule.is_some()).then_some(explained)
}

fn role(rule: Option<&OwnedField>, system: &str) -> &'static str {
    match rule.map_or(Role::Neither, |rule| rule.role(system)) {
        Role::Owner => "owner",
        Role::Writer => "writer",
        Role::CreateOnly => "create_only",
        Role::Neither => "neither",
    }
}

/// A text names a field as a word of its own.
fn names(text: &str, field: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == field)
}

/// Which value stands where two differ.
fn stands(rule: Option<&OwnedField>) -> String {
    let Some(rule) = rule else {
        return "no rule says which value stands".to_owned();
    };
    let owner = &rule.owner;
    match rule.policy {
        Policy::Owner => format!("the value of {owner} stands"),
        Policy::OwnerUnlessBlank => format!("the value of {owner} stands unless it is blank"),
        Policy::Monotonic if rule.order.is_empty() => {
            "the one of the newer version stands".to_owned()
        }
        Policy::Monotonic => "the one that is further on stands".to_owned(),
        Policy::Newest => "the one that was changed last stands".to_owned(),
        Policy::Manual => "a person decides which stands".to_owned(),
    }
}

impl Explained {
    /// Who won, why and when: a sentence each. Values in it come from outside.
    pub fn verdict(&self, time: impl Fn(Timestamp) -> String) -> Vec<String> {
        let mut out = vec![match &self.rule {
            Some(row) => row.rule(),
            None => format!(
                "no entity {} is declared, so that whoever writes {} last has it",
                self.entity, self.field
            ),
        }];
        out.push(self.last_write(&time));
        match self.agree {
            Some(true) => out.push(format!("{} hold the same", self.holders())),
            Some(false) => {
                let mut words = "they differ:".to_owned();
                for (at, held) in self.systems.iter().enumerate() {
                    if let Some(word) = held.latest() {
                        let comma = if at == 0 { "" } else { "," };
                        let _ = write!(
                            words,
                            "{comma} {} has {} since {}",
                            held.system,
                            word.value,
                            time(word.at)
                        );
                    }
                }
                let _ = write!(words, "; {}", self.stands);
                out.push(words);
            }
            None => {}
        }
        out.extend(self.reviews.iter().map(|row| review(row, &time)));
        out
    }

    /// The last write, by whom, and whether it might.
    fn last_write(&self, time: impl Fn(Timestamp) -> String) -> String {
        let writes = self
            .systems
            .iter()
            .filter_map(|held| Some((held, held.sent.as_ref()?)));
        let Some((held, word)) = writes.max_by_key(|(_, word)| word.at) else {
            return "midwatch has written it nowhere yet".to_owned();
        };
        let mut words = format!(
            "{} was given {} at {}",
            held.system,
            word.value,
            time(word.at)
        );
        if let Some(delivery) = word.delivery {
            let _ = write!(words, " by {delivery}");
        }
        if let Some(path) = &word.path {
            let _ = write!(words, " on {path}");
        }
        if let (Some(from), Some(row)) = (&word.from, &self.rule) {
            let is_named = |writer: &String| writer.split(':').next() == Some(from.as_str());
            let may = if row.owner.as_ref() == Some(from) {
                "who owns it"
            } else if row.writers.iter().any(is_named) {
                "who may write it"
            } else {
                "who may not write it by the rules of today"
            };
            let _ = write!(words, ", from {from}, {may}");
        }
        words
    }

    fn holders(&self) -> String {
        let names: Vec<&str> = (self.systems.iter())
            .filter(|held| held.latest().is_some())
            .map(|held| held.system.as_str())
            .collect();
        match names.as_slice() {
            [most @ .., last] if !most.is_empty() => format!("{} and {last}", most.join(", ")),
            names => names.concat(),
        }
    }
}

/// What a person had or has to decide, in words.
fn review(row: &ReviewRow, time: impl Fn(Timestamp) -> String) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let sides = format!(
        "{} says {}, {} holds {}",
        row.source,
        value(&row.ours),
        row.receiver,
        value(&row.theirs)
    );
    match &row.decided {
        None => format!(
            "review {} waits since {}: {sides}: {}",
            row.id,
            time(row.at),
            row.reason
        ),
        Some(decided) => format!(
            "review {} ({sides}) ended at {}: {} by {}",
            row.id,
            time(decided.at),
            decided.decision,
            decided.actor
        ),
    }
}

#[cfg(test)]
mod tests;
