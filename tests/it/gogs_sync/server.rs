//! A stand-in for Gogs itself: its API as it was recorded, traps and all, and its one worker that
//! delivers what hooks are owed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc;

use gogs_relay::standin::{Ending, Received, Script, Service};
use serde_json::{Map, Value, json};

use crate::binary::signature;

pub(super) const EVENTS: [&str; 8] = [
    "create",
    "delete",
    "fork",
    "push",
    "issues",
    "pull_request",
    "issue_comment",
    "release",
];

const DOCUMENTATION: &str = "https://github.com/gogs/docs-api";
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What Gogs knows.
#[derive(Default)]
pub(super) struct Server {
    /// By token: a name, and whether it is a site administrator's.
    pub(super) users: BTreeMap<String, (String, bool)>,
    pub(super) repositories: Vec<Repository>,
    pub(super) hooks: Vec<Hook>,
    pub(super) tasks: VecDeque<Task>,
    /// How much has happened.
    pub(super) events: usize,
    /// Whether something happens in a repository after each change of its hooks.
    pub(super) busy: bool,
    /// Deliveries that were still owed when their hook was deleted.
    pub(super) dropped: usize,
    last_id: u64,
    /// `GET /api/v1/user`, one a request.
    pub(super) requests: Vec<String>,
    /// The request that gets no answer, counted from one, and whether it has its effect.
    pub(super) cut: Option<(usize, Effect, mpsc::Sender<Happened>)>,
    /// Which hooks are of use, and after which changes a repository had none although it had one.
    pub(super) watch: Option<fn(&Hook) -> bool>,
    pub(super) uncovered: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Whole,
}

/// What whoever runs a command waits for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Cut,
    Ended,
}

pub(super) struct Repository {
    /// `owner/name`.
    pub(super) name: String,
    pub(super) private: bool,
    /// Who shares it, and whether to administer it.
    pub(super) shared: BTreeMap<String, bool>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) id: u64,
    pub(super) repository: String,
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) form: bool,
    pub(super) secret: String,
    pub(super) slack: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    pub(super) active: bool,
}

/// A delivery that Gogs owes, as it was when its event happened.
#[derive(Clone, Debug)]
pub(super) struct Task {
    hook: u64,
    pub(super) url: String,
    pub(super) id: String,
    pub(super) signature: String,
    pub(super) body: String,
}

/// A status, and a body of JSON if there is one.
pub(super) type Answer = (u16, Option<String>);

impl Server {
    pub(super) fn add(&mut self, name: &str, private: bool) {
        self.repositories.push(Repository {
            name: name.to_owned(),
            private,
            shared: BTreeMap::new(),
        });
    }

    /// Puts a hook there as a person would in the pages; its id.
    pub(super) fn put(&mut self, hook: Hook) -> u64 {
        self.last_id = self.last_id.max(hook.id - 1) + 1;
        let id = self.last_id;
        self.hooks.push(Hook { id, ..hook });
        id
    }

    pub(super) fn of(&self, repository: &str) -> Vec<&Hook> {
        let hooks = self.hooks.iter();
        hooks.filter(|it| it.repository == repository).collect()
    }

    pub(super) fn skip_ids(&mut self, to: u64) {
        self.last_id = to;
    }

    /// A push to a repository; all that is owed for it has the same body, and its number.
    pub(super) fn happens(&mut self, repository: &str) {
        let number = self.events;
        self.events += 1;
        let body = format!(
            r#"{{"ref":"refs/heads/main","commits":[],"number":{number},"repository":{{"full_name":"{repository}"}}}}"#
        );
        let owed = self.hooks.iter().filter(|it| {
            it.repository == repository && it.active && it.events.iter().any(|it| it == "push")
        });
        let tasks = owed.map(|hook| Task {
            hook: hook.id,
            url: hook.url.clone(),
            id: format!("event-{number}-{}", hook.id),
            signature: signature(&hook.secret, &body),
            body: body.clone(),
        });
        self.tasks.extend(tasks);
    }

