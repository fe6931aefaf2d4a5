//! `salvage`: a new queue from what can be read of a damaged one, and what to do with it.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::{Failure, Outcome, check, paint, print, say};
use crate::clock::Clock;
use crate::queue::{self, Salvaged, Step, Tally};
use crate::trail;

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(super) struct Args {
    /// The data folder; relay.yaml says which when this does not
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The new queue's folder, on a disk with room for it; beside the old one by default
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const AFTER: &str = "\
Stop the relay first. The damaged queue is only read, never changed. What came back and what did
not is told; then two `mv` commands put the new queue in place, and the old one stays as it is.";

pub(super) fn run(config: &Path, args: Args) -> Outcome {
    let data = match args.data {
        Some(data) => data,
        None => check::load(config)?.data,
    };
    let from = data.join("queue");
    if !from.join("db").exists() {
        let advice = anyhow!(
            "there is no queue in {}; --data names another data folder",
            data.display()
        );
        return Err(Failure::Usage(Some(advice)));
    }
    let to = args.to.unwrap_or_else(|| data.join("queue.salvaged"));
    let mut shown = Shown::default();
    let now = Clock::system().now();
    let salvaged = queue::salvage(&from, &to, now, &mut |step, done, of| {
        shown.show(step, done, of);
    });
    shown.clear();
    let salvaged = salvaged.with_context(|| format!("failed to salvage {}", from.display()))?;
    match args.json {
        true => say(as_json(&salvaged, &from, &to)),
        false => {
            let mut text = Vec::new();
            tell(&mut text, &salvaged, &from, &to).context("failed to print")?;
            print(&text)
        }
    }
}

/// How far it is, on a terminal and nowhere else.
#[derive(Default)]
struct Shown(Option<(Step, u64)>);

impl Shown {
    fn show(&mut self, step: Step, done: u64, of: u64) {
        let percent = done * 100 / of.max(1);
        if self.0 == Some((step, percent)) || !io::stderr().is_terminal() {
            return;
        }
        self.0 = Some((step, percent));
        let what = match step {
            Step::Reading => "reading the damaged queue",
            Step::Writing => "writing the new one",
        };
        // A terminal that takes no text is no reason to stop.
        write!(io::stderr(), "\r\x1b[K{what}: {percent} %").ok();
    }

    fn clear(&self) {
        if self.0.is_some() {
            // As above.
            write!(io::stderr(), "\r\x1b[K").ok();
        }
    }
}

fn tell(out: &mut dyn Write, salvaged: &Salvaged, from: &Path, to: &Path) -> io::Result<()> {
    let row = |what: &str, tally: Tally| {
        vec![
            what.to_owned(),
            tally.back.to_string(),
            tally.lost.to_string(),
        ]
    };
    let rows = [
        row("events", salvaged.events),
        row("deliveries that wait", salvaged.waiting),
        row("dead letters", salvaged.dead),
        row("history", salvaged.history),
    ];
    paint::table(out, &["", "came back", "lost"], &rows)?;
    for missing in &salvaged.missing {
        writeln!(out, "missing: {missing}")?;
    }
    writeln!(out)?;
    let lanes: Vec<Vec<String>> = (salvaged.lanes.iter())
        .map(|lane| {
            let note = match (lane.is_unknown, lane.lost) {
                (true, _) => "held: how far it had come cannot be read".to_owned(),
                (false, 0) => String::new(),
                (false, lost) => format!("{lost} whose event is lost are dead letters"),
            };
            vec![
                paint::tame(&lane.destination),
                lane.waiting.to_string(),
                note,
            ]
        })
        .collect();
    paint::table(out, &["destination", "waiting", ""], &lanes)?;
    if salvaged.lanes.iter().any(|lane| lane.is_unknown) {
        writeln!(
            out,
            "\nOf what waits in a held destination, some was delivered before. Look at it with\n\
             `gogs-relay destinations list`; `destinations resume NAME` sends all of it."
        )?;
    }
    writeln!(
        out,
        "\nWhat was settled in the last moments before the damage may be sent again.\n\n\
         The damaged queue is as it was. To go on with the new one:\n  mv {} {}\n  mv {} {}",
        quoted(from),
        quoted(&aside(from)),
        quoted(to),
        quoted(from),
    )
}

fn as_json(salvaged: &Salvaged, from: &Path, to: &Path) -> Value {
    let tally = |tally: Tally| json!({ "back": tally.back, "lost": tally.lost });
    json!({
        "events": tally(salvaged.events),
        "waiting": tally(salvaged.waiting),
        "dead": tally(salvaged.dead),
        "history": tally(salvaged.history),
        "missing": salvaged.missing.iter().map(trail::missing).collect::<Vec<Value>>(),
        "destinations": salvaged.lanes.iter().map(|lane| json!({
            "name": lane.destination,
            "waiting": lane.waiting,
            "lost": lane.lost,
            "held": lane.is_unknown,
        })).collect::<Vec<Value>>(),
        "unreadable_places": salvaged.holes,
        "from": from,
        "to": to,
    })
}

/// Where the damaged queue may be moved.
fn aside(from: &Path) -> PathBuf {
    let names = (1..).map(|n| match n {
        1 => "queue.damaged".to_owned(),
        n => format!("queue.damaged-{n}"),
    });
    let mut places = names.map(|name| from.with_file_name(name));
    // The numbers do not end before the names that are taken do.
    places
        .find(|place| !place.exists())
        .unwrap_or_else(|| from.with_file_name("queue.damaged"))
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,=".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
