use std::path::Path;

use proptest::prelude::*;
use ratatui::style::{Color, Modifier};

use super::*;
use crate::runbook::parse;

fn style(role: Role) -> Style {
    match role {
        Role::Strong | Role::Title => Style::new().add_modifier(Modifier::BOLD),
        Role::Emphasis => Style::new().add_modifier(Modifier::ITALIC),
        Role::Code => Style::new().fg(Color::Cyan),
        Role::Warning => Style::new().fg(Color::Yellow),
        Role::TaskOpen => Style::new().fg(Color::Red),
        Role::TaskDone => Style::new().fg(Color::Green),
        Role::Link => Style::new().add_modifier(Modifier::UNDERLINED),
        _ => Style::new(),
    }
}

fn page(source: &str, width: u16, ascii: bool) -> Page {
    Markdown::new(&parse(source, Path::new("x.md")))
        .ascii(ascii)
        .page(width, style)
}

fn shown(source: &str, width: u16, ascii: bool) -> String {
    let lines: Vec<String> = page(source, width, ascii)
        .lines
        .iter()
        .map(ToString::to_string)
        .collect();
    lines.join("\n")
}

const SOURCE: &str = r#"---
owner: integrations on-call
severity: warning
colour: blue
---
# Receiver down

The receiver *answers* 5xx, see [rate limited](rate-limited.md).

> [!WARNING]
> Never **cancel** to make a number go down.

## Mitigation

1. [ ] Pause it:

   ```sh
   midwatch pause PATH --reason "vendor maintenance until 06:00"
   ```
2. [x] Wait
   - one
   - two

| you see | it is |
|---|---|
| `503` | planned work: look at their status page |
| `502` | their edge |
"#;

#[test]
fn a_runbook_on_a_wide_screen() {
    insta::assert_snapshot!(shown(SOURCE, 60, false), @r#"
    owner     integrations on-call
    severity  warning
    colour    blue
    ! line 4: `colour` is no key of a runbook; it is kept as
      written

    Receiver down
    ═════════════

    The receiver answers 5xx, see rate limited
    <rate-limited.md>.

    │ Warning
    │ Never cancel to make a number go down.

    ▌ Mitigation

    1. [ ] Pause it:
         midwatch pause PATH --reason "vendor maintenance until 
         ↪ 06:00"
    2. [x] Wait
       • one
       • two

    you see │ it is
    ────────┼────────────────────────────────────────
    503     │ planned work: look at their status page
    502     │ their edge
    "#);
}

#[test]
fn a_runbook_on_a_phone_without_unicode() {
    insta::assert_snapshot!(shown(SOURCE, 30, true), @r#"
    owner     integrations on-call
    severity  warning
    colour    blue
    ! line 4: `colour` is no key
      of a runbook; it is kept as
      written

    Receiver down
    =============

    The receiver answers 5xx, see
    rate limited
    <rate-limited.md>.

    | Warning
    | Never cancel to make a
    | number go down.

    ## Mitigation

    1. [ ] Pause it:
         midwatch pause PATH 
         + --reason "vendor 
         + maintenance until 
         + 06:00"
    2. [x] Wait
       - one
       - two

    you see | it is
    --------+---------------------
    503     | planned work: look
            | at their status page
    502     | their edge
    "#);
}

#[test]
fn styles_say_what_each_piece_is() {
    let page = page(SOURCE, 80, false);
    let find = |text: &str| {
        page.lines
            .iter()
            .flat_map(|line| &line.spans)
            .find(|span| span.content.contains(text))
            .unwrap_or_else(|| panic!("{text} is not shown"))
            .style
    };
    assert!(find("Receiver down").add_modifier.contains(Modifier::BOLD));
    assert!(find("answers").add_modifier.contains(Modifier::ITALIC));
    assert!(
        find("rate limited")
            .add_modifier
            .contains(Modifier::UNDERLINED)
    );
    assert!(find("cancel").add_modifier.contains(Modifier::BOLD));
    assert_eq!(find("Warning").fg, Some(Color::Yellow));
    assert_eq!(find("colour` is no key").fg, Some(Color::Yellow));
    assert_eq!(find("midwatch pause").fg, Some(Color::Cyan));
    assert_eq!(find("503").fg, Some(Color::Cyan));
    assert_eq!(find("[ ]").fg, Some(Color::Red));
    assert_eq!(find("[x]").fg, Some(Color::Green));
}

#[test]
fn blocks_say_where_they_begin() {
    let page = page(SOURCE, 60, false);
    let at = |place: usize| page.lines[page.starts[place]].to_string();
    assert_eq!(at(0), "Receiver down");
    assert!(at(3).ends_with("Mitigation"));
    assert!(at(4).starts_with("1. [ ] Pause it:"));
}

#[test]
fn a_code_line_is_broken_only_with_a_mark_and_loses_nothing() {
    let code = "midwatch replay 'path:crm state:dead' --dry-run";
    let lines = page(&format!("```sh\n{code}\n```"), 20, false).lines;
    assert!(lines.len() > 1);
    let joined: String = lines
        .iter()
        .map(|line| line.to_string()[2..].trim_start_matches("↪ ").to_owned())
        .collect();
    assert_eq!(joined, code);
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.to_string().contains("↪ "))
    );
}

