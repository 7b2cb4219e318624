//! The kinds of JSON values, as a set: what a schema lets through at all. Numbers are two kinds, so that `integer` is a
//! part of `number`.

use serde_json::Value;

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    /// Numbers that are no integers.
    pub(super) const FRACTION: Self = Self(8);
    pub(super) const NUMBER: Self = Self(12);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ALL: Self = Self(127);

    /// The kinds that differ in which keywords concern them.
    pub(super) const KINDS: [Self; 6] = [
        Self::NULL,
        Self::BOOLEAN,
        Self::NUMBER,
        Self::STRING,
        Self::ARRAY,
        Self::OBJECT,
    ];

    fn of_word(word: &str) -> Self {
        match word {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::NONE,
        }
    }

    /// What the keyword `type` lets through.
    pub(super) fn of_keyword(value: &Value) -> Self {
        match value {
            Value::String(word) => Self::of_word(word),
            Value::Array(words) => {
                let words = words.iter().filter_map(Value::as_str);
                words.fold(Self::NONE, |all, word| all.or(Self::of_word(word)))
            }
            _ => Self::ALL,
        }
    }

    /// The kind of a value; `1.0` is an integer, as in the specification.
    pub(super) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() != 0.0 => Self::FRACTION,
                _ => Self::INTEGER,
            },
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn meets(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// Finitely many values: nothing but null, true and false.
    pub(super) fn few(self) -> bool {
        self.without(Self::NULL.or(Self::BOOLEAN)).is_empty()
    }

    /// How many kinds, numbers counted once.
    pub(super) fn count(self) -> usize {
        Self::KINDS
            .into_iter()
            .filter(|kind| self.meets(*kind))
            .count()
    }

    /// The kinds in words.
    pub(super) fn words(self) -> String {
        if self == Self::ALL {
            return "anything".to_owned();
        }
        let mut words = Vec::new();
        for (kind, word) in [
            (Self::NULL, "null"),
            (Self::BOOLEAN, "boolean"),
            (Self::STRING, "string"),
            (Self::ARRAY, "array"),
            (Self::OBJECT, "object"),
        ] {
            if self.meets(kind) {
                words.push(word);
            }
        }
        match self.and(Self::NUMBER) {
            Self::NUMBER => words.push("number"),
            Self::INTEGER => words.push("integer"),
            Self::FRACTION => words.push("number that is no integer"),
            _ => {}
        }
        match words.split_last() {
            None => "nothing".to_owned(),
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        }
    }
}
