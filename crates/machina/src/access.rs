//! Reaching an economy from a command: the one that runs, or the one that sleeps in the home.

use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assembly::person::Person;
use crate::assembly::publication::{Form, Publication};
use crate::assembly::{Assembly, PaidBack};
use crate::cli::{Arguments, Grant, Place, Retype};
use crate::failure::Failure;
use crate::home::{Home, Running};
use crate::report::{
    ApprovalReport, Books, ChannelReport, ClosedReport, DecisionOrder, EconomyReport, FundReport,
    HireOrder, HirePlan, HireStarted, Info, InscribedReport, JobReport, MandateReport,
    MeasuredReport, OffersFound, PayOrder, PayReport, QuoteReport, ReputationReport, RetypeReport,
    StallOrder, StallReport,
};

/// An economy, wherever it is.
pub enum Access {
    /// It runs in another process.
    Running(Client),
    /// It was opened here, without doors.
    Here(Arc<Assembly>),
}

/// Asks a running economy as its own user.
pub struct Client {
    running: Running,
    http: reqwest::Client,
}

impl Access {
    /// Finds the running economy of the home, or opens the sleeping one.
    ///
    /// # Errors
    /// If the home is in use by something that does not answer, or cannot be opened.
    pub async fn find(arguments: &Arguments) -> Result<Access, Failure> {
        Access::of(arguments.home.clone(), arguments.place.clone()).await
    }

    /// As [`Access::find`], for who keeps no command line: the folder, or the usual one, and the
    /// place of an economy that has to be opened.
    ///
    /// # Errors
    /// As [`Access::find`].
    pub async fn of(home: Option<PathBuf>, place: Place) -> Result<Access, Failure> {
        let home = Home::find(home)?;
        if let Some(client) = Client::of(&home)? {
            return Ok(Access::Running(client));
        }
        let held = home.hold()?;
        Ok(Access::Here(Assembly::open(held, place, None).await?))
    }

    /// Closes what was opened here.
    pub async fn close(self) {
        if let Access::Here(assembly) = self {
            assembly.close().await;
        }
    }

    /// All that a client needs to trade here.
    ///
    /// # Errors
    /// If the running economy does not answer.
    pub async fn info(&self) -> Result<Info, Failure> {
        match self {
            Access::Running(client) => client.get("info").await,
            Access::Here(assembly) => Ok(assembly.info(false)),
        }
    }

