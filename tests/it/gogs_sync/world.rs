//! A stand-in Gogs, a folder with a relay.yaml, and the real command between them.

use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, mpsc};

use gogs_relay::clock::Clock;
use gogs_relay::fleet::mark;
use gogs_relay::standin::StandIn;

use super::server::{EVENTS, Effect, Happened, Hook, Server, Shared};

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef01234567";
pub(super) const NEW: &str = "new-source-s3cret";
pub(super) const OLD: &str = "old-source-s3cret";
/// Nobody listens there, which `--no-ping` does not find out.
pub(super) const PUBLIC: &str = "http://relay.test:8025/";

/// What no output may hold.
const SECRETS: [&str; 4] = [TOKEN, NEW, OLD, "T000/B000"];

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) standin: StandIn,
    server: Arc<Mutex<Server>>,
}

/// What became of a command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) out: String,
    pub(super) err: String,
}

impl World {
    /// With these repositories of alice, who has the token.
    pub(super) async fn start(repositories: &[&str]) -> World {
        let mut server = Server::default();
        server
            .users
            .insert(TOKEN.to_owned(), ("alice".to_owned(), false));
        for name in repositories {
            server.add(name, false);
        }
        let server = Arc::new(Mutex::new(server));
        let standin = StandIn::start(Shared(server.clone()), Clock::system()).await;
        let world = World {
            folder: tempfile::tempdir().unwrap(),
            standin: standin.unwrap(),
            server,
        };
        world.configure(PUBLIC, &[NEW]);
        world
    }

    /// Writes relay.yaml.
    pub(super) fn configure(&self, public_url: &str, secrets: &[&str]) {
        let yaml = format!(
            "public_url: {public_url}\nsources: {{ gogs: {{ secrets: [{}] }} }}\n\
             destinations: {{ screen: {{ console: {{}} }} }}\n",
            secrets.join(", ")
        );
        self.write(&yaml);
    }

    pub(super) fn write(&self, yaml: &str) {
        std::fs::write(self.folder.path().join("relay.yaml"), yaml).unwrap();
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    pub(super) fn shared(&self) -> Arc<Mutex<Server>> {
        self.server.clone()
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.standin.address())
    }

    fn command(&self, line: &str) -> Command {
        self.command_at(&self.url(), line)
    }

    fn command_at(&self, url: &str, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gogs-relay"));
        command.current_dir(self.folder.path()).arg("gogs");
        command.args(line.split_whitespace());
        command.args(["--url", url, "--rate", "2000/s"]);
        command.env("GOGS_TOKEN", TOKEN).env("RUST_LOG", "trace");
        command
    }

    /// Runs `gogs-relay gogs …` with the token in the environment.
    pub(super) async fn run(&self, line: &str) -> Ran {
        self.run_command(self.command(line)).await
    }

    /// The same, with another address of Gogs.
    pub(super) async fn run_at(&self, url: &str, line: &str) -> Ran {
        self.run_command(self.command_at(url, line)).await
    }

    /// The same, with other arguments or another environment.
    pub(super) async fn run_with(&self, line: &str, edit: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(line);
        edit(&mut command);
        self.run_command(command).await
    }

    async fn run_command(&self, mut command: Command) -> Ran {
        let output = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = output.await.unwrap();
        let ran = Ran {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        for secret in SECRETS {
            assert!(
                !ran.out.contains(secret) && !ran.err.contains(secret),
                "{ran:?}"
            );
        }
        ran
    }

    /// Synchronises without asking the relay, and without waiting.
    pub(super) async fn sync(&self, more: &str) -> Ran {
        self.run(&format!("sync --no-ping --settle 0s {more}"))
            .await
    }

    /// Synchronises, and kills the command when its request of this number has come, with its
    /// effect or without; whether it came so far.
    pub(super) async fn sync_until(&self, number: usize, effect: Effect) -> bool {
        let (tell, happened) = mpsc::channel();
        {
            let mut server = self.server();
            let number = server.requests.len() + number;
            server.cut = Some((number, effect, tell.clone()));
        }
        let mut command = self.command("sync --no-ping --settle 0s");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let cut = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().unwrap();
            let id = child.id().to_string();
            let waits = std::thread::spawn(move || {
                child.wait().unwrap();
                tell.send(Happened::Ended).unwrap();
            });
            let is_cut = happened.recv().unwrap() == Happened::Cut;
            if is_cut {
                let killed = Command::new("kill").args(["-KILL", &id]).status();
                assert!(killed.unwrap().success());
            }
            waits.join().unwrap();
            is_cut
        });
        let cut = cut.await.unwrap();
        self.server().cut = None;
        cut
    }
}

impl Ran {
    /// It ended with this code, and said all of this somewhere.
    #[track_caller]
    pub(super) fn check(&self, code: i32, words: &[&str]) -> &Ran {
        let said = format!("{}{}", self.out, self.err);
        assert_eq!(self.code, code, "{said}");
        // Tables are aligned, so that their blanks differ.
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words in words {
            assert!(flat.contains(words), "{words:?} is not in:\n{said}");
        }
        self
    }
}

/// A hook that somebody made in Gogs' pages, but for what `edit` does to it.
pub(super) fn hook(repository: &str, url: &str, edit: impl FnOnce(&mut Hook)) -> Hook {
    let mut hook = Hook {
        id: 1,
        repository: repository.to_owned(),
        kind: "gogs".to_owned(),
        url: url.to_owned(),
        form: false,
        secret: NEW.to_owned(),
        slack: Default::default(),
        events: EVENTS.map(str::to_owned).into(),
        active: true,
    };
    edit(&mut hook);
    hook
}

/// The URL of a right hook.
pub(super) fn right(public_url: &str, secret: &str) -> String {
    // They are made to take time.
    static MARKS: LazyLock<[String; 2]> =
        LazyLock::new(|| [NEW, OLD].map(|secret| mark(&secret.to_owned().into(), "gogs")));
    let mark = &MARKS[usize::from(secret == OLD)];
    format!("{public_url}hooks/gogs#secret-{mark}")
}

/// It is as `gogs sync` wants it.
#[track_caller]
pub(super) fn assert_right(hook: &Hook) {
    let edit = |it: &mut Hook| it.id = hook.id;
    let wanted = self::hook(&hook.repository, &right(PUBLIC, NEW), edit);
    assert_eq!(*hook, wanted);
}
