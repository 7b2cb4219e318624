//! Bounds of numbers, and the bounds that are counts: lengths, items, properties.

use serde_json::{Number, Value};

use super::facts::{All, Facts, whole};
use super::findings::Rule;
use super::refs::NodeId;
use super::types::Types;
use super::walk::Walk;

/// The rules of a keyword that bounds.
pub(super) struct Bound {
    pub(super) key: &'static str,
    /// It says what is the least.
    pub(super) low: bool,
    pub(super) exclusive: bool,
    pub(super) added: Rule,
    pub(super) removed: Rule,
    pub(super) increased: Rule,
    pub(super) decreased: Rule,
}

pub(super) const NUMBERS: [Bound; 4] = [
    Bound {
        key: "minimum",
        low: true,
        exclusive: false,
        added: Rule::MinimumAdded,
        removed: Rule::MinimumRemoved,
        increased: Rule::MinimumIncreased,
        decreased: Rule::MinimumDecreased,
    },
    Bound {
        key: "exclusiveMinimum",
        low: true,
        exclusive: true,
        added: Rule::ExclusiveMinimumAdded,
        removed: Rule::ExclusiveMinimumRemoved,
        increased: Rule::ExclusiveMinimumIncreased,
        decreased: Rule::ExclusiveMinimumDecreased,
    },
    Bound {
        key: "maximum",
        low: false,
        exclusive: false,
        added: Rule::MaximumAdded,
        removed: Rule::MaximumRemoved,
        increased: Rule::MaximumIncreased,
        decreased: Rule::MaximumDecreased,
    },
    Bound {
        key: "exclusiveMaximum",
        low: false,
        exclusive: true,
        added: Rule::ExclusiveMaximumAdded,
        removed: Rule::ExclusiveMaximumRemoved,
        increased: Rule::ExclusiveMaximumIncreased,
        decreased: Rule::ExclusiveMaximumDecreased,
    },
];

pub(super) const LENGTHS: [Bound; 2] = [
    Bound {
        key: "minLength",
        low: true,
        exclusive: false,
        added: Rule::MinLengthAdded,
        removed: Rule::MinLengthRemoved,
        increased: Rule::MinLengthIncreased,
        decreased: Rule::MinLengthDecreased,
    },
    Bound {
        key: "maxLength",
        low: false,
        exclusive: false,
        added: Rule::MaxLengthAdded,
        removed: Rule::MaxLengthRemoved,
        increased: Rule::MaxLengthIncreased,
        decreased: Rule::MaxLengthDecreased,
    },
];

pub(super) const ITEMS: [Bound; 2] = [
    Bound {
        key: "minItems",
        low: true,
        exclusive: false,
        added: Rule::MinItemsAdded,
        removed: Rule::MinItemsRemoved,
        increased: Rule::MinItemsIncreased,
        decreased: Rule::MinItemsDecreased,
    },
    Bound {
        key: "maxItems",
        low: false,
        exclusive: false,
        added: Rule::MaxItemsAdded,
        removed: Rule::MaxItemsRemoved,
        increased: Rule::MaxItemsIncreased,
        decreased: Rule::MaxItemsDecreased,
    },
];

pub(super) const PROPERTIES: [Bound; 2] = [
    Bound {
        key: "minProperties",
        low: true,
        exclusive: false,
        added: Rule::MinPropertiesAdded,
        removed: Rule::MinPropertiesRemoved,
        increased: Rule::MinPropertiesIncreased,
        decreased: Rule::MinPropertiesDecreased,
    },
    Bound {
        key: "maxProperties",
        low: false,
        exclusive: false,
        added: Rule::MaxPropertiesAdded,
        removed: Rule::MaxPropertiesRemoved,
        increased: Rule::MaxPropertiesIncreased,
        decreased: Rule::MaxPropertiesDecreased,
    },
];

/// A number that values are held against, exact where it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Limit {
    Whole(i128),
    Float(f64),
}

impl Limit {
    fn of(number: &Number) -> Option<Self> {
        let whole = number.as_i64().map(i128::from);
        let whole = whole.or_else(|| number.as_u64().map(i128::from));
        whole
            .map(Self::Whole)
            .or_else(|| number.as_f64().map(Self::Float))
    }

