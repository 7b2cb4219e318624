//! What `[contracts]` becomes.

use std::path::{Path, PathBuf};

use crate::config::load;
use crate::config::model::Config;
use crate::event::contract::Mode;

fn config() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/config/valid/contracts.toml");
    load(&file).unwrap().config
}

#[test]
fn versions_are_compiled_from_their_files_and_casts_read() {
    let config = config();
    let kinds: Vec<&str> = config.contracts.keys().map(String::as_str).collect();
    assert_eq!(kinds, ["note", "order.updated"]);
    let contract = &config.contracts["order.updated"];
    let names: Vec<&str> = (contract.versions.iter())
        .map(|version| version.name.as_str())
        .collect();
    assert_eq!(
        (names, contract.mode),
        (vec!["1", "2", "3-beta"], Mode::None)
    );
    assert_eq!(contract.assumed().name, "1");
    let one = contract.version("1").unwrap();
    assert!(
        one.file
            .ends_with(PathBuf::from("valid/contracts/order.updated/1.json"))
    );
    assert!(
        one.schema
            .accepts(&serde_json::json!({"id": 1, "amount": 2}))
    );
    let casts: Vec<(&str, &str)> = (contract.casts.iter())
        .map(|cast| (cast.from.as_str(), cast.to.as_str()))
        .collect();
    assert_eq!(casts, [("1", "2"), ("3-beta", "2")]);
    assert!(contract.casts[1].template.contains("data.total.amount"));
    let note = &config.contracts["note"];
    assert_eq!((note.assumed, note.mode), (0, Mode::BackwardTransitive));
}

#[test]
fn paths_say_what_they_read_and_may_lose() {
    let config = config();
    let path = |name: &str| {
        let path = config.path(name).unwrap();
        (path.reads.clone(), path.tolerates_loss)
    };
    assert_eq!(path("deals"), (vec!["2".to_owned()], false));
    assert_eq!(path("chat"), (Vec::new(), true));
    assert_eq!(path("notes"), (Vec::new(), false));
}
