//! Runs all lanes: wakes them, paces them, and settles what came of each attempt.
//!
//! One task (the dispatcher) knows which lane is due when. A lane with something to do has
//! a worker, one a unit of its width, that delivers until there is nothing to send now; a lane in
//! trouble has none, only its entry in the sorted set of due times. Every request takes its place
//! among `limits.sends` behind those of the other lanes.

use std::collections::{BTreeSet, HashMap};
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::destination::{Destination, Order};
use crate::queue::{LaneSpec, Queue};
use crate::send::deliver::{Console, Courier};
use crate::send::pace::Pacer;
use crate::send::rooms::Rooms;
use crate::send::transport::Transport;
use crate::send::turn::{InLine, Turns};
use crate::send::work::{Rest, Worker};
use crate::settings::{InForce, Settings};

/// What lanes need from outside.
pub struct LanesParts {
    pub queue: Queue,
    /// Taken anew for each attempt, so that a corrected setting or template repairs what waits.
    pub settings: InForce,
    pub transport: Transport,
    pub console: Console,
    pub clock: Clock,
    /// Requests that may be under way at once, over all destinations.
    pub sends: usize,
    /// What large events may take in memory that are being sent, all together.
    pub bytes: usize,
    /// Gives a number between -1 and 1 for each retry; [`retry::dice`] outside tests.
    ///
    /// [`retry::dice`]: crate::send::retry::dice
    pub jitter: fn() -> f64,
}

/// All lanes, ready to run.
pub struct Lanes {
    worker: Arc<Worker>,
    settings: InForce,
    /// Those that the schedule goes by.
    taken: Option<Arc<Settings>>,
    pacer: Arc<Pacer>,
    clock: Clock,
}

impl Lanes {
    pub fn new(parts: LanesParts) -> Lanes {
        let pacer = Arc::new(Pacer::new());
        let turns = Turns::new(parts.sends, pacer.clone(), parts.clock.clone());
        let clock = parts.clock;
        let courier = Courier::new(parts.transport, turns, parts.console, clock.clone());
        Lanes {
            worker: Arc::new(Worker {
                queue: parts.queue,
                settings: parts.settings.clone(),
                courier,
                rooms: Rooms::new(parts.bytes),
                clock: clock.clone(),
                jitter: parts.jitter,
                told: Default::default(),
                stop: CancellationToken::new(),
            }),
            settings: parts.settings,
            taken: None,
            pacer,
            clock,
        }
    }

    /// Makes single attempts past the queue, at the same pace.
    pub fn courier(&self) -> &Courier {
        &self.worker.courier
    }

    /// Delivers until `shutdown`. Then nothing new is taken, what is under way may end within
    /// `grace`, and the rest is dropped: its leases go back to the queue.
    pub async fn run(self, shutdown: CancellationToken, grace: Duration) {
        // Without a budget, or others would run before all that are woken stand in the line.
        tokio::task::unconstrained(self.dispatch(shutdown, grace)).await;
    }

    async fn dispatch(mut self, shutdown: CancellationToken, grace: Duration) {
        let mut schedule = Schedule::new(self.worker.clone());
        self.take_settings(&mut schedule);
        let queue = self.worker.queue.clone();
        let mut woken = pin!(queue.woken());
        loop {
            let due = schedule.next_due();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                lanes = &mut woken => {
                    lanes.iter().for_each(|lane| schedule.wake(lane));
                    woken.set(queue.woken());
                }
                rested = schedule.rested() => schedule.note(rested),
                () = until(&self.clock, due) => schedule.wake_due(self.clock.elapsed()),
                Ok(()) = self.settings.changed() => self.take_settings(&mut schedule),
                () = ready(()), if !schedule.called.is_empty() => schedule.begin(),
            }
        }
        self.worker.stop.cancel();
        if self.clock.timeout(grace, schedule.end()).await.is_err() {
            tracing::warn!("attempts under way were cut off; they will be repeated");
            schedule.workers.shutdown().await;
        }
    }

    fn take_settings(&mut self, schedule: &mut Schedule) {
        let settings = self.settings.borrow_and_update().clone();
        let transport = self.worker.courier.transport();
        transport.obey(&settings.config.egress);
        let before = self.taken.replace(settings.clone());
        let before = |name| before.as_ref().and_then(|before| before.of_lane(name));
        // With many hooks, nearly all are the same after one of them has changed.
        let is_same = |was: &Destination, is: &Destination| std::ptr::eq(was, is) || was == is;
        let changed = settings.lanes();
        let changed: Vec<(&Arc<str>, &Destination)> = changed
            .filter(|(name, is)| !before(name).is_some_and(|was| is_same(was, is)))
            .collect();
        let gone = schedule.widths.keys();
        let gone: Vec<Arc<str>> = gone
            .filter(|name| settings.of_lane(name).is_none())
            .cloned()
            .collect();
        let repaced = self.pacer.configure(changed.iter().copied(), &gone);
        self.worker.forget(&gone);
        schedule.forget(&gone);
        for (name, destination) in changed {
            schedule.widths.insert(name.clone(), width(destination));
            schedule.wake(name);
        }
        repaced.iter().for_each(|name| schedule.wake(name));
    }
}

