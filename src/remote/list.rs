//! Listings: all records of a type, or those that changed since a time, page by page, each page one request within the
//! system's budget. A listing that ended without an error was whole. It can be resumed from the address of its next page.
//!
//! It never leaves the system's own origin, never asks for one page twice, and ends after a fixed number of pages (fewer, where
//! nothing is on them): a vendor that pages in circles must not keep it for ever. Polling and adoption call it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::pages::{self, PagingError, Seen};
use super::{Remote, RemoteError, UNSAID};
use crate::event::json::JsonError;
use crate::http::Outbound;
use crate::http::reply::{Fault, Reply, SendError};
use crate::queue::model::Request;
use crate::record::RecordError;
use crate::record::json::Node;
use crate::record::map::{Paging, RecordMap, Shape};
use crate::record::shape::{self, Filling};
use crate::time::Timestamp;

/// Total deadline of one page.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most that is read of one page.
const READ_CAP: usize = 16 << 20;
/// Pages of one listing.
const MOST_PAGES: usize = 100_000;
/// Pages without a record in a row: some vendors page first and leave out afterwards what does not match.
const MOST_EMPTY: usize = 1_000;
/// How often a page is asked for that the system throttles, or that fails in a way that passes.
const TRIES: u32 = 4;
/// The first wait after a failure; each further one is three times as long: with all of them, two seconds.
const PAUSE: Duration = Duration::from_millis(150);

/// Why a listing did not go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ListError {
    /// The page was not asked for, or not answered.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Another answer than a page.
    #[error("it answered {0}")]
    Status(u16),
    /// The page is larger than is read.
    #[error("a page is larger than {} MiB", READ_CAP >> 20)]
    TooLong,
    /// The page ended before its end.
    #[error("the page broke off after {0} bytes")]
    Cut(usize),
    /// The answer is no JSON.
    #[error("the answer is no JSON: {0}")]
    NotJson(JsonError),
    /// There is no array where the records should be.
    #[error(transparent)]
    Records(#[from] RecordError),
    /// It is not known where it goes on.
    #[error(transparent)]
    Paging(#[from] PagingError),
    /// The next page is one that was listed before.
    #[error("it pages in circles: the next page is one that was listed before")]
    Circle,
    /// The page has the records of the one before: it does not heed what page it is asked for.
    #[error("it pages in circles: a page has the same records as the one before")]
    Same,
    /// It goes on for too long.
    #[error("it has more than {0} pages")]
    Endless(usize),
    /// It goes on, but there is nothing.
    #[error("it has more than {0} empty pages in a row")]
    Empty(usize),
}

/// One page.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its records, as the system answers them.
    pub records: Vec<Node>,
    /// Where the listing goes on; none: this was the last page.
    pub next: Option<String>,
}

/// A listing under way.
#[derive(Debug)]
pub struct Pages {
    outbound: Outbound,
    system: String,
    shape: Shape,
    paging: Paging,
    id_at: Option<String>,
    /// The first page's request; the others differ in their URL.
    request: Request,
    next: Option<Url>,
    seen: HashSet<String>,
    /// A hash of the last page's records; none if it had none.
    last: Option<u64>,
    /// Empty pages in a row so far.
    empty: usize,
    /// See [`MOST_PAGES`] and [`MOST_EMPTY`].
    pub(super) most: (usize, usize),
    /// See [`PAUSE`].
    pub(super) pause: Duration,
}

impl Remote {
    /// Lists the records of a type, those that changed since `since` where the listing can be narrowed. `from` is the
    /// [`Page::next`] of a listing that was broken off.
    ///
    /// # Errors
    /// `System`, `Kind`, `Shape` (there is no `list`) and `Record`.
    pub fn pages(
        &self,
        system: &str,
        kind: &str,
        since: Option<Timestamp>,
        from: Option<&str>,
    ) -> Result<Pages, RemoteError> {
        let map: Arc<RecordMap> = self.map(system, kind)?;
        self.pages_of(&map, since, from)
    }