    /// One call of the API.
    pub(super) fn call(&mut self, token: &str, call: (&str, &str), body: Body<'_>) -> Answer {
        let (method, target) = call;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let Some(path) = path.strip_prefix("/api/v1/") else {
            return page();
        };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let Some(user) = self.users.get(token).cloned() else {
            return (401, None);
        };
        match (method, &*parts) {
            ("GET", ["user"]) => ok(&json!({ "id": 1, "login": user.0, "username": user.0 })),
            ("GET", ["user", "repos"]) => self.own_repositories(&user.0),
            ("GET", ["repos", "search"]) => self.search(query),
            (_, ["repos", owner, name, "hooks", rest @ ..]) if rest.len() < 2 => {
                let name = format!("{owner}/{name}").to_lowercase();
                let found = self.repositories.iter().find(|it| it.name == name);
                let Some(repository) = found.filter(|it| it.is_visible(&user)) else {
                    return (404, None);
                };
                if !repository.is_administered(&user) {
                    return (403, None);
                }
                let answer = self.hook_call(method, &name, rest.first().copied(), body);
                if self.busy && method != "GET" {
                    self.happens(&name);
                }
                answer
            }
            _ => page(),
        }
    }

    fn hook_call(&mut self, method: &str, name: &str, id: Option<&str>, body: Body<'_>) -> Answer {
        match (method, id) {
            ("GET", None) => {
                let hooks: Vec<String> = self.of(name).iter().map(|it| it.shown(true)).collect();
                (200, Some(format!("[{}]", hooks.join(","))))
            }
            ("HEAD", None) => (200, None),
            ("POST", None) => match read(body, true) {
                Ok(wish) => self.create(name, &wish),
                Err(answer) => answer,
            },
            ("PATCH", Some(id)) => match read(body, false) {
                Ok(wish) => self.edit(name, id, &wish),
                Err(answer) => answer,
            },
            ("DELETE", Some(id)) => self.delete(name, id),
            _ => page(),
        }
    }

    fn create(&mut self, repository: &str, wish: &Map<String, Value>) -> Answer {
        let kind = wish["type"].as_str().unwrap_or_default();
        if !["gogs", "slack", "discord", "dingtalk"].contains(&kind) {
            return refused("Invalid hook type.");
        }
        let config = |key: &str| wish["config"].get(key).and_then(Value::as_str);
        let Some(url) = config("url") else {
            return refused("Missing config option: url");
        };
        let form = match config("content_type") {
            None => return refused("Missing config option: content_type"),
            Some("json") => false,
            Some("form") => true,
            Some(_) => return refused("Invalid content type."),
        };
        let mut slack = BTreeMap::new();
        if kind == "slack" {
            if config("channel").is_none() {
                return refused("Missing config option: channel");
            }
            slack = slack_settings(&config);
        }
        self.last_id += 1;
        let hook = Hook {
            id: self.last_id,
            repository: repository.to_owned(),
            kind: kind.to_owned(),
            url: url.to_owned(),
            form,
            secret: config("secret").unwrap_or_default().to_owned(),
            slack,
            events: events(wish),
            active: wish.get("active").and_then(Value::as_bool) == Some(true),
        };
        let shown = hook.shown(false);
        self.hooks.push(hook);
        (201, Some(shown))
    }

    fn edit(&mut self, repository: &str, id: &str, wish: &Map<String, Value>) -> Answer {
        // What is no number is nought, and nought is no condition: the first one.
        let id: u64 = id.parse().unwrap_or(0);
        let mut hooks = self.hooks.iter_mut();
        let found = hooks.find(|it| it.repository == repository && (id == 0 || it.id == id));
        let Some(hook) = found else {
            return (404, None);
        };
        let mut edited = hook.clone();
        let config = |key: &str| wish.get("config")?.get(key)?.as_str();
        if let Some(url) = config("url") {
            edited.url = url.to_owned();
        }
        match config("content_type") {
            None => {}
            Some("json") => edited.form = false,
            Some("form") => edited.form = true,
            Some(_) => return refused("Invalid content type."),
        }
        if edited.kind == "slack" && config("channel").is_some() {
            edited.slack = slack_settings(&config);
        }
        edited.events = events(wish);
        if let Some(active) = wish.get("active").and_then(Value::as_bool) {
            edited.active = active;
        }
        *hook = edited;
        (200, Some(hook.shown(true)))
    }

    fn delete(&mut self, repository: &str, id: &str) -> Answer {
        let id = match id.parse() {
            Ok(0) | Err(_) => return (500, Some(message(WRONG))),
            Ok(id) => id,
        };
        let goes = |it: &Hook| it.repository == repository && it.id == id;
        self.hooks.retain(|it| !goes(it));
        // Whosever hook it is, and delivered or not.
        let owed = self.tasks.len();
        self.tasks.retain(|it| it.hook != id);
        self.dropped += owed - self.tasks.len();
        (204, None)
    }

