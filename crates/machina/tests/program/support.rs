//! Homes, commands and running economies.
//!
//! Every wait ends: a process that does not do what is expected within [`PATIENCE`] fails its test,
//! and what a test started is ended by its own id, however the test ends.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A folder for an economy, removed with the test.
pub struct Home {
    path: PathBuf,
    /// The process whose view of the disks this home is in, if not ours.
    inside: Option<u32>,
    _folder: Option<TempDir>,
}

impl Home {
    pub fn new() -> Home {
        let folder = tempfile::tempdir().expect("room for a home");
        Home { path: folder.path().to_path_buf(), inside: None, _folder: Some(folder) }
    }

    /// A home in a folder that somebody else removes.
    pub fn at(path: PathBuf) -> Home {
        Home { path, inside: None, _folder: None }
    }

    /// A home on a disk that only this process sees, and who enters its namespace.
    pub fn inside(process: u32, path: PathBuf) -> Home {
        Home { path, inside: Some(process), _folder: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        let file = self.path().join(name);
        match self.inside {
            Some(process) => format!("/proc/{process}/root{}", file.display()).into(),
            None => file,
        }
    }

    /// The program with this home, ports that the system chooses, and these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.inside {
            None => program(),
            Some(process) => {
                let mut enter = Command::new("nsenter");
                enter.args(["-m", "-t", &process.to_string(), env!("CARGO_BIN_EXE_machina")]);
                bare(enter)
            }
        };
        command.arg("--home").arg(self.path()).args(["--port", "0", "--rpc-port", "0"]);
        command.args(arguments);
        command
    }

    /// As [`Home::command`], on a terminal as a person has it: `script` of util-linux makes one, and its
    /// standard output is what the terminal was told, control sequences and all.
    pub fn on_a_terminal(&self, arguments: &[&str]) -> Command {
        let inner = self.command(arguments);
        let words = std::iter::once(inner.get_program()).chain(inner.get_args());
        let quoted = |word: &std::ffi::OsStr| {
            format!("'{}'", word.to_str().expect("text").replace('\'', r"'\''"))
        };
        let line: Vec<String> = words.map(quoted).collect();
        let mut command = bare(Command::new("script"));
        command.args(["-qfec", &line.join(" "), "/dev/null"]).env("TERM", "xterm");
        command
    }

    /// As [`Home::command`], at ports that an earlier process of this home had.
    pub fn command_at(&self, (port, rpc_port): (u16, u16), arguments: &[&str]) -> Command {
        let mut command = program();
        command.arg("--home").arg(self.path());
        command.args(["--port", &port.to_string(), "--rpc-port", &rpc_port.to_string()]);
        command.args(arguments);
        command
    }

    /// Starts an economy at a port where it was before.
    pub fn up_at(&self, port: u16) -> Up {
        let mut command = program();
        command.arg("--home").arg(self.path()).args(["--port", &port.to_string()]);
        command.args(["--rpc-port", "0", "--json", "up"]);
        Up::start(command)
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments))
    }

    /// Runs a command with `--json` that must succeed, and reads what it printed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        self.run(&all).done().json()
    }

    /// What a command of the same user shows to the economy that runs here.
    pub fn token(&self) -> String {
        let running = std::fs::read(self.file("running.json")).expect("it runs");
        let running: Value = serde_json::from_slice(&running).expect("JSON");
        running["token"].as_str().expect("a token").to_string()
    }

    /// Starts an economy.
    pub fn up(&self) -> Up {
        Up::start(self.command(&["--json", "up"]))
    }
}

/// The program without anything of the tester's own settings, models aside.
pub fn program() -> Command {
    bare(Command::new(env!("CARGO_BIN_EXE_machina")))
}

fn bare(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let models = ["MACHINA_CACHE", "MACHINA_NPM", "MACHINA_PYTHON"].contains(&name.as_str());
        if (name.starts_with("MACHINA_") && !models) || name == "NO_COLOR" || name == "COLUMNS" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run(command: Command) -> Said {
    Running::start(command).finish()
}

/// A process that is being listened to. Dropped, it is ended.
pub struct Running {
    child: Child,
    out: Ear,
    err: Ear,
}

/// What a process wrote so far, and the thread that reads it.
struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    fn at(mut stream: impl Read + Send + 'static) -> Ear {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = heard.clone();
        let thread = std::thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(bytes @ 1..) = stream.read(&mut piece) {
                ear.lock().expect("nothing panics here").extend_from_slice(&piece[..bytes]);
            }
        });
        Ear { heard, thread: Some(thread) }
    }

    fn so_far(&self) -> Vec<u8> {
        self.heard.lock().expect("nothing panics here").clone()
    }

    fn all(&mut self) -> Vec<u8> {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading does not panic");
        }
        self.so_far()
    }
}

