//! What the pages show, read from the journal: machines, trades and why each happened.

use std::sync::{Arc, Mutex};

use alloy_primitives::B256;
use bytes::Bytes;
use ledger::{Ledger, Reference, State, Status, StoredEvidence, TransferRecord};
use mandates::Mandates;
use mandates::books::{self, Line};
use money::{Amount, Clock, Party, Timestamp};
use payments::wire::{PaymentPayload, PaymentRequired, SettleResponse};
use payments::{Offer, buyer, exact, gate};
use serde_json::{Value, json};
use settlement::{Settlement, SignedAuthorization};
use sha2::{Digest as _, Sha256};
use tokio::sync::broadcast;
use web::{
    AnswerView, BooksView, DecisionView, EntryStatus, EntryView, FiguresView, HoldView,
    JobLineView, JobView, MachineStatus, MachineView, MandateView, MarketQuestion, MarketView,
    OfferView, OverrideView, Picture, PointView, QuoteView, RuleView, SignatureView, Stage,
    TradeState, TradeView, TrailView, TransactionView, WorkView,
};

use super::accounts::Beside;
use super::cast::Cast;
use super::hall::Hall;
use super::market::Market;
use super::measure::{Measure, Progress, Trade, trade_of};
use super::notary::Archive;
use super::overrides::{self, Override};
use super::publication::Contents;
use super::workplace::Workplace;
use super::{Facts, accounts, capital};
use crate::failure::Failure;
use crate::report::{BooksAndChain, OverrideReport};

/// How many trades a reader of the stream may be behind before it skips some.
const STREAM: usize = 1_024;
/// How many overrides a page and a report show; more are in the journal.
const OVERRIDES: usize = 200;

/// What the square is made of.
pub struct Parts {
    pub cast: Arc<Cast>,
    pub ledger: Ledger,
    pub mandates: Mandates,
    pub chain: Settlement,
    pub measure: Arc<Mutex<Measure>>,
    pub facts: Arc<Mutex<Facts>>,
    pub offer: Offer,
    pub working: bool,
    pub workplace: Workplace,
    pub archive: Archive,
    pub clock: Arc<dyn Clock>,
    pub market: Arc<Market>,
    pub opened_at: Timestamp,
}

/// The economy as its pages see it.
pub struct Square {
    parts: Parts,
    hall: Arc<Hall>,
    stream: Mutex<Option<broadcast::Sender<TradeView>>>,
    runtime: tokio::runtime::Handle,
}

impl Square {
    /// A square over these parts. Call it within the runtime.
    pub fn new(parts: Parts) -> Arc<Square> {
        let (stream, _) = broadcast::channel(STREAM);
        let runtime = tokio::runtime::Handle::current();
        let (market, cast) = (parts.market.clone(), parts.cast.clone());
        let hall = Hall::new(market, cast, parts.mandates.clone(), parts.opened_at);
        Arc::new(Square { parts, hall, stream: Mutex::new(Some(stream)), runtime })
    }

    /// The labour market, as pages and commands see it.
    pub fn hall(&self) -> &Arc<Hall> {
        &self.hall
    }

