//! The thread that writes: takes what waits, writes it, fsyncs once, answers. While one fsync runs
//! the next requests gather, so a slow disk gets larger writes, and a quiet one answers at once.

use std::{
    fs::File,
    io::{self, Write},
    sync::Arc,
};

use crossbeam_channel::Receiver;

use super::{Done, Shared, SpoolError, segment, segment::Segment};

/// Records of one append as they lie on disk.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) done: Done,
}

pub(super) struct SpoolWriter {
    shared: Arc<Shared>,
    file: File,
    active: Segment,
    segment_bytes: u64,
}

/// No more is written before an fsync.
const GROUP_BYTES: usize = 1 << 20;

impl SpoolWriter {
    pub(super) fn new(
        shared: Arc<Shared>,
        file: File,
        active: Segment,
        segment_bytes: u64,
    ) -> Self {
        SpoolWriter { shared, file, active, segment_bytes }
    }

    /// Until the spool is dropped.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        while let Ok(first) = batches.recv() {
            let mut bytes = first.bytes.len();
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(next) = batches.try_recv()
            {
                bytes += next.bytes.len();
                group.push(next);
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Batch>) {
        let bytes: u64 = group.iter().map(|b| b.bytes.len() as u64).sum();
        let result = self.store(&group);
        {
            let mut state = self.shared.lock();
            state.pending -= bytes;
            if result.is_ok() {
                self.active.end += bytes;
                state.end = self.active.end;
                if let Some(last) = state.segments.last_mut() {
                    *last = self.active;
                }
            }
        }
        self.shared.changed.notify_all();
        for batch in group {
            (batch.done)(result.clone());
        }
        if result.is_ok() && self.active.end - self.active.first >= self.segment_bytes {
            self.roll();
        }
    }

    fn store(&mut self, group: &[Batch]) -> Result<(), SpoolError> {
        if let Some(failed) = &self.shared.lock().failed {
            return Err(SpoolError::Failed(failed.clone()));
        }
        let mut write = || group.iter().try_for_each(|batch| self.file.write_all(&batch.bytes));
        if let Err(e) = write() {
            // Not yet promised: taken back, the spool is as before.
            let taken_back = self.file.set_len(self.active.end - self.active.first);
            return Err(match (taken_back, e.kind()) {
                (Ok(()), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                    SpoolError::DiskFull
                }
                _ => self.fail(&format!("write: {e}")),
            });
        }
        // After a failed fsync the system may have dropped the pages: a second one that succeeds
        // would say nothing.
        self.file.sync_data().map_err(|e| self.fail(&format!("fsync: {e}")))
    }

    /// Begins the next segment.
    fn roll(&mut self) {
        let next = Segment { first: self.active.end, end: self.active.end };
        match segment::create(&next.path(&self.shared.dir), true) {
            Ok(file) => {
                self.file = file;
                self.active = next;
                self.shared.lock().segments.push(next);
            }
            // The old one goes on growing; tried again after the next write.
            Err(e) => tracing::warn!(error = %e, "no next segment"),
        }
    }

    fn fail(&self, why: &str) -> SpoolError {
        self.shared.fail(why);
        SpoolError::Failed(why.to_owned())
    }
}
