//! A real Chromium, driven over its DevTools pipe.
//!
//! With `--remote-debugging-pipe` the browser reads commands from descriptor 3 and writes answers
//! and events to descriptor 4: JSON, each ended by a zero byte. A shell puts our two pipes there,
//! so no port is opened, none can be taken, and no client library is compiled.
//!
//! Every wait ends: a command that is not answered within [`PATIENCE`] fails the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 14] = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
];

/// Where Chromium is: `CHROMIUM`, or the first of its names on the path.
fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|file| file.is_file())
        .expect(
            "no Chromium on this machine: apt-get install chromium, or set CHROMIUM to its path",
        )
}

/// A browser with one page.
pub struct Chromium {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    number: u64,
    /// Whether the page that was last opened is loaded, pictures and all.
    loaded: bool,
    /// What the page complained of, until [`Chromium::complaints`] takes it.
    complaints: Vec<String>,
    /// Every address that the page asked for.
    pub asked: Vec<String>,
    _profile: TempDir,
}

impl Chromium {
    pub fn start() -> Chromium {
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#, "sh"])
            .arg(program())
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell that starts the browser");
        let commands = child.stdin.take().expect("asked for above");
        let messages = listen(child.stdout.take().expect("asked for above"));
        let mut browser = Chromium {
            child,
            commands,
            messages,
            session: String::new(),
            number: 0,
            loaded: false,
            complaints: Vec::new(),
            asked: Vec::new(),
            _profile: profile,
        };
        let target = browser.command("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.command(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().expect("a session has an id").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.command(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Sends a command and waits for its answer, keeping what the page says meanwhile.
    pub fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser listens");
        loop {
            let message = self.receive(method);
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
        }
    }

    /// The browser's next message, noted.
    fn receive(&mut self, why: &str) -> Value {
        let message = self
            .messages
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("the browser did not answer {why} within {PATIENCE:?}"));
        self.note(&message);
        message
    }

    fn note(&mut self, event: &Value) {
        let facts = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => {
                self.complaints.push(facts["exceptionDetails"].to_string())
            }
            "Runtime.consoleAPICalled" => self.complaints.push(facts["args"].to_string()),
            "Log.entryAdded" => self.complaints.push(facts["entry"].to_string()),
            "Page.loadEventFired" => self.loaded = true,
            "Network.requestWillBeSent" => {
                self.asked.extend(facts["request"]["url"].as_str().map(str::to_owned));
            }
            _ => {}
        }
    }

    /// What the page logged, threw or was refused since this was last asked.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Opens an address and waits until everything on it is loaded.
    pub fn open(&mut self, url: &str) {
        self.loaded = false;
        let loader = self.command("Page.navigate", json!({ "url": url }));
        assert!(loader["errorText"].is_null(), "{url}: {}", loader["errorText"]);
        while !self.loaded {
            self.receive(url);
        }
    }

    /// Presses a button that leads to another page, and waits until that is loaded.
    #[allow(dead_code, reason = "not every test that drives a browser sends a form")]
    pub fn submit(&mut self, button: &str) {
        self.loaded = false;
        self.evaluate(&format!("{button}.click()"));
        while !self.loaded {
            self.receive(button);
        }
    }

    /// Sets the window's size in CSS pixels, and the theme.
    pub fn dress(&mut self, width: u32, theme: &str) {
        self.command(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500 }),
        );
        self.command(
            "Emulation.setEmulatedMedia",
            json!({ "features": [
                { "name": "prefers-color-scheme", "value": theme },
                { "name": "prefers-reduced-motion", "value": "reduce" },
            ] }),
        );
    }

    /// The value of an expression, awaited.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let answer = self.command(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits, in the page, until a condition holds.
    pub fn wait(&mut self, condition: &str) {
        let patience = PATIENCE.as_millis() / 2;
        let held = self.evaluate(&format!(
            "new Promise((done) => {{
                const start = performance.now();
                const look = () => ({condition}) ? done(true)
                    : performance.now() - start > {patience} ? done(false) : setTimeout(look, 10);
                look();
            }})"
        ));
        assert_eq!(held, true, "never came true: {condition}");
    }

    /// Keeps a picture of the whole page.
    pub fn screenshot(&mut self, file: &Path) {
        let shot = self.command(
            "Page.captureScreenshot",
            json!({ "format": "png", "captureBeyondViewport": true }),
        );
        let text = shot["data"].as_str().expect("a screenshot is text");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
        std::fs::write(file, bytes).expect("room for a screenshot");
    }
}

impl Drop for Chromium {
    /// Asks the browser to end, so that nothing of it still writes into the profile when that is
    /// removed; one that does not is ended.
    fn drop(&mut self) {
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        // Its end closes the pipe, and with that the channel.
        while self.messages.recv_timeout(Duration::from_secs(5)).is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(answers: impl Read + Send + 'static) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(answers).split(0) {
            let Ok(message) = message else { return };
            let value = serde_json::from_slice(&message).expect("the browser speaks JSON");
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    receiver
}