    /// All at once, whatever page is asked for; what is shared in no order.
    fn own_repositories(&self, user: &str) -> Answer {
        let all = self.repositories.iter();
        let owned = all.clone().filter(|it| it.owner() == user);
        let owned = owned.map(|it| it.shown(Some(true)));
        let shared = all.rev().filter(|it| it.owner() != user);
        let shared = shared.filter_map(|it| Some(it.shown(Some(*it.shared.get(user)?))));
        ok(&owned.chain(shared).collect())
    }

    fn search(&self, query: &str) -> Answer {
        let query: BTreeMap<String, String> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let number = |name: &str| query.get(name).and_then(|it| it.parse::<usize>().ok());
        let size = number("limit").filter(|it| *it > 0).unwrap_or(10).min(50);
        let skipped = (number("page").unwrap_or(1).max(1) - 1) * size;
        let word = match query.get("q").map(String::as_str) {
            None | Some("") => ".",
            Some("%") => "",
            Some(word) => word,
        };
        let public = self.repositories.iter().filter(|it| !it.private);
        let found = public.filter(|it| it.name.split('/').nth(1).unwrap().contains(word));
        let shown: Vec<Value> = found
            .skip(skipped)
            .take(size)
            .map(|it| it.shown(None))
            .collect();
        ok(&json!({ "ok": true, "data": shown }))
    }

    fn uncovered(&self, is_useful: fn(&Hook) -> bool) -> Vec<String> {
        let names = self.repositories.iter().map(|it| &it.name);
        let is_covered = |name: &&String| self.of(name).into_iter().any(is_useful);
        names.filter(|name| !is_covered(name)).cloned().collect()
    }
}

/// A request's body, and its type.
#[derive(Clone, Copy)]
pub(super) struct Body<'a> {
    pub(super) content_type: &'a str,
    pub(super) text: &'a [u8],
}

const WRONG: &str = "Something went wrong, please check the server logs for more information.";

fn ok(body: &Value) -> Answer {
    (200, Some(body.to_string()))
}

