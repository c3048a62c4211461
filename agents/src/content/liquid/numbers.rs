//! Numbers: whole ones stay whole.

use std::cmp::Ordering;

use liquid_core::Value;
use serde_json::Value as Json;

use super::values::{Kind, kind};

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(i64),
    Fraction(f64),
}

/// The number of a value: a number's own, or that which a text says.
pub(super) fn of(value: &Value) -> Option<Number> {
    match kind(value) {
        Kind::Number(number) => Some(number),
        Kind::Text(text) => {
            let text = text.trim();
            let plain =
                text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
            if !plain || text.len() > 40 {
                return None;
            }
            let whole = text.parse().ok().map(Number::Whole);
            whole.or_else(|| text.parse().ok().filter(|number: &f64| number.is_finite()).map(Number::Fraction))
        }
        _ => None,
    }
}

/// A whole number.
pub(super) fn whole(value: &Value) -> Option<i64> {
    match of(value)? {
        Number::Whole(number) => Some(number),
        // A number with a fraction that is too large stays at the edge.
        Number::Fraction(number) => Some(number as i64),
    }
}

impl Number {
    pub(super) fn float(self) -> f64 {
        match self {
            Self::Whole(number) => number as f64,
            Self::Fraction(number) => number,
        }
    }

    pub(super) fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => Some(one.cmp(&other)),
            _ => self.float().partial_cmp(&other.float()),
        }
    }

    /// As people write it: no noise of binary fractions, no needless noughts.
    pub(super) fn text(self) -> String {
        match self {
            Self::Whole(number) => number.to_string(),
            Self::Fraction(number) if number.abs() < 1e15 => {
                let text = format!("{number:.10}");
                let text = text.trim_end_matches('0').trim_end_matches('.');
                if text == "-0" { "0".to_owned() } else { text.to_owned() }
            }
            Self::Fraction(number) => number.to_string(),
        }
    }

    pub(super) fn value(self) -> Value {
        match self {
            Self::Whole(number) => Value::scalar(number),
            // What is no number is nothing.
            Self::Fraction(number) if number.is_finite() => Value::scalar(number),
            Self::Fraction(_) => Value::Nil,
        }
    }

    pub(super) fn json(self) -> Json {
        match self {
            Self::Whole(number) => number.into(),
            Self::Fraction(number) => serde_json::Number::from_f64(number).map_or(Json::Null, Json::Number),
        }
    }

    fn join(self, other: Self, whole: fn(i64, i64) -> Option<i64>, float: fn(f64, f64) -> f64) -> Self {
        if let (Self::Whole(one), Self::Whole(other)) = (self, other)
            && let Some(number) = whole(one, other)
        {
            return Self::Whole(number);
        }
        Self::Fraction(float(self.float(), other.float()))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.join(other, i64::checked_add, |one, other| one + other)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.join(other, i64::checked_sub, |one, other| one - other)
    }

    pub(super) fn times(self, other: Self) -> Self {
        self.join(other, i64::checked_mul, |one, other| one * other)
    }

    /// None where the other is nought.
    pub(super) fn divided_by(self, other: Self) -> Option<Self> {
        if other.float() == 0.0 {
            return None;
        }
        Some(self.join(other, floor_div, |one, other| one / other))
    }

    /// None where the other is nought.
    pub(super) fn modulo(self, other: Self) -> Option<Self> {
        if other.float() == 0.0 {
            return None;
        }
        let whole = |one: i64, other: i64| Some(one - floor_div(one, other)?.checked_mul(other)?);
        Some(self.join(other, whole, |one, other| one - other * (one / other).floor()))
    }

    /// To so many digits after the point.
    pub(super) fn round(self, digits: i64) -> Self {
        match self {
            Self::Whole(_) => self,
            Self::Fraction(number) if digits <= 0 => whole_of(number.round()),
            Self::Fraction(number) => {
                let scale = 10f64.powi(digits.min(10) as i32);
                // A half that is none in binary (1.005) goes the way people expect.
                Self::Fraction((number * scale * (1.0 + f64::EPSILON)).round() / scale)
            }
        }
    }

    pub(super) fn ceil(self) -> Self {
        if let Self::Fraction(number) = self { whole_of(number.ceil()) } else { self }
    }

    pub(super) fn floor(self) -> Self {
        if let Self::Fraction(number) = self { whole_of(number.floor()) } else { self }
    }

    pub(super) fn abs(self) -> Self {
        match self {
            Self::Whole(number) => number.checked_abs().map_or(Self::Fraction(self.float().abs()), Self::Whole),
            Self::Fraction(number) => Self::Fraction(number.abs()),
        }
    }
}

fn whole_of(number: f64) -> Number {
    if number.abs() < 9e18 { Number::Whole(number as i64) } else { Number::Fraction(number) }
}

fn floor_div(one: i64, other: i64) -> Option<i64> {
    let quotient = one.checked_div(other)?;
    let remainder = one.checked_rem(other)?;
    if remainder != 0 && (remainder < 0) != (other < 0) { quotient.checked_sub(1) } else { Some(quotient) }
}
