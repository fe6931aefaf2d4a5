//! Why Gogs did not do what it was asked.

/// Why Gogs did not do what it was asked. Never holds a token, a secret or a hook's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GogsError {
    #[error("that is no URL of a Gogs; it starts with http:// or https:// and holds no password")]
    Address,
    #[error("the token has signs in it that no token has")]
    TokenText,
    #[error("no Gogs answers at {host}: {words}")]
    Unreachable { host: String, words: String },
    #[error(
        "Gogs does not accept the token (401); its owner makes one under \
         Your Settings → Applications"
    )]
    Token,
    #[error("the token's user does not administer the repository (403)")]
    Forbidden,
    #[error("there is no such repository, or the token's user cannot see it (404)")]
    NotFound,
    #[error("{host} answers with a redirect, which is not followed; give its target with --url")]
    Redirect { host: String },
    #[error("{host} does not answer like a Gogs (status {status}); is the URL its whole address?")]
    NotGogs { host: String, status: u16 },
    #[error("Gogs answered {status}{said}")]
    Refused { status: u16, said: String },
    #[error("this Gogs does not take {0} as it was asked to; it may be too old for it")]
    NotTaken(&'static str),
}

impl GogsError {
    /// Whether the next request would end the same way.
    pub fn ends_it(&self) -> bool {
        matches!(
            self,
            GogsError::Token
                | GogsError::Unreachable { .. }
                | GogsError::Redirect { .. }
                | GogsError::NotGogs { .. }
        )
    }

    /// Whether a question may be answered when it is asked again.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            GogsError::Unreachable { .. } => true,
            GogsError::Refused { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}
