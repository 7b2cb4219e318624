//! Who acts, as far as this process can claim. Called by the command line.

use super::action::Actor;
use super::wire::PeerKind;

/// Who acts, as claimed: goes into every audit row beside the socket peer's uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// `--as NAME`, else SUDO_USER, else USER, else the account's name.
    pub name: String,
    /// The client address in SSH_CONNECTION.
    pub from: Option<String>,
    /// Screen or command.
    pub kind: PeerKind,
    /// Never acts.
    pub read_only: bool,
}

impl Who {
    /// Reads the claims of this process; `variable` is `std::env::var`.
    pub fn new(
        named: Option<String>,
        kind: PeerKind,
        read_only: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let given = |name: &String| !name.trim().is_empty();
        let name = (named.filter(given))
            .or_else(|| variable("SUDO_USER").filter(given))
            .or_else(|| variable("USER").filter(given))
            .unwrap_or_else(|| account(own_uid()));
        let from = variable("SSH_CONNECTION")
            .and_then(|line| line.split_whitespace().next().map(str::to_owned));
        Self {
            name: name.chars().take(64).collect(),
            from: from.map(|from| from.chars().take(64).collect()),
            kind,
            read_only,
        }
    }

    /// As an actor of this very process.
    pub fn actor(&self) -> Actor {
        Actor {
            uid: own_uid(),
            name: self.name.clone(),
            from: self.from.clone(),
        }
    }
}

/// The account's name, or its number where it has none.
fn account(uid: u32) -> String {
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}
