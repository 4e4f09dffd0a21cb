//! What a decoder met and no mapping reads: undeclared fields, lines that no pattern takes. Not the
//! records themselves.

/// Top-level fields that no mapping declares.
#[derive(Debug, Default, Clone)]
pub struct Unmapped {
    fields: Vec<UnmappedField>,
    /// Fields beyond the number of names that are remembered, or with too long a name.
    pub more: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmappedField {
    /// The name on the wire.
    pub name: String,
    /// How many records had it.
    pub records: u64,
    /// Its first value, shortened.
    pub example: String,
}

/// Lines of a known program that no pattern of its source took.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Unparsed {
    /// How many.
    pub lines: u64,
    /// The first different ones, shortened.
    pub examples: Vec<String>,
}

impl Unmapped {
    /// The fields in the order they were first seen.
    pub fn fields(&self) -> impl Iterator<Item = &UnmappedField> {
        self.fields.iter().filter(|f| f.records > 0)
    }

    /// Adds what another decoder of the same source saw.
    pub fn add(&mut self, other: &Unmapped) {
        for field in other.fields() {
            match self.fields.iter_mut().find(|f| f.name == field.name) {
                Some(own) => own.records += field.records,
                None => self.fields.push(field.clone()),
            }
        }
        self.more += other.more;
    }

    pub(super) fn is_new(&self, index: usize) -> bool {
        // A name that only rejected records had was learned, but never counted.
        self.fields.get(index).is_none_or(|f| f.records == 0)
    }

    pub(super) fn count(&mut self, index: usize) {
        self.fields[index].records += 1;
    }

    /// Keeps the name and first value of a field; not yet counted.
    pub(super) fn learn(&mut self, index: usize, name: &str, example: &str) {
        let mut short: String = example.chars().take(80).collect();
        if short.len() < example.len() {
            short.push('…');
        }
        if self.fields.len() <= index {
            let unseen = UnmappedField { name: String::new(), records: 0, example: String::new() };
            self.fields.resize(index + 1, unseen);
        }
        self.fields[index] = UnmappedField { name: name.to_owned(), records: 0, example: short };
    }
}

impl Unparsed {
    /// Examples kept.
    const EXAMPLES: usize = 5;

    pub(super) fn note(&mut self, text: &str) {
        self.lines += 1;
        self.keep(text);
    }

    fn keep(&mut self, text: &str) {
        let short: String = text.chars().take(200).collect();
        if self.examples.len() < Self::EXAMPLES && !self.examples.contains(&short) {
            self.examples.push(short);
        }
    }

    /// Adds what another decoder of the same source saw.
    pub fn add(&mut self, other: &Unparsed) {
        self.lines += other.lines;
        other.examples.iter().for_each(|e| self.keep(e));
    }
}
