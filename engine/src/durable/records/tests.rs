//! Records of findings, letters and triage as bytes and back. Not the keyspaces they are in.

use serde_json::{Map, Value, json};

use super::*;

/// Text with all that may trouble somebody: NUL, controls, quotes, right-to-left, beyond the BMP.
const ODD: &str = "\0\u{1}\u{7f}\"\\\n\u{202e}é\u{10ffff}";

pub(crate) fn finding() -> Finding {
    let mut fields = Map::new();
    let floats = [0.1 + 0.2, -0.0, f64::MIN_POSITIVE / 2.0, f64::MAX, 1e23, 5e-324];
    fields.insert(ODD.to_owned(), json!(floats));
    fields
        .insert(String::new(), json!([u64::MAX, i64::MIN, -1, 0, 1_u64 << 63, null, true, false]));
    fields.insert("deep".to_owned(), json!({"z": {"a": [[], {}, ODD]}, "a": 1}));
    Finding {
        id: FindingId(u128::MAX - 1),
        rule_id: "identity.x".into(),
        rule_version: "0123456789ab".into(),
        title: ODD.to_owned(),
        severity: Severity::Critical,
        time: i64::MIN,
        state: FindingState::Withdrawn,
        revision: u32::MAX,
        entities: EntityKind::ALL.map(|kind| Entity { kind, id: ODD.to_owned() }).to_vec(),
        attack: vec!["TA0001".to_owned(), "T1078".to_owned()].into(),
        risk: 90,
        shadow: true,
        suppression: None,
        fields,
        window: Some((i64::MIN, i64::MAX)),
        count: u64::MAX,
        late: true,
        capped: true,
        capped_by: vec![CappedBy { bound: "keys_max".into(), limit: u64::MAX }],
        time_flags: TimeFlags::at(0..TimeFlags::COUNT),
        contested: true,
        evidence: Vec::new(),
        evidence_total: u64::MAX,
    }
}

/// As it is stored, with hashes in place of events.
fn record(finding: Finding) -> FindingRecord {
    FindingRecord { finding, evidence: vec![0, u128::MAX, 7] }
}

fn letter(code: DeadLetterCode, original: Original) -> DeadLetter {
    DeadLetter {
        code,
        message: ODD.to_owned(),
        source: "okta.system".into(),
        mapping: Some("okta.system".to_owned()),
        partition: PartitionId(0),
        line: u64::MAX,
        offset: 1,
        received_at: -1,
        envelope: Some(Arc::new(Envelope {
            topic: "logins".into(),
            partition: -1,
            key: Some(vec![0, 0xff]),
            headers: vec![
                (ODD.to_owned(), Some(vec![0xc3, 0x28])),
                (String::new(), None),
                ("twice".to_owned(), Some(Vec::new())),
                ("twice".to_owned(), Some(vec![1])),
            ],
            timestamp: Some(i64::MAX),
        })),
        original,
    }
}

fn place() -> Place {
    Place { input: "push".into(), part: "".into() }
}

#[test]
fn findings_come_back_to_the_bit() {
    let plain = Finding {
        window: None,
        entities: Vec::new(),
        attack: [].into(),
        fields: Map::new(),
        evidence: Vec::new(),
        ..finding()
    };
    for severity in ["informational", "low", "medium", "high", "critical"] {
        for state in [FindingState::Provisional, FindingState::Confirmed, FindingState::Withdrawn] {
            let severity = Severity::parse(severity).unwrap();
            let finding = Finding { severity, state, ..plain.clone() };
            let record = record(finding);
            assert_eq!(decode_finding(&encode_finding(&record)), Ok(record));
        }
    }
    // Without what comes last, which not every record has.
    let silent = Finding { capped_by: Vec::new(), time_flags: TimeFlags::NONE, ..finding() };
    let bytes = encode_finding(&record(silent.clone()));
    assert_eq!(decode_finding(&bytes[..bytes.len() - 2]), Ok(record(silent)));
    let back = decode_finding(&encode_finding(&record(finding()))).unwrap();
    assert_eq!(back, record(finding()));
    let back = back.finding;
    // Equality of JSON does not see what these two differ in.
    let names = |f: &Finding| f.fields.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&back), names(&finding()));
    let zero = |f: &Finding| f.fields[ODD][1].as_f64().unwrap().is_sign_negative();
    assert!(zero(&back));
}