    /// The books of one party, or of all.
    ///
    /// # Errors
    /// If there is no such party.
    pub async fn books(&self, party: Option<&str>, entries: usize) -> Result<Vec<Books>, Failure> {
        match (self, party) {
            (Access::Running(client), None) => {
                client.get(&format!("books?entries={entries}")).await
            }
            (Access::Running(client), Some(party)) => {
                // Anything else would bend the path.
                if party.is_empty() || !party.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(Failure::misuse(format!("`{party}` is no name and no address"))
                        .hint("`machina info` lists who lives here"));
                }
                Ok(vec![client.get(&format!("books/{party}?entries={entries}")).await?])
            }
            (Access::Here(assembly), None) => {
                assembly.booked().iter().map(|p| assembly.books(&p.name, entries)).collect()
            }
            (Access::Here(assembly), Some(party)) => Ok(vec![assembly.books(party, entries)?]),
        }
    }

    /// The economy's accounts.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn economy(&self) -> Result<EconomyReport, Failure> {
        match self {
            Access::Running(client) => client.get("economy/now").await,
            Access::Here(assembly) => assembly.economy_now().await,
        }
    }

    /// What the economy measures of the outlook's drivers.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn measured(&self) -> Result<MeasuredReport, Failure> {
        match self {
            Access::Running(client) => client.get("outlook/measured").await,
            Access::Here(assembly) => assembly.measured().await,
        }
    }

    /// The economy's accounts as a document.
    ///
    /// # Errors
    /// If the chain does not answer.
    pub async fn publish(&self, form: Form) -> Result<Publication, Failure> {
        match self {
            Access::Running(client) => {
                client.get(&format!("economy/report/{}", form.as_str())).await
            }
            Access::Here(assembly) => assembly.publish(form).await,
        }
    }

    /// Counts a trade as another kind.
    ///
    /// # Errors
    /// If there is no such trade or kind, or nothing would change.
    pub async fn retype(&self, retype: &Retype) -> Result<RetypeReport, Failure> {
        match self {
            Access::Running(client) => {
                let order = serde_json::json!({
                    "trade": retype.trade,
                    "kind": retype.kind,
                    "reason": retype.reason,
                });
                client.post("economy/retype", &order).await
            }
            Access::Here(assembly) => assembly.retype(retype).await,
        }
    }

    /// Pays for a request.
    ///
    /// # Errors
    /// If nothing was bought; the message says what became of the money.
    pub async fn pay(&self, order: PayOrder) -> Result<PayReport, Failure> {
        match self {
            Access::Running(client) => client.post("pay", &order).await,
            Access::Here(assembly) => assembly.pay(order).await,
        }
    }

    /// What a request would cost. Nothing is paid and nothing is held.
    ///
    /// # Errors
    /// If nobody answers there, or not by x402.
    pub async fn quote(&self, order: PayOrder) -> Result<QuoteReport, Failure> {
        match self {
            Access::Running(client) => client.post("quote", &order).await,
            Access::Here(assembly) => assembly.quote(order).await,
        }
    }

    /// What would be done for an order at the labour market. Nothing is spent.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub async fn plan_hire(&self, order: &HireOrder) -> Result<HirePlan, Failure> {
        match self {
            Access::Running(client) => client.post("hire/plan", order).await,
            Access::Here(assembly) => assembly.plan_hire(order).await,
        }
    }

    /// Hires at the labour market.
    ///
    /// # Errors
    /// Why nobody was hired.
    pub async fn hire(&self, order: HireOrder) -> Result<HireStarted, Failure> {
        match self {
            Access::Running(client) => client.post("hire", &order).await,
            Access::Here(assembly) => assembly.hire(order).await,
        }
    }

    /// A job, after something has changed in it or so many milliseconds.
    ///
    /// # Errors
    /// If there is no such job.
    pub async fn job(&self, id: &str, wait_ms: u64) -> Result<JobReport, Failure> {
        match self {
            Access::Running(client) => {
                client.get(&format!("jobs/{}?wait={wait_ms}", job_name(id)?)).await
            }
            Access::Here(assembly) => {
                assembly.job_news(id, std::time::Duration::from_millis(wait_ms)).await
            }
        }
    }

    /// What the client of a job says of a person's work.
    ///
    /// # Errors
    /// If there is no such job, or nothing to be said of it now.
    pub async fn say_of_job(&self, id: &str, accepts: bool) -> Result<JobReport, Failure> {
        match self {
            Access::Running(client) => {
                let order = serde_json::json!({ "accepts": accepts });
                client.post(&format!("jobs/{}/say", job_name(id)?), &order).await
            }
            Access::Here(assembly) => assembly.say_of_job(id, accepts).await,
        }
    }

    /// Takes a job back before anybody is hired.
    ///
    /// # Errors
    /// If the shopper has opened none such, or somebody is hired already.
    pub async fn cancel_job(&self, id: &str) -> Result<JobReport, Failure> {
        match self {
            Access::Running(client) => {
                let nothing = serde_json::json!({});
                client.post(&format!("jobs/{}/cancel", job_name(id)?), &nothing).await
            }
            Access::Here(assembly) => assembly.cancel_job(id).await,
        }
    }

    /// Takes the shopper's money out of the market: so much, or all that is free.
    ///
    /// # Errors
    /// If there is not so much, or the chain does not answer.
    pub async fn withdraw(&self, amount: Option<&str>) -> Result<PaidBack, Failure> {
        match self {
            Access::Running(client) => {
                client.post("market/withdraw", &serde_json::json!({ "amount": amount })).await
            }
            Access::Here(assembly) => assembly.withdraw(amount).await,
        }
    }

    /// The market's offers that suit a text, or all of them.
    ///
    /// # Errors
    /// If the running economy does not answer.
    pub async fn find_offers(&self, text: &str, skip: usize) -> Result<OffersFound, Failure> {
        match self {
            Access::Running(client) => {
                let like: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
                client.get(&format!("market/offers?like={like}&skip={skip}")).await
            }
            Access::Here(assembly) => assembly.find_offers(text, skip).await,
        }
    }

    /// The latest jobs.
    ///
    /// # Errors
    /// If the running economy does not answer.
    pub async fn jobs(&self, limit: usize) -> Result<Vec<JobReport>, Failure> {
        match self {
            Access::Running(client) => client.get(&format!("jobs?limit={limit}")).await,
            Access::Here(assembly) => assembly.job_reports(limit),
        }
    }

    /// What checks have shown of a party, or of all whose work was checked.
    ///
    /// # Errors
    /// If there is no such party, or the chain does not answer.
    pub async fn reputation(&self, party: Option<&str>) -> Result<Vec<ReputationReport>, Failure> {
        match (self, party) {
            (Access::Running(client), None) => client.get("reputation").await,
            (Access::Running(client), Some(party)) => {
                // Anything else would bend the path.
                if party.is_empty() || !party.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(Failure::misuse(format!("`{party}` is no name and no address"))
                        .hint("`machina info` lists who lives here"));
                }
                client.get(&format!("reputation?party={party}")).await
            }
            (Access::Here(assembly), party) => assembly.reputation(party).await,
        }
    }

    /// The shopper's payment channels.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn channels(&self) -> Result<Vec<ChannelReport>, Failure> {
        match self {
            Access::Running(client) => client.get("channels").await,
            Access::Here(assembly) => assembly.channels(),
        }
    }

    /// Gets back what a channel holds.
    ///
    /// # Errors
    /// If there is no such channel.
    pub async fn close_channel(&self, id: &str) -> Result<ClosedReport, Failure> {
        match self {
            Access::Running(client) => {
                client.post("channels/close", &serde_json::json!({ "channel": id })).await
            }
            Access::Here(assembly) => assembly.close_channel(id).await,
        }
    }

    /// Makes play dollars.
    ///
    /// # Errors
    /// On any chain but the embedded one.
    pub async fn fund(&self, to: &str, amount: &str) -> Result<FundReport, Failure> {
        match self {
            Access::Running(client) => {
                client.post("fund", &serde_json::json!({ "to": to, "amount": amount })).await
            }
            Access::Here(assembly) => assembly.fund(to, amount).await,
        }
    }

    /// Puts a digest on the chain, unless one of these transactions has put it on this chain already.
    ///
    /// # Errors
    /// If the chain does not take it.
    pub async fn inscribe(
        &self,
        digest: &str,
        unless: &[String],
    ) -> Result<InscribedReport, Failure> {
        match self {
            Access::Running(client) => {
                let order = serde_json::json!({ "digest": digest, "unless": unless });
                client.post("outlook/inscribe", &order).await
            }
            Access::Here(assembly) => assembly.inscribe(digest, unless).await,
        }
    }

    /// What waits for the owner's word, and what was decided.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn approvals(&self) -> Result<Vec<ApprovalReport>, Failure> {
        match self {
            Access::Running(client) => client.get("approvals").await,
            Access::Here(assembly) => assembly.approvals(),
        }
    }

    /// The owner accepts or refuses.
    ///
    /// # Errors
    /// If there is no such request, or it is not to be decided any more.
    pub async fn decide(&self, order: DecisionOrder) -> Result<ApprovalReport, Failure> {
        match self {
            Access::Running(client) => client.post("approvals", &order).await,
            Access::Here(assembly) => assembly.decide(order).await,
        }
    }

    /// The link to the pages of the running economy that are for its person alone.
    pub fn person_link(&self) -> Option<String> {
        let Access::Running(Client { running, .. }) = self else { return None };
        let base = format!("http://localhost:{}", running.port);
        Some(Person::of(&running.token, running.port).link(&base))
    }

    /// Grants a machine a mandate.
    ///
    /// # Errors
    /// If the limits make no sense.
    pub async fn grant(&self, grant: &Grant) -> Result<MandateReport, Failure> {
        match self {
            Access::Running(client) => {
                let order = serde_json::json!({
                    "machine": grant.machine,
                    "lifetime": grant.lifetime,
                    "per_payment": grant.per_payment,
                    "daily": grant.daily,
                    "days": grant.days,
                    "ask_above": grant.ask_above,
                    "ask_above_daily": grant.ask_above_daily,
                });
                client.post("grant", &order).await
            }
            Access::Here(assembly) => assembly.grant_text(grant).await,
        }
    }
}

