use proptest::prelude::*;

use super::*;

fn row(key: &str, length: usize) -> Row {
    Row {
        key: key.to_owned(),
        fields: vec![Some("x".repeat(length))],
        ..Row::default()
    }
}

/// The keys of a partition, as it is loaded and as it is looked through.
fn keys(spill: &Spill<'_>, part: usize) -> Vec<String> {
    let read = |entry: Entry<'_>| {
        let mut row = Row::default();
        codec::take(entry.body, &mut row).unwrap();
        row.key
    };
    let mut bytes = Vec::new();
    spill.load(part, &mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, spill.bytes(part));
    let loaded: Vec<_> = entries(&bytes).map(read).collect();
    let mut looked = Vec::new();
    spill
        .each(part, |entry| {
            looked.push(read(entry));
            io::Result::Ok(())
        })
        .unwrap();
    assert_eq!(loaded, looked);
    loaded
}

#[test]
fn rows_come_back_in_their_order_from_memory_and_from_a_file_that_nobody_sees() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = folder.path().join("runs");
    let hasher = RandomState::new();
    let mut spill = Spill::new(&scratch);
    spill.push(&row("first", 10), &hasher).unwrap();
    assert!(!scratch.exists(), "small sides touch no disk");
    let order = |n: usize| format!("{n:06}");
    for n in 0..20_000 {
        spill.push(&row(&order(n), 400), &hasher).unwrap();
    }
    let file = spill.file.as_ref().unwrap().metadata().unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&file), 0);
    let mode = scratch.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(scratch.read_dir().unwrap().count(), 0);
    let mut all: Vec<String> = Vec::new();
    for part in 0..spill.len() {
        let mut keys = keys(&spill, part);
        keys.retain(|key| key != "first");
        assert!(keys.is_sorted(), "{part}");
        all.extend(keys);
    }
    all.sort();
    assert_eq!(all, (0..20_000).map(order).collect::<Vec<_>>());
}

#[test]
fn what_waits_in_memory_is_bounded_whatever_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let hasher = RandomState::new();
    let mut spill = Spill::new(folder.path());
    for n in 0..3000 {
        let length = if n % 100 == 0 { 300_000 } else { 100 };
        spill.push(&row(&n.to_string(), length), &hasher).unwrap();
    }
    for part in &spill.parts {
        assert!(part.tail.len() < BLOCK && part.tail.capacity() <= 2 * BLOCK);
    }
}

proptest! {
    #[test]
    fn both_sides_of_a_key_meet_however_often_a_partition_is_split(
        numbers in proptest::collection::vec(0u32..500, 1..60), depth in 1usize..5
    ) {
        let hasher = RandomState::new();
        let mut spill = Spill::new(Path::new("/nowhere"));
        for number in &numbers {
            spill.push(&row(&number.to_string(), 1), &hasher).unwrap();
        }
        let mut leaves = vec![spill];
        for _ in 0..depth {
            leaves = leaves
                .iter()
                .flat_map(|spill| (0..spill.len()).map(|part| spill.split(part).unwrap()))
                .filter(|spill| spill.parts.iter().any(|part| part.bytes > 0))
                .collect();
        }
        let (mut found, mut homes) = (Vec::new(), std::collections::BTreeMap::new());
        for (leaf, spill) in leaves.iter().enumerate() {
            for part in 0..spill.len() {
                for key in keys(spill, part) {
                    let home = *homes.entry(key.clone()).or_insert((leaf, part));
                    prop_assert_eq!(home, (leaf, part), "{} is in two places", key);
                    found.push(key.parse::<u32>().unwrap());
                }
            }
        }
        let mut numbers = numbers;
        numbers.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(found, numbers);
    }
}
