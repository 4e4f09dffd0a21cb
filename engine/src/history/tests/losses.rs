//! What is damaged, or what the disk does not take, is said and counted.

use super::*;

#[test]
fn damaged_files_are_gaps_by_name_and_nothing_else_is_missing() {
    let mut bench = Bench::new();
    for hour in 0..4 {
        bench.push(&sign_ins(&users(hour * 60, 60)));
    }
    bench.checkpoint();
    bench.history().write_files();
    bench.push(&sign_ins(&users(240, 5)));
    bench.checkpoint();
    let files = bench.files();
    assert_eq!(files.len(), 4);
    let count = "SELECT count(user_name) FROM authentication";
    // Files that are read while a process runs, and by the next one.
    for restarted in [false, true] {
        for (n, damage) in ["truncated", "flipped", "gone"].into_iter().enumerate() {
            let whole = fs::read(&files[n]).unwrap();
            let mut bytes = whole.clone();
            match damage {
                "truncated" => fs::write(&files[n], &bytes[..bytes.len() - 9]).unwrap(),
                "flipped" => {
                    for at in (0..bytes.len()).step_by(101) {
                        bytes[at] ^= 4;
                        fs::write(&files[n], &bytes).unwrap();
                        bytes[at] ^= 4;
                        let found = bench.hunt(count);
                        assert_eq!((number(&found), found.gaps.len()), (185, 1), "byte {at}");
                    }
                    bytes[5] ^= 1;
                    fs::write(&files[n], &bytes).unwrap();
                }
                _ => fs::remove_file(&files[n]).unwrap(),
            }
            if restarted {
                bench.restart();
            }
            let found = bench.hunt(count);
            assert_eq!(number(&found), 185, "{damage}");
            let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
            assert_eq!((gap.loss, gap.rows, gap.table.as_str()), (Loss::Unreadable, 60, TABLE));
            let hour = START + n as i64 * HOUR;
            assert_eq!(gap.times, Some((hour, hour + 59 * 60_000)));
            assert!(gap.detail.contains(&format!("hour=0{n}/")), "{}", gap.detail);
            // Who does not ask for it does not hear of it.
            let other = hunt(bench.history(), count, (Some(START + 3 * HOUR), None));
            assert_eq!((number(&other), other.gaps.len()), (65, 0));
            let stats = bench.history().stats().tables[&TableName::new(TABLE)].clone();
            assert!(stats.unreadable_files >= 1 && stats.unreadable_rows >= 60, "{stats:?}");
            // A start removes folders that are empty.
            fs::create_dir_all(files[n].parent().unwrap()).unwrap();
            fs::write(&files[n], &whole).unwrap();
            if restarted {
                bench.restart();
            }
            assert_eq!(number(&bench.hunt(count)), 245);
        }
    }
    // Rows that wait for a file.
    let tail = bench.tails()[0].clone();
    let bytes = fs::read(&tail).unwrap();
    fs::write(&tail, &bytes[..bytes.len() / 2]).unwrap();
    bench.restart();
    for _ in 0..2 {
        let found = bench.hunt(count);
        assert_eq!(number(&found), 240);
        let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
        assert_eq!((gap.loss, gap.rows), (Loss::Unreadable, 5));
        // It is said for as long as rows of then are kept.
        bench.restart();
    }
}

#[test]
fn a_full_disk_is_said_and_loses_nothing_while_the_process_lives() {
    let mut bench = Bench::new();
    bench.push(&sign_ins(&users(0, 10)));
    bench.checkpoint();
    bench.settings.min_free = u64::MAX;
    bench.restart();
    bench.push(&sign_ins(&users(10, 7)));
    bench.checkpoint();
    bench.history().write_files();
    assert_eq!(bench.users().len(), 17);
    assert_eq!(bench.files().len(), 0);
    let stats = bench.history().stats();
    assert!(stats.write_failures >= 2, "{stats:?}");
    assert!(stats.failing.unwrap().contains("bytes free"));
    // A restart loses what was in memory alone.
    bench.restart();
    let found = bench.hunt("SELECT count(*) FROM authentication");
    assert_eq!(number(&found), 10);
    let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
    assert_eq!((gap.loss, gap.rows), (Loss::Unwritten, 7));
    let lost = &bench.history().stats().tables[&TableName::new(TABLE)].lost_rows;
    assert_eq!(lost[&Loss::Unwritten], 7);
    // With room again, what is in memory goes to files.
    bench.push(&sign_ins(&users(20, 3)));
    bench.checkpoint();
    bench.open.as_ref().unwrap();
    bench.settings.min_free = 0;
    bench.restart();
    bench.push(&sign_ins(&users(30, 3)));
    bench.checkpoint();
    bench.history().write_files();
    assert!(bench.history().stats().failing.is_none() && bench.tails().is_empty());
    assert_eq!(number(&bench.hunt("SELECT count(*) FROM authentication")), 13);
}

#[test]
fn what_the_disk_does_not_take_in_time_is_counted() {
    let mut bench = Bench::new();
    bench.table_bytes = 100_000;
    bench.settings.min_free = u64::MAX;
    bench.restart();
    for n in 0..100 {
        bench.push(&sign_ins(&users(n * 1_000, 1_000)));
        if n % 3 == 0 {
            bench.checkpoint();
        }
    }
    let found = bench.hunt("SELECT count(*) FROM authentication");
    let [gap] = found.gaps.as_slice() else { panic!("{:?}", found.gaps) };
    assert_eq!(gap.loss, Loss::Overrun);
    assert_eq!(gap.rows as i64 + number(&found), 100_000);
    let bytes = bench.history().stats().tables[&TableName::new(TABLE)].memory_bytes;
    assert!(bytes <= 200_000, "{bytes}");
    bench.checkpoint();
    bench.restart();
    let found = bench.hunt("SELECT count(*) FROM authentication");
    let rows: u64 = found.gaps.iter().map(|gap| gap.rows).sum();
    assert_eq!((number(&found), rows), (0, 100_000), "{:?}", found.gaps);
}
