//! A client of the hook APIs that sends exactly what it is told.

use std::net::SocketAddr;
use std::path::Path;

use gogs_relay::clock::Clock;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::binary::signature;
use crate::relay::TestRelay;

/// Of the source `gogs`.
pub(crate) const SECRET: &str = "source-s3cret";
/// Administers everything below `orbit`.
pub(crate) const TOKEN: &str = "orbit-t0ken-0123";
pub(crate) const HOOKS: &str = "/api/v1/repos/orbit/lander/hooks";

/// A configuration with these lines below `api`, whose hooks may lead to this machine.
pub(crate) fn yaml(api: &str) -> String {
    format!(
        "sources: {{ gogs: {{ secret: {SECRET} }} }}\ndestinations: {{ screen: {{ console: }} }}\n\
         egress: {{ allow: [127.0.0.0/8] }}\napi:\n{api}"
    )
}

/// The lines of one token.
pub(crate) fn tokens() -> String {
    format!("  tokens: [{{ name: ci, token: {TOKEN}, repos: [\"orbit/*\"] }}]\n")
}

pub(crate) async fn start(folder: &Path, clock: Clock) -> TestRelay {
    TestRelay::start(folder, &yaml(&tokens()), clock).await
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The same, when the status is this one.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        match self.body.is_empty() {
            true => Value::Null,
            false => self.json(),
        }
    }
}

/// A call to be made.
pub(crate) struct Ask<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Ask<'a> {
    /// With the token, and a body of JSON if there is one.
    pub(crate) fn new(method: &'a str, target: &'a str, body: &str) -> Ask<'a> {
        let mut headers = vec![("Authorization", format!("token {TOKEN}"))];
        if !body.is_empty() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        Ask {
            method,
            target,
            headers,
            body: body.into(),
        }
    }

    pub(crate) async fn of(self, relay: &TestRelay) -> Answer {
        self.at(relay.hooks).await
    }

    /// On a connection of its own.
    pub(crate) async fn at(self, address: SocketAddr) -> Answer {
        let Ask {
            method,
            target,
            headers,
            body,
        } = self;
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: elsewhere.example\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A server that has already answered may have closed.
        drop(
            stream
                .write_all(&[request.as_bytes(), &body].concat())
                .await,
        );
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }
}

/// Calls Gogs' API with the token.
pub(crate) async fn ask(relay: &TestRelay, method: &str, target: &str, body: &str) -> Answer {
    Ask::new(method, target, body).of(relay).await
}

/// A hook to this URL, in the words of Gogs.
pub(crate) fn hook(url: &str, more: &str) -> String {
    format!(
        r#"{{"type":"gogs","config":{{"url":"{url}","content_type":"json","secret":"receiver-s3cret"}},"active":true{more}}}"#
    )
}

/// Gogs posts an event of a repository.
pub(crate) async fn happens(relay: &TestRelay, event: &str, repository: &str, number: u32) {
    let body = format!(
        r#"{{"ref":"refs/heads/main","before":"{number}","repository":{{"id":7,"name":"lander","full_name":"{repository}","html_url":"http://gogs/x"}}}}"#
    );
    let headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-Gogs-Event", event.to_owned()),
        ("X-Gogs-Delivery", format!("delivery-{number}")),
        ("X-Gogs-Signature", signature(SECRET, &body)),
    ];
    let post = Ask {
        method: "POST",
        target: "/hooks/gogs",
        headers,
        body: body.into(),
    };
    post.of(relay).await.with(202);
}
