//! `gogs sync`: every repository gets the relay's hook, and keeps it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use secrecy::SecretString;
use url::{Host, Url};

use super::{Access, choose, remark, repositories, transport};
use crate::cli::given::wrong;
use crate::cli::paint::{self, tame};
use crate::cli::{Failure, Outcome, block_on, check, say};
use crate::clock::Clock;
use crate::config::{Config, Source, time_in_words};
use crate::fleet::{
    Action, Address, Change, Chosen, EVENTS, Report, Sync, Unaccepted, Wanted, mark, ping,
};
use crate::send::transport::Transport;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    access: Access,
    /// The source in relay.yaml that the hooks post to [default: the only one]
    #[arg(long)]
    source: Option<String>,
    /// The events that hooks get [default: all]
    #[arg(long, value_name = "EVENT", value_delimiter = ',', value_parser = EVENTS)]
    events: Vec<String>,
    /// A public URL that the relay had before: hooks that lead there are moved
    #[arg(long, value_name = "URL")]
    was: Vec<Url>,
    /// How long a hook that is replaced stays, switched off, so that Gogs sends what it has queued
    /// for it
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    settle: Duration,
    /// Do not first ask the relay, at its public URL, whether it accepts the secret
    #[arg(long)]
    no_ping: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(path: &Path, args: &Args) -> Outcome {
    let config = check::load(path)?;
    let (name, source) = source(&config, args.source.as_deref())?;
    let patterns = args.access.patterns()?;
    let clock = Clock::system();
    let transport = transport(config.egress.clone(), &clock);
    let mut gogs = args.access.gogs(&transport, &clock)?;
    let wanted = wanted(&config, name, source, args);
    if is_loopback(wanted.address.url()) && !is_loopback(gogs.url()) {
        remark(
            "hooks will lead to this machine itself: `public_url` of relay.yaml says where others find the relay",
        )?;
    }
    let done = block_on(async {
        let (chosen, user) = choose(&mut gogs, &args.access, &patterns).await?;
        let mut sync = Sync {
            gogs: &mut gogs,
            wanted: &wanted,
            secret: source.secrets.first(),
            settle: args.settle,
            folds: source.same_body.is_some(),
            clock,
        };
        let report = if args.dry_run {
            sync.look(&chosen.repositories, progress).await
        } else {
            let ready = async || match args.no_ping {
                true => Ok(()),
                false => ping_all(&transport, wanted.address.url(), source).await,
            };
            let synced = sync.run(&chosen.repositories, ready, progress).await;
            let url = wanted.address.url();
            let refused = || format!("{} is not ready for hooks, so nothing was done", bare(url));
            synced.with_context(refused)?
        };
        Ok((report, chosen, user))
    });
    paint::progress("");
    let (report, chosen, user) = done?;
    print(&report, &chosen, &user, args.json)?;
    verdict(&report)
}

fn progress(words: &str) {
    paint::progress(&tame(words));
}

fn time(text: &str) -> Result<Duration, String> {
    time_in_words(text).ok_or_else(|| "write a time such as 30s or 5m".to_owned())
}

/// Where there are several, whoever asks has to say which.
fn source<'c>(config: &'c Config, name: Option<&str>) -> Result<(&'c str, &'c Source), Failure> {
    if name.is_none() && config.sources.len() > 1 {
        let known: Vec<&str> = config.sources.keys().map(AsRef::as_ref).collect();
        let known = known.join(", ");
        return Err(wrong(format!("name the source with --source: {known}")));
    }
    let (name, source) = config.source(name).map_err(wrong)?;
    Ok((name, source))
}

fn wanted(config: &Config, name: &str, source: &Source, args: &Args) -> Wanted {
    let mark = source.secrets.first().map(|secret| mark(secret, name));
    let is_asked =
        |event: &&str| args.events.is_empty() || args.events.iter().any(|it| it == event);
    Wanted {
        address: Address::new(&config.public_url, name, mark.as_deref(), &args.was),
        events: EVENTS.into_iter().filter(is_asked).collect(),
    }
}

/// Deliveries that Gogs has queued are signed with the older secrets, so those count too.
async fn ping_all(transport: &Transport, hook: &Url, source: &Source) -> Result<(), Unaccepted> {
    if source.secrets.is_empty() {
        return ping(transport, hook, None).await;
    }
    for secret in &source.secrets {
        let secret: &SecretString = secret;
        ping(transport, hook, Some(secret)).await?;
    }
    Ok(())
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Without its mark, and without whatever else may be secret about it.
fn bare(url: &Url) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

fn print(report: &Report, chosen: &Chosen, user: &str, json: bool) -> Outcome {
    if json {
        let report = serde_json::to_string(report).context("failed to print")?;
        return say(report);
    }
    let rows: Vec<Vec<String>> = rows(report);
    if !rows.is_empty() {
        let mut out = std::io::stdout().lock();
        paint::table(&mut out, &["REPOSITORY", "WHAT", "WHY"], &rows).context("failed to print")?;
    }
    say(summary(report))?;
    match chosen.not_administered {
        0 => Ok(()),
        more => say(format!(
            "{} more fit, but {} does not administer them",
            repositories(more),
            tame(user)
        )),
    }
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for outcome in &report.repositories {
        let name = tame(&outcome.repository);
        for change in &outcome.changes {
            let what = in_words(change, report.dry_run);
            rows.push(vec![name.clone(), what, tame(&change.why)]);
        }
        if let Some(error) = &outcome.error {
            rows.push(vec![name, "failed".to_owned(), tame(error)]);
        }
    }
    rows
}

fn in_words(change: &Change, would: bool) -> String {
    let (done, to_do) = match change.action {
        Action::Make => ("made", "make"),
        Action::Repair => ("repaired", "repair"),
        Action::SwitchOff => ("switched off", "switch off"),
        Action::Remove => ("removed", "remove"),
    };
    let verb = match would {
        true => format!("would {to_do}"),
        false => done.to_owned(),
    };
    match change.hook {
        Some(id) => format!("{verb} hook {id}"),
        None => format!("{verb} a hook"),
    }
}

fn summary(report: &Report) -> String {
    let (changed, fine, failed) = report.counts();
    let all = repositories(report.repositories.len());
    if changed + failed == 0 {
        return format!("{all}: nothing to do");
    }
    let verb = match report.dry_run {
        true => "would be changed",
        false => "changed",
    };
    let failed = match failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    format!("{all}: {changed} {verb}, {fine} as they should be{failed}")
}

/// What was done stands in the table; here only how it ended.
fn verdict(report: &Report) -> Outcome {
    if let Some(why) = &report.stopped {
        let again = anyhow!("{why}; it is safe to run this again");
        return Err(again.into());
    }
    match report.counts() {
        (_, _, 0) => Ok(()),
        (_, _, failed) => {
            let failed = repositories(failed);
            Err(anyhow!("{failed} failed; it is safe to run this again").into())
        }
    }
}
