//! Limits of templates and offers, all in one place.

use super::Element;

/// Templates that stand at once.
pub const TEMPLATES_MAX: usize = 500;
/// Offers that stand at once.
pub const OFFERS_MAX: usize = 500;
/// All templates together, in bytes.
pub const CATALOG_BYTES_MAX: usize = 8 << 20;
/// One template with its variants and languages, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 262_144;
/// One text of a template, in bytes.
pub const SOURCE_BYTES_MAX: usize = 131_072;
/// HTML beyond which much read mail readers cut a message off (Gmail: 102 KB), in bytes: a warning, no limit.
pub const HTML_CUT_BYTES: usize = 102_000;
/// Variants of one template.
pub const VARIANTS_MAX: usize = 32;
/// Languages of one template or variant.
pub const LOCALES_MAX: usize = 32;
/// Traits that one template may look at.
pub const TRAITS_MAX: usize = 32;
/// People of one template's test list.
pub const TEST_PEOPLE_MAX: usize = 100;
/// Versions of one template that are listed.
pub const VERSIONS_MAX: usize = 100;
/// Length of an id, in bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Length of a name, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Length of an offer's code, in characters.
pub const CODE_CHARS_MAX: usize = 64;
/// How long an offer may hold, in minutes: ten years.
pub const VALID_MINUTES_MAX: u32 = 5_256_000;
/// The largest amount of an offer, in units of its currency.
pub const AMOUNT_MAX: f64 = 1_000_000.0;
/// Steps one text may take to be rendered: nodes, filters, and one for every 16 bytes that are copied.
pub const FUEL_MAX: u64 = 100_000;
/// Length of one value on its way through the filters, in bytes.
pub const VALUE_BYTES_MAX: usize = 65_536;
/// Length of one list.
pub const LIST_MAX: usize = 5_000;
/// How deep blocks may be nested.
pub const DEPTH_MAX: usize = 32;
/// Length of one tag or output, in bytes.
pub const TAG_BYTES_MAX: usize = 4_096;

/// Length of an element as rendered, in bytes.
pub fn rendered_bytes_max(element: Element) -> usize {
    match element {
        Element::EmailSubject => 500,
        Element::EmailHtml => 262_144,
        Element::EmailText => 65_536,
        Element::SmsText => 1_600,
        Element::PushTitle => 250,
        Element::PushBody => 2_500,
    }
}
