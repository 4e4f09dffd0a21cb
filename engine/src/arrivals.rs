//! What waits between inputs and the engine: a channel for each input, taken in turn. An input with
//! much to read has its turn as often as one with little, so that its backlog waits where it is
//! stored and not in front of others. Not an input, nor what becomes of an arrival.

use std::{sync::Arc, time::Duration};

use crossbeam_channel::{Receiver, Select, Sender, bounded, never};
use sluice_ingest::live::Arrival;

/// The ends of the channels that are read.
#[derive(Clone)]
pub(crate) struct Arrivals {
    names: Vec<Arc<str>>,
    inputs: Vec<Receiver<Arrival>>,
    /// The input whose turn it is.
    turn: usize,
}

/// Arrivals of one input that wait: one is read while the other is worked on.
const WAITING: usize = 2;

impl Arrivals {
    /// Channels for inputs of these names.
    pub(crate) fn of(names: Vec<Arc<str>>) -> (Vec<Sender<Arrival>>, Arrivals) {
        let (senders, inputs) = names.iter().map(|_| bounded(WAITING)).unzip();
        (senders, Arrivals { names, inputs, turn: 0 })
    }

    /// The name of the input with this number.
    pub(crate) fn name(&self, input: usize) -> &str {
        self.names.get(input).map_or("", |name| &**name)
    }

    /// The numbers of the inputs of which it holds, by their names.
    pub(crate) fn numbers(&self, holds: impl Fn(&str) -> bool) -> Vec<usize> {
        let named = self.names.iter().enumerate();
        named.filter(|(_, name)| holds(name)).map(|(input, _)| input).collect()
    }

    /// The next one and the number of its input: of the input whose turn it is, or of the next that has
    /// any, but of none that is `busy`. `None` if none comes within so long, or an input is found to be
    /// gone.
    pub(crate) fn receive(
        &mut self,
        patience: Duration,
        busy: impl Fn(usize) -> bool,
    ) -> Option<(usize, Arrival)> {
        let count = self.inputs.len();
        let free: Vec<usize> =
            (0..count).map(|n| (self.turn + n) % count).filter(|at| !busy(*at)).collect();
        for at in &free {
            if let Ok(arrival) = self.inputs[*at].try_recv() {
                return Some(self.taken(*at, arrival));
            }
        }
        if patience.is_zero() {
            return None;
        }
        let mut select = Select::new();
        for at in &free {
            select.recv(&self.inputs[*at]);
        }
        let ready = select.select_timeout(patience).ok()?;
        let at = *free.get(ready.index())?;
        match ready.recv(&self.inputs[at]) {
            Ok(arrival) => Some(self.taken(at, arrival)),
            Err(_) => {
                // Its input is gone for good: the others are not kept waiting for its sake.
                self.inputs[at] = never();
                None
            }
        }
    }

    fn taken(&mut self, at: usize, arrival: Arrival) -> (usize, Arrival) {
        self.turn = (at + 1) % self.inputs.len();
        (at, arrival)
    }

    /// Takes all that waits, with the numbers of the inputs.
    pub(crate) fn drain(&self) -> impl Iterator<Item = (usize, Arrival)> {
        let all = self.inputs.iter().enumerate();
        all.flat_map(|(at, input)| input.try_iter().map(move |arrival| (at, arrival)))
    }
}

#[cfg(test)]
mod tests {
    use sluice_ingest::live::Place;

    use super::*;

    fn of(input: &str) -> Arrival {
        Arrival::Idle(Place { input: input.into(), part: "".into() })
    }

    fn name(arrival: Option<(usize, Arrival)>) -> String {
        match arrival {
            Some((_, Arrival::Idle(place))) => place.input.to_string(),
            _ => String::new(),
        }
    }

    fn channels(count: usize) -> (Vec<Sender<Arrival>>, Arrivals) {
        Arrivals::of(vec!["input".into(); count])
    }

    fn nobody(_: usize) -> bool {
        false
    }

    #[test]
    fn an_input_with_a_backlog_has_every_other_turn() {
        let (senders, mut arrivals) = channels(3);
        let [greedy, quiet, _] = &senders[..] else { panic!("{}", senders.len()) };
        let patience = Duration::from_millis(1);
        assert!(arrivals.receive(patience, nobody).is_none());
        let mut taken = Vec::new();
        for _ in 0..4 {
            while greedy.try_send(of("greedy")).is_ok() {}
            quiet.try_send(of("quiet")).unwrap();
            taken.extend((0..2).map(|_| name(arrivals.receive(patience, nobody))));
        }
        assert_eq!(taken, ["greedy", "quiet"].repeat(4));
        assert_eq!(arrivals.drain().count(), WAITING - 1, "what was not taken waits");
        assert!(arrivals.receive(patience, nobody).is_none());
    }

    #[test]
    fn a_busy_input_waits_and_others_do_not() {
        let (senders, mut arrivals) = channels(2);
        senders[0].try_send(of("busy")).unwrap();
        let busy = |input: usize| input == 0;
        for patience in [Duration::ZERO, Duration::from_millis(1)] {
            assert!(arrivals.receive(patience, busy).is_none());
        }
        senders[1].try_send(of("free")).unwrap();
        assert_eq!(name(arrivals.receive(Duration::ZERO, busy)), "free");
        assert_eq!(name(arrivals.receive(Duration::ZERO, nobody)), "busy");
    }

    #[test]
    fn an_input_that_is_gone_keeps_nobody_waiting() {
        let (mut senders, mut arrivals) = channels(3);
        drop(senders.remove(1));
        let patience = Duration::from_millis(500);
        // Found to be gone once, then not looked at again.
        assert!(arrivals.receive(patience, nobody).is_none());
        for input in [0, 1] {
            senders[input].try_send(of("there")).unwrap();
            assert_eq!(name(arrivals.receive(patience, nobody)), "there");
        }
        senders.clear();
        for _ in 0..3 {
            assert!(arrivals.receive(Duration::from_millis(1), nobody).is_none());
        }
    }
}
