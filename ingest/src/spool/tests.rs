//! The spool against a plain list, with its tail damaged and its process killed.

mod input;

use std::{
    fs::{self, OpenOptions},
    hash::BuildHasher,
    io::{Read as _, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::{reader::Reader, *};

const SMALL: SpoolSettings = SpoolSettings {
    max_bytes: 1 << 20,
    segment_bytes: 2_000,
    queue_bytes: 1 << 20,
    start: 0,
    min_free: 0,
};

fn record(bytes: impl Into<Vec<u8>>) -> SpoolRecord {
    SpoolRecord { received_at: 7, source: None, bytes: bytes.into() }
}

/// Appends and waits for the answer.
fn append(spool: &Spool, records: &[SpoolRecord]) -> Result<(), SpoolError> {
    let (tell, told) = mpsc::sync_channel(1);
    spool.append(records, Box::new(move |result| tell.send(result).unwrap()));
    told.recv_timeout(Duration::from_secs(60)).unwrap()
}

/// Records with their offsets, and the ranges that were skipped.
type Read = (Vec<(u64, SpoolRecord)>, Vec<(u64, u64)>);

/// Everything from an offset on.
fn read_all(spool: &Spool, from: u64) -> Read {
    let mut reader = Reader::new(spool.shared.clone(), from);
    let mut all = Vec::new();
    loop {
        let records = reader.read(500).unwrap();
        if records.is_empty() {
            return (all, reader.take_gaps());
        }
        all.extend(records);
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    found.sort();
    found
}

fn segment_first(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn flip(path: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 0x40]).unwrap();
}

fn random_records(rng: &mut StdRng) -> Vec<SpoolRecord> {
    let count = rng.random_range(1..6);
    (0..count)
        .map(|_| {
            let mut bytes = vec![0; rng.random_range(0..400)];
            rng.fill_bytes(&mut bytes);
            let source = rng.random_bool(0.3).then(|| "okta.system".into());
            SpoolRecord { received_at: rng.random(), source, bytes }
        })
        .collect()
}

#[test]
fn agrees_with_a_list_through_crashes() {
    let given = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| std::hash::RandomState::new().hash_one(0));
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut model: Vec<SpoolRecord> = Vec::new();
    let mut offsets: Vec<u64> = Vec::new();
    let mut torn = 0;
    let mut highest = 0;
    for _ in 0..60 {
        let spool = Spool::open(dir.path(), SMALL).unwrap();
        assert!(spool.stats().end >= highest, "an offset came again");
        assert_eq!(spool.stats().torn_bytes, torn);
        for _ in 0..rng.random_range(0..8) {
            let records = random_records(&mut rng);
            append(&spool, &records).unwrap();
            model.extend(records);
        }
        let (found, gaps) = read_all(&spool, 0);
        assert_eq!(gaps, []);
        let (at, records): (Vec<u64>, Vec<SpoolRecord>) = found.into_iter().unzip();
        assert_eq!(records, model);
        assert!(at.is_sorted_by(|a, b| a < b));
        assert_eq!(at[..offsets.len()], offsets, "records stay where they are");
        offsets = at;
        if !offsets.is_empty() {
            let from = rng.random_range(0..offsets.len());
            assert_eq!(read_all(&spool, offsets[from]).0.len(), model.len() - from);
        }
        highest = spool.stats().end;
        drop(spool);
        // The crash: something that was being written, of which a part reached the disk.
        let path = segments(dir.path()).pop().unwrap();
        let records = random_records(&mut rng);
        let bytes = record::encode_all(&records, 0);
        let first = records[0].encoded_bytes() as usize;
        let mut tail = bytes[..rng.random_range(0..bytes.len())].to_vec();
        if rng.random_bool(0.5) && !tail.is_empty() {
            let at = rng.random_range(0..tail.len().min(first));
            tail[at] ^= 1 << rng.random_range(0..8);
            torn = tail.len() as u64;
        } else {
            // Records that were whole are kept: written, if not acknowledged.
            let mut whole = 0;
            for r in &records {
                let next = whole + r.encoded_bytes() as usize;
                if next > tail.len() {
                    break;
                }
                model.push(r.clone());
                whole = next;
            }
            torn = (tail.len() - whole) as u64;
        }
        OpenOptions::new().append(true).open(path).unwrap().write_all(&tail).unwrap();
    }
    assert!(segments(dir.path()).len() > 5);
}

#[test]
fn damage_in_an_old_segment_is_a_gap_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    for i in 0..100 {
        append(&spool, &[record(format!("{i:0100}"))]).unwrap();
    }
    let files = segments(dir.path());
    let (before, _) = read_all(&spool, 0);
    let second = before.iter().position(|(at, _)| files[1].ends_with(format!("{at:020}.seg")));
    let third = before.iter().position(|(at, _)| files[2].ends_with(format!("{at:020}.seg")));
    let (second, third) = (second.unwrap(), third.unwrap());
    // The third record of the second segment.
    flip(&files[1], 2 * (before[1].0 - before[0].0) + 20);
    let (after, gaps) = read_all(&spool, 0);
    let lost = second + 2..third;
    let expect: Vec<_> =
        before.iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, r)| r).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), expect);
    assert_eq!(gaps, [(before[second + 2].0, before[third].0)]);
    assert_eq!(spool.stats().gaps, 1);
    // Cut short, and gone: what is missing is a gap too.
    OpenOptions::new().write(true).open(&files[3]).unwrap().set_len(0).unwrap();
    fs::remove_file(&files[4]).unwrap();
    let lost = (segment_first(&files[3]), segment_first(&files[5]));
    assert_eq!(read_all(&spool, 0).1, [gaps[0], lost]);
    drop(spool);
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    let (again, gaps_again) = read_all(&spool, 0);
    assert_eq!(gaps_again, [gaps[0], lost]);
    assert_eq!(again.last(), before.last());
}

