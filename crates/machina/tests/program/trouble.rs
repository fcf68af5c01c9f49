//! Trouble of every day: ports and homes that are taken, models that are missing, files that others
//! touched. Each is told with what it is about and what to do, and nothing is made worse.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{Home, Running, at_photograph, line, minor, program, run};

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_chooses_another() {
    let home = Home::new();
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    for (flag, other) in [("--port", "--rpc-port"), ("--rpc-port", "--port")] {
        let mut command = program();
        command.arg("--home").arg(home.path()).args([flag, &port, other, "0", "up"]);
        let why = run(command).refused();
        assert!(why.contains(&format!("port {port} is in use")), "{why}");
        assert!(why.contains(&format!("`{flag} PORT`")), "{why}");
    }
    // The home is free again.
    home.up().stop();
}

#[test]
fn a_home_that_is_taken_is_told_with_who_has_it() {
    let home = Home::new();
    let up = home.up();
    let why = home.run(&["up"]).refused();
    for told in [
        format!("process {}", up.process.id()),
        format!("http://localhost:{}", up.port),
        "--home DIR".to_string(),
    ] {
        assert!(why.contains(&told), "{told}: {why}");
    }
    assert!(home.file("running.json").exists(), "the one that runs is still reached");
    assert_eq!(home.json(&["info"])["running"], true);
    up.stop();

    // Something that has it and says nothing is waited for a little, and then told.
    let lock = File::options().write(true).open(home.file("lock")).expect("it was made");
    lock.lock().expect("nobody has it");
    for command in ["books", "up"] {
        let why = home.run(&[command]).refused();
        assert!(why.contains("is in use by"), "{why}");
    }
    lock.unlock().expect("it is ours");
    home.run(&["books"]).done();
}

#[test]
fn commands_that_come_at_once_wait_for_each_other() {
    let home = Home::new();
    home.run(&["info"]).done();
    let crowd: Vec<_> = (0..12).map(|_| Running::start(home.command(&["books"]))).collect();
    for command in crowd {
        command.finish().done();
    }
    // An economy that starts among them, too.
    let crowd: Vec<_> = (0..6).map(|_| Running::start(home.command(&["info"]))).collect();
    let up = home.up();
    for command in crowd {
        command.finish().done();
    }
    up.stop();
}

#[test]
fn a_missing_model_that_cannot_be_fetched_is_told_with_what_is_needed() {
    let home = Home::new();
    let cache = tempfile::tempdir().expect("room");
    let without = |python: &str, command: &str| {
        let mut command = home.command(&[command]);
        command.env("MACHINA_CACHE", cache.path()).env("MACHINA_PYTHON", python);
        run(command)
    };
    for command in ["up", "demo"] {
        let why = without("/nonexistent/python", command).refused();
        assert!(why.contains("/nonexistent/python"), "{why}");
        assert!(why.contains("Python 3 with pip") && why.contains("MACHINA_PYTHON"), "{why}");
    }
    // An interpreter that does nothing useful.
    let why = without("/bin/false", "up").refused();
    assert!(why.contains("/bin/false") || why.contains("pip"), "{why}");
    // What needs no model works.
    for command in ["info", "books", "economy", "models"] {
        without("/nonexistent/python", command).done();
    }
    let text = without("/nonexistent/python", "models").text();
    assert!(text.contains("not here"), "{text}");
}

#[test]
fn a_damaged_model_is_never_used() {
    let home = Home::new();
    let cache = tempfile::tempdir().expect("room");
    let mut fetch = program();
    fetch.args(["models", "--json"]);
    // Of all models, those that the economy starts with.
    let needed = ["efficientnet-lite0", "imagenet-classes", "onnxruntime"];
    for model in run(fetch).done().json().as_array().expect("models") {
        if !needed.iter().any(|name| model["name"] == *name) {
            continue;
        }
        for file in model["files"].as_array().expect("files") {
            let path = Path::new(file["path"].as_str().expect("a path"));
            let root = path.ancestors().find(|p| p.ends_with("models")).expect("within the cache");
            let copy = cache.path().join("models").join(path.strip_prefix(root).expect("within"));
            fs::create_dir_all(copy.parent().expect("a folder")).expect("room");
            fs::copy(path, &copy).expect("it is here, as other tests fetched it");
            if copy.extension().is_some_and(|e| e == "pth") {
                flip(&copy, fs::metadata(&copy).expect("it is here").len() / 2);
            }
        }
    }
    let mut command = home.command(&["up"]);
    command.env("MACHINA_CACHE", cache.path()).env("MACHINA_PYTHON", "/nonexistent/python");
    let why = run(command).refused();
    assert!(why.contains("efficientnet"), "{why}");
}

