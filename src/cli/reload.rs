//! `reload`: has the running relay put in force what changed in relay.yaml and the templates.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::Value;

use super::api::{Address, Client, text};
use super::paint::tame;
use super::{Failure, Outcome, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

pub(super) fn run(config: &Path, args: &Args) -> Outcome {
    match Client::new(config, &args.address)?.reload()? {
        Ok(report) if args.json => say(report),
        Ok(report) => say(in_words(&report)),
        Err(drawing) => {
            let mut out = std::io::stderr().lock();
            let drawing = drawing.lines().map(tame).collect::<Vec<_>>().join("\n");
            writeln!(out, "{drawing}").context("failed to print")?;
            let advice = anyhow!("nothing was changed; the relay goes on with what it has");
            Err(Failure::Usage(Some(advice)))
        }
    }
}

fn in_words(report: &Value) -> String {
    let mut lines = match names(&report["changed"]) {
        changed if changed.is_empty() => vec!["nothing has changed".to_owned()],
        changed => vec![format!("in force: {changed}")],
    };
    let fixed = names(&report["needs_restart"]);
    if !fixed.is_empty() {
        lines.push(format!("needs a restart: {fixed}"));
    }
    for moved in list(&report["taken_over"]) {
        let (was, destination) = (text(&moved["was"]), text(&moved["destination"]));
        lines.push(format!("{destination} goes on where {was} was"));
    }
    for gone in list(&report["orphaned"]) {
        lines.push(orphaned(gone));
    }
    for warning in list(&report["warnings"]) {
        let line = warning["line"].as_u64().map(|line| format!(":{line}"));
        let place = text(&warning["file"]) + &line.unwrap_or_default();
        lines.push(format!("warning: {place}: {}", text(&warning["message"])));
    }
    let tamed: Vec<String> = lines.iter().map(|line| tame(line)).collect();
    tamed.join("\n")
}

fn orphaned(gone: &Value) -> String {
    let name = text(&gone["destination"]);
    match gone["waiting"].as_u64().unwrap_or(0) {
        0 => format!("{name} is gone; nothing waits for it"),
        waiting => format!(
            "{name} is gone, and its lane keeps what waits ({waiting}): \
             `was: {name}` below another destination takes it over, \
             `gogs-relay destinations discard {name}` cancels it"
        ),
    }
}

fn names(value: &Value) -> String {
    let names: Vec<String> = list(value).map(text).collect();
    names.join(", ")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
