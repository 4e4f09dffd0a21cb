//! How many connections there are, in all and of each address. One too many takes the place of the
//! one that is idle for longest: idle connections keep nobody out.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    state: Mutex<OpenConnections>,
    most: usize,
    per_address: usize,
}

#[derive(Debug, Default)]
struct OpenConnections {
    /// By number: the lowest was opened first.
    open: BTreeMap<u64, Entry>,
    by_address: BTreeMap<IpAddr, usize>,
    next: u64,
}

#[derive(Debug)]
struct Entry {
    /// `None` for a trusted proxy: its connections are those of its clients.
    address: Option<IpAddr>,
    signs: Arc<Signs>,
}

/// What a connection and the list of connections tell each other.
#[derive(Debug, Default)]
pub(super) struct Signs {
    /// Requests in flight.
    requests: AtomicUsize,
    /// The number of the last request that ended, for the order of idleness.
    close: Notify,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(super) struct Connection {
    connections: Arc<Connections>,
    number: u64,
    signs: Arc<Signs>,
}

/// A request in flight on a connection, until dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Signs>);

impl Connections {
    /// At most so many.
    pub(super) fn new(most: usize, per_address: usize) -> Self {
        Connections { state: Mutex::default(), most, per_address }
    }

    /// One more, if there is room or an idle one gives way.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Connection> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = address.and_then(|a| state.by_address.get(&a).copied()).unwrap_or(0);
        if address.is_some() && own >= self.per_address {
            state.evict(|entry| entry.address == address)?;
        } else if state.open.len() >= self.most {
            // Of the address that has most: whoever opens many gives way first.
            let most = state.by_address.iter().max_by_key(|(_, count)| **count).map(|(a, _)| *a);
            state.evict(|entry| entry.address == most).or_else(|| state.evict(|_| true))?;
        }
        let number = state.next;
        state.next += 1;
        let signs = Arc::<Signs>::default();
        state.open.insert(number, Entry { address, signs: signs.clone() });
        if let Some(address) = address {
            *state.by_address.entry(address).or_default() += 1;
        }
        Some(Connection { connections: self.clone(), number, signs })
    }
}

impl OpenConnections {
    /// Closes the oldest idle connection of those that fit; `None` if none is idle.
    fn evict(&mut self, fits: impl Fn(&Entry) -> bool) -> Option<()> {
        let idle = |entry: &Entry| entry.signs.requests.load(Ordering::Relaxed) == 0;
        let number =
            self.open.iter().find(|(_, e)| fits(e) && idle(e)).map(|(number, _)| *number)?;
        let entry = self.remove(number)?;
        entry.signs.close.notify_one();
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.open.remove(&number)?;
        if let Some(address) = entry.address
            && let Some(count) = self.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
        Some(entry)
    }
}

impl Connection {
    /// Waits until the connection is to give way to another.
    pub(super) async fn evicted(&self) {
        self.signs.close.notified().await;
    }

    /// What marks requests of this connection.
    pub(super) fn signs(&self) -> Arc<Signs> {
        self.signs.clone()
    }
}

impl Signs {
    /// Marks a request in flight.
    pub(super) fn request(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut state = self.connections.state.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was evicted is out of the list already.
        state.remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_idle_connection_gives_way_and_a_busy_one_does_not() {
        let connections = Arc::new(Connections::new(3, 2));
        let [a, b] = [Some(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 2]))];
        let first = connections.enter(a).unwrap();
        let second = connections.enter(a).unwrap();
        let busy = first.signs().request();
        let _third = connections.enter(a).unwrap();
        second.evicted().await;
        drop(second);
        let _other = connections.enter(b).unwrap();
        drop(busy);
        let _last = connections.enter(b).unwrap();
        first.evicted().await;
        assert_eq!(connections.state.lock().unwrap().open.len(), 3);
        let held: Vec<_> = [&_third, &_other, &_last].map(|c| c.signs().request()).into();
        assert!(connections.enter(a).is_none() && connections.enter(None).is_none());
        drop(held);
        assert!(connections.enter(None).is_some());
    }
}
