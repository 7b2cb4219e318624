//! Strings that fit a pattern or a format, for examples. Knows the common half of regular expressions; whoever uses it
//! asks the validator whether they really fit.

use std::iter::Peekable;
use std::str::Chars;

/// At most so long is a string that is made.
const LONGEST: usize = 200;

/// How deep groups may lie in one another.
const DEEPEST: usize = 16;

/// Strings that a pattern probably finds something in: with few repetitions, and with more.
pub(super) fn fitting(pattern: &str) -> Vec<String> {
    let mut found = Vec::new();
    for more in [0, 1, 3] {
        for choice in 0..2 {
            let mut maker = Maker {
                more,
                choice,
                out: String::new(),
            };
            let mut chars = pattern.chars().peekable();
            maker.alternatives(&mut chars, 0);
            if !found.contains(&maker.out) {
                found.push(maker.out);
            }
        }
    }
    found
}

struct Maker {
    /// How many more repetitions than the least.
    more: usize,
    /// Which alternative, if there are several.
    choice: usize,
    out: String,
}

impl Maker {
    /// Alternatives up to the end of the group: one of them is made.
    fn alternatives(&mut self, chars: &mut Peekable<Chars<'_>>, deep: usize) {
        let start = self.out.len();
        let mut made = Vec::new();
        loop {
            self.sequence(chars, deep);
            made.push(self.out.split_off(start));
            if chars.next_if_eq(&'|').is_none() {
                break;
            }
        }
        let at = self.choice.min(made.len() - 1);
        self.out.push_str(&made[at]);
    }

    fn sequence(&mut self, chars: &mut Peekable<Chars<'_>>, deep: usize) {
        while let Some(c) = chars.next_if(|c| *c != '|' && *c != ')') {
            let start = self.out.len();
            match c {
                '^' | '$' => continue,
                '.' => self.out.push('a'),
                '\\' => self.escape(chars),
                '[' => self.class(chars),
                '(' => {
                    let looks = self.group(chars, deep);
                    if looks {
                        self.out.truncate(start);
                    }
                }
                c => self.out.push(c),
            }
            self.repeat(chars, start);
        }
    }

    /// A group; true if it only looks.
    fn group(&mut self, chars: &mut Peekable<Chars<'_>>, deep: usize) -> bool {
        let mut looks = false;
        if chars.next_if_eq(&'?').is_some() {
            match chars.next() {
                Some('=' | '!') => looks = true,
                Some('<') => {
                    looks = chars.next_if(|c| matches!(c, '=' | '!')).is_some();
                    if !looks {
                        while chars.next_if(|c| *c != '>').is_some() {}
                        chars.next();
                    }
                }
                _ => {}
            }
        }
        if deep < DEEPEST {
            self.alternatives(chars, deep + 1);
        }
        chars.next_if_eq(&')');
        looks
    }

    fn escape(&mut self, chars: &mut Peekable<Chars<'_>>) {
        match chars.next() {
            Some('d') => self.out.push('1'),
            Some('w') => self.out.push('a'),
            Some('s') => self.out.push(' '),
            Some('D' | 'W' | 'S') => self.out.push('-'),
            Some('b' | 'B') | None => {}
            Some('n') => self.out.push('\n'),
            Some('t') => self.out.push('\t'),
            Some('p') => {
                while chars.next_if(|c| *c != '}').is_some() {}
                chars.next();
                self.out.push('A');
            }
            Some(c) => self.out.push(c),
        }
    }

    fn class(&mut self, chars: &mut Peekable<Chars<'_>>) {
        let negated = chars.next_if_eq(&'^').is_some();
        let mut members = Vec::new();
        while let Some(c) = chars.next() {
            match c {
                ']' => break,
                '\\' => {
                    let mut inner = Self {
                        more: 0,
                        choice: 0,
                        out: String::new(),
                    };
                    inner.escape(chars);
                    members.extend(inner.out.chars());
                }
                '-' if !members.is_empty() && chars.peek().is_some_and(|c| *c != ']') => {
                    members.extend(chars.next());
                }
                c => members.push(c),
            }
        }
        if negated {
            let other = ['a', '0', '-', ' ', 'Z'];
            let other = other.into_iter().find(|c| !members.contains(c));
            self.out.extend(other);
        } else {
            self.out.extend(members.first());
        }
    }

    /// Repeats what was made last, as the quantifier that follows says.
    fn repeat(&mut self, chars: &mut Peekable<Chars<'_>>, start: usize) {
        let (least, most) = match chars.peek() {
            Some('*') => (0, usize::MAX),
            Some('+') => (1, usize::MAX),
            Some('?') => (0, 1),
            Some('{') => return self.counted(chars, start),
            _ => return,
        };
        chars.next();
        self.times(chars, start, least, most);
    }

    fn counted(&mut self, chars: &mut Peekable<Chars<'_>>, start: usize) {
        chars.next();
        let mut text = String::new();
        while let Some(c) = chars.next_if(|c| *c != '}') {
            text.push(c);
        }
        chars.next();
        let (least, most) = text.split_once(',').unwrap_or((&text, &text));
        let least = least.parse().unwrap_or(0);
        let most = most.parse().unwrap_or(usize::MAX);
        self.times(chars, start, least, most);
    }

    fn times(&mut self, chars: &mut Peekable<Chars<'_>>, start: usize, least: usize, most: usize) {
        chars.next_if(|c| matches!(c, '?' | '+'));
        let one = self.out.split_off(start);
        let times = least.saturating_add(self.more).min(most);
        for _ in 0..times {
            if self.out.len() + one.len() > LONGEST {
                break;
            }
            self.out.push_str(&one);
        }
    }
}

/// Strings of a format.
pub(super) fn of_format(format: &str) -> &'static [&'static str] {
    match format {
        "date" => &["2026-01-31"],
        "date-time" => &["2026-01-31T12:00:00Z"],
        "time" => &["12:00:00Z"],
        "duration" => &["P1D"],
        "email" | "idn-email" => &["a@example.com"],
        "hostname" | "idn-hostname" => &["example.com"],
        "ipv4" => &["192.0.2.1"],
        "ipv6" => &["2001:db8::1"],
        "uri" | "iri" => &["https://example.com/a"],
        "uri-reference" | "iri-reference" | "json-pointer" => &["/a"],
        "uuid" => &["9d0a8d1c-6a2f-4a7e-9a0f-0d6f5f7f1c11"],
        "regex" => &["^a$"],
        "relative-json-pointer" => &["0"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn strings_are_made_that_common_patterns_find() {
        for pattern in [
            "^S_",
            "_id$",
            "^[A-Z]{2,3}-[0-9]+$",
            r"^\d{4}-\d\d$",
            "^(red|green)$",
            "^(?:a|b)+c?$",
            "",
            r"^[^@\s]+@[^@\s]+$",
            "^x-",
            r"^(?<year>\d+)$",
            r"\.json$",
        ] {
            let validator = jsonschema::validator_for(&json!({"pattern": pattern})).unwrap();
            let made = fitting(pattern);
            assert!(
                made.iter().any(|text| validator.is_valid(&json!(text))),
                "{pattern}: {made:?}"
            );
        }
    }

    #[test]
    fn broken_patterns_end() {
        for pattern in [
            "(",
            "[",
            "a{",
            "\\",
            "(?",
            "(?<",
            ")",
            "a**",
            "[a-",
            &"(".repeat(10_000),
        ] {
            let _ = fitting(pattern);
        }
        assert!(
            fitting("a{1000000}")
                .iter()
                .all(|text| text.len() <= LONGEST)
        );
    }
}
