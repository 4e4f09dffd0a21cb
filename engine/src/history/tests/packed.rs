//! Rows that are packed while they wait for their checkpoint and their file.

use super::*;
use crate::{history::ring, stopwatch::Stopwatch};

const COUNT: i64 = 25_000;

#[test]
fn rows_are_packed_as_they_come_and_hunts_see_the_same() {
    let mut bench = Bench::new();
    bench.table_bytes = 1 << 20;
    bench.restart();
    let thousand = |n: i64| sign_ins(&users(n * 1_000, 1_000));
    (0..COUNT / 1_000).for_each(|n| bench.push(&thousand(n)));
    let loose = COUNT as u64 / 1_000 * ring::bytes(&thousand(0).columns) as u64;
    let bytes = |bench: &Bench| bench.history().stats().tables[&TableName::new(TABLE)].memory_bytes;
    let began = Stopwatch::start();
    while bytes(&bench) * 2 > loose {
        assert!(began.elapsed() < Duration::from_secs(60), "{} of {loose}", bytes(&bench));
        std::thread::sleep(Duration::from_millis(10));
    }
    let is_whole = |bench: &Bench, place: &str| {
        let expected: Vec<String> = users(0, COUNT).into_iter().map(|(_, user)| user).collect();
        assert_eq!(bench.users(), expected, "{place}");
        // Of a time that the hunt does not name.
        let count = "SELECT count(user_name) FROM authentication";
        let hour = (Some(START + HOUR), Some(START + 2 * HOUR));
        let found = hunt(bench.history(), count, hour);
        assert_eq!((number(&found), found.rows_scanned), (60, 60), "{place}");
        let none = "SELECT count(*) FROM authentication WHERE event_code IS NOT NULL";
        assert_eq!(number(&bench.hunt(none)), 0, "{place}");
    };
    is_whole(&bench, "most of it packed");
    bench.checkpoint();
    assert!(bytes(&bench) * 3 < loose, "{} of {loose}", bytes(&bench));
    is_whole(&bench, "covered by a checkpoint");
    bench.restart();
    is_whole(&bench, "read from the file of a checkpoint");
    bench.history().write_files();
    assert_eq!(bytes(&bench), 0);
    is_whole(&bench, "in Parquet files");
}
