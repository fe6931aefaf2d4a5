//! The helpers that templates may call. All take null and missing values as they come; only a
//! strict render, for `check`, calls a missing one a mistake.

use std::borrow::Cow;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender, JsonTruthy, Output,
    PathAndJson, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::Value;

use super::escape::{Format, Label};
use super::values;

/// Helpers that may open a block.
pub(super) const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// Helpers that write themselves, so they cannot stand inside another helper's parentheses.
pub(super) const WRITERS: [&str; 3] = ["link", "raw", "json"];

/// Puts exactly these helpers and the four blocks into the registry, with the format's escape.
pub(super) fn register(registry: &mut Handlebars<'_>, format: Format) {
    for unwanted in ["lookup", "log", "ne", "gt", "gte", "lt", "lte"] {
        registry.unregister_helper(unwanted);
    }
    for (name, compute) in values::ALL {
        registry.register_helper(name, Box::new(ValueHelper(compute)));
    }
    for (name, write) in [("link", link as Write), ("raw", raw), ("json", json)] {
        registry.register_helper(name, Box::new(Writer { format, write }));
    }
    registry.register_escape_fn(move |text| format.plain(text));
}

/// Whether `name` can be called for its value.
pub(super) fn is_value(name: &str) -> bool {
    values::ALL.iter().any(|(value, _)| *value == name)
}

/// The names of all helpers, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let values = values::ALL.iter().map(|(name, _)| *name);
    values.chain(WRITERS).chain(BLOCKS)
}

type Write = fn(&Arguments<'_, '_>, Format) -> Result<String, RenderError>;

/// What a helper is called with.
pub(super) struct Arguments<'a, 'rc> {
    pub(super) helper: &'a Helper<'rc>,
    pub(super) strict: bool,
}

impl<'rc> Arguments<'_, 'rc> {
    /// An argument that may be anything but, when strict, not misspelt.
    pub(super) fn get(&self, at: usize) -> Result<&Value, RenderError> {
        match self.helper.param(at) {
            Some(value) => self.present(value),
            None if self.strict => Err(wrong(self.helper.name(), "is missing an argument")),
            None => Ok(&Value::Null),
        }
    }

    fn present<'v>(&self, value: &'v PathAndJson<'rc>) -> Result<&'v Value, RenderError> {
        if self.strict && value.is_value_missing() {
            return Err(RenderError::strict_error(value.relative_path()));
        }
        Ok(value.value())
    }

    pub(super) fn text(&self, at: usize) -> Result<Cow<'_, str>, RenderError> {
        self.get(at).map(shown)
    }

    /// An argument that may be left out or be missing.
    pub(super) fn optional(&self, at: usize) -> Option<&Value> {
        let value = self.helper.param(at).map(PathAndJson::value);
        value.filter(|value| !value.is_null())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        let value = self.helper.hash_get(name);
        value.is_some_and(|value| value.value().is_truthy(false))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.helper.params().iter().map(PathAndJson::value)
    }
}

struct ValueHelper(values::Compute);

impl HelperDef for ValueHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let strict = registry.strict_mode();
        (self.0)(&Arguments { helper, strict }).map(ScopedJson::Derived)
    }
}

struct Writer {
    format: Format,
    write: Write,
}

impl HelperDef for Writer {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let strict = registry.strict_mode();
        let written = (self.write)(&Arguments { helper, strict }, self.format)?;
        Ok(out.write(&written)?)
    }
}

/// `link text url…`: the parts of the URL are put together. `code=true` shows the text as code,
/// `raw=true` keeps its formatting.
fn link(arguments: &Arguments<'_, '_>, format: Format) -> Result<String, RenderError> {
    let text = arguments.text(0)?;
    let mut url = arguments.text(1)?;
    for at in 2..arguments.helper.params().len() {
        url.to_mut().push_str(&arguments.text(at)?);
    }
    let label = match (arguments.flag("code"), arguments.flag("raw")) {
        (true, _) => Label::Code,
        (false, true) => Label::Raw,
        (false, false) => Label::Plain,
    };
    Ok(format.link(&text, &url, label))
}

fn raw(arguments: &Arguments<'_, '_>, format: Format) -> Result<String, RenderError> {
    Ok(format.raw(&arguments.text(0)?))
}

/// The value as JSON, quotes included, each text in it escaped as `{{x}}` would be.
fn json(arguments: &Arguments<'_, '_>, format: Format) -> Result<String, RenderError> {
    let mut written = String::new();
    write_json(arguments.get(0)?, format, &mut written);
    Ok(written)
}

fn write_json(value: &Value, format: Format, written: &mut String) {
    let quote = |text: &str, written: &mut String| {
        written.push('"');
        written.push_str(&format.plain(text));
        written.push('"');
    };
    match value {
        Value::String(text) => quote(text, written),
        Value::Array(items) => {
            written.push('[');
            for (at, item) in items.iter().enumerate() {
                written.push_str(if at > 0 { "," } else { "" });
                write_json(item, format, written);
            }
            written.push(']');
        }
        Value::Object(members) => {
            written.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                written.push_str(if at > 0 { "," } else { "" });
                quote(name, written);
                written.push(':');
                write_json(member, format, written);
            }
            written.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => written.push_str(&value.to_string()),
    }
}

/// What `{{x}}` shows of a value, before it is escaped.
pub(super) fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.render()),
    }
}

/// A mistake in how a helper is called.
pub(super) fn wrong(helper: &str, what: &str) -> RenderError {
    RenderErrorReason::Other(format!("helper `{helper}`: {what}")).into()
}
