//! One message into records. Whole in memory, unlike the input of a [`Framer`].

use super::{Cutter, FIRST, judge::is_empty};
use crate::{
    Fault, Framer, Framing, Limits,
    frame::{BOM, octets},
};

/// What a message is cut into.
pub(super) enum Piece<'m> {
    Record(&'m [u8]),
    Fault(Fault),
}

/// Gives the records of a message in order. A message without any byte that counts is one record.
pub(super) fn cut(
    message: &[u8],
    cutter: &Cutter,
    limits: Limits,
    mut give: impl FnMut(Piece<'_>),
) {
    if message.len() <= limits.record_bytes {
        let line = message.strip_suffix(b"\n").unwrap_or(message);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = line.strip_prefix(BOM).unwrap_or(line);
        // The frame of a message in C.
        let line = line.strip_suffix(b"\0").unwrap_or(line);
        if is_empty(message) {
            return give(Piece::Record(line));
        }
        // Nearly every message: one record on one line.
        if memchr::memchr(b'\n', line).is_none() && !octets::is_framed(line) {
            match cutter.wrapped.as_ref().and_then(|wrapped| wrapped.elements(line)) {
                Some(spans) => {
                    spans.into_iter().for_each(|span| give(Piece::Record(&line[span])));
                }
                None => give(Piece::Record(line)),
            }
            return;
        }
    }
    let mut framer = Framer::of_message(&cutter.framing, limits);
    framer.push(message);
    framer.finish();
    let framed = framer.take();
    // Both are in the order of the message; merged by where they begin.
    let mut faults = framed.faults.into_iter().peekable();
    for (record, offset) in framed.records.iter().zip(&framed.offsets) {
        while let Some(fault) = faults.next_if(|f| f.offset < *offset) {
            give(Piece::Fault(fault));
        }
        give(Piece::Record(record));
    }
    faults.for_each(|fault| give(Piece::Fault(fault)));
}

/// Some of the first records of a large message.
pub(super) fn first_records(message: &[u8], framing: &Framing, limits: Limits) -> Vec<Vec<u8>> {
    let mut framer = Framer::of_message(framing, limits);
    for piece in message.chunks(64 << 10) {
        framer.push(piece);
        if framer.len() >= FIRST {
            break;
        }
    }
    framer.finish();
    framer.take().records.iter().take(FIRST).map(<[u8]>::to_vec).collect()
}
