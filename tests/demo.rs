//! `midwatch demo --headless`: the binary itself, from stand-ins to summary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn demo(temporary: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_midwatch"))
        .args(["demo", "--headless"])
        .args(arguments)
        .env("TMPDIR", temporary)
        .output()
        .unwrap()
}

/// The number after `word` in the summary.
fn number(line: &str, word: &str) -> u64 {
    let after = line
        .split_once(word)
        .unwrap_or_else(|| panic!("no `{word}` in: {line}"))
        .1;
    let digits: String = after
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits
        .parse()
        .unwrap_or_else(|_| panic!("no number after `{word}` in: {line}"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_headless_demo_ends_by_itself_adds_up_and_leaves_nothing_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let output = demo(temporary.path(), &["--for", "5s", "--rate", "20/s"]);
    let (said, told) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{said}{told}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let line = said.trim_end();
    let parts = ["delivered", "waiting", "dead", "held", "cancelled"];
    let sum: u64 = parts.iter().map(|part| number(line, part)).sum();
    assert_eq!(number(line, "accepted"), sum, "{line}");
    assert!(number(line, "delivered") >= 20, "{line}");
    assert!(number(line, "(") >= 40, "{line}");
    assert_eq!(number(line, "missing"), 0, "{line}");
    assert_eq!(number(line, "duplicates"), 0, "{line}");
    assert!(told.contains("demo: the CRM is slow"), "{told}");
    assert_eq!(entries(temporary.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_chosen_folder_stays_and_is_a_real_installation_that_is_not_used_twice() {
    let outer = tempfile::tempdir().unwrap();
    let kept = outer.path().join("kept");
    let folder = kept.to_str().unwrap();
    let output = demo(outer.path(), &["--for", "1s", "--dir", folder]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = kept.join("midwatch.toml");
    let deliveries = Command::new(env!("CARGO_BIN_EXE_midwatch"))
        .args(["deliveries", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(deliveries.status.success(), "{deliveries:?}");
    assert!(
        String::from_utf8_lossy(&deliveries.stdout).contains("deals"),
        "{deliveries:?}"
    );

    let again = demo(outer.path(), &["--for", "1s", "--dir", folder]);
    assert_eq!(again.status.code(), Some(1));
    let told = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(told.contains("not empty"), "{told}");
}
