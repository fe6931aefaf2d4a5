//! What events say of one repository: whether it is private, and which are its newest. Pure.

use std::collections::HashMap;

use crate::event::{EventId, Facts};

/// What is known of one.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// What the newest event says.
    pub(super) newest: Privacy,
    pub(super) event: EventId,
    /// Events under way that do not say that it is public.
    pub(super) arriving: u32,
    /// What is stored.
    pub(super) noted: Option<Privacy>,
    /// The newest event of each name, if there is one that says that it is public.
    pub(super) latest: HashMap<String, Option<EventId>>,
}

/// Whether a repository is private. What is not known counts as private.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Privacy {
    Public,
    Private,
    #[default]
    Unknown,
}

impl Privacy {
    pub(super) fn of(facts: &Facts) -> Privacy {
        match facts.private {
            Some(false) => Privacy::Public,
            Some(true) => Privacy::Private,
            None => Privacy::Unknown,
        }
    }

    pub(super) fn code(self) -> u8 {
        match self {
            Privacy::Public => 1,
            Privacy::Private => 2,
            Privacy::Unknown => 3,
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Privacy {
        match bytes {
            [1] => Privacy::Public,
            [2] => Privacy::Private,
            // Also what a later version may write.
            _ => Privacy::Unknown,
        }
    }
}

impl Known {
    /// What is so, as far as anybody may go by it.
    pub(super) fn privacy(&self) -> Privacy {
        match self.arriving {
            0 => self.newest,
            _ if self.newest == Privacy::Public => Privacy::Unknown,
            _ => self.newest,
        }
    }

    /// Takes an event over, unless a newer one has been; says whether it did.
    pub(super) fn take(&mut self, id: EventId, says: Privacy, name: &str) -> bool {
        if id < self.event {
            return false;
        }
        (self.event, self.newest) = (id, says);
        match says {
            Privacy::Public => {
                self.latest.insert(name.to_owned(), Some(id));
                self.latest.insert("*".to_owned(), Some(id));
            }
            Privacy::Private | Privacy::Unknown => self.latest.clear(),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_last_in_the_log_counts_and_nothing_is_public_while_something_arrives() {
        let mut known = Known::default();
        assert_eq!(known.privacy(), Privacy::Unknown);
        assert!(known.take(EventId(3), Privacy::Public, "push"));
        assert_eq!(known.privacy(), Privacy::Public);
        known.arriving = 1;
        assert_eq!(known.privacy(), Privacy::Unknown);
        // A later event was told of before an earlier one.
        assert!(known.take(EventId(5), Privacy::Private, "push"));
        assert!(!known.take(EventId(4), Privacy::Public, "push"));
        known.arriving = 0;
        assert_eq!(known.privacy(), Privacy::Private);
        assert!(known.latest.is_empty());
        assert!(known.take(EventId(6), Privacy::Public, "issues"));
        assert_eq!(known.latest.get("push"), None);
        assert_eq!(known.latest["*"], Some(EventId(6)));
    }

    #[test]
    fn what_is_stored_comes_back_and_what_cannot_be_read_is_unknown() {
        for privacy in [Privacy::Public, Privacy::Private, Privacy::Unknown] {
            assert_eq!(Privacy::read(&[privacy.code()]), privacy);
        }
        for odd in [&[][..], &[0], &[9], &[1, 1]] {
            assert_eq!(Privacy::read(odd), Privacy::Unknown);
        }
    }
}
