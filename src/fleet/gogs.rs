//! Speaks Gogs' REST API: one request at a time, not too many a second, with the token in a
//! header of its own that goes nowhere else. No redirect is followed.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::error::GogsError;
use super::hook::RemoteHook;
use crate::clock::Clock;
use crate::delivery::Reason;
use crate::destination::{Reach, Trust, Window};
use crate::send::transport::{Answer, Failure, Request, Transport};

/// For one request. A Gogs that has thousands of repositories to list takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// So much of an answer is read, in bytes: a listed repository has about 1.5 KB.
const LARGEST: usize = 64 * 1024 * 1024;

/// The waits before a question is asked again that the server failed to answer.
const WAITS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// The API of one Gogs. Without `Debug`: it holds a token.
pub struct Gogs {
    /// With `/api/v1`.
    base: Url,
    token: SecretString,
    /// A secret that was sent, and that no answer may bring to light.
    hidden: Option<SecretString>,
    transport: Transport,
    clock: Clock,
    /// Between two requests.
    pause: Duration,
    /// When the next request may go, on [`Clock::elapsed`].
    next: Duration,
}

impl Gogs {
    /// `url` is where people find it in a browser; `rate` bounds the requests.
    ///
    /// # Errors
    /// [`GogsError::Address`] or [`GogsError::TokenText`].
    pub fn new(
        url: &str,
        token: SecretString,
        rate: Window,
        (transport, clock): (Transport, Clock),
    ) -> Result<Gogs, GogsError> {
        let mut base = Url::parse(url).map_err(|_| GogsError::Address)?;
        let is_web = matches!(base.scheme(), "http" | "https");
        if !is_web || !base.username().is_empty() || base.password().is_some() {
            return Err(GogsError::Address);
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = base.path().trim_end_matches('/');
        let path = path.strip_suffix("/api/v1").unwrap_or(path);
        base.set_path(&format!("{path}/api/v1"));
        let gogs = Gogs {
            base,
            token,
            hidden: None,
            transport,
            next: clock.elapsed(),
            clock,
            pause: rate.per / rate.count.max(1),
        };
        gogs.authorization().map(|_| gogs)
    }

    /// Where its API is.
    pub fn url(&self) -> &Url {
        &self.base
    }

    /// Its host, and port if it is not the usual one.
    pub fn host(&self) -> &str {
        self.base.authority()
    }

    /// The name of the token's user.
    ///
    /// # Errors
    /// Besides those of every request, [`GogsError::NotGogs`].
    pub async fn user(&mut self) -> Result<String, GogsError> {
        let user: Value = match self.get(self.path(&["user"])).await {
            Err(GogsError::NotFound) => return Err(self.not_gogs(404)),
            answer => answer?,
        };
        let name = user["login"].as_str().or(user["username"].as_str());
        name.map(str::to_owned).ok_or_else(|| self.not_gogs(200))
    }

    /// All hooks of a repository; Gogs does not page them.
    ///
    /// # Errors
    /// Those of every request.
    pub async fn hooks(&mut self, repository: &str) -> Result<Vec<RemoteHook>, GogsError> {
        self.get(self.hooks_path(repository, None)).await
    }

    /// Makes an active hook that posts JSON to `url`.
    ///
    /// # Errors
    /// Those of every request. Whether it was made is then unknown.
    pub async fn make(
        &mut self,
        repository: &str,
        url: &Url,
        secret: Option<&SecretString>,
        events: &[&str],
    ) -> Result<RemoteHook, GogsError> {
        let mut config = json!({ "url": url.as_str(), "content_type": "json" });
        if let Some(secret) = secret {
            config["secret"] = secret.expose_secret().into();
        }
        // Gogs makes hooks inactive unless it is told otherwise.
        let hook = json!({ "type": "gogs", "config": config, "events": events, "active": true });
        let path = self.hooks_path(repository, None);
        self.hidden = secret.cloned();
        self.change(Method::POST, path, &hook).await
    }

    /// Puts everything of a hook right but its type and secret, which cannot be edited.
    ///
    /// # Errors
    /// Those of every request. Whether it was done is then unknown.
    pub async fn repair(
        &mut self,
        (repository, id): (&str, u64),
        url: &Url,
        events: &[&str],
    ) -> Result<RemoteHook, GogsError> {
        let config = json!({ "url": url.as_str(), "content_type": "json" });
        let hook = json!({ "config": config, "events": events, "active": true });
        let path = self.hooks_path(repository, Some(id));
        self.change(Method::PATCH, path, &hook).await
    }

    /// Has a hook get no new events. What Gogs has queued for it is still delivered.
    ///
    /// # Errors
    /// Those of every request. Whether it was done is then unknown.
    pub async fn switch_off(
        &mut self,
        (repository, id): (&str, u64),
        events: &[String],
    ) -> Result<RemoteHook, GogsError> {
        // Without its events Gogs would leave it pushes alone, and without a channel no settings
        // are touched.
        let hook = json!({ "events": events, "active": false });
        let path = self.hooks_path(repository, Some(id));
        self.change(Method::PATCH, path, &hook).await
    }

    /// Removes a hook, and what Gogs has queued for it. The id must be from this repository's
    /// list: Gogs says yes to any, and forgets the deliveries of a hook elsewhere.
    ///
    /// # Errors
    /// Those of every request. Whether it was done is then unknown.
    pub async fn remove(&mut self, (repository, id): (&str, u64)) -> Result<(), GogsError> {
        let path = self.hooks_path(repository, Some(id));
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    pub(super) fn path(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(parts);
        }
        url
    }

    fn hooks_path(&self, repository: &str, id: Option<u64>) -> Url {
        let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
        let id = id.map(|id| id.to_string());
        let mut parts = vec!["repos", owner, name, "hooks"];
        parts.extend(id.as_deref());
        self.path(&parts)
    }

    /// Asks, and asks again when the server fails.
    pub(super) async fn get<T: DeserializeOwned>(&mut self, path: Url) -> Result<T, GogsError> {
        let mut waits = WAITS.into_iter();
        let answer = loop {
            let failure = match self.call(Method::GET, &path, None).await {
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            match waits.next().filter(|_| failure.may_pass()) {
                Some(wait) => self.clock.sleep(wait).await,
                None => return Err(failure),
            }
        };
        serde_json::from_slice(&answer.body).map_err(|_| self.not_gogs(answer.status))
    }

    /// Asks for a change once: whether an unanswered one was made, only a list tells.
    async fn change(
        &mut self,
        method: Method,
        path: Url,
        body: &Value,
    ) -> Result<RemoteHook, GogsError> {
        let answer = self.call(method, &path, Some(body)).await?;
        serde_json::from_slice(&answer.body).map_err(|_| self.not_gogs(answer.status))
    }

    /// One request; an answer other than success is an error.
    async fn call(
        &mut self,
        method: Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Answer, GogsError> {
        self.clock.sleep_until(self.next).await;
        self.next = self.clock.elapsed() + self.pause;
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, self.authorization()?);
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = Request {
            method,
            url,
            reach: Reach::Configured,
            trust: Trust::Verified,
            headers,
            body: Bytes::from(body.map(Value::to_string).unwrap_or_default()),
            most: LARGEST,
        };
        let answer = self.transport.call(request, PATIENCE).await;
        self.read(answer)
    }

    fn authorization(&self) -> Result<HeaderValue, GogsError> {
        // Gogs knows neither `Token` nor `Bearer`.
        let text = format!("token {}", self.token.expose_secret());
        let mut value = HeaderValue::from_str(&text).map_err(|_| GogsError::TokenText)?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn read(&self, answer: Result<Answer, Failure>) -> Result<Answer, GogsError> {
        let unreachable = |words: String| GogsError::Unreachable {
            host: self.host().to_owned(),
            words,
        };
        let answer = answer.map_err(|failure| match failure {
            Failure::Forbidden(refusal) => unreachable(refusal.to_string()),
            Failure::Trouble { words, .. } => unreachable(words),
        })?;
        match answer.cut {
            Some(Reason::Timeout) => return Err(unreachable("its answer did not end".to_owned())),
            Some(_) => return Err(unreachable("its answer broke off".to_owned())),
            None => {}
        }
        match answer.status {
            200..=299 => Ok(answer),
            300..=399 => Err(GogsError::Redirect {
                host: self.host().to_owned(),
            }),
            401 => Err(GogsError::Token),
            403 => Err(GogsError::Forbidden),
            404 => Err(GogsError::NotFound),
            status => Err(GogsError::Refused {
                status,
                said: self.words(&answer.body),
            }),
        }
    }

    /// What an error says of itself, unless it repeats what nobody may see.
    fn words(&self, body: &[u8]) -> String {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = body["message"].as_str().or(body[0]["message"].as_str());
        let said = said.filter(|it| it.len() <= 200 && !it.contains("://"));
        let hidden = [Some(&self.token), self.hidden.as_ref()];
        let mut hidden = hidden.into_iter().flatten();
        let said = said.filter(|it| !hidden.any(|word| it.contains(word.expose_secret())));
        said.map(|it| format!(": {it}")).unwrap_or_default()
    }

    pub(super) fn not_gogs(&self, status: u16) -> GogsError {
        GogsError::NotGogs {
            host: self.host().to_owned(),
            status,
        }
    }
}