    /// Follows the journal: counts what is settled and tells who listens.
    pub fn follow(self: &Arc<Self>) -> tokio::task::JoinHandle<()> {
        let mut committed = self.parts.ledger.subscribe();
        let square = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let references = match committed.recv().await {
                    Ok(batch) => batch.references,
                    // Too far behind: the next look counts everything again.
                    Err(broadcast::error::RecvError::Lagged(_)) => Arc::new([]) as Arc<[Reference]>,
                    Err(broadcast::error::RecvError::Closed) => return,
                };
                let Some(square) = square.upgrade() else { return };
                let told = tokio::task::spawn_blocking(move || square.tell(&references)).await;
                if let Ok(Err(failure)) = told {
                    tracing::error!(error = failure.message, "a trade could not be counted");
                }
            }
        })
    }

    fn tell(&self, references: &[Reference]) -> Result<(), Failure> {
        if references.is_empty() {
            return self.catch_up();
        }
        for reference in references {
            let looked = self.measure(|measure| {
                let place = measure.look(&self.parts.ledger, *reference)?;
                // What types a trade anew tells of that trade.
                Ok::<_, Failure>(place.and_then(|place| Some((place, measure.at(place)?))))
            })?;
            let Some((place, trade)) = looked else { continue };
            let stream = self.stream.lock().expect("nothing panics under this lock").clone();
            if let Some(stream) = stream.filter(|s| s.receiver_count() > 0)
                && let Some(view) = self.view(place, trade)
            {
                let _ = stream.send(view);
            }
        }
        Ok(())
    }

    /// Counts everything that the journal has and that was not counted yet.
    ///
    /// # Errors
    /// If an entry cannot be counted.
    pub fn catch_up(&self) -> Result<(), Failure> {
        self.measure(|measure| measure.catch_up(&self.parts.ledger))
    }

    /// All that a report of the accounts is made of.
    ///
    /// # Errors
    /// If the accounts do not balance, which would be a defect of this program.
    pub fn contents(&self, made_at: Timestamp) -> Result<Contents, Failure> {
        let facts = self.parts.facts.lock().expect("nothing panics under this lock").clone();
        let asset = facts.supply.asset();
        let (locked, capitalisation) = self.parts.ledger.read(|state| {
            let capitalisation = capital::market(state, asset, facts.supply, facts.issuer)?;
            Ok::<_, economy::EconomyError>((capital::of(state, asset)?, capitalisation))
        })?;
        let effort = self.parts.workplace.effort();
        let none = Amount::zero(asset);
        let circulating = facts.issuer.and_then(|treasury| {
            let supply =
                economy::Supply { minted: facts.supply, burned: none, treasury, bridged: none };
            supply.circulating().ok()
        });
        let (mut contents, overrides) = self.measure(|measure| {
            let accounts = measure.accounts(facts.supply)?;
            let all = measure.all();
            let beside = Beside {
                accounts: &accounts,
                effort,
                locked: &locked,
                circulating,
                capitalisation: &capitalisation,
            };
            let contents = Contents {
                table: all.table(),
                employment: accounts::employment(all, &beside),
                real_gdp: all.real_gdp()?,
                view: accounts::view(all, &beside, |party| self.name(party))?,
                overrides: Vec::new(),
                locked: locked.clone(),
                capitalisation: capitalisation.clone(),
                circulating,
                accounts,
                made_at,
            };
            let newest = measure.overrides().iter().rev().take(OVERRIDES).copied();
            Ok::<_, Failure>((contents, newest.collect::<Vec<_>>()))
        })?;
        // Reasons lie on the disk; nobody waits for the accounts meanwhile.
        contents.overrides =
            overrides.into_iter().map(|one| self.reasoned(one)).collect::<Result<_, _>>()?;
        contents.view.overrides = contents
            .overrides
            .iter()
            .map(|one| OverrideView {
                trade: one.trade.to_string(),
                amount: one.amount,
                from: said(one.from),
                to: said(one.to),
                reason: one.reason.clone(),
                by: one.by_name.clone(),
                at: one.at,
            })
            .collect();
        Ok(contents)
    }

    /// An override with its reason.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub fn reasoned(&self, one: Override) -> Result<OverrideReport, Failure> {
        let kept = self.parts.ledger.document(one.reference, overrides::STAGE)?;
        let document: Option<overrides::Document> =
            kept.and_then(|kept| serde_json::from_slice(&kept.evidence.body).ok());
        Ok(OverrideReport {
            trade: one.trade,
            reference: one.reference,
            amount: one.amount,
            from: one.from,
            to: one.to,
            reason: document.map_or_else(|| "no reason was kept".into(), |told| told.reason),
            by: one.by,
            by_name: self.name(one.by),
            at: one.at,
        })
    }

    /// Ends the live stream.
    pub fn close(&self) {
        self.stream.lock().expect("nothing panics under this lock").take();
        self.hall.close();
    }

    fn measure<T>(&self, look: impl FnOnce(&mut Measure) -> T) -> T {
        look(&mut self.parts.measure.lock().expect("nothing panics under this lock"))
    }

    fn name(&self, party: Party) -> String {
        self.parts.cast.name(party)
    }

    fn documents(&self, reference: Reference) -> Documents {
        Documents(self.parts.ledger.evidence(reference).unwrap_or_default())
    }

    fn view(&self, place: u64, reference: Reference) -> Option<TradeView> {
        let trade = self.parts.ledger.read(|state| trade_of(state, reference))?;
        Some(self.view_of(place, &trade, &self.documents(reference)))
    }

    fn view_of(&self, place: u64, trade: &Trade, documents: &Documents) -> TradeView {
        let settlement: Option<SettleResponse> = documents.json(gate::stage::SETTLEMENT);
        let receipt: Option<Value> = documents.json(buyer::stage::ANSWER);
        let transaction = settlement
            .map(|s| s.transaction)
            .or_else(|| Some(receipt?.get("receipt")?.get("transaction")?.as_str()?.to_string()));
        TradeView {
            id: trade.flow.reference.to_string(),
            sequence: place,
            at: trade.flow.at,
            buyer: self.name(trade.flow.payer),
            seller: self.name(trade.flow.payee),
            what: documents.what().unwrap_or_else(|| "work".into()),
            price: trade.flow.amount,
            state: match trade.progress {
                Progress::Held => TradeState::Held,
                Progress::Posted => TradeState::Settled,
                Progress::Ended => TradeState::Failed,
            },
            answer: documents.answers().into_iter().next(),
            transaction: transaction.filter(|t| !t.is_empty()),
            pictured: documents.picture().is_some(),
        }
    }

    /// What a program is told of the vision machine.
    fn vision_sign(&self) -> Value {
        let (sold, earned) = self.sales(self.parts.offer.payee);
        let offer = &self.parts.offer;
        json!({
            "name": "vision",
            "address": offer.payee,
            "owner": "grace",
            "working": self.parts.working,
            "sold": sold,
            "earned": earned,
            "offers": [{
                "name": offer.name,
                "description": offer.description,
                "method": offer.method.as_str(),
                "url": offer.url,
                "price": offer.price,
                "takes": ["image/jpeg", "image/png", "image/webp"],
                "maxBytes": offer.max_body,
                "accepts": offer.requirements(),
            }],
        })
    }

    /// How often a machine was paid, and how much.
    fn sales(&self, party: Party) -> (u64, Amount) {
        self.tally(party, Line::Sales)
    }

    fn tally(&self, party: Party, line: Line) -> (u64, Amount) {
        let asset = self.parts.offer.price.asset();
        let account = line.of(party, asset);
        self.parts.ledger.read(|state| {
            let posted =
                state.entries_of(account).filter(|e| matches!(e.status, Status::Posted { .. }));
            let total = state.balance(&account).map_or(Amount::zero(asset), |b| b.settled());
            (posted.count() as u64, total)
        })
    }

    fn machine(
        &self,
        name: &str,
        address: Party,
        owner: &str,
        offers: Vec<OfferView>,
    ) -> MachineView {
        let asset = self.parts.offer.price.asset();
        let (sold, earned) = self.sales(address);
        let (bought, spent) = self.tally(address, Line::Purchases);
        let cash = Line::Cash.of(address, asset);
        let sales = Line::Sales.of(address, asset);
        let (balance, working) = self.parts.ledger.read(|state| {
            let balance = state.balance(&cash).map_or(Amount::zero(asset), |b| b.settled());
            let working = state.balance(&sales).is_some_and(|b| b.credits_pending > 0);
            (balance, working)
        });
        let mandate = self.parts.mandates.of(address).zip(self.parts.mandates.left(address));
        let status = match (offers.is_empty(), self.parts.working, working) {
            (false, false, _) => MachineStatus::Stopped,
            (_, _, true) => MachineStatus::Working,
            _ => MachineStatus::Ready,
        };
        let (skills, up_since) = self.hall.skills(address);
        MachineView {
            name: name.into(),
            address,
            owner: owner.into(),
            offers,
            sold,
            bought,
            balance,
            earned,
            spent,
            mandate: mandate.map(|(mandate, left)| MandateView {
                left: left.lifetime,
                limit: mandate.lifetime,
            }),
            status,
            skills,
            up_since,
        }
    }

    fn trail(&self, reference: Reference) -> Option<TrailView> {
        let place = self.measure(|measure| measure.place(reference))?;
        let (trade, records) = self.parts.ledger.read(|state| {
            let records: Vec<Told> = state
                .by_reference(reference)
                .into_iter()
                .filter_map(|r| Told::of(state, r))
                .collect();
            Some((trade_of(state, reference)?, records))
        })?;
        let documents = self.documents(reference);
        let view = self.view_of(place, &trade, &documents);
        let ended = trade.progress == Progress::Ended;
        Some(TrailView {
            quote: self.quote(&documents),
            decision: self.decision(&trade, &documents),
            hold: self.hold(&records, &documents),
            signature: signature(&documents),
            work: work(&documents, ended),
            transaction: self.transaction(&view, &documents, ended),
            entries: self.entries(&records),
            trade: view,
        })
    }

    fn quote(&self, documents: &Documents) -> Stage<QuoteView> {
        let found =
            documents.find(gate::stage::QUOTE).or_else(|| documents.find(buyer::stage::QUOTE));
        let read = found.and_then(|d| {
            let quote: PaymentRequired = serde_json::from_slice(&d.evidence.body).ok()?;
            let terms = quote.accepts.first()?;
            let asset = self.parts.offer.price.asset();
            let fact = QuoteView {
                scheme: terms.scheme.clone(),
                network: terms.network.clone(),
                price: Amount::from_minor(asset, terms.amount.parse().ok()?),
                pay_to: terms.pay_to.parse().ok()?,
                resource: quote.resource.url.clone(),
            };
            Some(Stage::Done { at: d.at, fact })
        });
        read.unwrap_or_else(|| missing("no quote was kept"))
    }

    fn decision(&self, trade: &Trade, documents: &Documents) -> Stage<DecisionView> {
        let Some(document) = documents.find(buyer::stage::DECISION) else {
            return missing("the buyer is not of this home, so its mandate is its own");
        };
        let asset = trade.flow.amount.asset();
        let decision: Value = serde_json::from_slice(&document.evidence.body).unwrap_or_default();
        let before = decision.get("leftBefore").cloned().unwrap_or_default();
        let amount = |key: &str| {
            before.get(key).cloned().and_then(|v| serde_json::from_value::<Amount>(v).ok())
        };
        let left = |key: &str| amount(key).and_then(|a| a.checked_sub(trade.flow.amount).ok());
        let allowed = amount("per_payment").unwrap_or(Amount::zero(asset));
        let rule = |text: String, left: Option<Amount>| RuleView { rule: text, kept: true, left };
        let rules = vec![
            rule(format!("at most {allowed} for one payment"), None),
            rule("the budget of the last 24 hours".into(), left("daily")),
            rule("the budget in all".into(), left("lifetime")),
            rule("the money in the wallet".into(), left("wallet")),
        ];
        Stage::Done { at: document.at, fact: DecisionView { allowed: true, rules } }
    }

    fn hold(&self, records: &[Told], documents: &Documents) -> Stage<HoldView> {
        let held = records.iter().find(|r| r.record.transfer.hold_until.is_some() && r.is_money());
        held.map_or_else(
            || missing("nothing was held here"),
            |line| Stage::Done {
                at: line.record.at,
                fact: HoldView {
                    amount: line.record.transfer.amount,
                    account: format!("{} of {}", line.credit, self.name(line.book)),
                    // Unused, it is given back when the signed payment ends; the ledger's own
                    // deadline is for homes that nobody opens any more.
                    expires: documents
                        .order()
                        .map(|(order, _)| exact::ends_at(&order))
                        .or(line.record.transfer.hold_until)
                        .unwrap_or_default(),
                },
            },
        )
    }

    fn transaction(
        &self,
        view: &TradeView,
        documents: &Documents,
        ended: bool,
    ) -> Stage<TransactionView> {
        let Some(hash) = view.transaction.as_ref().and_then(|t| t.parse::<B256>().ok()) else {
            return if ended { missing("nothing was paid") } else { Stage::NotYet };
        };
        let at = documents
            .find(gate::stage::SETTLEMENT)
            .or_else(|| documents.find(buyer::stage::ANSWER))
            .map_or(view.at, |d| d.at);
        match self.runtime.block_on(self.parts.chain.receipt(hash)) {
            Ok(Some(receipt)) => Stage::Done {
                at,
                fact: TransactionView {
                    hash: hash.to_string(),
                    block: receipt.block,
                    succeeded: true,
                    gas: receipt.gas_used,
                },
            },
            Ok(None) => Stage::NotYet,
            Err(error) => missing(&error.to_string()),
        }
    }

    fn entries(&self, records: &[Told]) -> Stage<Vec<EntryView>> {
        let lines: Vec<EntryView> = records
            .iter()
            .map(|line| EntryView {
                at: line.record.at,
                book: self.name(line.book),
                debit: line.debit.clone(),
                credit: line.credit.clone(),
                amount: line.record.transfer.amount,
                kind: line.record.transfer.kind.as_str().replace('_', " "),
                status: match line.record.status {
                    Status::Held => EntryStatus::Pending,
                    Status::Posted { .. } => EntryStatus::Posted,
                    Status::Voided { .. } => EntryStatus::Voided,
                    Status::Expired { .. } => EntryStatus::Expired,
                },
            })
            .collect();
        match records.iter().map(|r| r.settled_at()).max() {
            Some(at) => Stage::Done { at, fact: lines },
            None => Stage::NotYet,
        }
    }
}

