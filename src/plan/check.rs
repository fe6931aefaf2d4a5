//! Tries every template on every sample, strictly, before an event does.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::{View, view};
use super::escape::Format;
use super::fit::{Target, fit};
use super::samples::{samples, unknown_sample};
use super::shelf::{Page, Strict, problem};
use super::templates::Shelves;
use super::vet::Fault;
use crate::clock::Timestamp;
use crate::config::Problem;
use crate::event::Event;

/// What every template of every set does wrong on the samples that it would be used for.
pub(super) fn check(sets: &BTreeMap<String, Shelves>) -> Vec<Problem> {
    let views = views();
    let mut problems: Vec<Problem> = Vec::new();
    for (format, shelf) in sets.values().flatten() {
        let strict = shelf.strict();
        for page in shelf.pages() {
            for view in views.iter().filter(|view| serves(page, view)) {
                if let Some(found) = try_page(page, &strict, *format, view)
                    && !problems.contains(&found)
                {
                    problems.push(found);
                }
            }
        }
    }
    problems
}

fn views() -> Vec<View> {
    let known = samples()
        .into_iter()
        .map(|sample| (sample.event, sample.body));
    let unknown = ("unknown".to_owned(), unknown_sample());
    let events = known.chain([unknown]).map(|(name, body)| Event {
        source: Arc::from("gogs"),
        name: Arc::from(name),
        delivery_id: Arc::from("f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        received: Timestamp(1_773_424_318_000),
        body,
    });
    events.filter_map(|event| view(&event).ok()).collect()
}

/// Whether the page is one that this event may get.
fn serves(page: &Page, view: &View) -> bool {
    let (event, action) = match page.source.name.split_once('-') {
        Some((event, action)) => (event, Some(action)),
        None => (page.source.name.as_str(), None),
    };
    match event {
        "event" => view.name == "unknown",
        _ => view.name == event && (action.is_none() || view.action.as_deref() == action),
    }
}

fn try_page(page: &Page, strict: &Strict, format: Format, view: &View) -> Option<Problem> {
    let fault = |line, column, message| Fault {
        line,
        column,
        message,
        hint: None,
    };
    let rendered = match strict.render(page, &view.context) {
        Ok(rendered) if rendered.trim().is_empty() => return None,
        Ok(rendered) => rendered,
        Err(failure) => {
            let (line, column) = failure.place.unzip();
            let within = failure
                .template
                .map(|name| format!("in `{name}`: "))
                .unwrap_or_default();
            let fault = fault(line, column, format!("{within}{}", failure.message));
            return Some(problem(&page.source, fault));
        }
    };
    let target = match format {
        Format::Slack => Target::Slack(None),
        Format::Discord => Target::Discord(None),
        Format::Gogs => Target::Gogs,
    };
    let error = fit(&rendered, target, view.event_url.as_deref()).err()?;
    Some(problem(&page.source, fault(None, None, error)))
}
