//! Three attacks, each inside the benign background of a company of 120 people. What happens when
//! is told at the top of each one's file; the demo and its test rely on it.

mod lateral;
mod leaked_key;
mod takeover;

pub(crate) use takeover::VICTIM;

use crate::{Format, Line, Random, background};

/// An attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Okta: an account taken over by push fatigue. 90 minutes.
    Takeover,
    /// VPC flow and sshd: lateral movement and a large transfer. 75 minutes.
    Lateral,
    /// CloudTrail: a leaked access key at work. 90 minutes.
    LeakedKey,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Scenario; 3] = [Scenario::Takeover, Scenario::Lateral, Scenario::LeakedKey];

    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Takeover => "okta",
            Scenario::Lateral => "lateral",
            Scenario::LeakedKey => "cloudtrail",
        }
    }

    /// The scenario of a word, if it is one.
    pub fn parse(word: &str) -> Option<Scenario> {
        Self::ALL.into_iter().find(|s| s.name() == word)
    }

    /// How long it takes, milliseconds of event time.
    pub fn length_ms(self) -> i64 {
        let minutes = match self {
            Scenario::Takeover | Scenario::LeakedKey => 90,
            Scenario::Lateral => 75,
        };
        minutes * 60_000
    }

    pub(crate) fn lines(self, seed: u64, start_ms: i64, format: Format) -> Vec<Line> {
        let random = Random::new(seed, self.name());
        let mut stage =
            Stage { random, start_ms, length_ms: self.length_ms(), format, lines: vec![] };
        match self {
            Scenario::Takeover => takeover::play(&mut stage),
            Scenario::Lateral => lateral::play(&mut stage),
            Scenario::LeakedKey => leaked_key::play(&mut stage),
        }
        // Stable: lines that arrive together keep the order they were made in.
        stage.lines.sort_by_key(|(arrival, _)| *arrival);
        stage.lines.into_iter().map(|(_, line)| line).collect()
    }
}

/// A scenario being written.
struct Stage {
    random: Random,
    start_ms: i64,
    length_ms: i64,
    format: Format,
    /// When each line arrives, and the line.
    lines: Vec<(i64, Line)>,
}

impl Stage {
    /// Minute and second of the scenario as a time.
    fn at(&self, minute: i64, second: i64) -> i64 {
        self.start_ms + minute * 60_000 + second * 1_000
    }

    fn add(&mut self, line: Line) {
        self.lines.push((line.time_ms, line));
    }

    /// `count` benign lines of a source, without those that hold one of the words: what the attack
    /// is about happens only in the attack.
    fn background(&mut self, source: &str, count: u64, without: &[&str]) {
        let minutes = self.length_ms / 60_000;
        let lines = background::spread(
            &mut self.random,
            source,
            self.start_ms,
            minutes,
            count,
            self.format,
        );
        let clean = |line: &Line| !without.iter().any(|word| line.text.contains(word));
        self.lines.extend(lines.into_iter().filter(|(_, line)| clean(line)));
    }
}
