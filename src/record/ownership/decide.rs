//! Which of two values of a field stands: three-way against what both last agreed on, and where that cannot say, by the
//! field's policy. Pure; the dispatcher and previews call it for each field that a source brings. Never a guess: what the
//! rule cannot decide goes to review.
//!
//! *Ours* is what the source brings, *theirs* what the receiver holds, *base* what the receiver was last known to hold in
//! agreement with midwatch. What a source may not write is denied, whatever the rest; a record that is being made gets
//! what the source brings; values that mean the same are left alone. Else:
//!
//! | policy | source | only ours changed | only theirs changed | both changed | no base |
//! |---|---|---|---|---|---|
//! | `owner` | owner | write | write | write | write |
//! | | writer, receiver owns | write | leave | leave | leave |
//! | | writer, a third owns | write | leave | review | review |
//! | `owner_unless_blank` | owner | write | write | write | write |
//! | | writer, receiver owns | write | leave | leave | leave |
//! | | writer, a third owns | write | leave | review | review |
//! | `monotonic` with `order` | any | further on: write; behind: leave; a word that is not in it: review | = | = | = |
//! | `monotonic` by version | owner | write | write | write | write |
//! | | writer | write | leave | review | review |
//! | `newest` | any | write | leave | later by `gap`: it stands; else review | = both changed |
//! | `manual` | any | write | leave | review | review |
//!
//! Under `owner_unless_blank` a blank never erases anything, and is filled by whoever may write. Where a third system owns
//! the field and is known to hold something else, its value stands: leave; is it known to hold ours: write. `forced`
//! lets `monotonic` go back, and nothing else.

use super::{OwnedField, Policy};
use crate::config::model::Compare;
use crate::record::alike;
use crate::record::ledger::KnownField;
use crate::record::value::Value;
use crate::time::{Timestamp, short};

/// A field that a source brings, and what is known of it.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// The system that the value comes from.
    pub source: &'a str,
    /// The system that it would be written to.
    pub receiver: &'a str,
    /// The record is being made there.
    pub creating: bool,
    /// A person forced this delivery by name: `monotonic` does not hold it back.
    pub forced: bool,
    /// What the receiver was last known to hold ([`base`]), as the ledger keeps it.
    pub base: Option<&'a str>,
    /// What the owner's system is last known to hold, where it is neither side, as the ledger keeps it.
    pub at_owner: Option<&'a str>,
    /// What the source brings.
    pub ours: Side<'a>,
    /// What the receiver holds. None: it was not read, or the answer does not have the field.
    pub theirs: Option<Side<'a>>,
    /// Both mean the same by the record map and the rule's comparison (`record::same_by`).
    pub equal: bool,
}

/// One side's value.
#[derive(Debug, Clone)]
pub struct Side<'a> {
    /// The value.
    pub value: &'a Value,
    /// As the ledger keeps it: canonical, or a keyed hash where the field is sensitive.
    pub kept: &'a str,
    /// When it was changed, where that is known.
    pub changed: Option<Timestamp>,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is written.
    Write,
    /// It is left out: what the receiver holds stands.
    Leave(Why),
    /// It is left out until a person decides.
    Review(Why),
    /// It is left out: the source may not write it (`may_write` says why).
    Denied,
}

/// Why a field is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Both say the same.
    Same,
    /// Only the receiver's changed.
    OnlyTheirs,
    /// The owner's value stands.
    OwnerStands,
    /// A blank erases nothing.
    NeverErased,
    /// The receiver's is further on in the order.
    FurtherOn,
    /// The receiver's was changed later.
    Later,
    /// Both changed.
    BothChanged,
    /// They differ, and nothing is known that they once agreed on.
    NeverAgreed,
    /// Both changed, too close in time to say which is newer.
    Tie,
    /// Nothing says when one of them was changed.
    NoTimes,
    /// A word that the order does not have.
    UnknownWord,
}

