//! Normal and uniform draws.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A number from 0 up to and without 1, of 53 bits.
pub(super) fn uniform<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// Standard normal draws, two at a time (Box and Muller 1958).
pub(super) struct Normals {
    rng: ChaCha8Rng,
    kept: Option<f64>,
}

impl Normals {
    /// The draws of this number.
    pub(super) fn seeded(number: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(number), kept: None }
    }

    pub(super) fn draw(&mut self) -> f64 {
        if let Some(kept) = self.kept.take() {
            return kept;
        }
        let radius = (-2.0 * libm::log(1.0 - uniform(&mut self.rng))).sqrt();
        let (sin, cos) = libm::sincos(std::f64::consts::TAU * uniform(&mut self.rng));
        self.kept = Some(radius * sin);
        radius * cos
    }
}
