//! What relay.yaml says of the lanes, at start and while the queue runs: which there are, how they
//! run, and which have no destination any more.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::info;

use crate::delivery::Reason;
use crate::queue::engine::{Engine, Shared};
use crate::queue::key::LaneId;
use crate::queue::lane::{Lane, Now, Run};
use crate::queue::token::LeaseToken;
use crate::queue::{Changes, Configured, LaneSpec, Orphan, QueueError, Settlement};

/// A wait that began under other settings is never longer than this or the policy's longest.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Engine {
    pub(super) async fn configure(
        &self,
        changes: Changes<'_>,
        adopt: impl FnOnce(),
    ) -> Result<Configured, QueueError> {
        let (mut configured, stamp) = self.make_lanes(changes.lanes);
        self.durable_at_last(stamp).await?;
        adopt();
        let stamp = self.run_lanes(&changes, &mut configured);
        self.durable_at_last(stamp).await?;
        Ok(configured)
    }

    pub(super) async fn run_lane(
        &self,
        spec: &LaneSpec,
        adopt: impl FnOnce(),
    ) -> Result<(), QueueError> {
        let spec = std::slice::from_ref(spec);
        let (mut configured, stamp) = self.make_lanes(spec);
        self.durable_at_last(stamp).await?;
        adopt();
        let (_, stamp) = self.run_each(spec, &mut self.shared(), &mut configured);
        self.durable_at_last(stamp).await
    }

    pub(super) async fn orphan_lane(
        &self,
        name: &str,
        adopt: impl FnOnce(),
    ) -> Result<(), QueueError> {
        adopt();
        let stamp = self.orphan_named(name);
        self.durable_at_last(stamp).await
    }

    /// What relay.yaml says at start, before anything is read of the log.
    pub(super) fn begin_with(&self, specs: &[LaneSpec]) {
        let now = self.now();
        let mut shared = self.shared();
        for spec in specs {
            let (id, _) = shared.lane_for(spec, specs);
            shared.lane(id).run_as(spec, false, now);
            if let Some(other) = shared.left_to(spec, specs) {
                shared.lane(other).run_as(spec, true, now);
            }
        }
        for lane in shared.lanes.iter_mut().skip(1) {
            if lane.run.is_none() && !lane.is_vacant() {
                lane.orphaned.get_or_insert(now.wall);
                info!(destination.name = %lane.destination,
                    "destination {} is no longer in relay.yaml; its lane is kept", lane.destination);
            }
        }
        shared.former_names.clear();
        shared.part_with_orphans();
    }

    pub(super) fn forget_former_names(&self) {
        let mut shared = self.shared();
        shared.former_names.clear();
        shared.part_with_orphans();
    }

    /// Lets go of lanes without a destination of which nothing is left. For the writer alone,
    /// between its commits: an event that was planned for the lane is then either in the log or
    /// among those that wait.
    pub(super) fn let_lanes_go(&self) {
        let mut shared = self.shared();
        let parting = std::mem::take(&mut shared.parting);
        for id in parting {
            let lane = &shared.lanes[id as usize];
            if lane.orphaned.is_none() {
                continue;
            }
            if shared.is_needed_no_more(lane) {
                let write = shared.vacate(id, self.now());
                self.push(&mut shared, vec![write]);
            } else {
                shared.parting.push(id);
            }
        }
    }

    /// Makes the lanes that are missing, and renames those that another destination takes over.
    fn make_lanes(&self, specs: &[LaneSpec]) -> (Configured, u64) {
        let now = self.now();
        let mut configured = Configured::default();
        let mut stamp = 0;
        let mut shared = self.shared();
        for spec in specs {
            let (id, made) = shared.lane_for(spec, specs);
            if let Made::Already = made {
                continue;
            }
            if let Made::TakenOver(was) = made {
                configured.taken_over.push((was, spec.destination.clone()));
            }
            let write = shared.lane(id).write(now);
            stamp = self.push(&mut shared, vec![write]);
        }
        (configured, stamp)
    }

    /// Runs every lane as `changes` says; those that are of no destination are orphaned.
    fn run_lanes(&self, changes: &Changes<'_>, configured: &mut Configured) -> u64 {
        let mut shared = self.shared();
        (shared.history, shared.dead) = (changes.history, changes.dead);
        let (running, mut stamp) = self.run_each(changes.lanes, &mut shared, configured);
        for id in 1..shared.lanes.len() as LaneId {
            if shared.lane(id).run.is_none() || running.contains(&id) {
                continue;
            }
            stamp = self.orphan(id, &mut shared);
            let lane = shared.lane(id);
            configured.orphaned.push(Orphan {
                destination: lane.destination.clone(),
                waiting: lane.waiting(),
            });
        }
        stamp
    }

    /// Runs these lanes, and gives their ids.
    fn run_each(
        &self,
        specs: &[LaneSpec],
        shared: &mut Shared,
        configured: &mut Configured,
    ) -> (HashSet<LaneId>, u64) {
        let now = self.now();
        let mut stamp = 0;
        let mut running = HashSet::new();
        shared.last_plan = None;
        for spec in specs {
            let own = shared.by_name.get(&spec.destination).copied();
            let other = shared.left_to(spec, specs);
            let own = own.map(|id| (id, false));
            for (id, taken_over) in own.into_iter().chain(other.map(|id| (id, true))) {
                running.insert(id);
                let lane = shared.lane(id);
                if taken_over && lane.run.is_none_or(|run| !run.taken_over) {
                    let was = lane.destination.clone();
                    configured.taken_over.push((was, spec.destination.clone()));
                }
                let became = lane.run_as(spec, taken_over, now);
                if became == Became::Other {
                    let write = shared.lane(id).write(now);
                    stamp = self.push(shared, vec![write]);
                }
                if became != Became::Same {
                    self.wake(shared, id);
                }
            }
        }
        (running, stamp)
    }

    fn orphan_named(&self, name: &str) -> u64 {
        let mut shared = self.shared();
        shared.last_plan = None;
        let id = shared.by_name.get(name).copied();
        id.map_or(0, |id| self.orphan(id, &mut shared))
    }

    fn orphan(&self, id: LaneId, shared: &mut Shared) -> u64 {
        let now = self.now();
        let lane = shared.lane(id);
        lane.run = None;
        lane.orphaned = Some(now.wall);
        let write = lane.write(now);
        self.push(shared, vec![write])
    }

    /// Waits for the disk as long as it takes: the change is under way and cannot be taken back.
    pub(super) async fn durable_at_last(&self, stamp: u64) -> Result<(), QueueError> {
        loop {
            match self.durable(stamp).await {
                Err(QueueError::Unavailable) if !self.shared().closing => {}
                ended => return ended,
            }
        }
    }
}

