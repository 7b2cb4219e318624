//! One side of a comparison as rows: a listing is fetched page by page into a file of its run and read back from there, so
//! that its size is the disk's business, and so that a run that was interrupted goes on where it was.
//!
//! A page is written before its place is kept, and what lies in the file beyond the kept place is cut off: after a crash a
//! page is listed again at most, never lost and never counted twice. Files are readable by nobody else, and go with their
//! run. Called by `run`.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

use super::codec::{self, Framed};
use super::files::FileRows;
use super::row::{Row, Rows};
use super::wanted::Wanted;
use crate::config::model::Records;
use crate::event::expr::Engine;
use crate::ids::RunId;
use crate::record::json::Node;
use crate::record::map::RecordMap;
use crate::record::read;
use crate::remote::Remote;
use crate::remote::list::Pages;
use crate::store::view::SideRow;
use crate::store::{HashKey, Store};
use crate::time::Timestamp;

/// Lists one side, as far as it goes, and goes on from where its run was interrupted.
pub(super) struct Listing<'a> {
    pub(super) remote: &'a Remote,
    pub(super) engine: &'a Engine,
    pub(super) key: &'a HashKey,
    pub(super) store: &'a Store,
    pub(super) records: &'a Records,
    /// 0 or 1.
    pub(super) side: usize,
    pub(super) run: RunId,
    /// Only what changed since then, where the listing can be narrowed.
    pub(super) since: Option<Timestamp>,
    /// Records of the last whole listing, for whoever waits.
    pub(super) expected: Option<u64>,
    /// The configuration's folder, in which files begin.
    pub(super) folder: &'a Path,
}

/// What a listing brought.
pub(super) struct Listed {
    rows: Box<dyn Rows>,
    /// Why it did not come to its end.
    broken: Option<String>,
}

impl Rows for Listed {
    fn next(&mut self, row: &mut Row) -> Result<bool, String> {
        match (self.rows.next(row)?, self.broken.take()) {
            (false, Some(broken)) => Err(broken),
            (more, broken) => {
                self.broken = broken;
                Ok(more)
            }
        }
    }
}

