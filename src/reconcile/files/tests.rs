use std::time::Duration;

use super::*;
use crate::reconcile::wanted::WantedField;
use crate::store::{Options, Store};
use crate::time::Clock;

struct Bed {
    folder: tempfile::TempDir,
    store: Store,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            clock: Clock::System,
            disk_reserve: 1 << 20,
            dedupe: Duration::from_secs(60),
        };
        let store = Store::open(&folder.path().join("m.db"), options).unwrap();
        Self { folder, store }
    }

    fn rows(&self, list: &str, file: Option<(&str, &[u8])>) -> Result<Vec<[String; 3]>, String> {
        if let Some((name, bytes)) = file {
            std::fs::write(self.folder.path().join(name), bytes).unwrap();
        }
        let text = format!(
            "[systems.ledger]\n[systems.ledger.records.order]\nid = \"/id\"\nkey = \"/number\"\nfields.total = {{ at = \"/total\", type = \"money\" }}\nlist = {list}\n"
        );
        let config = crate::config::parse(&text, &self.folder.path().join("midwatch.toml"));
        let config = config.map_err(|problems| problems[0].to_string())?.config;
        let map = config.systems["ledger"].records["order"].clone();
        let wanted = Wanted {
            of: None,
            fields: vec![WantedField {
                name: "total".to_owned(),
                sensitive: false,
            }],
        };
        let (engine, key) = (Engine::new(), self.store.hash_key());
        let since = Some(Timestamp(0));
        let mut rows = FileRows::open(&map, self.folder.path(), since, wanted, &engine, &key)?;
        let (mut row, mut all) = (Row::default(), Vec::new());
        while rows.next(&mut row)? {
            let field = row.fields.first().cloned().flatten().unwrap_or_default();
            all.push([row.key.clone(), row.id.clone().unwrap_or_default(), field]);
        }
        Ok(all)
    }
}

fn rows(rows: &[[&str; 3]]) -> Vec<[String; 3]> {
    rows.iter().map(|row| row.map(str::to_owned)).collect()
}

#[test]
fn one_json_object_a_line() {
    let bed = Bed::new();
    let list = "{ ndjson = \"orders.ndjson\" }";
    let good = b"{\"number\":\"1\",\"id\":7,\"total\":\"12.50\"}\n\n{\"number\":2,\"total\":3}\r\n{\"total\":1}";
    let found = bed.rows(list, Some(("orders.ndjson", good))).unwrap();
    assert_eq!(
        found,
        rows(&[["1", "7", "12.5"], ["2", "", "3"], ["", "", "1"]])
    );
    let bad = bed.rows(
        list,
        Some(("orders.ndjson", b"{\"number\":1}\n{\"number\":")),
    );
    assert!(bad.unwrap_err().contains("orders.ndjson:2: "));
    let gone = bed.rows("{ ndjson = \"none.ndjson\" }", None).unwrap_err();
    assert!(gone.contains("none.ndjson: "), "{gone}");
}

#[test]
fn csv_with_quotes_breaks_and_a_header() {
    let bed = Bed::new();
    let list = "{ csv = \"orders.csv\", separator = \";\" }";
    let good = "\u{feff}number;id;total;note\r\n1;7;12.50;\"a;b \"\"c\"\"\r\nd\"\r\n\r\n2;;3;\n\"3\";\"\";\"4\";x";
    let found = bed
        .rows(list, Some(("orders.csv", good.as_bytes())))
        .unwrap();
    assert_eq!(
        found,
        rows(&[["1", "7", "12.5"], ["2", "", "3"], ["3", "", "4"]])
    );
    for (text, words) in [
        ("", "orders.csv:1: there is no header line"),
        ("number;number\n", "orders.csv:1: two columns"),
        (
            "number;total\n1;2\n3\n",
            "orders.csv:3: 1 values, the header has 2",
        ),
        (
            "number;total\n1;\"2\n",
            "orders.csv:2: a quote is not closed",
        ),
        (
            "number;total\n1;\"2\"x\n",
            "orders.csv:2: text after a closing quote",
        ),
    ] {
        let error = bed
            .rows(list, Some(("orders.csv", text.as_bytes())))
            .unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let latin = bed
        .rows(list, Some(("orders.csv", b"number;total\n\xe5;1\n")))
        .unwrap_err();
    assert!(
        latin.contains("orders.csv:2: a value is no UTF-8"),
        "{latin}"
    );
}

#[test]
fn a_query_is_read_and_nothing_is_written() {
    let bed = Bed::new();
    let books = rusqlite::Connection::open(bed.folder.path().join("books.db")).unwrap();
    books
        .execute_batch(
            "CREATE TABLE sale(no INTEGER, total REAL, at TEXT);
             INSERT INTO sale VALUES (1, 12.5, '2026-01-01'), (2, 3, '1960-01-01'), (3, NULL, '2026-01-02')",
        )
        .unwrap();
    let list = |query: &str| format!("{{ sqlite = \"books.db\", query = \"{query}\" }}");
    let all = bed
        .rows(
            &list("SELECT no AS number, total FROM sale ORDER BY no"),
            None,
        )
        .unwrap();
    assert_eq!(
        all,
        rows(&[["1", "", "12.5"], ["2", "", "3"], ["3", "", "null"]])
    );
    let query = list("SELECT no AS number, total FROM sale WHERE at > :since ORDER BY no");
    assert_eq!(bed.rows(&query, None).unwrap().len(), 2);
    for (query, words) in [
        ("SELECT no FROM sales", "no such table"),
        ("WITH x AS (SELECT 1) DELETE FROM sale", "would write"),
    ] {
        let error = bed.rows(&list(query), None).unwrap_err();
        assert!(
            error.contains("books.db: ") && error.contains(words),
            "{error}"
        );
    }
    let refused = bed.rows(&list("DELETE FROM sale"), None).unwrap_err();
    assert!(refused.contains("one SELECT"), "{refused}");
}
