//! What the Held screens know: groups of held events, the events of one, and one event whole.

use std::collections::HashSet;

use super::Selection;
use crate::console::json_view::Tree;
use crate::ids::{EventId, HeldGroupId};
use crate::store::view::{HeldDetail, HeldGroup, HeldRow};

/// Screen 8, with what is behind it.
#[derive(Debug, Default)]
pub struct Held {
    /// What is wrong, with how many.
    pub groups: Vec<HeldGroup>,
    /// The selected group.
    pub group: Selection<HeldGroupId>,
    /// The group whose events are listed.
    pub open: Option<HeldGroupId>,
    /// Its events, newest first.
    pub rows: Vec<HeldRow>,
    /// The selected one.
    pub row: Selection<EventId>,
    /// The event that is shown whole.
    pub one: HeldOne,
}

/// One event, whole.
#[derive(Debug, Default)]
pub struct HeldOne {
    /// Which.
    pub id: Option<EventId>,
    /// What is known of it; none before it was read, or if it is gone.
    pub data: Option<Box<HeldDetail>>,
    /// It was read, and is not there.
    pub gone: bool,
    /// Its data, laid out, with the bytes that it is made of; the faulty places are marked.
    pub tree: Option<(Vec<u8>, Tree)>,
    /// Parts that are folded, by their names.
    pub folded: HashSet<&'static str>,
    /// The line with the cursor.
    pub line: usize,
    /// The first line shown.
    pub top: usize,
}

impl Held {
    /// The selected group.
    pub fn group_here(&self) -> Option<&HeldGroup> {
        let id = self.group.id?;
        self.groups.iter().find(|group| group.id == id)
    }

    /// The group whose events are listed, as long as any is left.
    pub fn open_group(&self) -> Option<&HeldGroup> {
        let id = self.open?;
        self.groups.iter().find(|group| group.id == id)
    }

    /// The selected event of the list.
    pub fn row_here(&self) -> Option<&HeldRow> {
        let id = self.row.id?;
        self.rows.iter().find(|row| row.id == id)
    }
}
