//! Echoes: a system that tells of a change which midwatch made there itself. Pure; the dispatcher asks before it looks
//! anything up, so that two systems that tell each other everything fall silent.
//!
//! A value is an echo on its way to a receiver if the source holds it because midwatch wrote it there (or saw both
//! agree), nothing else was seen there since, and the receiver is known to hold it already: what one system got from
//! another is still news to a third.

use super::base;
use crate::config::model::Compare;
use crate::record::alike;
use crate::record::ledger::KnownField;

/// Whether the value that a source brings (`brought`, as the ledger keeps it) is midwatch's own word come back.
pub fn is_echo(
    at_source: Option<&KnownField>,
    at_receiver: Option<&KnownField>,
    brought: &str,
    compare: Option<Compare>,
) -> bool {
    let is_brought = |text: &str| alike::kept(compare, text, brought);
    let Some(source) = at_source else {
        return false;
    };
    let is_ours = base(source).is_some_and(|(text, at)| {
        is_brought(text)
            && (source.seen.as_ref()).is_none_or(|(seen, when)| when <= at || is_brought(seen))
    });
    is_ours && at_receiver.and_then(latest).is_some_and(is_brought)
}

/// What a system holds, by the last that is known of it.
pub fn latest(field: &KnownField) -> Option<&str> {
    [&field.sent, &field.agreed, &field.seen]
        .into_iter()
        .flatten()
        .max_by_key(|(_, at)| *at)
        .map(|(text, _)| text.as_str())
}
