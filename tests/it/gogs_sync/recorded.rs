//! The stand-in answers as the recorded Gogs did.

use serde_json::Value;

use super::server::{Body, Server};

fn server() -> Server {
    let mut server = Server::default();
    for (name, is_site_admin) in [("alice", true), ("bob", false), ("mira", false)] {
        let user = (name.to_owned(), is_site_admin);
        server.users.insert(format!("{{token of {name}}}"), user);
    }
    server.add("alice/api-golden", false);
    server.add("alice/api-other", false);
    server.add("bob/api-hidden", true);
    server
}

/// Without the times that are no year 1.
fn timeless(body: &str) -> Value {
    let mut body: Value = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    let hooks: Vec<&mut Value> = match &mut body {
        Value::Array(hooks) => hooks.iter_mut().collect(),
        one => vec![one],
    };
    for hook in hooks {
        for name in ["updated_at", "created_at"] {
            if hook[name]
                .as_str()
                .is_some_and(|time| !time.starts_with("0001"))
            {
                hook[name] = "T".into();
            }
        }
    }
    body
}

#[test]
fn the_stand_in_answers_as_the_recorded_gogs() {
    let mut server = server();
    server.skip_ids(60);
    let files = std::fs::read_dir("tests/fixtures/api").unwrap();
    let mut paths: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "json"));
    paths.sort();
    let mut replayed = 0;
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap();
        match name {
            "051-edit-url" => {
                // Made by hand between two calls.
                let body = r#"{"type":"gogs","config":{"url":"http://127.0.0.1:9100/api/hook","content_type":"json"}}"#;
                let body = Body {
                    content_type: "application/json",
                    text: body.as_bytes(),
                };
                let made = server.call(
                    "{token of alice}",
                    ("POST", "/api/v1/repos/alice/api-other/hooks"),
                    body,
                );
                assert_eq!(made.0, 201);
            }
            "095-write-collaborator" | "096-admin-collaborator" => {
                let is_admin = name.starts_with("096");
                server.repositories[0]
                    .shared
                    .insert("mira".to_owned(), is_admin);
            }
            // Asked by browsers, before they ask anything.
            "110-options-list" => continue,
            _ => {}
        }
        replay(&mut server, &path, name);
        replayed += 1;
    }
    figure!("the stand-in gave {replayed} recorded answers of Gogs");
    assert_eq!(replayed, 109);
}

fn replay(server: &mut Server, path: &std::path::Path, name: &str) {
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let (request, response) = (&recorded["request"], &recorded["response"]);
    let header = |wanted: &str| {
        let mut headers = request["headers"].as_array().unwrap().iter();
        let found = headers.find(|it| it[0] == wanted);
        found.map_or("", |it| it[1].as_str().unwrap())
    };
    let token = header("Authorization")
        .strip_prefix("token ")
        .unwrap_or_default();
    let body = Body {
        content_type: header("Content-Type"),
        text: request["body_text"].as_str().unwrap_or_default().as_bytes(),
    };
    let call = (
        request["method"].as_str().unwrap(),
        request["target"].as_str().unwrap(),
    );
    let (status, body) = server.call(token, call, body);
    assert_eq!(response["status"], status, "{name}");
    let theirs = response["body_text"].as_str().unwrap_or_default();
    if theirs.starts_with("{HTML") || theirs.contains("DeserializationError") {
        let ours = body.unwrap();
        assert!(
            ours.starts_with("<!DOCTYPE") || ours.contains("DeserializationError"),
            "{name}"
        );
        return;
    }
    assert_eq!(
        timeless(&body.unwrap_or_default()),
        timeless(theirs),
        "{name}"
    );
}
