//! What the Ownership screen knows: the matrix of the configuration in force, and what was left out because of it.

use super::Selection;
use crate::record::ownership::Row;
use crate::store::view::NoteRow;

/// The Ownership screen.
#[derive(Debug, Default)]
pub struct Own {
    /// One row for each field of each declared entity.
    pub rows: Vec<Row>,
    /// The selected one: entity and field.
    pub pick: Selection<(String, String)>,
    /// What was left out, and how often.
    pub left: Vec<NoteRow>,
}

impl Own {
    /// What can be selected, in order.
    pub fn ids(&self) -> Vec<(String, String)> {
        let id = |row: &Row| (row.entity.clone(), row.field.clone());
        self.rows.iter().map(id).collect()
    }
}
