//! How often the hub may turn to a host, an address, and anybody at all, because somebody unknown
//! asked for it. Pure arithmetic over times of [`Clock::elapsed`]: never sleeps and never sends.
//!
//! [`Clock::elapsed`]: crate::clock::Clock::elapsed

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Requests that are about one host: each may cost a write.
const ASKED: Rate = Rate::new(100, Duration::from_secs(1));
/// Verifications that are sent to one host and port.
const HOST: Rate = Rate::new(20, Duration::from_secs(3));
/// To one address, whatever hosts lead there.
const ADDRESS: Rate = Rate::new(100, Duration::from_millis(500));
/// To anybody.
const ALL: Rate = Rate::new(200, Duration::from_millis(50));
/// Searches for what nothing is known of.
const SEARCHES: Rate = Rate::new(10, Duration::from_secs(1));

/// Hosts, and addresses, remembered at once.
const REMEMBERED: usize = 8192;
/// More addresses of one host are not looked at.
const ADDRESSES: usize = 8;

/// What was used up of all that.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    asked: Buckets<String>,
    hosts: Buckets<String>,
    addresses: Buckets<IpAddr>,
    all: Duration,
    searches: Duration,
    /// Hosts that were not dialled because of their addresses, and until when.
    resting: HashMap<String, Duration>,
}

impl Limits {
    /// Takes a request in that is about this host.
    ///
    /// # Errors
    /// When there is room for the next.
    pub(crate) fn ask(&self, host: &str, now: Duration) -> Result<(), Duration> {
        self.lock().asked.take(host.to_owned(), now, ASKED)
    }

    /// Takes a verification that goes to this host and port.
    ///
    /// # Errors
    /// When the next may go.
    pub(crate) fn verify(&self, host: &str, now: Duration) -> Result<(), Duration> {
        let mut used = self.lock();
        // One host that is over its own limit uses up nothing of the others'.
        used.hosts.look(host, now, HOST)?;
        take(&mut used.all, now, ALL)?;
        used.hosts.take(host.to_owned(), now, HOST)
    }

    /// Takes a connection to one of these addresses of `host`; which of them is not yet known.
    ///
    /// # Errors
    /// When the next may be made. [`Limits::rest`] tells it as well.
    pub(crate) fn dial(
        &self,
        host: &str,
        addresses: &mut Vec<IpAddr>,
        now: Duration,
    ) -> Result<(), Duration> {
        addresses.truncate(ADDRESSES);
        let mut used = self.lock();
        let used = &mut *used;
        let mut networks: Vec<IpAddr> = addresses.iter().copied().map(network).collect();
        networks.sort_unstable();
        networks.dedup();
        let free = |network: &IpAddr| used.addresses.look(network, now, ADDRESS);
        let mut taken = networks.iter().try_for_each(free);
        for network in networks {
            taken = taken.and_then(|()| used.addresses.take(network, now, ADDRESS));
        }
        if let Err(until) = taken {
            used.resting.retain(|_, until| *until > now);
            used.resting.insert(host.to_owned(), until);
        }
        taken
    }

    /// Until when a host is not dialled, if it was not because of its addresses.
    pub(crate) fn rest(&self, host: &str) -> Option<Duration> {
        self.lock().resting.remove(host)
    }

    /// Takes a search through all that is kept.
    pub(crate) fn search(&self, now: Duration) -> bool {
        take(&mut self.lock().searches, now, SEARCHES).is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one owner can choose its addresses from: of IPv6, the network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

/// So many at once, and then one in each of these times.
#[derive(Clone, Copy, Debug)]
struct Rate {
    every: Duration,
    /// How far what was taken may be ahead of the time.
    ahead: Duration,
}

impl Rate {
    const fn new(at_once: u32, every: Duration) -> Rate {
        Rate {
            every,
            ahead: match every.checked_mul(at_once - 1) {
                Some(ahead) => ahead,
                None => Duration::MAX,
            },
        }
    }
}

/// Until when all that was taken from one bucket counts.
type Bucket = Duration;

fn look(bucket: Bucket, now: Duration, rate: Rate) -> Result<(), Duration> {
    match bucket > now + rate.ahead {
        true => Err(bucket - rate.ahead),
        false => Ok(()),
    }
}

fn take(bucket: &mut Bucket, now: Duration, rate: Rate) -> Result<(), Duration> {
    look(*bucket, now, rate)?;
    *bucket = now.max(*bucket) + rate.every;
    Ok(())
}

#[derive(Debug)]
struct Buckets<K>(HashMap<K, Bucket>);

impl<K> Default for Buckets<K> {
    fn default() -> Buckets<K> {
        Buckets(HashMap::new())
    }
}

impl<K: Hash + Eq> Buckets<K> {
    fn look<Q>(&self, key: &Q, now: Duration, rate: Rate) -> Result<(), Duration>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let bucket = self.0.get(key).copied();
        look(bucket.unwrap_or_default(), now, rate)
    }

    fn take(&mut self, key: K, now: Duration, rate: Rate) -> Result<(), Duration> {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&key) {
            self.0.retain(|_, bucket| *bucket > now);
            if self.0.len() >= REMEMBERED {
                return Err(now + rate.every);
            }
        }
        take(self.0.entry(key).or_default(), now, rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_host_is_turned_to_twenty_times_at_once_and_then_every_three_seconds() {
        let limits = Limits::default();
        let goes = |at: f64| {
            let all = (0..1000).filter(|_| limits.verify("a", seconds(at)).is_ok());
            all.count()
        };
        assert_eq!(goes(1.0), 20);
        assert_eq!(limits.verify("a", seconds(1.0)), Err(seconds(4.0)));
        assert_eq!(goes(3.9), 0);
        assert_eq!(goes(4.0), 1);
        assert_eq!(goes(600.0), 20);
    }

    #[test]
    fn a_host_over_its_limit_takes_nothing_from_others() {
        let limits = Limits::default();
        for _ in 0..10_000 {
            let _over = limits.verify("flood", seconds(1.0));
        }
        let all = (0..10_000).filter(|at| limits.verify(&at.to_string(), seconds(1.0)).is_ok());
        assert_eq!(all.count(), 180);
    }

    #[test]
    fn hosts_that_lead_to_one_address_share_its_limit() {
        let limits = Limits::default();
        let dial = |host: &str, text: &str, at: f64| {
            let mut addresses = vec![text.parse().unwrap()];
            limits.dial(host, &mut addresses, seconds(at)).is_ok()
        };
        let victim = (0..1000).filter(|at| dial(&format!("{at}.example"), "192.0.2.1", 1.0));
        assert_eq!(victim.count(), 100);
        assert!(dial("honest.example", "192.0.2.2", 1.0));
        assert!(dial("late.example", "192.0.2.1", 1.5));
        assert!(limits.rest("999.example").is_some() && limits.rest("1.example").is_none());
        for at in 0..100 {
            assert!(dial("six", &format!("2001:db8::{at}"), 1.0));
        }
        assert!(!dial("six", "2001:db8::ffff", 1.0) && dial("six", "2001:db8:1::1", 1.0));
    }

    #[test]
    fn however_many_hosts_there_are_memory_is_bounded() {
        let limits = Limits::default();
        for at in 0..20_000_u32 {
            let now = seconds(f64::from(at) * 0.001);
            let _full = limits.ask(&at.to_string(), now);
            assert!(limits.lock().asked.0.len() <= REMEMBERED);
        }
        assert!(limits.ask("late", seconds(60.0)).is_ok());
    }
}
