//! What a goal names and can't be used. Pure.

use super::{Goal, Missing, compile::arms};
use crate::{
    campaigns::Strategy,
    content::{Catalog, split_level},
    situation::check_kind,
};

/// What is wrong with what a goal names, beside what is not there: a situation that never comes about, a template
/// that is a draft, an arm beyond those there are.
pub fn unusable(goal: &Goal, catalog: &Catalog) -> Vec<Missing> {
    let mut found = Vec::new();
    let mut miss = |field: String, why: String| found.push(Missing { field, why });
    if let Some(Err(why)) = goal.situation.as_deref().map(check_kind) {
        miss("situation".into(), why);
    }
    for (place, name) in goal.templates.iter().enumerate() {
        if catalog.template(split_level(name).0).is_some_and(|known| known.template.test) {
            miss(format!("templates[{place}]"), "it is marked as a test: a campaign can't send it".into());
        }
    }
    if let Strategy::Fixed(arm) = goal.strategy {
        let arms = arms(goal, catalog).len();
        if usize::from(arm) > arms {
            miss("strategy.fixed".into(), format!("there are {arms} arms, from 1; 0 is nothing"));
        }
    }
    found
}
