//! Acknowledged means durable: a child process works under a shim that records every write and flush it makes; then the
//! power is cut at many places of that record, and each disk that could be left is opened and searched for what had been
//! promised before the cut.
//!
//! Controls keep this honest. A program that writes the same rows by hand must be caught losing some with
//! `synchronous=NORMAL`, be found damaged with `OFF`, and pass with `FULL`. And the record, applied whole, must equal the
//! files that the child really left: the shim overlooked nothing.
//!
//! `MIDWATCH_POWER_STATES` sets how many disks are made (400 unless told). Linux only; needs `cc`.

#[path = "power_loss/child.rs"]
mod child;
#[path = "power_loss/trace.rs"]
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use child::DATABASE;
use midwatch::ids::{DeliveryId, EventId};
use midwatch::queue::model::State;
use midwatch::store::Receipt;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use trace::{Chance, Disk, PROMISES, Promise, Trace};

/// Set in a child: which program it is.
const ROLE: &str = "MIDWATCH_POWER_ROLE";
/// The folder that the shim watches and the child works in.
const FOLDER: &str = "MIDWATCH_POWER_FOLDER";
/// One disk of this many is also given to a new worker.
const WORKER_EVERY: usize = 20;

#[test]
fn nothing_promised_is_lost_when_the_power_fails() {
    if !is_supported() {
        return;
    }
    play_role();
    let tally = cut_power_of("nothing_promised_is_lost_when_the_power_fails", "ours");
    assert!(
        tally.promises > 300 && tally.logs > child::LIVES.len(),
        "the child does too little to prove anything: {tally:?}"
    );
    assert!(tally.lossy == 0 && tally.damaged == 0, "{tally:?}");
}

#[test]
fn the_same_cuts_catch_a_program_that_does_not_wait_for_the_disk() {
    let name = "the_same_cuts_catch_a_program_that_does_not_wait_for_the_disk";
    if !is_supported() {
        return;
    }
    play_role();
    let normal = cut_power_of(name, "NORMAL");
    assert!(normal.lossy * 4 > normal.states, "{normal:?}");
    let off = cut_power_of(name, "OFF");
    assert!(off.damaged > 0, "damage is recognised: {off:?}");
    let full = cut_power_of(name, "FULL");
    assert!(full.lossy == 0 && full.damaged == 0, "{full:?}");
}

fn is_supported() -> bool {
    let supported = cfg!(target_os = "linux");
    if !supported {
        println!("skipped: recording a process's writes needs Linux (LD_PRELOAD, /proc)");
    }
    supported
}

/// In a child: plays its role and ends the process at once, with nothing closed. Elsewhere: nothing.
fn play_role() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("the parent names a folder"));
    match role.as_str() {
        "ours" => child::ours(&folder),
        synchronous => child::by_hand(&folder, synchronous),
    }
    std::process::exit(0);
}

/// What became of the disks of one program.
#[derive(Debug, Default)]
struct Tally {
    states: usize,
    /// All that the program was promised.
    promises: usize,
    /// How often its write-ahead log was begun.
    logs: usize,
    /// Disks that lack something promised, and how many promises that is over all disks.
    lossy: usize,
    lost: usize,
    /// Disks whose database is not sound, or holds what nobody wrote.
    damaged: usize,
    /// The first few findings in words.
    findings: Vec<String>,
}

