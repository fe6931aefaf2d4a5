//! Slows down who presents wrong tokens, and tells the log of it. Never looks at a token, and
//! never keeps anybody waiting whose token is right.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tracing::warn;

use crate::clock::Clock;

/// So many wrong tokens cost nothing: somebody corrects a script.
const FREE: u32 = 5;
/// The first wait, which then doubles.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// After so long without another one a client's failures are forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Clients remembered at once.
const CLIENTS: usize = 1024;
/// Answers kept back at once. They hold connections, so beyond this a wrong token is answered
/// without a wait: deliveries need connections too.
const KEPT_BACK: usize = 32;
/// The log hears of it at most this often.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Who failed lately.
#[derive(Debug)]
pub(super) struct Failures {
    clock: Clock,
    known: Mutex<Known>,
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct Known {
    clients: HashMap<IpAddr, Client>,
    /// When the log was told last, and how many failures it has not heard of.
    told: Option<Duration>,
    untold: u64,
}

#[derive(Debug)]
struct Client {
    failures: u32,
    last: Duration,
}

impl Failures {
    pub(super) fn new(clock: Clock) -> Failures {
        Failures {
            clock,
            known: Mutex::default(),
            waiting: Semaphore::new(KEPT_BACK),
        }
    }

    /// Returns when a wrong token of this client may be answered.
    pub(super) async fn slow_down(&self, client: IpAddr) {
        let now = self.clock.elapsed();
        let (wait, tell) = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            (known.wait(network(client), now), known.tell(now))
        };
        if let Some(count) = tell {
            warn!("wrong tokens for the hook APIs: {count}, the latest from {client}");
        }
        if wait.is_zero() {
            return;
        }
        if let Ok(_kept_back) = self.waiting.try_acquire() {
            self.clock.sleep(wait).await;
        }
    }
}

impl Known {
    /// How long another failure of `client` waits.
    fn wait(&mut self, client: IpAddr, now: Duration) -> Duration {
        if !self.clients.contains_key(&client) {
            self.make_room(now);
        }
        let client = self.clients.entry(client).or_insert(Client {
            failures: 0,
            last: now,
        });
        if now.saturating_sub(client.last) >= FORGOTTEN_AFTER {
            client.failures = 0;
        }
        client.failures = client.failures.saturating_add(1);
        client.last = now;
        match client.failures.checked_sub(FREE + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_WAIT
                .saturating_mul(1 << doublings.min(16))
                .min(LONGEST_WAIT),
        }
    }

    fn make_room(&mut self, now: Duration) {
        if self.clients.len() < CLIENTS {
            return;
        }
        self.clients
            .retain(|_, client| now.saturating_sub(client.last) < FORGOTTEN_AFTER);
        let oldest = self.clients.iter().min_by_key(|(_, client)| client.last);
        if let (Some((oldest, _)), true) = (oldest, self.clients.len() >= CLIENTS) {
            let oldest = *oldest;
            self.clients.remove(&oldest);
        }
    }

    /// How many failures the log is to hear of now.
    fn tell(&mut self, now: Duration) -> Option<u64> {
        self.untold += 1;
        let lately = |told| now.saturating_sub(told) < LOGGED_EVERY;
        if self.told.is_some_and(lately) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

/// What one client can choose its addresses from: of IPv6, the network of 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_few_failures_are_free_and_then_each_waits_twice_as_long_as_the_last() {
        let mut known = Known::default();
        let waits: Vec<f64> = (0..12)
            .map(|_| known.wait(HERE, seconds(1.0)).as_secs_f64())
            .collect();
        let expected = [0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0];
        assert_eq!(waits, expected);
        assert_eq!(known.wait(HERE, seconds(600.9)), LONGEST_WAIT);
        assert_eq!(known.wait(HERE, seconds(1200.9)), Duration::ZERO);
    }

    #[test]
    fn one_network_of_ipv6_is_one_client_and_others_are_not_slowed_down() {
        let mut known = Known::default();
        let address = |text: &str| network(text.parse().unwrap());
        for at in 0..6 {
            known.wait(address(&format!("2001:db8::{at}")), seconds(1.0));
        }
        let waits = |known: &mut Known, text| !known.wait(address(text), seconds(1.0)).is_zero();
        assert!(waits(&mut known, "2001:db8:0:0:ffff::1"));
        assert!(!waits(&mut known, "2001:db8:0:1::1"));
    }

    #[test]
    fn however_many_clients_fail_memory_is_bounded() {
        let mut known = Known::default();
        for at in 0..10_000_u32 {
            known.wait(IpAddr::V4(at.into()), seconds(f64::from(at)));
            assert!(known.clients.len() <= CLIENTS);
        }
        let last = IpAddr::V4(9_999.into());
        assert_eq!(known.clients[&last].failures, 1);
    }

    #[test]
    fn the_log_hears_of_it_once_a_minute_with_the_number() {
        let mut known = Known::default();
        assert_eq!(known.tell(seconds(0.0)), Some(1));
        for at in 1..60 {
            assert_eq!(known.tell(seconds(f64::from(at))), None);
        }
        assert_eq!(known.tell(seconds(60.0)), Some(60));
    }
}
