//! What ends a record of a text: the counts of RFC 6587, right and wrong, and carriage returns.

use sluice_ingest::{DeadLetterCode, Framed, Framer, Framing, Limits, Unwrap, detect};

use crate::{
    encodings::file,
    shapes::{reads, told},
    wrapped::{AUDIT, TRAIL, source},
};

fn line(user: &str) -> String {
    format!(
        "<38>1 2026-01-01T00:00:00.000Z web-1 sshd 7 - - Failed password for {user} from \
         203.0.113.9 port 4242 ssh2"
    )
}

fn counted(line: &str) -> String {
    format!("{} {line}", line.len())
}

#[track_caller]
fn users(text: &str, expected: &[&str]) {
    reads("linux.sshd", text, "user", expected);
}

#[test]
fn counted_frames_one_after_another() {
    let frames = |names: &[&str], end: &str| -> String {
        names.iter().map(|name| counted(&line(name)) + end).collect()
    };
    let three = ["root", "mira", "ada"];
    users(&frames(&["root"], ""), &["root"]);
    for end in ["", "\n", "\r\n", "\0"] {
        users(&frames(&three, end), &three);
    }
    // Senders that count the line end.
    for end in ["\n", "\r\n", "\0"] {
        let frames: String = three.iter().map(|name| counted(&(line(name) + end))).collect();
        users(&frames, &three);
    }
    // The header of RFC 3164, and a stream that ends in a frame.
    let old =
        "<38>Jan  1 00:00:00 web-1 sshd[7]: Failed password for x from 203.0.113.9 port 1 ssh2";
    users(&format!("{}{}", counted(old), counted(&line("y"))), &["x", "y"]);
    let (cut, _) = old.split_at(old.len() - 1);
    users(&format!("{}{} {cut}", counted(&line("y")), old.len()), &["y", "NULL"]);
}

#[test]
fn a_wrong_count_costs_at_most_a_frame() {
    // Its sender counts characters.
    let wide = line("J\u{f6}rg").replace("ssh2", "ssh2 [preauth]").replace("Failed", "Postponed");
    let count = wide.chars().count();
    users(
        &format!(
            "{}{count} {wide}{}{}",
            counted(&line("a")),
            counted(&line("b")),
            counted(&line("c"))
        ),
        &["a", "J\u{f6}rg", "b", "c"],
    );
    // The middle of a stream is lost: the frame after the gap is read into the one before it.
    let whole: Vec<String> = ["a", "b", "c", "d"].map(|name| counted(&line(name))).to_vec();
    let (head, _) = whole[1].split_at(60);
    let text = [&whole[0], head, &whole[2], &whole[3]].concat();
    let (rows, letters) = file(&source("linux.sshd"), "user", text.as_bytes());
    assert!(rows.contains(&"a".to_owned()) && rows.contains(&"d".to_owned()), "{rows:?}");
    assert_eq!(rows.len() + letters.len(), 4);
}

#[test]
fn lines_with_counts_that_are_none_stay_lines() {
    let text = format!("7 {}\n900 {}\n", line("root"), line("mira"));
    users(&text, &["root", "mira"]);
}

#[test]
fn a_frame_holds_what_its_count_says() {
    let inner = "<38>1 2026-01-01T00:00:00.000Z h app 1 - - one\n99 <38>1 - h sshd 7 - - two";
    let text = format!("{}{}", counted(inner), counted(&line("root")));
    for piece in [1, 7, 1000] {
        let mut framer = Framer::new(&Framing::Lines, Limits::default());
        text.as_bytes().chunks(piece).for_each(|bytes| framer.push(bytes));
        framer.finish();
        let Framed { records, lines, offsets, faults } = framer.take();
        let records: Vec<&[u8]> = records.iter().collect();
        assert_eq!(records, [inner.as_bytes(), line("root").as_bytes()]);
        assert_eq!((lines, faults.len()), (vec![1, 2], 0));
        assert_eq!(offsets, [3, counted(inner).len() as u64 + 4]);
    }
    // A count over the bound of a record is none.
    let limits = Limits { record_bytes: 512, ..Limits::default() };
    let mut framer = Framer::new(&Framing::Json(Unwrap::default()), limits);
    framer.push(counted(&line("a")).as_bytes());
    framer.push(format!("9999999 {}\n", line("b")).as_bytes());
    framer.push(format!("{}{} {}", counted(&line("c")), 700, "<38>x".repeat(200)).as_bytes());
    framer.finish();
    let framed = framer.take();
    let codes: Vec<DeadLetterCode> = framed.faults.iter().map(|f| f.code).collect();
    assert_eq!((framed.records.len(), codes), (3, vec![DeadLetterCode::TooLarge]));
}

