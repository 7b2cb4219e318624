#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::case_sensitive_file_extension_comparisons
)] // a test may take its time, and its own files are lower case

use std::time::Duration;

use chrono::NaiveDate;
use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Runbook {
    parse(text, Path::new("x.md"))
}

const EVERYTHING: &str = r#"---
owner: integrations on-call
alerts: [receiver_down, breaker_open]
# a comment
deputy: "shop: engineer"
escalation:
  - slack:ops
  - slack:boss
last_reviewed: 2026-11-01
review_every: 90d
colour: blue
not a pair
---
# Receiver *down*

Text with **strong**, `code`, ~~old~~ and a [link](other.md "Other").
Second line.  
Hard break & entity &amp; <b>html</b>.

> [!WARNING]
> Do not **cancel**.

> Quoted

1. First
   - [ ] open `midwatch status`
   - [x] done
2. Second

   ```sh {"name":"x"}
   midwatch pause crm
   ```

| a | b |
|---|:-:|
| 1 | 2 | 3 lost |

---

<div>
raw
</div>

[unused]: https://unused.example
"#;

#[test]
fn every_kind_of_block_is_read() {
    let runbook = read(EVERYTHING);
    assert_eq!(runbook.title, "Receiver down");
    assert_eq!(runbook.name(), "x");
    insta::assert_snapshot!(outline(&runbook.blocks, 0), @r#"
    H1 ["Receiver "][E"down"]
    P ["Text with "][S"strong"][", "][C"code"][", "][X"old"][" and a "]["link"->other.md][" (Other). Second line.\nHard break & entity & <b>html</b>."]
    Warning
      P ["Do not "][S"cancel"]["."]
    Quote
      P ["Quoted"]
    List Some(1)
      item None
        P ["First"]
        List None
          item Some(false)
            P ["open "][C"midwatch status"]
          item Some(true)
            P ["done"]
      item None
        P ["Second"]
        Code "sh {\"name\":\"x\"}" "midwatch pause crm"
    Table ["a"] | ["b"] / ["1"] | ["2"]
    P ["3 lost"]
    Rule
    Html "<div>\nraw\n</div>"
    P ["[unused]: https://unused.example"]
    "#);
}

/// The blocks as an indented list, for snapshots.
fn outline(blocks: &[Block], depth: usize) -> String {
    let spans = |spans: &[Span]| {
        spans
            .iter()
            .map(|span| {
                let marks: String = [
                    (span.strong, 'S'),
                    (span.emphasis, 'E'),
                    (span.code, 'C'),
                    (span.struck, 'X'),
                ]
                .iter()
                .filter_map(|(on, mark)| on.then_some(*mark))
                .collect();
                let link = span
                    .link
                    .as_ref()
                    .map(|link| format!("->{link}"))
                    .unwrap_or_default();
                format!("[{marks}{:?}{link}]", span.text)
            })
            .collect::<String>()
    };
    let mut out = String::new();
    for block in blocks {
        let line = match block {
            Block::Heading { level, text } => format!("H{level} {}", spans(text)),
            Block::Paragraph(text) => format!("P {}", spans(text)),
            Block::List { start, items } => {
                let mut text = format!("List {start:?}");
                for item in items {
                    text += &format!(
                        "\n{}item {:?}\n{}",
                        "  ".repeat(depth + 1),
                        item.task,
                        outline(&item.blocks, depth + 2).trim_end()
                    );
                }
                text
            }
            Block::Table { head, rows } => {
                let row = |cells: &Vec<Vec<Span>>| {
                    cells
                        .iter()
                        .map(|cell| spans(cell))
                        .collect::<Vec<_>>()
                        .join(" | ")
                };
                format!(
                    "Table {}{}",
                    row(head),
                    rows.iter()
                        .map(|cells| format!(" / {}", row(cells)))
                        .collect::<String>()
                )
            }
            Block::Code { info, text } => format!("Code {info:?} {text:?}"),
            Block::Quote(blocks) => format!("Quote\n{}", outline(blocks, depth + 1).trim_end()),
            Block::Admonition { kind, blocks } => {
                format!("{kind:?}\n{}", outline(blocks, depth + 1).trim_end())
            }
            Block::Rule => "Rule".to_owned(),
            Block::Html(text) => format!("Html {text:?}"),
        };
        out += &format!("{}{line}\n", "  ".repeat(depth));
    }
    out
}

#[test]
fn front_matter_is_read_and_what_is_odd_is_reported() {
    let runbook = read(EVERYTHING);
    let front = &runbook.front;
    assert_eq!(front.owner.as_deref(), Some("integrations on-call"));
    assert_eq!(front.deputy.as_deref(), Some("shop: engineer"));
    assert_eq!(front.alerts, ["receiver_down", "breaker_open"]);
    assert_eq!(front.escalation.as_deref(), Some("slack:ops, slack:boss"));
    assert_eq!(front.review_every, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(
        front.other,
        [("colour".to_owned(), vec!["blue".to_owned()])]
    );
    assert_eq!(
        runbook.warnings,
        [
            "line 12: `not a pair` is no `key: value`",
            "line 11: `colour` is no key of a runbook; it is kept as written"
        ]
    );
    let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
    assert!(!front.review_overdue(day("2027-01-30")));
    assert!(front.review_overdue(day("2027-01-31")));
    assert!(!Front::default().review_overdue(day("2027-01-31")));
}

#[test]
fn a_broken_header_never_hides_the_body() {
    for (text, warning) in [
        (
            "---\nowner: x\n# Steps\n",
            "the front matter opens with `---` and never closes; it is shown as text",
        ),
        (
            "---\nlast_reviewed: soon\n---\n# Steps",
            "line 2: `last_reviewed` is no date; expected YYYY-MM-DD",
        ),
        (
            "---\nreview_every: often\n---\n# Steps",
            "line 2: `review_every` is no duration; expected for example 90d",
        ),
        (
            "---\nowner: a\nowner: b\n---\n# Steps",
            "line 3: `owner` is given twice; the first one counts",
        ),
        (
            "---\n\u{1b}[2J\n---\n# Steps",
            "line 2: `\\x1b[2J` is no `key: value`",
        ),
    ] {
        let runbook = read(text);
        assert_eq!(runbook.warnings, [warning], "{text}");
        assert!(text_of(&runbook.blocks).contains("Steps"), "{text}");
    }
    assert_eq!(
        read("\u{feff}---\r\nowner: x\r\n---\r\n# T\r\n")
            .front
            .owner
            .as_deref(),
        Some("x")
    );
    assert_eq!(read("").title, "x");
}

#[test]
fn text_that_commonmark_drops_is_put_back_where_it_stood() {
    let runbook = read(
        "one\n\n| a |\n|---|\n| b | lost |\n\n[u]: https://unused.example\n\n[see][r]\n\n[r]: https://used.example\n",
    );
    let text = text_of(&runbook.blocks);
    assert_eq!(
        text,
        "one\na\nb\nlost\n[u]: https://unused.example\nsee <https://used.example>\n"
    );
}

#[test]
fn a_bottomless_runbook_is_flattened_not_fatal() {
    for source in [
        "> ".repeat(100_000) + "deep",
        "- ".repeat(20_000) + "deep",
        "1. ".repeat(3_000) + "deep",
    ] {
        let runbook = read(&source);
        assert!(text_of(&runbook.blocks).contains("deep"));
    }
}

#[test]
fn searching_finds_blocks_without_regard_to_case() {
    let runbook = read("# Title\n\nAlpha\n\n- beta\n- ALPHA [x](Gamma.md)\n");
    assert_eq!(runbook.find("alpha"), [1, 2]);
    assert_eq!(runbook.find("gamma.MD"), [2]);
    assert_eq!(runbook.find(""), [] as [usize; 0]);
    assert_eq!(runbook.outline(), [(0, 1, "Title".to_owned())]);
}

#[test]
fn a_folder_is_listed_with_its_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("b.md"), "# B").expect("written");
    fs::write(folder.path().join("a.MD"), b"# A \xff").expect("written");
    fs::write(folder.path().join("notes.txt"), "no").expect("written");
    fs::write(
        folder.path().join("c.md"),
        vec![b'x'; MAX_BYTES as usize + 1],
    )
    .expect("written");
    let listed = list(folder.path()).expect("listed");
    let seen: Vec<_> = listed
        .iter()
        .map(|(file, read)| {
            (
                file.file_name().expect("a name").to_string_lossy(),
                read.as_ref().ok().map(|r| r.title.as_str()),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("a.MD".into(), Some("A \\xff")),
            ("b.md".into(), Some("B")),
            ("c.md".into(), None)
        ]
    );
    assert!(matches!(
        load(&folder.path().join("none.md")),
        Err(RunbookError::Read { .. })
    ));
}

#[test]
fn what_comes_with_midwatch_is_whole() {
    for (file, _) in SHIPPED {
        let runbook = shipped(file).expect(file);
        assert_eq!(runbook.warnings, [] as [String; 0], "{file}");
        let headings: Vec<_> = runbook
            .outline()
            .into_iter()
            .map(|(_, level, text)| (level, text))
            .collect();
        assert_eq!(
            headings.iter().filter(|(level, _)| *level == 1).count(),
            1,
            "{file}"
        );
        for wanted in ["Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation"] {
            assert!(
                headings.contains(&(2, wanted.to_owned())),
                "{file} lacks {wanted}"
            );
        }
        let front = &runbook.front;
        assert!(
            front.owner.is_some() && front.severity.is_some() && !front.alerts.is_empty(),
            "{file}"
        );
        assert!(
            front.last_reviewed.is_some() && front.review_every.is_some(),
            "{file}"
        );
        // A link between runbooks leads to one that exists.
        for link in text_of(&runbook.blocks)
            .split('<')
            .skip(1)
            .filter_map(|rest| rest.split_once('>'))
        {
            if link.0.ends_with(".md") {
                assert!(shipped(link.0).is_some(), "{file} links to {}", link.0);
            }
        }
    }
    assert!(shipped("receiver-down").is_some() && shipped("nothing").is_none());
    let files: Vec<_> =
        list(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks"))).expect("listed");
    assert_eq!(files.len(), SHIPPED.len());
}

/// Every `midwatch ...` command of the blocks, in code blocks and inline.
fn commands(blocks: &[Block]) -> Vec<String> {
    let inline = |spans: &[Span]| -> Vec<String> {
        spans
            .iter()
            .filter(|span| span.code)
            .map(|span| span.text.clone())
            .collect()
    };
    let mut found = Vec::new();
    for block in blocks {
        found.extend(match block {
            Block::Code { text, .. } => text.lines().map(str::to_owned).collect(),
            Block::Heading { text, .. } | Block::Paragraph(text) => inline(text),
            Block::Table { rows, .. } => rows
                .iter()
                .flatten()
                .flat_map(|cell| inline(cell))
                .collect(),
            Block::List { items, .. } => items
                .iter()
                .flat_map(|item| commands(&item.blocks))
                .collect(),
            Block::Quote(blocks) | Block::Admonition { blocks, .. } => commands(blocks),
            Block::Rule | Block::Html(_) => Vec::new(),
        });
    }
    found.retain(|code| code.starts_with("midwatch "));
    found
}

/// A command line as a shell parts it, with something in place of the runbook's placeholders.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().expect("a word").push(c),
        }
    }
    assert_eq!(quote, None, "an open quote in {line}");
    let filled = |word: String| word.replace("EVENT-N", "7-1").replace("BATCH", "3");
    words.into_iter().map(filled).collect()
}

