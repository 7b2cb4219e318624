//! What the shim recorded, read back, and the disks that a power cut could have left behind.
//!
//! A disk promises less here than real ones do: what no `fsync` has covered may be there, or not, or in part (sectors of
//! 512 bytes, each for itself), in any order. Names are held to the same rule: a file that was created or removed may be
//! found so or not until its folder was synced, whatever became of its content.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The unit that a disk writes whole or not at all, in bytes.
const SECTOR: u64 = 512;
/// The file to which the child writes what it was promised.
pub const PROMISES: &str = "acks";

/// One thing that was done to a file of the folder.
#[derive(Debug)]
pub struct Record {
    /// Below the folder; empty for the folder itself.
    name: String,
    what: What,
}

#[derive(Debug)]
enum What {
    Create,
    Write { at: u64, data: Vec<u8> },
    Truncate(u64),
    SyncBegins(u64),
    SyncEnded(u64),
    Unlink,
}

/// A promise of the store to its caller, by what the caller can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// Event number `event` was accepted with the content `n`.
    Accepted { event: i64, n: u64 },
    /// This delivery was settled as delivered.
    Settled { delivery: i64 },
}

/// All that a child did, in order.
#[derive(Debug)]
pub struct Trace {
    pub records: Vec<Record>,
    /// Each with the number of records before it.
    pub promises: Vec<(usize, Promise)>,
}

impl Trace {
    /// Reads what the shim wrote.
    pub fn read(file: &Path) -> Self {
        let bytes = std::fs::read(file).expect(
            "the shim recorded nothing: is the test linked dynamically, so that LD_PRELOAD works?",
        );
        let mut rest = bytes.as_slice();
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at(length);
            rest = tail;
            head
        };
        let mut trace = Self {
            records: Vec::new(),
            promises: Vec::new(),
        };
        let mut left = bytes.len();
        while left > 0 {
            let mut word = || u64::from_ne_bytes(take(8).try_into().unwrap());
            let (operation, name, number, length) = (word(), word(), word(), word());
            let name = String::from_utf8(take(name as usize).to_vec()).unwrap();
            let data = take(length as usize);
            left -= 32 + name.len() + data.len();
            let what = match operation {
                1 => What::Create,
                2 => What::Write {
                    at: number,
                    data: data.to_vec(),
                },
                3 => What::Truncate(number),
                4 => What::SyncBegins(number),
                5 => What::SyncEnded(number),
                6 => What::Unlink,
                other => panic!("operation {other} in the trace"),
            };
            if name == PROMISES {
                let at = trace.records.len();
                let lines = std::str::from_utf8(data).unwrap().lines();
                trace
                    .promises
                    .extend(lines.map(|line| (at, Promise::read(line))));
            } else if !is_lock(&name) {
                trace.records.push(Record { name, what });
            }
        }
        trace
    }

    /// How often the write-ahead log was begun: when it was created, and when it was begun again after a checkpoint.
    pub fn logs(&self) -> usize {
        let begins = |record: &&Record| {
            record.name.ends_with("-wal") && matches!(record.what, What::Write { at: 0, .. })
        };
        self.records.iter().filter(begins).count()
    }
}

/// The file only keeps a second worker away; nothing of it needs to outlive a crash.
pub fn is_lock(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "lock")
}

impl Promise {
    /// As a line of the promises' file.
    pub fn line(self) -> String {
        match self {
            Self::Accepted { event, n } => format!("accepted {event} {n}\n"),
            Self::Settled { delivery } => format!("settled {delivery}\n"),
        }
    }

    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["accepted", event, n] => Self::Accepted {
                event: event.parse().unwrap(),
                n: n.parse().unwrap(),
            },
            ["settled", delivery] => Self::Settled {
                delivery: delivery.parse().unwrap(),
            },
            _ => panic!("`{line}` is no promise"),
        }
    }
}

