//! The helpers that templates may call. All take null and missing values as they come; only a
//! strict render, for `check`, calls a missing one a mistake.

use std::str::FromStr;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, JsonRender, JsonTruthy, Output,
    PathAndJson, RenderContext, RenderError, RenderErrorReason, ScopedJson,
};
use serde_json::Value;

use super::escape::{Format, Label};

/// Helpers that may open a block.
pub(super) const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];

/// Helpers that write themselves, so they cannot stand inside another helper's parentheses.
pub(super) const WRITERS: [&str; 3] = ["link", "raw", "json"];

/// Helpers that give a value, which is then escaped like any other.
const VALUES: [(&str, Compute); 12] = [
    ("short", short),
    ("first_line", first_line),
    ("truncate", truncate),
    ("concat", concat),
    ("plural", plural),
    ("default", default),
    ("eq", eq),
    ("and", and),
    ("or", or),
    ("not", not),
    ("len", len),
    ("date", date),
];

/// Puts exactly these helpers and the four blocks into the registry, with the format's escape.
pub(super) fn register(registry: &mut Handlebars<'_>, format: Format) {
    for unwanted in ["lookup", "log", "ne", "gt", "gte", "lt", "lte"] {
        registry.unregister_helper(unwanted);
    }
    for (name, compute) in VALUES {
        registry.register_helper(name, Box::new(ValueHelper(compute)));
    }
    for (name, write) in [("link", link as Write), ("raw", raw), ("json", json)] {
        registry.register_helper(name, Box::new(Writer { format, write }));
    }
    registry.register_escape_fn(move |text| format.plain(text));
}

/// Whether `name` can be called for its value.
pub(super) fn is_value(name: &str) -> bool {
    VALUES.iter().any(|(value, _)| *value == name)
}

/// The names of all helpers, for suggestions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let values = VALUES.iter().map(|(name, _)| *name);
    values.chain(WRITERS).chain(BLOCKS)
}

/// All that a service, or the escape for it, would begin a new line at.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

type Compute = fn(&Arguments<'_, '_>) -> Result<Value, RenderError>;
type Write = fn(&Arguments<'_, '_>, Format) -> Result<String, RenderError>;

/// What a helper is called with.
struct Arguments<'a, 'rc> {
    helper: &'a Helper<'rc>,
    strict: bool,
}

impl<'rc> Arguments<'_, 'rc> {
    /// An argument that may be anything but, when strict, not misspelt.
    fn get(&self, at: usize) -> Result<&Value, RenderError> {
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

    fn text(&self, at: usize) -> Result<String, RenderError> {
        Ok(self.get(at)?.render())
    }

    /// An argument that may be left out or be missing.
    fn optional(&self, at: usize) -> Option<&Value> {
        let value = self.helper.param(at).map(PathAndJson::value);
        value.filter(|value| !value.is_null())
    }

    fn flag(&self, name: &str) -> bool {
        let value = self.helper.hash_get(name);
        value.is_some_and(|value| value.value().is_truthy(false))
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.helper.params().iter().map(PathAndJson::value)
    }
}

struct ValueHelper(Compute);

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
        url.push_str(&arguments.text(at)?);
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

/// The first seven characters: enough of a commit's hash.
fn short(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    Ok(arguments
        .text(0)?
        .chars()
        .take(7)
        .collect::<String>()
        .into())
}

/// The first line that is not blank, trimmed; with `exact=true` what stands before the first `\n`.
fn first_line(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let text = arguments.text(0)?;
    if arguments.flag("exact") {
        return Ok(text.split('\n').next().unwrap_or_default().into());
    }
    let mut lines = text.split(LINE_ENDS).map(str::trim);
    Ok(lines
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .into())
}

