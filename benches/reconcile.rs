//! What comparing two systems costs: a million orders of seven fields on each side, 1 % of them different, from NDJSON files, not
//! sorted and sorted, and from an SQLite database; and whether memory stays flat from 10 thousand records to 4 million. The control
//! reads both sorted files with `serde_json` and merge-joins them: it needs them sorted, and keeps nothing.

mod support;

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use midwatch::config::model::{JobField, Records};
use midwatch::event::expr::Engine;
use midwatch::reconcile::compare::{FieldJudge, Rules, compare};
use midwatch::reconcile::files::FileRows;
use midwatch::reconcile::row::Rows;
use midwatch::reconcile::wanted::Wanted;
use midwatch::store::{HashKey, Options, Store};
use midwatch::time::{Clock, Timestamp};
use support::{at_most, header, median, note};
use tokio_util::sync::CancellationToken;

/// Most times the control's time, sorted: the merge-join parses as much.
const SORTED: f64 = 1.2;
/// Most times the control's time, not sorted: 1.2 times DuckDB's, which took 1.29 of the control's where both were measured.
const UNSORTED: f64 = 1.55;
/// Most megabytes that a comparison may hold, whatever its size.
const PEAK: f64 = 64.0;

/// Records on each side.
const COUNT: u64 = 1_000_000;

const FIELDS: [&str; 7] = ["status", "total", "email", "name", "city", "items", "note"];

/// One order as its system writes it; every hundredth differs.
fn line(number: u64, second: bool, out: &mut impl std::io::Write) {
    let status = if second && number.is_multiple_of(100) {
        "refunded"
    } else {
        "completed"
    };
    writeln!(
        out,
        "{{\"id\":{id},\"number\":\"{number}\",\"status\":\"{status}\",\"total\":\"{}.50\",\"currency\":\"NOK\",\"email\":\"kari{number}@example.com\",\"name\":\"Kari Nordmann {number}\",\"city\":\"Tromsø\",\"items\":{},\"note\":\"leave it at the door\",\"created\":\"2026-11-23T10:00:00Z\"}}",
        number % 5_000,
        number % 7,
        id = number + if second { 9_000_000 } else { 0 },
    )
    .expect("written");
}

/// Writes both sides; not sorted means by a stride that visits every number once.
fn write(folder: &Path, count: u64, sorted: bool) {
    for (name, second) in [("a", false), ("b", true)] {
        let file = folder.join(format!("{name}-{}.ndjson", word(sorted)));
        let mut out = BufWriter::new(File::create(file).expect("made"));
        let stride = if second { 700_001 } else { 1_299_709 };
        for n in 0..count {
            let number = if sorted { n } else { (n * stride) % count };
            line(10_000_000 + number, second, &mut out);
        }
    }
}

fn word(sorted: bool) -> &'static str {
    if sorted { "sorted" } else { "mixed" }
}

fn records(folder: &Path, list: impl Fn(&str) -> String) -> Records {
    let map = |system: &str| {
        let fields = FIELDS.map(|name| format!("fields.{name} = \"/{name}\"\n"));
        let fields = fields.concat();
        format!(
            "[systems.{system}]\n[systems.{system}.records.order]\nid = \"/id\"\nkey = \"/number\"\n{fields}list = {}\n",
            list(system)
        )
    };
    let text = format!(
        "{}{}[reconcile.orders]\nsides = [\"a.order\", \"b.order\"]\ngrace = \"0\"\nowner = \"anna\"\nrunbook = \"r.md\"\n",
        map("a"),
        map("b")
    );
    let config = support::rows::config(&text, &folder.join("midwatch.toml"));
    config.reconcile[0].records().expect("records").clone()
}

/// Compares; returns how many differ.
fn ours(folder: &Path, records: &Records, key: &HashKey) -> u64 {
    let engine = Engine::new();
    let side = |index: usize| -> Box<dyn Rows> {
        let wanted = Wanted::of(records, index);
        let map = &records.sides[index].map;
        Box::new(FileRows::open(map, folder, None, wanted, &engine, key).expect("opened"))
    };
    let fields: &[JobField] = &records.fields;
    let stop = CancellationToken::new();
    let rules = Rules {
        judge: &FieldJudge { fields },
        grace: Duration::ZERO,
        now: Timestamp(0),
        equal: &|_, _| {},
        stop: &stop,
    };
    let outcome = compare(side(0), side(1), &rules, &folder.join("scratch")).expect("compared");
    assert_eq!(outcome.sides[0].broken, None);
    outcome.differences_counted()
}

/// Reads both sorted files line by line, and joins them.
fn control(folder: &Path) -> u64 {
    let open = |name: &str| {
        let file = File::open(folder.join(name)).expect("opened");
        BufReader::with_capacity(256 << 10, file)
            .lines()
            .map(|line| {
                let value: serde_json::Value =
                    serde_json::from_str(&line.expect("read")).expect("JSON");
                value
            })
    };
    let (mut first, mut second) = (open("a-sorted.ndjson"), open("b-sorted.ndjson"));
    let (mut a, mut b) = (first.next(), second.next());
    let mut different = 0;
    while let (Some(one), Some(other)) = (&a, &b) {
        match one["number"].as_str().cmp(&other["number"].as_str()) {
            std::cmp::Ordering::Equal => {
                different += u64::from(FIELDS.iter().any(|name| one[*name] != other[*name]));
                (a, b) = (first.next(), second.next());
            }
            std::cmp::Ordering::Less => (a, different) = (first.next(), different + 1),
            std::cmp::Ordering::Greater => (b, different) = (second.next(), different + 1),
        }
    }
    different
}