/// What the queue must know of a destination.
pub fn lane_spec(destination: &Destination) -> LaneSpec {
    LaneSpec {
        destination: destination.name.clone(),
        was: destination.was.clone(),
        width: width(destination),
        loose: matches!(destination.order, Order::Loose { .. }),
        settings: destination.settings(),
        longest_wait: destination.retry.max,
    }
}

fn width(destination: &Destination) -> usize {
    match destination.order {
        Order::Strict => 1,
        Order::Loose { concurrency } => concurrency.max(1),
    }
}

async fn until(clock: &Clock, due: Option<Duration>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Which lanes have workers, and when the others are due.
struct Schedule {
    worker: Arc<Worker>,
    widths: HashMap<Arc<str>, usize>,
    lanes: HashMap<Arc<str>, LaneState>,
    due: BTreeSet<(Duration, Arc<str>)>,
    /// Workers that have not begun yet, each with its place in the line.
    called: Vec<(Arc<str>, InLine)>,
    /// Each worker comes back with its lane and how it rests; a panic loses both.
    workers: JoinSet<Rest>,
    lane_of: HashMap<tokio::task::Id, Arc<str>>,
}

#[derive(Default)]
struct LaneState {
    working: usize,
    /// Woken while its workers may have looked already.
    again: bool,
    due: Option<Duration>,
}

type Rested = (Arc<str>, Rest);

impl Schedule {
    fn new(worker: Arc<Worker>) -> Schedule {
        Schedule {
            worker,
            widths: HashMap::new(),
            lanes: HashMap::new(),
            due: BTreeSet::new(),
            called: Vec::new(),
            workers: JoinSet::new(),
            lane_of: HashMap::new(),
        }
    }

    /// Gives a lane its workers; if some are at work, the next to rest is replaced once, because
    /// it may have looked too early.
    fn wake(&mut self, name: &Arc<str>) {
        if !self.widths.contains_key(name) {
            return;
        }
        let lane = self.lanes.entry(name.clone()).or_default();
        lane.again = lane.working > 0;
        self.staff(name);
    }

    /// Forgets lanes that are gone; those that still have workers when these come to rest.
    fn forget(&mut self, gone: &[Arc<str>]) {
        for name in gone {
            self.widths.remove(name);
            if let Some(due) = self.lanes.get_mut(name).and_then(|lane| lane.due.take()) {
                self.due.remove(&(due, name.clone()));
            }
            if self.lanes.get(name).is_some_and(|lane| lane.working == 0) {
                self.lanes.remove(name);
            }
        }
    }

    fn staff(&mut self, name: &Arc<str>) {
        let Some(&width) = self.widths.get(name) else {
            return;
        };
        let lane = self.lanes.entry(name.clone()).or_default();
        if let Some(due) = lane.due.take() {
            self.due.remove(&(due, name.clone()));
        }
        while lane.working < width {
            lane.working += 1;
            let line = self.worker.courier.turns().line_up();
            self.called.push((name.clone(), line));
        }
    }

    /// Lets those begin that were called, once nothing else is known to be done. All are in the
    /// line before the first of them can line up for its second turn.
    fn begin(&mut self) {
        for (name, line) in self.called.drain(..) {
            let working = self.worker.clone().work(name.clone(), line);
            let task = self.workers.spawn(working);
            self.lane_of.insert(task.id(), name);
        }
    }

    fn wake_due(&mut self, now: Duration) {
        while let Some((due, name)) = self.due.first().cloned() {
            if due > now {
                return;
            }
            self.wake(&name);
            self.due.remove(&(due, name));
        }
    }

    fn next_due(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The next worker that comes to rest; never, while there is none.
    async fn rested(&mut self) -> Rested {
        loop {
            let (id, rest) = match self.workers.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, rest))) => (id, rest),
                Some(Err(error)) => {
                    tracing::error!("a lane's worker panicked: a bug of gogs-relay");
                    let pause = self.worker.clock.elapsed() + Worker::PAUSE;
                    (error.id(), Rest::Until(pause))
                }
            };
            if let Some(name) = self.lane_of.remove(&id) {
                return (name, rest);
            }
        }
    }

    fn note(&mut self, (name, rest): Rested) {
        let lane = self.lanes.entry(name.clone()).or_default();
        lane.working -= 1;
        if !self.widths.contains_key(&name) {
            return self.forget(&[name]);
        }
        if std::mem::take(&mut lane.again) {
            return self.staff(&name);
        }
        let Rest::Until(due) = rest else { return };
        let due = lane.due.map_or(due, |old| old.min(due));
        if let Some(old) = lane.due.replace(due) {
            self.due.remove(&(old, name.clone()));
        }
        self.due.insert((due, name));
    }

    /// Waits for what is under way.
    async fn end(&mut self) {
        while self.workers.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use tokio::sync::watch;

    use super::*;
    use crate::config::{self, Config};
    use crate::delivery::Reason;
    use crate::plan::Templates;
    use crate::queue::Options;

    fn config(folder: &Path) -> Config {
        let path = folder.join("relay.yaml");
        let yaml = "sources: { gogs: { secret: s } }\ndestinations: { d-0: { console: } }\n";
        std::fs::write(&path, yaml).unwrap();
        let sets = |_: &Path| vec!["default".to_owned()];
        let loaded = config::load(&path, &Default::default(), &sets);
        loaded.unwrap().config
    }

    fn renamed(before: &Settings, name: &str) -> Arc<Settings> {
        let mut config = Config::clone(&before.config);
        let (_, mut destination) = config.destinations.pop_first().unwrap();
        destination.name = name.into();
        config.destinations = [(destination.name.clone(), destination)].into();
        Arc::new(Settings::new(config, before.templates.clone()).unwrap())
    }

    #[tokio::test]
    async fn thousands_of_renamed_destinations_leave_no_lane_worker_or_due_time_behind() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let options = Options {
            data: folder.path().join("data"),
            history: config.history,
            dead: config.dead,
            dedupe: config.dedupe,
            backlog: 1000,
            free_disk: 0,
        };
        let clock = Clock::system();
        let queue = Queue::open(options, &[], clock.clone()).unwrap();
        let templates = Arc::new(Templates::load(folder.path()).0);
        let first = Arc::new(Settings::new(config, templates).unwrap());
        let (in_force, settings) = watch::channel(first);
        let mut lanes = Lanes::new(LanesParts {
            queue: queue.clone(),
            settings,
            transport: Transport::new(clock.clone()),
            console: Arc::new(Mutex::new(std::io::sink())),
            clock: clock.clone(),
            sends: 8,
            bytes: 1 << 20,
            jitter: || 0.0,
        });
        let mut schedule = Schedule::new(lanes.worker.clone());
        for number in 1..=2000 {
            let next = renamed(&in_force.borrow().clone(), &format!("d-{number}"));
            in_force.send_replace(next);
            lanes.take_settings(&mut schedule);
            schedule.begin();
            let (name, _) = schedule.rested().await;
            // As if it had failed.
            let mut told = lanes.worker.told.lock().unwrap();
            told.insert(name.clone(), Reason::Timeout);
            drop(told);
            let later = clock.elapsed() + Duration::from_secs(3600);
            schedule.note((name, Rest::Until(later)));
        }
        let sizes = [
            schedule.widths.len(),
            schedule.lanes.len(),
            schedule.due.len(),
            schedule.called.len(),
            schedule.workers.len(),
            schedule.lane_of.len(),
            lanes.worker.told.lock().unwrap().len(),
        ];
        assert_eq!(sizes, [1, 1, 1, 0, 0, 0, 1]);
        queue.close().await;
    }
}