#[test]
fn json_in_counted_frames() {
    let frame = format!("<134>1 2026-01-01T00:00:00Z web-1 audit - - - {AUDIT}");
    reads("kubernetes.audit", counted(&frame).repeat(3), "auditID", &["k"; 3]);
}

#[test]
fn carriage_returns_end_the_lines_of_a_text_without_newlines() {
    let of = |name: &str, column: &str, text: &str| {
        assert_eq!(told(text).as_deref(), Some(name), "{text:?}");
        file(&source(name), column, text.as_bytes())
    };
    let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    for text in [
        format!("{}\r{}\r", line("root"), line("mira")),
        format!("{}\r{}", line("root"), line("mira")),
        format!("\u{feff}{}\r{}", line("root"), line("mira")),
    ] {
        assert_eq!(of("linux.sshd", "user", &text), (names(&["root", "mira"]), Vec::new()));
    }
    let trail = format!("{TRAIL}\r{TRAIL}\r");
    let (rows, letters) = of("aws.cloudtrail", "eventName", &trail);
    assert_eq!((rows.len(), letters), (2, Vec::new()));
    // Where there is a newline, a carriage return is part of a line: its sender may have written it.
    let forged = format!("{}\r{}\n{}\n", line("x"), line("root"), line("mira"));
    let (rows, _) = file(&source("linux.sshd"), "user", forged.as_bytes());
    assert_eq!(rows.last().map(String::as_str), Some("mira"));
    assert!(rows.len() <= 2, "{rows:?}");
    let seen = detect([&*source("linux.sshd")], forged.as_bytes());
    assert_eq!(seen.sampled, 2);
}

/// Records with their offsets, and how many faults, of an input that comes in pieces.
fn framed(framing: &Framing, pieces: &[&[u8]]) -> (Vec<(u64, Vec<u8>)>, usize) {
    let limits = Limits { record_bytes: 64, ..Limits::default() };
    let mut framer = Framer::new(framing, limits);
    let (mut records, mut faults) = (Vec::new(), 0);
    for piece in pieces {
        framer.push(piece);
        let framed = framer.take();
        let found = framed.offsets.iter().copied().zip(framed.records.iter().map(<[u8]>::to_vec));
        records.extend(found);
        faults += framed.faults.len();
    }
    framer.finish();
    let framed = framer.take();
    let found = framed.offsets.iter().copied().zip(framed.records.iter().map(<[u8]>::to_vec));
    records.extend(found);
    (records, faults + framed.faults.len())
}

#[test]
fn what_a_text_is_cut_into_does_not_depend_on_how_it_comes() {
    const PARTS: [&str; 18] = [
        "12 <38>abcdefgh",
        "5 <1>ab",
        "6 <1>ab\n",
        "7 <1>ab\r\n",
        "40 <38>",
        "900 <38>",
        "3 <",
        "12",
        " ",
        "\r",
        "\n",
        "\0",
        "<38>x",
        "word ",
        "\u{feff}",
        "{\"a\":1}",
        "12 <38>1 - h sshd 7 - - ",
        ">",
    ];
    for case in 1..=3_000_u64 {
        let mut state = case.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as usize % below
        };
        let text: String = (0..1 + next(12)).map(|_| PARTS[next(PARTS.len())]).collect();
        let bytes = text.as_bytes();
        let framing = match next(3) {
            0 => Framing::Lines,
            1 => Framing::Syslog,
            _ => Framing::Json(Unwrap::new(["$.Records[*]"])),
        };
        let whole = framed(&framing, &[bytes]);
        for size in [1, 2, 1 + next(20)] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(
                framed(&framing, &pieces),
                whole,
                "case {case}: {text:?} in pieces of {size}"
            );
        }
        // Nothing is made up: every record is part of the text, at its offset.
        for (offset, record) in &whole.0 {
            let at = *offset as usize;
            let from = bytes.get(at..).unwrap_or_default();
            let found = from.windows(record.len().max(1)).any(|w| w == record.as_slice());
            assert!(record.is_empty() || found, "case {case}: {text:?} has no {record:?} at {at}");
        }
    }
}
