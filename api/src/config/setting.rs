//! What each key of the configuration is and may be, in one place: structs, defaults, checks,
//! variables and the reference all come of it.

use toml::Value;

/// The beginning of every variable.
pub(super) const PREFIX: &str = "IMPRESARIO_";

/// One key of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Setting {
    /// The section it is in; empty for none.
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// What it is, line by line.
    pub(super) about: &'static [&'static str],
    pub(super) allowed: Allowed,
}

/// What a key may be.
#[derive(Clone, Copy)]
pub(super) enum Allowed {
    /// A whole number of this range.
    Number { min: i64, max: i64 },
    /// A whole number of this range, or one that means something else.
    NumberOr { other: i64, min: i64, max: i64 },
    /// A text that fits, and how such a text is told of.
    Text { fits: fn(&str) -> bool, what: &'static str },
}

impl Setting {
    /// `server.listen`.
    pub(super) fn path(&self) -> String {
        if self.section.is_empty() { self.key.to_owned() } else { format!("{}.{}", self.section, self.key) }
    }

    /// `IMPRESARIO_SERVER_LISTEN`.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.path().replace('.', "_").to_uppercase())
    }

    /// What it may be, in words.
    pub(super) fn allowed(&self) -> String {
        match self.allowed {
            Allowed::Number { min, max } => format!("a whole number from {min} to {max}"),
            Allowed::NumberOr { other, min, max } => format!("{other}, or a whole number from {min} to {max}"),
            Allowed::Text { what, .. } => what.to_owned(),
        }
    }

    /// What is wrong with a value of it, if anything: the value, and what is allowed.
    pub(super) fn wrong(&self, value: &Value) -> Option<String> {
        let fits = match (self.allowed, value) {
            (Allowed::Number { min, max }, Value::Integer(number)) => (min..=max).contains(number),
            (Allowed::NumberOr { other, min, max }, Value::Integer(number)) => {
                *number == other || (min..=max).contains(number)
            }
            (Allowed::Text { fits, .. }, Value::String(text)) => fits(text),
            _ => false,
        };
        (!fits).then(|| format!("{} is not {}", shown(value), self.allowed()))
    }

    /// What a variable's text says, if it is of the right kind.
    pub(super) fn read(&self, text: &str) -> Value {
        match (self.allowed, text.trim().parse()) {
            (Allowed::Number { .. } | Allowed::NumberOr { .. }, Ok(number)) => Value::Integer(number),
            _ => Value::String(text.to_owned()),
        }
    }
}

/// A value as the file writes it; of lists and tables, what they are.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        other => format!("a value of type {}", other.type_str()),
    }
}

/// A whole number of this range.
pub(super) const fn number(min: i64, max: i64) -> Allowed {
    Allowed::Number { min, max }
}

/// Makes a section's struct out of its keys, each with its type, its default and what it may be.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $section:literal $name:ident {
            $($(#[doc = $doc:literal])* $key:ident: $kind:ty = $default:expr, $allowed:expr;)*
        }
        $(skipped { $(#[doc = $skipped_doc:literal])* $skipped:ident: $skipped_kind:ty; })?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[doc = $doc])* pub $key: $kind,)*
            $($(#[doc = $skipped_doc])* #[serde(skip)] pub $skipped: $skipped_kind,)?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* $($skipped: <$skipped_kind>::default(),)? }
            }
        }

        impl $name {
            const ABOUT: &[&str] = &[$($about),*];
            const SETTINGS: &[Setting] = &[$(Setting {
                section: $section,
                key: stringify!($key),
                about: &[$($doc),*],
                allowed: $allowed,
            }),*];
        }
    };
}

pub(super) use section;