    fn compare(self, other: Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(&other)),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(&other),
            (Self::Whole(one), Self::Float(other)) => (one as f64).partial_cmp(&other),
            (Self::Float(one), Self::Whole(other)) => one.partial_cmp(&(other as f64)),
        }
    }
}

/// A least or a most.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    limit: Limit,
    exclusive: bool,
}

impl End {
    /// As seen by integers: included, and whole.
    fn of_integers(self, low: bool) -> Self {
        let whole = match self.limit {
            Limit::Whole(whole) if self.exclusive => whole.checked_add(if low { 1 } else { -1 }),
            Limit::Whole(whole) => Some(whole),
            Limit::Float(float) if float.abs() < 1e15 => {
                let near = if low { float.ceil() } else { float.floor() };
                let same = (near - float).abs() < f64::EPSILON;
                let step = if same && self.exclusive {
                    if low { 1 } else { -1 }
                } else {
                    0
                };
                Some(near as i128 + step)
            }
            Limit::Float(_) => None,
        };
        match whole {
            Some(whole) => Self {
                limit: Limit::Whole(whole),
                exclusive: false,
            },
            None => self,
        }
    }

    /// Whether it leaves nothing that the other would not.
    fn implies(self, other: Self, low: bool) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match (self.limit.compare(other.limit), low) {
            (Some(Equal), _) => self.exclusive || !other.exclusive,
            (Some(Greater), true) | (Some(Less), false) => true,
            _ => false,
        }
    }
}

impl End {
    /// Whether it is a least that lies beyond a most.
    pub(super) fn is_past(self, most: Self, integers: bool) -> bool {
        use std::cmp::Ordering::{Equal, Greater};
        let (least, most) = if integers {
            (self.of_integers(true), most.of_integers(false))
        } else {
            (self, most)
        };
        match least.limit.compare(most.limit) {
            Some(Greater) => true,
            Some(Equal) => least.exclusive || most.exclusive,
            _ => false,
        }
    }
}

