//! Where the state of a baseline is in a checkpoint, for those who read it there. Not what is in it, which
//! is the model's.

use sluice_event::Encoder;

use super::Evidence;
use crate::{StateEntry, StreamPlan, cells::Cell, exchange::vnode, shard::operator, state::Reader};

/// Where the entries of a baseline are in a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct BaselineEntries {
    vnode: u16,
    operator: u64,
}

impl BaselineEntries {
    /// Of a baseline's plan, with the secret of the node.
    pub fn of(plan: &StreamPlan, secret: &[u8; 16]) -> BaselineEntries {
        BaselineEntries { vnode: vnode(secret, &owner(plan)), operator: operator(plan) }
    }

    /// The key there of an entry of the model. Entries of the model that begin with the same bytes begin
    /// with the same bytes there.
    pub fn key(&self, key: &[u8]) -> Vec<u8> {
        StateEntry::new(self.vnode, self.operator, key, None).key
    }

    /// The key of the model that a key there stands for.
    pub fn model_key<'a>(&self, stored: &'a [u8]) -> Option<&'a [u8]> {
        stored.strip_prefix(self.key(&[]).as_slice())
    }

    /// Whether a key there is one of the model, or of the time that it has come to: what another node can
    /// go on from. The events that show an anomaly stay with the node that read them.
    pub fn carries(&self, stored: &[u8]) -> bool {
        let shared = StateEntry::new(StateEntry::SHARED, self.operator, &[], None).key;
        let model = self.model_key(stored);
        stored.starts_with(&shared) || model.is_some_and(|key| key.first() != Some(&Evidence::TAG))
    }

    /// The value of the model in a value there; `None` if it cannot be read.
    pub fn value(stored: &[u8]) -> Option<Vec<u8>> {
        Reader::new(stored).and_then(|mut r| r.bytes().map(<[u8]>::to_vec)).ok()
    }
}

/// The key that decides which shard a baseline is on.
pub(super) fn owner(plan: &StreamPlan) -> Vec<u8> {
    let mut owner = Encoder::default();
    Cell::Text(&plan.rule).encode(&mut owner);
    owner.into_bytes()
}
