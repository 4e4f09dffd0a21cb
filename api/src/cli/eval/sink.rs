//! Findings to stdout as they become final; those that may repeat another one in order of time, when
//! all are known. Only what can still change is kept in full.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use sluice_engine::{Commit, EngineError, FindingFeed, FindingLog, FindingSink, Seq};
use sluice_finding::{
    Finding, FindingId, FindingState, Repeats,
    contest::{self, Content, settle},
    fold,
    repeats::{self, Member, Members, MemoryMembers},
};

use super::{held::Held, tally::Tally};
use crate::cli::{Format, exit::Failure, output::Output, view};

/// A sink that prints.
pub(crate) struct FindingPrinter<'a> {
    out: &'a mut Output,
    live: bool,
    /// Leave out findings of rules on trial.
    hide_shadow: bool,
    /// Steps aside while a line is printed, and shows how many findings there are.
    bar: ProgressBar,
    /// Findings that are not final yet.
    open: BTreeMap<FindingId, Finding>,
    /// Findings that are, by id, each with what it says happened: a repetition must not be printed
    /// again.
    printed: BTreeMap<FindingId, Option<Content>>,
    tally: Tally,
    /// Net findings of rules that fold repeats.
    groups: MemoryMembers,
    /// Those of them that wait until all are known.
    held: Option<Held>,
    seq: u64,
    /// For rules over findings, if there are any.
    log: Option<FindingLog>,
    /// Findings of the one JSON document, if that is the format.
    document: Vec<serde_json::Value>,
}

impl<'a> FindingPrinter<'a> {
    pub(crate) fn new(out: &'a mut Output, live: bool) -> Self {
        FindingPrinter {
            out,
            live,
            hide_shadow: false,
            bar: ProgressBar::hidden(),
            open: BTreeMap::new(),
            printed: BTreeMap::new(),
            tally: Tally::default(),
            groups: MemoryMembers::default(),
            held: None,
            seq: 0,
            log: None,
            document: Vec::new(),
        }
    }

    /// Leaves findings of rules on trial out; they are still counted.
    pub(crate) fn without_shadow(self) -> Self {
        FindingPrinter { hide_shadow: true, ..self }
    }

    /// Holds findings that may repeat another one until all are known: what stands out does not depend
    /// on what was found first.
    pub(crate) fn in_order(self) -> Self {
        let held = (!self.live).then(Held::new);
        FindingPrinter { held, ..self }
    }

    /// Shares the terminal with a progress bar.
    pub(crate) fn beside(self, bar: ProgressBar) -> Self {
        FindingPrinter { bar, ..self }
    }

    /// What was found so far.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Prints what did not become final before the input stopped, and the document.
    pub(crate) fn finish(mut self) -> Result<Tally, Failure> {
        for finding in std::mem::take(&mut self.open).into_values() {
            match finding.state {
                FindingState::Withdrawn => self.tally.withdrawn += 1,
                FindingState::Provisional | FindingState::Confirmed => self.net(&finding)?,
            }
        }
        if let Some(held) = self.held.take() {
            held.release(|member, rule, repeats, shown| {
                if repeats.folded_into.is_some() {
                    *self.tally.repeats.entry(rule.to_owned()).or_default() += 1;
                }
                self.print_held(member.id, repeats, &shown)
            })?;
        }
        if self.out.format() == Format::Json {
            self.out.json(&std::mem::take(&mut self.document).into())?;
        }
        self.out.flush()?;
        Ok(self.tally)
    }

    fn keep(&mut self, finding: Finding) -> Result<(), Failure> {
        // One that was printed and is said again, in time: rules that read it know it by its id.
        if let Some(log) = &self.log
            && !finding.late
            && self.printed.contains_key(&finding.id)
        {
            self.seq += 1;
            log.push(Seq(self.seq), &finding);
        }
        let finding = match self.printed.get(&finding.id) {
            Some(before) => match (before, Content::of(&finding)) {
                (Some(before), Some(now)) if before.is_denied_by(now) => now.contesting(finding),
                _ => return Ok(()),
            },
            None => settle(self.open.get(&finding.id), finding),
        };
        if self.printed.contains_key(&finding.id) {
            return Ok(());
        }
        if finding.contested && !self.open.contains_key(&finding.id) {
            for source in contest::sources(&finding) {
                *self.tally.contested.entry(source).or_default() += 1;
            }
        }
        let Some(kept) = fold(self.open.get(&finding.id), finding) else { return Ok(()) };
        if self.live {
            self.print(&kept, Repeats::default())?;
        }
        self.seq += 1;
        if let Some(log) = &self.log {
            log.push(Seq(self.seq), &kept);
        }
        if kept.state == FindingState::Confirmed {
            self.open.remove(&kept.id);
            self.printed.insert(kept.id, Content::of(&kept));
            self.net(&kept)
        } else {
            self.open.insert(kept.id, kept);
            Ok(())
        }
    }

