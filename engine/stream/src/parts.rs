//! The parts in which a checkpoint keeps the keys of an operator: what changed since the one before,
//! many keys at once, so that what they have in common is written once. Not what is kept of a key.
//!
//! The latest part that names a key has its state, or says that it is gone. A part goes once it is
//! nobody's latest and no older one needs what it says of keys that are gone. When more than half of
//! what parts hold is of no use, the keys of the oldest are written anew.

use std::collections::BTreeMap;

use crate::state::{Reader, StateError, Writer};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    list: BTreeMap<u32, Part>,
    /// Those that are to be removed with the next export: rule of the operator, number.
    gone: Vec<(usize, u32)>,
    last: u32,
}

/// A part, of all rules of the operator.
#[derive(Debug, Default)]
struct Part {
    /// Keys whose latest state it has.
    live: usize,
    /// Keys it names, those that are gone included.
    named: usize,
    /// Whether it says of a key that it is gone.
    buries: bool,
    /// The rules that have something in it.
    members: u64,
}

/// The part of one rule: its number, and what it says; `None` if it is to be removed.
#[derive(Debug)]
pub(crate) struct PartOf {
    pub(crate) member: usize,
    pub(crate) number: u32,
    pub(crate) value: Option<Writer>,
}

/// What a part says of a key.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) key: &'a [u8],
    /// Its state; `None`: it is gone.
    pub(crate) state: Option<&'a [u8]>,
}

/// A part ends when a rule has so many bytes in it.
const FULL: usize = 4 << 20;
/// Keys of no use that are not worth writing others anew.
const SPARE: usize = 1_024;

impl Parts {
    /// The number of the next part.
    pub(crate) fn next(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    /// The latest state of a key is in no part, or in this one no more.
    pub(crate) fn leave(&mut self, number: u32) {
        if let Some(part) = self.list.get_mut(&number) {
            part.live = part.live.saturating_sub(1);
        }
    }

    /// The latest state of a key is in this one, unless it is in none: 0.
    pub(crate) fn enter(&mut self, number: u32) {
        if number > 0 {
            self.list.entry(number).or_default().live += 1;
        }
    }

    /// A part of a checkpoint that is taken over has something of a rule.
    pub(crate) fn found(&mut self, member: usize, number: u32, named: usize, buries: bool) {
        self.last = self.last.max(number);
        let part = self.list.entry(number).or_default();
        part.members |= 1 << member;
        part.named = part.named.max(named);
        part.buries |= buries;
    }

    /// Nobody's state is in any of them: they go with the next export.
    pub(crate) fn drop_all(&mut self) {
        for (number, part) in std::mem::take(&mut self.list) {
            self.gone.extend(part.rules().map(|member| (member, number)));
        }
    }

    /// What a rule has in them goes with the next export.
    pub(crate) fn forget(&mut self, member: usize) {
        for (number, part) in &mut self.list {
            if part.members >> member & 1 == 1 {
                part.members &= !(1 << member);
                self.gone.push((member, *number));
            }
        }
    }

    /// Through which part keys are to be written anew, if more than half of what the parts hold is of no
    /// use: the first half.
    pub(crate) fn sparse(&self, keys: usize) -> Option<u32> {
        let named: usize = self.list.values().map(|part| part.named).sum();
        if named <= 2 * keys + SPARE {
            return None;
        }
        let mut before = 0;
        let first = self.list.iter().take_while(|(_, part)| {
            let within = before <= named / 2;
            before += part.named;
            within
        });
        first.last().map(|(number, _)| *number)
    }

    /// The last of the first parts that are of no use.
    pub(crate) fn dead_through(&self) -> u32 {
        let dead = self.list.iter().take_while(|(_, part)| part.live == 0);
        dead.last().map_or(0, |(number, _)| *number)
    }

    /// Those that are to be removed.
    pub(crate) fn take_gone(&mut self) -> Vec<PartOf> {
        let dead = self.dead_through();
        let gone = &mut self.gone;
        self.list.retain(|number, part| {
            let keep = part.live > 0 || (part.buries && *number > dead);
            if !keep {
                gone.extend(part.rules().map(|member| (member, *number)));
            }
            keep
        });
        let gone = std::mem::take(&mut self.gone).into_iter();
        gone.map(|(member, number)| PartOf { member, number, value: None }).collect()
    }
}

impl Part {
    fn rules(&self) -> impl Iterator<Item = usize> + use<> {
        let members = self.members;
        (0..64).filter(move |member| members >> member & 1 == 1)
    }
}

/// Writes parts.
#[derive(Debug)]
pub(crate) struct PartWriter {
    number: u32,
    /// Per rule: what is written of it in this part.
    writers: Vec<Option<Writer>>,
    named: Vec<usize>,
    buries: bool,
    full: bool,
    out: Vec<PartOf>,
}

impl PartWriter {
    pub(crate) fn new(members: usize) -> Self {
        PartWriter {
            number: 0,
            writers: (0..members).map(|_| None).collect(),
            named: vec![0; members],
            buries: false,
            full: false,
            out: Vec::new(),
        }
    }

    /// The part that the next key is written to.
    pub(crate) fn number(&mut self, parts: &mut Parts) -> u32 {
        if self.full {
            self.end(parts);
        }
        if self.number == 0 {
            self.number = parts.next();
        }
        self.number
    }

    /// What a rule has of a key, written by `version` of the operator; `None`: nothing any more.
    pub(crate) fn say(
        &mut self,
        member: usize,
        version: u8,
        key: &[u8],
        state: Option<&mut Writer>,
    ) {
        let Some(writer) = self.writers.get_mut(member) else { return };
        let writer = writer.get_or_insert_with(|| {
            let mut w = Writer::new();
            w.byte(version);
            w
        });
        writer.bytes(key);
        writer.bool(state.is_some());
        match state {
            Some(state) => writer.nested(state),
            None => self.buries = true,
        }
        self.full |= writer.len() >= FULL;
        if let Some(named) = self.named.get_mut(member) {
            *named += 1;
        }
    }

    fn end(&mut self, parts: &mut Parts) {
        let (number, buries) = (std::mem::take(&mut self.number), std::mem::take(&mut self.buries));
        self.full = false;
        for (member, (writer, named)) in self.writers.iter_mut().zip(&mut self.named).enumerate() {
            let named = std::mem::take(named);
            if let Some(value) = writer.take() {
                parts.found(member, number, named, buries);
                self.out.push(PartOf { member, number, value: Some(value) });
            }
        }
    }

    pub(crate) fn finish(mut self, parts: &mut Parts) -> Vec<PartOf> {
        self.end(parts);
        self.out
    }
}

/// What a part says, by key; the version of the operator that wrote it.
pub(crate) fn read(payload: &[u8]) -> Result<(u8, Vec<Said<'_>>), StateError> {
    let mut r = Reader::of(payload);
    let version = r.byte()?;
    let mut all = Vec::new();
    while !r.is_empty() {
        let key = r.bytes()?;
        let state = if r.bool()? { Some(r.bytes()?) } else { None };
        all.push(Said { key, state });
    }
    Ok((version, all))
}
