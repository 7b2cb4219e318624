//! Which deliveries a command means: ids, a filter, or both.

use crate::ids::DeliveryId;
use crate::queue::filter::Filter;

/// Which deliveries.
#[derive(Debug, Clone, clap::Args)]
pub struct Select {
    /// Deliveries by id, as EVENT-N (EVENT alone means its first).
    #[arg(value_name = "ID")]
    ids: Vec<DeliveryId>,
    /// All that match, for example 'path:crm state:dead class:rejected newer:2h'.
    ///
    /// Words: path: state: class: status: group: type: key: newer: older: id:, and free text. All must hold; a comma or
    /// a repeated word gives alternatives.
    #[arg(long, short = 'f', value_name = "FILTER")]
    filter: Option<Filter>,
}

impl Select {
    /// As one filter; empty if nothing was given (and then refused by the action).
    pub fn filter(&self) -> anyhow::Result<Filter> {
        let mut filter = self.filter.clone().unwrap_or_default();
        for id in &self.ids {
            if !filter.ids.contains(id) {
                filter.ids.push(*id);
            }
        }
        if filter.is_empty() {
            anyhow::bail!(
                "say which deliveries: ids, or --filter 'path:NAME state:dead'; everything at once is refused"
            );
        }
        Ok(filter)
    }
}
