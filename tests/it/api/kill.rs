//! kill -9 at any moment of making, changing and deleting hooks: what was answered is there, what
//! was not may be, and nothing is half.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::wire::{HOOKS, TOKEN, hook, tokens, yaml};
use crate::binary::{self, Binary, Client};

/// Where a hook delivers to, by its id.
type Known = BTreeMap<u64, String>;

/// What a client asks for, and what there is when it is done.
enum Step {
    Create { url: String },
    Edit { id: u64, url: String },
    Delete { id: u64 },
}

impl Step {
    /// Many are made, some changed, and the oldest deleted.
    fn next(number: usize, known: &Known) -> Step {
        let url = format!("http://127.0.0.1:9/{number}");
        let oldest = known.keys().next().copied();
        match (number % 4, oldest) {
            (2, Some(id)) => Step::Edit { id, url },
            (3, Some(id)) => Step::Delete { id },
            _ => Step::Create { url },
        }
    }

    /// Asks for it; the id that it was about, if it is answered.
    fn ask(&self, client: &mut Client) -> std::io::Result<u64> {
        let of = |id| format!("{HOOKS}/{id}");
        let (method, target, body, status) = match self {
            Step::Create { url } => ("POST", HOOKS.to_owned(), hook(url, ""), 201),
            Step::Edit { id, url } => {
                let body = format!(r#"{{"config":{{"url":"{url}"}}}}"#);
                ("PATCH", of(id), body, 200)
            }
            Step::Delete { id } => ("DELETE", of(id), String::new(), 204),
        };
        let answer = client.call(TOKEN, (method, &target), &body)?;
        assert_eq!(answer.status, status, "{answer:?}");
        match self {
            Step::Create { .. } => {
                let made: Value = serde_json::from_str(&answer.body).unwrap();
                Ok(made["id"].as_u64().unwrap())
            }
            Step::Edit { id, .. } | Step::Delete { id } => Ok(*id),
        }
    }

    /// What there is when it is done; `id` is that of a new hook.
    fn done(&self, id: u64, known: &Known) -> Known {
        let mut known = known.clone();
        match self {
            Step::Create { url } => drop(known.insert(id, url.clone())),
            Step::Edit { id, url } => drop(known.insert(*id, url.clone())),
            Step::Delete { id } => drop(known.remove(id)),
        }
        known
    }
}

/// Asks for step after step until the relay is gone; the step that was not answered.
fn change_until_it_dies(relay: &Binary, known: &mut Known, number: &mut usize) -> Step {
    let mut client = Client::connect(relay.hooks).unwrap();
    loop {
        *number += 1;
        let step = Step::next(*number, known);
        match step.ask(&mut client) {
            Ok(id) => *known = step.done(id, known),
            Err(_) => return step,
        }
    }
}

/// What the relay has, seen through Gogs' API; and that every hook of it has a lane that runs.
fn found(relay: &Binary) -> Known {
    let mut client = Client::connect(relay.hooks).unwrap();
    let answer = client.call(TOKEN, ("GET", HOOKS), "").unwrap();
    let hooks: Vec<Value> = serde_json::from_str(&answer.body).unwrap();
    let (_, own) = binary::api(relay.admin, "GET", "/v1/hooks", "").unwrap();
    let lanes = own["hooks"].as_array().unwrap();
    assert_eq!(lanes.len(), hooks.len());
    for hook in lanes {
        assert_eq!(hook["lane"]["state"], "running", "{hook}");
    }
    let entry = |hook: &Value| {
        let url = hook["config"]["url"].as_str().unwrap().to_owned();
        (hook["id"].as_u64().unwrap(), url)
    };
    hooks.iter().map(entry).collect()
}

#[test]
fn whatever_was_answered_of_hooks_before_a_kill_holds_after_it() {
    let kills = std::env::var("KILLS").map_or(12, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: {{ listen: '127.0.0.1:0' }}\n{}",
        yaml(&tokens())
    );
    std::fs::write(folder.path().join("relay.yaml"), yaml).unwrap();
    let (mut known, mut number, mut unanswered_but_done) = (Known::new(), 0, 0);
    let mut relay = Binary::start(folder.path());
    for kill in 0..kills {
        let step = std::thread::scope(|scope| {
            let changing = scope.spawn(|| change_until_it_dies(&relay, &mut known, &mut number));
            // At another moment of a change each time.
            std::thread::sleep(Duration::from_micros(20_000 + (kill * 7919) % 30_000));
            relay.kill_now();
            changing.join().unwrap()
        });
        relay = Binary::start(folder.path());
        let now = found(&relay);
        let newest = now.keys().last().copied().unwrap_or(0);
        let done = step.done(newest, &known);
        assert!(
            now == known || now == done,
            "{now:?} is neither {known:?} nor {done:?}"
        );
        unanswered_but_done += usize::from(now != known);
        known = now;
    }
    figure!(
        "{kills} kills within {number} changes of hooks; 0 answered were lost, \
         {unanswered_but_done} were done but not answered"
    );
    relay.ask_to_stop();
    assert!(relay.wait().success());
}
