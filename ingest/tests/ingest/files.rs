//! Framing, compression, folders and aligned reading.

use std::{fs, io::Write};

use sluice_event::PartitionId;
use sluice_ingest::{FileInput, Framer, Framing, Limits, NextChunk, Unwrap, find_files};

use crate::support::{RECEIVED, folder, run, run_file, spec};

const A: &str = r#"{"user":"a","o":{"x":"]}"}}"#;
const B: &str = r#"{"user":"b","n":1}"#;

#[track_caller]
fn users(input: &str, expect: &[&str]) {
    let outcome = run(input);
    assert_eq!(outcome.users(), expect, "{input}: {:?}", outcome.dead);
    assert_eq!(outcome.codes(), []);
}

#[test]
fn finds_records_in_every_layout() {
    users(&format!("{A}\n{B}"), &["a", "b"]);
    users(&format!("{A}{B}\n").replace("}{", "}\n{"), &["a", "b"]);
    users(&format!("[{A},{B}]"), &["a", "b"]);
    users(&format!("[\n  {A},\n  {B}\n]\n"), &["a", "b"]);
    users(&format!("[{A}]\n[{B}]\n"), &["a", "b"]);
    users(&format!("{{\"next\":\"]\",\"Records\":[{A},{B}],\"more\":[1,{{}}]}}"), &["a", "b"]);
    users(&format!("{{\"Records\":[{A}]}}\n{{\"Records\":[{B}]}}\n"), &["a", "b"]);
    users(&format!("{{\"Records\":[{A}]}}{{\"Records\":[{B}]}}"), &["a", "b"]);
    users(&format!("{{\"detail-type\":\"x\",\"detail\":{A},\"r\":[]}}"), &["a"]);
    users(&format!("{{\"detail\":{A},\"r\":1}}\n{{\"detail\":{B}}}\n"), &["a", "b"]);
    users(
        "{\n \"user\": \"a\",\n \"l\": [\n {\"k\": \"1\"}\n ]\n}\n{\n \"user\": \"b\"\n}\n",
        &["a", "b"],
    );
    users("{\"Records\":[]}", &[]);
    users(&format!("{A}\n[{B}]\n{{\"Records\":[{A}]}}\n"), &["a", "b", "a"]);
}

#[test]
fn an_array_larger_than_a_record_is_no_record() {
    let records: Vec<&str> = (0..100_000).map(|_| A).collect();
    let outcome = run(format!("{{\"Records\":[{}]}}", records.join(",")));
    assert_eq!(outcome.counts.mapped, 100_000);
    assert_eq!(outcome.codes(), []);
}

#[test]
fn a_document_goes_on_after_a_broken_string() {
    let outcome = run(format!("[\n{A},\n{{\"user\":\"oops\n,\n{B}\n]\n"));
    assert_eq!(outcome.users(), ["a", "b"]);
    assert_eq!(outcome.codes(), [("bad_json", 3)]);
}

#[test]
fn framing_does_not_depend_on_how_bytes_arrive() {
    let inputs = [
        format!("{A}\r\n\n{B}\n{{\"Records\":[{A},{B}]}}\nx"),
        format!("{{\"Records\":[{A} , {B},\"s,]\",1,null],\"z\":[{{}}]}}\n{A}"),
        format!("[{A},\n{{\"user\":\"\n\n{B}]{A}"),
    ];
    let framing = Framing::Json(Unwrap::new(["$.Records[*]"]));
    let limits = Limits { record_bytes: 100, ..Limits::default() };
    for input in inputs {
        let cut = |size: usize| -> Vec<(Vec<u8>, u64, u64)> {
            let mut framer = Framer::new(&framing, limits);
            let mut records = Vec::new();
            let mut take = |framer: &mut Framer| {
                let framed = framer.take();
                for (i, record) in framed.records.iter().enumerate() {
                    records.push((record.to_vec(), framed.lines[i], framed.offsets[i]));
                }
            };
            for piece in input.as_bytes().chunks(size) {
                framer.push(piece);
                take(&mut framer);
            }
            framer.finish();
            take(&mut framer);
            records
        };
        let whole = cut(input.len());
        assert!(whole.len() >= 3);
        for (record, line, offset) in &whole {
            let at = *offset as usize;
            assert_eq!(&input.as_bytes()[at..at + record.len()], record);
            let newlines = input.as_bytes()[..at].iter().filter(|b| **b == b'\n').count();
            // Records inside a line have the line they are in.
            assert_eq!(*line, newlines as u64 + 1);
        }
        for size in [1, 2, 3, 7, 50] {
            assert_eq!(cut(size), whole, "{input} by {size}");
        }
    }
}

#[test]
fn compression_is_told_by_content() {
    let text = format!("{A}\n").repeat(100);
    let folder = folder("compression");
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text.as_bytes()).unwrap();
    fs::write(folder.join("a.log"), gz.finish().unwrap()).unwrap();
    fs::write(folder.join("b.gz"), zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
    fs::write(folder.join("c.zst"), &text).unwrap();
    let found = find_files(&[folder]).unwrap();
    assert_eq!(found.files.len(), 3);
    for mut file in found.files {
        let head = file.head(Limits::default()).unwrap();
        assert!(head.starts_with(A.as_bytes()));
        assert_eq!(run_file(spec(), file, Limits::default()).counts.mapped, 100);
    }
}

#[cfg(unix)]
#[test]
fn folders_are_sorted_and_not_left() {
    let folder = folder("folders");
    let outside = folder.join("outside");
    let inside = folder.join("inside");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret"), A).unwrap();
    for name in ["b", "a", "sub/c", ".hidden"] {
        fs::write(inside.join(name), A).unwrap();
    }
    std::os::unix::fs::symlink(outside.join("secret"), inside.join("link")).unwrap();
    std::os::unix::fs::symlink(&inside, inside.join("sub/loop")).unwrap();
    let found = find_files(std::slice::from_ref(&inside)).unwrap();
    let names: Vec<_> =
        found.files.iter().map(|f| f.path.strip_prefix(&inside).unwrap().to_owned()).collect();
    assert_eq!(names, ["a", "b", "sub/c"].map(std::path::PathBuf::from));
    assert_eq!(found.skipped.len(), 3, "{:?}", found.skipped);
    assert!(find_files(&[inside.join("nothing")]).is_err());
    assert!(find_files(&[outside.join("../empty")]).is_err());
}

#[test]
fn the_partition_least_far_in_time_is_read_next() {
    let folder = folder("aligned");
    for i in 0..100 {
        fs::write(folder.join(format!("{i:03}")), format!("{A}\n").repeat(40)).unwrap();
    }
    let mut input = FileInput::new(Limits { chunk_records: 1, ..Limits::default() });
    for file in find_files(&[folder]).unwrap().files {
        input.add(file, &spec().framing(), RECEIVED);
    }
    // Every chunk of a partition takes it an hour on: the partitions must stay in step.
    let mut progress = vec![i64::MIN; 100];
    let mut records = 0;
    let mut ended = 0;
    while let Some(next) = input.next_chunk(&|p| progress[p.0 as usize]).unwrap() {
        match next {
            NextChunk::Chunk(chunk) => {
                records += chunk.records.len();
                let at = chunk.partition.0 as usize;
                assert_eq!(progress[at], *progress.iter().min().unwrap());
                progress[at] = progress[at].max(0) + 3_600_000;
            }
            NextChunk::End(PartitionId(p)) => {
                progress[p as usize] = i64::MAX;
                ended += 1;
            }
        }
    }
    assert_eq!((records, ended), (4_000, 100));
    assert_eq!(input.bytes_read(), input.bytes_total());
}
