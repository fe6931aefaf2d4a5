//! Finds what fit had to change in a message, for `check`: on samples, that is the template's doing.

use serde_json::Value;

/// One thing that the service would not have taken as the template writes it.
pub(super) struct Loss {
    /// The name of the member in question.
    pub(super) member: String,
    pub(super) message: String,
    /// Whether text was lost, rather than an ornament.
    pub(super) is_text: bool,
}

/// What of `written` is not in `fitted`.
pub(super) fn losses(written: &Value, fitted: &Value) -> Vec<Loss> {
    let mut found = Vec::new();
    collect("", written, Some(fitted), &mut found);
    found
}

fn collect(member: &str, written: &Value, fitted: Option<&Value>, found: &mut Vec<Loss>) {
    let mut lose = |is_text, what: &str| {
        found.push(Loss {
            member: member.to_owned(),
            message: format!("`{member}` {what}"),
            is_text,
        });
    };
    match (written, fitted) {
        (Value::Object(written), Some(Value::Object(fitted))) => {
            for (name, value) in written {
                collect(name, value, fitted.get(name), found);
            }
        }
        (Value::Array(items), Some(Value::Array(kept))) => {
            let items: Vec<&Value> = items.iter().filter(|item| !is_nothing(item)).collect();
            if items.len() > kept.len() {
                lose(true, "has more entries than the service takes");
            }
            for (item, kept) in items.into_iter().zip(kept) {
                collect(member, item, Some(kept), found);
            }
        }
        (Value::String(text), Some(Value::String(kept))) if !is_cut(text) && is_cut(kept) => {
            lose(true, "is longer than the service takes");
        }
        (written, None) if !is_nothing(written) => {
            lose(
                false,
                "holds what the service does not take, and is left out",
            );
        }
        _ => {}
    }
}

fn is_cut(text: &str) -> bool {
    text.ends_with('…') || text.ends_with("…\n```")
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
        Value::Array(items) => items.iter().all(is_nothing),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
