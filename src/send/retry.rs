//! Decides when a delivery is tried again and when no more. Pure arithmetic: never sleeps, never
//! sends, and takes its jitter from outside. The only file that names the backoff crate.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

use crate::clock::Timestamp;
use crate::destination::RetryPolicy;
use crate::queue::Lease;

/// After so many answered failures of the head, the next delivery is tried past it.
pub const POISON_AFTER: u32 = 10;

/// The wait after the `failures`-th failure in a row (from 1). `jitter` lies between -1 and 1 and
/// is scaled by the policy's own share.
pub fn wait(policy: &RetryPolicy, failures: u32, jitter: f64) -> Duration {
    let interval = interval(policy, failures);
    let share = 1.0 + policy.jitter.clamp(0.0, 1.0) * jitter.clamp(-1.0, 1.0);
    interval.mul_f64(share)
}

/// Whether a delivery that has just failed is too old to be tried again.
pub fn gave_up(
    policy: &RetryPolicy,
    received: Timestamp,
    failing_since: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    let since = received.max(failing_since.unwrap_or(now));
    now.since(since) > policy.give_up_after
}

/// Whether the delivery behind this head should be tried once: the head has failed, answered by
/// HTTP, ten times, or ten times more. `counts` says whether its last failure was of that sort.
pub fn look_past_head(lease: &Lease, counts: bool) -> bool {
    counts
        && !lease.is_probe
        && lease
            .answered
            .saturating_add(1)
            .is_multiple_of(POISON_AFTER)
}

/// A value for `jitter`, evenly spread over -1 to 1.
pub fn dice() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The first four bytes of a random UUID carry no version bits.
    let share = (high >> 32) as f64 / f64::from(u32::MAX);
    2.0 * share - 1.0
}

/// The wait without jitter. With no randomness and no end in time, the crate's clock has no say.
fn interval(policy: &RetryPolicy, failures: u32) -> Duration {
    let first = policy.first.min(policy.max);
    let mut backoff = ExponentialBackoff {
        current_interval: first,
        initial_interval: first,
        randomization_factor: 0.0,
        multiplier: policy.factor.max(1.0),
        max_interval: policy.max,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let mut interval = first;
    for _ in 0..failures {
        interval = backoff.next_backoff().unwrap_or(policy.max);
        if interval >= policy.max || policy.factor <= 1.0 {
            break;
        }
    }
    interval.min(policy.max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(600),
            jitter: 0.2,
            give_up_after: Duration::from_secs(3 * 86_400),
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<u64> = (1..=12)
            .map(|failures| wait(&policy(), failures, 0.0).as_secs())
            .collect();
        assert_eq!(
            waits,
            [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600],
            "the policy of the design"
        );
        assert_eq!(wait(&policy(), u32::MAX, 0.0), Duration::from_secs(600));
    }

    #[test]
    fn a_factor_of_one_waits_the_same_time_for_ever() {
        let policy = RetryPolicy {
            factor: 1.0,
            ..policy()
        };
        assert_eq!(wait(&policy, u32::MAX, 0.0), Duration::from_secs(1));
    }

    #[test]
    fn jitter_moves_a_wait_by_its_share_at_most() {
        assert_eq!(wait(&policy(), 4, 1.0), Duration::from_millis(9600));
        assert_eq!(wait(&policy(), 4, -1.0), Duration::from_millis(6400));
        for _ in 0..1000 {
            let jitter = dice();
            assert!((-1.0..=1.0).contains(&jitter), "{jitter}");
        }
    }

    #[test]
    fn age_counts_from_the_first_failure_or_the_arrival_whichever_is_later() {
        let day = Duration::from_secs(86_400);
        let start = Timestamp(1_000_000);
        let gave_up_at = |received, failing_since, days| {
            let now = start.plus(day * days);
            gave_up(&policy(), received, failing_since, now)
        };
        assert!(!gave_up_at(start, Some(start), 3));
        assert!(gave_up_at(start, Some(start), 4));
        // Waited long, but was never tried before.
        assert!(!gave_up_at(start, None, 40));
        // The lane has been failing for long, but this one came late.
        assert!(!gave_up_at(start.plus(day * 30), Some(start), 32));
    }
}
