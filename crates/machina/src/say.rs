//! Talking to the terminal: colours by meaning, progress, and nothing of either in a pipe.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use labour::FetchProgress;

/// Sets up logging to standard error: warnings, or more if asked.
pub fn set_up(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("MACHINA_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours(std::io::stderr().is_terminal()))
        .with_target(verbose > 1)
        .init();
}

fn colours(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn painted(text: &str, code: &str) -> String {
    if colours(std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_string()
    }
}

/// Something that went wrong.
pub fn bad(text: &str) -> String {
    painted(text, "1;31")
}

/// Something that went well.
pub fn good(text: &str) -> String {
    painted(text, "32")
}

/// A heading.
pub fn strong(text: &str) -> String {
    painted(text, "1")
}

/// Something that matters less.
pub fn dim(text: &str) -> String {
    painted(text, "2")
}

/// A stranger's text for the terminal: on one line, without control and direction characters, which
/// could move the cursor or turn words around.
pub fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| if c.is_control() || turns(c) { ' ' } else { c };
    text.chars().map(shown).collect()
}

/// Shows how something comes along that a person waits for; silent for the first quarter second,
/// and where nobody looks.
pub struct Progress {
    bar: ProgressBar,
    last: Mutex<String>,
}

impl Progress {
    /// A line that says what is being done.
    pub fn start(what: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(15));
        bar.set_style(
            ProgressStyle::with_template("{spinner} {msg}").expect("the template is valid"),
        );
        bar.set_message(what.to_string());
        bar.enable_steady_tick(Duration::from_millis(250));
        Progress { bar, last: Mutex::new(String::new()) }
    }

    /// Says what is being done now.
    pub fn now(&self, what: &str) {
        self.bar.set_message(what.to_string());
    }

    /// Follows a download.
    pub fn fetching(&self, progress: FetchProgress<'_>) {
        match progress {
            FetchProgress::Waiting { name } => {
                self.now(&format!("waiting for another process that fetches {name}"));
            }
            FetchProgress::Downloading { package, version, bytes, of } => {
                let mega = |n: u64| format!("{}.{}", n / 1_000_000, n / 100_000 % 10);
                self.now(&format!(
                    "fetching {package} {version}: {} of {} MB",
                    mega(bytes.min(of)),
                    mega(of)
                ));
                // Without a terminal, one line for each package.
                let mut last = self.last.lock().expect("nothing panics under this lock");
                if !std::io::stderr().is_terminal() && *last != package {
                    eprintln!("fetching {package} {version} ({} MB)", mega(of));
                    *last = package.to_string();
                }
            }
            FetchProgress::Verified { .. } => {}
            FetchProgress::Ready { name, .. } => self.now(&format!("{name} is here")),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