impl Why {
    /// In words; no value is in them.
    pub fn words(self, rule: &OwnedField, source: &str, receiver: &str) -> String {
        let owner = &rule.owner;
        match self {
            Self::Same => format!("{source} and {receiver} say the same"),
            Self::OnlyTheirs => format!("only {receiver} changed it since they agreed"),
            Self::OwnerStands => format!("{owner} owns it, and its value stands"),
            Self::NeverErased => "a blank erases nothing".to_owned(),
            Self::FurtherOn => format!("{receiver} is further on, and it never goes back"),
            Self::Later => format!("{receiver} changed it later"),
            Self::BothChanged => format!("{source} and {receiver} both changed it"),
            Self::NeverAgreed => {
                format!(
                    "{source} and {receiver} differ, and nothing is known that they agreed on before"
                )
            }
            Self::Tie => {
                format!(
                    "{source} and {receiver} changed it within {}",
                    short(rule.gap)
                )
            }
            Self::NoTimes => {
                format!("{source} and {receiver} differ, and nothing says which changed it later")
            }
            Self::UnknownWord => {
                format!("what {source} or {receiver} says is not in the field's `order`")
            }
        }
    }
}

/// What a system was last known to hold in agreement with midwatch, and since when: the later of what both sides were
/// seen to agree on and what was written there.
pub fn base(field: &KnownField) -> Option<&(String, Timestamp)> {
    // Of two at one time the agreement, which was read, says more than the write.
    [&field.sent, &field.agreed]
        .into_iter()
        .flatten()
        .max_by_key(|(_, at)| *at)
}

/// Who changed a field that differs since the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    OnlyOurs,
    OnlyTheirs,
    Both,
    Unknown,
}

/// Decides a field; the module's table says how.
pub fn decide(rule: &OwnedField, case: &Case<'_>) -> Decision {
    use Decision::{Denied, Leave, Write};
    if !rule.permits(case.source, case.creating) {
        return Denied;
    }
    if case.creating {
        return Write;
    }
    let blank = is_blank(case.ours.value);
    let Some(theirs) = &case.theirs else {
        return not_there(rule, case, blank);
    };
    if case.equal || blank && is_blank(theirs.value) {
        return Leave(Why::Same);
    }
    match rule.policy {
        Policy::Owner => owners(rule, case, theirs),
        Policy::OwnerUnlessBlank if blank => Leave(Why::NeverErased),
        Policy::OwnerUnlessBlank => {
            let filled = case.receiver == rule.owner && is_blank(theirs.value);
            if filled {
                Write
            } else {
                owners(rule, case, theirs)
            }
        }
        Policy::Monotonic if !rule.order.is_empty() => {
            let theirs = theirs.value.text();
            let theirs = theirs.filter(|text| !text.trim().is_empty());
            further(rule, case, theirs.as_deref())
        }
        Policy::Monotonic if case.source == rule.owner => Write,
        Policy::Monotonic | Policy::Manual => three_way(rule, case, theirs, |changed| {
            Decision::Review(match changed {
                Changed::Unknown => Why::NeverAgreed,
                _ => Why::BothChanged,
            })
        }),
        Policy::Newest => three_way(rule, case, theirs, |_| {
            later(rule, case.ours.changed, theirs.changed)
        }),
    }
}

/// The receiver's value is not known: there is nothing to stand against ours, but what was known before.
fn not_there(rule: &OwnedField, case: &Case<'_>, blank: bool) -> Decision {
    match rule.policy {
        Policy::OwnerUnlessBlank if blank => Decision::Leave(Why::NeverErased),
        Policy::Monotonic if !rule.order.is_empty() => {
            let known = |kept: &&str| !is_blank_kept(kept) && !kept.starts_with('#');
            let base = case.base.filter(known).map(alike::plain);
            further(rule, case, base.as_deref())
        }
        _ => Decision::Write,
    }
}

