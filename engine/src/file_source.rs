//! Files as a source: `ingest` reads and frames them, this gives them to the engine.

use sluice_event::PartitionId;
use sluice_ingest::{FileInput, NextChunk};

use crate::{Delivery, EngineError, Partition, Progress, Source};

/// Files, folders and stdin, each file a partition, read aligned by event time.
#[derive(Debug)]
pub struct FileSource {
    input: FileInput,
    partitions: Vec<Partition>,
}

impl FileSource {
    /// The files of `input`; partition n is its n-th file.
    pub fn new(input: FileInput, partitions: Vec<Partition>) -> Self {
        FileSource { input, partitions }
    }

    /// Bytes read so far and in all, as the files lie there; stdin has no end that is known.
    pub fn bytes(&self) -> (u64, u64) {
        (self.input.bytes_read(), self.input.bytes_total())
    }
}

impl Source for FileSource {
    fn partitions(&self) -> Vec<Partition> {
        self.partitions.clone()
    }

    fn next(&mut self, progress: &Progress) -> Result<Option<Delivery>, EngineError> {
        let seen = |p: PartitionId| progress.seen(p);
        let next = self.input.next_chunk(&seen).map_err(|source| EngineError::Input {
            input: "files".to_owned(),
            source: Box::new(source),
        })?;
        Ok(next.map(|next| match next {
            NextChunk::Chunk(chunk) => Delivery::Records(chunk),
            NextChunk::End(partition) => Delivery::End(partition),
        }))
    }
}
