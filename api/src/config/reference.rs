//! The reference: a configuration file with every key at its default, and what it is, may be and is
//! called as a variable.

use std::fmt;

use serde::Serialize;
use toml::{Table, Value};

use super::{
    Config, SECTIONS,
    setting::{Setting, shown},
};

/// The reference of the configuration. Shown, it is a TOML file that says what holds without one.
#[derive(Debug, Serialize)]
pub struct Reference {
    /// The keys, in the order of the file.
    pub settings: Vec<SettingReference>,
}

/// What there is to know of one key.
#[derive(Debug, Serialize)]
pub struct SettingReference {
    /// The key with its section, e.g. `server.listen`.
    pub key: String,
    /// The variable that goes before the file.
    pub variable: String,
    /// What it is.
    pub about: String,
    /// What it may be.
    pub allowed: String,
    /// What it is unless said.
    pub default: Value,
}

/// The reference of this program's configuration.
pub fn reference() -> Reference {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let settings = SECTIONS.iter().flat_map(|section| section.settings);
    let told = settings.map(|setting| SettingReference {
        key: setting.path(),
        variable: setting.variable(),
        about: words(setting.about),
        allowed: setting.allowed(),
        default: default_of(setting, &defaults),
    });
    Reference { settings: told.collect() }
}

fn default_of(setting: &Setting, defaults: &Table) -> Value {
    let table = if setting.section.is_empty() { Some(defaults) } else { section(defaults, setting.section) };
    table.and_then(|table| table.get(setting.key)).cloned().unwrap_or(Value::Boolean(false))
}

fn section<'a>(defaults: &'a Table, name: &str) -> Option<&'a Table> {
    defaults.get(name).and_then(Value::as_table)
}

fn words(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# The configuration of Impresario: every key with its default. None need be given; a key that")?;
        write!(f, "# is not known is refused. A variable goes before the file, a flag before both.")?;
        let mut settings = self.settings.iter();
        for section in SECTIONS {
            writeln!(f)?;
            if !section.name.is_empty() {
                write!(f, "\n# {}\n[{}]", words(section.about), section.name)?;
            }
            for (setting, told) in section.settings.iter().zip(settings.by_ref()) {
                let SettingReference { variable, about, allowed, default, .. } = told;
                write!(f, "\n# {about}\n# Variable {variable}: {allowed}.\n{} = {}", setting.key, shown(default))?;
            }
        }
        Ok(())
    }
}