#[test]
fn triage_comes_back() {
    let mut triage = Triage::default();
    assert_eq!(decode_triage(&encode_triage(&triage)), Ok(triage.clone()));
    let changes = TriageStatus::ALL.into_iter().flat_map(|status| {
        Reason::ALL.into_iter().map(move |reason| TriageChange {
            status: Some(status),
            reason: (status == TriageStatus::Resolved).then_some(reason),
            assignee: Some(Some(ODD.to_owned())),
            comment: Some(ODD.to_owned()),
        })
    });
    let nobody = TriageChange { assignee: Some(None), ..TriageChange::default() };
    for change in changes.chain([nobody]) {
        triage = triage.apply(change, i64::MIN, ODD).unwrap();
        assert_eq!(decode_triage(&encode_triage(&triage)), Ok(triage.clone()));
    }
    assert_eq!(triage.history.len(), 13);
}

#[test]
fn letters_of_every_code_come_back_with_any_bytes() {
    let every_byte: Vec<u8> = (0..=255).collect();
    let stub = Original::Stub { head: vec![0xff; 4096], length: 31 << 20, hash: [7; 32] };
    for code in DeadLetterCode::ALL {
        for original in [Original::Whole(every_byte.clone()), stub.clone()] {
            let letter = letter(code, original);
            let bytes = encode_letter(&place(), &letter, 3);
            let expected = StoredLetter { id: "1".to_owned(), place: place(), letter, attempts: 3 };
            assert_eq!(decode_letter("1".to_owned(), &bytes), Ok(expected));
        }
    }
    let huge = DeadLetter {
        mapping: None,
        envelope: None,
        ..letter(DeadLetterCode::BadJson, Original::Whole(vec![0xfe; 8 << 20]))
    };
    let back = decode_letter(String::new(), &encode_letter(&place(), &huge, 0)).unwrap();
    assert_eq!(back.letter, huge);
}

#[test]
fn checkpoint_and_totals_come_back() {
    let checkpoint = Checkpoint {
        epoch: 9,
        seq: Seq(u64::MAX),
        state: Vec::new(),
        full: true,
        history: Vec::new(),
        delivered: 12,
        seen: BTreeMap::from([(PartitionId(0), i64::MIN), (PartitionId(u32::MAX), 5)]),
        positions: BTreeMap::from([
            (Place { input: "okta".into(), part: "logins/3".into() }, u64::MAX),
            (place(), 0),
        ]),
        partitions: vec![PartitionName { place: place(), source: ODD.into() }],
    };
    let back = decode_checkpoint(&encode_checkpoint(&checkpoint)).unwrap();
    assert_eq!((back.epoch, back.seq, back.delivered), (9, Seq(u64::MAX), 12));
    assert_eq!((back.seen, back.positions), (checkpoint.seen, checkpoint.positions));
    assert_eq!(back.partitions, checkpoint.partitions);

    let totals = Totals {
        findings: 1,
        finding_bytes: u64::MAX,
        findings_expired: (2, 3),
        letters: BTreeMap::from([((ODD.to_owned(), DeadLetterCode::TooDeep), (4, 5))]),
        letters_expired: (6, 7),
        removed: 8,
    };
    assert_eq!(decode_totals(&encode_totals(&totals)), Ok(totals));
}

#[test]
fn what_is_damaged_says_how_and_never_panics() {
    let bytes = encode_finding(&record(finding()));
    let silent = Finding { capped_by: Vec::new(), time_flags: TimeFlags::NONE, ..finding() };
    // Where a record may end: before what not every one has.
    let short = encode_finding(&record(silent)).len() - 2;
    for end in 0..bytes.len() {
        assert_eq!(decode_finding(&bytes[..end]).is_err(), end != short, "cut at {end}");
    }
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            // Any answer but a panic: what the bytes are checked with is the database's.
            drop(decode_finding(&bytes));
        }
    }
    let version = [&[9], &bytes[1..]].concat();
    assert_eq!(
        decode_finding(&version).unwrap_err().to_string(),
        "it has version 9, this build reads 1"
    );
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decode_finding(&longer), Err(CodecError::Trailing(1)));
    let wrong_word = encode_totals(&Totals {
        letters: BTreeMap::from([((String::new(), DeadLetterCode::Empty), (0, 0))]),
        ..Totals::default()
    });
    let at = wrong_word.windows(5).position(|w| w == b"empty").unwrap();
    let mut wrong_word = wrong_word;
    wrong_word[at] = b'E';
    assert_eq!(decode_totals(&wrong_word), Err(CodecError::Unknown("dead letter code")));
}

#[test]
fn value_nested_beyond_reason_is_refused() {
    let nested = |depth: usize| {
        let value = (0..depth).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let fields = Map::from_iter([("x".to_owned(), value)]);
        decode_finding(&encode_finding(&record(Finding { fields, ..finding() })))
    };
    assert!(nested(256).is_ok());
    assert_eq!(nested(257), Err(CodecError::Deep));
}