#[test]
fn damage_where_writing_goes_on_loses_nothing_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { segment_bytes: 1 << 17, ..SMALL };
    let spool = Spool::open(dir.path(), settings).unwrap();
    append(&spool, &[record("first"), record("second"), record("third")]).unwrap();
    let end = spool.stats().end;
    flip(&segments(dir.path())[0], end / 2);
    let mut reader = Reader::new(spool.shared.clone(), 0);
    assert_eq!(reader.read(1 << 20).unwrap().len(), 1);
    assert_eq!(reader.read(1 << 20).unwrap().len(), 0);
    assert_eq!((reader.at(), reader.take_gaps().len()), (end, 1));
    append(&spool, &[record("later")]).unwrap();
    assert_eq!(reader.read(1 << 20).unwrap(), [(end, record("later"))]);
    drop(spool);
    drop(reader);
    // At the next start what follows the damage is taken for the torn end: its offsets are not used.
    let spool = Spool::open(dir.path(), settings).unwrap();
    assert!(spool.stats().torn_bytes > 0);
    append(&spool, &[record("after")]).unwrap();
    let (all, _) = read_all(&spool, 0);
    assert_eq!(all.len(), 2);
    assert!(all[1].0 > end);
}

#[test]
fn full_is_said_at_once_and_passes_when_segments_are_freed() {
    let dir = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { max_bytes: 8_000, ..SMALL };
    let spool = Spool::open(dir.path(), settings).unwrap();
    let mut stored = 0;
    let full = loop {
        match append(&spool, &[record([b'x'; 300])]) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SpoolError::Full { used, max: 8_000 } if used > 7_600), "{full}");
    assert_eq!(read_all(&spool, 0).0.len(), stored);
    // All was processed: whatever the limit allows must fit again.
    spool.shared.free(spool.stats().end);
    assert_eq!(append(&spool, &[record([b'x'; 3_900])]), Ok(()));
    let large = append(&spool, &[record([b'x'; 4_100])]).unwrap_err();
    assert!(matches!(large, SpoolError::TooLarge { max: 4_000, .. }), "{large}");
    assert_eq!((full.passes(), large.passes()), (true, false));
}