/// An entry as it is told: with the names of its accounts.
struct Told {
    record: TransferRecord,
    book: Party,
    debit: String,
    credit: String,
}

impl Told {
    fn of(state: &State, record: &TransferRecord) -> Option<Told> {
        let debit = state.account(&record.transfer.debit)?;
        let credit = state.account(&record.transfer.credit)?;
        // `mandate/1234abcd/day` is told as `mandate: day`.
        let told = |name: &str| match name.strip_prefix("mandate/").and_then(|r| r.split_once('/'))
        {
            Some((_, part)) => format!("mandate: {part}"),
            None => name.to_string(),
        };
        Some(Told {
            record: record.clone(),
            book: debit.book,
            debit: told(&debit.name),
            credit: told(&credit.name),
        })
    }

    fn is_money(&self) -> bool {
        self.debit == Line::Cash.name() || self.credit == Line::Cash.name()
    }

    fn settled_at(&self) -> Timestamp {
        match self.record.status {
            Status::Held => self.record.at,
            Status::Posted { at, .. } | Status::Voided { at } | Status::Expired { at } => at,
        }
    }
}

/// What the journal keeps beside a trade's entries.
struct Documents(Vec<StoredEvidence>);

impl Documents {
    fn find(&self, stage: &str) -> Option<&StoredEvidence> {
        self.0.iter().find(|d| d.evidence.stage == stage)
    }

