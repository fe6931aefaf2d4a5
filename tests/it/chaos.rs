//! Chaos with an oracle: lives of the relay, one after another over the same data, end by
//! `kill -9` or in order while destinations misbehave, wall clocks jump, relay.yaml changes and the
//! disk fills up. Nothing acknowledged is lost, nothing goes where it was not planned, order is
//! kept, and what comes twice has an explanation.
//!
//! `CHAOS_SEEDS=30 CHAOS_SECONDS=20 cargo test chaos` runs it at length; `CHAOS_SEED=7` runs one
//! seed, whose schedule is always the same.

pub mod dice;
mod life;
mod oracle;
mod posts;
mod schedule;
mod settings;
mod sinks;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use gogs_relay::clock::Clock;
use serde_json::Value;

use self::dice::Dice;
use self::life::Life;
use self::oracle::{Decided, Findings, InForce, Lived, Oracle};
use self::posts::Posts;
use self::schedule::{Action, Body, End, Fault};
use self::settings::{NAMES, yaml};
use self::sinks::Sink;
use crate::binary::{PATIENCE, api};
use crate::tmpfs::Tmpfs;

/// Of the file system that the data lie on.
const DISK: u64 = 256 << 20;

/// So long what never passes is refused when all other faults have ended.
const LAST_WORD: Duration = Duration::from_secs(8);

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_everything_acknowledged_arrives_once_planned_and_in_order() {
    let lasts = Duration::from_secs(number("CHAOS_SECONDS", 2));
    let seeds = match number("CHAOS_SEED", 0) {
        0 => 1..=number("CHAOS_SEEDS", 2),
        seed => seed..=seed,
    };
    for seed in seeds {
        let mut dice = Dice::new(seed);
        let clock = Clock::system();
        let mut sinks = Vec::new();
        for name in NAMES {
            sinks.push(Sink::start(name, &clock, dice.split()).await);
        }
        let chaos = move || Chaos::new(clock, sinks).run(seed, dice, lasts);
        tokio::task::spawn_blocking(chaos).await.unwrap();
    }
}

/// One seed's world.
struct Chaos {
    clock: Clock,
    sinks: Vec<Sink>,
    folder: tempfile::TempDir,
    disk: Option<Tmpfs>,
    variant: usize,
    lives: Vec<Lived>,
    in_force: Vec<InForce>,
    cancelled: BTreeSet<(u64, String)>,
    decided: Vec<Decided>,
    violations: Vec<String>,
}

