//! From a template, an offer and a person to what one message says.

use jiff::tz::TimeZone;
use serde_json::Value;

use super::{Catalog, Element, OfferGiven, catalog::split_level, limits, scope};
use crate::vocabulary::{Channel, Contact, Content, Feature, MessageClass, Millis, Refusal};

/// What is known of the person, the occasion and the instant.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// As [`PersonTold::traits`](crate::vocabulary::PersonTold::traits).
    pub traits: &'a Value,
    /// As [`PersonTold::features`](crate::vocabulary::PersonTold::features).
    pub features: &'a [(Feature, i64)],
    /// The person's addresses and language.
    pub contact: &'a Contact,
    /// What the message is about. A JSON object.
    pub context: &'a Value,
    /// The instant of sending, of which the offer's end is counted.
    pub now_ms: Millis,
    /// The person's zone, or the workspace's (IANA); UTC where it is none.
    pub zone: &'a str,
    /// The campaign.
    pub campaign: Option<&'a str>,
    /// The message's id as it is shown; none in a preview.
    pub message: Option<&'a str>,
}

/// A message, rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// What it says.
    pub content: Content,
    /// The place of the entry that defined the version of the template.
    pub version: u64,
    /// What sort of message the template is.
    pub class: MessageClass,
    /// The offer in it.
    pub offer: Option<OfferGiven>,
}

impl Catalog {
    /// Renders a template (or `template#variant`) for a channel and a person. The same input gives the same
    /// text, on every machine.
    ///
    /// # Errors
    /// It may not be ([`Self::check_for`]), takes too long, comes to too much or to nothing; the guard is `template`.
    pub fn render(
        &self,
        level: &str,
        channel: Channel,
        offer: Option<&str>,
        input: &RenderInput<'_>,
    ) -> Result<Rendered, Refusal> {
        self.check_for(level, channel, offer, &input.contact.ids)?;
        self.preview(level, channel, offer, input)
    }

    /// As [`Self::render`], of a draft too: for eyes only, never to be sent.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn preview(
        &self,
        level: &str,
        channel: Channel,
        offer: Option<&str>,
        input: &RenderInput<'_>,
    ) -> Result<Rendered, Refusal> {
        let version = self.check_draft(level, channel, offer)?;
        let zone = TimeZone::get(input.zone).unwrap_or(TimeZone::UTC);
        let offer = offer.and_then(|id| Some((id, &self.offer(id)?.offer)));
        let (id, variant) = split_level(level);
        let scope = scope::scope(input, (id, variant), channel, offer, &zone);
        let locale = input.contact.locale.as_deref();
        let text = |element: Element| -> Result<Box<str>, Refusal> {
            let Some(program) = self.program(id, variant, locale, element) else { return Ok("".into()) };
            let bytes_max = limits::rendered_bytes_max(element);
            let rendered = program.render(&scope, &zone, input.now_ms, bytes_max);
            let rendered = rendered.map_err(|why| refused(level, element, &why))?;
            let rendered = if element.is_line() { one_line(&rendered) } else { plain(&rendered) };
            if rendered.trim().is_empty() {
                return Err(refused(level, element, "it comes to nothing"));
            }
            Ok(rendered.into())
        };
        let content = match channel {
            Channel::Email => Content {
                subject: text(Element::EmailSubject)?,
                text: text(Element::EmailText)?,
                html: text(Element::EmailHtml)?,
            },
            Channel::Sms => Content { text: text(Element::SmsText)?, ..Content::default() },
            Channel::Push => {
                Content { subject: text(Element::PushTitle)?, text: text(Element::PushBody)?, ..Content::default() }
            }
        };
        let offer = offer.map(|(id, offer)| OfferGiven {
            id: id.into(),
            code: offer.code.clone(),
            ends_ms: offer.ends_ms(input.now_ms),
            discount_max_micros: offer.discount_max_micros(),
        });
        Ok(Rendered { content, version: version.version, class: version.class, offer })
    }
}

fn refused(level: &str, element: Element, why: &str) -> Refusal {
    Refusal { guard: "template".into(), why: format!("`{}` of template `{level}`: {why}", element.path()).into() }
}

/// A header's worth of text: whatever would end the line, or is none to be seen, is a space.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || is_unseen(c)).filter(|word| !word.is_empty()) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Text of several lines, with nothing in it that is neither text nor the end of a line.
fn plain(text: &str) -> String {
    let lines = text.replace("\r\n", "\n");
    lines.chars().filter(|c| matches!(c, '\n' | '\t') || !is_unseen(*c)).collect()
}

/// Control characters, line and paragraph separators, and what turns the direction of reading.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}
