//! The economy on the network: two ports, both on this machine only.
//!
//! A client that sends half a head, or thousands of connections, must not keep others out: heads
//! must arrive whole within [`SLOWEST_HEAD`] and fit [`LONGEST_HEAD`], bodies must keep moving, and
//! at most [`MOST_CONNECTIONS`] are open at once; more wait in the system's queue.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::{Assembly, api, metrics, person, vision};
use crate::failure::Failure;
use crate::home::Running;

/// How long open requests may take to end at shutdown.
const GOODBYE: Duration = Duration::from_secs(10);
/// How long a client may pause while it sends a body.
const SLOWEST_BODY: Duration = Duration::from_secs(30);
/// How long the head of a request may take; an idle connection is closed after it, too.
const SLOWEST_HEAD: Duration = Duration::from_secs(20);
/// The longest head of a request, in bytes: twice the longest payment, and the usual headers.
const LONGEST_HEAD: usize = 128 * 1024;
/// How many connections each port serves at once.
const MOST_CONNECTIONS: usize = 1_024;

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
    person: person::Person,
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
        let mut servers =
            vec![tokio::spawn(serve(self.people, people(&assembly, running), left.clone()))];
        if let (Some(listener), Some(node)) = (self.chain, &assembly.node) {
            let router = node.router().layer(RequestBodyTimeoutLayer::new(SLOWEST_BODY));
            servers.push(tokio::spawn(serve(listener, router, left)));
        }
        let person = person::Person::of(&running.token, running.port);
        Open { leave, servers, assembly, person }
    }
}

impl Open {
    /// The economy inside.
    pub fn assembly(&self) -> &Arc<Assembly> {
        &self.assembly
    }

    /// The link by which this home's person gets to the pages that are for nobody else.
    pub fn person_link(&self) -> String {
        self.person.link(&format!("http://localhost:{}", self.assembly.place.port))
    }

    /// Lets open requests end, for a while, and takes the economy down.
    pub async fn close(self) {
        // Live streams would hold the doors open for ever: they end first.
        self.assembly.square.close();
        self.assembly.agents.close();
        self.assembly.market().board().close();
        let _ = self.leave.send(true);
        for server in self.servers {
            let _ = server.await;
        }
        self.assembly.close().await;
    }
}

async fn listen(port: u16, flag: &str) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| {
        let said = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!("port {port} is in use by another program"),
            std::io::ErrorKind::PermissionDenied => {
                format!("port {port} is not for ordinary users")
            }
            _ => format!("port {port} cannot be opened: {error}"),
        };
        Failure::new(said).hint(format!("choose another with `{flag} PORT`"))
    })
}

/// Everything that people and machines find at one port.
fn people(assembly: &Arc<Assembly>, running: &Running) -> Router {
    let mut router = Router::new()
        .nest("/facilitator", payments::facilitator::router(assembly.facilitator.clone()))
        .merge(assembly.stalls.router())
        .merge(assembly.market().router(&running.token))
        .nest("/api/v1", api::router(assembly.clone(), running.token.clone()))
        .merge(person::router(assembly, &running.token));
    if let Some(worker) = &assembly.vision {
        router = router.merge(vision::counter(assembly, worker.clone()));
    }
    if let Some(openai) = &assembly.openai {
        openai.host(&assembly.gate, &assembly.agents);
        router = router.merge(openai.router(&assembly.gate));
    }
    router
        .merge(assembly.agents.router())
        .merge(web::router(assembly.square.clone()))
        .merge(
            Router::new()
                .route("/metrics", axum::routing::get(metrics::serve))
                .with_state(assembly.clone()),
        )
        .layer(RequestBodyTimeoutLayer::new(SLOWEST_BODY))
        .layer(axum::middleware::from_fn(only_this_machine))
}

/// Refuses requests that were made for another host: a web page whose name was pointed at this
/// machine (DNS rebinding) would otherwise read, in its visitor's browser, what is private here.
async fn only_this_machine(request: Request, next: Next) -> Response {
    let host = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().to_string())
        .or_else(|| {
            let host = request.headers().get(header::HOST)?;
            host.to_str().ok().map(str::to_string)
        })
        .unwrap_or_default();
    // What is left of the port: `[::1]:4020`, `localhost:4020`, `127.0.0.1`.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    if ["localhost", "127.0.0.1", "[::1]"].contains(&name.to_ascii_lowercase().as_str()) {
        return next.run(request).await;
    }
    let said = "this economy answers only as localhost; another name was asked for\n";
    (StatusCode::MISDIRECTED_REQUEST, said).into_response()
}

/// Serves until told to leave, then lets open requests end for [`GOODBYE`].
async fn serve(listener: TcpListener, router: Router, mut left: watch::Receiver<bool>) {
    // HTTP/1.1 alone: to tell the versions apart, hyper-util waits for a first word without a bound.
    let mut server = auto::Builder::new(TokioExecutor::new()).http1_only();
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOWEST_HEAD)
        .max_buf_size(LONGEST_HEAD);
    let open = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            _ = left.wait_for(|leave| *leave) => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = left.wait_for(|leave| *leave) => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or a client that is gone already: others go on.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = open.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            // A broken connection is the client's affair; the payment's task goes on without it.
            let _ = connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(GOODBYE, open.shutdown()).await.is_err() {
        tracing::warn!("some requests did not end in time and are cut off");
    }
}
