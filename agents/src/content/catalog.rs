//! All templates and offers, as agents share them.

use std::collections::{BTreeMap, BTreeSet};

use impresario_runtime::{Shared, store::Seq};
use serde::{Deserialize, Serialize};

use super::{
    Element, Offer, OfferDefined, OfferRemoved, Template, TemplateDefined, TemplateRemoved,
    check::{self, ContentError},
    limits,
    liquid::Program,
    scope::other_spelling,
    template::Variant,
};
use crate::vocabulary::{Channel, MessageClass, Millis, ProfileId, Refusal};

/// A template as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CatalogTemplate {
    /// What it says.
    pub template: Template,
    /// Its versions, newest first: the place of the entry that defined each, and when that was.
    pub versions: Vec<(Seq, Millis)>,
    /// A hash of what it says.
    #[serde(default)]
    pub fingerprint: Box<str>,
}

impl CatalogTemplate {
    /// The version that stands: the place of the entry that defined it.
    pub fn version(&self) -> Seq {
        self.versions.first().map_or(0, |(seq, _)| *seq)
    }
}

/// An offer as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CatalogOffer {
    /// What it gives.
    pub offer: Offer,
    /// The place of the entry that defined it.
    pub version: Seq,
    /// When that was.
    pub defined_at_ms: Millis,
    /// A hash of what it gives.
    #[serde(default)]
    pub fingerprint: Box<str>,
}

/// The hash of a template or an offer, told in diffs and compared with what was approved: 16 hexadecimal digits.
pub fn fingerprint<T: Serialize>(content: &T) -> Box<str> {
    let bytes = serde_json::to_vec(content).unwrap_or_default();
    blake3::hash(&bytes).to_hex().chars().take(16).collect::<String>().into()
}

/// A template that may be rendered on a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Its id, without a variant.
    pub id: Box<str>,
    /// The place of the entry that defined the version that stands.
    pub version: Seq,
    /// What sort it is: one that persuades must not be sent as one that is owed.
    pub class: MessageClass,
    /// The topic of consent it belongs to.
    pub topic: Option<Box<str>>,
    /// What its offer gives away at most, millionths of `currency`; none without an offer, or without a bound.
    pub discount_max_micros: Option<i64>,
    /// The currency of the offer.
    pub currency: Option<Box<str>>,
}

/// All templates and offers. An agent that needs them keeps it as its shared value: on
/// [`TemplateDefined`] it calls [`Catalog::define_template`], and so on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Catalog {
    templates: BTreeMap<Box<str>, CatalogTemplate>,
    offers: BTreeMap<Box<str>, CatalogOffer>,
    #[serde(skip)]
    compiled: BTreeMap<Box<str>, Compiled>,
}

/// The texts of one set of parts, compiled.
#[derive(Debug, Default)]
struct Texts(BTreeMap<Element, Program>);

/// The texts of all languages, by language.
type Locales = BTreeMap<Box<str>, Texts>;

/// A template's texts, compiled.
#[derive(Debug, Default)]
struct Compiled {
    own: Texts,
    locales: Locales,
    variants: BTreeMap<Box<str>, (Texts, Locales)>,
    traits: BTreeSet<Box<str>>,
    bytes: usize,
}

impl Shared for Catalog {
    fn restored(&mut self) {
        // States from before there were fingerprints.
        for known in self.templates.values_mut().filter(|known| known.fingerprint.is_empty()) {
            known.fingerprint = fingerprint(&known.template);
        }
        for known in self.offers.values_mut().filter(|known| known.fingerprint.is_empty()) {
            known.fingerprint = fingerprint(&known.offer);
        }
        self.compiled = self
            .templates
            .iter()
            .filter_map(|(id, known)| Some((id.clone(), Compiled::of(&known.template).ok()?)))
            .collect();
    }
}

/// The two halves of a level as a plan names it: `template#variant`, or `template` alone.
pub fn split_level(level: &str) -> (&str, Option<&str>) {
    level.split_once('#').map_or((level, None), |(id, variant)| (id, Some(variant)))
}

fn refused(why: impl Into<Box<str>>) -> Refusal {
    Refusal { guard: "template".into(), why: why.into() }
}

impl Catalog {
    /// Folds a definition.
    ///
    /// # Errors
    /// It can't stand: see [`check::check_template`].
    pub fn define_template(&mut self, defined: &TemplateDefined, seq: Seq, at_ms: Millis) -> Result<(), ContentError> {
        let TemplateDefined { id, template } = defined;
        self.may_define(id, template)?;
        let compiled = Compiled::of(template)?;
        let mut versions = self.templates.remove(id).map(|before| before.versions).unwrap_or_default();
        versions.insert(0, (seq, at_ms));
        versions.truncate(limits::VERSIONS_MAX);
        let (fingerprint, template) = (fingerprint(template), template.clone());
        self.templates.insert(id.clone(), CatalogTemplate { template, versions, fingerprint });
        self.compiled.insert(id.clone(), compiled);
        Ok(())
    }