impl Running {
    pub fn start(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let out = Ear::at(child.stdout.take().expect("asked for above"));
        let err = Ear::at(child.stderr.take().expect("asked for above"));
        Running { child, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.out.so_far()).into_owned()
    }

    /// Whether it ended already.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    /// Sends a signal, by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} was not delivered");
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Said {
        let status = self.wait();
        Said { status, out: self.out.all(), err: self.stderr_whole() }
    }

    fn stderr_whole(&mut self) -> String {
        String::from_utf8_lossy(&self.err.all()).into_owned()
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the process ends", || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it was waited for")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until something outside of this process has come about.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub out: Vec<u8>,
    pub err: String,
}

impl Said {
    pub fn text(&self) -> String {
        String::from_utf8(self.out.clone()).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.out)
            .unwrap_or_else(|e| panic!("no JSON ({e}): {}\n{}", self.shown(), self.err))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.out).chars().take(4_000).collect()
    }

    #[track_caller]
    fn ended_with(self, code: i32) -> Said {
        let (out, err) = (self.shown(), &self.err);
        assert_eq!(self.status.code(), Some(code), "stdout: {out}\nstderr: {err}");
        self
    }

    /// It did what was asked.
    #[track_caller]
    pub fn done(self) -> Said {
        self.ended_with(0)
    }

    /// It was refused or failed, and says why: the message on standard error, nothing that looks
    /// like a result on standard output, and none of the words of a crash.
    #[track_caller]
    pub fn refused(self) -> String {
        self.ended_with(1).why()
    }

    /// The call was wrong.
    #[track_caller]
    pub fn misused(self) -> String {
        self.ended_with(2).why()
    }

    #[track_caller]
    fn why(self) -> String {
        assert!(self.err.contains("error:"), "no error is told: {}", self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        assert!(!self.err.contains('\u{1b}'), "no colours in a pipe: {:?}", self.err);
        self.err
    }
}

/// An economy that runs. Dropped, it is ended at once.
pub struct Up {
    pub process: Running,
    /// What `info --json` says.
    pub info: Value,
    pub port: u16,
    pub rpc_port: u16,
}

impl Up {
    /// Starts this command, `up --json`, and waits until the economy is open.
    pub fn start(command: Command) -> Up {
        Up::try_start(command).unwrap_or_else(|said| panic!("the economy did not start: {said:?}"))
    }

    /// As [`Up::start`], or how it ended.
    pub fn try_start(command: Command) -> Result<Up, Box<Said>> {
        let mut process = Running::start(command);
        let mut info = None;
        let mut ended = false;
        until("the economy says that it is open", || {
            info = serde_json::from_slice::<Value>(&process.out.so_far()).ok();
            ended = process.has_ended();
            info.is_some() || ended
        });
        let Some(info) = info.filter(|_| !ended) else { return Err(Box::new(process.finish())) };
        let port = |key: &str| {
            let url = reqwest::Url::parse(info[key].as_str().expect("a URL")).expect("a URL");
            url.port().expect("a port")
        };
        let (port, rpc_port) = (port("url"), port("rpcUrl"));
        Ok(Up { process, port, rpc_port, info })
    }

    /// Sends a signal and waits for the end.
    pub fn end(self, signal: &str) -> Said {
        self.process.signal(signal);
        self.process.finish()
    }

    /// Asks it to end, which it does cleanly.
    pub fn stop(self) {
        self.end("TERM").done();
    }

    /// Where people and the chain's clients find it.
    pub fn ports(&self) -> (u16, u16) {
        (self.port, self.rpc_port)
    }

