//! How fast each URL is sent to. Pure arithmetic over times of [`Clock::elapsed`]: never sleeps.
//!
//! A bucket is a kind, a canonical host and a path, shared by every destination with that URL.
//! Every window of every one of them holds at once, so the lowest rate rules. What a service says
//! only slows a bucket further.
//!
//! [`Clock::elapsed`]: crate::clock::Clock::elapsed

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::destination::{Destination, Kind, Pace, Window};
use crate::send::verdict::Slowdown;
use crate::send::{dingtalk, discord};

/// What shares one pace. Its `Debug` would show the path, which is a password: there is none.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey {
    kind: &'static str,
    host: String,
    port: Option<u16>,
    path: String,
}

impl BucketKey {
    /// The bucket of a destination; the console has none.
    pub fn of(destination: &Destination) -> Option<BucketKey> {
        let url = destination.kind.url()?.expose();
        let host = url.host_str().unwrap_or("").trim_end_matches('.');
        let (host, path) = match &destination.kind {
            Kind::Discord(_) => (
                canonical_discord_host(host),
                discord::path_with_version(url.path()),
            ),
            // One path for all robots: the token tells them apart.
            Kind::DingTalk(_) => (host, format!("{}?{}", url.path(), dingtalk::token(url))),
            _ => (host, url.path().to_owned()),
        };
        Some(BucketKey {
            kind: destination.kind.name(),
            host: host.to_owned(),
            port: url.port_or_known_default(),
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

fn canonical_discord_host(host: &str) -> &str {
    match host {
        "discordapp.com"
        | "ptb.discord.com"
        | "canary.discord.com"
        | "ptb.discordapp.com"
        | "canary.discordapp.com"
        | "www.discord.com" => "discord.com",
        host => host,
    }
}

/// All buckets.
#[derive(Default)]
pub struct Pacer(Mutex<Buckets>);

#[derive(Default)]
struct Buckets {
    by_key: HashMap<BucketKey, Bucket>,
    of_lane: HashMap<Arc<str>, BucketKey>,
    /// Until when a whole kind rests.
    resting: HashMap<&'static str, Duration>,
}

#[derive(Default)]
struct Bucket {
    /// Those that share it, each with its own windows.
    lanes: HashMap<Arc<str>, Vec<Window>>,
    /// Of all of them together.
    windows: Vec<Window>,
    /// When requests went out, oldest first; as many as the largest window counts.
    sent: VecDeque<Duration>,
    resting_until: Duration,
}

impl Pacer {
    pub fn new() -> Pacer {
        Pacer::default()
    }

    /// Takes over the rates of lanes that are new or changed, and forgets those that are `gone`;
    /// what was sent to a URL and what rests is kept. Gives all lanes whose pace is another now.
    pub fn configure<'a>(
        &self,
        lanes: impl IntoIterator<Item = (&'a Arc<str>, &'a Destination)>,
        gone: &[Arc<str>],
    ) -> HashSet<Arc<str>> {
        let mut buckets = self.lock();
        let mut touched = HashSet::new();
        for (lane, destination) in lanes {
            touched.extend(buckets.take_out(lane));
            if let Some(key) = BucketKey::of(destination) {
                let bucket = buckets.by_key.entry(key.clone()).or_default();
                bucket.lanes.insert(lane.clone(), windows(destination));
                buckets.of_lane.insert(lane.clone(), key.clone());
                touched.insert(key);
            }
        }
        for lane in gone {
            touched.extend(buckets.take_out(lane));
        }
        let settle = |key: &BucketKey| buckets.settle(key);
        touched.iter().flat_map(settle).collect()
    }

    /// Takes a turn at `now`, or says when to ask again.
    pub fn take(&self, key: &BucketKey, now: Duration) -> Result<(), Duration> {
        let mut buckets = self.lock();
        let rest = buckets.resting.get(key.kind).copied().unwrap_or_default();
        // Nobody has it any more whose hook was deleted a moment ago.
        let bucket = buckets.by_key.get_mut(key);
        let free = bucket.as_ref().map_or(now, |bucket| bucket.free_at(now));
        let free = free.max(rest);
        if free > now {
            return Err(free);
        }
        if let Some(bucket) = bucket {
            bucket.note(now);
        }
        Ok(())
    }

    /// Gives back the turn taken at `now` that nothing was sent in.
    pub fn give_back(&self, key: &BucketKey, now: Duration) {
        let mut buckets = self.lock();
        if let Some(bucket) = buckets.by_key.get_mut(key)
            && let Some(turn) = bucket.sent.iter().rposition(|sent| *sent == now)
        {
            bucket.sent.remove(turn);
        }
    }

    /// Rests a bucket, or its whole kind, as the service asked. Never shortens a rest.
    pub fn slow(&self, key: &BucketKey, slowdown: Slowdown, now: Duration) {
        let mut buckets = self.lock();
        let (until, wait) = match slowdown {
            Slowdown::Url(wait) => match buckets.by_key.get_mut(key) {
                Some(bucket) => (&mut bucket.resting_until, wait),
                None => return,
            },
            Slowdown::Service(wait) => (buckets.resting.entry(key.kind).or_default(), wait),
        };
        *until = (*until).max(now.saturating_add(wait));
    }

    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    /// Takes a lane out of its bucket, and gives that.
    fn take_out(&mut self, lane: &str) -> Option<BucketKey> {
        let key = self.of_lane.remove(lane)?;
        if let Some(bucket) = self.by_key.get_mut(&key) {
            bucket.lanes.remove(lane);
        }
        Some(key)
    }

    /// Brings a bucket in line with its lanes, and gives them if they have another pace now.
    fn settle(&mut self, key: &BucketKey) -> Vec<Arc<str>> {
        let Some(bucket) = self.by_key.get_mut(key) else {
            return Vec::new();
        };
        if bucket.lanes.is_empty() {
            self.by_key.remove(key);
            return Vec::new();
        }
        let mut windows: Vec<Window> = bucket.lanes.values().flatten().copied().collect();
        windows.sort_unstable_by_key(|window| (window.per, window.count));
        windows.dedup();
        if windows == bucket.windows {
            return Vec::new();
        }
        bucket.windows = windows;
        bucket.lanes.keys().cloned().collect()
    }
}

impl Bucket {
    /// The first moment from `now` on at which every window has room.
    fn free_at(&self, now: Duration) -> Duration {
        let room = |window: &Window| {
            let count = usize::try_from(window.count.max(1)).unwrap_or(usize::MAX);
            let crowding = self.sent.len().checked_sub(count)?;
            Some(self.sent[crowding].saturating_add(window.per))
        };
        let free = self.windows.iter().filter_map(room).max();
        free.unwrap_or_default().max(self.resting_until).max(now)
    }

    fn note(&mut self, now: Duration) {
        let most = self.windows.iter().map(|window| window.count.max(1)).max();
        let most = usize::try_from(most.unwrap_or(0)).unwrap_or(usize::MAX);
        if most == 0 {
            return;
        }
        while self.sent.len() >= most {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

/// The pace of a destination as relay.yaml would say it: `5/2s, 30/60s`.
pub fn in_words(destination: &Destination) -> String {
    let window = |window: &Window| format!("{}/{}s", window.count, window.per.as_secs_f64());
    let windows: Vec<String> = windows(destination).iter().map(window).collect();
    if windows.is_empty() {
        "unlimited".to_owned()
    } else {
        windows.join(", ")
    }
}

/// A destination's own windows, or those of its kind: Slack takes a message a second and a short
/// burst, Discord five in two seconds and thirty a minute, DingTalk twenty a minute.
fn windows(destination: &Destination) -> Vec<Window> {
    let window = |count, seconds| Window {
        count,
        per: Duration::from_secs(seconds),
    };
    match (&destination.pace, &destination.kind) {
        (Some(Pace::Windows(windows)), _) => windows.clone(),
        (Some(Pace::Unlimited), _) | (None, Kind::Gogs(_) | Kind::GitHub(_) | Kind::Console) => {
            Vec::new()
        }
        (None, Kind::Slack(_)) => vec![window(5, 5)],
        (None, Kind::Discord(_)) => vec![window(5, 2), window(30, 60)],
        (None, Kind::DingTalk(_)) => vec![window(20, 60)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::{DingTalk, Discord, Order, Reach, RetryPolicy, SecretUrl};

    fn discord(url: &str, pace: Option<Pace>) -> Destination {
        Destination {
            name: "ops".into(),
            was: None,
            kind: Kind::Discord(Discord {
                url: SecretUrl::parse(url).unwrap(),
                username: None,
                avatar_url: None,
                color: None,
                thread_id: None,
            }),
            reach: Reach::Configured,
            templates: "default".into(),
            order: Order::Strict,
            pace,
            timeout: Duration::from_secs(15),
            retry: RetryPolicy {
                first: Duration::from_secs(1),
                factor: 2.0,
                max: Duration::from_secs(600),
                jitter: 0.0,
                give_up_after: Duration::from_secs(86_400),
            },
        }
    }

    /// A pacer of lanes called `lane-0` and so on.
    fn pacer(destinations: &[Destination]) -> Pacer {
        let pacer = Pacer::new();
        configure(&pacer, destinations);
        pacer
    }

    fn configure(pacer: &Pacer, destinations: &[Destination]) -> Vec<Arc<str>> {
        let lanes: Vec<Arc<str>> = (0..destinations.len()).map(lane).collect();
        let mut repaced: Vec<_> = (pacer.configure(lanes.iter().zip(destinations), &[]))
            .into_iter()
            .collect();
        repaced.sort();
        repaced
    }

    fn lane(number: usize) -> Arc<str> {
        format!("lane-{number}").into()
    }

    /// The moments of `count` sends as early as the pacer lets them.
    fn sends(pacer: &Pacer, key: &BucketKey, count: usize) -> Vec<Duration> {
        let mut now = Duration::ZERO;
        let mut sent = Vec::new();
        while sent.len() < count {
            match pacer.take(key, now) {
                Ok(()) => sent.push(now),
                Err(later) => now = later,
            }
        }
        sent
    }

    fn assert_within(sent: &[Duration], count: usize, per: Duration) {
        for pair in sent.windows(count + 1) {
            assert!(pair[count] - pair[0] >= per, "{count} in {per:?}: {pair:?}");
        }
    }

    #[test]
    fn spellings_of_one_discord_hook_share_a_bucket() {
        let key = |url| BucketKey::of(&discord(url, None));
        let one = key("https://discord.com/api/webhooks/1/t");
        for url in [
            "https://discordapp.com/api/webhooks/1/t",
            "https://ptb.discord.com/api/v10/webhooks/1/t/",
            "https://canary.discord.com/api/v9/webhooks/1/t?thread_id=4",
        ] {
            assert!(key(url) == one, "{url}");
        }
        assert!(key("https://discord.com/api/webhooks/1/u") != one);
        assert!(key("https://discord.com:8443/api/webhooks/1/t") != one);
    }

    #[test]
    fn each_robot_of_dingtalk_has_a_bucket_of_its_own() {
        let key = |query: &str| {
            let url = format!("https://oapi.dingtalk.com/robot/send?{query}");
            let mut destination = discord("https://discord.com/", None);
            destination.kind = Kind::DingTalk(DingTalk {
                url: SecretUrl::parse(&url).unwrap(),
                secret: None,
            });
            BucketKey::of(&destination)
        };
        assert!(key("access_token=a") == key("access_token=a&x=y"));
        assert!(key("access_token=a") != key("access_token=b"));
    }

    #[test]
    fn every_window_of_every_destination_with_the_url_holds() {
        let url = "https://discord.com/api/webhooks/1/t";
        let slow = Pace::Windows(vec![Window {
            count: 1,
            per: Duration::from_secs(1),
        }]);
        let pair = [discord(url, None), discord(url, Some(slow))];
        let key = BucketKey::of(&pair[0]).unwrap();
        let pacer = self::pacer(&pair[..1]);
        let sent = sends(&pacer, &key, 90);
        assert_within(&sent, 5, Duration::from_secs(2));
        assert_within(&sent, 30, Duration::from_secs(60));
        assert_eq!(sent[4], Duration::ZERO, "a burst goes at once");
        assert_eq!(
            sent[89],
            Duration::from_secs(130),
            "and no slower than needed"
        );

        let pacer = self::pacer(&pair);
        assert_within(&sends(&pacer, &key, 40), 1, Duration::from_secs(1));
    }

    #[test]
    fn a_rest_is_never_shortened_and_covers_the_kind_when_it_should() {
        let one = discord("https://discord.com/api/webhooks/1/t", None);
        let other = discord("https://discord.com/api/webhooks/2/t", None);
        let pacer = pacer(&[one.clone(), other.clone()]);
        let (one, other) = (BucketKey::of(&one).unwrap(), BucketKey::of(&other).unwrap());
        let seconds = Duration::from_secs;
        pacer.slow(&one, Slowdown::Url(seconds(40)), Duration::ZERO);
        pacer.slow(&one, Slowdown::Url(seconds(2)), Duration::ZERO);
        assert_eq!(pacer.take(&one, seconds(1)), Err(seconds(40)));
        assert_eq!(pacer.take(&other, seconds(1)), Ok(()));
        pacer.slow(&one, Slowdown::Service(seconds(600)), Duration::ZERO);
        assert_eq!(pacer.take(&other, seconds(41)), Err(seconds(600)));
        assert_eq!(pacer.take(&other, seconds(600)), Ok(()));
    }

    #[test]
    fn new_settings_keep_what_was_sent() {
        let pair = [discord("https://discord.com/api/webhooks/1/t", None)];
        let key = BucketKey::of(&pair[0]).unwrap();
        let pacer = pacer(&pair);
        for _ in 0..5 {
            pacer.take(&key, Duration::ZERO).unwrap();
        }
        // As if it had been renamed.
        pacer.configure([(&lane(7), &pair[0])], &[lane(0)]);
        let later = Duration::from_secs(2);
        assert_eq!(pacer.take(&key, Duration::from_secs(1)), Err(later));
        assert_eq!(pacer.take(&key, later), Ok(()));
    }

    #[test]
    fn whoever_shares_a_url_is_told_when_the_pace_of_another_changes_it() {
        let url = "https://discord.com/api/webhooks/1/t";
        let slow = Pace::Windows(vec![Window {
            count: 1,
            per: Duration::from_secs(1),
        }]);
        let pacer = pacer(&[discord(url, None), discord(url, Some(slow.clone()))]);
        let again = configure(&pacer, &[discord(url, None), discord(url, Some(slow))]);
        assert_eq!(again, []);
        let faster = [discord(url, None), discord(url, Some(Pace::Unlimited))];
        assert_eq!(configure(&pacer, &faster), [lane(0), lane(1)]);
        assert!(pacer.configure([], &[lane(0), lane(1)]).is_empty());
        assert!(pacer.lock().by_key.is_empty());
    }
}