fn message(words: &str) -> String {
    format!(r#"{{"message":"{words}","url":"{DOCUMENTATION}"}}"#)
}

fn refused(words: &str) -> Answer {
    (422, Some(message(words)))
}

fn page() -> Answer {
    (404, Some("<!DOCTYPE html>".to_owned()))
}

/// What Gogs' binding makes of a body.
fn read(body: Body<'_>, is_new: bool) -> Result<Map<String, Value>, Answer> {
    let fault = |status, class: &str, words: &str| {
        let fault = format!(r#"[{{"classification":"{class}","message":"{words}"}}]"#);
        Err((status, Some(fault)))
    };
    let wish = match body.content_type.split(';').next().unwrap_or_default() {
        "" => return fault(415, "ContentTypeError", "Empty Content-Type"),
        "application/x-www-form-urlencoded" => json!({ "type": "gogs" }),
        "application/json" if body.text.is_empty() => json!({}),
        "application/json" => serde_json::from_slice(body.text).unwrap_or_default(),
        _ => return fault(415, "ContentTypeError", "Unsupported Content-Type"),
    };
    let texts = |value: &Value| {
        let mut values = value.as_object().into_iter().flat_map(Map::values);
        values.all(Value::is_string)
    };
    let fits = wish["config"].is_null() || (wish["config"].is_object() && texts(&wish["config"]));
    let fits = fits && (wish["events"].is_null() || wish["events"].is_array());
    let fits = fits && (wish["active"].is_null() || wish["active"].is_boolean());
    let Some(wish) = wish.as_object().filter(|_| fits) else {
        return fault(400, "DeserializationError", "…");
    };
    let mut missing = Vec::new();
    if is_new && wish.get("type").is_none_or(|it| it == "" || it.is_null()) {
        missing.push("Type");
    }
    if is_new && wish.get("config").is_none_or(Value::is_null) {
        missing.push("Config");
    }
    if missing.is_empty() {
        return Ok(wish.clone());
    }
    let faults = missing.iter().map(|field| {
        format!(
            r#"{{"fieldNames":["{field}"],"classification":"RequiredError","message":"Required"}}"#
        )
    });
    Err((
        422,
        Some(format!("[{}]", faults.collect::<Vec<_>>().join(","))),
    ))
}

/// Those that Gogs knows; none given means pushes, in an edit too.
fn events(wish: &Map<String, Value>) -> Vec<String> {
    let given = wish.get("events").and_then(Value::as_array).cloned();
    let given = given.filter(|it| !it.is_empty());
    let given = given.unwrap_or_else(|| vec!["push".into()]);
    let wanted = |event: &&str| {
        let mut given = given.iter().filter_map(Value::as_str);
        given.any(|it| it.eq_ignore_ascii_case(event))
    };
    let known = EVENTS.into_iter().filter(wanted);
    known.map(str::to_owned).collect()
}

fn slack_settings<'v>(config: &impl Fn(&str) -> Option<&'v str>) -> BTreeMap<String, String> {
    let keys = ["channel", "username", "icon_url", "color"].into_iter();
    let settings = keys.map(|key| (key.to_owned(), config(key).unwrap_or_default().to_owned()));
    settings.collect()
}

impl Repository {
    fn owner(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    fn is_visible(&self, (user, site): &(String, bool)) -> bool {
        *site || !self.private || self.owner() == user || self.shared.contains_key(user)
    }

    fn is_administered(&self, (user, site): &(String, bool)) -> bool {
        *site || self.owner() == user || self.shared.get(user) == Some(&true)
    }

    fn shown(&self, admin: Option<bool>) -> Value {
        let mut shown = json!({ "full_name": self.name, "private": self.private });
        if let Some(admin) = admin {
            shown["permissions"] = json!({ "admin": admin, "push": admin, "pull": true });
        }
        shown
    }
}

impl Hook {
    /// As Go writes it.
    fn shown(&self, is_loaded: bool) -> String {
        let mut config = self.slack.clone();
        config.insert("url".to_owned(), self.url.clone());
        let content_type = if self.form { "form" } else { "json" };
        config.insert("content_type".to_owned(), content_type.to_owned());
        let time = if is_loaded {
            "2026-11-21T10:41:20+01:00"
        } else {
            NEVER
        };
        let text = |value: Value| {
            let text = value.to_string().replace('<', "\\u003c");
            text.replace('>', "\\u003e").replace('&', "\\u0026")
        };
        format!(
            r#"{{"id":{},"type":"{}","config":{},"events":{},"active":{},"updated_at":"{time}","created_at":"{time}"}}"#,
            self.id,
            self.kind,
            text(json!(config)),
            text(json!(self.events)),
            self.active
        )
    }
}

/// The server behind a socket, shared with the test.
pub(super) struct Shared(pub(super) std::sync::Arc<std::sync::Mutex<Server>>);

impl Service for Shared {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        let mut server = self.0.lock().unwrap();
        server
            .requests
            .push(format!("{} {}", request.method, request.target));
        let number = server.requests.len();
        let cut = server
            .cut
            .as_ref()
            .filter(|(at, ..)| *at == number)
            .cloned();
        if let Some((_, Effect::None, cut)) = &cut {
            cut.send(Happened::Cut).unwrap();
            return (Script::status(200).ending(Ending::Never), Vec::new());
        }
        let before = server.watch.map(|it| server.uncovered(it));
        let token = request.header("authorization").strip_prefix("token ");
        let body = Body {
            content_type: request.header("content-type"),
            text: &request.body,
        };
        let (method, target) = (request.method.as_str(), request.target.as_str());
        let (status, body) = server.call(token.unwrap_or_default(), (method, target), body);
        let after = server.watch.map(|it| server.uncovered(it));
        for name in after.unwrap_or_default() {
            if !before.as_ref().unwrap().contains(&name) {
                server
                    .uncovered
                    .push(format!("{name} after {method} {target}"));
            }
        }
        if let Some((_, Effect::Whole, cut)) = cut {
            cut.send(Happened::Cut).unwrap();
            return (Script::status(200).ending(Ending::Never), Vec::new());
        }
        let kind = "application/json; charset=UTF-8";
        let script = Script::status(status).header("content-type", kind);
        (script.body(body.unwrap_or_default()), Vec::new())
    }

    fn path(&self) -> &'static str {
        "/"
    }
}
