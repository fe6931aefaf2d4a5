//! Compares a repository's hooks with what is wanted. Pure: it says what is to be done and why.

use std::cmp::Reverse;
use std::fmt;

use super::EVENTS;
use super::address::{Address, Marked};
use super::hook::RemoteHook;

/// What every repository is to have: one active hook of type `gogs` with this address and these
/// events, which posts JSON.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub address: Address,
    /// Some of [`EVENTS`], in that order.
    pub events: Vec<&'static str>,
}

/// What is to be done about a repository: first `keep`, then `retire`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub keep: Keep,
    /// Hooks of the relay that are too many or cannot be repaired.
    pub retire: Vec<Retire>,
}

/// How the repository comes to its one hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    AsItIs,
    Repair {
        id: u64,
        drift: Vec<Drift>,
    },
    /// What is wrong with the one that is there, if there is one.
    Make(Option<Fault>),
}

/// What is wrong with a hook that an edit can put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    Url,
    ContentType(String),
    Events(Vec<String>),
    Inactive,
}

/// A hook that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retire {
    pub id: u64,
    pub fault: Fault,
    pub active: bool,
    /// Those that it has.
    pub events: Vec<String>,
}

/// Why a hook has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Kind(String),
    OtherSecret,
    UnknownSecret,
    Surplus,
}

/// What is to be done about a repository that has these hooks. Hooks that do not lead to the
/// relay are left alone.
pub fn plan(hooks: &[RemoteHook], wanted: &Wanted) -> Plan {
    let own = || hooks.iter().filter(|hook| wanted.address.owns(hook.url()));
    let usable = own().filter(|hook| fault(hook, wanted).is_none());
    // The least wrong one, and of equals the newest.
    let kept = usable.min_by_key(|hook| (drift(hook, wanted).len(), Reverse(hook.id)));
    let others = own().filter(|hook| Some(hook.id) != kept.map(|kept| kept.id));
    let retire: Vec<Retire> = others.map(|hook| retire(hook, wanted)).collect();
    let keep = match kept.map(|hook| (hook.id, drift(hook, wanted))) {
        Some((_, drift)) if drift.is_empty() => Keep::AsItIs,
        Some((id, drift)) => Keep::Repair { id, drift },
        None => Keep::Make(retire.last().map(|old| old.fault.clone())),
    };
    Plan { keep, retire }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_done(&self) -> bool {
        self.keep == Keep::AsItIs && self.retire.is_empty()
    }

    /// Whether it makes a hook active beside one that is.
    pub fn doubles(&self) -> bool {
        let activates = match &self.keep {
            Keep::AsItIs => false,
            Keep::Repair { drift, .. } => drift.contains(&Drift::Inactive),
            Keep::Make(_) => true,
        };
        activates && self.retire.iter().any(|old| old.active)
    }
}

/// Why a hook of the relay cannot be the one, however it is edited.
fn fault(hook: &RemoteHook, wanted: &Wanted) -> Option<Fault> {
    if hook.kind != "gogs" {
        return Some(Fault::Kind(hook.kind.clone()));
    }
    match wanted.address.marked(hook.url()) {
        Marked::Right => None,
        Marked::Other => Some(Fault::OtherSecret),
        Marked::Not => Some(Fault::UnknownSecret),
    }
}

fn drift(hook: &RemoteHook, wanted: &Wanted) -> Vec<Drift> {
    let content_type = hook.setting("content_type").unwrap_or_default();
    let has = |event: &str| hook.events.iter().any(|it| it == event);
    let mut events = EVENTS.iter();
    let same_events = events.all(|event| has(event) == wanted.events.contains(event));
    let wrong = [
        (hook.url() != wanted.address.url().as_str()).then_some(Drift::Url),
        (content_type != "json").then(|| Drift::ContentType(content_type.to_owned())),
        (!same_events).then(|| Drift::Events(hook.events.clone())),
        (!hook.active).then_some(Drift::Inactive),
    ];
    wrong.into_iter().flatten().collect()
}

fn retire(hook: &RemoteHook, wanted: &Wanted) -> Retire {
    Retire {
        id: hook.id,
        fault: fault(hook, wanted).unwrap_or(Fault::Surplus),
        active: hook.active,
        events: hook.events.clone(),
    }
}

