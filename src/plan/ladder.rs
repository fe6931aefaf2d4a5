//! The ladder that a message comes down when a step of it fails.

use bytes::Bytes;

use super::context::View;
use super::escape::{Format, Label};
use super::fit::{Target, fit};
use super::shelf::{Page, Shelf};
use crate::destination::{Destination, Kind};
use crate::event::{Event, EventId};

/// The steps of the ladder, from what the user wants to what always works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The destination's own set.
    Chosen,
    /// The built-in `default` set.
    Default,
    /// One plain line with a link.
    Plain,
}

/// A body ready to be sent, within the service's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// JSON, but for the console: text.
    pub body: Bytes,
    /// `<set>/<kind>/<name>`; `plain` for the last step, empty for Gogs' format passed through.
    pub template: String,
    /// A short hash of the template and its partials.
    pub fingerprint: String,
    /// The step it came from.
    pub step: Step,
    /// Why the steps before failed.
    pub fallback: Option<String>,
}

/// What rendering came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rendered {
    Message(Message),
    /// The template rendered nothing but white space: nothing is to be sent.
    Skip {
        template: String,
        fingerprint: String,
    },
    /// Not even the last step gave anything.
    Failed(String),
}

/// One walk down the ladder.
pub(super) struct Climb<'a> {
    pub(super) event: &'a Event,
    pub(super) id: EventId,
    pub(super) destination: &'a Destination,
    pub(super) not: Option<&'a [u8]>,
    pub(super) failures: Vec<String>,
}

impl Climb<'_> {
    /// A template's message, unless it fails or is the refused one again.
    pub(super) fn step(&mut self, step: Step, shelf: &Shelf, view: &View) -> Option<Rendered> {
        let page = shelf.page(&view.name, view.action.as_deref())?;
        match self.body(shelf, page, view) {
            Ok(Some(body)) if self.not != Some(&body) => {
                Some(self.message(body, step, &page.label, &page.fingerprint))
            }
            Ok(Some(_)) => None,
            Ok(None) => Some(Rendered::Skip {
                template: page.label.clone(),
                fingerprint: page.fingerprint.clone(),
            }),
            Err(error) => {
                let failure = format!("{}: {error}", page.label);
                if !self.failures.contains(&failure) {
                    self.failures.push(failure);
                }
                None
            }
        }
    }

    /// The fitted body, or nothing when the template rendered nothing.
    fn body(&self, shelf: &Shelf, page: &Page, view: &View) -> Result<Option<Bytes>, String> {
        let rendered = shelf.render(page, &view.context)?;
        if rendered.trim().is_empty() {
            return Ok(None);
        }
        let target = Target::from(&self.destination.kind);
        fit(&rendered, target, view.event_url.as_deref()).map(Some)
    }

    /// The last step: what needs no template.
    pub(super) fn last(mut self, view: Option<&View>) -> Rendered {
        let kind = &self.destination.kind;
        let passes_through = kind.takes_payloads();
        let body = match passes_through {
            true => Ok(self.event.body.clone()),
            false => fit(&self.plain_line(view), Target::from(kind), None),
        };
        match body {
            Ok(body) if self.not != Some(&body) => match passes_through {
                true if self.failures.is_empty() => self.message(body, Step::Chosen, "", ""),
                true => self.message(body, Step::Default, "", ""),
                false => self.message(body, Step::Plain, "plain", ""),
            },
            Ok(_) => Rendered::Failed(self.failures.join("; ")),
            Err(error) => {
                self.failures.push(format!("plain: {error}"));
                Rendered::Failed(self.failures.join("; "))
            }
        }
    }

    /// A message of one line: what happened, linked to where it can be seen.
    fn plain_line(&self, view: Option<&View>) -> String {
        let name = self.event.name.replace('_', " ");
        let words = view.map_or(name, |view| view.summary.clone());
        let words = format!("{words} (event {})", self.id);
        let url = view
            .and_then(|view| view.event_url.as_deref())
            .unwrap_or_default();
        let format = format_of(&self.destination.kind);
        if format == Format::DingTalk {
            // A text takes no Markdown, so it cannot be refused for that.
            let line = format.plain(&format!("{words} {url}"));
            return format!("{{\"msgtype\":\"text\",\"text\":{{\"content\":\"{line}\"}}}}");
        }
        let line = match url.is_empty() {
            true => format.plain(&words),
            false => format.link(&words, url, Label::Plain),
        };
        let name = if format == Format::Discord {
            "content"
        } else {
            "text"
        };
        format!("{{\"{name}\":\"{line}\"}}")
    }

    fn message(&self, body: Bytes, step: Step, template: &str, fingerprint: &str) -> Rendered {
        let failures = &self.failures;
        Rendered::Message(Message {
            body,
            template: template.to_owned(),
            fingerprint: fingerprint.to_owned(),
            step,
            fallback: (!failures.is_empty()).then(|| failures.join("; ")),
        })
    }
}

/// Which templates a kind of destination takes; the console shows what Slack would, and those of
/// GitHub and WebSub take none.
pub(super) fn format_of(kind: &Kind) -> Format {
    match kind {
        Kind::Slack(_) | Kind::Console => Format::Slack,
        Kind::Discord(_) => Format::Discord,
        Kind::DingTalk(_) => Format::DingTalk,
        Kind::Gogs(_) | Kind::GitHub(_) | Kind::WebSub(_) => Format::Gogs,
    }
}
