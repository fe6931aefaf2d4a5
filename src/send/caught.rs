//! Turns a panic into a value, so that a bug costs one message and not its lane.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use crate::delivery::Reason;
use crate::send::verdict::{Judgement, Verdict};

/// The future's output, or nothing if it panicked.
pub(crate) fn caught<F: Future>(future: F) -> impl Future<Output = Option<F::Output>> {
    // Boxed, because whoever awaits a future moves it, and the futures of an attempt are large.
    let mut future = Box::pin(future);
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
}

/// The verdict on a panic.
pub(crate) fn panicked(doing: &str) -> Judgement {
    let verdict = Verdict::Bury {
        reason: Reason::Panic,
    };
    Judgement::new(verdict, format!("{doing} panicked: a bug of gogs-relay"))
}