impl fmt::Display for Keep {
    /// Why the hook is made or edited.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::AsItIs => Ok(()),
            Keep::Repair { drift, .. } => {
                let drift: Vec<String> = drift.iter().map(Drift::to_string).collect();
                f.write_str(&drift.join("; "))
            }
            Keep::Make(None) => f.write_str("there was none"),
            Keep::Make(Some(fault)) => write!(f, "the one there {fault}"),
        }
    }
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Drift::Url => f.write_str("its URL was written in another way"),
            Drift::ContentType(was) => write!(f, "its content type was {was}"),
            Drift::Events(was) if was.is_empty() => f.write_str("it had no events"),
            Drift::Events(was) => write!(f, "its events were {}", was.join(", ")),
            Drift::Inactive => f.write_str("it was switched off"),
        }
    }
}

impl fmt::Display for Fault {
    /// After “it”.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kind(kind) => write!(f, "was of type {kind}"),
            Fault::OtherSecret => f.write_str("had another secret"),
            Fault::UnknownSecret => f.write_str("did not say which secret it had"),
            Fault::Surplus => f.write_str("was one too many"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use url::Url;

    use super::*;

    const RIGHT: &str = "http://relay:8025/hooks/gogs#secret-3f9ac";

    fn wanted() -> Wanted {
        let public = Url::parse("http://relay:8025/").unwrap();
        Wanted {
            address: Address::new(&public, "gogs", Some("3f9ac"), &[]),
            events: EVENTS.to_vec(),
        }
    }

    /// A hook as it should be, but for what `edit` says.
    fn hook(id: u64, edit: serde_json::Value) -> RemoteHook {
        let mut hook = json!({
            "id": id, "type": "gogs", "active": true, "events": EVENTS,
            "config": { "url": RIGHT, "content_type": "json" },
        });
        for (name, value) in edit.as_object().unwrap() {
            hook[name] = value.clone();
        }
        serde_json::from_value(hook).unwrap()
    }

    fn at(url: &str) -> serde_json::Value {
        json!({ "config": { "url": url, "content_type": "json" } })
    }

    /// What is kept, in words, and the ids of what goes.
    fn check(hooks: &[RemoteHook], keep: &str, goes: &[u64]) {
        let plan = plan(hooks, &wanted());
        let ids: Vec<u64> = plan.retire.iter().map(|old| old.id).collect();
        assert_eq!((plan.keep.to_string().as_str(), &*ids), (keep, goes));
    }

    #[test]
    fn a_hook_that_is_right_stays_and_foreign_ones_do_not_count() {
        let foreign = hook(2, at("http://elsewhere/hooks/gogs"));
        check(&[hook(1, json!({})), foreign.clone()], "", &[]);
        check(&[foreign], "there was none", &[]);
    }

    #[test]
    fn what_an_edit_can_put_right_is_repaired() {
        let all = json!({
            "active": false, "events": ["push"],
            "config": { "url": format!("{}?x=1#secret-3f9ac", &RIGHT[..28]), "content_type": "form" },
        });
        check(
            &[hook(1, all)],
            "its URL was written in another way; its content type was form; \
             its events were push; it was switched off",
            &[],
        );
        check(&[hook(1, json!({ "events": [] }))], "it had no events", &[]);
    }

    #[test]
    fn what_cannot_be_edited_is_made_anew() {
        let slack = hook(1, json!({ "type": "slack" }));
        check(&[slack], "the one there was of type slack", &[1]);
        let old = hook(2, at("http://relay:8025/hooks/gogs#secret-00000"));
        check(&[old], "the one there had another secret", &[2]);
        let by_hand = hook(3, at("http://relay:8025/hooks/gogs"));
        check(
            &[by_hand],
            "the one there did not say which secret it had",
            &[3],
        );
    }

    #[test]
    fn of_several_the_least_wrong_and_newest_stays() {
        let off = hook(9, json!({ "active": false }));
        check(&[hook(1, json!({})), hook(2, json!({})), off], "", &[1, 9]);
    }
}
