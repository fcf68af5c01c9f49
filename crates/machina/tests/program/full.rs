//! A full disk: the economy says so, refuses, loses nothing, and goes on once there is room.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::reckoning::{check, check_channels};
use crate::support::{Home, Running, Up, at_photograph, until};

/// How long a purchase may wait for room before some is made.
const A_WHILE: Duration = Duration::from_secs(2);

/// A disk of a few megabytes, in a namespace of its own that ends with the process that holds it.
/// `None` where this user may not mount.
struct SmallDisk {
    holder: Child,
    folder: TempDir,
}

impl SmallDisk {
    fn of(megabytes: u32) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().expect("room");
        let at = folder.path().display();
        let mount =
            format!("mount -t tmpfs -o size={megabytes}m none '{at}' && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &mount])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut said = [0; 6];
        let mut out = holder.stdout.take().expect("asked for above");
        let ready = std::io::Read::read_exact(&mut out, &mut said).is_ok();
        let disk = SmallDisk { holder, folder };
        ready.then_some(disk)
    }

    fn home(&self) -> Home {
        Home::inside(self.holder.id(), self.folder.path().join("home"))
    }

    fn ballast(&self) -> PathBuf {
        let at = self.folder.path().display();
        format!("/proc/{}/root{at}/ballast", self.holder.id()).into()
    }

    /// Fills the disk but for so many bytes.
    fn fill(&self, but: u64) {
        let mut file = File::create(self.ballast()).expect("a name costs little");
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().expect("it is ours").len();
        file.set_len(length.saturating_sub(but)).expect("it is ours");
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("it is ours");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn buy(home: &Home, up: &Up) -> Running {
    buy_by(home, up, "exact")
}

fn buy_by(home: &Home, up: &Up, scheme: &str) -> Running {
    let picture = at_photograph("coffee.png");
    let order = ["--json", "pay", &up.counter(), "-d", &picture, "--scheme", scheme];
    Running::start(home.command(&order))
}

/// The end of a purchase: what was paid, if it was acknowledged.
fn paid(purchase: Running) -> Option<Value> {
    let said = purchase.finish();
    let report = said.json();
    assert!(!said.err.contains("panicked"), "{}", said.err);
    if said.status.success() {
        return Some(report["paid"].clone());
    }
    assert_eq!(said.status.code(), Some(1), "{report}");
    assert!(report["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{report}");
    None
}

#[test]
fn a_disk_that_fills_at_any_step_of_a_payment_loses_none() {
    let Some(disk) = SmallDisk::of(48) else {
        println!(
            "not run: this user may not mount a small disk; the next test limits files instead"
        );
        return;
    };
    let home = disk.home();
    home.run(&["grant", "5"]).done();
    let up = home.up();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for room in [0, 4, 8, 16, 64, 200, 500, 700, 1_000, 1_500] {
        disk.fill(room * 1024);
        let mut purchase = buy(&home, &up);
        let since = Instant::now();
        until("the purchase ends, or there is room again", || {
            purchase.has_ended() || since.elapsed() > A_WHILE
        });
        disk.free();
        match paid(purchase) {
            Some(report) => acknowledged.push(report),
            None => refused += 1,
        }
    }
    assert!(refused > 0, "the disk was never full");
    disk.fill(0);
    let why = buy(&home, &up).finish();
    let why = why.json()["error"]["message"].to_string();
    assert!(why.contains("full") && why.contains("space"), "{why}");
    // Who only looks is served all the same.
    home.run(&["books"]).done();
    assert_eq!(up.get("/").status, 200);
    disk.free();
    // There is room again: no restart was needed.
    acknowledged.extend(paid(buy(&home, &up)));
    up.stop();
    let up = home.up();
    println!("{} acknowledged, {refused} refused", acknowledged.len());
    check(&home, &up, &acknowledged);
    up.stop();
}

#[test]
fn a_disk_that_fills_under_a_channel_loses_no_voucher() {
    let Some(disk) = SmallDisk::of(48) else {
        println!("not run: this user may not mount a small disk");
        return;
    };
    let home = disk.home();
    home.run(&["grant", "5"]).done();
    let up = home.up();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    // The first with room opens the channel; the amounts of room fail at some step of each.
    for room in [4_000, 0, 4, 8, 16, 64, 200, 4_000, 500, 700] {
        disk.fill(room * 1024);
        let mut purchase = buy_by(&home, &up, "batch-settlement");
        let since = Instant::now();
        until("the purchase ends, or there is room again", || {
            purchase.has_ended() || since.elapsed() > A_WHILE
        });
        disk.free();
        match paid(purchase) {
            Some(report) => acknowledged.push(report),
            None => refused += 1,
        }
    }
    assert!(refused > 0 && acknowledged.len() > 1, "{refused} refused");
    acknowledged.extend(paid(buy_by(&home, &up, "batch-settlement")));
    up.stop();
    let up = home.up();
    println!("{} acknowledged, {refused} refused", acknowledged.len());
    check_channels(&home, &up, &acknowledged);
    up.stop();
}

#[test]
fn files_that_may_not_grow_stop_trade_and_lose_nothing() {
    let home = Home::new();
    home.run(&["grant", "5"]).done();
    let mut command = Command::new("sh");
    // A write beyond the limit then fails, as on a full disk, instead of ending the process.
    command.args(["-c", "trap '' XFSZ; ulimit -f 6000; exec \"$@\"", "sh"]);
    command.arg(env!("CARGO_BIN_EXE_machina")).arg("--home").arg(home.path());
    command.args(["--port", "0", "--rpc-port", "0", "--json", "up"]);
    let up = Up::start(command);
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for _ in 0..60 {
        match paid(buy(&home, &up)) {
            Some(report) => acknowledged.push(report),
            None => refused += 1,
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the limit was never met in {} payments", acknowledged.len());
    home.run(&["books"]).done();
    up.end("TERM").done();
    let up = home.up();
    println!("{} acknowledged", acknowledged.len());
    check(&home, &up, &acknowledged);
    acknowledged.extend(paid(buy(&home, &up)));
    check(&home, &up, &acknowledged);
    up.stop();
}