    /// Power loss, as far as a process can have it.
    pub fn kill(mut self) {
        self.process.child.kill().expect("it is our child");
        self.process.wait();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn get(&self, path: &str) -> Answer {
        ask(HTTP.get(self.url(path)))
    }

    /// What it costs to have a photograph classified, and where.
    pub fn counter(&self) -> String {
        self.info["offers"][0]["url"].as_str().expect("an offer has a URL").to_string()
    }

    /// One call of the chain's JSON-RPC that must succeed.
    pub fn rpc(&self, method: &str, parameters: Value) -> Value {
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let url = format!("http://127.0.0.1:{}", self.rpc_port);
        let answer = ask(HTTP.post(url).json(&call)).json();
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Number and hash of the chain's newest block, and the root of its state.
    pub fn head(&self) -> [Value; 3] {
        let head = self.rpc("eth_getBlockByNumber", json!(["latest", false]));
        ["number", "hash", "stateRoot"].map(|key| head[key].clone())
    }

    /// What the chain says that an address has, in minor units.
    pub fn on_chain(&self, address: &str) -> i128 {
        // balanceOf(address): the first four bytes of its signature's keccak-256, then the word.
        let data = format!("0x70a08231{:0>64}", address.trim_start_matches("0x"));
        let token = &self.info["token"]["address"];
        let word = self.rpc("eth_call", json!([{ "to": token, "data": data }, "latest"]));
        let digits = word.as_str().expect("a word").trim_start_matches("0x");
        i128::from_str_radix(digits, 16).expect("play money is countable")
    }

    /// Every transfer of the dollar that the chain has.
    pub fn transfers(&self) -> Vec<Moved> {
        // Transfer(address,address,uint256)
        let topic = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
        let token = &self.info["token"]["address"];
        let filter = json!([{ "fromBlock": "0x0", "address": token, "topics": [topic] }]);
        let logs = self.rpc("eth_getLogs", filter);
        let text = |v: &Value| v.as_str().expect("text").to_lowercase();
        let party = |v: &Value| format!("0x{}", &text(v)[26..]);
        let moved = |log: &Value| Moved {
            from: party(&log["topics"][1]),
            to: party(&log["topics"][2]),
            minor: i128::from_str_radix(&text(&log["data"])[2..], 16).expect("countable"),
            transaction: text(&log["transactionHash"]),
        };
        logs.as_array().expect("a list").iter().map(moved).collect()
    }
}

/// Money that moved on the chain. Addresses and hashes are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub from: String,
    pub to: String,
    pub minor: i128,
    pub transaction: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self}"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.status, self.text())
    }
}

/// A client that keeps no connection, so that none stands in the way of an end.
pub static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE);
    client.build().expect("a client without secrets")
});

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().expect("threads for clients"));

/// Asks, and reads the whole answer.
pub fn ask(request: RequestBuilder) -> Answer {
    try_ask(request).expect("an answer")
}

/// As [`ask`], of somebody who may be gone before they answer.
pub fn try_ask(request: RequestBuilder) -> Result<Answer, reqwest::Error> {
    RUNTIME.block_on(async {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answer { status, headers, body: answer.bytes().await?.to_vec() })
    })
}

/// The order that `/api/v1/pay` takes: a photograph for whoever sells at that address.
pub fn order(url: &str, picture: &[u8]) -> Value {
    json!({ "url": url, "method": "POST", "mediaType": "image/png", "body": STANDARD.encode(picture), "scheme": "exact" })
}

/// The folder of the sample photographs, which are fetched at first use.
static PHOTOGRAPHS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
    let mut command = program();
    command.args(["--json", "models", "--fetch"]);
    let models = run(command).done().json();
    let all = models.as_array().expect("a list").clone();
    let samples = all.iter().find(|m| m["name"] == "sample-photographs").expect("photographs");
    let files = samples["files"].as_array().expect("files").iter();
    files.map(|f| PathBuf::from(f["path"].as_str().expect("a path"))).collect()
});

/// A sample photograph.
pub fn photograph(name: &str) -> PathBuf {
    PHOTOGRAPHS.iter().find(|path| path.ends_with(name)).expect("a sample of that name").clone()
}

/// `@` and the path of a sample photograph, as `--data` takes it.
pub fn at_photograph(name: &str) -> String {
    format!("@{}", photograph(name).display())
}

/// An amount's minor units.
#[track_caller]
pub fn minor(amount: &Value) -> i128 {
    let text = amount["minor"].as_str().unwrap_or_else(|| panic!("{amount} is no amount"));
    text.parse().expect("whole minor units")
}

/// A party of the home, by name.
pub fn party<'a>(info: &'a Value, name: &str) -> &'a str {
    let parties = info["parties"].as_array().expect("a list");
    let found = parties.iter().find(|p| p["name"] == name).expect("a party of that name");
    found["address"].as_str().expect("an address")
}

/// What a party's line says for good, in minor units.
#[track_caller]
pub fn line(books: &Value, name: &str) -> i128 {
    let lines = books["lines"].as_array().expect("lines");
    minor(&lines.iter().find(|l| l["name"] == name).expect("a line of that name")["settled"])
}
