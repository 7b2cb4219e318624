//! Markdown source -> blocks, over pulldown-cmark's events.
//!
//! CommonMark drops some text silently (cells beyond a table's heading, link definitions that nobody uses): whatever the
//! parser leaves uncovered and holds a letter or digit is put back as a paragraph after the block it stood in.

use std::ops::Range;

use pulldown_cmark::{
    BlockQuoteKind, CodeBlockKind, Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd,
};

use super::blocks::{Admonition, Block, Item, MAX_DEPTH, Span};

/// The longest marker of a numbered item, with what indents it (CommonMark: three spaces, nine digits, one sign).
const MARKER_BYTES: usize = 13;

/// Reads a runbook's body.
pub(super) fn parse(text: &str) -> Vec<Block> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_GFM;
    let parser = Parser::new_ext(text, options);
    let mut builder = Builder {
        source: text,
        frames: vec![Frame::new(Container::Root)],
        ..Builder::default()
    };
    let definitions: Vec<(String, Range<usize>)> = parser
        .reference_definitions()
        .iter()
        .map(|(label, definition)| (label.to_lowercase(), definition.span.clone()))
        .collect();
    for (event, range) in parser.into_offset_iter() {
        builder.event(event, range);
    }
    for (label, span) in definitions {
        if builder.used.contains(&label) {
            builder.covered.push(span);
        }
    }
    builder.finish()
}

enum Container {
    Root,
    Quote(Option<Admonition>),
    List(Option<u64>, Vec<Item>),
    Item(Option<bool>),
}

struct Frame {
    container: Container,
    blocks: Vec<Block>,
}

impl Frame {
    fn new(container: Container) -> Self {
        Self {
            container,
            blocks: Vec::new(),
        }
    }
}

#[derive(Default)]
struct Table {
    head: Vec<Vec<Span>>,
    rows: Vec<Vec<Vec<Span>>>,
    row: Vec<Vec<Span>>,
}

