//! Sharing with colleagues: the group that the configuration names may read the database and act over the socket.
//!
//! Never gives anything to everyone. Called by the worker as it starts.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The number of a group, from `/etc/group`; the error is in words.
pub(super) fn group(name: &str) -> Result<u32, String> {
    let table = std::fs::read_to_string("/etc/group")
        .map_err(|error| format!("cannot read /etc/group for site.group: {error}"))?;
    number(&table, name).ok_or_else(|| {
        format!("site.group: there is no group {name:?} on this host; create it, or leave the setting out")
    })
}

fn number(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name))
            .then(|| fields.nth(1)?.parse().ok())
            .flatten()
    })
}

/// Lets `group` read the database and take part in its write-ahead log's index, as every SQLite reader must.
pub(super) fn database(file: &Path, group: u32) -> io::Result<()> {
    for (suffix, mode) in [("", 0o640), ("-wal", 0o640), ("-shm", 0o660)] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        let part = PathBuf::from(name);
        if part.exists() {
            std::os::unix::fs::chown(&part, None, Some(group))?;
            std::fs::set_permissions(&part, std::fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let table = "root:x:0:\nshopkeepers:x:1001:anna,bo\nshop:x:1002:anna\nodd\n";
        assert_eq!(number(table, "shop"), Some(1002));
        for nobody in ["sho", "anna", "odd", ""] {
            assert_eq!(number(table, nobody), None, "{nobody}");
        }
    }
}