/// Runs a child under the shim, then makes and searches the disks.
fn cut_power_of(test: &str, role: &str) -> Tally {
    let start = Instant::now();
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let trace = record(&root, test, role);
    let states = std::env::var("MIDWATCH_POWER_STATES").map_or(400, |text| {
        text.parse()
            .expect("MIDWATCH_POWER_STATES is the number of disks to make")
    });
    let recorded = start.elapsed();
    let start = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (trace, root) = (&trace, &root);
                let share = states * thread / threads..states * (thread + 1) / threads;
                scope.spawn(move || search(trace, share, states, root, role == "ours"))
            })
            .collect();
        let mut sum = Tally::default();
        for worker in workers {
            let part = worker.join().unwrap();
            sum.states += part.states;
            sum.lossy += part.lossy;
            sum.lost += part.lost;
            sum.damaged += part.damaged;
            sum.findings.extend(part.findings);
        }
        sum
    });
    tally.promises = trace.promises.len();
    tally.logs = trace.logs();
    tally.findings.truncate(5);
    println!(
        "{role}: {} records, {} promises, {} logs; {} disks, {} lack {} promises, {} damaged; {:.1} s + {:.1} s",
        trace.records.len(),
        tally.promises,
        tally.logs,
        tally.states,
        tally.lossy,
        tally.lost,
        tally.damaged,
        recorded.as_secs_f64(),
        start.elapsed().as_secs_f64(),
    );
    tally
}

/// Compiles the shim, runs this test again in the role, and reads what it did.
fn record(root: &Path, test: &str, role: &str) -> Trace {
    let shim = root.join("shim.so");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&shim)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power_loss/shim.c"))
        .output();
    let compiled = output.expect("this test needs a C compiler named `cc` on the PATH");
    let words = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "cc: {words}");
    let (folder, file) = (root.join("work"), root.join("trace"));
    std::fs::create_dir(&folder).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("LD_PRELOAD", &shim)
        .env("MIDWATCH_POWER_TRACE", &file)
        .env(FOLDER, &folder)
        .env(ROLE, role)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "the child failed: {words}");
    let trace = Trace::read(&file);
    assert_complete(&trace, &folder);
    trace
}

/// The record accounts for every byte that the child left.
fn assert_complete(trace: &Trace, folder: &Path) {
    let mut disk = Disk::new(trace);
    disk.advance(trace.records.len());
    let recorded = disk.seen();
    let mut left: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != PROMISES && !trace::is_lock(name) && !name.ends_with("-shm"))
        .collect();
    left.sort_unstable();
    assert_eq!(recorded.keys().copied().collect::<Vec<_>>(), left);
    assert!(recorded.contains_key("m.db-wal"), "a log is left: {left:?}");
    for (name, content) in recorded {
        let same = std::fs::read(folder.join(name)).unwrap() == content;
        assert!(same, "the shim missed a change of {name}");
    }
}

