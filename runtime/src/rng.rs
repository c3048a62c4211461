//! Chance: one ChaCha8 stream per (run seed, agent, key, entry), so that it replays.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

/// The seed of a directory or a scenario run.
pub type RunSeed = [u8; 32];

/// The stream for one entry in one agent's handling of one key.
pub fn stream(seed: &RunSeed, agent: &str, key: &[u8], seq: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_keyed(seed);
    hasher.update(&(agent.len() as u64).to_le_bytes());
    hasher.update(agent.as_bytes());
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(&seq.to_le_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}