/// `truncate text n`: at most n characters, the last of them `…` when something was cut. With
/// `lines=8` at most so many lines as well, blank ones and HTML comments left out.
fn truncate(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let mut text = arguments.text(0)?;
    let most = arguments.get(1)?.as_u64();
    let most = match most {
        Some(most) => usize::try_from(most).unwrap_or(usize::MAX),
        None if arguments.strict => return Err(wrong("truncate", "needs a number of characters")),
        None => return Ok(text.into()),
    };
    let lines = arguments.helper.hash_get("lines");
    let mut is_cut = false;
    if let Some(lines) = lines.and_then(|lines| usize::try_from(lines.value().as_u64()?).ok()) {
        (text, is_cut) = first_lines(&without_comments(&text), lines);
    }
    if !is_cut && text.chars().nth(most).is_none() {
        return Ok(text.into());
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    Ok(format!("{}…", kept.trim_end()).into())
}

/// The first lines that are not blank, and whether there are others.
fn first_lines(text: &str, most: usize) -> (String, bool) {
    let lines = text.split(LINE_ENDS).map(str::trim_end);
    let mut lines = lines.filter(|line| !line.is_empty());
    let kept: Vec<&str> = lines.by_ref().take(most).collect();
    (kept.join("\n"), lines.next().is_some())
}

/// Templates of issues explain themselves in comments that nobody is meant to read afterwards.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("<!--") {
        let Some((_, behind)) = comment.split_once("-->") else {
            break;
        };
        kept.push_str(before);
        rest = behind;
    }
    kept + rest
}

/// `concat a b …`: all of them, one after the other.
fn concat(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let parts = 0..arguments.helper.params().len();
    let parts: Result<String, RenderError> = parts.map(|at| arguments.text(at)).collect();
    Ok(parts?.into())
}

/// `plural n one many`: the word that goes with the number; `many` is `one` with an s if left out.
/// With `count=true` the number stands before it.
fn plural(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let number = arguments.get(0)?;
    let one = arguments.text(1)?;
    let word = match arguments.optional(2) {
        _ if number.as_f64() == Some(1.0) => one,
        Some(many) => many.render(),
        None => format!("{one}s"),
    };
    Ok(match arguments.flag("count") {
        true => format!("{} {word}", number.render()).into(),
        false => word.into(),
    })
}

/// The first argument that is not missing, null, empty or false; else the last.
fn default(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let found = arguments.values().find(|value| value.is_truthy(true));
    let last = || arguments.values().last();
    Ok(found.or_else(last).cloned().unwrap_or_default())
}

fn eq(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let (one, other) = (arguments.helper.param(0), arguments.helper.param(1));
    Ok((one.map(PathAndJson::value) == other.map(PathAndJson::value)).into())
}

fn and(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    Ok(arguments
        .values()
        .all(|value| value.is_truthy(false))
        .into())
}

fn or(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    Ok(arguments
        .values()
        .any(|value| value.is_truthy(false))
        .into())
}

fn not(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let value = arguments.helper.param(0).map(PathAndJson::value);
    Ok((!value.is_some_and(|value| value.is_truthy(false))).into())
}

/// How many items, members or characters there are; 0 of null.
fn len(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    Ok(match arguments.get(0)? {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::String(text) => text.chars().count(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
    .into())
}

/// `date time "%d %B %Y, %H:%M" "Europe/Berlin"`: strftime's letters; without a zone the time's own.
fn date(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let text = arguments.text(0)?;
    let format = arguments.text(1)?;
    let zone = arguments.optional(2).map(JsonRender::render);
    if text.is_empty() {
        return Ok(Value::Null);
    }
    match dated(&text, &format, zone.as_deref()) {
        Ok(date) => Ok(date.into()),
        Err(error) if arguments.strict => Err(wrong("date", &error.to_string())),
        Err(_) => Ok(text.into()),
    }
}

fn dated(text: &str, format: &str, zone: Option<&str>) -> Result<String, jiff::Error> {
    let moment = jiff::Timestamp::from_str(text)?;
    let zone = match zone {
        Some(name) => jiff::tz::TimeZone::get(name)?,
        None => {
            let pieces = jiff::fmt::temporal::Pieces::parse(text)?;
            let offset = pieces.to_numeric_offset().unwrap_or(jiff::tz::Offset::UTC);
            jiff::tz::TimeZone::fixed(offset)
        }
    };
    jiff::fmt::strtime::format(format, &moment.to_zoned(zone))
}

fn wrong(helper: &str, what: &str) -> RenderError {
    RenderErrorReason::Other(format!("helper `{helper}`: {what}")).into()
}