#[derive(Default)]
struct Builder<'a> {
    source: &'a str,
    frames: Vec<Frame>,
    /// Containers below MAX_DEPTH, which are not opened.
    ignored: usize,
    /// The running text of the block under way.
    spans: Vec<Span>,
    strong: usize,
    emphasis: usize,
    struck: usize,
    /// Links under way: target and title.
    links: Vec<(String, String)>,
    code: Option<(String, String)>,
    html: Option<String>,
    table: Option<Table>,
    /// Source that is in the model, or is markup.
    covered: Vec<Range<usize>>,
    /// Labels of link definitions that were used, lower case.
    used: Vec<String>,
    /// Where the top-level blocks so far begin, beside the number of blocks before them.
    tops: Vec<(usize, usize)>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, range: Range<usize>) {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => {
                self.covered.push(range);
                match (&mut self.code, &mut self.html) {
                    (Some((_, code)), _) => code.push_str(&text),
                    (_, Some(html)) => html.push_str(&text),
                    _ => self.span(&text, false),
                }
            }
            Event::Code(text) => {
                self.covered.push(range);
                self.span(&text, true);
            }
            Event::Html(text) | Event::InlineHtml(text) => {
                self.covered.push(range);
                match &mut self.html {
                    Some(html) => html.push_str(&text),
                    None => self.span(&text, false),
                }
            }
            Event::SoftBreak => self.span(" ", false),
            Event::HardBreak => self.span("\n", false),
            Event::Rule => {
                self.covered.push(range.clone());
                self.top(range.start);
                self.flush();
                self.push(Block::Rule);
            }
            Event::TaskListMarker(done) => {
                self.covered.push(range);
                match self.frames.last_mut() {
                    Some(Frame {
                        container: Container::Item(task),
                        ..
                    }) if self.ignored == 0 => *task = Some(done),
                    _ => self.span(if done { "[x] " } else { "[ ] " }, false),
                }
            }
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.covered.push(range);
                self.span(&text, false);
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::Emphasis => self.emphasis += 1,
            Tag::Strong => self.strong += 1,
            Tag::Strikethrough => self.struck += 1,
            Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }
            | Tag::Image {
                link_type,
                dest_url,
                title,
                id,
            } => {
                self.covered.push(range);
                if matches!(
                    link_type,
                    LinkType::Reference | LinkType::Collapsed | LinkType::Shortcut
                ) {
                    self.used.push(id.to_lowercase());
                }
                self.links
                    .push((dest_url.into_string(), title.into_string()));
            }
            tag => {
                self.top(range.start);
                if !matches!(tag, Tag::TableHead | Tag::TableRow | Tag::TableCell) {
                    self.flush();
                }
                self.open(tag, range);
            }
        }
    }

    fn open(&mut self, tag: Tag<'_>, range: Range<usize>) {
        match tag {
            Tag::BlockQuote(kind) => {
                let kind = kind.map(admonition);
                if kind.is_some() {
                    let first = self.source[range.clone()].find('\n').unwrap_or(range.len());
                    self.covered.push(range.start..range.start + first);
                }
                self.enter(Container::Quote(kind));
            }
            Tag::List(start) => self.enter(Container::List(start, Vec::new())),
            Tag::Item => {
                // A number counts as markup: the list's first one is kept, the rest follow from it.
                let marker = self.source[range.clone()].bytes().take(MARKER_BYTES);
                let spaces = marker.clone().take_while(|b| *b == b' ').count();
                let digits = marker.skip(spaces).take_while(u8::is_ascii_digit).count();
                self.covered
                    .push(range.start..range.start + spaces + digits);
                self.enter(Container::Item(None));
            }
            Tag::CodeBlock(kind) => {
                self.covered.push(range);
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.into_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                self.code = Some((info, String::new()));
            }
            Tag::HtmlBlock => self.html = Some(String::new()),
            Tag::Table(_) => self.table = Some(Table::default()),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Emphasis => self.emphasis = self.emphasis.saturating_sub(1),
            TagEnd::Strong => self.strong = self.strong.saturating_sub(1),
            TagEnd::Strikethrough => self.struck = self.struck.saturating_sub(1),
            TagEnd::Link | TagEnd::Image => {
                // An image without a description, or an empty link, still says where it leads.
                let linked = self.spans.last().and_then(|span| span.link.as_ref());
                if let Some((target, _)) = self.links.last().cloned()
                    && linked != Some(&target)
                {
                    self.span(&target, false);
                }
                if let Some((_, title)) = self.links.pop()
                    && !title.is_empty()
                {
                    self.span(&format!(" ({title})"), false);
                }
            }
            TagEnd::Heading(level) => {
                let text = std::mem::take(&mut self.spans);
                self.push(Block::Heading {
                    level: number(level),
                    text,
                });
            }
            TagEnd::CodeBlock => {
                if let Some((info, mut text)) = self.code.take() {
                    if text.ends_with('\n') {
                        text.pop();
                    }
                    self.push(Block::Code { info, text });
                }
            }
            TagEnd::HtmlBlock => {
                if let Some(html) = self.html.take() {
                    self.push(Block::Html(html.trim_end().to_owned()));
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => {
                self.flush();
                self.leave();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.spans);
                if let Some(table) = &mut self.table {
                    table.row.push(cell);
                }
            }
            TagEnd::TableHead => {
                if let Some(table) = &mut self.table {
                    table.head = std::mem::take(&mut table.row);
                }
            }
            TagEnd::TableRow => {
                if let Some(table) = &mut self.table {
                    let row = std::mem::take(&mut table.row);
                    table.rows.push(row);
                }
            }
            TagEnd::Table => {
                if let Some(Table { head, rows, .. }) = self.table.take() {
                    self.push(Block::Table { head, rows });
                }
            }
            _ => self.flush(),
        }
    }

    fn span(&mut self, text: &str, code: bool) {
        let span = Span {
            text: text.to_owned(),
            strong: self.strong > 0,
            emphasis: self.emphasis > 0,
            code,
            struck: self.struck > 0,
            link: self.links.last().map(|(target, _)| target.clone()),
        };
        match self.spans.last_mut() {
            Some(last)
                if (Span {
                    text: String::new(),
                    ..last.clone()
                }) == (Span {
                    text: String::new(),
                    ..span.clone()
                }) =>
            {
                last.text.push_str(&span.text);
            }
            _ => self.spans.push(span),
        }
    }

    /// The running text becomes a paragraph. Items of tight lists have text without a paragraph of its own.
    fn flush(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        if !spans.is_empty() {
            self.push(Block::Paragraph(spans));
        }
    }

    fn push(&mut self, block: Block) {
        if let Some(frame) = self.frames.last_mut() {
            frame.blocks.push(block);
        }
    }

    fn top(&mut self, at: usize) {
        if let [root] = self.frames.as_slice() {
            self.tops.push((at, root.blocks.len()));
        }
    }

    fn enter(&mut self, container: Container) {
        if self.ignored > 0 || self.frames.len() > MAX_DEPTH {
            self.ignored += 1;
        } else {
            self.frames.push(Frame::new(container));
        }
    }

    fn leave(&mut self) {
        if self.ignored > 0 {
            self.ignored -= 1;
            return;
        }
        if self.frames.len() < 2 {
            return;
        }
        let Some(Frame { container, blocks }) = self.frames.pop() else {
            return;
        };
        match container {
            Container::Root => {}
            Container::Quote(None) => self.push(Block::Quote(blocks)),
            Container::Quote(Some(kind)) => self.push(Block::Admonition { kind, blocks }),
            Container::List(start, mut items) => {
                // At MAX_DEPTH the items are not opened: what they hold is one item.
                if !blocks.is_empty() {
                    items.push(Item { task: None, blocks });
                }
                self.push(Block::List { start, items });
            }
            Container::Item(task) => match self.frames.last_mut() {
                Some(Frame {
                    container: Container::List(_, items),
                    ..
                }) => items.push(Item { task, blocks }),
                _ => self.push(Block::List {
                    start: None,
                    items: vec![Item { task, blocks }],
                }),
            },
        }
    }

    fn finish(mut self) -> Vec<Block> {
        self.flush();
        while self.frames.len() > 1 {
            self.ignored = 0;
            self.leave();
        }
        self.covered.sort_by_key(|range| range.start);
        let mut gaps: Vec<(usize, &str)> = Vec::new();
        let mut at = 0;
        let end = self.source.len();
        for range in self
            .covered
            .iter()
            .cloned()
            .chain(std::iter::once(end..end))
        {
            if range.start > at {
                let gap = &self.source[at..range.start];
                if gap.contains(char::is_alphanumeric) {
                    gaps.push((at, gap));
                }
            }
            at = at.max(range.end);
        }
        let mut blocks = self
            .frames
            .pop()
            .map(|root| root.blocks)
            .unwrap_or_default();
        for (at, gap) in gaps.into_iter().rev() {
            // After the top-level block that begins last before the gap, that is: before the next one.
            let place = self
                .tops
                .iter()
                .find(|(start, _)| *start > at)
                .map_or(blocks.len(), |(_, before)| *before);
            let lines = gap
                .lines()
                .filter(|line| line.contains(char::is_alphanumeric));
            let bare = |line: &str| {
                let markup = |c: char| c.is_whitespace() || matches!(c, '|' | '>');
                line.trim_matches(markup).to_owned()
            };
            let text = lines.map(bare).collect::<Vec<_>>().join("\n");
            blocks.insert(
                place.min(blocks.len()),
                Block::Paragraph(vec![Span {
                    text,
                    ..Span::default()
                }]),
            );
        }
        blocks
    }
}

fn admonition(kind: BlockQuoteKind) -> Admonition {
    match kind {
        BlockQuoteKind::Note => Admonition::Note,
        BlockQuoteKind::Tip => Admonition::Tip,
        BlockQuoteKind::Important => Admonition::Important,
        BlockQuoteKind::Warning => Admonition::Warning,
        BlockQuoteKind::Caution => Admonition::Caution,
    }
}

fn number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}
