//! Every recorded call of Gogs' hook API, replayed against a relay: the same status and body, or a
//! deviation that docs/hook-apis.md gives the reason of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use gogs_relay::clock::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::wire::{Answer, Ask, HOOKS, ask, hook, start, yaml};
use crate::relay::TestRelay;
use crate::world::within;

#[derive(Deserialize)]
struct Recorded {
    request: Request,
    response: Response,
    /// `007`.
    #[serde(skip)]
    number: String,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body_text: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    body_text: String,
}

/// All of them, in the order of recording.
fn recorded() -> Vec<Recorded> {
    let files = std::fs::read_dir("tests/fixtures/api").unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let mut recorded: Recorded =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        recorded.number = path.file_name().unwrap().to_str().unwrap()[..3].to_owned();
        recorded
    };
    paths.iter().map(read).collect()
}

/// What is answered here where Gogs answered something else.
enum Ours {
    /// An error with a message.
    Error(u16),
    /// A hook; its id is the recorded one, and `T` a time.
    Hook(u16, &'static str),
    /// A list that shows hooks as they are here, without those that are none here.
    List,
}

const DISCORD: &str = r##"{"id":65,"type":"discord","config":{"color":"#dd4b39","content_type":"json","icon_url":"http://127.0.0.1:3000/img/favicon.png","url":"http://127.0.0.1:9100/api/hook","username":"Gogs"},"events":["push"],"active":false,"updated_at":"T","created_at":"T"}"##;
const GOT: &str = r#"{"id":61,"type":"gogs","config":{"content_type":"json","url":"http://127.0.0.1:9100/api/hook"},"events":["create","push"],"active":true,"updated_at":"T","created_at":"T"}"#;
const EVENTS_STAY: &str = r#"{"id":62,"type":"gogs","config":{"content_type":"form","url":"http://127.0.0.1:9100/api/moved"},"events":["create","delete","fork","push","issues","pull_request","issue_comment","release"],"active":false,"updated_at":"T","created_at":"T"}"#;
const URL_STAYS: &str = r#"{"id":62,"type":"gogs","config":{"content_type":"json","url":"http://127.0.0.1:9100/api/moved"},"events":["push"],"active":true,"updated_at":"T","created_at":"T"}"#;
const NO_EVENTS: &str = r#"{"id":62,"type":"gogs","config":{"content_type":"json","url":"http://127.0.0.1:9100/api/moved"},"events":[],"active":true,"updated_at":"T","created_at":"T"}"#;
const NAMED: &str = r##"{"id":63,"type":"slack","config":{"channel":"#orbit-dev","color":"good","content_type":"json","icon_url":"http://127.0.0.1:3000/img/favicon.png","url":"http://127.0.0.1:9100/api/hook","username":"Changed"},"events":["push"],"active":true,"updated_at":"T","created_at":"T"}"##;
const CHANNEL: &str = r##"{"id":63,"type":"slack","config":{"channel":"#other","color":"good","content_type":"json","icon_url":"http://127.0.0.1:3000/img/favicon.png","url":"http://127.0.0.1:9100/api/hook","username":"Changed"},"events":["push"],"active":true,"updated_at":"T","created_at":"T"}"##;

/// All there are.
fn deviation(number: &str) -> Option<Ours> {
    Some(match number {
        "007" => Ours::Hook(201, DISCORD),
        "018" | "019" | "020" | "059" => Ours::Error(422),
        "046" | "047" | "048" | "049" | "079" | "096" => Ours::List,
        "050" => Ours::Hook(200, GOT),
        "052" => Ours::Hook(200, EVENTS_STAY),
        "060" | "061" | "062" => Ours::Hook(200, URL_STAYS),
        "063" => Ours::Hook(200, NO_EVENTS),
        "066" => Ours::Hook(200, NAMED),
        "067" => Ours::Hook(200, CHANNEL),
        "069" | "070" | "074" | "075" | "076" | "078" | "080" => Ours::Error(404),
        "085" | "086" => Ours::List,
        "090" | "091" | "092" | "093" | "094" | "095" => Ours::Error(404),
        _ => return None,
    })
}

/// Answers as they were recorded, but for what is seen in the answer alone.
const SEEN_ELSEWHERE: [&str; 1] = ["056"];

/// A replay under way.
struct Replay {
    relay: TestRelay,
    /// Ids here, by recorded ones.
    ids: BTreeMap<String, String>,
    /// Hooks that are not as recorded, by recorded id; `None`: there is no such hook here.
    differing: BTreeMap<String, Option<String>>,
}

impl Replay {
    async fn step(&mut self, recorded: &Recorded) {
        let answer = self.asked(&recorded.request).await;
        let number = &recorded.number;
        let shown = format!("{number}: {answer:?}");
        let response = &recorded.response;
        self.note_id(&response.body_text, &answer);
        let ours = self.normal(&answer.body);
        let theirs = times_away(&response.body_text);
        match deviation(number) {
            None if is_without_message(response) => assert_error(&answer, response.status),
            None => {
                assert_eq!(answer.status, response.status, "{shown}");
                assert_eq!(ours, theirs, "{number}");
                self.agreed(&theirs);
            }
            Some(Ours::Error(status)) => {
                assert_ne!(response.status, status, "{number} is no deviation");
                assert_error(&answer, status);
                if response.status == 201 {
                    self.differing.insert(id_of(&theirs).unwrap(), None);
                }
            }
            Some(Ours::Hook(status, body)) => {
                assert_ne!((response.status, &*theirs), (status, body), "{number}");
                assert_eq!(answer.status, status, "{shown}");
                assert_eq!(ours, body, "{number}");
                let id = id_of(body).unwrap();
                if theirs.starts_with('{') {
                    self.differing.insert(id, Some(body.to_owned()));
                }
            }
            Some(Ours::List) => {
                assert_eq!(answer.status, 200, "{shown}");
                // Where Gogs gave none, the list is the one that it gave to another token.
                let listed = match theirs.as_str() {
                    "" => times_away(&list_after_edits()),
                    theirs => theirs.to_owned(),
                };
                let expected = self.listed(&listed);
                assert_eq!(ours, expected, "{number}");
                assert_ne!(ours, theirs, "{number} is no deviation");
            }
        }
    }

