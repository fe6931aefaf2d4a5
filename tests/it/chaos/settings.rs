//! The relay.yaml of the chaos test, in its variants, and what each of them plans.

use std::collections::BTreeMap;
use std::path::Path;

/// Every destination.
pub const NAMES: [&str; 7] = ["first", "second", "loose", "team", "ops", "extra", "down"];
/// How many variants of relay.yaml there are.
pub const VARIANTS: usize = 3;
pub const BRANCHES: [&str; 3] = ["main", "dev", "lone"];
pub const SECRET: &str = "chaos-secret";
pub const FREE_DISK: u64 = 8 << 20;

/// Kind of a destination.
pub fn kind(name: &str) -> &'static str {
    match name {
        "team" => "slack",
        "ops" => "discord",
        _ => "gogs",
    }
}

pub fn is_strict(name: &str) -> bool {
    name != "loose"
}

/// Where an event of this branch goes under a variant; never to more than five, because answers
/// name no more.
pub fn plan(variant: usize, branch: &str) -> Vec<&'static str> {
    let mut plan = match (variant, branch) {
        (_, "lone") => vec!["first"],
        (0, "main") => vec!["first", "loose", "down", "second", "team"],
        (0, _) => vec!["first", "loose", "ops", "extra"],
        (1, "main") => vec!["first", "ops", "loose"],
        (1, _) => vec!["first", "team", "second"],
        (_, "main") => vec!["extra", "team", "ops", "second"],
        (_, _) => vec!["loose", "down", "first"],
    };
    plan.sort_unstable();
    plan
}

/// The text of a variant, with these URLs.
pub fn yaml(variant: usize, data: &Path, urls: &BTreeMap<&'static str, String>) -> String {
    let mut yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: 127.0.0.1:0 }}\ndata: {}\nshutdown_grace: 4s\n\
         limits: {{ free_disk: {FREE_DISK}B }}\nsources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n",
        data.display()
    );
    let planned = |name| {
        BRANCHES
            .iter()
            .any(|branch| plan(variant, branch).contains(&name))
    };
    for name in NAMES.into_iter().filter(|name| planned(*name)) {
        let (kind, url) = (kind(name), &urls[name]);
        let secret = if kind == "gogs" {
            format!(", secret: {SECRET}")
        } else {
            String::new()
        };
        let form = if name == "second" {
            ", content_type: form"
        } else {
            ""
        };
        let order = if is_strict(name) {
            "strict"
        } else {
            "loose\n    concurrency: 4"
        };
        // Settings that differ by the variant: a change of them ends an automatic hold.
        let timeout = if name == "ops" {
            2000 + variant * 100
        } else {
            2000
        };
        yaml.push_str(&format!(
            "  {name}:\n    {kind}: {{ url: '{url}'{secret}{form} }}\n    order: {order}\n    rate: unlimited\n\
             \x20   timeout: {timeout}ms\n    retry: {{ first: 50ms, factor: 2, max: 400ms }}\n"
        ));
    }
    yaml.push_str("routes:\n");
    for branch in BRANCHES {
        let to = plan(variant, branch).join(", ");
        yaml.push_str(&format!("  - {{ branches: [{branch}], to: [{to}] }}\n"));
    }
    yaml
}
