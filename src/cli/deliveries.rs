//! `deliveries`: find, explain, send again, cancel; over the own API of a running relay.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::api::{Address, Client, moment, text};
use super::paint::{self, tame};
use super::redeliver::{self, Redeliver};
use super::{Failure, Outcome, say};
use crate::clock::Timestamp;

/// What a list shows of a delivery.
pub(super) const HEADER: [&str; 6] = ["ID", "STATE", "RECEIVED", "TRIES", "WHAT", "WHY"];
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List deliveries, newest first
    List(List),
    /// Show one in full: every attempt, the last answer, the body as sent
    Show {
        /// EVENT:DESTINATION, for example 1234:team-slack; 1234 alone shows what arrived
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        address: Address,
    },
    /// Send one again, whatever became of it; or all that a filter finds, oldest first
    Redeliver(Redeliver),
    /// Cancel one that waits
    Cancel {
        /// EVENT:DESTINATION, for example 1234:team-slack
        id: String,
        #[command(flatten)]
        address: Address,
    },
}

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// waiting, sending, delivered, skipped, dead, cancelled, held or unrouted
    #[arg(long)]
    pub(super) state: Option<String>,
    /// Only to this destination
    #[arg(long)]
    destination: Option<String>,
    /// Only through this source
    #[arg(long)]
    source: Option<String>,
    /// Only this event, for example push
    #[arg(long)]
    event: Option<String>,
    /// Only this repository, for example orbit/lander
    #[arg(long)]
    repo: Option<String>,
    /// Only received since this time (RFC 3339), or younger than this: 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only with this text in the summary
    #[arg(short)]
    q: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    address: Address,
}

pub(super) fn run(config: &Path, command: Command) -> Outcome {
    match command {
        Command::List(list) => list_deliveries(config, &list),
        Command::Show { id, json, address } => show(config, &id, json, &address),
        Command::Redeliver(args) => redeliver::run(&Client::new(config, &args.address)?, &args),
        Command::Cancel { id, address } => {
            Client::new(config, &address)?.delete(&format!("/v1/deliveries/{}", escape(&id)))?;
            say(format!("{id} is cancelled"))
        }
    }
}

fn list_deliveries(config: &Path, list: &List) -> Outcome {
    let client = Client::new(config, &list.address)?;
    let (found, more) = collect(&client, list)?;
    let mut out = std::io::stdout().lock();
    if list.json {
        writeln!(out, "{}", serde_json::json!({ "deliveries": found }))
            .context("failed to print")?;
        return Ok(());
    }
    if found.is_empty() {
        return say("no deliveries");
    }
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    paint::table(&mut out, &HEADER, &rows).context("failed to print")?;
    if more {
        writeln!(out, "there are more; `--limit` shows them").context("failed to print")?;
    }
    Ok(())
}