    fn json<T: serde::de::DeserializeOwned>(&self, stage: &str) -> Option<T> {
        serde_json::from_slice(&self.find(stage)?.evidence.body).ok()
    }

    /// The signed payment, and when it was kept.
    fn order(&self) -> Option<(SignedAuthorization, Timestamp)> {
        let kept = self.find(gate::stage::PAYMENT).or_else(|| self.find(buyer::stage::PAYMENT))?;
        let payment: PaymentPayload = serde_json::from_slice(&kept.evidence.body).ok()?;
        Some((exact::read(&payment.payload).ok()?, kept.at))
    }

    fn what(&self) -> Option<String> {
        let asked: Option<Value> = self.json(gate::stage::REQUEST);
        if let Some(offer) = asked.as_ref().and_then(|a| a.get("offer")).and_then(Value::as_str) {
            return Some(offer.to_string());
        }
        let decision: Value = self.json(buyer::stage::DECISION)?;
        Some(decision.get("url")?.as_str()?.to_string())
    }

    /// The answers of a classification; none if the work was something else.
    fn answers(&self) -> Vec<AnswerView> {
        let output: Option<Value> = self.json(gate::stage::OUTPUT);
        let labels = output.as_ref().and_then(|o| o.get("labels")).and_then(Value::as_array);
        let answer = |label: &Value| {
            Some(AnswerView {
                label: label.get("label")?.as_str()?.to_string(),
                probability_ppm: u32::try_from(label.get("probability_ppm")?.as_u64()?).ok()?,
            })
        };
        labels.map(|l| l.iter().filter_map(answer).collect()).unwrap_or_default()
    }

