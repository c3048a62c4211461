use std::{collections::VecDeque, sync::Arc};

use parking_lot::RwLock;

use super::entry::{Chunk, Seq};

/// The newest entries, decoded once for all readers; bounded by entries and bytes.
pub(super) struct Tail {
    chunks: RwLock<Chunks>,
    entries_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Chunks {
    queue: VecDeque<(usize, Arc<Chunk>)>,
    entries: usize,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { chunks: RwLock::default(), entries_max, bytes_max }
    }

    pub(super) fn push(&self, newest: impl Iterator<Item = Arc<Chunk>>) {
        let bytes = |chunk: &Chunk| chunk.entries.iter().map(|entry| entry.body.len()).sum();
        let newest: Vec<(usize, _)> = newest.map(|chunk| (bytes(&chunk), chunk)).collect();
        let mut dropped = Vec::new();
        let mut chunks = self.chunks.write();
        for (bytes, chunk) in newest {
            chunks.entries += chunk.entries.len();
            chunks.bytes += bytes;
            chunks.queue.push_back((bytes, chunk));
        }
        while chunks.queue.len() > 1 && (chunks.entries > self.entries_max || chunks.bytes > self.bytes_max) {
            if let Some((bytes, chunk)) = chunks.queue.pop_front() {
                chunks.entries -= chunk.entries.len();
                chunks.bytes -= bytes;
                dropped.push(chunk);
            }
        }
        // Freeing many bodies takes a while: not under the lock.
        drop(chunks);
    }

    /// Lets go of the chunk that holds `seq`.
    pub(super) fn forget(&self, seq: Seq) {
        let mut chunks = self.chunks.write();
        let index = chunks.queue.partition_point(|(_, chunk)| chunk.last() < seq);
        let held = chunks.queue.get(index).is_some_and(|(_, chunk)| chunk.first() <= seq);
        if let Some((bytes, chunk)) = held.then(|| chunks.queue.remove(index)).flatten() {
            chunks.entries -= chunk.entries.len();
            chunks.bytes -= bytes;
        }
    }

    /// The chunk that holds `seq`, if it is still here.
    pub(super) fn get(&self, seq: Seq) -> Option<Arc<Chunk>> {
        let chunks = self.chunks.read();
        let index = chunks.queue.partition_point(|(_, chunk)| chunk.last() < seq);
        let (_, chunk) = chunks.queue.get(index)?;
        (chunk.first() <= seq).then(|| Arc::clone(chunk))
    }
}
