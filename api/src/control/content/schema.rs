//! The shapes of templates and offers, for the document.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// An e-mail. All texts are Liquid.
#[derive(ToSchema)]
#[schema(as = EmailPart)]
pub(super) struct EmailSchema {
    /// The subject line.
    subject: Option<String>,
    /// The HTML; what comes of data is escaped.
    html: Option<String>,
    /// The plain text, for readers that show no HTML.
    text: Option<String>,
}

/// A text message.
#[derive(ToSchema)]
#[schema(as = SmsPart)]
pub(super) struct SmsSchema {
    /// The text.
    text: Option<String>,
}

/// A push notification.
#[derive(ToSchema)]
#[schema(as = PushPart)]
pub(super) struct PushSchema {
    /// The title, one line.
    title: Option<String>,
    /// The text.
    body: Option<String>,
}

/// The texts of the channels, in another language.
#[derive(ToSchema)]
#[schema(as = TemplateParts)]
pub(super) struct PartsSchema {
    /// As an e-mail.
    email: Option<EmailSchema>,
    /// As a text message.
    sms: Option<SmsSchema>,
    /// As a push notification.
    push: Option<PushSchema>,
}

/// Other texts in place of the template's own; what it does not have is the template's.
#[derive(ToSchema)]
#[schema(as = TemplateVariant)]
pub(super) struct VariantSchema {
    /// As an e-mail.
    email: Option<EmailSchema>,
    /// As a text message.
    sms: Option<SmsSchema>,
    /// As a push notification.
    push: Option<PushSchema>,
    /// The same in other languages, by language.
    locales: Option<BTreeMap<String, PartsSchema>>,
}

/// Whether a message persuades or is owed.
#[derive(ToSchema)]
#[schema(as = MessageClass, rename_all = "snake_case")]
pub(super) enum ClassSchema {
    /// It persuades: every guard applies.
    Marketing,
    /// It is owed: it passes frequency caps and quiet hours, and nothing else.
    Transactional,
}

/// A template: at least one of `email`, `sms` and `push`, in Liquid.
#[derive(ToSchema)]
#[schema(as = Template)]
pub(super) struct TemplateSchema {
    /// Its name for people, 1 to 200 characters.
    name: String,
    /// What sort of message it is; `marketing` unless said.
    class: Option<ClassSchema>,
    /// The topic of consent it belongs to.
    topic: Option<String>,
    /// A draft: it can be previewed, and is sent to the people of its test list and to nobody else.
    test: Option<bool>,
    /// Its test list: at most 100 profiles (`p_` and sixteen digits) of people with a user id or an anonymous id.
    test_people: Option<Vec<String>>,
    /// As an e-mail: subject and plain text are needed.
    email: Option<EmailSchema>,
    /// As a text message.
    sms: Option<SmsSchema>,
    /// As a push notification.
    push: Option<PushSchema>,
    /// Levels to be tried against each other, by name; a plan names one as `template#variant`.
    variants: Option<BTreeMap<String, VariantSchema>>,
    /// The same in other languages, by language (`pl`, `pt-BR`).
    locales: Option<BTreeMap<String, PartsSchema>>,
}

/// An offer: either `percent` or `amount` off.
#[derive(ToSchema)]
#[schema(as = Offer)]
pub(super) struct OfferSchema {
    /// Its name for people, 1 to 200 characters.
    name: String,
    /// How many percent off, above 0 and at most 100.
    percent: Option<f64>,
    /// How much off, in units of `currency`.
    amount: Option<f64>,
    /// Three capital letters (ISO 4217).
    currency: Option<String>,
    /// What the customer types in, at most 64 characters.
    code: Option<String>,
    /// How long it holds from the sending on, in minutes; as long as the shop takes it unless said.
    valid_minutes: Option<u32>,
    /// What it gives away at most, in units of `currency`: what a budget of discounts sets aside for a message.
    discount_max: Option<f64>,
}