#[test]
fn a_key_that_others_may_read_or_that_is_none_is_refused_and_not_shown() {
    let home = Home::new();
    home.run(&["info"]).done();
    let key = home.file("keys/shopper.key");
    let secret = fs::read_to_string(&key).expect("it was made");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let why = home.run(&["books"]).refused();
    assert!(why.contains("shopper.key") && why.contains("chmod 600"), "{why}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("it is ours");

    for wrong in ["", "not hexadecimal", &secret[..40], &"0".repeat(64), &"f".repeat(64)] {
        fs::write(&key, wrong).expect("it is ours");
        let why = home.run(&["up"]).refused();
        assert!(why.contains("shopper.key"), "{why}");
        assert!(wrong.len() < 10 || !why.contains(wrong), "a key is not repeated: {why}");
        assert_eq!(fs::read_to_string(&key).expect("it is there"), wrong, "and not replaced");
    }
    fs::write(&key, &secret).expect("it is ours");
    home.run(&["books"]).done();
    let said = home.run(&["-vv", "--json", "info"]).done();
    assert!(!said.text().contains(secret.trim()) && !said.err.contains(secret.trim()));
}

/// Turns one byte of a file around.
fn flip(file: &Path, at: u64) {
    let mut bytes = fs::read(file).expect("it is there");
    bytes[usize::try_from(at).expect("a small file")] ^= 0x40;
    fs::write(file, bytes).expect("it is ours");
}

/// A home with a few trades, asleep, and what its books say.
fn traded() -> (Home, Value) {
    let home = Home::new();
    home.run(&["demo"]).done();
    let books = home.json(&["books", "--entries", "100"]);
    (home, books)
}

/// A damaged file leads to a refusal that names it, or to books that are what they were, or to the
/// alarm that books and chain differ; never to other books in silence.
fn damage_is_told(home: &Home, file: &Path, at: u64, books: &Value) -> &'static str {
    let sound = fs::read(file).expect("it is there");
    flip(file, at);
    let damaged = fs::read(file).expect("it is there");
    let said = home.run(&["--json", "books", "--entries", "100"]);
    let outcome = if said.status.success() {
        let economy = home.json(&["economy"]);
        match economy["books"]["state"].as_str() {
            Some("equal") => {
                assert_eq!(&said.json(), books, "byte {at} changed the books in silence");
                "harmless"
            }
            Some("differ") => "alarm",
            other => panic!("byte {at}: {other:?}"),
        }
    } else {
        assert_eq!(said.status.code(), Some(1), "byte {at}: {}", said.err);
        let error = &said.json()["error"];
        assert!(error["message"].as_str().is_some_and(|m| !m.contains("panicked")), "{error}");
        assert!(!said.err.contains("panicked"), "byte {at}: {}", said.err);
        assert_eq!(fs::read(file).expect("it is there"), damaged, "what is damaged is left alone");
        "refused"
    };
    fs::write(file, sound).expect("it is ours");
    outcome
}

#[test]
fn a_damaged_chain_is_never_another_chain_in_silence() {
    let (home, books) = traded();
    let log = home.file("chain/blocks.log");
    let length = fs::metadata(&log).expect("it is there").len();
    let mut outcomes: Vec<_> =
        (0..length).step_by(463).map(|at| damage_is_told(&home, &log, at, &books)).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    assert!(outcomes.contains(&"refused"), "{outcomes:?}");
    assert!(!outcomes.contains(&"harmless"), "every byte of the chain matters: {outcomes:?}");
    assert_eq!(home.json(&["books", "--entries", "100"]), books, "whole again");
}

