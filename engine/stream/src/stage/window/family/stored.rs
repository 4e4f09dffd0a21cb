//! What a rule has of a key of its family, as bytes: in its own terms, so that it can be read
//! whichever rules it shares a family with then.

use sluice_event::{TimeFlags, Value};

use super::{Awake, FamilyKey, member::Member};
use crate::{
    cells::Cell,
    operator::Restore,
    stage::window::{
        layout::{Row, Rows},
        report::Reported,
    },
    state::{Reader, StateError, Writer},
};

/// `false` if it has nothing of the key.
pub(super) fn encode(member: &Member, number: usize, key: &FamilyKey, w: &mut Writer) -> bool {
    let own = || {
        let rows = key.rows.list().iter().enumerate();
        rows.filter(|(_, row)| row.bits & member.bit != 0)
    };
    let more = key.more.as_deref();
    let awake = more.and_then(|m| m.awake.iter().find(|a| a.member == number));
    let count = own().count();
    if count == 0 && awake.is_none() {
        return false;
    }
    w.option(more.and_then(|m| m.truncated_through));
    w.byte(more.map_or(0, |m| m.truncated_flags.bits()));
    w.length(more.map_or(0, |m| m.room));
    w.bool(awake.is_some());
    if let Some(awake) = awake {
        w.option((awake.fresh < i64::MAX).then_some(awake.fresh));
        w.length(awake.best.len());
        for (cell, time, rows) in &awake.best {
            w.signed(*cell);
            w.signed(*time);
            w.unsigned(*rows);
        }
        awake.reported.encode(w);
    }
    w.length(count);
    let (mut time, mut tags) = (0_i64, 0_u64);
    for (at, row) in own() {
        w.signed(row.time.wrapping_sub(time));
        w.signed(row.tags().wrapping_sub(tags) as i64);
        (time, tags) = (row.time, row.tags());
        let passes = |(n, (_, bit)): (usize, &(usize, u64))| u64::from(row.bits & bit != 0) << n;
        w.unsigned(member.filters.iter().enumerate().map(passes).fold(0, |a, b| a | b));
        let values = key.rows.view(at).values;
        for (_, place) in &member.columns {
            w.value(values.get(*place).unwrap_or(&Value::Null));
        }
    }
    true
}

/// Adds it to what other rules had of the key. `width`: how many values a row of the family has.
pub(super) fn decode(
    member: &Member,
    (number, width): (usize, usize),
    key: &mut FamilyKey,
    r: &mut Reader<'_>,
    restore: &mut Restore<'_>,
) -> Result<(), StateError> {
    let truncated = r.option()?;
    let flags = TimeFlags::from_bits(r.byte()?);
    let room = r.unsigned()? as usize;
    let awake = match r.bool()? {
        false => None,
        true => {
            let fresh = r.option()?.unwrap_or(i64::MAX);
            let best = r.list(|r| Ok((r.signed()?, r.signed()?, r.unsigned()?)))?;
            let reported = Reported::decode(r, restore)?;
            Some(Awake { best, reported, ..Awake::new(number, fresh) })
        }
    };
    let before = std::mem::take(&mut key.rows);
    let mut rows = Rows::default();
    let mut at = 0;
    let mut old = |rows: &mut Rows, through: i64| {
        while let Some(row) = before.list().get(at).filter(|row| row.time <= through) {
            rows.push_row(*row, before.view(at).values.iter().cloned());
            at += 1;
        }
    };
    let (mut time, mut tags) = (0_i64, 0_u64);
    let mut values = vec![Value::Null; width];
    for _ in 0..r.unsigned()? {
        time = time.wrapping_add(r.signed()?);
        tags = tags.wrapping_add(r.signed()? as u64);
        let passes = r.unsigned()?;
        let mut bits = member.bit;
        for (n, (_, bit)) in member.filters.iter().enumerate() {
            bits |= if passes >> n & 1 == 1 { *bit } else { 0 };
        }
        values.fill(Value::Null);
        for (_, place) in &member.columns {
            values[*place] = restore.texts.value(Cell::of(&r.value()?));
        }
        let row = Row::tagged(time, restore.tagged(tags), bits);
        old(&mut rows, time);
        add(&mut rows, row, &values);
    }
    old(&mut rows, i64::MAX);
    key.rows = rows;
    key.waking |= member.bit;
    if awake.is_some() || truncated.is_some() || room > 0 {
        let more = key.more.get_or_insert_default();
        more.awake.extend(awake);
        more.truncated_through = more.truncated_through.max(truncated);
        more.truncated_flags |= flags;
        more.room = more.room.max(room);
    }
    key.count();
    Ok(())
}

/// A row, or what a rule adds to one that is there already.
fn add(rows: &mut Rows, row: Row, values: &[Value]) {
    let same = |known: &Row| known.tags() == row.tags();
    let peers = rows.list().iter().rev().take_while(|known| known.time == row.time);
    let Some(back) = peers.clone().position(same) else {
        return rows.push_row(row, values.iter().cloned());
    };
    let at = rows.len() - 1 - back;
    let Some((known, kept)) = rows.row_mut(at) else { return };
    known.bits |= row.bits;
    for (kept, value) in kept.iter_mut().zip(values) {
        if kept.is_null() {
            kept.clone_from(value);
        }
    }
}
