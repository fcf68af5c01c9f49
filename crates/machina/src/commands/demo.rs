//! `machina demo`: the first trade, as a person would like to watch it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use labour::{Cache, FetchProgress, Photograph};
use serde::Serialize;
use serde_json::Value;

use crate::access::{Access, Client};
use crate::cli::Arguments;
use crate::failure::Failure;
use crate::home::Home;
use crate::report::{Books, EconomyReport, Info, PaidReport, PayOrder, Table};
use crate::say::{self, Progress};

/// What was bought and what it did to everyone's books.
#[derive(Serialize)]
struct Demo {
    info: Info,
    trades: Vec<Bought>,
    books: Vec<Books>,
    economy: EconomyReport,
}

#[derive(Serialize)]
struct Bought {
    photograph: String,
    title: String,
    credit: String,
    answers: Vec<Answer>,
    paid: PaidReport,
}

#[derive(Serialize)]
struct Answer {
    label: String,
    /// Parts per million.
    probability_ppm: u64,
}

pub async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let photographs = photographs().await?;
    let home = Home::find(arguments.home.clone())?;
    // If the economy runs already, the trade happens there, and its page shows it live.
    if let Some(client) = Client::of(&home)? {
        return trade(arguments, &Access::Running(client), &photographs).await;
    }
    let open = super::up::start(arguments).await?;
    let result = trade(arguments, &Access::Here(open.assembly().clone()), &photographs).await;
    open.close().await;
    result
}

async fn photographs() -> Result<Vec<Photograph>, Failure> {
    let fetch = tokio::task::spawn_blocking(|| {
        let progress = Progress::start("looking for the sample photographs");
        labour::sample_photographs(&Cache::from_env()?, &|p: FetchProgress<'_>| {
            progress.fetching(p)
        })
    });
    Ok(fetch.await.map_err(Failure::new)??)
}

async fn trade(
    arguments: &Arguments,
    access: &Access,
    photographs: &[Photograph],
) -> Result<(), Failure> {
    let talk = !arguments.json;
    let info = access.info().await?;
    let info = Info { running: true, ..info };
    let offer = info.offers.first().ok_or_else(|| Failure::new("nobody sells anything here"))?;
    if talk {
        introduce(&info, access).await?;
    }
    let mut trades = Vec::new();
    for photograph in photographs {
        let picture = std::fs::read(&photograph.path).map_err(|e| {
            Failure::new(format!(
                "the photograph {} cannot be read: {e}",
                photograph.path.display()
            ))
        })?;
        let order = PayOrder {
            url: offer.url.clone(),
            method: offer.method.clone(),
            media_type: Some(super::pay::media_type(&picture, Some(&photograph.name)).into()),
            body: STANDARD.encode(&picture),
            max: None,
            scheme: Some("exact".into()),
            agent: None,
        };
        let report = access.pay(order).await?;
        let bought = read(photograph, report)?;
        if talk {
            super::say(&bought.text())?;
        }
        trades.push(bought);
    }
    let mut books = Vec::new();
    for party in ["shopper", "vision"] {
        books.extend(access.books(Some(party), 20).await?);
    }
    let economy = access.economy().await?;
    let demo = Demo { info, trades, books, economy };
    super::print(arguments.json, &demo, || demo.closing())
}

async fn introduce(info: &Info, access: &Access) -> Result<(), Failure> {
    let shopper = access.books(Some("shopper"), 0).await?;
    let left = shopper.first().and_then(|b| b.mandate.as_ref());
    let offer = &info.offers[0];
    let allowed = left.map_or_else(String::new, |mandate| {
        format!(
            "  Ada allows it {} in all and {} for one payment; {} is left.\n",
            mandate.lifetime, mandate.per_payment, mandate.lifetime_left
        )
    });
    super::say(&format!(
        "{}\n  Ada's machine, the shopper, buys from Grace's, the vision machine:\n  \
         what a photograph shows, for {} each, by x402 on chain {}.\n{allowed}\n",
        say::strong("The first trade"),
        offer.price,
        info.chain_id
    ))
}

fn read(photograph: &Photograph, report: crate::report::PayReport) -> Result<Bought, Failure> {
    let body = STANDARD.decode(&report.body).unwrap_or_default();
    let said = || String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
    let paid = report.paid.ok_or_else(|| {
        Failure::new(format!(
            "{} was not paid for (status {}): {}",
            photograph.name,
            report.status,
            said()
        ))
    })?;
    let answer: Value = serde_json::from_slice(&body).map_err(|e| {
        Failure::new(format!("the answer for {} cannot be read: {e}", photograph.name))
    })?;
    let labels = answer.get("labels").and_then(Value::as_array).cloned().unwrap_or_default();
    let answers = labels.iter().filter_map(|label| {
        Some(Answer {
            label: label.get("label")?.as_str()?.to_string(),
            probability_ppm: label.get("probability_ppm")?.as_u64()?,
        })
    });
    Ok(Bought {
        photograph: photograph.name.clone(),
        title: photograph.title.clone(),
        credit: photograph.credit.clone(),
        answers: answers.collect(),
        paid,
    })
}

impl Bought {
    fn text(&self) -> String {
        let mut table = Table::new(&[true, false, false]);
        for answer in self.answers.iter().take(3) {
            let tenths = (answer.probability_ppm + 500) / 1_000;
            let bar = "█".repeat(usize::try_from(tenths / 50).unwrap_or(0).max(1));
            table.row([
                format!("{}.{} %", tenths / 10, tenths % 10),
                answer.label.clone(),
                say::dim(&bar),
            ]);
        }
        let paid = &self.paid;
        format!(
            "{}  {}\n{}  {} {}  {}\n\n",
            say::strong(&self.photograph),
            say::dim(&format!("{} ({})", self.title, self.credit)),
            table.text(),
            say::good("paid"),
            paid.amount,
            say::dim(paid.transaction.as_deref().unwrap_or("by voucher"))
        )
    }
}

impl Demo {
    fn closing(&self) -> String {
        let left = self.books[0].mandate.as_ref().map_or_else(String::new, |mandate| {
            format!(
                "{} {} of {} until {}\n\n",
                say::strong("Left of the mandate:"),
                mandate.lifetime_left,
                mandate.lifetime,
                mandate.expires_at
            )
        });
        let books = self.books.iter().map(Books::text).collect::<Vec<_>>().join("\n");
        format!(
            "{left}{books}\n{}\nSee it live: `make up`, then {}\n",
            self.economy.text(),
            self.info.url
        )
    }
}