/// `owner`, and `owner_unless_blank` where neither is.
fn owners(rule: &OwnedField, case: &Case<'_>, theirs: &Side<'_>) -> Decision {
    if case.source == rule.owner {
        return Decision::Write;
    }
    if case.receiver == rule.owner {
        return three_way(rule, case, theirs, |_| Decision::Leave(Why::OwnerStands));
    }
    let unless_blank = rule.policy == Policy::OwnerUnlessBlank;
    let at_owner = case
        .at_owner
        .filter(|kept| !(unless_blank && is_blank_kept(kept)));
    if let Some(at_owner) = at_owner {
        if same(rule, &case.ours, at_owner) {
            return Decision::Write;
        }
        let unchanged = |base| alike::kept(rule.compare, base, at_owner);
        if !case.base.is_some_and(unchanged) {
            return Decision::Leave(Why::OwnerStands);
        }
    }
    three_way(rule, case, theirs, |changed| {
        Decision::Review(match changed {
            Changed::Unknown => Why::NeverAgreed,
            _ => Why::BothChanged,
        })
    })
}

/// Whoever alone changed it since the base has it; else `tied` says.
fn three_way(
    rule: &OwnedField,
    case: &Case<'_>,
    theirs: &Side<'_>,
    tied: impl Fn(Changed) -> Decision,
) -> Decision {
    let changed = match case.base {
        None => Changed::Unknown,
        Some(base) => match (same(rule, &case.ours, base), same(rule, theirs, base)) {
            // Nothing of ours is new.
            (true, _) => Changed::OnlyTheirs,
            (false, true) => Changed::OnlyOurs,
            (false, false) => Changed::Both,
        },
    };
    match changed {
        Changed::OnlyOurs => Decision::Write,
        Changed::OnlyTheirs => Decision::Leave(Why::OnlyTheirs),
        Changed::Both | Changed::Unknown => tied(changed),
    }
}

/// `monotonic` with an order; `theirs` is the receiver's word, or the last that is known of it.
fn further(rule: &OwnedField, case: &Case<'_>, theirs: Option<&str>) -> Decision {
    let ours = case.ours.value.text();
    let ranks = (ours.as_deref().and_then(|ours| rule.rank(ours)), theirs);
    match ranks {
        _ if case.forced => Decision::Write,
        (None, _) => Decision::Review(Why::UnknownWord),
        // Nothing to fall behind.
        (Some(_), None) => Decision::Write,
        (Some(ours), Some(theirs)) => match rule.rank(theirs) {
            None => Decision::Review(Why::UnknownWord),
            Some(theirs) if ours < theirs => Decision::Leave(Why::FurtherOn),
            Some(_) => Decision::Write,
        },
    }
}

/// `newest`: the later one stands, if it is later by the gap.
fn later(rule: &OwnedField, ours: Option<Timestamp>, theirs: Option<Timestamp>) -> Decision {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return Decision::Review(Why::NoTimes);
    };
    // `since` is zero where it would be negative.
    let is_later = |one: Timestamp, other: Timestamp| one > other && one.since(other) >= rule.gap;
    if is_later(ours, theirs) {
        Decision::Write
    } else if is_later(theirs, ours) {
        Decision::Leave(Why::Later)
    } else {
        Decision::Review(Why::Tie)
    }
}

impl OwnedField {
    /// Where a word stands in the field's order, lowest 0.
    pub fn rank(&self, word: &str) -> Option<usize> {
        let compare = self.compare.unwrap_or(Compare::Exact);
        self.order
            .iter()
            .position(|known| alike::texts(compare, known, word))
    }
}

/// A side's value is the one that the ledger keeps.
fn same(rule: &OwnedField, side: &Side<'_>, kept: &str) -> bool {
    alike::kept(rule.compare, side.kept, kept)
}

/// Null, a text of blanks, an empty set: nothing was said.
pub fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => text.trim().is_empty(),
        Value::Set(texts) => texts.is_empty(),
        _ => false,
    }
}

/// The same of a value as the ledger keeps it.
fn is_blank_kept(kept: &str) -> bool {
    matches!(kept, "null" | "[]") || kept.starts_with('"') && alike::plain(kept).trim().is_empty()
}
