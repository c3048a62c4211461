//! What is said to people: templates and offers, as versioned data.
//!
//! A template is Liquid, one part a channel, with variants and languages; an offer is a discount with an end.
//! The [`Catalog`] is what agents share of them: it answers whether a message may be rendered
//! ([`Catalog::check`]), and renders it ([`Catalog::render`]). Nothing of a customer's data is ever compiled, what
//! they wrote is escaped in HTML, and rendering ends: it has fuel, and a limit for every text.

mod catalog;
mod check;
pub mod limits;
mod liquid;
mod offer;
mod render;
mod scope;
mod template;
#[cfg(test)]
mod tests;
mod topics;

use impresario_runtime::{Agent, AgentError, Event, OnShared, Routes, Step};

pub use catalog::{Catalog, CatalogOffer, CatalogTemplate, TemplateVersion, fingerprint, split_level};
pub use check::{ContentError, Warning, check_offer, check_renders, check_template};
pub use offer::{Offer, OfferGiven};
pub use render::{RenderInput, Rendered};
pub use template::{Element, EmailPart, Parts, PushPart, SmsPart, Template, Variant};
pub use topics::{OfferDefined, OfferRemoved, TemplateDefined, TemplateRemoved};

/// The agent that keeps the catalog for whoever asks from outside.
pub struct Library;

impl Agent for Library {
    const NAME: &'static str = "library";
    type Key = ();
    type State = ();

    fn routes(routes: &mut Routes<Self>) {
        routes.on_shared::<TemplateDefined>();
        routes.on_shared::<TemplateRemoved>();
        routes.on_shared::<OfferDefined>();
        routes.on_shared::<OfferRemoved>();
    }
}

macro_rules! folds {
    ($topic:ty, $fold:ident) => {
        impl OnShared<$topic> for Library {
            type Shared = Catalog;

            fn on_shared(
                &self,
                catalog: &mut Catalog,
                event: &Event<'_, $topic>,
                _: &mut Step<'_>,
            ) -> Result<(), AgentError> {
                catalog.$fold(event.body, event.seq, event.at_ms).map_err(|why| AgentError::Reject(why.to_string()))
            }
        }
    };
}

folds!(TemplateDefined, define_template);
folds!(TemplateRemoved, remove_template);
folds!(OfferDefined, define_offer);
folds!(OfferRemoved, remove_offer);
