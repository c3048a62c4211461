//! Whether a template or an offer may stand: shape, limits, and that every text can be compiled.

use jiff::tz::TimeZone;
use serde_json::Map;

use super::{Element, Offer, Template, Variant, limits, liquid::Program, scope};
use crate::vocabulary::{Channel, ProfileId};

/// Why a template or an offer can't stand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// A field is wrong.
    #[error("`{field}`: {what}")]
    Field {
        /// Its path, e.g. `variants.short.email.subject`.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// A text is no Liquid that is understood.
    #[error("`{field}`, line {line}, column {column}: {what}")]
    Source {
        /// Its path.
        field: String,
        /// In which line of it, from 1.
        line: u32,
        /// At which character of the line, from 1.
        column: u32,
        /// What is wrong there.
        what: String,
    },
    /// There are too many already.
    #[error("{0}")]
    TooMany(String),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
}

/// Something that may stand, and may not be what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The path of the text.
    pub field: String,
    /// In which line of it, from 1; 0 where it is about all of it.
    pub line: u32,
    /// At which character of the line, from 1.
    pub column: u32,
    /// What was seen.
    pub what: String,
}

fn wrong<T>(field: impl Into<String>, what: impl Into<String>) -> Result<T, ContentError> {
    Err(ContentError::Field { field: field.into(), what: what.into() })
}

/// Whether a text is an id.
pub(super) fn check_id(field: &str, id: &str) -> Result<(), ContentError> {
    let may_be = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if (1..=limits::ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(may_be) {
        return Ok(());
    }
    wrong(field, "1 to 64 lowercase letters, digits, `-` and `_`")
}

fn check_name(name: &str) -> Result<(), ContentError> {
    let chars = name.chars().take(limits::NAME_CHARS_MAX + 1).count();
    if name.trim().is_empty() || chars > limits::NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return wrong("name", "1 to 200 characters, on one line");
    }
    Ok(())
}

/// Bytes of all its texts.
pub(super) fn template_bytes(template: &Template) -> usize {
    texts(template).map(|(_, _, source)| source.len()).sum()
}

/// All texts of a template, each with its path but for the element's, and the element.
fn texts(template: &Template) -> impl Iterator<Item = (String, Element, &str)> {
    let own = Element::ALL.into_iter().filter_map(|element| Some((String::new(), element, template.text(element)?)));
    let locales = template.locales.iter().flat_map(|(locale, parts)| {
        let text = move |element| Some((format!("locales.{locale}."), element, parts.get(element)?));
        Element::ALL.into_iter().filter_map(text)
    });
    let variants = template.variants.iter().flat_map(|(name, variant)| {
        let own = move |element| Some((format!("variants.{name}."), element, variant.text(element)?));
        let locales = variant.locales.iter().flat_map(move |(locale, parts)| {
            let text =
                move |element| Some((format!("variants.{name}.locales.{locale}."), element, parts.get(element)?));
            Element::ALL.into_iter().filter_map(text)
        });
        Element::ALL.into_iter().filter_map(own).chain(locales)
    });
    own.chain(locales).chain(variants)
}

/// Compiles one text.
pub(super) fn compile(source: &str, element: Element, path: &str) -> Result<Program, ContentError> {
    let field = || format!("{path}{}", element.path());
    if source.len() > limits::SOURCE_BYTES_MAX {
        return wrong(field(), format!("at most {} bytes", limits::SOURCE_BYTES_MAX));
    }
    if element.is_line() && source.trim().contains(['\r', '\n']) {
        return wrong(field(), "one line");
    }
    Program::parse(source, element == Element::EmailHtml).map_err(|fault| ContentError::Source {
        field: field(),
        line: fault.line,
        column: fault.column,
        what: fault.what,
    })
}

/// Checks a template; what may not be what was meant.
///
/// # Errors
/// What is wrong, in which part, and where in it.
pub fn check_template(template: &Template) -> Result<Vec<Warning>, ContentError> {
    check_name(&template.name)?;
    if let Some(topic) = &template.topic
        && (topic.is_empty() || topic.len() > limits::ID_BYTES_MAX || topic.chars().any(char::is_control))
    {
        return wrong("topic", "1 to 64 bytes, on one line");
    }
    if template.test_people.len() > limits::TEST_PEOPLE_MAX {
        return wrong("test_people", format!("at most {}", limits::TEST_PEOPLE_MAX));
    }
    if let Some(place) = template.test_people.iter().position(|text| text.parse::<ProfileId>().is_err()) {
        return wrong(format!("test_people[{place}]"), "a profile's id is `p_` and sixteen hexadecimal digits");
    }
    let channels = template.channels();
    if channels.is_empty() {
        return wrong("email", "a template has at least one of `email`, `sms` and `push`");
    }
    check_needed(template, &channels)?;
    if template.variants.len() > limits::VARIANTS_MAX {
        return wrong("variants", format!("at most {}", limits::VARIANTS_MAX));
    }
    check_locales("locales", template.locales.keys())?;
    for (name, variant) in &template.variants {
        check_id(&format!("variants.{name}"), name)?;
        check_locales(&format!("variants.{name}.locales"), variant.locales.keys())?;
    }
    if template_bytes(template) > limits::TEMPLATE_BYTES_MAX {
        return wrong("email", format!("a template may have {} bytes in all", limits::TEMPLATE_BYTES_MAX));
    }
    let mut warnings = Vec::new();
    let mut traits = std::collections::BTreeSet::new();
    for (path, element, source) in texts(template) {
        let field = format!("{path}{}", element.path());
        if !channels.contains(&element.channel()) {
            return wrong(field, format!("the template itself has no `{}`", element.channel().name()));
        }
        let program = compile(source, element, &path)?;
        if element == Element::EmailHtml && source.len() > limits::HTML_CUT_BYTES {
            let what = format!("mail readers cut off what comes after {} bytes", limits::HTML_CUT_BYTES);
            warnings.push(Warning { field: field.clone(), line: 0, column: 0, what });
        }
        traits.extend(program.traits().map(str::to_owned));
        let warning = |fault: super::liquid::Fault| Warning {
            field: field.clone(),
            line: fault.line,
            column: fault.column,
            what: fault.what,
        };
        warnings.extend(program.doubts(source, &scope::ROOTS).into_iter().map(warning));
    }
    if traits.len() > limits::TRAITS_MAX {
        return wrong("email", format!("a template may look at {} traits", limits::TRAITS_MAX));
    }
    for (name, variant) in &template.variants {
        warnings.extend(untranslated(template, name, variant));
    }
    Ok(warnings)
}