    fn picture(&self) -> Option<Picture> {
        let input = &self.find(gate::stage::INPUT)?.evidence;
        // What it is, not what its sender called it.
        let media_type = match input.body.as_slice() {
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [0x89, b'P', b'N', b'G', ..] => "image/png",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            _ => return None,
        };
        Some(Picture { media_type: media_type.into(), bytes: Bytes::from(input.body.clone()) })
    }
}

fn missing<T>(reason: &str) -> Stage<T> {
    Stage::Missing { reason: reason.into() }
}

fn signature(documents: &Documents) -> Stage<SignatureView> {
    let Some((order, at)) = documents.order() else { return Stage::NotYet };
    let second = |n: alloy_primitives::U256| {
        Timestamp::from_secs(u64::try_from(n).unwrap_or(u64::MAX / 1000))
    };
    let fact = SignatureView {
        payer: order.from.into(),
        nonce: order.nonce.to_string(),
        valid_after: second(order.valid_after),
        valid_before: second(order.valid_before),
        signature: order.signature.to_string(),
    };
    Stage::Done { at, fact }
}

fn work(documents: &Documents, ended: bool) -> Stage<WorkView> {
    let Some(output) = documents.find(gate::stage::OUTPUT) else {
        return if ended { missing("the work was not delivered") } else { Stage::NotYet };
    };
    let answer: Value = serde_json::from_slice(&output.evidence.body).unwrap_or_default();
    let digest = |bytes: &[u8]| format!("0x{}", hex::encode(Sha256::digest(bytes)));
    let input = documents.find(gate::stage::INPUT).map(|d| digest(&d.evidence.body));
    Stage::Done {
        at: output.at,
        fact: WorkView {
            worker: answer.get("model").and_then(Value::as_str).unwrap_or("another machine").into(),
            input_digest: input.unwrap_or_default(),
            output_digest: digest(&output.evidence.body),
            answers: documents.answers(),
        },
    }
}