    async fn asked(&self, request: &Request) -> Answer {
        let tokens = |text: &str| {
            let text = text.replace("{token of alice}", "token-of-alice");
            let text = text.replace("{token of bob}", "token-of-bob");
            let basic = base64::engine::general_purpose::STANDARD.encode("alice:password");
            text.replace("{token of mira}", "token-of-mira")
                .replace("{alice:password}", &basic)
        };
        let mut target = tokens(&request.target);
        if let Some((path, id)) = target.rsplit_once("/hooks/") {
            let (id, rest) = id.split_at(id.find('/').unwrap_or(id.len()));
            let id = self.ids.get(id).map_or(id, String::as_str);
            target = format!("{path}/hooks/{id}{rest}");
        }
        let headers = request.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), tokens(value)));
        let ask = Ask {
            method: &request.method,
            target: &target,
            headers: headers.collect(),
            body: request.body_text.clone().unwrap_or_default().into(),
        };
        ask.of(&self.relay).await
    }

    /// Remembers which of our hooks is which recorded one.
    fn note_id(&mut self, theirs: &str, answer: &Answer) {
        if answer.status == 201 {
            let id = id_of(&answer.body).unwrap();
            self.ids.insert(id_of(theirs).unwrap(), id);
        }
    }

    /// One of our answers with recorded ids and without times.
    fn normal(&self, body: &str) -> String {
        let mut body = times_away(body);
        // From the last on, since a replaced id is larger than any of ours.
        for (theirs, ours) in self.ids.iter().rev() {
            body = body.replace(
                &format!(r#"{{"id":{ours},"#),
                &format!(r#"{{"id":{theirs},"#),
            );
        }
        body
    }

    /// The hook is as recorded, or again so.
    fn agreed(&mut self, body: &str) {
        if let Some(id) = id_of(body) {
            self.differing.remove(&id);
        }
    }

    /// A recorded list as it is here.
    fn listed(&self, theirs: &str) -> String {
        let hooks = theirs
            .trim_matches(['[', ']'])
            .replace("},{\"id\"", "}\n{\"id\"");
        let here =
            hooks
                .lines()
                .filter_map(|hook| match self.differing.get(&id_of(hook).unwrap()) {
                    None => Some(hook.to_owned()),
                    Some(differing) => differing.clone(),
                });
        format!("[{}]", here.collect::<Vec<_>>().join(","))
    }
}

/// What Gogs lists between the edits and the next creation.
fn list_after_edits() -> String {
    let mut all = recorded().into_iter();
    let list = all.find(|recorded| recorded.number == "079").unwrap();
    list.response.body_text
}

/// An error for which Gogs has nothing, or a page.
fn is_without_message(response: &Response) -> bool {
    let body = &response.body_text;
    response.status >= 400 && (body.is_empty() || body.contains("HTML page"))
}

#[track_caller]
fn assert_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?}");
    let error = answer.json();
    assert!(error["message"].is_string(), "{answer:?}");
    assert_eq!(error["url"], "https://github.com/gogs/docs-api");
}

