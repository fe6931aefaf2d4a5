//! Renders one page: bounded, with panics caught, and strictly when `check` asks.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use handlebars::{
    Context, Handlebars, Output, RenderContext, RenderError, RenderErrorReason, Renderable,
};

use super::shelf::Page;
use super::trace_lines;

/// What a template renders stops here, in bytes.
const LONGEST_OUTPUT: usize = 4 * 1024 * 1024;

/// A noncharacter that stands for `[object]` in a strict render, where the output sees it.
const WHOLE_OBJECT: char = '\u{fdd1}';

/// Renders strictly, for `check`.
pub(super) struct Strict {
    registry: Handlebars<'static>,
}

impl Strict {
    /// The same templates and helpers, strictly.
    pub(super) fn of(lenient: &Handlebars<'static>) -> Strict {
        let mut registry = lenient.clone();
        registry.set_strict_mode(true);
        let escape = lenient.clone();
        registry.register_escape_fn(move |text| match text.contains("[object]") {
            true => WHOLE_OBJECT.to_string(),
            false => escape.get_escape_fn()(text),
        });
        Strict { registry }
    }

    /// What the page renders to; of a broken page, nothing.
    pub(super) fn render(&self, page: &Page, context: &Context) -> Result<String, Failure> {
        match page.broken {
            Some(_) => Ok(String::new()),
            None => render_with(&self.registry, page, context),
        }
    }
}

impl Strict {
    /// The line of the page that wrote what stands at `line` and `column` of what it renders.
    pub(super) fn line_of(
        &self,
        page: &Page,
        context: &Context,
        line: usize,
        column: usize,
    ) -> Option<usize> {
        let numbered = trace_lines::numbered(self.registry.get_template(&page.key)?);
        let mut out = Bounded::new(true);
        let mut state = RenderContext::new(None);
        numbered
            .render(&self.registry, context, &mut state, &mut out)
            .ok()?;
        trace_lines::line_of(&out.text, line, column)
    }
}

/// Why a template failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// `default/slack/_commits` and the like, when the place is in a partial.
    pub(super) template: Option<String>,
    pub(super) place: Option<(usize, usize)>,
    pub(super) message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => self.message.fmt(f),
        }
    }
}

/// What the page renders to: the one place where templates run.
pub(super) fn render_with(
    registry: &Handlebars<'static>,
    page: &Page,
    context: &Context,
) -> Result<String, Failure> {
    // A bug in a helper must cost a message's wording, not the lane that sends it.
    let caught = catch_unwind(AssertUnwindSafe(|| {
        // `check` names the file that a fault is in; otherwise speed counts.
        let key = match registry.strict_mode() {
            true => &page.key,
            false => &page.whole_key,
        };
        let Some(template) = registry.get_template(key) else {
            return Ok(String::new());
        };
        let mut out = Bounded::new(registry.strict_mode());
        let mut state = RenderContext::new(template.name.as_ref());
        template.render(registry, context, &mut state, &mut out)?;
        Ok(out.text)
    }));
    match caught {
        Ok(Ok(rendered)) => Ok(rendered),
        Ok(Err(error)) => Err(Failure::from(&error, page)),
        Err(_) => Err(Failure {
            template: None,
            place: None,
            message: "rendering panicked".to_owned(),
        }),
    }
}

impl Failure {
    fn from(error: &RenderError, page: &Page) -> Failure {
        let named = error.template_name.clone();
        Failure {
            template: named.filter(|name| *name != page.key),
            place: error.line_no.zip(error.column_no),
            message: match error.reason() {
                RenderErrorReason::MissingVariable(Some(path)) => {
                    format!("there is no field `{path}` here")
                }
                RenderErrorReason::IOError(error) => error.to_string(),
                reason => reason.to_string(),
            },
        }
    }
}

/// Collects what is rendered, up to a limit.
struct Bounded {
    text: String,
    strict: bool,
}

impl Bounded {
    fn new(strict: bool) -> Bounded {
        Bounded {
            text: String::with_capacity(4096),
            strict,
        }
    }
}

impl Output for Bounded {
    fn write(&mut self, text: &str) -> io::Result<()> {
        if self.strict && text.contains(WHOLE_OBJECT) {
            let message = "this is a whole object or list: name one of its fields, or use `json`";
            return Err(io::Error::other(message));
        }
        if self.text.len() + text.len() > LONGEST_OUTPUT {
            let message = format!("renders more than {} KiB", LONGEST_OUTPUT / 1024);
            return Err(io::Error::other(message));
        }
        self.text.push_str(text);
        Ok(())
    }
}
