//! Exact decimal numbers of cells: money is never a float.

use std::fmt;

/// `units / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    units: i128,
    scale: u32,
}

const DIGITS_MAX: usize = 18;

impl Decimal {
    /// The number a cell holds: digits with at most one decimal mark and a sign; with
    /// `decimal_comma`, `1.234,50`. `None` for anything else, and for more than 18 digits.
    pub fn parse(cell: &str, decimal_comma: bool) -> Option<Self> {
        let (mark, grouping) = if decimal_comma { (b',', b'.') } else { (b'.', b',') };
        let (negative, digits) = match cell.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        let (mut units, mut scale, mut count, mut marked) = (0_i128, 0, 0, false);
        let mut group: Option<usize> = None;
        for byte in digits {
            if byte.is_ascii_digit() {
                if count == DIGITS_MAX {
                    return None;
                }
                units = units * 10 + i128::from(byte - b'0');
                count += 1;
                scale += u32::from(marked);
                group = group.map(|length| length + 1);
            } else if *byte == mark && !marked && group.is_none_or(|length| length == 3) {
                marked = true;
                group = None;
            } else if *byte == grouping && !marked && count > 0 && group.is_none_or(|length| length == 3) {
                group = Some(0);
            } else {
                return None;
            }
        }
        let whole = count > 0 && group.is_none_or(|length| length == 3);
        whole.then_some(Self { units: if negative { -units } else { units }, scale })
    }

    /// The product; `None` where it has more than 36 digits.
    pub fn times(self, other: Self) -> Option<Self> {
        Some(Self { units: self.units.checked_mul(other.units)?, scale: self.scale + other.scale })
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.units < 0
    }

    /// Without its sign.
    #[must_use]
    pub fn abs(self) -> Self {
        Self { units: self.units.abs(), ..self }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut units, mut scale) = (self.units, self.scale);
        while scale > 0 && units % 10 == 0 {
            units /= 10;
            scale -= 1;
        }
        let sign = if units < 0 { "-" } else { "" };
        let divisor = 10_u128.pow(scale);
        let (whole, part) = (units.unsigned_abs() / divisor, units.unsigned_abs() % divisor);
        if scale == 0 {
            return write!(f, "{sign}{whole}");
        }
        write!(f, "{sign}{whole}.{part:0width$}", width = scale as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cell: &str, decimal_comma: bool, expect: Option<&str>) {
        let found = Decimal::parse(cell, decimal_comma).map(|number| number.to_string());
        assert_eq!(found.as_deref(), expect, "{cell}");
    }

    #[test]
    fn cells_become_numbers() {
        check("11.77", false, Some("11.77"));
        check("-0.05", false, Some("-0.05"));
        check("+5", false, Some("5"));
        check("007", false, Some("7"));
        check(".5", false, Some("0.5"));
        check("5.", false, Some("5"));
        check("12.00", false, Some("12"));
        check("-0", false, Some("0"));
        check("1,234.50", false, Some("1234.5"));
        check("1.234,50", true, Some("1234.5"));
        check("12,5", true, Some("12.5"));
        for wrong in
            ["", "-", ".", "1e5", "1.2.3", "12,5", "1,23,4", ",123", "1 2", "NaN", "0x1f", "1234567890123456789"]
        {
            check(wrong, false, None);
        }
        check("123456789012345678", false, Some("123456789012345678"));
        check(&"9".repeat(80), false, None);
    }

    #[test]
    fn products_are_exact() {
        let times = |a, b| {
            let (a, b) = (Decimal::parse(a, false).expect("a number"), Decimal::parse(b, false).expect("a number"));
            a.times(b).expect("a small product").to_string()
        };
        assert_eq!(times("6", "2.55"), "15.3");
        assert_eq!(times("-3", "0.10"), "-0.3");
        assert_eq!(times("1.1", "1.1"), "1.21");
    }
}
