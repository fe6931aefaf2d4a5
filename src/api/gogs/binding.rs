//! From a body to what is wished, with Go's rules for JSON and Gogs' words for what breaks them.
//! Knows nothing of hooks. Pure.

use std::collections::BTreeMap;

use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::super::{Answer, json};
use super::shapes::encoded;
use crate::plan::mend_surrogates;

/// What a body asks for. What it leaves out, or gives as null, is absent here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kind: Option<String>,
    pub(super) config: Option<BTreeMap<String, String>>,
    pub(super) events: Option<Vec<String>>,
    pub(super) active: Option<bool>,
}

/// What a body is for; Gogs has a name for each.
#[derive(Clone, Copy, Debug)]
pub(super) enum Purpose {
    Create,
    Edit,
}

/// Why a body is not taken: a list in the shape of Gogs' framework.
#[derive(Debug)]
pub(super) struct Unbound(StatusCode, Vec<BindingError>);

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BindingError {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    field_names: Vec<&'static str>,
    classification: &'static str,
    message: String,
}

/// Reads a body.
///
/// # Errors
/// Its content type is none that Gogs takes, or it is not of the right shape.
pub(super) fn wish(purpose: Purpose, headers: &HeaderMap, body: &[u8]) -> Result<Wish, Unbound> {
    let content_type = headers.get(CONTENT_TYPE);
    let content_type = content_type.map_or("", |value| value.to_str().unwrap_or("?"));
    // As loosely as Gogs does.
    if content_type.contains("form-urlencoded") {
        return Ok(of_form(body));
    }
    if !content_type.contains("json") {
        let words = match content_type {
            "" => "Empty Content-Type",
            _ => "Unsupported Content-Type",
        };
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Unbound::one(status, "ContentTypeError", words.to_owned()));
    }
    of_json(purpose, body)
        .map_err(|words| Unbound::one(StatusCode::BAD_REQUEST, "DeserializationError", words))
}

impl Unbound {
    /// These fields have to be there.
    pub(super) fn required(fields: &[&'static str]) -> Unbound {
        let error = |field: &&'static str| BindingError {
            field_names: vec![*field],
            classification: "RequiredError",
            message: "Required".to_owned(),
        };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Unbound(status, fields.iter().map(error).collect())
    }

    fn one(status: StatusCode, classification: &'static str, message: String) -> Unbound {
        let error = BindingError {
            field_names: Vec::new(),
            classification,
            message,
        };
        Unbound(status, vec![error])
    }

    pub(super) fn answer(&self) -> Answer {
        json(self.0, encoded(&self.1))
    }
}

/// A form has no way to say `config`, so only the rest is read.
fn of_form(body: &[u8]) -> Wish {
    let mut wish = Wish::default();
    for (name, value) in form_urlencoded::parse(body) {
        match &*name {
            "type" => wish.kind = Some(value.into_owned()),
            "active" => wish.active = Some(matches!(&*value, "true" | "1" | "on")),
            "events" => wish.events.get_or_insert_default().push(value.into_owned()),
            _ => {}
        }
    }
    wish
}

fn of_json(purpose: Purpose, body: &[u8]) -> Result<Wish, String> {
    let text = String::from_utf8_lossy(body);
    let text = mend_surrogates(text.as_bytes());
    // Go reads the first value, and does not look at what follows.
    let mut values = serde_json::Deserializer::from_slice(&text).into_iter();
    let members = match values.next() {
        None | Some(Ok(Value::Null)) => return Ok(Wish::default()),
        Some(Ok(Value::Object(members))) => members,
        Some(Ok(value)) => return Err(purpose.cannot(&value, "Go value", purpose.option())),
        Some(Err(error)) => return Err(in_words_of_go(&text, &error)),
    };
    let field = |name: &'static str| Field {
        purpose,
        name,
        value: member(&members, name),
    };
    Ok(Wish {
        kind: field("type").text()?,
        config: field("config").texts_by_name()?,
        events: field("events").texts()?,
        active: field("active").switch()?,
    })
}

/// A member by its name, or by one that differs in case alone.
fn member<'v>(members: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    let alike = || {
        members
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let found = members.get(name).or_else(|| Some(alike()?.1));
    found.filter(|value| !value.is_null())
}

/// A member that is to have a certain type.
struct Field<'v> {
    purpose: Purpose,
    name: &'static str,
    value: Option<&'v Value>,
}

impl Field<'_> {
    fn text(&self) -> Result<Option<String>, String> {
        self.value.map(|value| self.text_of(value)).transpose()
    }

    fn texts(&self) -> Result<Option<Vec<String>>, String> {
        let all = |value: &Value| {
            let values = value
                .as_array()
                .ok_or_else(|| self.cannot(value, "[]string"))?;
            values.iter().map(|value| self.text_of(value)).collect()
        };
        self.value.map(all).transpose()
    }

    fn texts_by_name(&self) -> Result<Option<BTreeMap<String, String>>, String> {
        let all = |value: &Value| {
            let values = value.as_object();
            let values = values.ok_or_else(|| self.cannot(value, "map[string]string"))?;
            let named = values.iter();
            named
                .map(|(name, value)| Ok((name.clone(), self.text_of(value)?)))
                .collect()
        };
        self.value.map(all).transpose()
    }

    fn switch(&self) -> Result<Option<bool>, String> {
        let one = |value: &Value| value.as_bool().ok_or_else(|| self.cannot(value, "bool"));
        self.value.map(one).transpose()
    }

    /// Null is the empty text in Go.
    fn text_of(&self, value: &Value) -> Result<String, String> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Ok(String::new()),
            other => Err(self.cannot(other, "string")),
        }
    }

    fn cannot(&self, value: &Value, wanted: &str) -> String {
        let place = format!("Go struct field {}.{}", self.purpose.name(), self.name);
        self.purpose.cannot(value, &place, wanted)
    }
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Purpose::Create => "CreateHookOption",
            Purpose::Edit => "EditHookOption",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Purpose::Create => "gogs.CreateHookOption",
            Purpose::Edit => "gogs.EditHookOption",
        }
    }

    fn cannot(self, value: &Value, place: &str, wanted: &str) -> String {
        let found = match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        format!("json: cannot unmarshal {found} into {place} of type {wanted}")
    }
}

/// What Go would say of broken JSON.
fn in_words_of_go(text: &[u8], error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let line = text
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1));
    let line = String::from_utf8_lossy(line.unwrap_or_default());
    let column = error.column().saturating_sub(1);
    let rest = line.get(column..).unwrap_or_default();
    let sign = rest.chars().next().unwrap_or('\n');
    let words = error.to_string();
    let place = if words.starts_with("expected `:`") {
        "after object key"
    } else if words.starts_with("expected `,` or `}`") {
        "after object key:value pair"
    } else if words.starts_with("expected `,` or `]`") {
        "after array element"
    } else if words.starts_with("key must be a string")
        || (words.starts_with("trailing comma") && sign == '}')
    {
        "looking for beginning of object key string"
    } else if words.starts_with("control character") {
        "in string literal"
    } else if words.starts_with("invalid escape") {
        "in string escape code"
    } else {
        "looking for beginning of value"
    };
    format!("invalid character {sign:?} {place}")
}
