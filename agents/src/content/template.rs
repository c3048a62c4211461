//! What a template is: data, in Liquid, one part a channel.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::vocabulary::{Channel, MessageClass, ProfileId};

/// One part of a template whose text can be replaced on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// The subject line of an e-mail.
    EmailSubject,
    /// The HTML of an e-mail.
    EmailHtml,
    /// The plain text of an e-mail.
    EmailText,
    /// The text of a text message.
    SmsText,
    /// The title of a push notification.
    PushTitle,
    /// The text of a push notification.
    PushBody,
}

impl Element {
    /// All elements.
    pub const ALL: [Self; 6] =
        [Self::EmailSubject, Self::EmailHtml, Self::EmailText, Self::SmsText, Self::PushTitle, Self::PushBody];

    /// Its path in a template, e.g. `email.subject`.
    pub fn path(self) -> &'static str {
        match self {
            Self::EmailSubject => "email.subject",
            Self::EmailHtml => "email.html",
            Self::EmailText => "email.text",
            Self::SmsText => "sms.text",
            Self::PushTitle => "push.title",
            Self::PushBody => "push.body",
        }
    }

    /// Of which channel it is.
    pub fn channel(self) -> Channel {
        match self {
            Self::EmailSubject | Self::EmailHtml | Self::EmailText => Channel::Email,
            Self::SmsText => Channel::Sms,
            Self::PushTitle | Self::PushBody => Channel::Push,
        }
    }

    /// Whether it is one line: a header, a title.
    pub fn is_line(self) -> bool {
        matches!(self, Self::EmailSubject | Self::PushTitle)
    }
}

/// An e-mail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailPart {
    /// The subject line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<str>>,
    /// The HTML; what comes of data in it is escaped unless it says `| raw`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<Box<str>>,
    /// The plain text, for readers that show no HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<str>>,
}

/// A text message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmsPart {
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<str>>,
}

/// A push notification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushPart {
    /// The title, one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Box<str>>,
    /// The text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Box<str>>,
}

/// The texts of the channels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parts {
    /// As an e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailPart>,
    /// As a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<SmsPart>,
    /// As a push notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushPart>,
}

impl Parts {
    /// The text of an element.
    pub fn get(&self, element: Element) -> Option<&str> {
        text_of(element, self.email.as_ref(), self.sms.as_ref(), self.push.as_ref())
    }
}

fn text_of<'a>(
    element: Element,
    email: Option<&'a EmailPart>,
    sms: Option<&'a SmsPart>,
    push: Option<&'a PushPart>,
) -> Option<&'a str> {
    match element {
        Element::EmailSubject => email?.subject.as_deref(),
        Element::EmailHtml => email?.html.as_deref(),
        Element::EmailText => email?.text.as_deref(),
        Element::SmsText => sms?.text.as_deref(),
        Element::PushTitle => push?.title.as_deref(),
        Element::PushBody => push?.body.as_deref(),
    }
}

/// Other texts in place of the template's own. An element it does not have is the template's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// As an e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailPart>,
    /// As a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<SmsPart>,
    /// As a push notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushPart>,
    /// The same in other languages, by language (`pl`, `pt-BR`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<Box<str>, Parts>,
}

/// A template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Template {
    /// Its name for people, at most 200 characters.
    pub name: Box<str>,
    /// What sort of message it is: one that persuades is never sent as one that is owed.
    pub class: MessageClass,
    /// The topic of consent it belongs to, e.g. `weekly-news`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Box<str>>,
    /// A draft: it can be previewed, and is sent to the people of its test list and to nobody else.
    pub test: bool,
    /// Its test list: profiles (`p_` and sixteen digits) of people with a user id or an anonymous id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test_people: Vec<Box<str>>,
    /// As an e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailPart>,
    /// As a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<SmsPart>,
    /// As a push notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<PushPart>,
    /// Levels to be tried against each other, by name; a plan names one as `template#variant`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<Box<str>, Variant>,
    /// The same in other languages, by language (`pl`, `pt-BR`).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub locales: BTreeMap<Box<str>, Parts>,
}

impl Variant {
    /// The text of an element, where it has one of its own.
    pub fn text(&self, element: Element) -> Option<&str> {
        text_of(element, self.email.as_ref(), self.sms.as_ref(), self.push.as_ref())
    }
}

impl Template {
    /// The text of an element, in no variant and no language.
    pub fn text(&self, element: Element) -> Option<&str> {
        text_of(element, self.email.as_ref(), self.sms.as_ref(), self.push.as_ref())
    }

    /// Whether it may go to somebody with these ids: a draft goes to its test list alone.
    pub fn is_for(&self, ids: &[ProfileId]) -> bool {
        let listed = |text: &str| text.parse().is_ok_and(|listed: ProfileId| ids.contains(&listed));
        !self.test || self.test_people.iter().any(|text| listed(text))
    }

    /// The channels it has a part for.
    pub fn channels(&self) -> Vec<Channel> {
        let has = [self.email.is_some(), self.sms.is_some(), self.push.is_some()];
        Channel::ALL.into_iter().zip(has).filter(|(_, has)| *has).map(|(channel, _)| channel).collect()
    }
}
