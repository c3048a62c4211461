//! What is said of templates and offers on the journal.

use impresario_runtime::Topic;
use serde::{Deserialize, Serialize};

use super::{Offer, Template};

/// A template is defined, or defined anew under the same id: a new version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateDefined {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    pub id: Box<str>,
    /// What it says.
    pub template: Template,
}

impl Topic for TemplateDefined {
    const NAME: &'static str = "template.defined";
    const PERSONAL: bool = false;
}

/// A template is no more; what would be rendered of it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateRemoved {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for TemplateRemoved {
    const NAME: &'static str = "template.removed";
    const PERSONAL: bool = false;
}

/// An offer is defined, or defined anew under the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferDefined {
    /// Its id: lowercase letters, digits, `-` and `_`, at most 64.
    pub id: Box<str>,
    /// What it gives.
    pub offer: Offer,
}

impl Topic for OfferDefined {
    const NAME: &'static str = "offer.defined";
    const PERSONAL: bool = false;
}

/// An offer is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferRemoved {
    /// Its id.
    pub id: Box<str>,
}

impl Topic for OfferRemoved {
    const NAME: &'static str = "offer.removed";
    const PERSONAL: bool = false;
}
