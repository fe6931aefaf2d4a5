//! Where each branch stands, and what is missing on its way. Bounded, and pure: told of events in
//! the order of the log and of the time, it says what to report and what to store.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::EventId;

use super::push::{Commit, Happened, Place, Push, What};

/// So long a missing push may still come, before it is reported.
pub const WAIT: Duration = Duration::from_secs(600);
/// So many branches are remembered; of more, those that were pushed to last.
const BRANCHES: usize = 10_000;
/// So many places of a branch are remembered, for pushes that overtake each other.
const PLACES: usize = 8;
/// So many missing pushes are kept.
const GAPS: usize = 1000;

/// What is known of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Branch {
    /// Where pushes led, the newest last. Empty when it was created and nothing pushed since.
    pub(super) places: VecDeque<Commit>,
    pub(super) updated: Option<Timestamp>,
    /// The last event that told of it.
    pub(super) event: u64,
}

/// A push that never reached us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub source: Arc<str>,
    pub repo: String,
    pub branch: String,
    /// The next push of the branch, which told of it.
    pub event: EventId,
    /// When it was noticed.
    pub noticed: Timestamp,
    pub(super) url: Option<String>,
    pub(super) key: u64,
    /// Where the branch was seen last.
    pub(super) from: Option<Commit>,
    /// Where the missing push led.
    pub(super) to: Commit,
    pub(super) is_reported: bool,
}

impl Gap {
    /// What is missing, as people are told.
    pub fn words(&self) -> String {
        let words = format!("a push to {} {} never reached us", self.repo, self.branch);
        match self.link() {
            link if link.is_empty() => words,
            link => format!("{words}: {link}"),
        }
    }

    /// Where the branch was seen last, and where the missing push led, as Gogs shows what lies
    /// between; empty when the payload has no page of its repository.
    pub fn link(&self) -> String {
        let to = hex::encode(self.to);
        match (&self.url, self.from) {
            (None, _) => String::new(),
            (Some(url), Some(from)) => format!("{url}/compare/{}...{to}", hex::encode(from)),
            (Some(url), None) => format!("{url}/commits/{to}"),
        }
    }
}

/// What became of a gap.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Missed(Gap),
    /// It was reported, and came after all.
    Came(Gap),
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) branches: HashMap<u64, Branch>,
    /// Branches by the last event of each.
    by_event: BTreeMap<u64, u64>,
    /// By the event that told of them.
    pub(super) gaps: BTreeMap<u64, Gap>,
    /// What changed since it was stored.
    pub(super) changed_branches: BTreeSet<u64>,
    pub(super) changed_gaps: BTreeSet<u64>,
    reported: BTreeMap<Arc<str>, u64>,
    news: Vec<News>,
}

impl Watch {
    /// As it was stored.
    pub(super) fn of(branches: HashMap<u64, Branch>, gaps: BTreeMap<u64, Gap>) -> Watch {
        let by_event = branches.iter().map(|(key, branch)| (branch.event, *key));
        Watch {
            by_event: by_event.collect(),
            branches,
            gaps,
            ..Watch::default()
        }
    }

    /// Takes in the next event of the log.
    pub(super) fn see(&mut self, event: u64, happened: &Happened, now: Timestamp) {
        let key = happened.place.key;
        let known = self.branches.get(&key);
        // A state that was stored later than what is read again knows it already.
        if known.is_some_and(|branch| event <= branch.event) {
            return;
        }
        let is_old = known.is_some_and(|branch| is_old(branch, happened));
        match &happened.what {
            What::Created if known.is_none() => {
                let branch = Branch {
                    updated: happened.updated,
                    ..Branch::default()
                };
                self.keep(event, key, branch);
            }
            What::Deleted if !is_old => self.forget(key),
            What::Created | What::Deleted => {}
            What::Push(push) => {
                let branch = known.cloned();
                let fills = self.fill(&happened.place, push);
                match branch {
                    Some(branch) if is_old || fills.is_some() => {
                        self.came_late(event, happened, push, (branch, fills));
                    }
                    branch => {
                        let came = fills.filter(|gap| gap.is_reported);
                        self.news.extend(came.map(News::Came));
                        self.went_on(event, happened, push, (branch, now));
                    }
                }
            }
        }
    }

    /// Gaps that have waited long enough, and those that were filled.
    pub(super) fn news(&mut self, now: Timestamp) -> Vec<News> {
        for (event, gap) in &mut self.gaps {
            if !gap.is_reported && now.since(gap.noticed) >= WAIT {
                gap.is_reported = true;
                self.changed_gaps.insert(*event);
                *self.reported.entry(gap.source.clone()).or_default() += 1;
                self.news.push(News::Missed(gap.clone()));
            }
        }
        std::mem::take(&mut self.news)
    }

    /// Those that were reported, oldest first.
    pub(super) fn missed(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.values().filter(|gap| gap.is_reported)
    }