/// The id of the hook that the text begins with.
fn id_of(text: &str) -> Option<String> {
    let rest = text.strip_prefix(r#"{"id":"#)?;
    Some(rest[..rest.find(',')?].to_owned())
}

/// The text with `T` for every time, each of which is one.
fn times_away(text: &str) -> String {
    let mut pieces = text.split("_at\":\"");
    let mut away = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (time, rest) = piece.split_once('"').unwrap();
        assert!(time.parse::<Timestamp>().is_ok(), "{time}");
        away.push_str("_at\":\"T\"");
        away.push_str(rest);
    }
    away
}

/// Who may do what at Gogs, as far as it can be said here; at last `mira` administers one more.
fn users(mira: &str) -> String {
    yaml(&format!(
        "  tokens:\n    \
         - {{ name: alice, token: token-of-alice, repos: [alice/api-golden, alice/api-other, bob/api-hidden] }}\n    \
         - {{ name: bob, token: token-of-bob, repos: [\"bob/*\"] }}\n    \
         - {{ name: mira, token: token-of-mira, repos: [{mira}] }}\n"
    ))
}

#[tokio::test]
async fn each_recorded_call_is_answered_as_gogs_did_or_as_the_documentation_says() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = TestRelay::start(folder.path(), &users("\"mira/*\""), Clock::system()).await;
        let mut replay = Replay {
            relay,
            ids: BTreeMap::new(),
            differing: BTreeMap::new(),
        };
        let all = recorded();
        for recorded in &all {
            match recorded.number.as_str() {
                // It had been made before the recording began.
                "071" => {
                    let mut made = Ask::new(
                        "POST",
                        "/api/v1/repos/alice/api-other/hooks",
                        r#"{"type":"gogs","config":{"url":"http://127.0.0.1:9100/api/hook","content_type":"json"}}"#,
                    );
                    made.headers[0].1 = "token token-of-alice".to_owned();
                    let made = made.of(&replay.relay).await;
                    replay.note_id(r#"{"id":81,"#, &made);
                }
                "096" => {
                    let mira = users("alice/api-golden");
                    assert_eq!(replay.relay.reload(&mira).await.1["changed"][0], "api");
                }
                _ => {}
            }
            replay.step(recorded).await;
        }
        let deviations = all.iter().filter(|it| deviation(&it.number).is_some());
        figure!("{} recorded calls, {} deviations", all.len(), deviations.count());
        replay.relay.finish().await;
    })
    .await;
}

#[test]
fn the_documentation_names_every_deviation_and_no_other() {
    let text = std::fs::read_to_string("docs/hook-apis.md").unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| 0"));
    let numbers = rows.flat_map(|row| {
        let place = row.split('|').nth(1).unwrap();
        let words = place.split(|c: char| !c.is_ascii_digit());
        words.filter(|word| word.len() == 3).map(str::to_owned)
    });
    let documented: BTreeSet<String> = numbers.collect();
    let all = recorded().into_iter().map(|recorded| recorded.number);
    let deviates =
        |number: &String| deviation(number).is_some() || SEEN_ELSEWHERE.contains(&number.as_str());
    assert_eq!(documented, all.filter(deviates).collect());
}

