//! Whom an incident is told to, when, and how often.

use std::fmt;
use std::time::Duration;

use super::Hours;
use crate::store::view::Severity;
use crate::time::short;

/// `[people]`: somebody who can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The name.
    pub name: String,
    /// Where to reach that person, the surest first: keys of the configuration's channels.
    pub channels: Vec<String>,
}

/// Somebody to tell, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// A person's name, or a channel's.
    pub who: String,
    /// Where, the surest first; the others are for when it does not arrive.
    pub channels: Vec<String>,
}

/// `[escalation.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// For what may wake somebody.
    pub critical: Vec<Level>,
    /// For what can wait.
    pub warning: Vec<Level>,
}

/// One step of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Who is told.
    pub tell: Vec<Tell>,
    /// So long after the incident began (or became worse), if nobody has taken it.
    pub after: Duration,
    /// Told again this often until somebody takes it; none: once.
    pub repeat: Option<Duration>,
    /// Only in these hours; none: at any time.
    pub hours: Option<Hours>,
}

/// Whom a level tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tell {
    /// Whoever is on call by a rota.
    Rota(String),
    /// A person.
    Person(String),
    /// A channel.
    Channel(String),
}

impl Policy {
    /// The policy of a path whose escalation is one channel: critical at once and every 15 minutes, the rest on workdays.
    pub fn of_channel(channel: &str) -> Self {
        let level = |repeat, hours| Level {
            tell: vec![Tell::Channel(channel.to_owned())],
            after: Duration::ZERO,
            repeat,
            hours,
        };
        Self {
            name: channel.to_owned(),
            critical: vec![level(Some(Duration::from_secs(15 * 60)), None)],
            warning: vec![level(None, Some(Hours::WORKDAYS))],
        }
    }

    /// The levels for what is that bad.
    pub fn levels(&self, severity: Severity) -> &[Level] {
        match severity {
            Severity::Critical => &self.critical,
            Severity::Warning => &self.warning,
            Severity::Info => &[],
        }
    }
}

impl fmt::Display for Tell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rota(name) => write!(f, "oncall:{name}"),
            Self::Person(name) | Self::Channel(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.tell.iter().map(Tell::to_string).collect();
        f.write_str(&told.join(", "))?;
        if !self.after.is_zero() {
            write!(f, " after {}", short(self.after))?;
        }
        if let Some(repeat) = self.repeat {
            write!(f, ", again every {}", short(repeat))?;
        }
        if let Some(hours) = self.hours {
            write!(f, ", {hours}")?;
        }
        Ok(())
    }
}