impl Listing<'_> {
    /// Lists; what went wrong is told by the rows, at their end.
    pub(super) async fn rows(self) -> Listed {
        if self.records.sides[self.side].map.file.is_some() {
            return self.file();
        }
        let file = place(self.store, self.run, self.side);
        let kept = self.kept().await;
        let broken = self.fetch(&file, kept).await.err();
        let rows: Result<Box<dyn Rows>, String> = match File::open(&file) {
            Ok(open) => Ok(Box::new(Framed::new(open))),
            // It broke off before its first page.
            Err(_) if broken.is_some() => Ok(Box::new(Vec::new().into_iter())),
            Err(error) => Err(unusable(&file, &error)),
        };
        match rows {
            Ok(rows) => Listed { rows, broken },
            Err(error) => Listed {
                rows: Box::new(Vec::new().into_iter()),
                broken: Some(error),
            },
        }
    }

    /// A side that is a file is read where it is.
    fn file(&self) -> Listed {
        let map = &self.records.sides[self.side].map;
        let wanted = Wanted::of(self.records, self.side);
        let folder = self.folder;
        match FileRows::open(map, folder, self.since, wanted, self.engine, self.key) {
            Ok(rows) => Listed {
                rows: Box::new(rows),
                broken: None,
            },
            Err(broken) => Listed {
                rows: Box::new(Vec::new().into_iter()),
                broken: Some(broken),
            },
        }
    }

    /// How far this side had come when its run was interrupted.
    async fn kept(&self) -> Option<SideRow> {
        let (store, run, side) = (self.store.clone(), self.run, self.side);
        let read = spawn_blocking(move || {
            let sides = store.reader().ok()?.sides(run).ok()?;
            sides.into_iter().find(|row| usize::from(row.side) == side)
        });
        read.await.ok().flatten()
    }

    async fn fetch(&self, file: &Path, kept: Option<SideRow>) -> Result<(), String> {
        let side = &self.records.sides[self.side];
        let mut row = SideRow {
            run: self.run,
            side: self.side as u8,
            system: side.system.clone(),
            kind: side.kind.clone(),
            since: self.since,
            expected: self.expected,
            ..SideRow::default()
        };
        let fail = |error: io::Error| unusable(file, &error);
        let mut out = open(file).map_err(fail)?;
        // A listing since another time is another listing.
        let held = out.metadata().map_err(fail)?.len();
        if let Some(kept) = kept.filter(|kept| kept.since == self.since && kept.bytes <= held) {
            row = SideRow {
                expected: row.expected,
                ..kept
            };
        }
        out.set_len(row.bytes).map_err(fail)?;
        out.seek(SeekFrom::End(0)).map_err(fail)?;
        if row.done {
            return Ok(());
        }
        self.keep(&row).await?;
        let wanted = Wanted::of(self.records, self.side);
        let mut pages = self.pages(row.next.as_deref())?;
        let mut bytes = Vec::new();
        while let Some(page) = pages.next().await.map_err(|error| error.to_string())? {
            bytes.clear();
            for node in &page.records {
                codec::encode(&self.row(&side.map, node, &wanted), &mut bytes);
            }
            out.write_all(&bytes).map_err(fail)?;
            row.bytes += bytes.len() as u64;
            row.seen += page.records.len() as u64;
            row.done = page.next.is_none();
            row.next = page.next;
            self.keep(&row).await?;
        }
        Ok(())
    }

    fn pages(&self, from: Option<&str>) -> Result<Pages, String> {
        let map = &self.records.sides[self.side].map;
        (self.remote.pages_of(map, self.since, from)).map_err(|error| error.to_string())
    }

    /// A record that cannot be read has no key: it is counted, and the run says so.
    fn row(&self, map: &RecordMap, node: &Node, wanted: &Wanted) -> Row {
        read::one(map, node, self.engine).map_or_else(
            |_| Row::default(),
            |record| Row::of(&record, wanted, self.key),
        )
    }

    async fn keep(&self, row: &SideRow) -> Result<(), String> {
        let kept = self.store.keep_side(row.clone()).await;
        kept.map_err(|error| format!("how far the listing is could not be kept: {error}"))
    }
}

fn place(store: &Store, run: RunId, side: usize) -> PathBuf {
    store.runs_folder().join(format!("{run}-{side}.rows"))
}

fn unusable(file: &Path, error: &io::Error) -> String {
    format!("{} cannot be used: {error}", file.display())
}

/// Opens the file of a side to read and write; makes it and its folder where they are missing.
fn open(file: &Path) -> io::Result<File> {
    if let Some(folder) = file.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
}

/// Removes what a run listed.
pub(super) async fn forget(store: &Store, run: RunId) {
    let files = [0, 1].map(|side| place(store, run, side));
    let removed = spawn_blocking(move || files.map(|file| (std::fs::remove_file(&file), file)));
    for (removed, file) in removed.await.into_iter().flatten() {
        if let Err(error) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(?error, ?file, "a listing could not be removed");
        }
    }
}

/// Removes what runs listed that will not go on.
pub(super) async fn tidy(store: &Store, open: &[RunId]) {
    let (folder, stays) = (
        store.runs_folder(),
        open.iter().map(|run| format!("{run}-")).collect::<Vec<_>>(),
    );
    let tidied = spawn_blocking(move || -> io::Result<()> {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let (name, file) = (entry.file_name(), entry.path());
            let name = name.to_string_lossy();
            let is_listing = file
                .extension()
                .is_some_and(|extension| extension == "rows");
            if is_listing && !stays.iter().any(|run| name.starts_with(run)) {
                std::fs::remove_file(file)?;
            }
        }
        Ok(())
    });
    if let Ok(Err(error)) = tidied.await {
        tracing::warn!(?error, "what old runs listed could not be removed");
    }
}

#[cfg(test)]
mod tests;
