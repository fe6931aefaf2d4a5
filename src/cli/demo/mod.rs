//! `demo`: the relay at work, with stand-ins for Slack, Discord and a receiver of Gogs' format. One
//! signed delivery of every event goes in, a few sends fail on purpose, and what arrived is shown
//! as a person would see it.

mod show;

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use hyper::Method;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Outcome, check, paint, send};
use crate::app::{self, Listeners};
use crate::clock::Clock;
use crate::config::{Config, Loaded};
use crate::plan::{Sample, samples};
use crate::standin::{Ending, FakeDiscord, FakeGogs, FakeSlack, Script, StandIn};

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

const SECRET: &str = "demo-secret";

/// Longer than any honest run: then something is wrong with the machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(_: &Args) -> Outcome {
    let runtime = tokio::runtime::Runtime::new().context("failed to start the runtime")?;
    let clock = Clock::system();
    let shown = runtime.block_on(clock.timeout(PATIENCE, demo(&clock)));
    shown.context("the demo did not come to an end")??;
    Ok(())
}

async fn demo(clock: &Clock) -> anyhow::Result<()> {
    let services = Services::start(clock).await?;
    services.fail_a_few();
    let folder = Folder::new()?;
    let (hooks, admin) = (
        TcpListener::bind("127.0.0.1:0").await?,
        TcpListener::bind("127.0.0.1:0").await?,
    );
    let addresses = (hooks.local_addr()?, admin.local_addr()?);
    let loaded = services.config(&folder.0)?;
    introduce(addresses.0, &loaded.config)?;

    let shutdown = CancellationToken::new();
    let listeners = Listeners {
        hooks,
        admin,
        hangup: Arc::default(),
    };
    let relay = app::run(
        loaded,
        listeners,
        clock.clone(),
        shutdown.clone(),
        Box::new(std::io::sink()),
    );
    let story = async {
        let told = tell(&services, addresses, clock).await;
        shutdown.cancel();
        told
    };
    let (served, told) = tokio::join!(relay, story);
    served.and(told)
}

/// Sends every event, and shows each message when it arrives.
async fn tell(
    services: &Services,
    (hooks, admin): (SocketAddr, SocketAddr),
    clock: &Clock,
) -> anyhow::Result<()> {
    let events = one_of_each_event();
    let started = clock.elapsed();
    for sample in &events {
        send::deliver(
            &format!("http://{hooks}/hooks/gogs"),
            SECRET,
            &sample.event,
            &sample.body,
        )
        .await?;
    }
    let took = clock.elapsed().saturating_sub(started);
    let count = events.len();
    say(&format!(
        "{count} deliveries sent as Gogs sends them; all on disk and acknowledged after {} ms\n",
        took.as_millis()
    ))?;
    let (slack, discord, gogs) = tokio::join!(
        services.slack.show(count, show::slack),
        services.discord.show(count, show::discord),
        services.gogs.show(count, show::gogs),
    );
    slack.and(discord).and(gogs)?;
    conclude(services, admin).await
}

/// The most telling sample of each event.
fn one_of_each_event() -> Vec<Sample> {
    let telling = [
        "commits",
        "branch",
        "fork",
        "opened",
        "created",
        "merged",
        "published",
    ];
    samples()
        .into_iter()
        .filter(|sample| {
            let merged_stands_for_it = sample.event == "pull_request" && sample.what == "opened";
            telling.contains(&sample.what.as_str()) && !merged_stands_for_it
        })
        .collect()
}

/// The three stand-ins.
struct Services {
    slack: Service,
    discord: Service,
    gogs: Service,
}

struct Service {
    name: &'static str,
    standin: StandIn,
}

impl Services {
    async fn start(clock: &Clock) -> anyhow::Result<Services> {
        let start = "failed to start a stand-in";
        Ok(Services {
            slack: Service {
                name: "slack",
                standin: StandIn::start(FakeSlack::default(), clock.clone())
                    .await
                    .context(start)?,
            },
            discord: Service {
                name: "discord",
                standin: StandIn::start(FakeDiscord::default(), clock.clone())
                    .await
                    .context(start)?,
            },
            gogs: Service {
                name: "ci",
                standin: StandIn::start(FakeGogs::with_secret(SECRET), clock.clone())
                    .await
                    .context(start)?,
            },
        })
    }

