//! Tries every template on every sample, strictly, before an event does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::context::{View, view};
use super::escape::Format;
use super::fit::{Target, fit, not_json};
use super::losses::{Loss, losses};
use super::render::Strict;
use super::samples::{samples, summary_sample, unknown_sample};
use super::shelf::{Page, problem};
use super::templates::Shelves;
use super::vet::Fault;
use crate::clock::Timestamp;
use crate::config::{Problem, Severity};
use crate::event::Event;

/// What every template of every set does wrong on the samples that it would be used for.
pub(super) fn check(sets: &BTreeMap<String, Shelves>) -> Vec<Problem> {
    let views = views();
    let mut problems: Vec<Problem> = Vec::new();
    for (format, shelf) in sets.values().flatten() {
        let strict = shelf.strict();
        for page in shelf.pages() {
            let served = views.iter().filter(|view| serves(page, view));
            let tried = served.flat_map(|view| try_page(page, &strict, *format, view));
            for problem in tried.chain(misnamed(page, &views)) {
                if !problems.contains(&problem) {
                    problems.push(problem);
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
    let summary = ("summary".to_owned(), summary_sample());
    let events = known.chain([unknown, summary]).map(|(name, body)| Event {
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

fn try_page(page: &Page, strict: &Strict, format: Format, view: &View) -> Vec<Problem> {
    let rendered = match strict.render(page, &view.context) {
        Ok(rendered) if rendered.trim().is_empty() => return Vec::new(),
        Ok(rendered) => rendered,
        Err(failure) => {
            let (line, column) = failure.place.unzip();
            let within = failure.template.map(|name| format!("in `{name}`: "));
            let message = format!("{}{}", within.unwrap_or_default(), failure.message);
            return vec![found(page, line, column, message)];
        }
    };
    let written: Value = match serde_json::from_str(&rendered) {
        Ok(written) => written,
        Err(error) => {
            let line = strict.line_of(page, &view.context, error.line(), error.column());
            return vec![found(page, line, None, not_json(&error))];
        }
    };
    let target = match format {
        Format::Slack => Target::Slack(None),
        Format::Discord => Target::Discord(None),
        Format::DingTalk => Target::DingTalk,
        Format::Gogs => return Vec::new(),
    };
    match fit(&rendered, target, view.event_url.as_deref()) {
        Ok(body) => {
            let fitted = serde_json::from_slice(&body).unwrap_or_default();
            let losses = losses(&written, &fitted).into_iter();
            losses.map(|loss| lost(page, loss)).collect()
        }
        Err(error) => vec![found(page, None, None, error)],
    }
}

fn found(page: &Page, line: Option<usize>, column: Option<usize>, message: String) -> Problem {
    let fault = Fault {
        line,
        column,
        message,
        hint: None,
    };
    problem(&page.source, fault)
}

fn lost(page: &Page, loss: Loss) -> Problem {
    let member = format!("\"{}\"", loss.member);
    let mut lines = page.source.text.lines();
    let line = lines
        .position(|line| line.contains(&member))
        .map(|at| at + 1);
    let problem = found(page, line, None, loss.message);
    match loss.is_text {
        true => problem,
        false => Problem {
            severity: Severity::Warning,
            ..problem
        },
    }
}

/// Says so of templates whose name is no event's, because they may never be used.
fn misnamed(page: &Page, views: &[View]) -> Option<Problem> {
    if views.iter().any(|view| serves(page, view)) {
        return None;
    }
    let names = views.iter().flat_map(|view| {
        let by_action = view
            .action
            .as_ref()
            .map(|action| format!("{}-{action}", view.name));
        by_action.into_iter().chain([view.name.clone()])
    });
    let near = names
        .map(|name| (strsim::damerau_levenshtein(&name, &page.source.name), name))
        .min()
        .filter(|(distance, _)| *distance <= 3);
    Some(Problem {
        severity: Severity::Warning,
        hint: near.map(|(_, name)| format!("did you mean `{name}`?")),
        ..found(
            page,
            None,
            None,
            "Gogs has no event or action of this name".to_owned(),
        )
    })
}
