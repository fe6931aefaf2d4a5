//! Holds answers against what GitHub says of its own API: `tests/fixtures/github/hooks.json`, cut
//! by `scripts/cut-github-schema.mjs`. Knows the words of JSON Schema that are used there, and no
//! others.

use std::sync::LazyLock;

use serde_json::Value;

static GITHUB: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read_to_string("tests/fixtures/github/hooks.json").unwrap();
    serde_json::from_str(&text).unwrap()
});

/// The operation at a path below `/api/v3`, and what is wrong with an answer of it.
pub(super) fn violations(
    method: &str,
    path: &str,
    status: u16,
    body: &[u8],
) -> (String, Vec<String>) {
    let Some(operation) = operation(method, path) else {
        return (
            format!("{method} {path}"),
            vec!["GitHub has no such route".to_owned()],
        );
    };
    let id = operation["operationId"].as_str().unwrap().to_owned();
    let mut wrong = Vec::new();
    let listed = &operation["answers"][status.to_string()];
    match listed {
        Value::Null if status == 204 && body.is_empty() => {}
        Value::Null if !matches!(status, 401 | 404 | 422) => {
            wrong.push(format!("{status} is no answer of it"));
        }
        _ => {
            let schema = if listed.is_null() {
                error(status)
            } else {
                listed
            };
            match serde_json::from_slice(body) {
                Ok(body) => check(&body, schema, "", &mut wrong),
                Err(_) => wrong.push("no JSON".to_owned()),
            }
        }
    }
    (id, wrong)
}

/// What GitHub answers any call with that is refused like this, whether it says so of each or not:
/// as another of its operations has it. A 401 has the form of a 404.
fn error(status: u16) -> &'static Value {
    let status = if status == 401 { 404 } else { status }.to_string();
    let paths = GITHUB["paths"].as_object().unwrap().values();
    let mut operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let schema = operations.find_map(|operation| operation["answers"].get(&status));
    schema.filter(|schema| !schema.is_null()).unwrap()
}

/// The names of all operations.
pub(super) fn operations() -> Vec<String> {
    let paths = GITHUB["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| path.as_object().unwrap().values());
    let ids = operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned());
    ids.collect()
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let fits = |template: &str| {
        let (ours, theirs) = (path.split('/'), template.split('/'));
        ours.clone().count() == theirs.clone().count()
            && ours
                .zip(theirs)
                .all(|(our, their)| our == their || their.starts_with('{'))
    };
    let mut paths = GITHUB["paths"].as_object().unwrap().iter();
    let (_, methods) = paths.find(|(template, _)| fits(template))?;
    methods.get(method.to_lowercase())
}

fn check(value: &Value, schema: &Value, place: &str, wrong: &mut Vec<String>) {
    for (word, rule) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "type" => match rule {
                Value::String(name) => is_of(value, name),
                names => names
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|name| is_of(value, name.as_str().unwrap())),
            },
            "required" => {
                let names = rule.as_array().unwrap().iter().filter_map(Value::as_str);
                let missing = names.filter(|name| value.is_object() && value.get(name).is_none());
                wrong.extend(missing.map(|name| format!("{place}/{name} is missing")));
                true
            }
            "properties" | "items" => {
                for (place, part, rule) in parts(value, word, rule, place) {
                    check(part, rule, &place, wrong);
                }
                true
            }
            "oneOf" => {
                let fits = |schema: &&Value| {
                    let mut wrong = Vec::new();
                    check(value, schema, place, &mut wrong);
                    wrong.is_empty()
                };
                rule.as_array().unwrap().iter().filter(fits).count() == 1
            }
            "format" => has_format(value, rule.as_str().unwrap()),
            "additionalProperties" => {
                assert_eq!(*rule, Value::Bool(true), "not known here");
                true
            }
            other => panic!("{other} is not known here"),
        };
        if !holds {
            wrong.push(format!("{place} is not of {word} {rule}"));
        }
    }
}

/// What a value is made of, each with its place and its own schema.
fn parts<'a>(
    value: &'a Value,
    word: &str,
    rule: &'a Value,
    place: &str,
) -> Vec<(String, &'a Value, &'a Value)> {
    if word == "items" {
        let items = value.as_array().into_iter().flatten().enumerate();
        return items
            .map(|(at, item)| (format!("{place}/{at}"), item, rule))
            .collect();
    }
    let rules = rule.as_object().unwrap().iter();
    let members =
        rules.filter_map(|(name, rule)| Some((format!("{place}/{name}"), value.get(name)?, rule)));
    members.collect()
}

fn has_format(value: &Value, format: &str) -> bool {
    match (format, value.as_str()) {
        ("uri", Some(text)) => url::Url::parse(text).is_ok(),
        ("date-time", Some(text)) => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        ("int64" | "uri" | "date-time", _) => true,
        (other, _) => panic!("{other} is not known here"),
    }
}

fn is_of(value: &Value, name: &str) -> bool {
    match name {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("{other} is not known here"),
    }
}

#[test]
fn what_github_would_not_say_is_found() {
    let path = "/repos/a/b/hooks/7/config";
    let of = |body: &str| violations("GET", path, 200, body.as_bytes()).1;
    assert_eq!(of(r#"{"url":"http://x/","insecure_ssl":"0"}"#), [""; 0]);
    assert_eq!(of(r#"{"url":"nowhere"}"#).len(), 1);
    assert_eq!(of(r#"{"insecure_ssl":true}"#).len(), 1);
    assert_eq!(of("[]").len(), 1);
    let (id, wrong) = violations("GET", "/repos/a/b/hooks/7", 200, b"{}");
    assert_eq!(id, "repos/get-webhook");
    assert!(wrong.len() >= 10, "{wrong:?}");
    assert_eq!(operations().len(), 12);
}
