//! `machina up`: an economy that runs until Ctrl-C.

use std::path::PathBuf;
use std::sync::Arc;

use labour::{Cache, VisionWorker};

use crate::assembly::Assembly;
use crate::assembly::server::{Doors, Open};
use crate::cli::{Arguments, Command, Up};
use crate::failure::Failure;
use crate::home::Home;
use crate::say::{self, Progress};

pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let open = start(arguments).await?;
    // Before the first line: whoever reads it may stop us at once.
    let told = until_told_to_stop();
    let info = open.assembly().info(true);
    if arguments.json {
        super::print(true, &info, String::new)?;
    } else {
        super::say(&format!(
            "{}\nopen {} in a browser; Ctrl-C stops the economy\nwhat only you decide: {}\n",
            info.text(),
            say::strong(&info.url),
            open.person_link()
        ))?;
    }
    told.await;
    eprintln!("{}", say::dim("closing: open requests end, books and chain are kept"));
    open.close().await;
    Ok(())
}

/// Starts the economy of the home: doors first, then the machine's model, then everything else.
///
/// # Errors
/// Which part did not start, and what to do.
pub async fn start(arguments: &Arguments) -> Result<Open, Failure> {
    let model = model(arguments)?;
    let held = Home::find(arguments.home.clone())?.hold()?;
    let doors = Doors::take(&arguments.place).await?;
    let worker = load_vision().await?;
    let mut place = arguments.place.clone();
    place.model = model;
    let (port, rpc_port) = doors.ports();
    place.port = port;
    place.rpc_port = rpc_port.unwrap_or(place.rpc_port);
    let running = held.announce(port)?;
    let progress = Progress::start("opening chain and books");
    let assembly = Assembly::open(held, place, Some(worker)).await?;
    assembly.register_machines().await;
    drop(progress);
    Ok(doors.open(assembly, &running))
}

/// The file that the language machine is to speak with, if it is one.
fn model(arguments: &Arguments) -> Result<Option<PathBuf>, Failure> {
    let Command::Up(Up { model: Some(file) }) = &arguments.command else { return Ok(None) };
    if !file.is_file() {
        let said = format!("the model {} is no file", file.display());
        return Err(Failure::misuse(said).hint("give the path of a GGUF file"));
    }
    Ok(Some(file.clone()))
}

async fn load_vision() -> Result<Arc<VisionWorker>, Failure> {
    let load = tokio::task::spawn_blocking(|| {
        let progress = Progress::start("looking for the vision machine's model");
        let cache = Cache::from_env()?;
        VisionWorker::load_with(&cache, &|p| progress.fetching(p))
    });
    Ok(Arc::new(load.await.map_err(Failure::new)??))
}

/// Ends with Ctrl-C, or the polite signal of whoever runs us. Both are listened for from the call on,
/// not from the first wait.
pub(super) fn until_told_to_stop() -> impl Future<Output = ()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (interrupted, terminated) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        async move {
            let heard = async |signal: std::io::Result<tokio::signal::unix::Signal>| match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(_) => std::future::pending().await,
            };
            tokio::select! {
                () = heard(interrupted) => {}
                () = heard(terminated) => {}
            }
        }
    }
    #[cfg(not(unix))]
    async {
        let _ = tokio::signal::ctrl_c().await;
    }
}
