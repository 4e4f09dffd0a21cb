//! What waits between inputs and the engine: a channel for each input, taken in turn. An input with
//! much to read has its turn as often as one with little, so that its backlog waits where it is
//! stored and not in front of others. Not an input, nor what becomes of an arrival.

use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, bounded};
use sluice_ingest::live::Arrival;

/// The ends of the channels that are read.
#[derive(Clone)]
pub(crate) struct Arrivals {
    inputs: Vec<Receiver<Arrival>>,
    /// The input whose turn it is.
    turn: usize,
}

/// Arrivals of one input that wait: one is read while the other is worked on.
const WAITING: usize = 2;

impl Arrivals {
    /// Channels for so many inputs.
    pub(crate) fn of(inputs: usize) -> (Vec<Sender<Arrival>>, Arrivals) {
        let (senders, inputs) = (0..inputs).map(|_| bounded(WAITING)).unzip();
        (senders, Arrivals { inputs, turn: 0 })
    }

    /// The next one: of the input whose turn it is, or of the next that has any. `None` if none comes
    /// within so long, or an input is found to be gone.
    pub(crate) fn receive(&mut self, patience: Duration) -> Option<Arrival> {
        let count = self.inputs.len();
        for at in (0..count).map(|n| (self.turn + n) % count) {
            if let Some(arrival) = self.inputs.get(at).and_then(|input| input.try_recv().ok()) {
                self.turn = (at + 1) % count;
                return Some(arrival);
            }
        }
        let mut select = Select::new();
        for input in &self.inputs {
            select.recv(input);
        }
        let ready = select.select_timeout(patience).ok()?;
        let at = ready.index();
        let arrival = self.inputs.get(at).and_then(|input| ready.recv(input).ok());
        if arrival.is_some() {
            self.turn = (at + 1) % count;
        } else {
            // Its input is gone for good: the others are not kept waiting for its sake.
            self.inputs.remove(at);
            self.turn = 0;
        }
        arrival
    }

    /// Takes all that waits.
    pub(crate) fn drain(&self) -> impl Iterator<Item = Arrival> {
        self.inputs.iter().flat_map(Receiver::try_iter)
    }
}

#[cfg(test)]
mod tests {
    use sluice_ingest::live::Place;

    use super::*;

    fn of(input: &str) -> Arrival {
        Arrival::Idle(Place { input: input.into(), part: "".into() })
    }

    fn name(arrival: Option<Arrival>) -> String {
        match arrival {
            Some(Arrival::Idle(place)) => place.input.to_string(),
            _ => String::new(),
        }
    }

    #[test]
    fn an_input_with_a_backlog_has_every_other_turn() {
        let (senders, mut arrivals) = Arrivals::of(3);
        let [greedy, quiet, _] = &senders[..] else { panic!("{}", senders.len()) };
        let patience = Duration::from_millis(1);
        assert!(arrivals.receive(patience).is_none());
        let mut taken = Vec::new();
        for _ in 0..4 {
            while greedy.try_send(of("greedy")).is_ok() {}
            quiet.try_send(of("quiet")).unwrap();
            taken.extend((0..2).map(|_| name(arrivals.receive(patience))));
        }
        assert_eq!(taken, ["greedy", "quiet"].repeat(4));
        assert_eq!(arrivals.drain().count(), WAITING - 1, "what was not taken waits");
        assert!(arrivals.receive(patience).is_none());
    }

    #[test]
    fn an_input_that_is_gone_keeps_nobody_waiting() {
        let (mut senders, mut arrivals) = Arrivals::of(3);
        drop(senders.remove(1));
        let patience = Duration::from_millis(1);
        // Found to be gone once, then not looked at again.
        assert!(arrivals.receive(patience).is_none());
        assert_eq!(arrivals.inputs.len(), 2);
        for input in [0, 1] {
            senders[input].try_send(of("there")).unwrap();
            assert_eq!(name(arrivals.receive(patience)), "there");
        }
        senders.clear();
        while !arrivals.inputs.is_empty() {
            assert!(arrivals.receive(patience).is_none());
        }
        assert!(arrivals.receive(patience).is_none());
    }
}