/// How a destination came to its lane.
enum Made {
    /// It had one.
    Already,
    New,
    /// That of a former destination.
    TakenOver(Arc<str>),
}

/// What new settings made of a lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Became {
    Same,
    /// It has something to do now, perhaps.
    Livelier,
    /// And what is stored of it has changed.
    Other,
}

impl Shared {
    /// The destination's lane: its own, the one that it takes over, or a new one.
    fn lane_for(&mut self, spec: &LaneSpec, specs: &[LaneSpec]) -> (LaneId, Made) {
        let name = &spec.destination;
        if let Some(id) = self.by_name.get(name) {
            return (*id, Made::Already);
        }
        self.former_names.remove(name);
        if let Some(id) = self.left_to(spec, specs) {
            let was = std::mem::replace(&mut self.lane(id).destination, name.clone());
            self.by_name.remove(&was);
            self.by_name.insert(name.clone(), id);
            self.former_names.insert(was.clone(), id);
            return (id, Made::TakenOver(was));
        }
        let id = self.vacant.pop().unwrap_or(self.lanes.len() as LaneId);
        let mut lane = Lane::new(id, name.clone(), self.log.next);
        lane.settings = spec.settings;
        match self.lanes.get_mut(id as usize) {
            Some(vacant) => *vacant = lane,
            None => self.lanes.push(lane),
        }
        self.by_name.insert(name.clone(), id);
        (id, Made::New)
    }

    /// The lane of the former destination that this one takes over.
    fn left_to(&self, spec: &LaneSpec, specs: &[LaneSpec]) -> Option<LaneId> {
        let was = spec.was.as_ref()?;
        let is_gone = specs.iter().all(|other| other.destination != *was);
        self.by_name.get(was).copied().filter(|_| is_gone)
    }

    /// Nothing new can come for lanes that have no destination now.
    fn part_with_orphans(&mut self) {
        let lanes = self.lanes.iter().skip(1);
        let orphans = lanes.filter(|lane| lane.orphaned.is_some());
        self.parting = orphans.map(|lane| lane.id).collect();
    }

