//! Whose turn it is when inputs of many and of few records have arrived, and where a checkpoint may fall.

use crossbeam_channel::{Sender, bounded};

use super::*;
use crate::PlacedDeadLetter;

/// A source over three inputs, and the ends they write to.
fn source() -> (Vec<Sender<Arrival>>, Sender<Replay>, LiveSource) {
    let (senders, arrivals) = Arrivals::of(["many", "few", "more"].map(Arc::from).to_vec());
    let (replays, replays_out) = bounded(1);
    let inputs = ["many", "few", "more"].map(|name| (name.into(), Some("okta".into())));
    let position = SourcePosition::default();
    let source = LiveSource::new(arrivals, replays_out, inputs.into(), Vec::new(), None, position);
    (senders, replays, source)
}

fn place(input: &str) -> Place {
    Place { input: input.into(), part: "".into() }
}

fn records(input: &str, count: usize, next: u64) -> Arrival {
    let lines: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    let chunk = Chunk::of_lines(PartitionId(0), &lines, 0);
    Arrival::Records { place: place(input), parts: vec![("okta".into(), chunk)], next }
}

/// The records of the next deliveries with any, and the input they are of.
fn next(source: &mut LiveSource, count: usize) -> Vec<(String, usize)> {
    let progress = Progress::new(0);
    let mut found = Vec::new();
    while found.len() < count {
        match source.next(&progress).unwrap() {
            Some(Delivery::Records(chunk)) => {
                let name = &source.position.partitions[chunk.partition.0 as usize];
                found.push((name.place.input.to_string(), chunk.records.len()));
            }
            Some(Delivery::Nothing) => panic!("only {found:?}"),
            _ => {}
        }
    }
    found
}

fn all(found: &[(String, usize)]) -> Vec<(&str, usize)> {
    found.iter().map(|(name, count)| (name.as_str(), *count)).collect()
}

#[test]
fn who_sends_few_waits_for_one_piece_of_who_sends_many() {
    let (senders, _replays, mut source) = source();
    let [many, few, _] = &senders[..] else { panic!("{}", senders.len()) };
    many.send(records("many", 3 * PIECE + 1, 10)).unwrap();
    assert_eq!(all(&next(&mut source, 1)), [("many", PIECE)]);
    few.send(records("few", 20, 5)).unwrap();
    few.send(records("few", 30, 6)).unwrap();
    let found = next(&mut source, 4);
    assert_eq!(all(&found), [("few", 20), ("many", PIECE), ("few", 30), ("many", PIECE)]);
    assert_eq!(all(&next(&mut source, 1)), [("many", 1)]);
    assert!(source.at_boundary());
    assert_eq!(source.position().positions[&place("few")], 6);
    assert_eq!(source.position().positions[&place("many")], 10);
}

#[test]
fn a_checkpoint_does_not_fall_between_pieces() {
    let (senders, _replays, mut source) = source();
    senders[0].send(records("many", 2 * PIECE, 10)).unwrap();
    assert_eq!(all(&next(&mut source, 1)), [("many", PIECE)]);
    senders[1].send(records("few", 1, 5)).unwrap();
    assert!(!source.at_boundary());
    assert!(!source.position().positions.contains_key(&place("many")));
    assert_eq!(source.taken()[&place("many")], 10, "it is taken from its channel all the same");
    assert_eq!(all(&next(&mut source, 1)), [("few", 1)]);
    assert!(!source.at_boundary());
    next(&mut source, 1);
    assert!(source.at_boundary());
    assert_eq!(source.position().positions[&place("many")], 10);
}

#[test]
fn large_arrivals_are_under_way_one_at_a_time_and_those_of_an_input_stay_in_order() {
    let (senders, _replays, mut source) = source();
    let [many, few, more] = &senders[..] else { panic!("{}", senders.len()) };
    many.send(records("many", 2 * PIECE, 10)).unwrap();
    many.send(records("many", 7, 11)).unwrap();
    more.send(records("more", 2 * PIECE, 20)).unwrap();
    more.send(records("more", 8, 21)).unwrap();
    few.send(records("few", 1, 5)).unwrap();
    let found = next(&mut source, 7);
    let order =
        |of: &str| found.iter().filter(|(name, _)| name == of).map(|(_, n)| *n).collect::<Vec<_>>();
    assert_eq!(order("many"), [PIECE, PIECE, 7]);
    assert_eq!(order("more"), [PIECE, PIECE, 8]);
    let at = |input: &str, n: usize| found.iter().position(|f| *f == (input.into(), n)).unwrap();
    assert!(at("few", 1) <= 2, "{found:?}");
    assert!(at("more", PIECE) > found.iter().rposition(|f| *f == ("many".into(), PIECE)).unwrap());
    assert!(source.at_boundary());
    for (input, next) in [("many", 11), ("more", 21), ("few", 5)] {
        assert_eq!(source.position().positions[&place(input)], next);
    }
}

#[test]
fn dead_letters_that_are_let_in_again_come_between_others() {
    let (senders, replays, mut source) = source();
    let lines: Vec<String> = (0..2 * PIECE).map(|n| n.to_string()).collect();
    let chunk = Chunk::of_lines(PartitionId(0), &lines, 0);
    replays.send(Replay { number: 1, parts: vec![("okta".into(), chunk)] }).unwrap();
    assert_eq!(all(&next(&mut source, 1)), [(DEAD_LETTERS, PIECE)]);
    senders[1].send(records("few", 1, 5)).unwrap();
    assert_eq!(all(&next(&mut source, 1)), [("few", 1)]);
    assert_eq!(source.position().replays, 0);
    assert_eq!(all(&next(&mut source, 1)), [(DEAD_LETTERS, PIECE)]);
    // That it is at rest is said last.
    assert!(matches!(source.next(&Progress::new(0)), Ok(Some(Delivery::Idle(_)))));
    assert!(source.at_boundary());
    assert_eq!(source.position().replays, 1);
}

/// Dead letters of an input that are not kept yet.
fn letters(input: &str, count: usize) -> Vec<PlacedDeadLetter> {
    vec![PlacedDeadLetter::unreadable(input); count]
}

#[test]
fn who_sends_what_nothing_can_read_waits_and_nobody_else_does() {
    let (senders, _replays, mut source) = source();
    let [many, few, more] = &senders[..] else { panic!("{}", senders.len()) };
    many.send(records("many", 3 * PIECE, 10)).unwrap();
    assert_eq!(all(&next(&mut source, 1)), [("many", PIECE)]);
    more.send(records("more", 2, 20)).unwrap();
    // All of both is set aside, and not kept yet.
    let backlog = source.backlog();
    let waiting = [letters("many", PIECE), letters("more", PIECE)].concat();
    backlog.add(&waiting);
    assert_eq!((backlog.of("many"), backlog.of("few")), (PIECE, 0));
    for offset in 1..4 {
        few.send(records("few", 5, offset)).unwrap();
        assert_eq!(all(&next(&mut source, 1)), [("few", 5)]);
        assert!(matches!(source.next(&Progress::new(0)), Ok(Some(Delivery::Nothing))));
    }
    assert!(!source.at_boundary(), "the large arrival is under way");
    backlog.done(&waiting[..1]);
    assert_eq!(all(&next(&mut source, 2)), [("many", PIECE), ("many", PIECE)]);
    assert!(source.at_boundary());
    assert!(matches!(source.next(&Progress::new(0)), Ok(Some(Delivery::Nothing))));
    // A run that begins anew has none.
    backlog.clear();
    assert_eq!(all(&next(&mut source, 1)), [("more", 2)]);
    assert_eq!(source.position().positions[&place("more")], 20);
}
