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

/// A standard normal draw.
pub(super) fn standard_normal<R: Rng + ?Sized>(rng: &mut R) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - uniform(rng))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(rng))
}

/// A draw of the gamma distribution with this shape and scale 1 (Marsaglia & Tsang 2000).
pub(super) fn gamma<R: Rng + ?Sized>(shape: f64, rng: &mut R) -> f64 {
    if shape < 1.0 {
        let drawn = gamma(shape + 1.0, rng);
        return drawn * libm::pow(1.0 - uniform(rng), 1.0 / shape.max(1e-9));
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = standard_normal(rng);
        let cube = 1.0 + c * normal;
        if cube <= 0.0 {
            continue;
        }
        let v = cube * cube * cube;
        if libm::log(1.0 - uniform(rng)) < 0.5 * normal * normal + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}
