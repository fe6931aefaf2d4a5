//! Why a request got no answer, told from what the libraries below say.

use std::error::Error;

use crate::delivery::Reason;
use crate::send::dial::{DialError, causes};
use crate::send::egress::Refusal;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing may be sent there, and nothing was.
    Forbidden(Refusal),
    /// One of [`Reason::Refused`], `Reset`, `Dns`, `Tls`, `Timeout`, and words for people.
    Trouble { reason: Reason, words: String },
}

/// Why there is no connection.
pub(crate) fn undialled(error: &(dyn Error + 'static)) -> Failure {
    match find::<DialError>(error) {
        Some(DialError::Forbidden(refusal)) => Failure::Forbidden(*refusal),
        Some(DialError::Dns) => trouble(Reason::Dns, "the host's name was not found"),
        Some(DialError::Tcp(kind)) => tcp(*kind),
        Some(DialError::Proxy(error)) => trouble(Reason::Refused, &error.to_string()),
        None => {
            let words = format!("no TLS connection: {}", root_cause(error));
            trouble(Reason::Tls, &words)
        }
    }
}

/// Why a connection gave no answer.
pub(crate) fn broken(error: &hyper::Error) -> Failure {
    match error.is_parse() {
        true => trouble(Reason::Reset, "what came back is not an HTTP answer"),
        false => trouble(Reason::Reset, "the connection broke before the answer"),
    }
}

pub(crate) fn trouble(reason: Reason, words: &str) -> Failure {
    Failure::Trouble {
        reason,
        words: words.to_owned(),
    }
}

fn tcp(kind: std::io::ErrorKind) -> Failure {
    use std::io::ErrorKind;
    let (reason, words) = match kind {
        ErrorKind::ConnectionRefused => (Reason::Refused, "the connection was refused"),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            (Reason::Reset, "the connection broke at once")
        }
        ErrorKind::TimedOut => (Reason::Timeout, "nobody answers at the address"),
        _ => (Reason::Refused, "the address cannot be reached"),
    };
    trouble(reason, words)
}

/// The first error of this type among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| {
        // An io::Error hides the error it wraps from `source`.
        let inside = error.downcast_ref::<std::io::Error>();
        let inside = inside.and_then(|error| error.get_ref());
        error
            .downcast_ref::<E>()
            .or_else(|| inside.and_then(|error| error.downcast_ref::<E>()))
    })
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    causes(error)
        .last()
        .map(ToString::to_string)
        .unwrap_or_default()
}
