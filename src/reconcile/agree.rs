//! What a run learns: values that both systems were seen to hold, against which a later difference says who changed it; and
//! the fields of which a person has to decide. It writes to the ledger and nowhere else. Called by `run`.

use tokio::task::spawn_blocking;

use super::noted::Pair;
use super::second::Again;
use super::sift::Key;
use crate::config::model::{Config, Matching, Records};
use crate::record::ledger::{About, Dispute, Learned};
use crate::record::value::{Record, Value};
use crate::store::view::{Changed, Grade};
use crate::store::{Agreed, Store, StoreError};
use crate::time::Timestamp;

/// Records of which one run learns that they agree.
const MOST: usize = 2_000;
/// So many in one commit.
const CHUNK: usize = 100;

/// Keeps what the sample's records agree on, of those of which that is not known yet.
///
/// # Errors
/// As reading or writing the store.
pub(super) async fn sample(
    store: &Store,
    records: &Records,
    pairs: Vec<Pair>,
) -> Result<(), String> {
    if records.matching != Matching::Key || pairs.is_empty() {
        return Ok(());
    }
    let (reading, of) = (store.clone(), records.clone());
    let news = spawn_blocking(move || {
        let reader = reading.reader().map_err(|error| error.to_string())?;
        let mut news = Vec::new();
        for pair in pairs {
            for (side, row) in of.sides.iter().zip(&pair) {
                let known = reader.known(&side.system, &side.kind, &row.key);
                let known = known.map_err(|error| error.to_string())?;
                let is_known = |name: &str, text: &str| {
                    let agreed = known
                        .fields
                        .get(name)
                        .and_then(|field| field.agreed.as_ref());
                    agreed.is_some_and(|(kept, _)| kept == text)
                };
                let fields = of.fields.iter().zip(&row.fields);
                let fields: Vec<(String, String)> = fields
                    .filter_map(|(field, text)| Some((field.name.clone(), text.clone()?)))
                    .filter(|(name, text)| !is_known(name, text))
                    .collect();
                if !fields.is_empty() {
                    news.push(Agreed {
                        system: side.system.clone(),
                        about: About {
                            kind: side.kind.clone(),
                            key: row.key.clone(),
                        },
                        fields,
                    });
                }
            }
            if news.len() >= MOST {
                break;
            }
        }
        Ok::<_, String>(news)
    });
    let news = news.await.map_err(|_| "the reader failed".to_owned())??;
    for chunk in news.chunks(CHUNK) {
        let kept = store.agree(chunk.to_vec()).await;
        kept.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Keeps that a second read found these equal.
///
/// # Errors
/// As writing the store.
pub(super) async fn vanished(
    store: &Store,
    records: &Records,
    keys: &[(String, Again)],
) -> Result<(), StoreError> {
    if records.matching != Matching::Key {
        return Ok(());
    }
    for (key, again) in keys {
        let [[first], [second]] = again.records.each_ref().map(Vec::as_slice) else {
            continue;
        };
        let of = |side: usize, record: &Record| {
            let value = |name: &String| record.fields.get(name).cloned();
            let agreed = (records.fields.iter()).filter_map(|field| {
                Some((field.name.clone(), value(&field.name)?, field.sensitive))
            });
            Learned {
                system: records.sides[side].system.clone(),
                about: About {
                    kind: records.sides[side].kind.clone(),
                    key: key.clone(),
                },
                agreed: agreed.collect(),
                source: Some(records.sides[1 - side].system.clone()),
                ..Learned::default()
            }
        };
        store
            .learn_all(vec![of(0, first), of(1, second)], Vec::new())
            .await?;
    }
    Ok(())
}

/// Opens a review of each field that both sides changed, where the field's owner is declared: the owner's value is *ours*.
///
/// # Errors
/// As writing the store.
pub(super) async fn disputed(
    store: &Store,
    config: &Config,
    records: &Records,
    keys: &[Key],
) -> Result<(), StoreError> {
    let Some(entity) = config.entities.get(&records.entity) else {
        return Ok(());
    };
    for key in keys {
        let Some(again) = &key.again else { continue };
        let [[first], [second]] = again.records.each_ref().map(Vec::as_slice) else {
            continue;
        };
        for row in &key.rows {
            let conflict = row.grade == Grade::Review && row.changed == Some(Changed::Both);
            let Some(name) = row.field.as_ref().filter(|_| conflict) else {
                continue;
            };
            let Some(rule) = entity.field(name) else {
                continue;
            };
            let owner = usize::from(records.sides[1].system == rule.owner);
            let (ours, theirs) = if owner == 0 {
                (first, second)
            } else {
                (second, first)
            };
            let value = |record: &Record| -> Option<(Value, Option<Timestamp>)> {
                Some((record.fields.get(name)?.clone(), None))
            };
            let Some(ours) = value(ours) else { continue };
            let receiver = &records.sides[1 - owner];
            let dispute = Dispute {
                field: name.clone(),
                source: records.sides[owner].system.clone(),
                sensitive: rule.sensitive
                    || (records.fields.iter()).any(|field| field.name == *name && field.sensitive),
                ours,
                theirs: value(theirs),
                base: row.base.clone(),
                reason: "both changed it since they agreed".to_owned(),
            };
            let learned = Learned {
                system: receiver.system.clone(),
                about: About {
                    kind: receiver.kind.clone(),
                    key: row.key.clone(),
                },
                disputes: vec![dispute],
                ..Learned::default()
            };
            store.learn(learned).await?;
        }
    }
    Ok(())
}
