//! One record as a job compares it: its key and the compared fields, and nothing else. What reads records (listings, files)
//! makes rows; what compares them takes no other form. Pure.

use super::wanted::Wanted;
use crate::record::value::{Record, Version};
use crate::store::HashKey;
use crate::time::Timestamp;

/// One record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The key by which it belongs to one of the other side; blank: it has none.
    pub key: String,
    /// The id that its system gave it; where the key is another record's (a payment's order), its own key.
    pub id: Option<String>,
    /// When it last changed, or else when it was made, where it says so.
    pub changed: Option<Timestamp>,
    /// The compared fields, in the job's order, as the ledger keeps values ([`crate::record::value::Value::canonical`], or a
    /// keyed hash where the field is sensitive). None: the record has no such field. A value that is not what its map says
    /// is [`UNREAD`].
    pub fields: Vec<Option<String>>,
}

/// Stands for a value that could not be read: it is equal to nothing, also not to another of its kind.
pub const UNREAD: &str = "?";

/// The key of a record that belongs to one of type `kind` and does not say to which: no record of that type has it, so
/// that it is told instead of being lost.
pub fn without(kind: &str, id: &str) -> String {
    format!("without {kind}: {id}")
}

impl Row {
    /// The row of a record that was read whole.
    pub fn of(record: &Record, wanted: &Wanted, key: &HashKey) -> Self {
        let fields = wanted.fields.iter().map(|field| {
            if record.unread.contains_key(&field.name) {
                return Some(UNREAD.to_owned());
            }
            let value = record.fields.get(&field.name)?;
            Some(key.text(value, field.sensitive))
        });
        let own = record.id.clone();
        let (of, id) = match &wanted.of {
            None => (record.key.clone(), own),
            Some(kind) => {
                let id = record.key.clone().or(own);
                let lost = || id.as_deref().map(|id| without(kind, id));
                (record.refs.get(kind).cloned().or_else(lost), id)
            }
        };
        Self {
            key: of.unwrap_or_default(),
            id,
            changed: match record.version {
                Some(Version::Instant(at)) => Some(at),
                _ => record.created,
            },
            fields: fields.collect(),
        }
    }
}

/// Rows, one after the other, from a listing or a file. It is read by one thread, to its end or to its first error.
pub trait Rows: Send {
    /// Reads the next record into `row`; false at the end.
    ///
    /// # Errors
    /// In words, with the place (line, page): what was read so far is not the whole.
    fn next(&mut self, row: &mut Row) -> Result<bool, String>;
}

/// Rows that were read before.
impl Rows for std::vec::IntoIter<Row> {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        Ok(Iterator::next(self).map(|next| *row = next).is_some())
    }
}
