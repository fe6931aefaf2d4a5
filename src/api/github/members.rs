//! Reads members of a body in GitHub's types, and refuses others in its words. Pure.

use serde_json::{Map, Value};

use super::events;
use super::fault::Fault;

pub(super) type Members = Map<String, Value>;

/// A body as an object; what is not there at all is an empty one.
///
/// # Errors
/// It is no JSON, or no object.
pub(super) fn read(body: &[u8]) -> Result<Members, Fault> {
    if body.trim_ascii().is_empty() {
        return Ok(Members::new());
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Members::new()),
        Ok(_) => Err(Fault::BadRequest("Body should be a JSON object")),
        Err(_) => Err(Fault::BadRequest("Problems parsing JSON")),
    }
}

pub(super) fn text<'a>(members: &'a Members, name: &str) -> Result<Option<&'a str>, Fault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong_type(name, other, "a string")),
    }
}

pub(super) fn boolean(members: &Members, name: &str) -> Result<Option<bool>, Fault> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => Err(wrong_type(name, other, "a boolean")),
    }
}

/// Names of events, each once.
pub(super) fn list(members: &Members, name: &str) -> Result<Option<Vec<String>>, Fault> {
    let given = match members.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(given)) => given,
        Some(other) => return Err(wrong_type(name, other, "an array")),
    };
    let mut names: Vec<String> = Vec::new();
    for event in given {
        match event {
            Value::String(event) if !events::is_known(event) => {
                return Err(Fault::Validation(serde_json::json!({
                    "resource": "Hook", "field": name, "code": "invalid", "value": event,
                })));
            }
            Value::String(event) if names.contains(event) => {}
            Value::String(event) => names.push(event.clone()),
            other => return Err(wrong_type(name, other, "a string")),
        }
    }
    Ok(Some(names))
}

/// A member that is not of its type.
pub(super) fn wrong_type(name: &str, value: &Value, wanted: &str) -> Fault {
    // A value may be a secret, so it is told by its type.
    let given = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Fault::Invalid(format!("For 'properties/{name}', {given} is not {wanted}."))
}