#[test]
fn many_senders_are_each_answered_once_and_their_records_stay_together() {
    let dir = tempfile::tempdir().unwrap();
    let settings = SpoolSettings { max_bytes: 64 << 20, ..SMALL };
    let spool = Spool::open(dir.path(), settings).unwrap();
    let (tell, told) = mpsc::sync_channel(10_000);
    thread::scope(|scope| {
        for sender in 0..8u32 {
            let (spool, tell) = (&spool, tell.clone());
            scope.spawn(move || {
                for request in 0..100u32 {
                    let records: Vec<SpoolRecord> =
                        (0..3).map(|part| record(format!("{sender} {request} {part}"))).collect();
                    let tell = tell.clone();
                    spool.append(&records, Box::new(move |r| tell.send(r.is_ok()).unwrap()));
                }
            });
        }
    });
    drop(tell);
    // Dropped with requests waiting: they are written and answered first.
    drop(spool);
    let answers: Vec<bool> = told.iter().collect();
    let stored = answers.iter().filter(|ok| **ok).count();
    assert_eq!(answers.len(), 800);
    let spool = Spool::open(dir.path(), settings).unwrap();
    let all: Vec<String> = read_all(&spool, 0)
        .0
        .into_iter()
        .map(|(_, r)| String::from_utf8(r.bytes).unwrap())
        .collect();
    assert_eq!(all.len(), stored * 3);
    for three in all.chunks(3) {
        let request = three[0].strip_suffix(" 0").unwrap();
        assert_eq!(*three, [0, 1, 2].map(|part| format!("{request} {part}")));
    }
}

#[test]
fn a_full_disk_is_said_and_passes() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let Some(_disk) = SmallDisk::mount(dir) else { return };
    let settings = SpoolSettings { max_bytes: 64 << 20, segment_bytes: 64 << 10, ..SMALL };
    let spool = Spool::open(&dir.join("spool"), settings).unwrap();
    let mut stored = 0;
    for _ in 0..3 {
        let error = loop {
            match append(&spool, &[record([b'x'; 5_000])]) {
                Ok(()) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error, SpoolError::DiskFull);
        assert_eq!(read_all(&spool, 0).0.len(), stored);
        spool.shared.free(spool.stats().end / 2);
        stored = read_all(&spool, 0).0.len();
        append(&spool, &[record("more")]).unwrap();
        stored += 1;
    }
    drop(spool);
    let spool = Spool::open(&dir.join("spool"), settings).unwrap();
    assert_eq!(read_all(&spool, 0).0.len(), stored);
    assert_eq!(spool.stats().torn_bytes, 0);
}

#[test]
fn offsets_go_on_after_everything_was_freed_or_lost() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    for _ in 0..30 {
        append(&spool, &[record([b'x'; 300])]).unwrap();
    }
    let end = spool.stats().end;
    spool.shared.free(end);
    assert_eq!(segments(dir.path()).len(), 1);
    drop(spool);
    let spool = Spool::open(dir.path(), SMALL).unwrap();
    assert_eq!(spool.stats().end, end);
    drop(spool);
    fs::remove_dir_all(dir.path()).unwrap();
    let spool = Spool::open(dir.path(), SpoolSettings { start: end, ..SMALL }).unwrap();
    append(&spool, &[record("x")]).unwrap();
    assert_eq!(read_all(&spool, 0).0, [(end, record("x"))]);
}

#[cfg(unix)]
#[test]
fn files_are_private_and_one_process_has_them() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("spool");
    let spool = Spool::open(&dir, SMALL).unwrap();
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&segments(&dir)[0]), 0o600);
    assert_eq!(Spool::open(&dir, SMALL).unwrap_err(), SpoolError::Locked(dir.clone()));
    drop(spool);
    Spool::open(&dir, SMALL).unwrap();
}

