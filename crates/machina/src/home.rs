//! The home: one folder with keys, chain and books, used by one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mandates::Key;
use serde::{Deserialize, Serialize};
use settlement::Token;

use crate::failure::Failure;

/// How long to wait for a command that has the home just for its own question.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to look whether it is done.
const GLANCE: Duration = Duration::from_millis(20);

/// More texts of the outlook's record than this are not read.
const MOST_RECORDS: usize = 10_000;

/// Of the notes where a hash was put on a chain no more is read than this, bytes.
const LONGEST_NOTES: u64 = 16_384;

/// The folder of an economy.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// How a running economy is reached; kept in its home, readable by its user alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Where people, market and facilitator are.
    pub port: u16,
    /// The process.
    pub pid: u32,
    /// What a command of the same user shows to be let in.
    pub token: String,
}

/// The home, held by this process.
pub struct Held {
    home: Home,
    _lock: File,
}

impl Home {
    /// The folder that was named, or the usual one.
    ///
    /// # Errors
    /// If none was named and the system knows no user folder.
    pub fn find(named: Option<PathBuf>) -> Result<Home, Failure> {
        let folder = named
            .or_else(|| {
                std::env::var_os("XDG_DATA_HOME")
                    .filter(|d| !d.is_empty())
                    .map(|d| PathBuf::from(d).join("machina"))
            })
            .or_else(|| {
                std::env::var_os("HOME")
                    .filter(|d| !d.is_empty())
                    .map(|d| PathBuf::from(d).join(".local/share/machina"))
            })
            .ok_or_else(|| {
                Failure::misuse("there is no home for the economy's keys and books")
                    .hint("name a folder with `--home DIR` or MACHINA_HOME")
            })?;
        Ok(Home(folder))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The texts of the outlook's record: the name of each, and what is in it.
    ///
    /// # Errors
    /// If the folder is there and cannot be read.
    pub fn outlook_texts(&self) -> Result<Vec<(String, String)>, Failure> {
        let folder = self.file("outlook");
        let wrong = |e: std::io::Error| {
            Failure::new(format!("the record in {} cannot be read: {e}", folder.display()))
        };
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(wrong(e)),
        };
        let mut texts = Vec::new();
        for entry in entries.take(MOST_RECORDS) {
            let path = entry.map_err(wrong)?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if let Some(name) = name.strip_suffix(".txt") {
                // Whatever lies there: a text that is too long, or is none, has another hash than its name.
                let mut bytes = Vec::new();
                let most = outlook::record::LONGEST as u64 + 1;
                let file = File::open(&path).map_err(wrong)?;
                file.take(most).read_to_end(&mut bytes).map_err(wrong)?;
                texts.push((name.to_string(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
        texts.sort();
        Ok(texts)
    }

    /// Keeps a text of the outlook's record under its hash. The same text again changes nothing.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep_outlook(&self, hash: &str, text: &str) -> Result<PathBuf, Failure> {
        let folder = self.file("outlook");
        let path = folder.join(format!("{hash}.txt"));
        create_private(&self.0)
            .and_then(|()| create_private(&folder))
            .and_then(|()| write_private(&path, text.as_bytes()))
            .map_err(|e| {
                Failure::new(format!("the record cannot be kept in {}: {e}", folder.display()))
                    .hint("name another folder with `--home DIR`")
            })?;
        Ok(path)
    }

    /// Where a hash of the record was put on a chain: transactions and blocks, the first first. What stands
    /// there was written when the chain took it; the chain itself says whether it has it.
    pub fn outlook_notes(&self, hash: &str) -> Vec<(String, u64)> {
        let mut text = String::new();
        let read = File::open(self.file("outlook").join(format!("{hash}.chain")))
            .and_then(|file| file.take(LONGEST_NOTES).read_to_string(&mut text));
        let line = |line: &str| {
            let (transaction, block) = line.split_once(' ')?;
            Some((transaction.to_string(), block.parse().ok()?))
        };
        if read.is_ok() { text.lines().filter_map(line).collect() } else { Vec::new() }
    }

    /// Notes where a hash of the record was put on a chain, after what was noted before.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn note_outlook(&self, hash: &str, transaction: &str, block: u64) -> Result<(), Failure> {
        let path = self.file("outlook").join(format!("{hash}.chain"));
        let mut notes = self.outlook_notes(hash);
        notes.push((transaction.to_string(), block));
        let text: String = notes.iter().map(|(tx, block)| format!("{tx} {block}\n")).collect();
        write_private(&path, text.as_bytes()).map_err(|e| {
            Failure::new(format!(
                "the hash is on the chain by transaction {transaction}, and {} cannot be written: {e}",
                path.display()
            ))
            .hint("keep that transaction's hash: it is the proof")
        })
    }

    /// Takes the home for this process, making it if it is new. Waits a moment for a command that
    /// only asks something, not for an economy that runs.
    ///
    /// # Errors
    /// If the folder cannot be written, or another process has it.
    pub fn hold(&self) -> Result<Held, Failure> {
        let wrong = |e: std::io::Error| {
            Failure::new(format!("the home {} cannot be used: {e}", self.0.display()))
                .hint("name another folder with `--home DIR`")
        };
        create_private(&self.0).map_err(wrong)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.file("lock"))
            .map_err(wrong)?;
        let mut taken = lock.try_lock();
        let mut patience = PATIENCE;
        while matches!(taken, Err(TryLockError::WouldBlock))
            && self.running().is_none()
            && !patience.is_zero()
        {
            std::thread::sleep(GLANCE);
            patience = patience.saturating_sub(GLANCE);
            taken = lock.try_lock();
        }
        match taken {
            Ok(()) => {
                // Of a process that was killed: its port and its token are nobody's now.
                let _ = fs::remove_file(self.file("running.json"));
                Ok(Held { home: self.clone(), _lock: lock })
            }
            Err(TryLockError::WouldBlock) => {
                let who = self
                    .running()
                    .map(|r| format!(" (process {}, http://localhost:{})", r.pid, r.port))
                    .unwrap_or_default();
                Err(Failure::new(format!(
                    "the home {} is in use by another process{who}",
                    self.0.display()
                ))
                .hint("stop it first, or use another home with `--home DIR`"))
            }
            Err(TryLockError::Error(error)) => Err(wrong(error)),
        }
    }

    /// Whether some process has the home now, without making anything.
    pub fn is_held(&self) -> bool {
        File::options()
            .write(true)
            .open(self.file("lock"))
            .is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// How the economy that runs here is reached, once it said so; `None` if none runs.
    ///
    /// # Errors
    /// If a process has the home for long and does not say how it is reached.
    pub fn reach(&self) -> Result<Option<Running>, Failure> {
        let mut patience = PATIENCE;
        while self.is_held() {
            if let Some(running) = self.running() {
                return Ok(Some(running));
            }
            if patience.is_zero() {
                return Err(Failure::new(format!(
                    "the home {} is in use by a process that is starting or ending",
                    self.0.display()
                ))
                .hint("try again in a moment, or use another home with `--home DIR`"));
            }
            std::thread::sleep(GLANCE);
            patience = patience.saturating_sub(GLANCE);
        }
        Ok(None)
    }

    /// How the economy that runs here is reached, if it said so.
    pub fn running(&self) -> Option<Running> {
        let text = fs::read(self.file("running.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

impl Held {
    /// A party's key, made at its first use.
    ///
    /// # Errors
    /// If the file cannot be read or written, or others may read it.
    pub fn key(&self, name: &str) -> Result<Key, Failure> {
        let path = self.home.file("keys").join(format!("{name}.key"));
        create_private(&self.home.file("keys"))
            .map_err(|e| Failure::new(format!("the keys' folder cannot be made: {e}")))?;
        let mut secret = [0; 32];
        random(&mut secret)?;
        Ok(Key::load_or_create(&path, || secret)?)
    }

    /// Which home this is.
    pub fn home(&self) -> Home {
        self.home.clone()
    }

    /// Where the embedded chain keeps its blocks.
    pub fn chain_folder(&self) -> PathBuf {
        self.home.file("chain")
    }

    /// The books of the trade in one token: two tokens, or two chains, are two sets of books. The
    /// embedded chain has only one, and a node that claims its id must not open its books.
    pub fn books_file(&self, token: &Token, embedded: bool) -> PathBuf {
        let Token { chain_id, address, .. } = token;
        self.home.file(&if embedded {
            format!("books-{chain_id}.sqlite")
        } else {
            format!("books-{chain_id}-{address}.sqlite")
        })
    }

    /// What the facilitator lists, beside the books of the same trade.
    pub fn catalogue_file(&self, books: &Path) -> PathBuf {
        books.with_extension("catalogue.jsonl")
    }

    /// Says how this process is reached.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn announce(&self, port: u16) -> Result<Running, Failure> {
        let mut secret = [0; 32];
        random(&mut secret)?;
        let running = Running { port, pid: std::process::id(), token: hex::encode(secret) };
        let text = serde_json::to_vec_pretty(&running).expect("plain data");
        write_private(&self.home.file("running.json"), &text).map_err(|e| {
            Failure::new(format!("the home {} cannot be written: {e}", self.home.0.display()))
        })?;
        Ok(running)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever reads it now finds the lock free; a left-over would only confuse people.
        let _ = fs::remove_file(self.home.file("running.json"));
    }
}

/// 32 random bytes.
///
/// # Panics
/// If the system gives none; it gave some at the start, when the keys were read or made.
pub fn entropy() -> [u8; 32] {
    let mut bytes = [0; 32];
    random(&mut bytes).expect("the system gave random numbers at the start");
    bytes
}

/// Fills bytes from the system's random numbers.
///
/// # Errors
/// If the system has none.
pub fn random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes)
        .map_err(|e| Failure::new(format!("the system gives no random numbers: {e}")))
}

fn create_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)?;
    // It may have been there before, open to others: books and photographs are nobody else's.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(folder)?.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
    }
    Ok(())
}

fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("draft");
    let _ = fs::remove_file(&draft);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(draft, path)
}