impl web::Economy for Square {
    fn machines(&self) -> Vec<MachineView> {
        let offer = &self.parts.offer;
        let sells = OfferView {
            title: "Picture classification".into(),
            about: offer.description.clone(),
            method: offer.method.to_string(),
            url: offer.url.clone(),
            price: offer.price,
        };
        let cast = &self.parts.cast;
        let mut machines = vec![
            self.machine("vision", cast.vision.party(), "grace", vec![sells]),
            self.machine("shopper", cast.shopper.party(), "ada", Vec::new()),
        ];
        // Who takes jobs at the labour market comes to the square when it first offers work there.
        machines.extend(cast.market_machines().into_iter().filter_map(|(name, address, owner)| {
            let machine = self.machine(&name, address, owner, Vec::new());
            (!machine.skills.is_empty() || machine.sold > 0).then_some(machine)
        }));
        machines
    }

    fn trades(&self, before: Option<u64>, limit: usize) -> Vec<TradeView> {
        let wanted = self.measure(|measure| measure.before(before, limit));
        wanted.into_iter().filter_map(|(place, reference)| self.view(place, reference)).collect()
    }

    fn trade(&self, id: &str) -> Option<TrailView> {
        self.trail(id.parse().ok()?)
    }

    fn picture(&self, id: &str) -> Option<Picture> {
        self.documents(id.parse().ok()?).picture()
    }

    fn sign(&self, name: &str) -> Option<Value> {
        (name == "vision").then(|| self.vision_sign())
    }

