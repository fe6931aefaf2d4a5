//! Connections that were used and may be used again. Neither dials nor sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;

/// The near end of a connection: takes one request at a time.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// So many are kept for one scheme, host and port.
const MOST: usize = 16;
/// Unused for so long, a connection is not used again.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// Kept connections by origin: scheme, host and port, as the URL parser writes them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    idle: HashMap<Box<str>, Vec<Idle>>,
    swept: Duration,
}

struct Idle {
    sender: Sender,
    since: Duration,
}

impl Idle {
    fn is_usable(&self, now: Duration) -> bool {
        !self.sender.is_closed() && now.saturating_sub(self.since) < IDLE_FOR
    }
}

impl Pool {
    /// The connection used last. The other side may be closing it at this moment.
    pub(crate) fn take(&self, origin: &str, now: Duration) -> Option<Sender> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = kept.idle.get_mut(origin)?;
        while let Some(last) = idle.pop() {
            if last.is_usable(now) {
                return Some(last.sender);
            }
        }
        None
    }

    /// Keeps a connection whose last answer was read to its end.
    pub(crate) fn keep(&self, origin: &str, sender: Sender, now: Duration) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        if now.saturating_sub(kept.swept) >= IDLE_FOR {
            kept.swept = now;
            for idle in kept.idle.values_mut() {
                idle.retain(|idle| idle.is_usable(now));
            }
            kept.idle.retain(|_, idle| !idle.is_empty());
        }
        let one = Idle { sender, since: now };
        match kept.idle.get_mut(origin) {
            Some(idle) if idle.len() < MOST => idle.push(one),
            Some(_) => {}
            None => drop(kept.idle.insert(origin.into(), vec![one])),
        }
    }
}
