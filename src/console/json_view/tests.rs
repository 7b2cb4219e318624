use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn text(row: &Row) -> String {
    row.parts.iter().map(|(_, part)| part.as_str()).collect()
}

fn all(tree: &Tree) -> String {
    tree.rows(0..tree.len())
        .iter()
        .map(text)
        .collect::<Vec<_>>()
        .join("\n")
}

fn shown(source: &str, width: usize) -> String {
    let mut tree = Tree::parse(source.to_owned());
    tree.fit(width);
    all(&tree)
}

const ORDER: &str = r#"{"id":1042,"total":12.10,"big":18446744073709551616,"total":1e400,"lines":[{"sku":"A","n":2},[],{}],"ok":true,"note":null}"#;

#[test]
fn json_keeps_order_duplicates_and_digits() {
    insta::assert_snapshot!(shown(ORDER, 60), @r#"
    - {
        "id": 1042,
        "total": 12.10,
        "big": 18446744073709551616,
        "total": 1e400,
      - "lines": [
        - {
            "sku": "A",
            "n": 2
          },
          [],
          {}
        ],
        "ok": true,
        "note": null
      }
    "#);
    assert_eq!(Tree::parse(ORDER).title(), "JSON, 7 keys");
}

#[test]
fn folding_shows_what_is_left_out_and_finds_its_row() {
    let mut tree = Tree::parse(ORDER);
    let lines = tree
        .rows(0..99)
        .iter()
        .position(|row| text(row).contains("lines"))
        .expect("a row");
    assert_eq!(
        tree.toggle(lines + 2),
        lines + 1,
        "a scalar folds what it stands in"
    );
    assert_eq!(
        text(&tree.rows(lines + 1..lines + 2)[0]).trim(),
        "+ {... 2 keys},"
    );
    assert_eq!(tree.toggle(lines), lines);
    assert_eq!(
        text(&tree.rows(lines..lines + 1)[0]).trim(),
        "+ \"lines\": [... 3 items],"
    );
    assert_eq!(tree.rows(lines..lines + 1)[0].folded, Some(true));
    assert_eq!(tree.toggle(lines), lines);
    assert!(
        all(&tree).contains("{... 2 keys}"),
        "what was folded inside stays so"
    );
    tree.unfold_all();
    assert_eq!(all(&tree), all(&Tree::parse(ORDER)));
    tree.fold_all();
    insta::assert_snapshot!(all(&tree), @r#"
    - {
        "id": 1042,
        "total": 12.10,
        "big": 18446744073709551616,
        "total": 1e400,
      + "lines": [... 3 items],
        "ok": true,
        "note": null
      }
    "#);
    tree.toggle(0);
    assert_eq!(all(&tree), "+ {... 7 keys}");
    assert_eq!(tree.toggle(9), 9, "beyond the end nothing happens");
}

#[test]
fn json_that_is_cut_off_is_laid_out_as_far_as_it_goes() {
    for (source, last) in [
        (r#"{"a":[1,2"#, "2"),
        (r#"{"a":[1,2,"#, "2,"),
        (r#"{"a":"long tex"#, r#""a":"long tex"#),
        (r#"{"a":1,"b": "#, r#""b": "#),
        (r#"{"a":1,"b":tr"#, r#""b":tr"#),
        (r#"{"a":1,"lon"#, r#""lon"#),
        (r#"{"a":1, "long" "#, r#""long" "#),
        (r#"[{"a":1},{"#, "- {"),
        (r#"{"a":-"#, r#""a":-"#),
    ] {
        let tree = Tree::parse(source.to_owned());
        assert_eq!(tree.format(), Format::Json, "{source}");
        assert!(tree.title().ends_with(", cut off"), "{source}");
        let rows: Vec<_> = tree.rows(0..99).iter().map(text).collect();
        assert_eq!(rows[rows.len() - 2].trim(), last.trim(), "{source}");
        assert_eq!(rows[rows.len() - 1], "(cut off here)", "{source}");
    }
}

#[test]
fn what_is_no_json_is_shown_as_it_is() {
    for source in [
        "{a:1}",
        "[1,]",
        "[01]",
        "[1 2]",
        "{\"a\" 1}",
        "true false",
        "[2026-11-01] started",
        "\u{feff}{}",
        "[",
        "nul",
        "1.",
        "{} {}",
        "[1.]",
        "]",
    ] {
        let tree = Tree::parse(source.to_owned());
        assert_eq!(tree.format(), Format::Text, "{source}");
        assert_eq!(all(&tree), Visible::of(source).as_str(), "{source}");
    }
    for source in ["1", "-0.5e+3", "\"x\"", "null", "[]", " {} \n"] {
        assert_eq!(
            Tree::parse(source.to_owned()).format(),
            Format::Json,
            "{source}"
        );
    }
}

#[test]
fn text_and_bytes_and_nothing() {
    assert_eq!(
        shown("one\n\ttwo\u{1b}[2J\n\nx", 20),
        "one\n    two\\x1b[2J\n\nx"
    );
    let tree = Tree::parse("a\r\nb\r\n");
    assert_eq!(
        (all(&tree).as_str(), tree.title().as_str()),
        ("a\nb", "text, CRLF, 6 bytes")
    );
    assert_eq!(all(&Tree::parse("a\r\nb\n")), "a\\r\nb");
    assert_eq!(all(&Tree::parse("caf\u{e9}\n".as_bytes().to_vec())), "café");
    assert_eq!(
        all(&Tree::parse(b"mostly text \xff".to_vec())),
        "mostly text \\xff"
    );
    let tree = Tree::parse(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0".to_vec());
    insta::assert_snapshot!(all(&tree), @"
    00000000  89 50 4e 47 0d 0a 1a 0a 00 00 00 0d 49 48 44 52  .PNG........IHDR
    00000010  00                                               .
    ");
    assert_eq!(
        (tree.format(), tree.title().as_str()),
        (Format::Hex, "binary, 17 bytes")
    );
    let tree = Tree::parse("");
    assert_eq!(
        (all(&tree).as_str(), tree.title().as_str()),
        ("(empty)", "empty")
    );
}

#[test]
fn a_long_value_goes_on_below_its_key() {
    insta::assert_snapshot!(shown(r#"{"message":"the receiver says that the address is not valid","n":1}"#, 30), @r#"
    - {
        "message": "the receiver 
          says that the address i
          s not valid",
        "n": 1
      }
    "#);
}

#[test]
fn pieces_are_told_apart() {
    let tree = Tree::parse(ORDER);
    let parts: Vec<_> = tree.rows(1..2)[0]
        .parts
        .iter()
        .map(|(part, text)| (*part, text.as_str().to_owned()))
        .collect();
    assert_eq!(
        parts,
        [
            (Part::Indent, "  ".to_owned()),
            (Part::Fold, "  ".to_owned()),
            (Part::Key, "\"id\"".to_owned()),
            (Part::Mark, ": ".to_owned()),
            (Part::Number, "1042".to_owned()),
            (Part::Mark, ",".to_owned()),
        ]
    );
}

#[test]
fn a_megabyte_and_a_bottomless_pit_are_quick() {
    // Generous, for an unoptimised build on a busy machine: a release build takes a few milliseconds.
    let limit = std::time::Duration::from_secs(5);
    let many = format!(
        "[{}1]",
        "{\"id\":123456,\"n\":\"some text\"},".repeat(1 << 15)
    );
    let deep = "[".repeat(1 << 20);
    let long = format!("{{\"a\":\"{}\"}}", "ø".repeat(1 << 19));
    for source in [many, deep, long] {
        let start = Instant::now();
        let mut tree = Tree::parse(source);
        tree.fit(100);
        let end = tree.len();
        assert!(!tree.rows(end.saturating_sub(50)..end).is_empty());
        tree.toggle(end / 2);
        assert!(start.elapsed() < limit, "{:?}", start.elapsed());
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        "[ -~ø漢\u{202e}]{0,40}".prop_map(|text| serde_json::to_string(&text).expect("a string")),
        Just("12.10".to_owned()),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(("[a-c]{0,20}", inner), 0..6).prop_map(|items| {
                let members: Vec<_> = items
                    .into_iter()
                    .map(|(key, value)| format!("\"{key}\": {value}"))
                    .collect();
                format!("{{\n{}}}", members.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Unfolded and not broken, the rows are the JSON itself but for white space and escapes.
    #[test]
    fn the_rows_are_the_source(source in json()) {
        let mut tree = Tree::parse(source.clone());
        tree.fit(5000);
        prop_assert_eq!(tree.format(), Format::Json);
        let rows = tree.rows(0..tree.len());
        let joined: String = rows
            .iter()
            .flat_map(|row| &row.parts)
            .filter(|(part, _)| !matches!(part, Part::Indent | Part::Fold))
            .map(|(_, text)| text.as_str())
            .collect();
        let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let line = source.replace('\n', " ");
        prop_assert_eq!(bare(&joined), bare(Visible::of(&line).as_str()));
    }

    /// Wherever JSON is cut off, every letter and digit before the cut is shown.
    #[test]
    fn a_cut_loses_nothing(source in json(), at: prop::sample::Index) {
        let at = at.index(source.len() + 1);
        let cut = &source.as_bytes()[..at];
        let mut tree = Tree::parse(cut.to_vec());
        tree.fit(5000);
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let mut rows: Vec<_> = tree.rows(0..tree.len()).iter().map(text).collect();
        if tree.title().ends_with("cut off") || cut.is_empty() {
            rows.pop();
        }
        let line = Visible::lines_of_bytes(cut);
        prop_assert_eq!(letters(&rows.concat()), letters(line.as_str()));
    }

    #[test]
    fn any_bytes_at_any_width_fit_and_hide_nothing(
        source in prop_oneof![
            any::<Vec<u8>>(),
            json().prop_map(String::into_bytes),
            (json(), any::<prop::sample::Index>()).prop_map(|(text, at)| text.as_bytes()[..at.index(text.len() + 1)].to_vec()),
            any::<String>().prop_map(String::into_bytes),
        ],
        width in 1usize..300, toggles in prop::collection::vec(0usize..80, 0..6))
    {
        let mut tree = Tree::parse(source);
        tree.fit(width);
        for row in toggles {
            let selected = tree.toggle(row);
            prop_assert!(selected < tree.len().max(row + 1));
        }
        prop_assert!(!tree.is_empty());
        for row in tree.rows(0..tree.len()) {
            let line = text(&row);
            prop_assert!(!line.chars().any(visible::is_hidden));
            // Where there is hardly any room, a key, a summary or one escape may stand over; the screen's edge cuts them.
            let escape = "\\u{10ffff}".len();
            prop_assert!(visible::width(&line) <= width.max(32) + escape, "{width}: {line}");
        }
    }
}