    /// What a night brings: a rate limit, a server error, a connection that breaks.
    fn fail_a_few(&self) {
        self.slack
            .standin
            .script([Script::status(429).header("retry-after", "1")]);
        self.discord
            .standin
            .script([Script::status(502), Script::status(503)]);
        self.gogs
            .standin
            .script([Script::status(0).ending(Ending::Closes)]);
    }

    fn config(&self, folder: &Path) -> anyhow::Result<Loaded> {
        let text = format!(
            "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\nsources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations:\n\
             \x20 slack: {{ slack: {{ url: '{slack}' }}, {RETRY} }}\n\
             \x20 discord: {{ discord: {{ url: '{discord}' }}, {RETRY} }}\n\
             \x20 ci: {{ gogs: {{ url: '{gogs}', secret: {SECRET} }}, {RETRY} }}\n",
            slack = self.slack.standin.url(),
            discord = self.discord.standin.url(),
            gogs = self.gogs.standin.url(),
        );
        let path = folder.join("relay.yaml");
        std::fs::write(&path, text)
            .with_context(|| format!("failed to write {}", path.display()))?;
        check::load_with_warnings(&path)
            .map_err(|_| anyhow::anyhow!("the demo's own configuration is broken"))
    }
}

/// Short, so that the demo is.
const RETRY: &str = "retry: { first: 300ms, max: 2s }";

impl Service {
    /// Shows the first `count` requests that were accepted, as they come; and those that were not.
    async fn show(&self, count: usize, message: impl Fn(&[u8]) -> String) -> anyhow::Result<()> {
        let (mut seen, mut accepted) = (0, 0);
        while accepted < count {
            let received = self.standin.wait_for(seen + 1).await;
            for request in &received[seen..] {
                let well = (200..300).contains(&request.status);
                accepted += usize::from(well);
                let line = if well {
                    message(&request.body)
                } else {
                    show::failure(request)
                };
                say(&show::bubble(self.name, &line))?;
            }
            seen = received.len();
        }
        Ok(())
    }
}

fn introduce(hooks: SocketAddr, config: &Config) -> anyhow::Result<()> {
    let paint = paint::stdout();
    let names: Vec<String> = config
        .destinations
        .keys()
        .map(|name| paint.bold(name))
        .collect();
    say(&format!(
        "A relay takes deliveries at http://{hooks}/hooks/gogs and brings them to {}.",
        names.join(", ")
    ))?;
    say(
        "The three services are stand-ins; they fail a few times on purpose, and count what the real ones would refuse.\n",
    )
}

async fn conclude(services: &Services, admin: SocketAddr) -> anyhow::Result<()> {
    let mut violations = Vec::new();
    for service in [&services.slack, &services.discord, &services.gogs] {
        violations.extend(
            service
                .standin
                .violations()
                .into_iter()
                .map(|wrong| format!("{}: {wrong}", service.name)),
        );
    }
    let url = format!("http://{admin}/v1/deliveries?state=delivered&limit=500");
    let (_, answer) = send::request(Method::GET, &url, &[], bytes::Bytes::new()).await?;
    let answer: serde_json::Value = serde_json::from_slice(&answer)?;
    let delivered = answer["deliveries"].as_array().map_or(0, Vec::len);
    if !violations.is_empty() {
        bail!(
            "the stand-ins would have refused:\n{}",
            violations.join("\n")
        );
    }
    say(&format!(
        "\n{delivered} deliveries made, in order for each destination; what failed was sent again. Next:"
    ))?;
    say("  gogs-relay init     writes a relay.yaml of your own")?;
    say(
        "  gogs-relay          runs it; then point a Gogs at it, or try `gogs-relay send --event push`",
    )
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("failed to print")
}

/// A folder of its own, gone with the value.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Folder> {
        let path =
            std::env::temp_dir().join(format!("gogs-relay-demo-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left in the temporary folder does no harm.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}