/// Repeatable chance (splitmix64).
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, without, `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How a disk treats what it was given but not told to flush.
#[derive(Debug, Clone, Copy)]
enum Mood {
    /// Each change is there with this likelihood in percent; half of the others are there in part.
    Scattered(u64),
    /// In order up to some change, which is torn.
    Prefix,
}

#[derive(Debug, Default)]
struct File<'a> {
    durable: Vec<u8>,
    /// What was done since, with the number of the record.
    pending: Vec<(usize, &'a What)>,
}

#[derive(Debug)]
struct Rename<'a> {
    record: usize,
    name: &'a str,
    /// The file that has the name now.
    to: Option<usize>,
}

/// The folder as it stands after the first `next` records, with what is certain and what is not.
#[derive(Debug)]
pub struct Disk<'a> {
    records: &'a [Record],
    next: usize,
    files: Vec<File<'a>>,
    /// What the running system sees.
    seen: BTreeMap<&'a str, usize>,
    /// What a power cut cannot take back.
    durable: BTreeMap<&'a str, usize>,
    pending: Vec<Rename<'a>>,
    /// Flushes under way: the record that began each and the file (none: the folder).
    flushes: HashMap<u64, (usize, Option<usize>)>,
}

impl<'a> Disk<'a> {
    pub fn new(trace: &'a Trace) -> Self {
        Self {
            records: &trace.records,
            next: 0,
            files: Vec::new(),
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            flushes: HashMap::new(),
        }
    }

    /// Lets the child run until `until` records were made; only forward.
    pub fn advance(&mut self, until: usize) {
        while self.next < until {
            let number = self.next;
            let Record { name, what } = &self.records[number];
            match what {
                What::Create => {
                    self.files.push(File::default());
                    self.rename(name, Some(self.files.len() - 1));
                }
                What::Unlink => self.rename(name, None),
                What::Write { .. } | What::Truncate(_) => {
                    let file = self.seen[name.as_str()];
                    self.files[file].pending.push((number, what));
                }
                What::SyncBegins(flush) => {
                    let file = (!name.is_empty()).then(|| self.seen[name.as_str()]);
                    self.flushes.insert(*flush, (number, file));
                }
                What::SyncEnded(flush) => {
                    let (begun, file) = self.flushes[flush];
                    self.flushed(begun, file);
                }
            }
            self.next += 1;
        }
    }

    fn rename(&mut self, name: &'a str, to: Option<usize>) {
        set(&mut self.seen, name, to);
        self.pending.push(Rename {
            record: self.next,
            name,
            to,
        });
    }

    fn flushed(&mut self, begun: usize, file: Option<usize>) {
        if let Some(file) = file {
            let File { durable, pending } = &mut self.files[file];
            let covered = pending.partition_point(|(record, _)| *record < begun);
            for (_, what) in pending.drain(..covered) {
                apply(durable, what);
            }
        } else {
            let covered = self.pending.partition_point(|entry| entry.record < begun);
            for entry in self.pending.drain(..covered) {
                set(&mut self.durable, entry.name, entry.to);
            }
        }
    }

    /// The files as the running system sees them.
    pub fn seen(&self) -> BTreeMap<&'a str, Vec<u8>> {
        let whole = |file: &File<'_>| {
            let mut image = file.durable.clone();
            for (_, what) in &file.pending {
                apply(&mut image, what);
            }
            image
        };
        self.seen
            .iter()
            .map(|(&name, &file)| (name, whole(&self.files[file])))
            .collect()
    }

    /// One of the disks that a power cut could leave now.
    pub fn cut(&self, chance: &mut Chance) -> BTreeMap<&'a str, Vec<u8>> {
        let mood = match chance.below(5) {
            0 => Mood::Scattered(0),
            1 => Mood::Scattered(50),
            2 => Mood::Scattered(90),
            3 => Mood::Scattered(100),
            _ => Mood::Prefix,
        };
        let mut names = self.durable.clone();
        for entry in &self.pending {
            let likely = match mood {
                Mood::Scattered(percent) => percent,
                Mood::Prefix => 50,
            };
            if chance.percent(likely) {
                set(&mut names, entry.name, entry.to);
            }
        }
        names
            .into_iter()
            .map(|(name, file)| (name, left_of(&self.files[file], mood, chance)))
            .collect()
    }
}

fn set<'a>(names: &mut BTreeMap<&'a str, usize>, name: &'a str, to: Option<usize>) {
    match to {
        Some(file) => names.insert(name, file),
        None => names.remove(name),
    };
}

fn left_of(file: &File<'_>, mood: Mood, chance: &mut Chance) -> Vec<u8> {
    let mut image = file.durable.clone();
    let end = chance.below(file.pending.len() as u64 + 1) as usize;
    for (index, (_, what)) in file.pending.iter().enumerate() {
        let (whole, torn) = match mood {
            Mood::Prefix => (index < end, index == end),
            Mood::Scattered(percent) => {
                let whole = chance.percent(percent);
                (whole, !whole && percent > 0 && chance.percent(50))
            }
        };
        if whole {
            apply(&mut image, what);
        } else if torn && let What::Write { at, data } = what {
            tear(&mut image, *at, data, chance);
        }
    }
    image
}

fn apply(image: &mut Vec<u8>, what: &What) {
    match what {
        What::Write { at, data } => put(image, *at, data),
        What::Truncate(length) => image.resize(*length as usize, 0),
        _ => unreachable!("only changes of content wait for a flush"),
    }
}

fn put(image: &mut Vec<u8>, at: u64, data: &[u8]) {
    let (from, to) = (at as usize, at as usize + data.len());
    if image.len() < to {
        image.resize(to, 0);
    }
    image[from..to].copy_from_slice(data);
}

/// Each sector of the write is there or not.
fn tear(image: &mut Vec<u8>, at: u64, data: &[u8], chance: &mut Chance) {
    let mut done = 0;
    while done < data.len() {
        let place = at + done as u64;
        let end = (done + (SECTOR - place % SECTOR) as usize).min(data.len());
        if chance.percent(50) {
            put(image, place, &data[done..end]);
        }
        done = end;
    }
}

#[test]
fn what_was_flushed_is_certain_and_the_rest_is_not() {
    let record = |name: &str, what| Record {
        name: name.to_owned(),
        what,
    };
    let write = |at, byte| What::Write {
        at,
        data: vec![byte; 1024],
    };
    let trace = Trace {
        records: vec![
            record("a", What::Create),
            record("a", write(0, 1)),
            record("a", What::SyncBegins(1)),
            record("a", write(1024, 2)),
            record("a", What::SyncEnded(1)),
            record("", What::SyncBegins(2)),
            record("", What::SyncEnded(2)),
        ],
        promises: vec![],
    };
    let states = |until| {
        let mut disk = Disk::new(&trace);
        disk.advance(until);
        let mut chance = Chance(1);
        (0..200)
            .map(|_| disk.cut(&mut chance).remove("a"))
            .collect::<std::collections::BTreeSet<_>>()
    };
    // Before its folder was synced, the file may be missing.
    assert!(states(5).contains(&None));
    let after = states(7);
    assert!(!after.contains(&None));
    for left in after.iter().flatten() {
        assert_eq!(left[..1024], [1; 1024], "flushed");
    }
    // The second write came after the flush began: nothing, all, or either of its sectors.
    assert_eq!(
        after.len(),
        4,
        "nothing, the first sector, the second, both"
    );
}