    fn net(&mut self, finding: &Finding) -> Result<(), Failure> {
        if finding.shadow {
            self.tally.shadow += 1;
            if self.hide_shadow {
                return Ok(());
            }
        }
        self.tally.add(finding);
        if let (Some(held), Some(suppression)) = (&mut self.held, finding.suppression) {
            let shown = match self.out.format() {
                Format::Table | Format::Md => view::text(finding),
                Format::Json | Format::Ndjson => {
                    // Its own id stands where that of the finding it repeats will.
                    let folded_into = Some(finding.id);
                    view::json_text(finding, Repeats { folded_into, count: 0 })
                }
            };
            held.keep(finding, suppression, &shown)?;
            return Ok(());
        }
        let repeats = self.group(finding);
        if repeats.folded_into.is_some() {
            *self.tally.repeats.entry(finding.rule_id.to_string()).or_default() += 1;
        }
        if self.live { Ok(()) } else { self.print(finding, repeats) }
    }

    /// Whether a finding repeats one that is known. One that comes out of order may make an earlier
    /// printed one a repeat: that is not told again.
    fn group(&mut self, finding: &Finding) -> Repeats {
        let Some(suppression) = finding.suppression else { return Repeats::default() };
        let member = Member { time: finding.time, id: finding.id };
        let Ok(_) = repeats::insert(&mut self.groups, suppression, member);
        let Ok(standing) = self.groups.standing(suppression.group, member);
        standing.map_or_else(Repeats::default, |s| s.repeats(finding.id))
    }

    /// Prints a finding that was held.
    fn print_held(&mut self, id: FindingId, repeats: Repeats, shown: &str) -> Result<(), Failure> {
        if matches!(self.out.format(), Format::Table | Format::Md) {
            return match repeats.folded_into {
                Some(_) => Ok(()),
                None => self.out.text(&format!("{shown}\n")),
            };
        }
        // Quotes in the texts of a finding are escaped: there is one such place.
        let place = format!("\"suppressed\":true,\"folded_into\":\"{id}\"");
        let line = match repeats.folded_into {
            Some(leader) => shown.replacen(
                &place,
                &format!("\"suppressed\":true,\"folded_into\":\"{leader}\""),
                1,
            ),
            None => shown.replacen(&place, "\"suppressed\":false", 1),
        };
        if self.out.format() == Format::Ndjson {
            return self.out.json_text(&line);
        }
        self.document.extend(serde_json::from_str::<serde_json::Value>(&line).ok());
        Ok(())
    }

    /// Prints a finding: a person is spared repeats, a program is told which they are.
    fn print(&mut self, finding: &Finding, repeats: Repeats) -> Result<(), Failure> {
        match self.out.format() {
            Format::Table | Format::Md if repeats.folded_into.is_some() => Ok(()),
            Format::Table | Format::Md => {
                let live =
                    if self.live { format!("{:<12}", finding.state.name()) } else { String::new() };
                self.out.text(&format!("{live}{}\n", view::text(finding)))
            }
            Format::Json => {
                self.document.push(view::json(finding, repeats));
                Ok(())
            }
            Format::Ndjson => self.out.json_text(&view::json_text(finding, repeats)),
        }
    }
}

impl FindingSink for FindingPrinter<'_> {
    fn commit(&mut self, commit: Commit) -> Result<Seq, EngineError> {
        let failed = |failure: Failure| match failure {
            Failure::Write(error) => EngineError::Commit(Box::new(error)),
            other => EngineError::Commit(format!("{other:?}").into()),
        };
        for reported in commit.findings {
            self.keep(reported.finding).map_err(failed)?;
        }
        let out = &mut *self.out;
        self.bar.suspend(|| out.flush()).map_err(failed)?;
        self.bar.set_message(format!("{} findings", self.tally.total()));
        Ok(Seq(self.seq))
    }

    fn feed(&mut self) -> Option<Box<dyn FindingFeed>> {
        Some(Box::new(self.log.get_or_insert_default().clone()))
    }
}
