//! A receiver of Gogs' own format that trusts nothing: headers, encoding and both signatures.

use crate::send::gogs::hmac_sha256;

use super::{Received, Script, Service};

/// Stands in for a tool that takes Gogs' webhooks.
#[derive(Default)]
pub struct FakeGogs {
    secret: Option<String>,
}

impl FakeGogs {
    /// Wants signatures under this secret.
    pub fn with_secret(secret: &str) -> FakeGogs {
        FakeGogs {
            secret: Some(secret.to_owned()),
        }
    }

    /// The JSON text of a request, out of its form if it is one.
    pub fn payload(request: &Received) -> Option<Vec<u8>> {
        match request.header("content-type") {
            "application/json" => Some(request.body.to_vec()),
            "application/x-www-form-urlencoded" => {
                let mut pairs = form_urlencoded::parse(&request.body);
                match (pairs.next(), pairs.next()) {
                    (Some((name, value)), None) if name == "payload" => {
                        Some(value.into_owned().into_bytes())
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn check(&self, request: &Received, wrong: &mut Vec<String>) {
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_owned());
            }
        };
        must(request.method == "POST", "not a POST");
        must(request.header("user-agent") == "GogsServer", "user agent");
        for (gogs, github) in [
            ("x-gogs-event", "x-github-event"),
            ("x-gogs-delivery", "x-github-delivery"),
        ] {
            must(!request.header(gogs).is_empty(), gogs);
            must(request.header(gogs) == request.header(github), github);
        }
        let has_signature = request.headers.contains_key("x-gogs-signature");
        must(has_signature, "x-gogs-signature is missing");
        let Some(payload) = FakeGogs::payload(request) else {
            return must(false, "neither JSON nor a form with one payload");
        };
        must(
            serde_json::from_slice::<serde_json::Value>(&payload).is_ok(),
            "the payload is not JSON",
        );
        let (signature, hub) = match &self.secret {
            None => (String::new(), String::new()),
            Some(secret) => {
                let sign = |text: &[u8]| hex::encode(hmac_sha256(secret.as_bytes(), text));
                (sign(&payload), format!("sha256={}", sign(&request.body)))
            }
        };
        must(
            request.header("x-gogs-signature") == signature,
            "x-gogs-signature is wrong",
        );
        must(
            request.header("x-hub-signature-256") == hub,
            "x-hub-signature-256 is wrong",
        );
    }
}

impl Service for FakeGogs {
    fn answer(&mut self, request: &Received) -> (Script, Vec<String>) {
        let mut wrong = Vec::new();
        self.check(request, &mut wrong);
        let script = match wrong.is_empty() {
            true => Script::status(200).body("ok"),
            false => Script::status(400).body(wrong.join(", ")),
        };
        (script, wrong)
    }

    fn path(&self) -> &'static str {
        "/hook"
    }
}
