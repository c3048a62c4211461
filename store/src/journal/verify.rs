use super::{
    block::{self, ChainHash},
    entry::Seq,
    keys,
    shared::Journal,
};
use crate::StoreError;

const BLOCKS_PER_PAGE: usize = 256;

/// One place where the journal is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    /// The first entry of the block.
    pub first_seq: Seq,
    /// What is wrong with it.
    pub what: String,
}

/// What a check of the whole journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct VerifyReport {
    /// Blocks read.
    pub blocks: u64,
    /// Entries read.
    pub entries: u64,
    /// Entries whose body is erased.
    pub erased: u64,
    /// Entries forgotten by age. Of a block with such entries the chain's hash is taken as it stands.
    pub forgotten: u64,
    /// The chain's last hash, in hexadecimal.
    pub head_hash: String,
    /// What is wrong, by place; empty for a whole journal.
    pub damage: Vec<Damage>,
}

impl Journal {
    /// Reads every block, and checks places, instants and the hash chain.
    ///
    /// `progress` is told the last entry read after every page.
    ///
    /// # Errors
    /// Only what keeps it from reading on; damage is in the report.
    pub fn verify(&self, mut progress: impl FnMut(Seq)) -> Result<VerifyReport, StoreError> {
        self.write_held()?;
        let mut report = VerifyReport::default();
        let mut chain = ChainHash::default();
        let mut expected: Seq = 1;
        let mut last_at = i64::MIN;
        let (space, end) = keys::space(keys::BLOCK);
        let mut from = space.to_vec();
        loop {
            let rows = self.engine.scan(&from, Some(&end), BLOCKS_PER_PAGE)?;
            for (key, value) in &rows {
                let place = keys::seq_from(key).unwrap_or_default();
                let mut wrong = |what: String| report.damage.push(Damage { first_seq: place, what });
                report.blocks += 1;
                if place != expected {
                    wrong(format!("entries {expected} to {} are missing", place.saturating_sub(1)));
                }
                let block = match block::decode(value, self.limits.block_raw_bytes_max) {
                    Ok(block) => block,
                    Err(error) => {
                        wrong(error.to_string());
                        expected = self.next_place(place)?;
                        // The chain goes on from what the next block's neighbour claims.
                        chain = block::claimed_chain(value).unwrap_or_default();
                        continue;
                    }
                };
                if block.chunk.first() != place {
                    wrong(format!("it says it begins with entry {}", block.chunk.first()));
                }
                // A block that was thinned answers for what is left of it by a hash of its own, looked at above.
                if !block.thinned && block::chain_after(&chain, &block.chunk.entries) != block.chain {
                    wrong("the hash chain does not hold: an entry was changed, or the block before it".into());
                }
                if block.chunk.entries.first().is_some_and(|entry| entry.at_ms < last_at) {
                    wrong("time goes back".into());
                }
                report.entries += block.chunk.entries.len() as u64;
                for entry in block.chunk.entries.iter().filter(|entry| entry.erased.is_some()) {
                    *(if entry.is_forgotten() { &mut report.forgotten } else { &mut report.erased }) += 1;
                }
                last_at = block.chunk.entries.last().map_or(last_at, |entry| entry.at_ms);
                expected = place + block.chunk.entries.len() as u64;
                chain = block.chain;
            }
            progress(expected.saturating_sub(1));
            match rows.last() {
                Some((key, _)) if rows.len() == BLOCKS_PER_PAGE => {
                    from = key.to_vec();
                    from.push(0);
                }
                _ => break,
            }
        }
        if expected != self.head() + 1 {
            let what = format!("entries {expected} to {} are missing at the end", self.head());
            report.damage.push(Damage { first_seq: expected, what });
        }
        report.head_hash = chain.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(report)
    }

    /// The place of the block after the one at `place`.
    fn next_place(&self, place: Seq) -> Result<Seq, StoreError> {
        let (_, end) = keys::space(keys::BLOCK);
        let next = self.engine.scan(&keys::block(place + 1), Some(&end), 1)?;
        Ok(next.first().and_then(|(key, _)| keys::seq_from(key)).unwrap_or(self.head() + 1))
    }
}