/// Makes a share of all the disks and searches each.
fn search(
    trace: &Trace,
    share: std::ops::Range<usize>,
    all: usize,
    root: &Path,
    with_worker: bool,
) -> Tally {
    let mut tally = Tally::default();
    let mut disk = Disk::new(trace);
    for number in share {
        let mut chance = Chance(number as u64);
        // One cut somewhere in each of `all` equal spans of the record.
        let (from, to) = (
            trace.records.len() * number / all,
            trace.records.len() * (number + 1) / all,
        );
        let cut = from + chance.below((to - from) as u64 + 1) as usize;
        disk.advance(cut);
        let known = trace.promises.partition_point(|(at, _)| *at <= cut);
        let promised: Vec<Promise> = trace.promises[..known].iter().map(|(_, p)| *p).collect();
        let folder = root.join(format!("disk-{number}"));
        std::fs::create_dir(&folder).unwrap();
        for (name, content) in disk.cut(&mut chance) {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let mut finding = look_for(&folder, &promised);
        if with_worker && number.is_multiple_of(WORKER_EVERY) && finding.is_clean() {
            finding.damage = take_over(&folder, &promised).err();
        }
        tally.states += 1;
        tally.lost += finding.lost.len();
        tally.lossy += usize::from(!finding.lost.is_empty());
        tally.damaged += usize::from(finding.damage.is_some());
        if !finding.is_clean() {
            tally.findings.push(format!(
                "disk {number}, cut after record {cut}: {finding:?}"
            ));
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
    tally
}

/// What is wrong with a disk.
#[derive(Debug, Default)]
struct Finding {
    lost: Vec<Promise>,
    damage: Option<String>,
}

impl Finding {
    fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.damage.is_none()
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { lost, damage } = self;
        write!(
            f,
            "{} lost, first {:?}; {damage:?}",
            lost.len(),
            lost.first()
        )
    }
}

/// Opens the database with nothing but SQLite, which recovers it, and looks for every promise.
fn look_for(folder: &Path, promised: &[Promise]) -> Finding {
    match contents(folder) {
        Ok(events) => {
            let is_kept = |promise: &&Promise| match **promise {
                Promise::Accepted { event, n } => {
                    events.get(&event).is_some_and(|found| found.n == n)
                }
                Promise::Settled { delivery } => events
                    .get(&DeliveryId(delivery).event().0)
                    .is_some_and(|found| found.is_settled),
            };
            Finding {
                lost: promised.iter().filter(|p| !is_kept(p)).copied().collect(),
                damage: None,
            }
        }
        Err(words) => Finding {
            lost: Vec::new(),
            damage: Some(words),
        },
    }
}

/// An event that is there, whole, with its delivery.
struct Found {
    n: u64,
    /// Its delivery is delivered and has the attempt that did it.
    is_settled: bool,
}

/// Every event by its number, or what is unsound about the database.
fn contents(folder: &Path) -> Result<BTreeMap<i64, Found>, String> {
    let words = |error: rusqlite::Error| error.to_string();
    let connection = Connection::open(folder.join(DATABASE)).map_err(words)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(words)?;
    let verdict: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(words)?;
    if verdict != "ok" {
        return Err(verdict);
    }
    let mut found = BTreeMap::new();
    if !connection.table_exists(None, "event").map_err(words)? {
        return Ok(found);
    }
    let mut events = connection
        .prepare(
            "SELECT e.id, e.event_id, p.data, d.state,
               (SELECT count(*) FROM attempt a WHERE a.delivery = d.id AND a.status = 200)
             FROM event e LEFT JOIN payload p ON p.event = e.id LEFT JOIN delivery d ON d.id = ?1 * e.id",
        )
        .map_err(words)?;
    let mut rows = events
        .query([DeliveryId::new(EventId(1), 0).0])
        .map_err(words)?;
    while let Some(row) = rows.next().map_err(words)? {
        let number: i64 = row.get(0).map_err(words)?;
        let id: String = row.get(1).map_err(words)?;
        let data: Option<Vec<u8>> = row.get(2).map_err(words)?;
        let state: Option<i64> = row.get(3).map_err(words)?;
        let attempts: i64 = row.get(4).map_err(words)?;
        let n = id
            .strip_prefix("evt_")
            .and_then(|n| n.parse().ok())
            .ok_or_else(|| format!("event {number} is named `{id}`"))?;
        if data != Some(child::payload(n)) {
            return Err(format!("event {number} has another payload"));
        }
        let state = state
            .and_then(State::from_code)
            .ok_or_else(|| format!("event {number} has no delivery"))?;
        let is_settled = state == State::Delivered && attempts == 1;
        found.insert(number, Found { n, is_settled });
    }
    // Numbers are given in the order of the commits: a gap is a commit lost from the middle.
    let last = found.keys().next_back().copied().unwrap_or(0);
    if last != found.len() as i64 {
        return Err(format!("{} events, the last is {last}", found.len()));
    }
    Ok(found)
}

/// A new worker starts on the disk: it still knows what it accepted, and accepts more.
fn take_over(folder: &Path, promised: &[Promise]) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (store, path) = child::open(folder).await;
        let accepted = promised.iter().rev().find_map(|promise| match promise {
            Promise::Accepted { event, n } => Some((EventId(*event), *n)),
            Promise::Settled { .. } => None,
        });
        let mut batch = vec![child::incoming(9_000_000, path)];
        batch.extend(accepted.map(|(_, n)| child::incoming(n, path)));
        let receipts = store.accept(batch).await.map_err(|e| e.to_string())?;
        store.close().await;
        let again = accepted.map(|(event, _)| Receipt::Duplicate { event });
        match receipts.as_slice() {
            [Receipt::Accepted { .. }, rest @ ..] if rest == again.as_slice() => Ok(()),
            other => Err(format!("the next worker answered {other:?}, not {again:?}")),
        }
    })
}