#[test]
fn damaged_books_are_never_other_books_in_silence() {
    let (home, books) = traded();
    let file = home.file("books-402402.sqlite");
    let length = fs::metadata(&file).expect("it is there").len();
    let mut outcomes: Vec<_> = (0..40)
        .map(|n| {
            damage_is_told(&home, &file, if n < 12 { n * 9 } else { n * length / 40 + 17 }, &books)
        })
        .collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    assert!(outcomes.contains(&"refused"), "{outcomes:?}");
    assert!(!outcomes.contains(&"alarm"), "{outcomes:?}");

    let sound = fs::read(&file).expect("it is there");
    fs::write(&file, b"this is a diary, not a ledger; it is long enough to look at".repeat(99))
        .expect("ours");
    let why = home.run(&["books"]).refused();
    assert!(why.contains("books-402402.sqlite"), "{why}");
    fs::write(&file, sound).expect("ours");
    assert_eq!(home.json(&["books", "--entries", "100"]), books, "whole again");
}

#[test]
fn a_chain_that_lost_its_last_block_is_an_alarm_and_not_plugged() {
    let (home, before) = traded();
    let log = home.file("chain/blocks.log");
    let length = fs::metadata(&log).expect("it is there").len();
    File::options().write(true).open(&log).and_then(|f| f.set_len(length - 1)).expect("ours");
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "differ");
    let detail = economy["books"]["detail"].to_string();
    assert!(detail.contains("shopper: the books say 4.94 MUSD, the chain 4.95 MUSD"), "{detail}");
    assert!(detail.contains("vision"), "{detail}");
    let text = home.run(&["economy"]).done().text();
    assert!(text.contains("BOOKS AND CHAIN DIFFER"), "{text}");
    assert_eq!(home.json(&["books", "--entries", "100"]), before, "the books stay as they were");
}

#[test]
fn lost_books_are_written_again_from_the_chain() {
    let (home, _) = traded();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.file(&format!("books-402402.sqlite{end}")));
    }
    let economy = home.json(&["economy"]);
    assert_eq!(economy["books"]["state"], "equal");
    let books = home.json(&["books"]);
    for (name, cash) in [("shopper", 4_940_000), ("vision", 60_000)] {
        let books = books.as_array().expect("books").iter().find(|b| b["party"]["name"] == name);
        assert_eq!(line(books.expect("it lives here"), "cash"), cash, "{name}");
    }
    // No second gift for a shopper who has money.
    assert_eq!(minor(&economy["headline"]["moneyStock"]), 5_000_000);
}

#[test]
fn a_home_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().expect("room");
    let file = folder.path().join("file");
    fs::write(&file, "no folder").expect("room");
    for path in [file.join("home"), file.clone(), "/proc/no/such/home".into()] {
        let home = Home::at(path.clone());
        let why = home.run(&["info"]).refused();
        assert!(why.contains(&path.display().to_string()) && why.contains("--home DIR"), "{why}");
    }
    // A disk that may be read only; who may not mount one is refused by the folder's rights.
    let home = Home::new();
    home.run(&["demo"]).done();
    let path = home.path().display().to_string();
    let mount = format!(
        "mount --bind '{path}' '{path}' && mount -o remount,bind,ro '{path}' && exec \"$@\""
    );
    let may =
        Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|o| o.status.success());
    for command in ["books", "up", "demo"] {
        let said = if may {
            let mut unshare = Command::new("unshare");
            unshare.args(["-m", "sh", "-c", &mount, "sh", env!("CARGO_BIN_EXE_machina")]);
            unshare.args(["--home", &path, "--port", "0", "--rpc-port", "0", command]);
            run(unshare)
        } else {
            fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).expect("ours");
            let locked = fs::set_permissions(home.file("lock"), fs::Permissions::from_mode(0o400));
            locked.expect("ours");
            home.run(&[command])
        };
        let why = said.refused();
        assert!(why.contains(&path), "{why}");
    }
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).expect("ours");
    fs::set_permissions(home.file("lock"), fs::Permissions::from_mode(0o600)).expect("ours");
    assert_eq!(home.json(&["economy"])["books"]["state"], "equal");
}

#[test]
fn a_broken_pipe_is_no_crash() {
    let (home, _) = traded();
    let call = format!(
        "'{}' --home '{}' --json books | head -c 10; '{}' --home '{}' pay x --data {} 2>&1 | head -c 1",
        env!("CARGO_BIN_EXE_machina"),
        home.path().display(),
        env!("CARGO_BIN_EXE_machina"),
        home.path().display(),
        at_photograph("coffee.png"),
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &call]);
    let said = run(shell).done();
    assert_eq!(said.err, "");
}
