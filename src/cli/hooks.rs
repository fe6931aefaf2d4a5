//! `hooks`: those that were added over the hook APIs, through the own API of a running relay.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::api::{Address, Client, confirm, deliveries, text};
use super::deliveries::to_the_second;
use super::paint::{self, tame};
use super::{Outcome, say};
use crate::hook::Hook;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show all hooks, and how their lanes stand
    List {
        /// Print the answer of the own API
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Show all that is known of one
    Show {
        /// Its number, or the name of its lane (hook:7)
        #[arg(value_parser = hook_id)]
        id: u64,
        /// Print the answer of the own API
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Remove one, and cancel what waits for it
    Delete {
        /// Its number, or the name of its lane (hook:7)
        #[arg(value_parser = hook_id)]
        id: u64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        address: Address,
    },
}

pub(super) fn run(config: &Path, command: Command) -> Outcome {
    match command {
        Command::List { json, address } => list(&Client::new(config, &address)?, json),
        Command::Show { id, json, address } => show(&Client::new(config, &address)?, id, json),
        Command::Delete { id, yes, address } => delete(&Client::new(config, &address)?, id, yes),
    }
}

fn hook_id(text: &str) -> Result<u64, String> {
    let id = Hook::of_lane(text).or_else(|| text.parse().ok());
    id.ok_or_else(|| "not the id of a hook; `gogs-relay hooks list` shows them".to_owned())
}

fn path(id: u64) -> String {
    format!("/v1/hooks/{id}")
}

fn list(client: &Client, json: bool) -> Outcome {
    let answer = client.get("/v1/hooks")?;
    if json {
        return say(answer);
    }
    let hooks = answer["hooks"].as_array().into_iter().flatten();
    let rows: Vec<Vec<String>> = hooks.map(row).collect();
    if rows.is_empty() {
        return say("no hooks");
    }
    let header = [
        "ID",
        "REPOSITORY",
        "KIND",
        "URL",
        "EVENTS",
        "STATE",
        "WAITING",
        "WHY",
    ];
    let mut out = std::io::stdout().lock();
    paint::table(&mut out, &header, &rows).context("failed to print")?;
    Ok(())
}

fn row(hook: &Value) -> Vec<String> {
    let lane = &hook["lane"];
    let why = lane["reason"].as_str().or(lane["last_error"].as_str());
    vec![
        text(&hook["id"]),
        tame(&text(&hook["repository"])),
        text(&hook["kind"]),
        tame(&text(&hook["url"])),
        events(hook),
        state(hook),
        text(&lane["waiting"]),
        tame(why.unwrap_or_default()),
    ]
}

fn events(hook: &Value) -> String {
    let events = hook["events"].as_array().into_iter().flatten();
    let events: Vec<String> = events.map(text).collect();
    match events.as_slice() {
        [all] if all == "*" => "all".to_owned(),
        _ => tame(&events.join(", ")),
    }
}

fn state(hook: &Value) -> String {
    match hook["active"].as_bool() {
        Some(false) => "inactive".to_owned(),
        _ => text(&hook["lane"]["state"]).replace('_', " "),
    }
}

fn show(client: &Client, id: u64, json: bool) -> Outcome {
    let hook = client.get(&path(id))?;
    if json {
        return say(hook);
    }
    let lane = &hook["lane"];
    let secret = match hook["has_secret"].as_bool() {
        Some(true) => "deliveries are signed",
        _ => "deliveries are not signed",
    };
    let facts = [
        ("repository", tame(&text(&hook["repository"]))),
        ("source", text(&hook["source"])),
        ("kind", text(&hook["kind"])),
        ("url", tame(&text(&hook["url"]))),
        ("content type", text(&hook["content_type"])),
        ("secret", secret.to_owned()),
        ("events", events(&hook)),
        ("state", state(&hook)),
        ("why", tame(&text(&lane["reason"]))),
        ("last error", tame(&text(&lane["last_error"]))),
        ("waiting", text(&lane["waiting"])),
        ("dead letters", text(&lane["dead"])),
        ("created", to_the_second(&hook["created"])),
        ("updated", to_the_second(&hook["updated"])),
    ];
    let mut out = std::io::stdout().lock();
    writeln!(out, "hook {id}").context("failed to print")?;
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(out, "  {name:<13} {value}").context("failed to print")?;
    }
    writeln!(
        out,
        "its deliveries: gogs-relay deliveries list --destination hook:{id}"
    )
    .context("failed to print")?;
    Ok(())
}

fn delete(client: &Client, id: u64, yes: bool) -> Outcome {
    let hook = client.get(&path(id))?;
    if !yes {
        let waiting = hook["lane"]["waiting"].as_u64().unwrap_or(0);
        let (repository, url) = (tame(&text(&hook["repository"])), tame(&text(&hook["url"])));
        let question = format!(
            "Delete hook {id} of {repository} to {url}, and cancel {} that wait?",
            deliveries(waiting)
        );
        confirm(&question, "--yes")?;
    }
    client.delete(&path(id))?;
    say(format!("hook {id} is deleted"))
}