    /// Whether a template may stand, beside those that do.
    ///
    /// # Errors
    /// What is wrong with it, or there are too many, or they are too large together.
    pub fn may_define(&self, id: &str, template: &Template) -> Result<(), ContentError> {
        check::check_id("id", id)?;
        check::check_template(template)?;
        if !self.templates.contains_key(id) && self.templates.len() >= limits::TEMPLATES_MAX {
            return Err(ContentError::TooMany(format!("there are {} templates already", limits::TEMPLATES_MAX)));
        }
        let others = self.compiled.iter().filter(|(known, _)| known.as_ref() != id);
        let bytes = others.map(|(_, compiled)| compiled.bytes).sum::<usize>() + check::template_bytes(template);
        if bytes > limits::CATALOG_BYTES_MAX {
            let what = format!("all templates together may have {} bytes", limits::CATALOG_BYTES_MAX);
            return Err(ContentError::TooMany(what));
        }
        Ok(())
    }

    /// Folds a removal.
    ///
    /// # Errors
    /// There is no such template.
    pub fn remove_template(&mut self, removed: &TemplateRemoved, _: Seq, _: Millis) -> Result<(), ContentError> {
        self.compiled.remove(&removed.id);
        let known = self.templates.remove(&removed.id);
        known.map(drop).ok_or_else(|| ContentError::Unknown(format!("there is no template `{}`", removed.id)))
    }

    /// Folds a definition.
    ///
    /// # Errors
    /// It can't stand: see [`check::check_offer`].
    pub fn define_offer(&mut self, defined: &OfferDefined, seq: Seq, at_ms: Millis) -> Result<(), ContentError> {
        self.may_define_offer(&defined.id, &defined.offer)?;
        let (fingerprint, offer) = (fingerprint(&defined.offer), defined.offer.clone());
        let offer = CatalogOffer { offer, version: seq, defined_at_ms: at_ms, fingerprint };
        self.offers.insert(defined.id.clone(), offer);
        Ok(())
    }

    /// Whether an offer may stand, beside those that do.
    ///
    /// # Errors
    /// What is wrong with it, or there are too many.
    pub fn may_define_offer(&self, id: &str, offer: &Offer) -> Result<(), ContentError> {
        check::check_id("id", id)?;
        check::check_offer(offer)?;
        if !self.offers.contains_key(id) && self.offers.len() >= limits::OFFERS_MAX {
            return Err(ContentError::TooMany(format!("there are {} offers already", limits::OFFERS_MAX)));
        }
        Ok(())
    }

    /// Folds a removal.
    ///
    /// # Errors
    /// There is no such offer.
    pub fn remove_offer(&mut self, removed: &OfferRemoved, _: Seq, _: Millis) -> Result<(), ContentError> {
        let known = self.offers.remove(&removed.id);
        known.map(drop).ok_or_else(|| ContentError::Unknown(format!("there is no offer `{}`", removed.id)))
    }

