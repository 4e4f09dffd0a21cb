//! Findings that may repeat another one, until all are known: which of them stand out depends on all
//! of their times, and not on which was found first. Not what is printed of them.

use std::{
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    sync::Arc,
};

use sluice_finding::{
    Finding, RepeatGroup,
    repeats::{self, Member, Members, MemoryMembers, Repeats},
};
use tempfile::SpooledTempFile;

use crate::cli::exit::Failure;

/// See the module. Costs about 100 bytes of memory a finding; what is to be printed of them goes to a
/// temporary file above [`SPOOL`].
pub(super) struct Held {
    places: Vec<HeldFinding>,
    shown: BufWriter<SpooledTempFile>,
    length: u64,
    groups: MemoryMembers,
}

struct HeldFinding {
    member: Member,
    group: u128,
    rule: Arc<str>,
    start: u64,
    length: usize,
}

/// Bytes held in memory.
const SPOOL: usize = 16 << 20;
/// Bytes written to the file at once.
const BLOCK: usize = 1 << 20;

impl Held {
    pub(super) fn new() -> Self {
        Held {
            places: Vec::new(),
            shown: BufWriter::with_capacity(BLOCK, SpooledTempFile::new(SPOOL)),
            length: 0,
            groups: MemoryMembers::default(),
        }
    }

    /// Keeps a finding and what is to be printed of it.
    pub(super) fn keep(
        &mut self,
        finding: &Finding,
        suppression: RepeatGroup,
        shown: &str,
    ) -> Result<(), Failure> {
        let member = Member { time: finding.time, id: finding.id };
        let Ok(_) = repeats::insert(&mut self.groups, suppression, member);
        self.shown.write_all(shown.as_bytes()).map_err(Failure::Write)?;
        self.places.push(HeldFinding {
            member,
            group: suppression.group,
            rule: finding.rule_id.clone(),
            start: self.length,
            length: shown.len(),
        });
        self.length += shown.len() as u64;
        Ok(())
    }

    /// Gives back what was kept in order of time: the finding, its rule, what it repeats.
    pub(super) fn release(
        self,
        mut tell: impl FnMut(Member, &str, Repeats, String) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Held { mut places, shown, groups, .. } = self;
        let mut file = shown.into_inner().map_err(|e| Failure::Write(e.into_error()))?;
        places.sort_unstable_by_key(|place| place.member);
        for HeldFinding { member, group, rule, start, length } in places {
            let Ok(standing) = groups.standing(group, member);
            let repeats = standing.map_or_else(Repeats::default, |s| s.repeats(member.id));
            let mut bytes = vec![0; length];
            file.seek(SeekFrom::Start(start)).map_err(Failure::Write)?;
            file.read_exact(&mut bytes).map_err(Failure::Write)?;
            tell(member, &rule, repeats, String::from_utf8_lossy(&bytes).into_owned())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;
    use sluice_finding::{FindingId, FindingState};
    use sluice_rule::Severity;

    use super::*;

    fn finding(number: u128, time: i64) -> Finding {
        Finding {
            id: FindingId(number),
            rule_id: "x.y".into(),
            rule_version: "abc".into(),
            title: "t".to_owned(),
            severity: Severity::Low,
            time,
            state: FindingState::Confirmed,
            revision: 1,
            entities: Vec::new(),
            attack: [].into(),
            risk: 8,
            shadow: false,
            suppression: Some(RepeatGroup { group: 1, span: 100 }),
            fields: Map::new(),
            window: None,
            count: 1,
            late: false,
            capped: false,
            capped_by: Vec::new(),
            time_flags: sluice_event::TimeFlags::NONE,
            contested: false,
            evidence: Vec::new(),
            evidence_total: 1,
        }
    }

    /// Four findings, the third folded into none because the first leads only as far as the second.
    #[test]
    fn what_stands_out_does_not_depend_on_the_order_of_arrival() {
        let all = [finding(4, 0), finding(3, 60), finding(2, 120), finding(1, 130)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            let mut held = Held::new();
            for at in order {
                let finding = &all[at];
                held.keep(finding, finding.suppression.unwrap(), &format!("at {at}")).unwrap();
            }
            let mut told = Vec::new();
            let tell = |member: Member, rule: &str, repeats: Repeats, shown: String| {
                assert_eq!(rule, "x.y");
                told.push((member.id.0, repeats.folded_into.map(|id| id.0), shown));
                Ok(())
            };
            held.release(tell).unwrap();
            let wanted = [
                (4, None, "at 0".to_owned()),
                (3, Some(4), "at 1".to_owned()),
                (2, None, "at 2".to_owned()),
                (1, Some(2), "at 3".to_owned()),
            ];
            assert_eq!(told, wanted, "{order:?}");
        }
    }
}
