//! Every file of `fixtures/config` is read for real: the valid ones are taken, the invalid ones refused with exactly the
//! words beside them in `*.expected`. A valid file with an `.expected` beside it is taken with exactly those warnings.
//!
//! `MIDWATCH_WRITE_EXPECTED=1 cargo test --test config` writes the expected files anew; read the difference before committing it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use midwatch::config::{self, report};

/// The fixtures of a folder, by name.
fn fixtures(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/config")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    files
}

/// The file as a user in its folder would name it, and as messages then show it.
fn shown(text: &str, file: &Path) -> String {
    let folder = file.parent().unwrap().display().to_string();
    text.replace(&format!("{folder}/"), "")
}

/// Compares with the expected file, or writes it when told to.
fn expect(file: &Path, text: &str) -> Result<(), String> {
    let expected = file.with_extension("expected");
    if std::env::var_os("MIDWATCH_WRITE_EXPECTED").is_some() {
        std::fs::write(&expected, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&expected)
        .map_err(|error| format!("{}: {error}", expected.display()))?;
    if wanted == text {
        return Ok(());
    }
    Err(format!(
        "{}\n--- expected\n{wanted}--- found\n{text}",
        file.display()
    ))
}

#[test]
fn every_valid_file_is_taken_with_no_warning_but_those_expected() {
    let files = fixtures("valid");
    assert!(files.len() >= 8, "{} files", files.len());
    let mut faults = Vec::new();
    for file in files {
        match config::load(&file) {
            Err(errors) => faults.push(report::render(&errors)),
            Ok(loaded) => {
                let text = shown(&report::render(&loaded.warnings), &file);
                if !text.is_empty() || file.with_extension("expected").exists() {
                    faults.extend(expect(&file, &text).err());
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_invalid_file_is_refused_with_exactly_the_expected_words() {
    let files = fixtures("invalid");
    assert!(files.len() >= 25, "{} files", files.len());
    let mut faults = Vec::new();
    for file in files {
        match config::load(&file) {
            Ok(_) => faults.push(format!("{} was taken", file.display())),
            Err(errors) => {
                let text = shown(&report::render(&errors), &file);
                assert!(!text.contains("sk_live"), "a secret is quoted: {text}");
                faults.extend(expect(&file, &text).err());
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Runs the real binary in a folder.
fn midwatch(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_midwatch"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("MIDWATCH_CONFIG")
        .output()
        .unwrap()
}

#[test]
fn the_check_command_says_the_same_of_every_file_and_exits_by_it() {
    let mut faults = Vec::new();
    for (folder, code) in [("valid", 0), ("invalid", 1)] {
        for file in fixtures(folder) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let output = midwatch(file.parent().unwrap(), &["check", "--config", name]);
            let text = shown(&String::from_utf8(output.stdout).unwrap(), &file);
            let mut expected = std::fs::read_to_string(file.with_extension("expected"))
                .unwrap_or_else(|_| "the configuration is good; `midwatch doctor` looks at its secrets and at this machine\n".to_owned());
            for one in config::load(&file).iter().flat_map(|loaded| &loaded.uses) {
                expected.push_str(&one.lines());
                expected.push('\n');
            }
            if output.status.code() != Some(code) || text != expected {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                faults.push(format!("{name}: {}\n{text}{errors}", output.status));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn check_says_what_a_first_evening_takes_from_its_presets() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/valid");
    let arguments = ["check", "--config", "first_evening.toml"];
    let said = String::from_utf8(midwatch(&folder, &arguments).stdout).unwrap();
    let begin = "the configuration is good; `midwatch doctor` looks at its secrets and at this machine\n\
                 systems.shop takes from preset woocommerce:\n  probe, hooks, missed, webhooks, records order (lookup, read, update, ";
    assert!(said.starts_with(begin), "{said}");
    for words in [
        "records order (changed here; lookup, create, update, links, list, paging)\n  not used: hooks (no secrets), missed (no hooks)\n",
        "systems.payments takes from preset stripe:\n",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    let output = midwatch(
        &folder,
        &["check", "--json", "--config", "first_evening.toml"],
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let presets: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(presets.len(), 3);
    assert_eq!(presets[1]["system"], "crm");
    assert_eq!(presets[1]["preset"], "hubspot");
    assert_eq!(presets[1]["idle"][0], "hooks (no secrets)");
    let file = std::fs::read_to_string(folder.join("first_evening.toml")).unwrap();
    assert!(file.lines().count() < 100);
}

#[test]
fn presets_are_listed_and_printed_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = midwatch(folder.path(), arguments);
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let list = said(&["preset", "list"]);
    let listed: Vec<String> = said(&["preset", "list", "--json"])
        .lines()
        .map(|line| {
            let one: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                one["brings"]
                    .as_array()
                    .is_some_and(|brings| !brings.is_empty()),
                "{line}"
            );
            assert!(one["text"].is_null());
            one["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        listed,
        [
            "hubspot",
            "pipedrive",
            "rest",
            "shopify",
            "slack",
            "stripe",
            "woocommerce"
        ]
    );
    for name in &listed {
        let text = said(&["preset", "show", name]);
        let file = format!(
            "{}/src/config/presets/{name}.toml",
            env!("CARGO_MANIFEST_DIR")
        );
        assert_eq!(text, std::fs::read_to_string(file).unwrap());
        assert!(list.contains(&format!("{name}: ")), "{list}");
        let shown: serde_json::Value =
            serde_json::from_str(&said(&["preset", "show", name, "--json"])).unwrap();
        assert_eq!(shown["text"], text);
    }
    let output = midwatch(folder.path(), &["preset", "show", "hubsport"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("there is no preset hubsport; did you mean `hubspot`?"),
        "{error}"
    );
}

#[test]
fn a_first_evening_begins_with_init_and_a_good_check() {
    let folder = tempfile::tempdir().unwrap();
    let output = midwatch(folder.path(), &["init", "shop"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("wrote shop/midwatch.toml"), "{said}");
    assert!(
        said.contains("wrote shop/runbooks/receiver-down.md"),
        "{said}"
    );
    let output = midwatch(&folder.path().join("shop"), &["check"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "the configuration is good; `midwatch doctor` looks at its secrets and at this machine\n\
         systems.shop takes from preset woocommerce:\n  probe, hooks, missed, records order (list, paging)\n  \
         not used: webhooks (no hooks.watch), records contact\n"
    );
    assert!(output.status.success());
}

#[test]
fn the_configuration_in_the_readme_is_taken_as_it_is_written() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```toml\n").expect("a configuration");
    let (text, _) = rest.split_once("```").expect("its end");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("midwatch.toml");
    let loaded =
        config::parse(text, &file).unwrap_or_else(|errors| panic!("{}", report::render(&errors)));
    assert!(
        loaded.warnings.is_empty(),
        "{}",
        report::render(&loaded.warnings)
    );
    assert!(text.lines().count() < 100);
}
