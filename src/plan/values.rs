//! The helpers that give a value: text, numbers, dates and conditions.

use std::borrow::Cow;
use std::str::FromStr;

use handlebars::{JsonTruthy, PathAndJson, RenderError};
use serde_json::Value;

use super::helpers::{Arguments, shown, wrong};

/// Helpers that give a value, which is then escaped like any other.
pub(super) const ALL: [(&str, Compute); 12] = [
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

/// What such a helper does.
pub(super) type Compute = fn(&Arguments<'_, '_>) -> Result<Value, RenderError>;

/// All that a service, or the escape for it, would begin a new line at.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// The first seven characters: enough of a commit's hash.
fn short(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    Ok(short_of(&arguments.text(0)?).into())
}

pub(super) fn short_of(text: &str) -> &str {
    let end = text.char_indices().nth(7).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// The first line that is not blank, trimmed; with `exact=true` what stands before the first `\n`.
fn first_line(arguments: &Arguments<'_, '_>) -> Result<Value, RenderError> {
    let text = arguments.text(0)?;
    Ok(match arguments.flag("exact") {
        true => text.split('\n').next().unwrap_or_default(),
        false => first_line_of(&text),
    }
    .into())
}

pub(super) fn first_line_of(text: &str) -> &str {
    let mut lines = text.split(LINE_ENDS).map(str::trim);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
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
        let (kept, has_more) = first_lines(&without_comments(&text), lines);
        (text, is_cut) = (kept.into(), has_more);
    }
    Ok(truncated(&text, most, is_cut).into())
}

/// At most so many characters, the last of them `…` when something was or is cut.
pub(super) fn truncated(text: &str, most: usize, is_cut: bool) -> Cow<'_, str> {
    if !is_cut && text.chars().nth(most).is_none() {
        return text.into();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end()).into()
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
        Some(many) => shown(many),
        None => one + "s",
    };
    Ok(match arguments.flag("count") {
        true => format!("{} {word}", shown(number)).into(),
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
    let zone = arguments.optional(2).map(shown);
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
