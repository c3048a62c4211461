//! Where a person came from, first and last.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json;
use crate::vocabulary::{Millis, Stamp};

const TEXT_MAX: usize = 1024;

/// One arrival: page, referrer and campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Touch {
    /// When.
    #[serde(rename = "t")]
    pub(super) stamp: Stamp,
    /// The page's address.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Box<str>>,
    /// The address of the page before it.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Box<str>>,
    /// `utm_campaign`.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Box<str>>,
    /// `utm_source`.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
    /// `utm_medium`.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Box<str>>,
    /// `utm_term`.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Box<str>>,
    /// `utm_content`.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Box<str>>,
}

impl Touch {
    /// Event time.
    pub fn at_ms(&self) -> Millis {
        self.stamp.0
    }
}

/// The first and the last touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touches {
    /// The first page or campaign ever seen.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Touch>,
    /// The last arrival from outside: by a campaign or from another site.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Touch>,
}

impl Touches {
    /// Takes an event's page and campaign into account.
    pub(super) fn add(&mut self, stamp: Stamp, origin: &Origin<'_>) {
        let first = self.first.as_ref().is_none_or(|first| stamp < first.stamp);
        let last = self.last.as_ref().is_none_or(|last| stamp > last.stamp);
        if !first && !last {
            return;
        }
        let arrival = origin.read();
        let last = last && arrival.is_from_outside();
        let first = first && arrival.is_told();
        if last {
            self.last = Some(arrival.touch(stamp));
        }
        if first {
            self.first = Some(arrival.touch(stamp));
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.first = match (self.first.take(), other.first) {
            (Some(own), Some(other)) => Some(own.min(other)),
            (own, other) => own.or(other),
        };
        self.last = self.last.take().max(other.last);
    }
}

/// What an event tells of where the person is, raw.
#[derive(Clone, Copy, Default)]
pub(super) struct Origin<'a> {
    pub(super) url: Option<&'a RawValue>,
    pub(super) referrer: Option<&'a RawValue>,
    /// `context.page`, where the two above are missing.
    pub(super) page: Option<&'a RawValue>,
    /// `context.campaign`.
    pub(super) campaign: Option<&'a RawValue>,
}

impl Origin<'_> {
    pub(super) fn is_told(&self) -> bool {
        self.url.is_some() || self.page.is_some() || self.campaign.is_some()
    }
}

impl<'a> Origin<'a> {
    fn read(&self) -> Arrival<'a> {
        let page = self.page.filter(|_| self.url.is_none() || self.referrer.is_none());
        let [page_url, page_referrer] =
            page.map(|page| json::pick(page.get(), &["url", "referrer"]).values).unwrap_or_default();
        let campaign = self.campaign.map(|campaign| {
            json::pick(campaign.get(), &["name", "source", "medium", "term", "content"]).values.map(text)
        });
        let (url, referrer) = (text(self.url.or(page_url)), text(self.referrer.or(page_referrer)));
        Arrival { url, referrer, campaign: campaign.unwrap_or_default() }
    }
}

/// What an event tells of where the person is, read but not yet kept.
struct Arrival<'a> {
    url: Option<Cow<'a, str>>,
    referrer: Option<Cow<'a, str>>,
    /// Name, source, medium, term, content.
    campaign: [Option<Cow<'a, str>>; 5],
}

impl Arrival<'_> {
    fn has_campaign(&self) -> bool {
        let [name, source, ..] = &self.campaign;
        name.is_some() || source.is_some()
    }

    fn is_told(&self) -> bool {
        self.url.is_some() || self.has_campaign()
    }

    fn is_from_outside(&self) -> bool {
        let referrer = self.referrer.as_deref().and_then(host);
        self.has_campaign() || (referrer.is_some() && referrer != self.url.as_deref().and_then(host))
    }

    fn touch(&self, stamp: Stamp) -> Touch {
        let keep = |text: &Option<Cow<'_, str>>| text.as_deref().map(|text| Box::from(json::cut(text, TEXT_MAX)));
        let [campaign, source, medium, term, content] = self.campaign.each_ref().map(keep);
        let (url, referrer) = (keep(&self.url), keep(&self.referrer));
        Touch { stamp, url, referrer, campaign, source, medium, term, content }
    }
}

/// Its text, where it has one.
fn text(value: Option<&RawValue>) -> Option<Cow<'_, str>> {
    json::text(value?).filter(|text| !text.is_empty())
}

/// The host of an address, with no `www.`.
fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    Some(host.strip_prefix("www.").unwrap_or(host)).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_lies_between() {
        assert_eq!(host("https://www.shop.test:8443/a?b#c"), Some("shop.test"));
        assert_eq!(host("https://user@shop.test?x"), Some("shop.test"));
        assert_eq!(host("shop.test"), None);
        assert_eq!(host("https://"), None);
    }

    #[test]
    fn first_is_any_page_and_last_comes_from_outside() {
        let page = |url: &str, referrer: &str| format!(r#"{{"url":"{url}","referrer":"{referrer}"}}"#);
        let add = |touches: &mut Touches, at: Millis, page: &str, campaign: Option<&str>| {
            let page = serde_json::from_str(page).ok();
            let campaign = campaign.and_then(|campaign| serde_json::from_str(campaign).ok());
            touches.add(Stamp(at, 0), &Origin { page, campaign, ..Origin::default() });
        };
        let mut touches = Touches::default();
        add(&mut touches, 20, &page("https://s.test/b", "https://www.search.test/q"), None);
        add(&mut touches, 30, &page("https://s.test/c", "https://s.test/b"), None);
        add(&mut touches, 10, &page("https://s.test/a", ""), None);
        assert_eq!(touches.first.as_ref().and_then(|first| first.url.as_deref()), Some("https://s.test/a"));
        assert_eq!(touches.last.as_ref().map(Touch::at_ms), Some(20));
        add(&mut touches, 40, &page("https://s.test/d", ""), Some(r#"{"name":"spring","source":7}"#));
        assert_eq!(touches.last.as_ref().and_then(|last| last.campaign.as_deref()), Some("spring"));
    }
}
