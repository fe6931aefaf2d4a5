//! The real binary in a folder of its own, and a client that posts to it as Gogs does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Nothing in a test takes longer; when it does, the test fails and says for what it waited.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running relay, killed when dropped.
pub struct Binary {
    child: Child,
    pub hooks: SocketAddr,
    pub admin: SocketAddr,
    /// What it logged until it was ready.
    pub said: String,
    log: Arc<Mutex<String>>,
}

/// How long somebody reads the log.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    Stays,
    LeavesWhenReady,
}

impl Binary {
    /// Starts `gogs-relay -c <folder>/relay.yaml`, whose listeners have port 0, and waits until
    /// it says where it listens.
    pub fn start(folder: &Path) -> Binary {
        Binary::start_with(folder, Stdio::null(), Reader::Stays)
    }

    /// The same, with this standard output and reader of its log.
    pub fn start_with(folder: &Path, stdout: Stdio, reader: Reader) -> Binary {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gogs-relay"))
            .arg("-c")
            .arg(folder.join("relay.yaml"))
            .env_remove("RUST_LOG")
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = mpsc::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let writes = log.clone();
        // Reads to the end, so that the relay never waits for its log to be read.
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut log = writes.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
                if let Some(addresses) = addresses(&line) {
                    let _gone = say.send(Some((addresses, log.clone())));
                    if reader == Reader::LeavesWhenReady {
                        return;
                    }
                }
            }
            let _gone = say.send(None);
        });
        match said.recv_timeout(PATIENCE) {
            Ok(Some(((hooks, admin), said))) => Binary {
                child,
                hooks,
                admin,
                said,
                log,
            },
            Ok(None) => panic!("the relay did not start:\n{}", log.lock().unwrap()),
            Err(_) => panic!("the relay did not say that it is ready"),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// kill -9, without a wait for its end.
    pub fn kill_now(&self) {
        self.signal("-KILL");
    }

    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// SIGHUP.
    pub fn ask_to_reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end, and says how it was.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The same, for when it is no more.
    pub fn shared_log(&self) -> Arc<Mutex<String>> {
        self.log.clone()
    }

    /// The highest resident memory so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kilobytes.parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// `… hooks at http://127.0.0.1:1/hooks/… own API at http://127.0.0.1:2/ …`
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut found = line.match_indices("http://").map(|(at, mark)| {
        let rest = &line[at + mark.len()..];
        let end = rest
            .find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest[..end].parse().unwrap()
    });
    line.contains("ready")
        .then(|| (found.next().unwrap(), found.next().unwrap()))
}

/// A small push of its own.
pub fn push(id: &str) -> String {
    format!(r#"{{"ref":"refs/heads/main","commits":[],"compare_url":"{id}"}}"#)
}

/// What Gogs puts under `X-Gogs-Signature`.
pub fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Posts an unsigned push of so many bytes on a connection of its own; the status.
pub fn unsigned_push(address: SocketAddr, size: usize) -> u16 {
    let body = format!(r#"{{"ref":"{}"}}"#, "a".repeat(size.saturating_sub(10)));
    let headers = [
        ("Host", "relay".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("X-Gogs-Event", "push".to_owned()),
        ("Content-Length", body.len().to_string()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value));
    raw_post(address, "/hooks/gogs", &headers, &body).status
}

/// Posts with these headers and this body, and nothing else.
pub fn raw_post(
    address: SocketAddr,
    path: &str,
    headers: &[(String, String)],
    body: &str,
) -> Answer {
    let mut request = format!("POST {path} HTTP/1.1\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut client = Client::connect(address).unwrap();
    let request = [request.as_bytes(), body.as_bytes()].concat();
    // An answer may come, and the connection end, before all is written.
    let _written = client.stream.get_mut().write_all(&request);
    client.answer().unwrap()
}

/// One keep-alive connection that speaks as Gogs does.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A status and a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// The header `Retry-After`, if it is there.
    pub retry_after: Option<String>,
    pub body: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> std::io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream: BufReader::new(stream),
        })
    }

    /// Posts a signed delivery; an error when the relay goes away.
    pub fn deliver(
        &mut self,
        source: &str,
        secret: &str,
        id: &str,
        body: &str,
    ) -> std::io::Result<Answer> {
        let head = head(source, secret, id, body, "");
        self.stream
            .get_mut()
            .write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
        self.answer()
    }

    /// Calls a hook API with a token.
    pub fn call(
        &mut self,
        token: &str,
        (method, target): (&str, &str),
        body: &str,
    ) -> std::io::Result<Answer> {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: relay\r\nAuthorization: token {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> std::io::Result<Answer> {
        let broken = || std::io::Error::other("not an HTTP answer");
        let (mut status, mut length, mut retry_after) = (0, 0, None);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().map_err(|_| broken())?;
            }
            if let Some(rest) = line.strip_prefix("content-length:") {
                length = rest.trim().parse().map_err(|_| broken())?;
            }
            if let Some(rest) = line.strip_prefix("retry-after:") {
                retry_after = Some(rest.trim().to_owned());
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer {
            status,
            retry_after,
            body: String::from_utf8(body).map_err(|_| broken())?,
        })
    }
}

/// The head of a signed push, as Gogs writes it, with `more` lines of header.
fn head(source: &str, secret: &str, id: &str, body: &str, more: &str) -> String {
    format!(
        "POST /hooks/{source} HTTP/1.1\r\nHost: relay\r\nUser-Agent: GogsServer\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\nX-Gogs-Delivery: {id}\r\nX-Gogs-Event: push\r\n\
         X-Gogs-Signature: {}\r\nAccept-Encoding: gzip\r\n{more}\r\n",
        body.len(),
        signature(secret, body),
    )
}

/// Asks the own API at `admin`; the status, and the JSON of the answer.
pub fn api(
    admin: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<(u16, serde_json::Value)> {
    let mut client = Client::connect(admin)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.stream.get_mut().write_all(request.as_bytes())?;
    let answer = client.answer()?;
    let json = serde_json::from_str(&answer.body).map_err(std::io::Error::other)?;
    Ok((answer.status, json))
}

/// A request that the relay has begun to read, and whose body is still to come.
pub struct HalfSent {
    client: Client,
    id: String,
    body: String,
}

impl HalfSent {
    /// Returns when the relay has asked for the body.
    pub fn start(address: SocketAddr, secret: &str, id: String) -> HalfSent {
        let body = push(&id);
        let mut client = Client::connect(address).unwrap();
        let head = head("gogs", secret, &id, &body, "Expect: 100-continue\r\n");
        client.stream.get_mut().write_all(head.as_bytes()).unwrap();
        let mut lines = String::new();
        while !lines.ends_with("\r\n\r\n") {
            assert!(
                client.stream.read_line(&mut lines).unwrap() > 0,
                "closed after {lines:?}"
            );
        }
        assert!(lines.starts_with("HTTP/1.1 100 "), "{lines}");
        HalfSent { client, id, body }
    }

    /// Sends the body; the id, and the answer.
    pub fn finish(mut self) -> (String, Answer) {
        self.client
            .stream
            .get_mut()
            .write_all(self.body.as_bytes())
            .unwrap();
        (self.id, self.client.answer().unwrap())
    }
}
