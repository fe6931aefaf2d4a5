//! The ladder from the message that the user wants to the one that always works.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;

use crate::delivery::Reason;
use crate::plan::{Rendered, Step};
use crate::send::deliver::Errand;
use crate::send::verdict::{Judgement, Verdict};

/// Renders from a step down. A step whose rendering panics is passed over.
pub(crate) fn render(errand: Errand<'_>, from: Step, not: Option<&[u8]>) -> Rendered {
    let mut from = from;
    loop {
        let Errand {
            event,
            id,
            destination,
            templates,
            ..
        } = errand;
        let rendering = || templates.render(event, id, destination, from, not);
        if let Ok(rendered) = catch_unwind(AssertUnwindSafe(rendering)) {
            return rendered;
        }
        match below(from) {
            Some(step) => from = step,
            None => return Rendered::Failed("rendering panicked: a bug of gogs-relay".into()),
        }
    }
}

pub(crate) fn below(step: Step) -> Option<Step> {
    match step {
        Step::Chosen => Some(Step::Default),
        Step::Default => Some(Step::Plain),
        Step::Plain => None,
    }
}

/// No step is left. What the service refused for its content is buried; what it refused without
/// saying why is left to the poison rule.
pub(crate) fn ladder_end(refused: Option<(Bytes, Judgement)>, why: &str) -> Judgement {
    let Some((_, judgement)) = refused else {
        let reason = Reason::RenderFailed;
        return Judgement::new(Verdict::Bury { reason }, format!("no message: {why}"));
    };
    let verdict = match judgement.verdict {
        Verdict::Reshape {
            reason: Reason::ContentRefused,
        } => Verdict::Bury {
            reason: Reason::ContentRefused,
        },
        _ => Verdict::Retry {
            reason: judgement.verdict.reason(),
            wait: None,
        },
    };
    Judgement::new(verdict, judgement.words)
}
