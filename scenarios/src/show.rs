//! How things are shown to people.

use jiff::Zoned;

/// An instant as a person reads it, with the zone's abbreviation.
pub(crate) fn show(instant: &Zoned) -> String {
    let whole = instant.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let millis = instant.millisecond();
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    format!("{whole}{fraction} {}", instant.strftime("%Z"))
}
