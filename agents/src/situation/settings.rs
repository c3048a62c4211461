//! When something is a situation: what an operator sets, and what is learned.

use impresario_runtime::Shared;
use serde::{Deserialize, Serialize};

use crate::{
    segmentation::Span,
    vocabulary::{DAY_MS, Millis},
};

const HOUR_MS: Millis = 3_600_000;

/// The settings of views and windows among which is learned: views, and within how long. The longest window is
/// how long views are remembered.
pub const CANDIDATES: [(u32, Millis); 12] = [
    (2, 6 * HOUR_MS),
    (2, DAY_MS),
    (2, 3 * DAY_MS),
    (3, 6 * HOUR_MS),
    (3, DAY_MS),
    (3, 3 * DAY_MS),
    (4, 6 * HOUR_MS),
    (4, DAY_MS),
    (4, 3 * DAY_MS),
    (5, 6 * HOUR_MS),
    (5, DAY_MS),
    (5, 3 * DAY_MS),
];

/// Views of a product or category that may be asked for at most.
pub const VIEWS_MAX: u32 = 20;
/// The longest window that views may be counted in.
pub const WINDOW_MAX_MS: Millis = 14 * DAY_MS;

/// So many views within so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Views {
    /// How many, 2 to 20.
    pub views: u32,
    /// Within how long, at most `14d`.
    pub within: Span,
}

/// When a channel's bounces or complaints are a surge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surge {
    /// From which share of what was sent on, above 0 and at most 1.
    pub share: f64,
    /// From how many times the channel's own share of the last 30 days on, at least 1.
    pub times_usual: f64,
    /// From how many of them on, at least 1.
    pub count_min: u32,
    /// Messages that must have been sent in the hour or the day, at least 1.
    pub sent_min: u32,
}

/// When something is a situation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Views of one product without an order that are purchase intent, until something better is learned.
    pub product_views: Views,
    /// Views of products of one category without an order that are purchase intent.
    pub category_views: Views,
    /// Whether what is learned from who then bought takes the place of `product_views`.
    pub learn: bool,
    /// How long after its last view a purchase intent is over.
    pub intent_lasts: Span,
    /// How long a cart must lie, with no order, to be left behind.
    pub cart_left_after: Span,
    /// How long after that the situation is over.
    pub cart_lasts: Span,
    /// When bounces are a surge.
    pub bounces: Surge,
    /// When complaints are a surge.
    pub complaints: Surge,
    /// Whether a surge stops sending on its channel.
    pub surge_stops_sending: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            product_views: Views { views: 3, within: Span::from_ms(DAY_MS) },
            category_views: Views { views: 6, within: Span::from_ms(DAY_MS) },
            learn: true,
            intent_lasts: Span::from_ms(3 * DAY_MS),
            cart_left_after: Span::from_ms(2 * HOUR_MS),
            cart_lasts: Span::from_ms(3 * DAY_MS),
            bounces: Surge { share: 0.05, times_usual: 3.0, count_min: 10, sent_min: 50 },
            complaints: Surge { share: 0.003, times_usual: 3.0, count_min: 3, sent_min: 100 },
            surge_stops_sending: true,
        }
    }
}

/// Checks settings before they are said.
///
/// # Errors
/// Which field is wrong, and what it may be.
pub fn check_settings(settings: &Settings) -> Result<(), String> {
    for (name, views) in [("product_views", settings.product_views), ("category_views", settings.category_views)] {
        if !(2..=VIEWS_MAX).contains(&views.views) {
            return Err(format!("`{name}.views`: 2 to {VIEWS_MAX}"));
        }
        if views.within.ms() > WINDOW_MAX_MS {
            return Err(format!("`{name}.within`: at most 14d"));
        }
    }
    for (name, span, most) in [
        ("intent_lasts", settings.intent_lasts, 30 * DAY_MS),
        ("cart_left_after", settings.cart_left_after, 14 * DAY_MS),
        ("cart_lasts", settings.cart_lasts, 30 * DAY_MS),
    ] {
        if !(60_000..=most).contains(&span.ms()) {
            return Err(format!("`{name}`: 1m to {}", Span::from_ms(most)));
        }
    }
    for (name, surge) in [("bounces", settings.bounces), ("complaints", settings.complaints)] {
        if !(surge.share > 0.0 && surge.share <= 1.0) {
            return Err(format!("`{name}.share`: above 0 and at most 1"));
        }
        if !(1.0..=1_000.0).contains(&surge.times_usual) {
            return Err(format!("`{name}.times_usual`: 1 to 1000"));
        }
        if surge.count_min == 0 || surge.sent_min == 0 {
            return Err(format!("`{name}`: `count_min` and `sent_min` are at least 1"));
        }
    }
    Ok(())
}

/// What all people share: the settings, and what was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watching {
    /// As set by an operator.
    pub settings: Settings,
    /// What was learned, a place among [`CANDIDATES`]; none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<u8>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub because: Box<str>,
}

impl Watching {
    /// What is in force for one product.
    pub fn product_views(&self) -> Views {
        let learned = self.learned.filter(|_| self.settings.learn);
        let candidate = learned.and_then(|place| CANDIDATES.get(usize::from(place)));
        candidate.map_or(self.settings.product_views, |(views, within_ms)| Views {
            views: *views,
            within: Span::from_ms(*within_ms),
        })
    }

    /// How long views must be remembered.
    pub(super) fn remembered_ms(&self) -> Millis {
        let longest = CANDIDATES.iter().map(|(_, within_ms)| *within_ms).max().unwrap_or_default();
        longest.max(self.product_views().within.ms()).max(self.settings.category_views.within.ms())
    }
}

impl Shared for Watching {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_settings_are_told_by_their_field() {
        assert_eq!(check_settings(&Settings::default()), Ok(()));
        let wrong = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            check_settings(&settings).unwrap_err()
        };
        assert!(wrong(|settings| settings.product_views.views = 1).starts_with("`product_views.views`"));
        assert!(wrong(|settings| settings.category_views.within = Span::from_ms(15 * DAY_MS)).contains("within"));
        assert!(wrong(|settings| settings.cart_left_after = Span::from_ms(1)).starts_with("`cart_left_after`"));
        assert!(wrong(|settings| settings.bounces.share = f64::NAN).starts_with("`bounces.share`"));
        assert!(wrong(|settings| settings.complaints.count_min = 0).starts_with("`complaints`"));
    }

    #[test]
    fn what_is_learned_stands_unless_the_operator_wants_their_own() {
        let mut watching = Watching { learned: Some(0), ..Watching::default() };
        assert_eq!(watching.product_views().views, 2);
        watching.settings.learn = false;
        assert_eq!(watching.product_views(), watching.settings.product_views);
    }
}