fn sqlite(folder: &Path, count: u64) {
    for (name, second) in [("a", false), ("b", true)] {
        let mut books =
            rusqlite::Connection::open(folder.join(format!("{name}.db"))).expect("made");
        let columns = "id INTEGER, number TEXT, status TEXT, total TEXT, email TEXT, name TEXT, city TEXT, items INTEGER, note TEXT";
        books
            .execute_batch(&format!("CREATE TABLE sale({columns})"))
            .expect("table");
        let all = books.transaction().expect("begun");
        {
            let mut insert = all
                .prepare("INSERT INTO sale VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Tromsø', ?7, 'leave it at the door')")
                .expect("prepared");
            for n in 0..count {
                let number = 10_000_000 + (n * 1_299_709) % count;
                let status = if second && number.is_multiple_of(100) {
                    "refunded"
                } else {
                    "completed"
                };
                insert
                    .execute(rusqlite::params![
                        number,
                        number.to_string(),
                        status,
                        format!("{}.50", number % 5_000),
                        format!("kari{number}@example.com"),
                        format!("Kari Nordmann {number}"),
                        number % 7
                    ])
                    .expect("inserted");
            }
        }
        all.commit().expect("committed");
    }
}

fn key(folder: &Path) -> HashKey {
    let options = Options {
        clock: Clock::System,
        disk_reserve: 1 << 20,
        dedupe: Duration::from_secs(60),
    };
    Store::open(&folder.join("m.db"), options)
        .expect("opened")
        .hash_key()
}

/// The highest memory that this process ever held, in megabytes (Linux: VmHWM).
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// What a child does: compare the files of a folder once, and say what it held.
fn child(folder: &Path) {
    let records = records(folder, |name| {
        format!("{{ ndjson = \"{name}-mixed.ndjson\" }}")
    });
    let start = Instant::now();
    black_box(ours(folder, &records, &key(folder)));
    println!(
        "{} {}",
        start.elapsed().as_secs_f64(),
        peak().unwrap_or(0.0)
    );
}

fn main() {
    if let Some(folder) = std::env::var_os("MIDWATCH_BENCH_COMPARE") {
        return child(&PathBuf::from(folder));
    }
    header("reconcile");
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    write(folder, COUNT, true);
    write(folder, COUNT, false);
    sqlite(folder, COUNT);
    let key = key(folder);
    let time = |work: &dyn Fn() -> u64| {
        let start = Instant::now();
        assert_eq!(work(), COUNT / 100);
        start.elapsed().as_secs_f64()
    };
    let ndjson = |sorted: bool| {
        records(folder, |name| {
            format!("{{ ndjson = \"{name}-{}.ndjson\" }}", word(sorted))
        })
    };
    let query = records(folder, |name| {
        format!("{{ sqlite = \"{name}.db\", query = \"SELECT * FROM sale\" }}")
    });
    let (sorted, mixed) = (ndjson(true), ndjson(false));
    let mut seconds: [Vec<f64>; 4] = Default::default();
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for _ in 0..3 {
        let base = time(&|| control(folder));
        let one = time(&|| ours(folder, &sorted, &key));
        let other = time(&|| ours(folder, &mixed, &key));
        let books = time(&|| ours(folder, &query, &key));
        ratios[0].push(one / base);
        ratios[1].push(other / base);
        for (list, value) in seconds.iter_mut().zip([base, one, other, books]) {
            list.push(value);
        }
    }
    let [base, one, other, books] = seconds.map(median);
    note("control: parsing merge-join, sorted", "s", base);
    note("1 M x 1 M NDJSON, sorted", "s", one);
    note("1 M x 1 M NDJSON, not sorted", "s", other);
    note("1 M x 1 M rows of SQLite, not sorted", "s", books);
    let [sorted, mixed] = ratios.map(median);
    at_most("sorted, times the control", "x", SORTED, sorted);
    at_most("not sorted, times the control", "x", UNSORTED, mixed);
    for count in [10_000, 100_000, 1_000_000, 4_000_000] {
        let folder = tempfile::tempdir().expect("folder");
        write(folder.path(), count, false);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .env("MIDWATCH_BENCH_COMPARE", folder.path())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        let mut numbers = said
            .split_whitespace()
            .filter_map(|text| text.parse::<f64>().ok());
        let (Some(seconds), Some(held)) = (numbers.next(), numbers.next()) else {
            panic!("the child said {said:?}");
        };
        note(&format!("{count} x {count}"), "s", seconds);
        at_most(&format!("peak memory at {count}"), "MB", PEAK, held);
    }
}