#[test]
fn every_command_in_a_runbook_can_be_typed() {
    use clap::CommandFactory as _;
    let cli = crate::cli::Cli::command();
    for (file, _) in SHIPPED {
        let commands = commands(&shipped(file).expect(file).blocks);
        assert!(!commands.is_empty(), "{file}");
        for words in commands.iter().map(|line| words(line)) {
            if words[1] == "status" && cli.find_subcommand("status").is_none() {
                continue;
            }
            let parsed = cli.clone().try_get_matches_from(&words);
            if let Err(refused) = parsed {
                panic!("{file}: {words:?}: {refused}");
            }
            for filter in words
                .iter()
                .filter(|word| word.starts_with("path:") || word.starts_with("key:"))
            {
                let read = filter.parse::<crate::queue::filter::Filter>();
                assert!(
                    read.is_ok(),
                    "{file}: {filter}: {}",
                    read.expect_err("refused")
                );
            }
        }
    }
}

proptest! {
    /// Words survive whatever markdown stands around them.
    #[test]
    fn no_word_of_the_source_is_lost(parts in prop::collection::vec(
        prop_oneof![
            4 => "w[a-z]{5}",
            4 => prop::sample::select(vec![
                " ", "\n", "\n\n", "# ", "> ", "- ", "- [ ] ", "- [x] ", "1. ", "12) ", "    ", "\t", "| ", " |\n", "|---|---|\n", "|-|\n",
                "```", "~~~", "``", "`", "**", "*", "_", "~~", "[", "]", "(", ")", "](", "![", "<", ">", "</", "<!--", "-->", "<p>\n",
                "&", ";", "\\", "---\n", "===\n", "> [!NOTE]\n", "> [!WARNING]\n", "<https://", "\"", "\r\n", "<script>\n",
            ]).prop_map(str::to_owned),
        ], 0..60))
    {
        let source = parts.concat();
        let model = text_of(&markdown::parse(&source));
        for word in source.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() >= 6 && word.starts_with('w')) {
            prop_assert!(model.contains(word), "{word} of {source:?} is not in {model:?}");
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let runbook = read(&text);
        let _ = text_of(&runbook.blocks);
    }
}
