//! `machina sell`: puts a service that runs elsewhere behind the gate, until Ctrl-C.

use crate::access::Client;
use crate::assembly::Assembly;
use crate::assembly::server::Doors;
use crate::cli::{Arguments, Sell};
use crate::failure::Failure;
use crate::home::Home;
use crate::report::{StallOrder, StallReport};
use crate::say;

pub async fn run(arguments: &Arguments, sell: &Sell) -> Result<(), Failure> {
    let order = order(sell)?;
    let home = Home::find(arguments.home.clone())?;
    match Client::of(&home)? {
        Some(client) => {
            let stall = client.open_stall(&order).await?;
            let told_to_stop = super::up::until_told_to_stop();
            tell(arguments, &stall)?;
            told_to_stop.await;
            client.close_stall(&stall.name).await?;
        }
        None => alone(arguments, &home, &order).await?,
    }
    eprintln!("{}", say::dim("the stall is closed; what it earned is in `machina books seller`"));
    Ok(())
}

/// No economy runs in the home: this process opens it, with the stall.
async fn alone(arguments: &Arguments, home: &Home, order: &StallOrder) -> Result<(), Failure> {
    let held = home.hold()?;
    let doors = Doors::take(&arguments.place).await?;
    let mut place = arguments.place.clone();
    let (port, rpc_port) = doors.ports();
    place.port = port;
    place.rpc_port = rpc_port.unwrap_or(place.rpc_port);
    let running = held.announce(port)?;
    let assembly = Assembly::open(held, place, None).await?;
    let stall = match assembly.open_stall(order).await {
        Ok(stall) => stall,
        Err(failure) => {
            assembly.close().await;
            return Err(failure);
        }
    };
    let open = doors.open(assembly, &running);
    let told_to_stop = super::up::until_told_to_stop();
    let told = tell(arguments, &stall);
    if told.is_ok() {
        told_to_stop.await;
    }
    open.close().await;
    told
}

/// The order that the command line describes.
///
/// # Errors
/// If a file cannot be read.
fn order(sell: &Sell) -> Result<StallOrder, Failure> {
    let read = |path: &std::path::Path| {
        let wrong = |e| Failure::misuse(format!("{} cannot be read: {e}", path.display()));
        let file = std::fs::File::open(path).map_err(wrong)?;
        let mut text = String::new();
        let bound = payments::proxy::MAX_TEXT as u64 + 1;
        std::io::Read::read_to_string(&mut std::io::Read::take(file, bound), &mut text)
            .map_err(wrong)?;
        Ok::<String, Failure>(text)
    };
    let headers = sell
        .header
        .iter()
        .map(|header| match header.strip_prefix('@') {
            // A secret on a command line is seen by every user of the machine.
            Some(path) => Ok(read(std::path::Path::new(path))?.trim().to_string()),
            None => Ok(header.clone()),
        })
        .collect::<Result<_, Failure>>()?;
    Ok(StallOrder {
        name: sell.name.clone(),
        to: sell.to.clone(),
        description: sell.describe.clone().unwrap_or_default(),
        price: sell.price.clone(),
        per: sell.per.clone(),
        most: sell.most.clone(),
        prices: sell.prices.as_deref().map(read).transpose()?,
        headers,
        skill: sell.skill.clone(),
        checks: sell.check.clone(),
        model: sell.model.clone(),
    })
}

fn tell(arguments: &Arguments, stall: &StallReport) -> Result<(), Failure> {
    if arguments.json {
        return super::print(true, stall, String::new);
    }
    super::say(&stall.text())?;
    eprintln!("{}", say::dim("Ctrl-C closes the stall"));
    Ok(())
}
