//! The second read: what a listing said of a key is asked again, record by record, before anybody is told of it. Reads only,
//! within the systems' shared budgets, and leaves the larger part of them to deliveries. Called by `sift`, and by whoever is
//! to write.

use std::time::Duration;

use super::noted::Noted;
use super::row::{Row, without};
use super::wanted::Wanted;
use crate::config::model::{Matching, Records};
use crate::event::expr::Engine;
use crate::record::json::Node;
use crate::record::read;
use crate::record::shape::{self, Filling};
use crate::record::value::Record;
use crate::remote::{Asked, Found, Manner, Remote, RemoteError, Verb};
use crate::store::HashKey;

/// How long a second read waits for a system's budget.
const PATIENCE: Duration = Duration::from_secs(120);

/// Reads records again.
#[derive(Debug, Clone, Copy)]
pub struct Second<'a> {
    /// Asks the systems.
    pub remote: &'a Remote,
    /// What is compared.
    pub records: &'a Records,
    /// Reads what they answer.
    pub engine: &'a Engine,
    /// Hashes what is sensitive.
    pub key: &'a HashKey,
}

/// One key as it is now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Again {
    /// What the comparison sees of each side.
    pub rows: [Vec<Row>; 2],
    /// The records of each side; none of a side that is a file.
    pub records: [Vec<Record>; 2],
}

/// Why a key was not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRead {
    /// Which side.
    pub side: usize,
    /// Why, in words. May hold text from outside.
    pub words: String,
    /// The system failed: the next key will fare no better.
    pub down: bool,
}

impl Second<'_> {
    /// Reads both sides of a key at once.
    ///
    /// # Errors
    /// In words, of the first side that could not be read.
    pub async fn read(&self, key: &str, noted: &Noted) -> Result<Again, NotRead> {
        let (first, second) = tokio::join!(self.side(0, key, noted), self.side(1, key, noted));
        let ((first, one), (second, other)) = (first?, second?);
        Ok(Again {
            rows: [first, second],
            records: [one, other],
        })
    }

    /// The record of a key as its system answers it, not yet read; none if it is not there.
    ///
    /// # Errors
    /// As [`Self::read`]; also where there are several.
    pub async fn raw(
        &self,
        side: usize,
        key: &str,
        id: Option<&str>,
    ) -> Result<Option<Node>, NotRead> {
        let map = &self.records.sides[side].map;
        let not = |words, down| NotRead { side, words, down };
        let (verb, filling) = match (&map.lookup, &map.read, id) {
            (Some(_), _, _) => (
                Verb::Lookup,
                Filling {
                    key: Some(key),
                    ..Filling::default()
                },
            ),
            (None, Some(_), Some(id)) => (
                Verb::Read,
                Filling {
                    id: Some(id),
                    ..Filling::default()
                },
            ),
            _ => return Err(self.unasked(side)),
        };
        let asked = self.remote.send(map, verb, &filling, &manner()).await;
        let (shape, reply) = match (&asked, verb.shape(map)) {
            (Ok(asked), Some(shape)) if asked.found != Found::Failed => {
                (shape, asked.reply.clone())
            }
            _ => return answered(side, &map.system, asked).map(|_| None),
        };
        let (Ok(asked), Some(reply)) = (asked, reply) else {
            return Ok(None);
        };
        match asked.found {
            Found::Records(records) if records.len() == 1 => {}
            Found::Records(records) if records.len() > 1 => {
                return Err(not(format!("{} has it more than once", map.system), false));
            }
            _ => return Ok(None),
        }
        let nodes =
            shape::nodes(shape, &reply.body).map_err(|error| not(error.to_string(), false))?;
        // A search may find more than it was asked for.
        let is_it = |node: &Node| {
            let read = read::one(map, node, self.engine);
            read.is_ok_and(|record| record.key.as_deref().is_none_or(|its| its == key))
        };
        Ok(nodes.into_iter().find(is_it))
    }

    fn unasked(&self, side: usize) -> NotRead {
        let map = &self.records.sides[side].map;
        NotRead {
            side,
            words: format!("{}.{} has no `lookup`", map.system, map.kind),
            down: false,
        }
    }

    async fn side(
        &self,
        side: usize,
        key: &str,
        noted: &Noted,
    ) -> Result<(Vec<Row>, Vec<Record>), NotRead> {
        let here = &self.records.sides[side];
        let not = |words| NotRead {
            side,
            words,
            down: false,
        };
        if here.map.file.is_some() {
            // A file is what it was when it was listed.
            return Ok((noted.rows[side].clone(), Vec::new()));
        }
        if !here.declared {
            return Err(not(format!(
                "{} is only listed here: it has no record map to ask by",
                here.system
            )));
        }
        if noted.cut {
            return Err(not("too many records have this key".to_owned()));
        }
        let mut found = Vec::new();
        if let Matching::Money(money) = &self.records.matching
            && side == 1
            && (noted.rows[0].iter()).any(|row| {
                row.id
                    .as_deref()
                    .is_some_and(|id| *key == *without(&money.of, id))
            })
        {
            // No order has it.
        } else if side == 0 && matches!(self.records.matching, Matching::Money(_)) {
            for row in &noted.rows[0] {
                let Some(id) = &row.id else {
                    return Err(not(format!("a record of {} has no id", here.system)));
                };
                // What is no more is not there.
                found.extend(self.ask(side, id, row).await?);
            }
        } else {
            let listed = noted.rows[side].first().cloned().unwrap_or_default();
            found = self.ask(side, key, &listed).await?;
        }
        let wanted = Wanted::of(self.records, side);
        let rows = found
            .iter()
            .map(|record| Row::of(record, &wanted, self.key));
        Ok((rows.collect(), found))
    }

    /// Asks for the records of a business key; where the system cannot be asked by it, for the one of the listed id.
    async fn ask(&self, side: usize, key: &str, listed: &Row) -> Result<Vec<Record>, NotRead> {
        let map = &self.records.sides[side].map;
        let asked = if map.lookup.is_some() {
            let filling = Filling {
                key: Some(key),
                ..Filling::default()
            };
            self.remote
                .send(map, Verb::Lookup, &filling, &manner())
                .await
        } else if let (Some(_), Some(id)) = (&map.read, &listed.id) {
            let filling = Filling {
                id: Some(id),
                ..Filling::default()
            };
            self.remote.send(map, Verb::Read, &filling, &manner()).await
        } else {
            return Err(self.unasked(side));
        };
        answered(side, &map.system, asked)
    }
}

fn manner() -> Manner<'static> {
    Manner {
        patience: PATIENCE,
        yields: true,
        ..Manner::default()
    }
}

fn answered(
    side: usize,
    system: &str,
    asked: Result<Asked, RemoteError>,
) -> Result<Vec<Record>, NotRead> {
    let not = |words, down| NotRead { side, words, down };
    match asked {
        Ok(asked) => match asked.found {
            Found::Records(records) => Ok(records),
            Found::Missing => Ok(Vec::new()),
            Found::Failed | Found::Exists => {
                Err(not(format!("{system}: {}", asked.judged.error), true))
            }
        },
        // The key cannot be asked for; another one can.
        Err(error @ RemoteError::Record(_)) => Err(not(error.to_string(), false)),
        Err(error) => Err(not(error.to_string(), true)),
    }
}