#[test]
fn a_table_too_wide_is_stacked() {
    insta::assert_snapshot!(shown("|first|second|third|\n|-|-|-|\n|a value of some length|another one here|x|\n|y|z||\n", 22, true), @"
    first: a value of some
    length
    second: another one
    here
    third: x
    --------
    first: y
    second: z
    third:
    ");
}

#[test]
fn nothing_hostile_reaches_a_line() {
    let source = "# a\u{1b}[2J\n\n**b\u{202e}** `c\u{9b}` [d](http://e\u{200b})\n\n```\u{7} x\nf\u{1b}]0;g\u{7}\n```\n\n|\u{1b}c|\n|-|\n|\u{e0041}|\n\n<i\u{8}>\n";
    let text = shown(source, 40, false);
    assert!(
        !text.chars().any(|c| c != '\n' && visible::is_hidden(c)),
        "{text:?}"
    );
    for escape in [
        "\\x1b[2J",
        "\\u{202e}",
        "\\u{9b}",
        "\\u{200b}",
        "\\x1b]0;g\\x07",
        "\\u{e0041}",
        "\\x08",
    ] {
        assert!(text.contains(escape), "{escape} in {text}");
    }
}

#[test]
fn what_comes_with_midwatch_fits_every_screen() {
    for (file, _) in runbook::SHIPPED {
        let runbook = runbook::shipped(file).expect(file);
        for width in [45, 80, 250] {
            let lines = Markdown::new(&runbook).lines(width, style);
            assert!(
                lines.iter().all(|line| line.width() <= usize::from(width)),
                "{file} at {width}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_width_is_exceeded_and_nothing_panics(parts in prop::collection::vec(
        prop_oneof![
            "[a-z漢字ø]{1,14}",
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                " ", "\n", "\n\n", "# ", "## ", "> ", "- ", "- [ ] ", "1. ", "999999999. ", "    ", "|", " |\n", "|---|---|\n",
                "```", "`", "**", "*", "[", "](", ")", "<p>\n", "  \n", "\\", "---\n", "> [!NOTE]\n", "👩🏽\u{301}", "\t",
            ]).prop_map(str::to_owned),
        ], 0..50), width in 1u16..300, ascii: bool)
    {
        let source = parts.concat();
        let page = page(&source, width, ascii);
        for line in &page.lines {
            prop_assert!(line.width() <= usize::from(width.max(3)), "{} > {width}: {line:?}", line.width());
            prop_assert!(!line.to_string().chars().any(visible::is_hidden));
        }
        prop_assert!(page.starts.is_sorted());
    }

    #[test]
    fn no_letter_is_lost_at_any_width(source in "([a-z]{1,12}( |\n|\n\n|, |  \n)){0,30}", width in 1u16..60) {
        let letters = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>();
        prop_assert_eq!(letters(&shown(&source, width, false)), letters(&source));
    }
}
