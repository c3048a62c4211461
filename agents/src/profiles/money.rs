//! Amounts of money, exactly.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::json;

/// Largest amount of one order, in millionths: a thousand million units.
pub(super) const AMOUNT_MAX_MICROS: i64 = 1_000_000_000 * MICROS;
const MICROS: i64 = 1_000_000;
const TEXT_MAX: usize = 64;

/// Three capital letters (ISO 4217).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Currency(pub [u8; 3]);

impl Currency {
    /// What Segment's specification says of an amount with no currency.
    pub const DEFAULT: Self = Self(*b"USD");

    /// A currency of its code in any case; `None` where it is not three letters.
    pub fn from_code(code: &str) -> Option<Self> {
        let mut letters: [u8; 3] = code.trim().as_bytes().try_into().ok()?;
        letters.make_ascii_uppercase();
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = Box::<str>::deserialize(deserializer)?;
        Self::from_code(&code).ok_or_else(|| de::Error::custom("a currency is three letters"))
    }
}

/// A sum of money in millionths. Wide enough that no order of adding ever overflows on the way.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Micros(pub i128);

impl Micros {
    /// Adds `amount`.
    pub(super) fn add(&mut self, amount: Self) {
        self.0 = self.0.wrapping_add(amount.0);
    }

    /// As a feature's number, held within 64 bits.
    pub fn number(self) -> i64 {
        i64::try_from(self.0).unwrap_or(if self.0 < 0 { i64::MIN } else { i64::MAX })
    }
}

impl fmt::Display for Micros {
    /// A decimal with at least two places and no idle ones after them, e.g. `12.50`, `0.0125`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, rest) = (self.0.unsigned_abs() / MICROS.unsigned_abs() as u128, self.0.unsigned_abs() % 1_000_000);
        let places = format!("{rest:06}");
        let idle = places.len() - places.trim_end_matches('0').len();
        let places = places.get(..places.len() - idle.min(4)).unwrap_or(&places);
        write!(f, "{sign}{whole}.{places}")
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(small) => serializer.serialize_i64(small),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sum;
        impl de::Visitor<'_> for Sum {
            type Value = Micros;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sum in millionths")
            }

            fn visit_i64<E>(self, sum: i64) -> Result<Micros, E> {
                Ok(Micros(sum.into()))
            }

            fn visit_u64<E>(self, sum: u64) -> Result<Micros, E> {
                Ok(Micros(sum.into()))
            }

            fn visit_str<E: de::Error>(self, sum: &str) -> Result<Micros, E> {
                sum.parse().map(Micros).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Sum)
    }
}

/// An amount given as a JSON number or as a string of one, in millionths; `None` where it is neither,
/// not finite, or beyond [`AMOUNT_MAX_MICROS`] either way.
pub(super) fn amount(value: &RawValue) -> Option<i64> {
    let text = json::text_or_number(value)?;
    let micros = parse(text.trim())?;
    (micros.abs() <= AMOUNT_MAX_MICROS).then_some(micros)
}

/// Reads a decimal exactly; places past the sixth are rounded, half away from zero.
fn parse(text: &str) -> Option<i64> {
    if text.len() > TEXT_MAX {
        return None;
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.contains(['e', 'E']) {
        return parse_exponent(text);
    }
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && places.is_empty()) || !all_digits(whole) || !all_digits(places) {
        return None;
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut micros = whole.checked_mul(MICROS)?;
    let mut unit = MICROS / 10;
    for digit in places.bytes().take(6) {
        micros = micros.checked_add(i64::from(digit - b'0') * unit)?;
        unit /= 10;
    }
    if places.as_bytes().get(6).is_some_and(|digit| *digit >= b'5') {
        micros = micros.checked_add(1)?;
    }
    Some(if negative { -micros } else { micros })
}

fn parse_exponent(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok()?;
    let micros = libm::round(number * MICROS as f64);
    (micros.is_finite() && micros.abs() <= AMOUNT_MAX_MICROS as f64).then_some(micros as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Option<i64> {
        amount(serde_json::from_str::<&RawValue>(raw).unwrap())
    }

    #[test]
    fn amounts_are_exact() {
        for (raw, micros) in [
            ("12.34", 12_340_000),
            ("\"12.34\"", 12_340_000),
            ("\" +7 \"", 7_000_000),
            ("-0.1", -100_000),
            ("0.0000005", 1),
            ("0.00000049", 0),
            ("1e3", 1_000_000_000),
            ("2.5E-1", 250_000),
            ("1000000000", AMOUNT_MAX_MICROS),
            ("\".5\"", 500_000),
            ("\"5.\"", 5_000_000),
        ] {
            assert_eq!(read(raw), Some(micros), "{raw}");
        }
    }

    #[test]
    fn what_is_no_amount_is_none() {
        let long = format!("\"{}\"", "9".repeat(200));
        for raw in [
            "1000000000.1",
            "1e400",
            "1e10",
            "\"NaN\"",
            "\"inf\"",
            "\"\"",
            "\".\"",
            "\"-\"",
            "\"1,50\"",
            "true",
            "{}",
            "[1]",
            "\"--1\"",
            "\"1e\"",
            "\"-+1\"",
            "\"0x10\"",
            "\"\\u0000\"",
            long.as_str(),
        ] {
            assert_eq!(read(raw), None, "{raw}");
        }
    }

    #[test]
    fn sums_are_shown_as_decimals() {
        for (micros, shown) in
            [(0, "0.00"), (12_500_000, "12.50"), (-1_234_567, "-1.234567"), (12_500, "0.0125"), (5_000_000, "5.00")]
        {
            assert_eq!(Micros(micros).to_string(), shown);
        }
    }
}
