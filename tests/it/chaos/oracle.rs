//! Knows every acknowledged event and every answer of a destination, and says what the relay may
//! not have done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use super::posts::{Outcome, Post};
use super::schedule::End;
use super::settings::{NAMES, VARIANTS, is_strict, kind, plan};
use super::sinks::{Hit, never_passes};

/// Settlements are written within 50 ms and a commit; a machine with other things to do takes
/// longer for it.
const UNSYNCED: Duration = Duration::from_millis(1500);
/// After so many answered failures another delivery may be tried before the first.
const POISON_AFTER: usize = 10;

/// A life as it was.
#[derive(Clone, Debug)]
pub struct Lived {
    pub from: Duration,
    pub to: Duration,
    pub end: End,
    /// From when on its disk did not take what was settled, if that came before its end.
    pub disk_full_from: Option<Duration>,
}

/// A variant of relay.yaml, and when at the earliest and latest it was in force.
#[derive(Clone, Copy, Debug)]
pub struct InForce {
    pub from: Duration,
    pub to: Duration,
    pub variant: usize,
}

/// Somebody decided about everything that waited in a lane.
#[derive(Clone, Debug)]
pub struct Decided {
    pub name: &'static str,
    pub from: Duration,
    pub to: Duration,
    /// State and reason that it may have got.
    pub fate: (&'static str, &'static str),
}

/// A delivery as the own API lists it when all is over.
#[derive(Clone, Debug)]
pub struct Listed {
    pub event: u64,
    pub state: String,
    pub reason: String,
    pub round: u64,
}

/// All of them, by the event's marker and the destination.
pub type List = BTreeMap<(u32, String), Vec<Listed>>;

pub type LostAnswers = Box<dyn Fn(u64, &str) -> bool>;

/// Everything that is known.
pub struct Oracle {
    pub posts: Vec<Post>,
    pub lives: Vec<Lived>,
    pub in_force: Vec<InForce>,
    pub hits: BTreeMap<&'static str, Vec<Hit>>,
    pub listed: List,
    /// What the test cancelled.
    pub cancelled: BTreeSet<(u64, String)>,
    /// What was decided of all that waited in a lane.
    pub decided: Vec<Decided>,
    /// Whether an attempt of this delivery had no answer, as its history says.
    pub lost_answers: LostAnswers,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    pub violations: Vec<String>,
    pub acknowledged: usize,
    pub deliveries: usize,
    pub requests: usize,
    pub accepted: usize,
    pub dead: usize,
    pub cancelled: usize,
    /// Discarded, left behind or summed up.
    pub decided: usize,
    pub repeats: usize,
    /// The longest time between an answer that was read and the kill that made it be forgotten.
    pub longest_unsynced: Duration,
    /// Yeses that the relay says it never had.
    pub unread: usize,
}

/// A delivery, as this test sees it.
struct Story<'a> {
    marker: u32,
    name: &'static str,
    hits: Vec<&'a Hit>,
    listed: Option<&'a Listed>,
}

impl Oracle {
    pub fn judge(&self) -> Findings {
        let mut findings = Findings::default();
        self.judge_answers(&mut findings);
        for name in NAMES {
            self.judge_strays(name, &mut findings);
            let stories = self.stories(name);
            for story in &stories {
                self.judge_end(story, &mut findings);
                self.judge_repeats(story, &mut findings);
            }
            if is_strict(name) {
                // A loose lane has others under way when it is asked to wait.
                self.judge_patience(name, &mut findings);
                self.judge_order(&stories, &mut findings);
            }
        }
        findings
    }

    /// Every answer to a post: its plan is one that was in force, and an id names one event.
    fn judge_answers(&self, findings: &mut Findings) {
        let mut events: BTreeMap<u32, u64> = BTreeMap::new();
        for post in &self.posts {
            let event = match &post.outcome {
                Outcome::Taken(event, to) => {
                    findings.acknowledged += 1;
                    findings.deliveries += to.len();
                    let plans = self.plans(post);
                    if !plans.iter().any(|plan| plan == to) {
                        findings.say(format!("planned otherwise than {plans:?}: {post:?}"));
                    }
                    *event
                }
                Outcome::Known(event, _) => *event,
                Outcome::Refused(503) | Outcome::Unknown => continue,
                Outcome::Refused(_) => {
                    findings.say(format!("refused without a reason: {post:?}"));
                    continue;
                }
            };
            let first = *events.entry(post.marker).or_insert(event);
            if first != event {
                findings.say(format!("stored as {first} and again: {post:?}"));
            }
        }
    }