impl Chaos {
    fn new(clock: Clock, sinks: Vec<Sink>) -> Chaos {
        Chaos {
            clock,
            sinks,
            folder: tempfile::tempdir().unwrap(),
            disk: Tmpfs::mount(DISK, "the full disk within chaos"),
            variant: 0,
            lives: Vec::new(),
            in_force: Vec::new(),
            cancelled: BTreeSet::new(),
            decided: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn run(mut self, seed: u64, mut dice: Dice, lasts: Duration) {
        let posts = Posts::start(&self.clock, &mut dice);
        let schedule = schedule::draw(&mut dice, lasts, self.disk.is_some());
        for life in &schedule {
            self.live(life, &posts);
        }
        let mut findings = self.judge(posts);
        for sink in &self.sinks {
            let wrong = sink.violations().into_iter();
            self.violations
                .extend(wrong.map(|wrong| format!("{}: {wrong}", sink.name)));
        }
        findings.violations.append(&mut self.violations);
        self.tell(seed, &findings);
        let violations = findings.violations.len();
        assert!(
            violations == 0,
            "seed {seed}, {violations} violations; the first:\n{}\nschedule:\n{}lives:\n{}",
            findings.violations[..violations.min(8)].join("\n"),
            schedule
                .iter()
                .map(|life| format!("  {life}\n"))
                .collect::<String>(),
            self.lives
                .iter()
                .map(|life| format!("  {life:?}\n"))
                .collect::<String>(),
        );
    }

    /// Lets everything come to its end, and looks at all of it.
    fn judge(&mut self, posts: Posts) -> Findings {
        let (listed, posts, last) = self.drain(posts);
        let admin = last.admin();
        let hits = self.sinks.iter().map(|sink| (sink.name, sink.hits()));
        let oracle = Oracle {
            lives: self.lives.clone(),
            in_force: std::mem::take(&mut self.in_force),
            hits: hits.collect(),
            listed,
            cancelled: std::mem::take(&mut self.cancelled),
            decided: std::mem::take(&mut self.decided),
            lost_answers: Box::new(move |event, name| lost_an_answer(admin, event, name)),
            posts,
        };
        let findings = oracle.judge();
        self.end(last, End::Orderly);
        findings
    }

    fn data(&self) -> PathBuf {
        let base = self
            .disk
            .as_ref()
            .map_or(self.folder.path(), |disk| disk.path());
        base.join("data")
    }

    fn write_yaml(&self) {
        let urls = self
            .sinks
            .iter()
            .map(|sink| (sink.name, sink.standin.url()));
        let text = yaml(self.variant, &self.data(), &urls.collect());
        let (new, path) = (
            self.folder.path().join("new"),
            self.folder.path().join("relay.yaml"),
        );
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// From now on this variant may be in force.
    fn comes_into_force(&mut self, variant: usize) {
        self.variant = variant;
        self.in_force.push(InForce {
            from: self.clock.elapsed(),
            to: Duration::MAX,
            variant,
        });
    }

    /// All but the newest are out of force by now.
    fn is_in_force(&mut self) {
        let now = self.clock.elapsed();
        let count = self.in_force.len();
        for old in &mut self.in_force[..count - 1] {
            old.to = old.to.min(now);
        }
    }

    fn start(&mut self, body: Body) -> Life {
        self.write_yaml();
        let from = self.clock.elapsed();
        let variant = self.variant;
        self.comes_into_force(variant);
        let life = Life::start(self.folder.path(), body);
        self.is_in_force();
        self.lives.push(Lived {
            from,
            to: Duration::MAX,
            end: End::Orderly,
            disk_full_from: None,
        });
        life
    }

    fn live(&mut self, planned: &schedule::Life, posts: &Posts) {
        let life = self.start(planned.body);
        posts.go_to(Some(life.hooks()));
        let begun = self.clock.elapsed();
        for (at, action) in &planned.actions {
            self.sleep_until(begun + *at);
            self.act(*action, &life);
        }
        self.sleep_until(begun + planned.lasts);
        self.end(life, planned.end);
        posts.go_to(None);
        self.act_on_disk(Action::DiskHasRoom);
    }

    fn end(&mut self, life: Life, end: End) {
        // An orderly end takes time, and a kill is over when it is seen.
        let (log, wrong) = life.end(end);
        let now = self.clock.elapsed();
        let lived = self.lives.last_mut().unwrap();
        lived.to = now;
        lived.end = end;
        let was_full = lived.disk_full_from.is_some();
        let bad = |line: &&str| {
            let is_error = line.contains("ERROR") && !was_full;
            is_error || line.contains("panick") || line.contains("a bug of")
        };
        let bad = log
            .lines()
            .filter(bad)
            .map(|line| format!("the log says: {line}"));
        self.violations.extend(bad.chain(wrong));
    }

    fn sleep_until(&self, at: Duration) {
        std::thread::sleep(at.saturating_sub(self.clock.elapsed()));
    }

    fn act(&mut self, action: Action, life: &Life) {
        let ask = |method: &str, path: &str, body: &str| {
            // A disk that is full, or a lane that is not there, may be the answer.
            api(life.admin(), method, path, body).ok()
        };
        match action {
            Action::Fault("down", _) => {}
            Action::Fault(name, fault) => self.sink(name).misbehave(fault),
            Action::Hold(name) => {
                ask("POST", &format!("/v1/destinations/{name}/hold"), "");
            }
            Action::Resume(name) => {
                ask("POST", &format!("/v1/destinations/{name}/resume"), "");
            }
            Action::Reload(variant) => {
                // A reload waits for the disk as long as it takes.
                self.act_on_disk(Action::DiskHasRoom);
                self.comes_into_force(variant);
                self.write_yaml();
                match ask("POST", "/v1/reload", "") {
                    Some((200, _)) => self.is_in_force(),
                    other => self.violations.push(format!("no reload: {other:?}")),
                }
            }
            Action::Jump(by) => life.jump(by),
            Action::Disk(_) | Action::DiskHasRoom => self.act_on_disk(action),
            Action::Cancel(name) => self.cancel(name, life),
            Action::Leave(name, rest) => self.leave(name, rest, life),
            Action::Discard(name) => self.discard(name, life),
            Action::Redeliver(name) => {
                let body = format!(r#"{{"state":"dead","destination":"{name}"}}"#);
                ask("POST", "/v1/deliveries/redeliver", &body);
            }
        }
    }

    fn leave(&mut self, name: &'static str, rest: &'static str, life: &Life) {
        let fate = match rest {
            "keep" => ("kept", ""),
            "dead" => ("dead", "left_behind"),
            _ => ("skipped", "summarised"),
        };
        let mut than = Clock::system().now();
        than.0 -= 500;
        let body = format!(r#"{{"newer_than":"{than}","rest":"{rest}"}}"#);
        let path = format!("/v1/destinations/{name}/resume");
        self.decide(name, fate, || {
            api(life.admin(), "POST", &path, &body).ok();
        });
    }

    fn discard(&mut self, name: &'static str, life: &Life) {
        let path = format!("/v1/destinations/{name}/discard");
        self.decide(name, ("cancelled", "manual"), || {
            let asked = api(life.admin(), "POST", &path, r#"{"dry_run":true}"#);
            if let Ok((200, asked)) = asked {
                let body = format!(r#"{{"expect":{}}}"#, asked["would_discard"]);
                api(life.admin(), "POST", &path, &body).ok();
            }
        });
    }

    fn decide(&mut self, name: &'static str, fate: (&'static str, &'static str), how: impl Fn()) {
        let from = self.clock.elapsed();
        how();
        self.decided.push(Decided {
            name,
            from,
            to: self.clock.elapsed(),
            fate,
        });
    }

    fn act_on_disk(&mut self, action: Action) {
        let Some(disk) = &self.disk else { return };
        match action {
            Action::Disk(left) => {
                let from = self.clock.elapsed();
                self.lives.last_mut().unwrap().disk_full_from = Some(from);
                disk.fill(left);
            }
            _ if disk.is_filled() => disk.clear(),
            _ => {}
        }
    }

    /// Cancels the oldest that waits there.
    fn cancel(&mut self, name: &str, life: &Life) {
        let path = format!("/v1/deliveries?state=waiting&destination={name}&limit=5");
        let Ok((200, found)) = api(life.admin(), "GET", &path, "") else {
            return;
        };
        let found = found["deliveries"].as_array().cloned().unwrap_or_default();
        let Some(event) = found.last().and_then(|line| line["event"].as_u64()) else {
            return;
        };
        // Whether it was done is known only from what became of it.
        self.cancelled.insert((event, name.to_owned()));
        let path = format!("/v1/deliveries/{event}:{name}");
        api(life.admin(), "DELETE", &path, "").ok();
    }

    fn sink(&self, name: &str) -> &Sink {
        self.sinks.iter().find(|sink| sink.name == name).unwrap()
    }

    fn tell(&self, seed: u64, findings: &Findings) {
        let kills = self
            .lives
            .iter()
            .filter(|life| life.end == End::Kill)
            .count();
        figure!(
            "chaos, seed {seed}: {} lives, {kills} killed; {} acknowledged, {} deliveries planned, {} requests; \
             {} delivered, {} dead, {} cancelled, {} discarded, left behind or summed up; {} repeats, at most {:?} before a kill, {} for want of an answer; \
             {} violations",
            self.lives.len(),
            findings.acknowledged,
            findings.deliveries,
            findings.requests,
            findings.accepted,
            findings.dead,
            findings.cancelled,
            findings.decided,
            findings.repeats,
            findings.longest_unsynced,
            findings.unread,
            findings.violations.len(),
        );
    }

    /// Faults end, and everything comes to its end. What is listed then, what was posted, and the
    /// life that is still there.
    fn drain(&mut self, posts: Posts) -> (oracle::List, Vec<posts::Post>, Life) {
        for sink in &self.sinks {
            sink.misbehave(Fault::None);
        }
        self.variant = 0;
        let life = self.start(Body::Binary);
        let posts = posts.stop(life.hooks());
        let begun = self.clock.elapsed();
        while let Some(waiting) = waits(&life) {
            if self.clock.elapsed() - begun > PATIENCE {
                self.violations.push(format!("STUCK: {waiting}"));
                break;
            }
            if self.clock.elapsed() - begun > LAST_WORD {
                self.sinks.iter().for_each(Sink::relent);
            }
            for name in NAMES {
                let path = format!("/v1/destinations/{name}/resume");
                api(life.admin(), "POST", &path, "").ok();
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        (list(&life), posts, life)
    }
}

/// What still waits, in words.
fn waits(life: &Life) -> Option<String> {
    let (_, lanes) = api(life.admin(), "GET", "/v1/destinations", "").unwrap();
    let lanes = lanes["destinations"].as_array().unwrap();
    let busy: Vec<&Value> = lanes.iter().filter(|lane| lane["waiting"] != 0).collect();
    (!busy.is_empty()).then(|| format!("{busy:?}"))
}

/// Every delivery that there is.
fn list(life: &Life) -> oracle::List {
    let mut all = oracle::List::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/deliveries?limit=500{cursor}");
        let (status, page) = api(life.admin(), "GET", &path, "").unwrap();
        assert_eq!(status, 200, "{page}");
        for line in page["deliveries"].as_array().unwrap() {
            if let Some((key, listed)) = oracle::listed(line) {
                all.entry(key).or_default().push(listed);
            }
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn lost_an_answer(admin: std::net::SocketAddr, event: u64, name: &str) -> bool {
    let path = format!("/v1/deliveries/{event}:{name}");
    let Ok((200, delivery)) = api(admin, "GET", &path, "") else {
        return false;
    };
    let attempts = delivery["attempts"].as_array().cloned().unwrap_or_default();
    attempts
        .iter()
        .any(|attempt| attempt["reason"] == "timeout" || attempt["reason"] == "reset")
}