/// A request works 25 ms at most and then says where to go on, so this asks until it has enough.
fn collect(client: &Client, list: &List) -> Result<(Vec<Value>, bool), Failure> {
    let mut found: Vec<Value> = Vec::new();
    let mut cursor: Option<String> = None;
    let wanted = list.limit as usize;
    loop {
        let mut page = client.get(&format!(
            "/v1/deliveries?{}",
            query(list, wanted - found.len(), cursor.as_deref())
        ))?;
        if let Value::Array(deliveries) = page["deliveries"].take() {
            found.extend(deliveries);
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() || found.len() >= wanted {
            return Ok((found, cursor.is_some()));
        }
    }
}

fn query(list: &List, limit: usize, cursor: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &limit.to_string());
    for (name, value) in list.filter.parts() {
        query.append_pair(name, &value);
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    query.finish()
}

impl Filter {
    /// What is asked for, as the own API names it.
    pub(super) fn parts(&self) -> Vec<(&'static str, String)> {
        let since = self.since.map(|time| time.to_string());
        let parts = [
            ("state", self.state.clone()),
            ("destination", self.destination.clone()),
            ("source", self.source.clone()),
            ("event", self.event.clone()),
            ("repo", self.repo.clone()),
            ("since", since),
            ("q", self.q.clone()),
        ];
        let given = parts.into_iter();
        given
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

pub(super) fn row(delivery: &Value) -> Vec<String> {
    let why = match delivery["state"].as_str() {
        Some("held") => &delivery["why"],
        _ if delivery["last_error"].is_string() => &delivery["last_error"],
        _ => &delivery["why"],
    };
    let mut why = tame(&text(why));
    if delivery["state"] == "dead" {
        why = format!(
            "{why}; kept until {}",
            to_the_second(&delivery["kept_until"])
        );
    }
    vec![
        text(&delivery["id"]),
        text(&delivery["state"]),
        to_the_second(&delivery["received"]),
        text(&delivery["attempts"]),
        tame(&text(&delivery["summary"])),
        why,
    ]
}

/// `2026-03-13T18:00:00.123Z` without the fraction.
pub(super) fn to_the_second(time: &Value) -> String {
    match text(time).split_once('.') {
        Some((time, _)) => format!("{time}Z"),
        None => text(time),
    }
}

fn show(config: &Path, id: &str, json: bool, address: &Address) -> Outcome {
    let is_event = id.parse::<u64>().is_ok();
    let kind = if is_event { "events" } else { "deliveries" };
    let found = Client::new(config, address)?.get(&format!("/v1/{kind}/{}", escape(id)))?;
    if json {
        return say(found);
    }
    let mut out = std::io::stdout().lock();
    let shown = if is_event {
        explain_event(&mut out, &found)
    } else {
        explain(&mut out, &found)
    };
    Ok(shown.context("failed to print")?)
}

fn explain_event(out: &mut dyn Write, event: &Value) -> std::io::Result<()> {
    let (paint, id) = (paint::stdout(), text(&event["event"]));
    let name = text(&event["name"]);
    writeln!(out, "{}  {}", paint.bold(&id), tame(&name))?;
    members(out, event, &["source", "received", "delivery_id"])?;
    missed(out, event)?;
    long_text(out, "the body as it arrived", &text(&event["body"]))?;
    let advice = format!("`gogs-relay deliveries redeliver {id}:NAME` sends it to a destination");
    writeln!(out, "{}", paint.dim(&advice))
}

fn explain(out: &mut dyn Write, delivery: &Value) -> std::io::Result<()> {
    let paint = paint::stdout();
    writeln!(
        out,
        "{}  {}",
        paint.bold(&text(&delivery["id"])),
        text(&delivery["state"])
    )?;
    let names = [
        "summary",
        "why",
        "source",
        "route",
        "received",
        "settled",
        "next_try",
        "kept_until",
        "template",
        "fallback",
    ];
    members(out, delivery, &names)?;
    missed(out, delivery)?;
    for attempt in delivery["attempts"].as_array().into_iter().flatten() {
        let times = match attempt["count"].as_u64() {
            Some(count) if count > 1 => {
                format!(" ({count} times since {})", text(&attempt["first"]))
            }
            _ => String::new(),
        };
        let (last, took) = (text(&attempt["last"]), text(&attempt["duration_ms"]));
        writeln!(
            out,
            "  {last}  {}{times}, {took} ms",
            tame(&text(&attempt["verdict"]))
        )?;
    }
    long_text(out, "the last answer", &text(&delivery["answer"]))?;
    long_text(out, "the body as sent", &text(&delivery["sent"]))
}

/// Those of the members that say something, one a line.
fn members(out: &mut dyn Write, value: &Value, names: &[&str]) -> std::io::Result<()> {
    for name in names {
        if let Some(text) = value[name].as_str().filter(|text| !text.is_empty()) {
            writeln!(out, "  {name:<10} {}", tame(text))?;
        }
    }
    Ok(())
}

/// The push before it, if that never reached the relay.
fn missed(out: &mut dyn Write, value: &Value) -> std::io::Result<()> {
    match value["missed"]["words"].as_str() {
        Some(words) => writeln!(out, "  {:<10} {}", "missed", tame(words)),
        None => Ok(()),
    }
}

fn long_text(out: &mut dyn Write, title: &str, text: &str) -> std::io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", paint::stdout().dim(&format!("--- {title}")))?;
    let lines: Vec<String> = text.lines().map(tame).collect();
    writeln!(out, "{}", lines.join("\n"))
}

/// An id as one segment of a path.
pub(super) fn escape(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}