    /// The plans that may have been made for a post.
    fn plans(&self, post: &Post) -> Vec<Vec<&'static str>> {
        let during = |it: &&InForce| it.from <= post.to && post.from <= it.to;
        let variants = self.in_force.iter().filter(during);
        variants.map(|it| plan(it.variant, post.branch)).collect()
    }

    /// Whether an event may be sent there: some acknowledgement says so, or nobody knows.
    fn may_go(&self, marker: u32, name: &str) -> bool {
        let mut posts = self.posts.iter().filter(|post| post.marker == marker);
        posts.any(|post| match &post.outcome {
            Outcome::Taken(_, to) => to.iter().any(|it| it == name),
            // A repeat may send it where today's routes say.
            Outcome::Known(_, again) if again.iter().any(|it| it == name) => true,
            Outcome::Known(..) | Outcome::Unknown | Outcome::Refused(503) => {
                (0..VARIANTS).any(|variant| plan(variant, post.branch).contains(&name))
            }
            Outcome::Refused(_) => false,
        })
    }

    fn judge_strays(&self, name: &'static str, findings: &mut Findings) {
        findings.requests += self.hits[name].len();
        for hit in &self.hits[name] {
            match hit.marker {
                None if hit.is_summary && self.is_summed_up(name, hit.at) => {}
                None => findings.say(format!("{name} got something unknown: {hit:?}")),
                Some(marker) if !self.may_go(marker, name) => {
                    findings.say(format!("{name} was not planned for m{marker:06}x: {hit:?}"));
                }
                Some(_) => {}
            }
        }
    }

    fn is_summed_up(&self, name: &str, at: Duration) -> bool {
        let mut decided = self.decided.iter();
        decided.any(|it| it.name == name && it.fate.1 == "summarised" && it.from < at)
    }

    /// Within a life, nothing comes before a Retry-After is over.
    fn judge_patience(&self, name: &'static str, findings: &mut Findings) {
        let hits = &self.hits[name];
        for (at, asked) in hits.iter().enumerate().filter(|(_, hit)| hit.asks_to_wait) {
            // Whoever was under way is not meant.
            let under_way = asked.at + Duration::from_millis(50);
            let until = asked.at + Duration::from_millis(950);
            let life = self.lives.iter().find(|life| asked.at < life.to);
            let end = life.map_or(Duration::MAX, |life| life.to);
            let early = hits[at + 1..]
                .iter()
                .find(|hit| hit.at > under_way && hit.at < until && hit.at < end);
            if let Some(early) = early {
                let early = early.at - asked.at;
                findings.say(format!(
                    "{name} was asked again after {early:?}, not a second"
                ));
            }
        }
    }

    fn stories(&self, name: &'static str) -> Vec<Story<'_>> {
        let mut stories: BTreeMap<u32, Story<'_>> = BTreeMap::new();
        let new = |marker| Story {
            marker,
            name,
            hits: Vec::new(),
            listed: None,
        };
        for post in &self.posts {
            if let Outcome::Taken(_, to) = &post.outcome
                && to.iter().any(|it| it == name)
            {
                stories
                    .entry(post.marker)
                    .or_insert_with(|| new(post.marker));
            }
        }
        for ((marker, of), listed) in &self.listed {
            if of == name {
                stories
                    .entry(*marker)
                    .or_insert_with(|| new(*marker))
                    .listed = listed.first();
            }
        }
        for hit in &self.hits[name] {
            if let Some(marker) = hit.marker {
                stories
                    .entry(marker)
                    .or_insert_with(|| new(marker))
                    .hits
                    .push(hit);
            }
        }
        stories.into_values().collect()
    }

    /// What became of it is true, and allowed.
    fn judge_end(&self, story: &Story<'_>, findings: &mut Findings) {
        let twins = self.listed.get(&(story.marker, story.name.to_owned()));
        if twins.is_some_and(|twins| twins.len() > 1) {
            return findings.accuse(self, story, "it is stored twice");
        }
        let Some(listed) = story.listed else {
            return findings.accuse(self, story, "LOST: nothing is known of it any more");
        };
        let was_accepted = story
            .hits
            .iter()
            .any(|hit| hit.is_accepted() || is_cut_yes(story, hit));
        if self.was_decided(story, listed) {
            findings.decided += 1;
            return;
        }
        match listed.state.as_str() {
            "delivered" => {
                findings.accepted += 1;
                if !was_accepted {
                    findings.accuse(self, story, "LOST: delivered, it says, but nobody said yes");
                }
            }
            "dead" => {
                findings.dead += 1;
                if !is_right_to_die(story, &listed.reason) {
                    findings.accuse(self, story, "it should not be dead");
                }
            }
            "cancelled" => {
                findings.cancelled += 1;
                let ours = (listed.event, story.name.to_owned());
                if !self.cancelled.contains(&ours) {
                    findings.accuse(self, story, "nobody cancelled it");
                }
            }
            _ => findings.accuse(self, story, "it did not end"),
        }
    }

    /// Somebody decided so about all that waited, after it was posted.
    fn was_decided(&self, story: &Story<'_>, listed: &Listed) -> bool {
        let posted = self.posted(story);
        let of = |it: &&Decided| it.name == story.name && posted.is_some_and(|at| at < it.to);
        let mut decided = self.decided.iter().filter(of);
        decided.any(|it| it.fate == (listed.state.as_str(), listed.reason.as_str()))
    }

    fn posted(&self, story: &Story<'_>) -> Option<Duration> {
        let posts = self.posts.iter().filter(|post| post.marker == story.marker);
        posts.map(|post| post.from).min()
    }

    /// It was left behind for later, if it had not happened yet.
    fn may_be_late(&self, story: &Story<'_>, happened: Duration) -> bool {
        let posted = self.posted(story).unwrap_or_default();
        let of = |it: &&Decided| it.name == story.name && it.fate.0 == "kept";
        let mut kept = self.decided.iter().filter(of);
        kept.any(|it| posted < it.to && it.from < happened)
    }

    /// It comes again only where something explains it.
    fn judge_repeats(&self, story: &Story<'_>, findings: &mut Findings) {
        let again = self.posts.iter().filter(|post| post.marker == story.marker);
        let mut allowed = again
            .filter(|post| match &post.outcome {
                Outcome::Known(_, again) => again.iter().any(|it| it == story.name),
                Outcome::Unknown => true,
                _ => false,
            })
            .count();
        let mut before: Option<&Hit> = None;
        for hit in &story.hits {
            if let Some(yes) = before.take() {
                findings.repeats += 1;
                if let Some(unsynced) = self.was_forgotten(yes, hit.at) {
                    findings.longest_unsynced = findings.longest_unsynced.max(unsynced);
                } else if allowed > 0 {
                    allowed -= 1;
                } else if story
                    .listed
                    .is_some_and(|it| (self.lost_answers)(it.event, story.name))
                {
                    findings.unread += 1;
                } else {
                    findings.accuse(self, story, "it came again after a yes");
                }
            }
            if hit.is_accepted() {
                before = Some(hit);
            }
        }
    }

    /// Whether a kill, or a full disk, between the answer and the next request explains that it
    /// was forgotten; how long before the end of its life the answer was there.
    fn was_forgotten(&self, yes: &Hit, again: Duration) -> Option<Duration> {
        let life = self.lives.iter().rev().find(|life| life.from <= yes.at)?;
        let unsynced = life.to.saturating_sub(yes.answered.unwrap_or(yes.at));
        let was_killed = life.end == End::Kill && unsynced <= UNSYNCED;
        let was_full = life
            .disk_full_from
            .is_some_and(|from| from <= yes.at + UNSYNCED);
        (life.to <= again && (was_killed || was_full)).then_some(unsynced)
    }

    /// Whether it had a 200 before `other` that broke off behind its head, which says yes to
    /// a sender in Gogs' format, and a kill had that forgotten until it came `again`.
    fn was_taken_and_forgotten(&self, story: &Story<'_>, other: Duration, again: Duration) -> bool {
        let mut hits = (story.hits.iter()).filter(|hit| hit.broke_off && hit.at < other);
        hits.any(|hit| self.was_forgotten(hit, again).is_some())
    }

    /// In a strict lane first rounds begin in the order of the events, and end so too, but for
    /// those that are passed by the poison rule.
    fn judge_order(&self, stories: &[Story<'_>], findings: &mut Findings) {
        let mut firsts: Vec<(&Story<'_>, u64)> = stories
            .iter()
            .filter_map(|story| {
                let listed = story.listed.filter(|listed| listed.round == 1)?;
                Some((story, listed.event))
            })
            .filter(|(story, _)| !story.hits.is_empty() && self.was_posted_once(story))
            .collect();
        firsts.sort_by_key(|(_, event)| *event);
        for pair in firsts.windows(2) {
            let [(one, _), (other, _)] = pair else {
                continue;
            };
            let begun = one.hits[0].at;
            if begun > other.hits[0].at && !self.may_be_late(one, begun) {
                let one = self.tell(one);
                findings.accuse(self, other, &format!("this one came after it: {one}"));
            }
            let yes = |story: &Story<'_>| {
                let yes = story.hits.iter().find(|hit| hit.is_accepted());
                yes.map(|hit| hit.at)
            };
            if let (Some(first), Some(second)) = (yes(one), yes(other))
                && first > second
                && !self.may_be_late(one, first)
                && !self.was_taken_and_forgotten(one, second, first)
            {
                let failures = one.hits.iter().filter(|hit| hit.at < second);
                if failures.filter(|hit| hit.counts_for_poison()).count() < POISON_AFTER {
                    let one = self.tell(one);
                    findings.accuse(self, other, &format!("this one passed after it: {one}"));
                }
            }
        }
    }

    /// Otherwise it may be a redelivery.
    fn was_posted_once(&self, story: &Story<'_>) -> bool {
        let posts = self.posts.iter().filter(|post| post.marker == story.marker);
        posts.count() == 1
    }

    /// All that is known of a delivery, for people.
    fn tell(&self, story: &Story<'_>) -> String {
        let mut text = format!(
            "m{:06}x to {}: {:?}\n",
            story.marker, story.name, story.listed
        );
        for post in self.posts.iter().filter(|post| post.marker == story.marker) {
            writeln!(
                text,
                "    posted {:?} to {:?}: {:?}",
                post.from, post.to, post.outcome
            )
            .unwrap();
        }
        for hit in &story.hits {
            writeln!(
                text,
                "    sent {:?}: {} {:?}",
                hit.at, hit.status, hit.answered
            )
            .unwrap();
        }
        let around = story.hits.iter().map(|hit| hit.at);
        let (from, to) = (around.clone().min(), around.max());
        for life in &self.lives {
            if from.is_some_and(|from| life.to > from) && to.is_some_and(|to| life.from < to) {
                writeln!(
                    text,
                    "    life {:?} to {:?}, {:?}",
                    life.from, life.to, life.end
                )
                .unwrap();
            }
        }
        text
    }
}

/// To Gogs' format a 200 says all, even when its body breaks off.
fn is_cut_yes(story: &Story<'_>, hit: &Hit) -> bool {
    kind(story.name) == "gogs" && hit.answered.is_none()
}

fn is_right_to_die(story: &Story<'_>, reason: &str) -> bool {
    let failures = story
        .hits
        .iter()
        .filter(|hit| hit.counts_for_poison())
        .count();
    match reason {
        "content_refused" => never_passes(story.name, story.marker),
        "poison" => failures >= POISON_AFTER,
        _ => false,
    }
}

impl Findings {
    fn say(&mut self, violation: String) {
        self.violations.push(violation);
    }

    fn accuse(&mut self, oracle: &Oracle, story: &Story<'_>, what: &str) {
        self.violations
            .push(format!("{what}: {}", oracle.tell(story)));
    }
}

/// Reads one line of a list of deliveries: the event's marker, its destination, and the rest.
pub fn listed(line: &Value) -> Option<((u32, String), Listed)> {
    let text = |member: &str| line[member].as_str().unwrap_or("").to_owned();
    let repo = text("repo");
    let marker = repo
        .strip_prefix("orbit/m")?
        .strip_suffix('x')?
        .parse()
        .ok()?;
    let listed = Listed {
        event: line["event"].as_u64()?,
        state: text("state"),
        reason: text("reason"),
        round: line["round"].as_u64()?,
    };
    Some(((marker, text("destination")), listed))
}