    fn figures(&self) -> FiguresView {
        let facts = self.parts.facts.lock().expect("nothing panics under this lock").clone();
        let asset = self.parts.offer.price.asset();
        let zero = Amount::zero(asset);
        let (accounts, posted, series) = self.measure(|measure| {
            let series = measure
                .points()
                .iter()
                .map(|p| PointView { at: p.at, gdp: p.gdp, trades: p.trades })
                .collect();
            (measure.accounts(facts.supply).ok(), measure.posted(), series)
        });
        let (holds_open, held) = self.parts.ledger.read(|state| {
            let money = state.holds().filter(|h| {
                [books::sale_id(h.transfer.reference), books::purchase_id(h.transfer.reference)]
                    .contains(&h.transfer.id)
            });
            money.fold((0, zero), |(count, sum), h| {
                (count + 1, sum.checked_add(h.transfer.amount).unwrap_or(sum))
            })
        });
        let figure = |read: fn(&economy::Accounts) -> Amount| accounts.as_ref().map_or(zero, read);
        let working = web::Economy::machines(self)
            .iter()
            .filter(|m| m.status == MachineStatus::Working)
            .count();
        FiguresView {
            production: figure(|a| a.gdp_production),
            expenditure: figure(|a| a.gdp_expenditure),
            income: figure(|a| a.gdp_income),
            turnover: figure(|a| a.turnover),
            value_added: figure(|a| a.value_added),
            supply: facts.supply,
            velocity: accounts
                .as_ref()
                .filter(|a| a.money_stock.is_positive())
                .map(|a| a.velocity_transactions.to_string()),
            trades: posted,
            machines_at_work: working as u64,
            holds_open,
            held,
            books: agreement(&facts.agree, &facts),
            series,
        }
    }

    fn accounts(&self) -> Result<web::AccountsView, String> {
        let never = Timestamp::from_millis(0); // the page does not say when it was made
        self.contents(never).map(|contents| contents.view).map_err(|failure| failure.message)
    }

    fn counted(&self, figure: &str, before: Option<u64>, limit: usize) -> Option<web::CountedView> {
        let (found, under, overrides, wanted) = self.measure(|measure| {
            let all = measure.all();
            let found = accounts::find(all, figure, |party| self.name(party))?;
            // Places are counted from 0 in the accounts, and from 1 for people.
            let before = before.map(|place| place.saturating_sub(1));
            let under = all.under(found.figure, before, limit);
            let wanted: Vec<_> = under
                .places
                .iter()
                .filter_map(|place| Some((place + 1, measure.at(place + 1)?)))
                .collect();
            let overrides = all.overridden_in(found.figure);
            Some((found, under, overrides, wanted))
        })?;
        let asset = self.parts.offer.price.asset();
        Some(web::CountedView {
            title: found.title,
            means: found.means.to_string(),
            sum: under.sum.map(|minor| Amount::from_minor(asset, minor)),
            count: under.count,
            overrides,
            trades: wanted.into_iter().filter_map(|(place, of)| self.view(place, of)).collect(),
        })
    }

    fn outlook(&self) -> web::OutlookView {
        let supply = self.parts.facts.lock().expect("nothing panics under this lock").supply;
        let accounts = self.measure(|measure| measure.accounts(supply).ok());
        let today = outlook::Date::of_unix(self.parts.clock.now().as_secs());
        let view = self.parts.archive.view(accounts.as_ref(), &self.parts.chain, today);
        self.runtime.block_on(view)
    }

    fn market(&self, question: &MarketQuestion) -> Option<MarketView> {
        Some(self.hall.market(question))
    }

    fn jobs(&self, skip: usize, limit: usize) -> Vec<JobLineView> {
        self.hall.jobs(skip, limit)
    }

    fn job(&self, id: &str) -> Option<JobView> {
        self.hall.job(id.parse().ok()?)
    }

    fn job_picture(&self, id: &str) -> Option<Picture> {
        self.hall.picture(id.parse().ok()?)
    }

    fn subscribe_jobs(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.hall.subscribe())
    }

    fn subscribe(&self) -> broadcast::Receiver<TradeView> {
        let stream = self.stream.lock().expect("nothing panics under this lock");
        match stream.as_ref() {
            Some(stream) => stream.subscribe(),
            // The economy is closing: a stream that ends at once.
            None => broadcast::channel(1).1,
        }
    }
}

/// A kind as people read it.
pub fn said(kind: ledger::Kind) -> String {
    kind.as_str().replace('_', " ")
}

fn agreement(agree: &BooksAndChain, facts: &Facts) -> BooksView {
    match agree.state.as_str() {
        "equal" => BooksView::Equal { block: agree.block },
        "differ" => BooksView::Differ { block: agree.block, by: facts.difference },
        _ => BooksView::Unknown {
            reason: agree.detail.first().cloned().unwrap_or_else(|| "not compared yet".into()),
        },
    }
}
