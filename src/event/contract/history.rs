//! Whether the versions of a contract keep to its mode: each against the earlier ones, where no cast makes one readable by
//! the other. Pure. Called by the configuration's check and by `contracts check`.

use super::compat::{Direction, Verdict, judge};
use super::{Cast, Contract, ContractVersion};

/// Two versions that the mode wants to fit, one way.
#[derive(Debug, Clone)]
pub struct Pair<'c> {
    /// Index of the earlier version.
    pub old: usize,
    /// Index of the later version.
    pub new: usize,
    /// Who must read what.
    pub direction: Direction,
    /// The casts that lead from what is written to what is read, if there are any: then the versions need not fit.
    pub casts: Option<Vec<&'c Cast>>,
    versions: &'c [ContractVersion],
    lenient: bool,
}

impl Contract {
    /// Every pair that the mode speaks of: by the later version, then by the earlier one, the oldest first.
    pub fn pairs(&self) -> Vec<Pair<'_>> {
        let mut pairs = Vec::new();
        for new in 1..self.versions.len() {
            let first = if self.mode.is_transitive() {
                0
            } else {
                new - 1
            };
            for old in first..new {
                for &direction in self.mode.directions() {
                    let (writer, reader) = match direction {
                        Direction::Backward => (old, new),
                        Direction::Forward => (new, old),
                    };
                    let [writer, reader] = [writer, reader].map(|at| &self.versions[at].name);
                    pairs.push(Pair {
                        old,
                        new,
                        direction,
                        casts: self.chain(writer, reader),
                        versions: &self.versions,
                        lenient: self.lenient,
                    });
                }
            }
        }
        pairs
    }
}

impl Pair<'_> {
    /// The earlier version's name.
    pub fn old_name(&self) -> &str {
        &self.versions[self.old].name
    }

    /// The later version's name.
    pub fn new_name(&self) -> &str {
        &self.versions[self.new].name
    }

    /// Compares them, whatever the casts. Findings are told against the earlier version's index.
    pub fn judge(&self) -> Verdict {
        let [old, new] = [self.old, self.new].map(|at| &self.versions[at].schema);
        let mut verdict = judge(old, new, self.direction, self.lenient);
        for finding in &mut verdict.findings {
            finding.against = self.old;
        }
        verdict
    }

    /// The casts between them in words: `the cast 1 -> 2`.
    pub fn bridge(&self) -> Option<String> {
        let casts = self.casts.as_ref()?;
        let names: Vec<&str> = (casts.first().map(|cast| cast.from.as_str()).into_iter())
            .chain(casts.iter().map(|cast| cast.to.as_str()))
            .collect();
        let what = if casts.len() == 1 {
            "the cast"
        } else {
            "the casts"
        };
        Some(format!("{what} {}", names.join(" -> ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::super::testing::contract;
    use super::*;

    const NUMBER: &str = r#"{"type":"number"}"#;
    const INTEGER: &str = r#"{"type":"integer"}"#;
    const TEXT: &str = r#"{"type":"string"}"#;

    fn told(mode: Mode, versions: &[(&str, &str)], casts: &[(&str, &str, &str)]) -> Vec<String> {
        let contract = Contract {
            mode,
            ..contract("order.updated", versions, casts)
        };
        (contract.pairs().iter())
            .map(|pair| {
                let way = match pair.direction {
                    Direction::Backward => "reads",
                    Direction::Forward => "is read by",
                };
                let fits = pair.judge().compatible;
                let bridge = pair.bridge().unwrap_or_default();
                let (new, old) = (pair.new_name(), pair.old_name());
                format!("{new} {way} {old}: {fits} {bridge}")
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn each_version_is_held_against_the_earlier_ones_as_the_mode_says() {
        let versions = [("1", INTEGER), ("2", NUMBER), ("3", TEXT)];
        for (mode, casts, expected) in [
            (Mode::None, &[][..], &[][..]),
            (
                Mode::Backward,
                &[],
                &["2 reads 1: true", "3 reads 2: false"],
            ),
            (
                Mode::BackwardTransitive,
                &[("2", "3", "{}")],
                // The way from 1 to 3 is 1 -> 2 only if there is a cast: reading 1 as 2 is none.
                &[
                    "2 reads 1: true",
                    "3 reads 1: false",
                    "3 reads 2: false the cast 2 -> 3",
                ],
            ),
            (
                Mode::BackwardTransitive,
                &[("1", "2", "{}"), ("2", "3", "{}")],
                &[
                    "2 reads 1: true the cast 1 -> 2",
                    "3 reads 1: false the casts 1 -> 2 -> 3",
                    "3 reads 2: false the cast 2 -> 3",
                ],
            ),
            (
                Mode::Full,
                &[("3", "2", "{}")],
                &[
                    "2 reads 1: true",
                    "2 is read by 1: false",
                    "3 reads 2: false",
                    "3 is read by 2: false the cast 3 -> 2",
                ],
            ),
        ] {
            assert_eq!(told(mode, &versions, casts), expected, "{mode:?} {casts:?}");
        }
    }
}