/// Whether each text of a template can be rendered for somebody of whom nothing is known, on an occasion that tells
/// nothing: what is missing is empty, so a text that passes a limit then passes it for everybody.
///
/// # Errors
/// Which text passes which limit.
pub fn check_renders(template: &Template) -> Result<(), ContentError> {
    for (path, element, source) in texts(template) {
        let bytes_max = limits::rendered_bytes_max(element);
        let rendered = compile(source, element, &path)?.render(&Map::new(), &TimeZone::UTC, 0, bytes_max);
        if let Err(why) = rendered {
            return wrong(format!("{path}{}", element.path()), format!("it can never be sent: {why}"));
        }
    }
    Ok(())
}

/// Languages that the template has and a variant lacks: there, nothing is tried out.
fn untranslated(template: &Template, name: &str, variant: &Variant) -> Vec<Warning> {
    let lacks = template.locales.keys().filter(|locale| !variant.locales.contains_key(*locale));
    let warning = |locale| Warning {
        field: format!("variants.{name}"),
        line: 0,
        column: 0,
        what: format!("it has nothing in `{locale}`: people of that language get the template's own text"),
    };
    lacks.map(warning).collect()
}

/// Every channel's part has what a message of it can't do without.
fn check_needed(template: &Template, channels: &[Channel]) -> Result<(), ContentError> {
    for channel in channels {
        for element in Element::ALL.into_iter().filter(|element| element.channel() == *channel) {
            let given = template.text(element).is_some_and(|text| !text.trim().is_empty());
            if given || element == Element::EmailHtml {
                continue;
            }
            let what = match element {
                Element::EmailText => "plain text is missing: some readers show no HTML",
                _ => "it is missing",
            };
            return wrong(element.path(), what);
        }
    }
    Ok(())
}

fn check_locales<'a>(path: &str, locales: impl ExactSizeIterator<Item = &'a Box<str>>) -> Result<(), ContentError> {
    if locales.len() > limits::LOCALES_MAX {
        return wrong(path, format!("at most {}", limits::LOCALES_MAX));
    }
    for locale in locales {
        let mut subtags = locale.split('-');
        let language = subtags.next().unwrap_or_default();
        let is_language = (2..=3).contains(&language.len()) && language.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_subtag =
            |tag: &str| (2..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_language || locale.len() > 35 || !subtags.all(is_subtag) {
            return wrong(format!("{path}.{locale}"), "not a language as BCP 47 writes it, e.g. `pl` or `pt-BR`");
        }
    }
    Ok(())
}

/// Checks an offer.
///
/// # Errors
/// What is wrong.
pub fn check_offer(offer: &Offer) -> Result<(), ContentError> {
    check_name(&offer.name)?;
    match (offer.percent, offer.amount) {
        (Some(percent), None) if !(percent > 0.0 && percent <= 100.0) => {
            return wrong("percent", "above 0 and at most 100");
        }
        (None, Some(amount)) => check_amount("amount", amount)?,
        (Some(_), None) => {}
        _ => return wrong("percent", "an offer has either `percent` or `amount`"),
    }
    if let Some(most) = offer.discount_max {
        check_amount("discount_max", most)?;
        if offer.amount.is_some_and(|amount| amount > most) {
            return wrong("discount_max", "less than `amount`");
        }
    }
    let has_money = offer.amount.is_some() || offer.discount_max.is_some();
    match offer.currency.as_deref() {
        Some(currency) if currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase()) => {}
        None if !has_money => {}
        Some(_) => return wrong("currency", "three capital letters (ISO 4217)"),
        None => return wrong("currency", "an amount of money needs one, e.g. `EUR`"),
    }
    if let Some(code) = &offer.code {
        let chars = code.chars().count();
        if chars == 0 || chars > limits::CODE_CHARS_MAX || code.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return wrong("code", "1 to 64 characters without spaces");
        }
    }
    if offer.valid_minutes.is_some_and(|minutes| minutes == 0 || minutes > limits::VALID_MINUTES_MAX) {
        return wrong("valid_minutes", format!("1 to {}", limits::VALID_MINUTES_MAX));
    }
    Ok(())
}

fn check_amount(field: &str, amount: f64) -> Result<(), ContentError> {
    if amount > 0.0 && amount <= limits::AMOUNT_MAX {
        return Ok(());
    }
    wrong(field, format!("above 0 and at most {}", limits::AMOUNT_MAX))
}
