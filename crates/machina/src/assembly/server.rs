//! The economy on the network: two ports, both on this machine only.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::{Assembly, api, vision};
use crate::failure::Failure;
use crate::home::Running;

/// How long open requests may take to end at shutdown.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long a client may pause while it sends a body.
const SLOWEST_BODY: Duration = Duration::from_secs(30);

/// Ports that were taken before anything else was opened, so that a port in use is told at once.
pub struct Doors {
    people: TcpListener,
    chain: Option<TcpListener>,
}

/// An economy that is being served.
pub struct Open {
    leave: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
    assembly: Arc<Assembly>,
}

impl Doors {
    /// Takes the ports; the chain's only if the chain is embedded.
    ///
    /// # Errors
    /// Which port is in use, and which flag chooses another.
    pub async fn take(place: &crate::cli::Place) -> Result<Doors, Failure> {
        let people = listen(place.port, "--port").await?;
        let chain = match place.rpc {
            Some(_) => None,
            None => Some(listen(place.rpc_port, "--rpc-port").await?),
        };
        Ok(Doors { people, chain })
    }

    /// The ports that were taken: what was asked, or what the system chose for port 0.
    pub fn ports(&self) -> (u16, Option<u16>) {
        let port = |l: &TcpListener| l.local_addr().map_or(0, |a| a.port());
        (port(&self.people), self.chain.as_ref().map(port))
    }

    /// Opens the doors.
    pub fn open(self, assembly: Arc<Assembly>, running: &Running) -> Open {
        let (leave, left) = watch::channel(false);
        assembly.watch();
        let mut servers = vec![serve(self.people, people(&assembly, running), left.clone())];
        if let (Some(listener), Some(node)) = (self.chain, &assembly.node) {
            servers.push(serve(listener, node.router(), left));
        }
        Open { leave, servers, assembly }
    }
}

impl Open {
    /// The economy inside.
    pub fn assembly(&self) -> &Arc<Assembly> {
        &self.assembly
    }

    /// Lets open requests end, for a while, and takes the economy down.
    pub async fn close(self) {
        // Live streams would hold the doors open for ever: they end first.
        self.assembly.square.close();
        let _ = self.leave.send(true);
        for mut server in self.servers {
            if tokio::time::timeout(GOODBYE, &mut server).await.is_err() {
                tracing::warn!("some requests did not end in time and are cut off");
                server.abort();
            }
        }
        self.assembly.close().await;
    }
}

async fn listen(port: u16, flag: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let said = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!("port {port} is in use by another program"),
            std::io::ErrorKind::PermissionDenied => format!("port {port} is not for ordinary users"),
            _ => format!("port {port} cannot be opened: {error}"),
        };
        Failure::new(said).hint(format!("choose another with `{flag} PORT`"))
    })
}

/// Everything that people and machines find at one port.
fn people(assembly: &Arc<Assembly>, running: &Running) -> Router {
    let mut router = Router::new()
        .nest("/facilitator", payments::facilitator::router(assembly.facilitator.clone()))
        .nest("/api/v1", api::router(assembly.clone(), running.token.clone()))
        .merge(vision::sign({
            let square = assembly.square.clone();
            move || square.vision_sign()
        }));
    if let Some(worker) = &assembly.vision {
        router = router.merge(vision::counter(&assembly.gate, assembly.offer.clone(), worker.clone()));
    }
    router
        .merge(web::router(assembly.square.clone()))
        .layer(RequestBodyTimeoutLayer::new(SLOWEST_BODY))
}

fn serve(
    listener: TcpListener,
    router: Router,
    mut left: watch::Receiver<bool>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let goodbye = async move {
            let _ = left.wait_for(|leave| *leave).await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(goodbye).await {
            tracing::error!(%error, "a server ended");
        }
    })
}