#[tokio::test]
async fn go_and_its_peculiarities_are_put_up_with() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let url = "http://127.0.0.1:9100/x";
        let config = format!(r#"{{"url":"{url}","content_type":"json"}}"#);
        let made = |body: String| ask_owned(&relay, "POST", HOOKS, body);

        // Go compares the names of members without case, and stops reading behind the first value.
        let capital = format!(r#"{{"Type":"gogs","CONFIG":{config},"aCtive":true}} rest"#);
        assert_eq!(made(capital).await.with(201)["active"], true);
        let halves = format!(r#"{{"type":"gogs","config":{config},"events":["\ud800","push"]}}"#);
        assert_eq!(made(halves).await.with(201)["events"], serde_json::json!(["push"]));
        let null = r#"{"type":"gogs","config":{"url":null,"content_type":"json"}}"#;
        made(null.to_owned()).await.with(422);

        for (broken, words) in [
            (r#"{"type":1}"#, "json: cannot unmarshal number into Go struct field CreateHookOption.type of type string"),
            (r#"{"type":"gogs","config":"x"}"#, "json: cannot unmarshal string into Go struct field CreateHookOption.config of type map[string]string"),
            (r#"{"type" "gogs"}"#, "invalid character '\"' after object key"),
            (r#"{"type":"gogs" "x"}"#, "invalid character '\"' after object key:value pair"),
            (r#"{"events":["x" "y"]}"#, "invalid character '\"' after array element"),
            (r#"{"type":"gogs",}"#, "invalid character '}' looking for beginning of object key string"),
            ("{type:1}", "invalid character 't' looking for beginning of object key string"),
            ("<xml/>", "invalid character '<' looking for beginning of value"),
        ] {
            let answer = made(broken.to_owned()).await;
            assert_eq!(answer.json()[0]["message"], words, "{broken}");
            assert_eq!(answer.status, 400);
        }
        relay.finish().await;
    })
    .await;
}

async fn ask_owned(relay: &TestRelay, method: &str, target: &str, body: String) -> Answer {
    ask(relay, method, target, &body).await
}

#[tokio::test]
async fn urls_that_could_never_be_delivered_to_are_refused_and_say_why() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        for (url, words) in [
            ("ftp://example.org/x", "neither http nor https"),
            ("example.org/x", "does not start with http"),
            ("http://", "empty host"),
            ("http://name:word@example.org/", "user name or password"),
            ("http://10.0.0.1/", "egress.allow"),
            ("http://[::ffff:10.0.0.1]/", "egress.allow"),
            ("http://0xa9fea9fe/", "metadata"),
            ("http://169.254.169.254/", "metadata"),
        ] {
            let refused = ask(&relay, "POST", HOOKS, &hook(url, "")).await.with(422);
            let message = refused["message"].as_str().unwrap().to_owned();
            assert!(
                message.contains(words) && !message.contains(url),
                "{message}"
            );
        }
        let long = format!("https://example.org/{}", "x".repeat(5000));
        ask(&relay, "POST", HOOKS, &hook(&long, "")).await.with(422);
        let made = ask(&relay, "POST", HOOKS, &hook("https://example.org/hook", "")).await;
        let target = format!("{HOOKS}/{}", made.with(201)["id"]);
        let edit = r#"{"config":{"url":"http://192.168.0.1/"},"events":["issues"]}"#;
        ask(&relay, "PATCH", &target, edit).await.with(422);
        let kept = ask(&relay, "GET", &target, "").await.with(200);
        assert_eq!(kept["config"]["url"], "https://example.org/hook");
        assert_eq!(kept["events"], serde_json::json!(["push"]));
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn what_clients_ask_first_is_answered_with_what_is_known() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let user = ask(&relay, "GET", "/api/v1/user", "").await.with(200);
        assert_eq!(
            (&user["login"], &user["username"]),
            (&"ci".into(), &"ci".into())
        );
        let version = ask(&relay, "GET", "/api/v1/version", "").await.with(200);
        assert!(version["version"].as_str().unwrap().starts_with("0.14.3+"));
        let repository = ask(&relay, "GET", "/api/v1/repos/orbit/new", "")
            .await
            .with(200);
        assert_eq!(repository["full_name"], "orbit/new");
        assert_eq!(repository["permissions"]["admin"], true);
        ask(&relay, "GET", "/api/v1/repos/other/new", "")
            .await
            .with(404);
        ask(&relay, "GET", "/api/v1/users/ci/tokens", "")
            .await
            .with(404);
        relay.finish().await;
    })
    .await;
}

#[tokio::test]
async fn hooks_outlive_a_restart() {
    within(async {
        let folder = tempfile::tempdir().unwrap();
        let relay = start(folder.path(), Clock::system()).await;
        let made = ask(&relay, "POST", HOOKS, &hook("https://example.org/hook", "")).await;
        let before = made.with(201);
        relay.finish().await;
        let relay = start(Path::new(folder.path()), Clock::system()).await;
        let after: Value = ask(&relay, "GET", HOOKS, "").await.with(200);
        assert_eq!(after, serde_json::json!([before]));
        relay.finish().await;
    })
    .await;
}
