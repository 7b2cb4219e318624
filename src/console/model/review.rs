//! What the Review screen knows: fields of which two systems say different things, and deliveries that wait for a person.

use super::Selection;
use crate::ids::{DeliveryId, ReviewId};
use crate::store::view::{DeliveryRow, ReviewRow};

/// What can be selected on the Review screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewItem {
    /// A field of a record.
    Field(ReviewId),
    /// A delivery that is held.
    Delivery(DeliveryId),
}

/// The Review screen.
#[derive(Debug, Default)]
pub struct Review {
    /// Fields: the open ones first, newest first, then those that were decided a while ago.
    pub fields: Vec<ReviewRow>,
    /// Deliveries that are held, newest first.
    pub deliveries: Vec<DeliveryRow>,
    /// The selected one.
    pub pick: Selection<ReviewItem>,
}

impl Review {
    /// What can be selected, in order: what is open, deliveries, what was decided.
    pub fn ids(&self) -> Vec<ReviewItem> {
        let field = |row: &ReviewRow| ReviewItem::Field(row.id);
        let open = self.fields.iter().filter(|row| row.decided.is_none());
        let decided = self.fields.iter().filter(|row| row.decided.is_some());
        let deliveries = self.deliveries.iter();
        (open.map(field))
            .chain(deliveries.map(|row| ReviewItem::Delivery(row.id)))
            .chain(decided.map(field))
            .collect()
    }

    /// A field by its review.
    pub fn field(&self, id: ReviewId) -> Option<&ReviewRow> {
        self.fields.iter().find(|row| row.id == id)
    }

    /// The selected field.
    pub fn field_here(&self) -> Option<&ReviewRow> {
        match self.pick.id? {
            ReviewItem::Field(id) => self.field(id),
            ReviewItem::Delivery(_) => None,
        }
    }

    /// The selected field, if it is not decided yet.
    pub fn open_here(&self) -> Option<&ReviewRow> {
        self.field_here().filter(|row| row.decided.is_none())
    }

    /// The selected delivery.
    pub fn delivery_here(&self) -> Option<&DeliveryRow> {
        match self.pick.id? {
            ReviewItem::Delivery(id) => self.deliveries.iter().find(|row| row.id == id),
            ReviewItem::Field(_) => None,
        }
    }
}