    /// The templates that stand, by id.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &CatalogTemplate)> {
        self.templates.iter().map(|(id, known)| (id.as_ref(), known))
    }

    /// One template.
    pub fn template(&self, id: &str) -> Option<&CatalogTemplate> {
        self.templates.get(id)
    }

    /// The offers that stand, by id.
    pub fn offers(&self) -> impl Iterator<Item = (&str, &CatalogOffer)> {
        self.offers.iter().map(|(id, known)| (id.as_ref(), known))
    }

    /// One offer.
    pub fn offer(&self, id: &str) -> Option<&CatalogOffer> {
        self.offers.get(id)
    }

    /// The hash of a template (or `template#variant`, which is part of it) as it stands.
    pub fn template_fingerprint(&self, level: &str) -> Option<&str> {
        self.templates.get(split_level(level).0).map(|known| &*known.fingerprint)
    }

    /// The hash of an offer as it stands.
    pub fn offer_fingerprint(&self, id: &str) -> Option<&str> {
        self.offers.get(id).map(|known| &*known.fingerprint)
    }

    /// What a plan may name of a template: itself, then each of its variants as `template#variant`.
    pub fn levels(&self, id: &str) -> Vec<Box<str>> {
        let Some(known) = self.templates.get(id) else { return Vec::new() };
        let variants = known.template.variants.keys().map(|variant| format!("{id}#{variant}").into());
        std::iter::once(id.into()).chain(variants).collect()
    }

    /// The traits that a template looks at, to be asked for before it is rendered
    /// ([`RenderAsked`](crate::vocabulary::RenderAsked)); none for one that is not known.
    pub fn traits_of(&self, level: &str) -> Vec<Box<str>> {
        let (id, _) = split_level(level);
        self.compiled.get(id).map(|compiled| compiled.traits.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whether a message of this template (or `template#variant`) may be rendered for a channel, with an offer:
    /// all is known, there is a part for the channel, and it is no draft.
    ///
    /// # Errors
    /// Why not; the guard is `template`.
    pub fn check(&self, level: &str, channel: Channel, offer: Option<&str>) -> Result<TemplateVersion, Refusal> {
        let version = self.check_draft(level, channel, offer)?;
        if self.templates.get(&version.id).is_none_or(|known| known.template.test) {
            return Err(refused(format!("template `{}` is marked as a test", version.id)));
        }
        Ok(version)
    }

    /// As [`Self::check`], for somebody with these ids: a draft goes to the people of its test list alone.
    ///
    /// # Errors
    /// Why not; the guard is `template`.
    pub fn check_for(
        &self,
        level: &str,
        channel: Channel,
        offer: Option<&str>,
        ids: &[ProfileId],
    ) -> Result<TemplateVersion, Refusal> {
        let version = self.check_draft(level, channel, offer)?;
        if self.templates.get(&version.id).is_none_or(|known| !known.template.is_for(ids)) {
            return Err(refused(format!(
                "template `{}` is marked as a test, and they are not on its list",
                version.id
            )));
        }
        Ok(version)
    }

    /// As [`Self::check`], for a preview: a draft may be looked at.
    pub(super) fn check_draft(
        &self,
        level: &str,
        channel: Channel,
        offer: Option<&str>,
    ) -> Result<TemplateVersion, Refusal> {
        let (id, variant) = split_level(level);
        let known = self.templates.get(id).ok_or_else(|| refused(format!("there is no template `{id}`")))?;
        let template = &known.template;
        if let Some(variant) = variant.filter(|variant| !template.variants.contains_key(*variant)) {
            return Err(refused(format!("template `{id}` has no variant `{variant}`")));
        }
        if !template.channels().contains(&channel) {
            return Err(refused(format!("template `{id}` has no part for {}", channel.name())));
        }
        let offer = match offer {
            Some(offer) => {
                Some(&self.offers.get(offer).ok_or_else(|| refused(format!("there is no offer `{offer}`")))?.offer)
            }
            None => None,
        };
        Ok(TemplateVersion {
            id: id.into(),
            version: known.version(),
            class: template.class,
            topic: template.topic.clone(),
            discount_max_micros: offer.and_then(Offer::discount_max_micros),
            currency: offer.and_then(|offer| offer.currency.clone()),
        })
    }

    /// The text of an element for a variant and a language: what somebody can read comes before what is tried
    /// out, and both before the template's own.
    pub(super) fn program(
        &self,
        id: &str,
        variant: Option<&str>,
        locale: Option<&str>,
        element: Element,
    ) -> Option<&Program> {
        let compiled = self.compiled.get(id)?;
        let variant = variant.and_then(|variant| compiled.variants.get(variant));
        let of_variant = variant.and_then(|(_, locales)| of_locale(locales, locale, element));
        of_variant
            .or_else(|| of_locale(&compiled.locales, locale, element))
            .or_else(|| variant.and_then(|(own, _)| own.0.get(&element)))
            .or_else(|| compiled.own.0.get(&element))
    }
}

/// The text in a language: `pt-BR` is looked for, then `pt`.
fn of_locale<'a>(locales: &'a Locales, locale: Option<&str>, element: Element) -> Option<&'a Program> {
    let locale = locale?.replace('_', "-");
    let language = locale.split('-').next()?;
    let text = |wanted: &str| {
        let found = locales.iter().find(|(known, _)| known.eq_ignore_ascii_case(wanted));
        found.and_then(|(_, texts)| texts.0.get(&element))
    };
    text(&locale).or_else(|| text(language))
}

impl Compiled {
    fn of(template: &Template) -> Result<Self, ContentError> {
        let mut traits = BTreeSet::new();
        let own = Texts::of(&|element| template.text(element), "", &mut traits)?;
        let mut locales = BTreeMap::new();
        for (locale, parts) in &template.locales {
            let path = format!("locales.{locale}.");
            locales.insert(locale.clone(), Texts::of(&|element| parts.get(element), &path, &mut traits)?);
        }
        let mut variants = BTreeMap::new();
        for (name, variant) in &template.variants {
            variants.insert(name.clone(), Self::variant(name, variant, &mut traits)?);
        }
        Ok(Self { own, locales, variants, traits, bytes: check::template_bytes(template) })
    }

    fn variant(
        name: &str,
        variant: &Variant,
        traits: &mut BTreeSet<Box<str>>,
    ) -> Result<(Texts, Locales), ContentError> {
        let path = format!("variants.{name}.");
        let own = Texts::of(&|element| variant.text(element), &path, traits)?;
        let mut locales = BTreeMap::new();
        for (locale, parts) in &variant.locales {
            let path = format!("{path}locales.{locale}.");
            locales.insert(locale.clone(), Texts::of(&|element| parts.get(element), &path, traits)?);
        }
        Ok((own, locales))
    }
}

impl Texts {
    fn of<'a>(
        text: &dyn Fn(Element) -> Option<&'a str>,
        path: &str,
        traits: &mut BTreeSet<Box<str>>,
    ) -> Result<Self, ContentError> {
        let mut texts = BTreeMap::new();
        for element in Element::ALL {
            let Some(source) = text(element) else { continue };
            let program = check::compile(source, element, path)?;
            for name in program.traits() {
                traits.extend(other_spelling(name).map(String::into_boxed_str));
                traits.insert(name.into());
            }
            texts.insert(element, program);
        }
        Ok(Self(texts))
    }
}