impl Walk<'_> {
    /// The tightest end that the parts give.
    fn end(&self, facts: &Facts, low: bool) -> Option<End> {
        let mut tightest: Option<End> = None;
        for bound in NUMBERS.iter().filter(|bound| bound.low == low) {
            for leaf in &facts.leaves {
                let Some(Value::Number(number)) = self.docs.keyword(*leaf, bound.key) else {
                    continue;
                };
                let Some(limit) = Limit::of(number) else {
                    continue;
                };
                let end = End {
                    limit,
                    exclusive: bound.exclusive,
                };
                if tightest.is_none_or(|known| !known.implies(end, low)) {
                    tightest = Some(end);
                }
            }
        }
        tightest
    }

    /// Both ends of numbers.
    pub(super) fn ends(&self, facts: &Facts) -> [Option<End>; 2] {
        [self.end(facts, true), self.end(facts, false)]
    }

    pub(super) fn numbers(&mut self, writer: &All, facts: &Facts, reader: NodeId) -> bool {
        let integers = !facts.types.meets(Types::FRACTION);
        let mut yes = true;
        for bound in &NUMBERS {
            let Some(Value::Number(number)) = self.docs.keyword(reader, bound.key) else {
                continue;
            };
            let Some(limit) = Limit::of(number) else {
                continue;
            };
            let mut wanted = End {
                limit,
                exclusive: bound.exclusive,
            };
            let mut has = self.end(facts, bound.low);
            if integers {
                wanted = wanted.of_integers(bound.low);
                has = has.map(|end| end.of_integers(bound.low));
            }
            if has.is_some_and(|has| has.implies(wanted, bound.low)) {
                continue;
            }
            let written = self.part_with(writer, facts, bound.key);
            yes = self.bound_broken(writer, reader, bound, written.is_some());
        }
        if let Some(wanted) = self.docs.keyword(reader, "multipleOf") {
            yes &= self.multiples(writer, facts, reader, wanted, integers);
        }
        yes
    }

    fn multiples(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        wanted: &Value,
        integers: bool,
    ) -> bool {
        let leaves = facts.leaves.iter();
        let steps: Vec<_> = leaves
            .filter_map(|leaf| self.docs.keyword(*leaf, "multipleOf"))
            .collect();
        let one = Value::from(1);
        let mut known = steps.iter().copied().chain(integers.then_some(&one));
        if known.any(|step| is_multiple(step, wanted)) {
            return true;
        }
        let rule = match steps.first() {
            None => Rule::MultipleOfAdded,
            Some(step) if is_multiple(wanted, step) => Rule::MultipleOfExpanded,
            Some(_) => Rule::MultipleOfChanged,
        };
        let words = format!(
            "{} accepts only multiples of {wanted}, {} others too",
            self.names[1], self.names[0]
        );
        self.report(rule, writer, reader, "multipleOf", words)
    }

    fn bound_broken(&mut self, writer: &All, reader: NodeId, bound: &Bound, has: bool) -> bool {
        let rule = match (has, bound.low) {
            (false, _) => bound.added,
            (true, true) => bound.increased,
            (true, false) => bound.decreased,
        };
        let wanted = self.docs.keyword(reader, bound.key);
        let wanted = wanted.map(ToString::to_string).unwrap_or_default();
        let words = format!(
            "{} holds to {} {wanted}, which {} does not",
            self.names[1], bound.key, self.names[0]
        );
        self.report(rule, writer, reader, bound.key, words)
    }

    /// Holds the reader's counts against those of the writer, and against what else the writer's parts bring about.
    pub(super) fn counts(
        &mut self,
        writer: &All,
        facts: &Facts,
        reader: NodeId,
        bounds: &[Bound; 2],
        otherwise: (u64, Option<u64>),
    ) -> bool {
        let mut yes = true;
        for bound in bounds {
            let Some(wanted) = self.docs.keyword(reader, bound.key).and_then(whole) else {
                continue;
            };
            let has = self.whole(facts, bound.key, bound.low).map(|(has, _)| has);
            let holds = if bound.low {
                has.unwrap_or(0).max(otherwise.0) >= wanted
            } else {
                (has.into_iter().chain(otherwise.1)).any(|most| most <= wanted)
            };
            if !holds {
                yes = self.bound_broken(writer, reader, bound, has.is_some());
            }
        }
        yes
    }
}

/// Whether every multiple of `one` is one of `other`.
pub(super) fn is_multiple(one: &Value, other: &Value) -> bool {
    if one == other {
        return true;
    }
    let (Some(one), Some(other)) = (Decimal::of(one), Decimal::of(other)) else {
        return false;
    };
    let places = one.places.max(other.places);
    match (one.with_places(places), other.with_places(places)) {
        (Some(one), Some(other)) if other != 0 => one % other == 0,
        _ => false,
    }
}

/// A number as it is written: `0.05` is 5 with two places.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: i128,
    places: u32,
}

impl Decimal {
    fn of(value: &Value) -> Option<Self> {
        let text = value.as_number()?.to_string();
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text.as_str(), 0),
        };
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let part = part.trim_end_matches('0');
        let digits: i128 = format!("{whole}{part}").parse().ok()?;
        let places = i32::try_from(part.len()).ok()?.checked_sub(exponent)?;
        match u32::try_from(places) {
            Ok(places) => Some(Self { digits, places }),
            Err(_) => Some(Self {
                digits: digits.checked_mul(10_i128.checked_pow(places.unsigned_abs())?)?,
                places: 0,
            }),
        }
    }

    fn with_places(self, places: u32) -> Option<i128> {
        let more = places.checked_sub(self.places)?;
        self.digits.checked_mul(10_i128.checked_pow(more)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn multiples_are_told_by_their_digits() {
        for (one, other, yes) in [
            (json!(10), json!(2), true),
            (json!(10), json!(4), false),
            (json!(0.3), json!(0.1), true),
            (json!(1), json!(0.01), true),
            (json!(0.01), json!(1), false),
            (json!(1e20), json!(1e-5), true),
            (json!(1e300), json!(7), false),
            (json!(2.0), json!(2), true),
        ] {
            assert_eq!(is_multiple(&one, &other), yes, "{one} {other}");
        }
    }
}
