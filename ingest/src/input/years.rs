//! The year of the first date of a log whose dates have none: the last one is of the year nearest to
//! when the file was changed, and going back each turn of the year counts one. Reads the file once,
//! and only if its head has such dates.

use std::io::Read;

use sluice_event::Records;

use crate::{
    Framer, Framing, Limits,
    decode::header::{Header, Time},
    inflate::Inflate,
    time::YearlessTime,
};

/// Bytes in which a first date without a year must show.
const HEAD_BYTES: usize = 64 << 10;
/// Bytes of a line that its time is in.
const TIME_BYTES: usize = 64;
/// A line that begins with as many of the same bytes as the last one read is not read: its date, or most of it,
/// is among them, so that no turn of the year lies between the two.
const SAME_BYTES: usize = 24;

/// The year of the first date without one; `None` if there is none, or the file cannot be read.
pub(super) fn first(reader: Box<dyn Read + Send>, limits: Limits, received_at: i64) -> Option<i32> {
    let mut inflate = Inflate::new(reader, limits).ok()?;
    let mut framer = Framer::new(&Framing::Syslog, limits);
    let mut years = Years::default();
    let mut buffer = vec![0; HEAD_BYTES];
    let mut read_all = 0;
    loop {
        let read = match inflate.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        framer.push(buffer.get(..read).unwrap_or_default());
        years.lines(&framer.take().records);
        read_all += read;
        if years.last.is_none() && read_all >= HEAD_BYTES {
            return None;
        }
    }
    framer.finish();
    years.lines(&framer.take().records);
    let first = years.last?.nearest_year(received_at) - years.turns;
    // A 29th of February says which years are none.
    let fits = |year: &i32| {
        years.leap_day.is_none_or(|(date, turns)| date.in_year(year + turns).is_some())
    };
    Some((first - 8..=first).rev().find(fits).unwrap_or(first))
}

/// The dates of a log in order.
#[derive(Default)]
struct Years {
    last: Option<YearlessTime>,
    /// How the line with that date begins.
    start: Vec<u8>,
    /// Turns of the year so far.
    turns: i32,
    /// The first date that not every year has, and the turns before it.
    leap_day: Option<(YearlessTime, i32)>,
}

impl Years {
    fn lines(&mut self, lines: &Records) {
        lines.iter().for_each(|line| self.line(line.get(..TIME_BYTES).unwrap_or(line)));
    }

    fn line(&mut self, start: &[u8]) {
        let begin = start.get(..SAME_BYTES).unwrap_or_default();
        if !begin.is_empty() && begin == self.start {
            return;
        }
        let text = String::from_utf8_lossy(start);
        let Some(Time::Yearless(date)) = Header::parse(&text).map(|h| h.time) else { return };
        match self.last.map_or(0, |last| date.years_after(last)) {
            back if back < 0 => {}
            turns => {
                self.turns += turns;
                self.last = Some(date);
                self.start.clear();
                self.start.extend_from_slice(begin);
                if self.leap_day.is_none() && date.in_year(2023).is_none() {
                    self.leap_day = Some((date, self.turns));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_order_of_a_log_tells_its_first_year() {
        // 2026-11-28
        let received = 1_795_824_000_000;
        let of = |text: &str| {
            let reader = Box::new(Cursor::new(text.as_bytes().to_vec()));
            first(reader, Limits::default(), received)
        };
        assert_eq!(of("Nov 25 08:00:00 h a: x\nJan  5 08:00:00 h a: x\n"), Some(2025));
        assert_eq!(of("Nov 25 08:00:00 h a: x\nNov 26 08:00:00 h a: x"), Some(2026));
        assert_eq!(of("Dec 25 08:00:00 h a: x\n"), Some(2025));
        let two = "Dec 1 08:00:00 h a: x\nMar 1 08:00:00 h a: x\nDec 1 08:00:00 h a: x\n\
                   Feb 1 08:00:00 h a: x\nFeb 1 07:00:00 h a: x\n";
        assert_eq!(of(two), Some(2024));
        assert_eq!(of("Jan  1 00:00:00 h a: x\nDec 31 23:59:59 h a: x\n"), Some(2026));
        assert_eq!(of("2026-11-25T08:00:00Z h a: x\n"), None);
        let glued = "27 <38>Nov 25 08:00:00 h a: x\n27 <38>Jan  5 08:00:00 h a: x";
        assert_eq!(of(glued), Some(2025));
        assert_eq!(of("Nov 25 08:00:00 h a: x\rJan  5 08:00:00 h a: x\r"), Some(2025));
        // Lines that begin alike are of one date.
        let alike = "Nov 25 08:00:00 host-1.example a: x\n".repeat(3);
        assert_eq!(of(&format!("{alike}Jan  5 08:00:00 host-1.example a: x\n{alike}")), Some(2025));
        let leap = "Dec 31 08:00:00 h a: x\nFeb 29 08:00:00 h a: x\nMar  1 08:00:00 h a: x\n";
        assert_eq!(of(leap), Some(2023));
    }
}