    /// The one that this event told of, if it was reported.
    pub(super) fn told_by(&self, event: u64) -> Option<&Gap> {
        self.gaps.get(&event).filter(|gap| gap.is_reported)
    }

    /// How many were reported since the start, by source.
    pub(super) fn counts(&self) -> &BTreeMap<Arc<str>, u64> {
        &self.reported
    }

    /// A part of the log is gone: where branches stand is not known any more, nor whether what was
    /// waited for has come.
    pub(super) fn lose_track(&mut self) {
        self.changed_branches.extend(self.branches.keys());
        self.branches.clear();
        self.by_event.clear();
        let waiting = self.gaps.iter().filter(|(_, gap)| !gap.is_reported);
        let waiting: Vec<u64> = waiting.map(|(event, _)| *event).collect();
        for event in waiting {
            self.remove_gap(event);
        }
    }

    /// The push that this one was waited for by, if any: that is settled.
    fn fill(&mut self, place: &Place, push: &Push) -> Option<Gap> {
        let mut gaps = self.gaps.iter();
        let filled = gaps.find(|(_, gap)| gap.key == place.key && gap.to == push.after);
        let event = *filled?.0;
        self.remove_gap(event)
    }

    /// It came later than the next of its branch, or again.
    fn came_late(
        &mut self,
        event: u64,
        happened: &Happened,
        push: &Push,
        (mut branch, fills): (Branch, Option<Gap>),
    ) {
        if let Some(gap) = fills {
            let leads_on = push.before.filter(|before| {
                !push.is_merge && gap.from != Some(*before) && !branch.places.contains(before)
            });
            match leads_on {
                // One more is missing before it.
                Some(before) => self.add_gap(gap.event.0, Gap { to: before, ..gap }),
                None if gap.is_reported => self.news.push(News::Came(gap)),
                None => {}
            }
        }
        if !branch.places.contains(&push.after) {
            let newest = branch.places.pop_back();
            branch.places.push_back(push.after);
            branch.places.extend(newest);
        }
        self.keep(event, happened.place.key, branch);
    }

    /// It is the newest of its branch.
    fn went_on(
        &mut self,
        event: u64,
        happened: &Happened,
        push: &Push,
        (known, now): (Option<Branch>, Timestamp),
    ) {
        let place = &happened.place;
        let mut branch = known.clone().unwrap_or_default();
        match (known, push.before) {
            (Some(known), Some(before)) if !push.is_merge && !known.places.contains(&before) => {
                let gap = Gap {
                    source: place.source.clone(),
                    repo: place.repo.clone(),
                    branch: place.branch.clone(),
                    event: EventId(event),
                    noticed: now,
                    url: place.url.clone(),
                    key: place.key,
                    from: known.places.back().copied(),
                    to: before,
                    is_reported: false,
                };
                self.add_gap(event, gap);
            }
            // A new branch, whatever had its name before.
            (_, None) => branch = Branch::default(),
            _ => {}
        }
        branch.places.retain(|place| *place != push.after);
        branch.places.push_back(push.after);
        branch.updated = branch.updated.max(happened.updated);
        self.keep(event, place.key, branch);
    }

    fn keep(&mut self, event: u64, key: u64, mut branch: Branch) {
        while branch.places.len() > PLACES {
            branch.places.pop_front();
        }
        self.by_event.remove(&branch.event);
        branch.event = event;
        self.by_event.insert(event, key);
        self.branches.insert(key, branch);
        self.changed_branches.insert(key);
        while self.branches.len() > BRANCHES
            && let Some((_, oldest)) = self.by_event.pop_first()
        {
            self.forget(oldest);
        }
    }

    fn forget(&mut self, key: u64) {
        if let Some(branch) = self.branches.remove(&key) {
            self.by_event.remove(&branch.event);
            self.changed_branches.insert(key);
        }
    }

    fn add_gap(&mut self, event: u64, gap: Gap) {
        self.gaps.insert(event, gap);
        self.changed_gaps.insert(event);
        while self.gaps.len() > GAPS
            && let Some((oldest, _)) = self.gaps.pop_first()
        {
            self.changed_gaps.insert(oldest);
        }
    }

    fn remove_gap(&mut self, event: u64) -> Option<Gap> {
        self.changed_gaps.insert(event);
        self.gaps.remove(&event)
    }
}

/// Whether it happened before what is known of its branch: it comes late, or again.
fn is_old(branch: &Branch, happened: &Happened) -> bool {
    let times = happened.updated.zip(branch.updated);
    match (times.map(|(its, known)| its.cmp(&known)), &happened.what) {
        (Some(Ordering::Less), _) => true,
        (Some(Ordering::Greater), _) => false,
        (_, What::Push(push)) => {
            let is_next = push.before.is_some() && push.before == branch.places.back().copied();
            !is_next && branch.places.contains(&push.after)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
