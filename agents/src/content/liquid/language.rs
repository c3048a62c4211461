//! The language: which blocks, tags and filters there are. None of them reads a file or another template.

use std::sync::LazyLock;

use liquid_core::Language;
use liquid_lib::stdlib;

use super::{blocks, filters, tags};

/// The language of all templates.
pub(super) static LANGUAGE: LazyLock<Language> = LazyLock::new(|| {
    let mut language = Language::empty();
    let blocks = &mut language.blocks;
    blocks.register("if".to_owned(), blocks::IfBlock.into());
    blocks.register("unless".to_owned(), blocks::UnlessBlock.into());
    blocks.register("for".to_owned(), blocks::ForBlock.into());
    blocks.register("tablerow".to_owned(), blocks::TableBlock.into());
    blocks.register("capture".to_owned(), tags::CaptureBlock.into());
    blocks.register("case".to_owned(), stdlib::CaseBlock.into());
    let tags = &mut language.tags;
    tags.register("text".to_owned(), tags::TextTag.into());
    tags.register("at".to_owned(), tags::AtTag.into());
    tags.register("say".to_owned(), tags::SayTag.into());
    tags.register("assign".to_owned(), tags::AssignTag.into());
    tags.register("cycle".to_owned(), tags::CycleTag.into());
    tags.register("increment".to_owned(), stdlib::IncrementTag.into());
    tags.register("decrement".to_owned(), stdlib::DecrementTag.into());
    tags.register("break".to_owned(), stdlib::BreakTag.into());
    tags.register("continue".to_owned(), stdlib::ContinueTag.into());
    for (name, filter) in filters::plugins() {
        language.filters.register(name.to_owned(), filter);
    }
    language
});
