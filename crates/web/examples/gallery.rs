//! The pages with a made-up economy behind them, for whoever works on their looks.
//!
//! ```text
//! cargo run --release -p web --example gallery            # then open http://localhost:4040
//! cargo run --release -p web --example gallery -- quiet   # before the first trade
//! ```
//!
//! A trade begins every four seconds and settles a second later; every ninth is refused. Set
//! `GALLERY_PICTURES` to a folder of JPEG and PNG files to see those in place of the landscapes.

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use fixture::Fixture;
use web::JobStageView;

const PORT: u16 = 4040;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let quiet = std::env::args().any(|word| word == "quiet");
    let fixture = Arc::new(if quiet { Fixture::quiet() } else { Fixture::with_trades(64) });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", PORT)).await?;
    println!("http://localhost:{PORT}");
    if !quiet {
        tokio::spawn(trade(Arc::clone(&fixture)));
    }
    axum::serve(listener, web::router(fixture)).await
}

async fn trade(fixture: Arc<Fixture>) {
    for sequence in 65.. {
        tokio::time::sleep(Duration::from_secs(3)).await;
        fixture.publish(fixture::held(sequence));
        let way = [
            JobStageView::Bidding,
            JobStageView::Working,
            JobStageView::Checking,
            JobStageView::Completed,
        ];
        let at = sequence as usize;
        fixture.work(way[at / 4 % 4], way[at % 4]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        fixture.publish(match sequence % 9 {
            0 => fixture::refused(sequence),
            _ => fixture::settled(sequence),
        });
    }
}
