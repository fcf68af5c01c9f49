//! What people and programs are told of an economy: who is in it, what is for sale, books, figures.

use alloy_primitives::Address;
use ledger::Status;
use mandates::books::Line;
use money::{Amount, Party};

use super::Assembly;
use crate::failure::Failure;
use crate::report::{
    BookLine, Books, EconomyReport, EntryLine, Headline, Info, MandateReport, OfferInfo, PartyInfo,
    TokenInfo,
};

impl Assembly {
    /// All that a client needs to trade here.
    pub fn info(&self, running: bool) -> Info {
        let token = self.chain.token();
        let url = format!("http://localhost:{}", self.place.port);
        let embedded = self.node.is_some();
        let rpc_url = if embedded {
            format!("http://localhost:{}", self.place.rpc_port)
        } else {
            self.chain.endpoint().to_string()
        };
        Info {
            version: env!("CARGO_PKG_VERSION").into(),
            running,
            rpc_url,
            chain_id: token.chain_id,
            network: payments::wire::network(token.chain_id),
            embedded_chain: embedded,
            token: TokenInfo {
                address: token.address.into(),
                name: token.name.clone(),
                version: token.version.clone(),
                symbol: token.asset.code().into(),
                decimals: token.asset.scale(),
            },
            facilitator_url: format!("{url}/facilitator"),
            offers: vec![OfferInfo {
                name: self.offer.name.clone(),
                description: self.offer.description.clone(),
                method: self.offer.method.to_string(),
                url: self.offer.url.clone(),
                price: self.offer.price,
                payee: self.offer.payee,
                takes: ["image/jpeg", "image/png", "image/webp"].map(str::to_string).to_vec(),
            }]
            .into_iter()
            .chain(self.openai.iter().flat_map(|openai| openai.told()))
            .chain(self.stalls.list().into_iter().flat_map(stall_offers))
            .collect(),
            parties: self.cast.everyone(),
            url,
        }
    }

    pub(super) fn mandate_of(&self, machine: Party) -> Option<MandateReport> {
        let mandate = self.mandates.of(machine)?;
        let left = self.mandates.left(machine)?;
        Some(MandateReport::of(&mandate, &left, self.cast.name(mandate.owner)))
    }

    /// A party's books, with at most this many of the latest entries.
    ///
    /// # Errors
    /// If there is no such party, or it has no books here.
    pub fn books(&self, party: &str, entries: usize) -> Result<Books, Failure> {
        let party = self.party(party)?;
        let asset = self.chain.token().asset;
        let everyone = self.cast.everyone();
        let about = everyone
            .iter()
            .find(|p| p.address == party && self.cast.booked().contains(&party))
            .ok_or_else(|| {
                Failure::new(format!("{party} has no books in this home"))
                    .hint("`machina info` lists who lives here")
            })?;
        let (lines, entries) = self.ledger.read(|state| {
            let lines = Line::ALL.into_iter().filter_map(|line| {
                let id = line.of(party, asset);
                let (account, balance) = (state.account(&id)?, state.balance(&id)?);
                Some(BookLine {
                    name: line.name().into(),
                    class: account.class.as_str().into(),
                    settled: balance.settled(),
                    held: Amount::from_minor(
                        asset,
                        balance.debits_pending + balance.credits_pending,
                    ),
                })
            });
            let lines: Vec<BookLine> = lines.collect();
            // What is earned and spent, and what else moves cash; limits are shown as the mandate.
            let mut records: Vec<_> = [Line::Cash, Line::Sales, Line::Purchases]
                .into_iter()
                .flat_map(|line| state.entries_of(line.of(party, asset)))
                .collect();
            records.sort_by_key(|record| std::cmp::Reverse(record.sequence));
            records.dedup_by_key(|record| record.transfer.id);
            let entries: Vec<EntryLine> = records
                .into_iter()
                .take(entries.min(1_000))
                .map(|record| {
                    let name = |id| state.account(id).map_or("?", |a| a.name.as_str()).to_string();
                    let transfer = &record.transfer;
                    EntryLine {
                        at: record.at,
                        debit: name(&transfer.debit),
                        credit: name(&transfer.credit),
                        amount: match record.status {
                            // Less than what was held may have been charged.
                            Status::Posted { amount, .. } => amount,
                            _ => transfer.amount,
                        },
                        kind: transfer.kind.as_str().into(),
                        counterparty: transfer
                            .counterparty
                            .map_or_else(String::new, |c| self.who(c)),
                        status: status_word(&record.status).into(),
                        reference: transfer.reference.to_string(),
                    }
                })
                .collect();
            (lines, entries)
        });
        Ok(Books { party: about.clone(), lines, mandate: self.mandate_of(party), entries })
    }

    /// A party's name; the token's own address stands for the mint.
    pub(super) fn who(&self, party: Party) -> String {
        if Address::from(party) == self.chain.token().address {
            return "mint".into();
        }
        self.cast.name(party)
    }

    /// Everyone who has books here, without those who wait for the market to begin.
    pub fn booked(&self) -> Vec<PartyInfo> {
        let (booked, at_market) = (self.cast.booked(), self.cast.at_market());
        let waits = |party: Party| at_market.contains(&party) && !self.market.has_moved(party);
        let everyone = self.cast.everyone().into_iter();
        everyone.filter(|p| booked.contains(&p.address) && !waits(p.address)).collect()
    }

    /// The economy's accounts.
    ///
    /// # Errors
    /// If they do not balance, which would be a defect of this program.
    pub fn economy(&self) -> Result<EconomyReport, Failure> {
        let facts = self.facts.lock().expect("nothing panics under this lock").clone();
        let measure = self.measure.lock().expect("nothing panics under this lock");
        let accounts = measure.accounts(facts.supply)?;
        Ok(EconomyReport {
            headline: Headline {
                production: accounts.gdp_production,
                expenditure: accounts.gdp_expenditure,
                income: accounts.gdp_income,
                turnover: accounts.turnover,
                value_added: accounts.value_added,
                exports: accounts.exports,
                imports: accounts.imports,
                money_stock: accounts.money_stock,
                velocity_transactions: accounts.velocity_transactions.to_string(),
                velocity_income: accounts.velocity_income.to_string(),
                turnover_to_value_added: accounts.turnover_to_value_added.to_string(),
                trades: accounts.trades,
                overridden: measure.all().overridden(),
            },
            accounts: serde_json::to_value(&accounts).map_err(Failure::new)?,
            books: facts.agree,
        })
    }

    /// The same after looking at the chain and counting what was booked.
    ///
    /// # Errors
    /// As [`Assembly::economy`]; the chain may not answer.
    pub async fn economy_now(&self) -> Result<EconomyReport, Failure> {
        self.compare(false).await?;
        self.square.catch_up()?;
        self.economy()
    }
}

/// What a stall sells, route by route.
fn stall_offers(stall: crate::report::StallReport) -> impl Iterator<Item = OfferInfo> {
    stall.prices.into_iter().filter_map(move |line| {
        let (method, _) = line.what.split_once(' ').unwrap_or(("any", ""));
        Some(OfferInfo {
            name: format!("sell/{}", stall.name),
            description: format!("{}, per {}", line.what, line.per),
            method: method.to_string(),
            url: stall.url.clone(),
            price: line.most?,
            payee: stall.payee,
            takes: Vec::new(),
        })
    })
}

fn status_word(status: &Status) -> &'static str {
    match status {
        Status::Posted { .. } => "posted",
        Status::Held => "held",
        Status::Voided { .. } => "voided",
        Status::Expired { .. } => "expired",
    }
}
