//! Listings against systems that page wrongly or break off, over real loopback connections: each ends with an error that
//! says so, never as if it had been whole, and can be resumed where that helps.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Remote;
use super::list::{ListError, Pages};
use super::pages::PagingError;
use crate::config::live::Runtime;
use crate::event::expr::Engine;
use crate::http::Outbound;

/// Longer than a listing here may take.
const SOON: Duration = Duration::from_secs(20);

/// What a vendor answers to a request target: the answer's head without its length, and its body. The number counts
/// requests, from 0.
type Answers = fn(&str, usize) -> (String, String);

/// What is wrong, the way of paging, the answers; how many pages come, and how it ends.
type Case = (
    &'static str,
    &'static str,
    Answers,
    usize,
    Result<(), ListError>,
);

/// A vendor, what it was asked, and its listing.
struct Vendor {
    base: String,
    asked: Arc<Mutex<Vec<String>>>,
    remote: Remote,
}

impl Vendor {
    async fn new(paging: &str, answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let base = format!("http://{}", listener.local_addr().expect("address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answers, Arc::clone(&seen)));
            }
        });
        let text = format!(
            "[systems.crm]\nurl = \"{base}\"\nprivate = true\n[systems.crm.records.order]\nid = \"/id\"\nkey = \"/id\"\n\
             list = {{ url = \"/l\", answer = \"/a\", paging = {paging} }}\n"
        );
        let loaded = crate::config::parse(&text, Path::new("/tmp/midwatch.toml"))
            .unwrap_or_else(|problems| panic!("{}", crate::config::report::render(&problems)));
        let live = watch::channel(Arc::new(Runtime::new(Arc::new(loaded.config), Vec::new()))).1;
        let remote = Remote::new(live.clone(), Outbound::new(live), Engine::new());
        Self {
            base,
            asked,
            remote,
        }
    }

    fn pages(&self, from: Option<&str>) -> Pages {
        let pages = self.remote.pages("crm", "order", None, from);
        let mut pages = pages.expect("a listing");
        pages.pause = Duration::from_millis(1);
        pages
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// How many pages came, the last one's `next`, and how it ended.
async fn listed(mut pages: Pages) -> (usize, Option<String>, Result<(), ListError>) {
    let (mut count, mut next) = (0, None);
    let ended = tokio::time::timeout(SOON, async {
        loop {
            match pages.next().await {
                Ok(Some(page)) => {
                    count += 1;
                    next = page.next;
                }
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    });
    let ended = ended.await.expect("it ends");
    (count, next, ended)
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => head.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push(target.clone());
        asked.len() - 1
    };
    let (head, body) = answers(&target, number);
    let length = if head.contains("content-length") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let answer = format!("HTTP/1.1 {head}{length}connection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn ok(body: impl Into<String>) -> (String, String) {
    ("200 OK\r\n".to_owned(), body.into())
}

/// A page with two records that no other number has, and more members.
fn two(number: usize, more: &str) -> String {
    format!(r#"{{"a":[{{"id":"{number}-1"}},{{"id":"{number}-2"}}]{more}}}"#)
}

const NEXT: &str = r#"{ next = "/n" }"#;
const CURSOR: &str = r#"{ cursor = "/n", param = "c", more = "/more" }"#;
const CURSOR_HEADER: &str = r#"{ cursor_header = "x-next", param = "c" }"#;
const LAST_ID: &str = r#"{ last_id = "after", more = "/more" }"#;
const PAGE: &str = r#"{ page = "p", size = 2 }"#;
const PAGE_TOTAL: &str = r#"{ page = "p", size = 2, total_header = "x-pages" }"#;
const OFFSET: &str = r#"{ offset = "o", size = 2 }"#;
const LINK: &str = r#""link""#;

#[tokio::test]
async fn a_vendor_that_pages_wrongly_is_not_followed_and_its_listing_is_not_whole() {
    use ListError::{Circle, Endless, Same};
    use PagingError::{Address, Elsewhere, NoId, Nowhere};
    let elsewhere = || Err(ListError::Paging(Elsewhere));
    let cases: Vec<Case> = vec![
        // The next page is on another origin: credentials would go there.
        (
            "another host",
            NEXT,
            |_, n| ok(two(n, r#","n":"https://evil.example/l""#)),
            0,
            elsewhere(),
        ),
        (
            "another port",
            NEXT,
            |_, n| ok(two(n, r#","n":"http://127.0.0.1:1/l""#)),
            0,
            elsewhere(),
        ),
        (
            "another host's link",
            LINK,
            |_, n| {
                let head = "200 OK\r\nlink: <//evil.example/l>; rel=\"next\"\r\n".to_owned();
                (head, two(n, ""))
            },
            0,
            elsewhere(),
        ),
        (
            "no address",
            NEXT,
            |_, n| ok(two(n, r#","n":"http://[""#)),
            0,
            Err(ListError::Paging(Address)),
        ),
        // Circles.
        (
            "its own link",
            LINK,
            |_, n| {
                let head = "200 OK\r\nlink: </l>; rel=next\r\n".to_owned();
                (head, two(n, ""))
            },
            1,
            Err(Circle),
        ),
        (
            "its own address with fragments",
            NEXT,
            |_, n| ok(two(n, &format!(r#","n":"/l#{n}""#))),
            1,
            Err(Circle),
        ),
        (
            "one cursor for ever",
            CURSOR,
            |_, n| ok(two(n, r#","n":"x","more":true"#)),
            2,
            Err(Circle),
        ),
        (
            "two cursors in turn",
            CURSOR,
            |_, n| {
                let cursor = ["x", "y"][n % 2];
                ok(two(n, &format!(r#","n":"{cursor}","more":true"#)))
            },
            3,
            Err(Circle),
        ),
        (
            "one cursor in the header",
            CURSOR_HEADER,
            |_, n| ("200 OK\r\nx-next: x\r\n".to_owned(), two(n, "")),
            2,
            Err(Circle),
        ),
        (
            "one last id for ever",
            LAST_ID,
            |_, n| {
                ok(format!(
                    r#"{{"a":[{{"id":"{n}"}},{{"id":"x"}}],"more":true}}"#
                ))
            },
            2,
            Err(Circle),
        ),
        // The parameter is not heeded: the same records again and again, under other addresses.
        ("page ignored", PAGE, |_, _| ok(two(0, "")), 1, Err(Same)),
        (
            "offset ignored",
            OFFSET,
            |_, _| ok(two(0, "")),
            1,
            Err(Same),
        ),
        // Without an end.
        (
            "addresses for ever",
            NEXT,
            |_, n| ok(two(n, &format!(r#","n":"/l?n={n}""#))),
            8,
            Err(Endless(8)),
        ),
        (
            "links for ever",
            LINK,
            |_, n| {
                let head = format!("200 OK\r\nlink: </l?n={n}>; rel=next\r\n");
                (head, two(n, ""))
            },
            8,
            Err(Endless(8)),
        ),
        (
            "cursors for ever",
            CURSOR,
            |_, n| ok(two(n, &format!(r#","n":{n}"#))),
            8,
            Err(Endless(8)),
        ),
        (
            "header cursors for ever",
            CURSOR_HEADER,
            |_, n| (format!("200 OK\r\nx-next: {n}\r\n"), two(n, "")),
            8,
            Err(Endless(8)),
        ),
        (
            "last ids for ever",
            LAST_ID,
            |_, n| ok(two(n, "")),
            8,
            Err(Endless(8)),
        ),
        (
            "pages for ever",
            PAGE,
            |_, n| ok(two(n, "")),
            8,
            Err(Endless(8)),
        ),
        (
            "offsets for ever",
            OFFSET,
            |_, n| ok(two(n, "")),
            8,
            Err(Endless(8)),
        ),
        (
            "empty pages",
            NEXT,
            |_, n| ok(format!(r#"{{"a":[],"n":"/l?n={n}"}}"#)),
            3,
            Err(ListError::Empty(3)),
        ),
        (
            "a total of millions, and nothing there",
            PAGE_TOTAL,
            |_, _| {
                let head = "200 OK\r\nx-pages: 99999999\r\n".to_owned();
                (head, r#"{"a":[]}"#.to_owned())
            },
            3,
            Err(ListError::Empty(3)),
        ),
        // It says that there is more, and not where.
        (
            "more without a cursor",
            CURSOR,
            |_, n| ok(two(n, r#","n":null,"more":true"#)),
            0,
            Err(ListError::Paging(Nowhere)),
        ),
        (
            "more without records",
            LAST_ID,
            |_, _| ok(r#"{"a":[],"more":true}"#),
            0,
            Err(ListError::Paging(Nowhere)),
        ),
        (
            "more without an id",
            LAST_ID,
            |_, _| ok(r#"{"a":[{"id":null}],"more":true}"#),
            0,
            Err(ListError::Paging(NoId("/id".to_owned()))),
        ),
        // A total that is wrong, and a listing that is whole all the same.
        (
            "a total of none",
            PAGE_TOTAL,
            |_, n| {
                let records = if n == 0 {
                    two(0, "")
                } else {
                    r#"{"a":[]}"#.to_owned()
                };
                ("200 OK\r\nx-pages: 0\r\n".to_owned(), records)
            },
            2,
            Ok(()),
        ),
        (
            "a total that is no number",
            PAGE_TOTAL,
            |_, n| {
                let records = if n == 0 {
                    two(0, "")
                } else {
                    r#"{"a":[]}"#.to_owned()
                };
                ("200 OK\r\nx-pages: many\r\n".to_owned(), records)
            },
            2,
            Ok(()),
        ),
    ];
    for (what, paging, answers, count, ended) in cases {
        let vendor = Vendor::new(paging, answers).await;
        let mut pages = vendor.pages(None);
        pages.most = (8, 3);
        let (found, _, how) = listed(pages).await;
        assert_eq!((found, how), (count, ended), "{what}: {:?}", vendor.asked());
    }
}

/// One way of paging with three pages, told by what is asked.
fn three(target: &str, paging: &str) -> (String, String) {
    let at = target
        .rsplit_once('=')
        .and_then(|(_, value)| value.split('-').next())
        .unwrap_or("0");
    let number: usize = at.parse().unwrap_or_default();
    // Pages begin at 1, offsets and last ids count records or name the page before.
    let page = match paging {
        PAGE | PAGE_TOTAL => number - 1,
        OFFSET => number / 2,
        LAST_ID if target.contains("after") => number + 1,
        _ => number,
    };
    let (more, next) = (page < 2, page + 1);
    let (mut head, mut members) = ("200 OK\r\n".to_owned(), String::new());
    match paging {
        NEXT if more => members = format!(r#","n":"/l?n={next}""#),
        CURSOR if more => members = format!(r#","n":{next},"more":true"#),
        CURSOR => members = r#","n":null,"more":false"#.to_owned(),
        LAST_ID => members = format!(r#","more":{more}"#),
        LINK if more => head = format!("200 OK\r\nlink: </l?n={next}>; rel=next\r\n"),
        CURSOR_HEADER if more => head = format!("200 OK\r\nx-next: {next}\r\n"),
        PAGE_TOTAL => head = "200 OK\r\nx-pages: 3\r\n".to_owned(),
        _ => {}
    }
    if !more && matches!(paging, PAGE | OFFSET) {
        let body = format!(r#"{{"a":[{{"id":"{page}-1"}}]}}"#);
        return (head, body);
    }
    (head, two(page, &members))
}

/// The answer to the second request is another one; all others are pages.
macro_rules! second {
    ($paging:expr, $instead:expr) => {
        (
            $paging,
            (|target: &str, n: usize| {
                if n == 1 {
                    $instead
                } else {
                    three(target, $paging)
                }
            }) as Answers,
        )
    };
}

/// What goes wrong in the middle, in every way of paging.
macro_rules! in_the_middle {
    ($instead:expr) => {
        [
            second!(NEXT, $instead),
            second!(CURSOR, $instead),
            second!(CURSOR_HEADER, $instead),
            second!(LAST_ID, $instead),
            second!(PAGE, $instead),
            second!(PAGE_TOTAL, $instead),
            second!(OFFSET, $instead),
            second!(LINK, $instead),
        ]
    };
}

/// The first page came, the second failed in this way, and from its address the rest comes.
async fn resumed(paging: &str, answers: Answers, failed: &ListError) {
    let vendor = Vendor::new(paging, answers).await;
    let (count, next, ended) = listed(vendor.pages(None)).await;
    assert_eq!((count, ended.as_ref()), (1, Err(failed)), "{paging}");
    let next = next.unwrap_or_else(|| panic!("{paging}: nowhere to go on from"));
    assert!(next.starts_with(&vendor.base), "{next}");
    let rest = listed(vendor.pages(Some(&next))).await;
    assert_eq!(rest, (2, None, Ok(())), "{paging}: {:?}", vendor.asked());
    let asked = vendor.asked();
    assert_eq!(asked[1], asked[2], "{paging}: the page that failed");
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_resumed_at_the_page_that_failed() {
    for (paging, answers) in in_the_middle!(("404 Not Found\r\n".to_owned(), "<html>".to_owned())) {
        resumed(paging, answers, &ListError::Status(404)).await;
    }
    // A body that ends before the length it has announced: it may look whole.
    for (paging, answers) in in_the_middle!((
        "200 OK\r\ncontent-length: 500\r\n".to_owned(),
        r#"{"a":[]}"#.to_owned()
    )) {
        resumed(paging, answers, &ListError::Cut(8)).await;
    }
    for (paging, answers) in in_the_middle!(ok(r#"{"b":[]}"#)) {
        let vendor = Vendor::new(paging, answers).await;
        let (count, _, ended) = listed(vendor.pages(None)).await;
        assert!(
            count == 1 && matches!(ended, Err(ListError::Records(_))),
            "{paging}: {ended:?}"
        );
    }
    for (paging, answers) in in_the_middle!(ok("<html>Please log in</html>")) {
        let vendor = Vendor::new(paging, answers).await;
        let (count, _, ended) = listed(vendor.pages(None)).await;
        assert!(
            count == 1 && matches!(ended, Err(ListError::NotJson(_))),
            "{paging}: {ended:?}"
        );
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_is_not_read_to_its_end() {
    let (paging, answers) = second!(
        CURSOR,
        ok(format!(r#"{{"a":["{}"]}}"#, "x".repeat(17 << 20)))
    );
    resumed(paging, answers, &ListError::TooLong).await;
}

#[tokio::test]
async fn a_system_that_throttles_in_the_middle_is_waited_for() {
    let mut listings = tokio::task::JoinSet::new();
    for (paging, answers) in in_the_middle!((
        "429 Too Many Requests\r\nretry-after: 1\r\n".to_owned(),
        String::new()
    )) {
        listings.spawn(async move {
            let vendor = Vendor::new(paging, answers).await;
            let start = Instant::now();
            let found = listed(vendor.pages(None)).await;
            assert_eq!(found, (3, None, Ok(())), "{paging}: {:?}", vendor.asked());
            assert!(start.elapsed() >= Duration::from_secs(1), "{paging}");
            assert_eq!(vendor.asked().len(), 4, "{paging}");
        });
    }
    listings.join_all().await;
}

#[tokio::test]
async fn a_system_that_throttles_for_ever_is_not_waited_for_for_ever() {
    let vendor = Vendor::new(LINK, |_, _| {
        (
            "429 Too Many Requests\r\nretry-after: 0\r\n".to_owned(),
            String::new(),
        )
    })
    .await;
    let found = listed(vendor.pages(None)).await;
    assert_eq!(found, (0, None, Err(ListError::Status(429))));
    assert_eq!(vendor.asked().len(), 4);
}

#[tokio::test]
async fn a_failure_that_passes_is_asked_again_and_one_that_stays_ends_the_listing() {
    for (paging, answers) in in_the_middle!((
        "503 Service Unavailable\r\n".to_owned(),
        "<html>".to_owned()
    )) {
        let vendor = Vendor::new(paging, answers).await;
        let found = listed(vendor.pages(None)).await;
        assert_eq!(found, (3, None, Ok(())), "{paging}: {:?}", vendor.asked());
        assert_eq!(vendor.asked().len(), 4, "{paging}");
    }
    let vendor = Vendor::new(LINK, |_, _| {
        ("503 Service Unavailable\r\n".to_owned(), String::new())
    })
    .await;
    let found = listed(vendor.pages(None)).await;
    assert_eq!(found, (0, None, Err(ListError::Status(503))));
    assert_eq!(vendor.asked().len(), 4);
}