    /// The same by a record map that need not be one of the configuration's own.
    ///
    /// # Errors
    /// As [`Self::pages`], but for `Kind`.
    pub fn pages_of(
        &self,
        map: &RecordMap,
        since: Option<Timestamp>,
        from: Option<&str>,
    ) -> Result<Pages, RemoteError> {
        let (system, kind) = (map.system.as_str(), map.kind.as_str());
        let listing = map.list.as_ref().ok_or_else(|| RemoteError::Shape {
            system: system.to_owned(),
            kind: kind.to_owned(),
            shape: "list".to_owned(),
        })?;
        let base = self.base(system)?;
        let filling = Filling {
            since,
            ..Filling::default()
        };
        let mut request = shape::listing(&base, map, listing, &filling, &self.engine)?;
        let bad = |_| RemoteError::System(system.to_owned());
        let first = Url::parse(&request.url).map_err(bad)?;
        let next = match from {
            Some(from) => pages::joined(&first, from)
                .map_err(|_| RemoteError::Resume(system.to_owned(), kind.to_owned()))?,
            None => pages::first(&listing.paging, first),
        };
        if !request.headers.iter().any(|(name, _)| name == "accept") {
            let json = "application/json".to_owned();
            request.headers.push(("accept".to_owned(), json));
        }
        Ok(Pages {
            outbound: self.outbound.clone(),
            system: system.to_owned(),
            shape: listing.shape.clone(),
            paging: listing.paging.clone(),
            id_at: map.layout.id.clone(),
            request,
            next: Some(next),
            seen: HashSet::new(),
            last: None,
            empty: 0,
            most: (MOST_PAGES, MOST_EMPTY),
            pause: PAUSE,
        })
    }
}

impl Pages {
    /// The next page; none when the listing is whole. After an error the listing is over: it can be resumed from the
    /// last page's `next`.
    pub async fn next(&mut self) -> Result<Option<Page>, ListError> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        let (most, most_empty) = self.most;
        if self.seen.len() == most {
            return Err(ListError::Endless(most));
        }
        if !self.seen.insert(url.as_str().to_owned()) {
            return Err(ListError::Circle);
        }
        url.as_str().clone_into(&mut self.request.url);
        let reply = self.ask().await?;
        let answer = Node::parse(&reply.body).map_err(ListError::NotJson)?;
        let items = shape::items(&answer, &self.shape.answer)?;
        let records: Vec<Node> = (items.iter())
            .map(|item| {
                item.pointer(&self.shape.item)
                    .cloned()
                    .unwrap_or(Node::Null)
            })
            .collect();
        self.progressed(&records, most_empty)?;
        let seen = Seen {
            url: &url,
            reply: &reply,
            answer: &answer,
            items: &records,
            id_at: self.id_at.as_deref(),
        };
        self.next = pages::next(&self.paging, &seen)?;
        Ok(Some(Page {
            records,
            next: self.next.as_ref().map(|url| url.as_str().to_owned()),
        }))
    }

    /// A page has to bring something new, sooner or later.
    fn progressed(&mut self, records: &[Node], most_empty: usize) -> Result<(), ListError> {
        if records.is_empty() {
            self.last = None;
            self.empty += 1;
            return if self.empty > most_empty {
                Err(ListError::Empty(most_empty))
            } else {
                Ok(())
            };
        }
        self.empty = 0;
        let mut hasher = DefaultHasher::new();
        for record in records {
            record.to_json().hash(&mut hasher);
        }
        let hash = hasher.finish();
        if self.last.replace(hash) == Some(hash) {
            return Err(ListError::Same);
        }
        Ok(())
    }

    /// Asks for the page, again after a while where the system throttles, fails or cannot be reached: a long listing must
    /// not fail for what passes. To ask again changes nothing there.
    async fn ask(&self) -> Result<Reply, ListError> {
        let budget = self.outbound.budget(&self.system);
        for attempt in 1..=TRIES {
            // What only looks lets deliveries go first.
            budget.acquire_behind().await;
            let asked = self
                .outbound
                .call(&self.system, &self.request, TIMEOUT, READ_CAP)
                .await;
            if attempt < TRIES && passes(&asked) {
                // A Retry-After is with the budget already, and waited for besides.
                tokio::time::sleep(self.pause * 3_u32.pow(attempt - 1)).await;
                continue;
            }
            let reply = asked?;
            match reply.status {
                // A part of a page is no page (RFC 9110, 15.3.7): nobody asked for a range.
                206 => return Err(ListError::Status(206)),
                200..=299 if reply.truncated && reply.body.len() < READ_CAP => {
                    return Err(ListError::Cut(reply.body.len()));
                }
                200..=299 if reply.truncated => return Err(ListError::TooLong),
                200..=299 => return Ok(reply),
                429 if attempt < TRIES => {
                    // A Retry-After is with the budget already.
                    if reply.header("retry-after").is_none() {
                        budget.throttled(UNSAID);
                    }
                }
                status => return Err(ListError::Status(status)),
            }
        }
        Err(ListError::Status(429))
    }
}

/// Whether the same request may be answered a moment later.
fn passes(asked: &Result<Reply, SendError>) -> bool {
    match asked {
        Ok(reply) => matches!(reply.status, 500 | 502..=504),
        Err(error) => matches!(error.fault, Fault::Connect | Fault::Timeout | Fault::Cut),
    }
}