    fn is_needed_no_more(&self, lane: &Lane) -> bool {
        let is_empty =
            lane.waiting() == 0 && lane.dead == 0 && lane.history == 0 && lane.asides.is_empty();
        // A page that names its id would name the next destination that gets it.
        let is_named = lane.named_until > self.log.pages_from;
        let mut waiting = self.appends.iter();
        is_empty && !is_named && !waiting.any(|it| it.entry.planned(lane.id).is_some())
    }

    fn vacate(&mut self, id: LaneId, now: Now) -> (Vec<u8>, Option<Vec<u8>>) {
        let (next, lane) = (self.log.next, self.lane(id));
        let name = std::mem::replace(lane, Lane::new(id, "".into(), next)).destination;
        let write = lane.write(now);
        self.by_name.remove(&name);
        self.vacant.push(id);
        self.last_plan = None;
        write
    }
}

impl Lane {
    fn run_as(&mut self, spec: &LaneSpec, taken_over: bool, now: Now) -> Became {
        let run = Run {
            width: spec.width.max(1),
            loose: spec.loose,
            longest_wait: spec.longest_wait,
            taken_over,
        };
        let mut became = match self.run.replace(run) {
            Some(before) if before == run => Became::Same,
            _ => Became::Livelier,
        };
        if let Some(since) = self.orphaned.take() {
            self.stood_still(since, now.wall);
            became = Became::Other;
        }
        let latest = now.elapsed + spec.longest_wait.max(LONGEST_WAIT);
        for not_before in self.times() {
            *not_before = latest.min(*not_before);
        }
        if self.settings != spec.settings {
            self.settings_changed(spec.settings, now);
            became = Became::Other;
        }
        became
    }

    /// Whether this end of an attempt says nothing, because it is a failure under settings that
    /// have changed since. What can never pass is none: that is told of the message.
    pub(super) fn is_outdated(&self, token: &LeaseToken, settlement: &Settlement) -> bool {
        let is_failure = matches!(
            settlement,
            Settlement::Defer { .. } | Settlement::Hold { .. } | Settlement::Dead(Reason::GaveUp)
        );
        is_failure && token.settings.is_some_and(|used| used != self.settings)
    }

    /// A change of the destination's settings ends an automatic hold; what failed before says
    /// nothing any more, and is tried at once.
    fn settings_changed(&mut self, settings: u64, now: Now) {
        self.settings = settings;
        self.failing = None;
        if self.held.as_ref().is_some_and(|hold| !hold.held.manual) {
            self.end_hold(now);
        }
        self.times()
            .for_each(|not_before| *not_before = Duration::ZERO);
    }

    /// When its failed deliveries are tried again.
    fn times(&mut self) -> impl Iterator<Item = &mut Duration> {
        let out = self.out.values_mut().map(|out| &mut out.not_before);
        let parked = self.parked.values_mut();
        out.chain(parked.map(|parked| &mut parked.not_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::queue::key;
    use crate::queue::{Keep, Options, open};

    const KEEP: Keep = Keep {
        keep: Duration::from_secs(86_400),
        at_most: 1000,
    };

    fn spec(name: String, was: Option<String>) -> LaneSpec {
        LaneSpec {
            destination: name.into(),
            was: was.map(Into::into),
            width: 1,
            loose: false,
            settings: 1,
            longest_wait: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn thousands_of_renamed_destinations_leave_nothing_in_memory_or_on_disk() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            data: folder.path().to_owned(),
            history: KEEP,
            dead: KEEP,
            dedupe: KEEP,
            backlog: 1000,
            free_disk: 0,
        };
        let first = [spec("ci-0".into(), None)];
        let engine = open::open(options, |_| Ok(first.into()), Clock::system()).unwrap();
        for number in 1..=2000 {
            engine.forget_former_names();
            // Every other time the lane is taken over, else it is left behind.
            let was = (number % 2 == 0).then(|| format!("ci-{}", number - 1));
            let lanes = [spec(format!("ci-{number}"), was)];
            let changes = Changes {
                lanes: &lanes,
                history: KEEP,
                dead: KEEP,
            };
            engine.configure(changes, || {}).await.unwrap();
        }
        let stored = engine.store.scan(key::all(b"l"), usize::MAX).unwrap();
        let shared = engine.shared();
        let sizes = [
            shared.lanes.len(),
            shared.by_name.len(),
            shared.former_names.len(),
            shared.parting.len(),
            shared.vacant.len(),
            stored.len(),
        ];
        assert!(sizes.iter().all(|size| *size <= 5), "{sizes:?}");
    }
}
