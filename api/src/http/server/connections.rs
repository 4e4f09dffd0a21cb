//! How many connections there are, in all and of each address.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The count.
#[derive(Debug)]
pub(super) struct Connections {
    open: Mutex<BTreeMap<IpAddr, usize>>,
    most: usize,
    per_address: usize,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    address: IpAddr,
}

impl Connections {
    /// At most so many.
    pub(super) fn new(most: usize, per_address: usize) -> Self {
        Connections { open: Mutex::default(), most, per_address }
    }

    /// A place for one more, if there is room.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let of_address = open.get(&address).copied().unwrap_or(0);
        if all >= self.most || of_address >= self.per_address {
            return None;
        }
        open.insert(address, of_address + 1);
        Some(Place { connections: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
