//! Sets of rows of one batch, as bitmaps. Buffers are recycled by a [`Pool`]: the hot path does not
//! allocate.

/// A set of rows `0..len`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    pub(super) fn set(&mut self, row: usize) {
        self.words[row / 64] |= 1 << (row % 64);
    }

    pub(super) fn get(&self, row: usize) -> bool {
        self.words[row / 64] >> (row % 64) & 1 == 1
    }

    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    pub(super) fn fill(&mut self) {
        self.words.fill(u64::MAX);
        self.trim();
    }

    /// Rows `64 * i ..` as bits, least significant first; bits past the end are ignored.
    pub(super) fn set_words(&mut self, words: impl Iterator<Item = u64>) {
        for (to, from) in self.words.iter_mut().zip(words) {
            *to = from;
        }
        self.trim();
    }

    /// Keeps the rows that `other` has.
    pub(super) fn and(&mut self, other: &Bits) {
        self.zip(other, |a, b| a & b);
    }

    /// Adds the rows that `other` has.
    pub(super) fn or(&mut self, other: &Bits) {
        self.zip(other, |a, b| a | b);
    }

    /// Takes away the rows that `other` has.
    pub(super) fn subtract(&mut self, other: &Bits) {
        self.zip(other, |a, b| a & !b);
    }

    /// The rows, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().enumerate().flat_map(|(i, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(i as u32 * 64 + bit)
            })
        })
    }

    fn zip(&mut self, other: &Bits, f: impl Fn(u64, u64) -> u64) {
        for (a, b) in self.words.iter_mut().zip(&other.words) {
            *a = f(*a, *b);
        }
    }

    fn trim(&mut self) {
        if let (Some(last), 1..) = (self.words.last_mut(), self.len % 64) {
            *last &= (1 << (self.len % 64)) - 1;
        }
    }
}

/// Buffers not in use.
#[derive(Debug, Default)]
pub(super) struct Pool {
    free: Vec<Vec<u64>>,
}

impl Pool {
    /// The empty set over `len` rows.
    pub(super) fn empty(&mut self, len: usize) -> Bits {
        let mut words = self.free.pop().unwrap_or_default();
        words.clear();
        words.resize(len.div_ceil(64), 0);
        Bits { words, len }
    }

    pub(super) fn copy(&mut self, bits: &Bits) -> Bits {
        let mut words = self.free.pop().unwrap_or_default();
        words.clear();
        words.extend_from_slice(&bits.words);
        Bits { words, len: bits.len }
    }

    pub(super) fn release(&mut self, bits: Bits) {
        self.free.push(bits.words);
    }
}
