//! What a journey names is there, and can be used as it is to be.

use impresario_agents::{
    content::{Catalog, split_level},
    journeys::{Definitions, Entry, Journey, Journeys, SendStep},
    segmentation::Condition,
    situation::check_kind,
    vocabulary::Channel,
};

use crate::{
    app::App,
    control::{content::catalog, say::Conditions, segments::conditions},
    problem::Problem,
};

/// Whether the templates, offers, segments and situations that a journey names are there. Campaigns are not looked
/// for: a goal names the journey it begins, which is there before it.
pub(super) async fn names_are_there(app: &App, journey: &Journey) -> Result<(), Problem> {
    let segments = conditions(app).await?;
    let journey = journey.clone();
    let found = catalog(app, move |catalog| -> Result<(), String> {
        of_entry(&journey, &segments)?;
        for (place, step) in journey.steps.iter().enumerate() {
            let path = format!("steps[{place}]");
            step.send.as_ref().map_or(Ok(()), |send| of_send(send, &format!("{path}.send"), catalog))?;
            for (number, answer) in step.wait.iter().flat_map(|wait| &wait.on).enumerate() {
                let path = format!("{path}.wait.on[{number}].segment");
                answer.segment.as_deref().map_or(Ok(()), |segment| of_segment(segment, &path, &segments))?;
            }
            for (number, case) in step.branch.iter().flat_map(|branch| &branch.cases).enumerate() {
                let path = format!("{path}.branch.cases[{number}].condition");
                case.condition.as_ref().map_or(Ok(()), |condition| of_condition(condition, &path, &segments))?;
            }
        }
        Ok(())
    });
    found.await?.map_err(Problem::invalid_body)
}

fn of_entry(journey: &Journey, segments: &Conditions) -> Result<(), String> {
    match &journey.entry {
        Some(Entry::Segment(segment)) => of_segment(segment, "entry.segment", segments),
        Some(Entry::Situation(kind)) => check_kind(kind).map_err(|why| format!("`entry.situation`: {why}")),
        Some(Entry::Event(_)) | None => Ok(()),
    }
}

fn of_segment(segment: &str, path: &str, segments: &Conditions) -> Result<(), String> {
    if segments.contains_key(segment) {
        return Ok(());
    }
    Err(format!("`{path}`: there is no segment `{segment}`"))
}

fn of_condition(condition: &Condition, path: &str, segments: &Conditions) -> Result<(), String> {
    match condition {
        Condition::All(all) | Condition::Any(all) => {
            all.iter().try_for_each(|condition| of_condition(condition, path, segments))
        }
        Condition::Not(condition) => of_condition(condition, path, segments),
        Condition::Segment(segment) => of_segment(segment, path, segments),
        _ => Ok(()),
    }
}

fn of_send(send: &SendStep, path: &str, catalog: &Catalog) -> Result<(), String> {
    let SendStep { template, offer, channels, .. } = send;
    let (id, variant) = split_level(template);
    let known = catalog.template(id).ok_or_else(|| format!("`{path}.template`: there is no template `{id}`"))?;
    if let Some(variant) = variant.filter(|variant| !known.template.variants.contains_key(*variant)) {
        return Err(format!("`{path}.template`: template `{id}` has no variant `{variant}`"));
    }
    if known.template.test && known.template.test_people.is_empty() {
        return Err(format!("`{path}.template`: `{id}` is marked as a test and would be sent to nobody"));
    }
    let parts = known.template.channels();
    let can_go = |channel: &Option<Channel>| channel.is_none_or(|channel| parts.contains(&channel));
    if !channels.iter().map(|choice| Option::<Channel>::from(*choice)).any(|channel| can_go(&channel)) {
        return Err(format!("`{path}.channels`: template `{id}` has a part for none of them"));
    }
    match offer.as_deref().filter(|offer| catalog.offer(offer).is_none()) {
        Some(offer) => Err(format!("`{path}.offer`: there is no offer `{offer}`")),
        None => Ok(()),
    }
}

/// Whether a journey that stands says it is of this campaign.
pub(in crate::control) async fn is_campaign_of_some(app: &App, campaign: &str) -> Result<bool, Problem> {
    let campaign: Box<str> = campaign.into();
    let read = app.host.read_worker::<Journeys, _>(0, move |reading| {
        let mut all = reading.shared::<Definitions>().into_iter().flat_map(Definitions::standing);
        let names = |journey: &Journey| {
            let decides = journey.steps.iter().filter_map(|step| step.decide.as_ref()?.campaign.as_ref());
            journey.campaign.iter().chain(decides).any(|named| *named == campaign)
        };
        all.any(|(_, version)| names(&version.journey))
    });
    Ok(read.await?)
}