/// A job's name as part of a path: anything else would bend it.
fn job_name(id: &str) -> Result<&str, Failure> {
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let short: String = id.chars().take(40).collect();
        return Err(Failure::misuse(format!("`{short}` is no job's name"))
            .hint("`machina jobs` lists them"));
    }
    Ok(id)
}

impl Client {
    /// The economy that runs in this home, if one does.
    ///
    /// # Errors
    /// If the home is in use and nothing says how to reach it.
    pub fn of(home: &Home) -> Result<Option<Client>, Failure> {
        let Some(running) = home.reach()? else { return Ok(None) };
        let http = reqwest::Client::builder().no_proxy().build().map_err(Failure::new)?;
        Ok(Some(Client { running, http }))
    }

    /// Opens a stall in the running economy.
    ///
    /// # Errors
    /// If the order makes no sense.
    pub async fn open_stall(&self, order: &StallOrder) -> Result<StallReport, Failure> {
        self.post("stalls", order).await
    }

    /// Closes a stall of the running economy.
    ///
    /// # Errors
    /// If none of that name is open.
    pub async fn close_stall(&self, name: &str) -> Result<StallReport, Failure> {
        self.ask(Method::DELETE, &format!("stalls/{name}"), None::<&()>).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Failure> {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.running.port);
        let mut request = self.http.request(method, url).bearer_auth(&self.running.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let silent = |e: reqwest::Error| {
            Failure::new(format!(
                "the economy of this home (process {}) does not answer: {}",
                self.running.pid,
                e.without_url()
            ))
            .hint("it may be starting or ending; try again in a moment")
        };
        let answer = request.send().await.map_err(silent)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(silent)?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|e| {
                Failure::new(format!("the running economy answers otherwise than expected: {e}"))
                    .hint("it may be of another version; restart it")
            });
        }
        Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            Failure::new(format!(
                "the running economy refused: {}",
                String::from_utf8_lossy(&bytes).chars().take(300).collect::<String>()
            ))
        }))
    }
}