/// The process whose fsync is made to fail.
fn fsync_child(dir: &Path) {
    let spool = Spool::open(dir, SMALL).unwrap();
    let answers: Vec<_> = (0..5).map(|n| append(&spool, &[numbered(n)])).collect();
    assert_eq!(answers[..2], [Ok(()), Ok(())]);
    for answer in &answers[2..] {
        let Err(SpoolError::Failed(why)) = answer else { panic!("{answer:?}") };
        assert!(why.starts_with("fsync: "), "{why}");
    }
    // Readers see what was promised and no more.
    assert_eq!(read_all(&spool, 0).0.len(), 2);
}

#[test]
fn an_fsync_error_is_the_end() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return fsync_child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"])
        .args(["-e", "inject=fdatasync:error=EIO:when=3"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "spool::tests::an_fsync_error_is_the_end"])
        .env(CHILD, dir.path())
        .output();
    let Ok(child) = child else {
        return sluice_harness::lacks("strace is not installed (`apt-get install strace`)");
    };
    let said = String::from_utf8_lossy(&child.stdout);
    if child.status.success() {
        assert!(said.contains("1 passed"), "{said}");
    } else {
        let why = String::from_utf8_lossy(&child.stderr);
        assert!(why.contains("ptrace"), "{said}{why}");
        sluice_harness::skip(&format!("strace may not trace here: {why}"));
    }
}

/// A file system of 1 MiB in memory; unmounted when dropped.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(dir: &'a Path) -> Option<SmallDisk<'a>> {
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(dir).output();
        if mounted.is_ok_and(|m| m.status.success()) {
            return Some(SmallDisk(dir));
        }
        sluice_harness::skip("this process may not mount a small file system");
        None
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

/// Set for the process that is killed: the folder of its spool.
const CHILD: &str = "SLUICE_TEST_SPOOL";

/// The process that is killed.
fn child(dir: &Path) {
    let spool = Spool::open(&dir.join("spool"), SMALL).unwrap();
    let mut number: u64 = read_all(&spool, 0).0.len() as u64;
    loop {
        let acked = dir.join("acked");
        let end = number + 3;
        let records: Vec<SpoolRecord> = (number..end).map(numbered).collect();
        let done = move |result: Result<(), SpoolError>| {
            result.unwrap();
            let mut file = OpenOptions::new().create(true).append(true).open(acked).unwrap();
            file.write_all(&end.to_le_bytes()).unwrap();
        };
        spool.append(&records, Box::new(done));
        number = end;
        if spool.stats().disk_bytes > SMALL.max_bytes / 2 {
            break;
        }
        if number.is_multiple_of(60) {
            append(&spool, &[]).unwrap();
        }
    }
}

fn numbered(number: u64) -> SpoolRecord {
    let length = (number * 37 % 200) as usize;
    record([&number.to_le_bytes()[..], &vec![b'n'; length]].concat())
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let acked = || {
        let bytes = fs::read(dir.path().join("acked")).unwrap_or_default();
        let last = bytes.chunks_exact(8).next_back().map(|b| b.try_into().unwrap());
        u64::from_le_bytes(last.unwrap_or_default())
    };
    for round in 0..6 {
        let before = acked();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "spool::tests::what_was_acknowledged_survives_a_kill", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..3_000 {
            if acked() > before + 50 * round {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let promised = acked();
        assert!(promised > before, "the child made no progress");
        let spool = Spool::open(&dir.path().join("spool"), SMALL).unwrap();
        let (found, gaps) = read_all(&spool, 0);
        assert_eq!(gaps, []);
        assert!(found.len() as u64 >= promised, "{} of {promised}", found.len());
        for (number, (_, record)) in (0..).zip(&found) {
            assert_eq!(*record, numbered(number));
        }
    }
}
