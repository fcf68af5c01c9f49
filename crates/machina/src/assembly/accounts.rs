//! The economy's page: from the folds over the journal to what people read, and from each figure
//! back to its trades.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use economy::{
    Accounts, Counted, Effort, Employment, EmploymentBuilder, Flow, Grouping, InputOutput,
    InputOutputTable, Institution, MAX_BUCKETS, Network, Ratio, Reading, Registry, Span,
    financial_share, metcalfe,
};
use money::{Amount, Asset, Party, Timestamp};
use web::{AccountsView, HiringView, LineView, MeasureView, ProducerView, TableView, ValueView};

use crate::failure::Failure;

/// Units up to which the input–output table has a row for each; above it has one for each sector.
const UNIT_ROWS: usize = 8;
/// Pairs of parties that a page shows.
const HIRINGS: usize = 200;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The figures that are plain sums of trades, by the name in their address.
const FIGURES: [(&str, Counted, &str, &str); 8] = [
    ("household-consumption", Counted::FinalHousehold, "Household consumption", HOUSEHOLD),
    ("collective-consumption", Counted::FinalCollective, "Collective consumption", COLLECTIVE),
    ("capital-formation", Counted::CapitalFormation, "Capital formation", CAPITAL),
    ("exports", Counted::Export, "Exports", EXPORTS),
    ("intermediate-consumption", Counted::Intermediate, "Intermediate consumption", INTERMEDIATE),
    ("wages", Counted::Wage, "Wages", WAGES),
    ("within-owners", Counted::WithinOwner, "Within one owner", WITHIN),
    ("not-production", Counted::NotProduction, "Not production", NEITHER),
];
const IMPORTS: &str = "imports";
/// Before a party's name in an address.
const OF_PARTY: &str = "of-";

const HOUSEHOLD: &str = "What people bought for themselves.";
const COLLECTIVE: &str = "What governments bought for all, less what they sold.";
const CAPITAL: &str = "Things made to last and to produce: hardware, software, models.";
const EXPORTS: &str = "What was sold to parties that are not of this economy.";
const IMPORTED: &str = "What was bought from parties that are not of this economy, for any use.";
const INTERMEDIATE: &str = "What machines and firms bought and used up in their own production.";
const WAGES: &str = "What was paid for people's work.";
const WITHIN: &str = "Payments between parties of one owner: they move no figure of GDP.";
const NEITHER: &str = "Transfers, interest and exchanges: payments, but for nothing produced.";

/// The folds beside the accounts, and which trades are in which figure.
pub struct Structure {
    registry: Arc<Registry>,
    asset: Asset,
    table: InputOutput<Arc<Registry>>,
    employment: EmploymentBuilder<Arc<Registry>>,
    /// From the day of the first trade on.
    network: Option<Network<Arc<Registry>>>,
    last: Timestamp,
    /// Places of trades, oldest first, and their sums.
    counted: BTreeMap<Counted, Places>,
    imports: Places,
    parties: BTreeMap<Party, Places>,
}

/// Trades of one figure.
#[derive(Default, Clone)]
pub struct Places {
    /// Their places in the order of trades, in the order in which they were settled.
    places: Vec<u64>,
    sum: i128,
}

impl Places {
    fn add(&mut self, place: u64, amount: Amount) {
        self.places.push(place);
        self.sum += amount.minor();
    }
}

/// The trades of a figure that was found by its name.
pub struct Found {
    pub title: String,
    pub means: &'static str,
    /// None where both directions are listed.
    pub sum: Option<Amount>,
    /// Places in the order of trades, newest first.
    pub places: Vec<u64>,
}

impl Structure {
    pub fn new(registry: Arc<Registry>, asset: Asset) -> Result<Structure, Failure> {
        let grouping =
            if registry.len() <= UNIT_ROWS { Grouping::Units } else { Grouping::Sectors };
        Ok(Structure {
            table: InputOutput::new(Arc::clone(&registry), asset, grouping)?,
            employment: EmploymentBuilder::new(Arc::clone(&registry), asset),
            network: None,
            last: Timestamp::from_millis(0),
            counted: BTreeMap::new(),
            imports: Places::default(),
            parties: BTreeMap::new(),
            registry,
            asset,
        })
    }

    /// Counts a settled trade: its place in the order of trades, and how the accounts read it.
    pub fn add(&mut self, place: u64, flow: &Flow, reading: Reading) -> Result<(), Failure> {
        if self.network.is_none() {
            let day = flow.at.as_millis() - flow.at.as_millis() % DAY.as_millis() as u64;
            let from = Timestamp::from_millis(day);
            let to = from.plus(DAY * u32::try_from(MAX_BUCKETS).expect("a few thousand"));
            let span = Span { from, to, width_ms: DAY.as_millis() as u64 };
            self.network = Some(Network::new(Arc::clone(&self.registry), self.asset, span)?);
        }
        self.table.add(flow)?;
        self.employment.add(flow)?;
        if let Some(network) = &mut self.network {
            network.add(flow)?;
        }
        self.last = self.last.max(flow.at);
        self.counted.entry(reading.counted).or_default().add(place, flow.amount);
        if reading.import {
            self.imports.add(place, flow.amount);
        }
        for party in [flow.payer, flow.payee] {
            self.parties.entry(party).or_default().add(place, flow.amount);
        }
        Ok(())
    }

    /// The trades of a figure, by its name in an address: those before this place, at most so many.
    pub fn find(
        &self,
        figure: &str,
        name: impl Fn(Party) -> String,
        before: Option<u64>,
        limit: usize,
    ) -> Option<(Found, u64)> {
        let none = Places::default();
        let (title, means, places, summed) = if figure == IMPORTS {
            ("Imports".to_string(), IMPORTED, &self.imports, true)
        } else if let Some(wanted) = figure.strip_prefix(OF_PARTY) {
            let unit = self.registry.units().find(|unit| name(unit.party) == wanted)?;
            let places = self.parties.get(&unit.party).unwrap_or(&none);
            (format!("Trades of {wanted}"), "What it sold and what it bought.", places, false)
        } else {
            let (_, counted, title, means) =
                FIGURES.iter().find(|(address, ..)| *address == figure)?;
            (title.to_string(), *means, self.counted.get(counted).unwrap_or(&none), true)
        };
        let mut newest: Vec<u64> = places
            .places
            .iter()
            .rev()
            .copied()
            .filter(|place| before.is_none_or(|before| *place < before))
            .collect();
        // Trades are settled in nearly the order in which they began.
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest.truncate(limit);
        let sum = summed.then(|| Amount::from_minor(self.asset, places.sum));
        Some((Found { title, means, sum, places: newest }, places.places.len() as u64))
    }

    /// The table of who uses whose product.
    pub fn table(&self) -> InputOutputTable {
        self.table.table()
    }

    /// Labour, as far as the journal knows it: nobody measures busy time or open jobs yet.
    pub fn employment(&self, accounts: &Accounts) -> Employment {
        self.employment.employment(accounts.wages, Effort::default())
    }

    /// All of it as the page shows it.
    pub fn view(&self, accounts: &Accounts, name: impl Fn(Party) -> String) -> AccountsView {
        let zero = Amount::zero(self.asset);
        let hirings = self.network.as_ref().map(Network::hirings).unwrap_or_default();
        let others = hirings.iter().skip(HIRINGS).map(|hiring| hiring.amount.minor()).sum::<i128>()
            + self.network.as_ref().map_or(0, |network| network.beyond().0.minor());
        AccountsView {
            gdp: accounts.gdp_production,
            period: accounts.period.map(|period| (period.first, period.last)),
            production: production(accounts),
            expenditure: expenditure(accounts),
            income: income(accounts),
            sectors: sectors(accounts),
            parties: self.parties(accounts, &name),
            table: table(&self.table()),
            hirings: hirings
                .iter()
                .take(HIRINGS)
                .map(|hiring| HiringView {
                    payer: name(hiring.payer),
                    payee: name(hiring.payee),
                    amount: hiring.amount,
                    payments: hiring.payments,
                })
                .collect(),
            other_hirings: Amount::from_minor(self.asset, others),
            labour: labour(&self.employment(accounts)),
            money: money(accounts),
            network: self.network.as_ref().map_or_else(
                || vec![amount("Paid to and fro", zero, TO_AND_FRO)],
                |network| comings_and_goings(network, self.last),
            ),
        }
    }

    fn parties(&self, accounts: &Accounts, name: impl Fn(Party) -> String) -> Vec<ProducerView> {
        let mut parties: Vec<ProducerView> = self
            .registry
            .units()
            .zip(&accounts.units)
            .map(|(unit, account)| {
                let shown = name(unit.party);
                let about = match unit.institution {
                    Institution::Household => "person".to_string(),
                    Institution::Machine { owner } => format!("machine of {}", name(owner)),
                    Institution::Firm { owner: Some(owner) } => format!("firm of {}", name(owner)),
                    Institution::Firm { owner: None } => "firm".to_string(),
                    Institution::Government => "government".to_string(),
                };
                // Addresses take plain names only.
                let plain = shown.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                ProducerView {
                    trades: plain.then(|| format!("{OF_PARTY}{shown}")),
                    name: shown,
                    about,
                    output: account.output,
                    intermediate: account.intermediate_consumption,
                    value_added: account.value_added,
                }
            })
            .collect();
        parties.sort_by_key(|party| std::cmp::Reverse(party.value_added.minor()));
        parties
    }
}

fn line(
    name: &'static str,
    symbol: &'static str,
    amount: Amount,
    trades: Option<&'static str>,
    means: &'static str,
) -> LineView {
    LineView { name, symbol, amount, trades, means }
}

/// What is taken off, as it enters a sum.
fn less(amount: Amount) -> Amount {
    amount.checked_neg().unwrap_or(amount)
}

fn production(accounts: &Accounts) -> Vec<LineView> {
    vec![
        line("Output", "", accounts.output, None, "What all parties sold, at basic prices."),
        line(
            "Intermediate consumption",
            "−",
            less(accounts.intermediate_consumption),
            Some("intermediate-consumption"),
            INTERMEDIATE,
        ),
        line("Taxes on products", "+", accounts.taxes, None, "Levied by governments."),
        line("Subsidies on products", "−", less(accounts.subsidies), None, "Paid by governments."),
    ]
}

fn expenditure(accounts: &Accounts) -> Vec<LineView> {
    let trades = |address| Some(address);
    vec![
        line(
            "Household consumption",
            "C",
            accounts.final_household,
            trades("household-consumption"),
            HOUSEHOLD,
        ),
        line(
            "Collective consumption",
            "G",
            accounts.final_collective,
            trades("collective-consumption"),
            COLLECTIVE,
        ),
        line(
            "Capital formation",
            "I",
            accounts.capital_formation,
            trades("capital-formation"),
            CAPITAL,
        ),
        line("Exports", "X", accounts.exports, trades("exports"), EXPORTS),
        line("Imports", "−M", less(accounts.imports), trades(IMPORTS), IMPORTED),
    ]
}

fn income(accounts: &Accounts) -> Vec<LineView> {
    vec![
        line("Wages", "", accounts.wages, Some("wages"), WAGES),
        line(
            "Operating surplus",
            "",
            accounts.operating_surplus,
            None,
            "What stays with owners of machines and firms, and with people who sell their own work.",
        ),
        line("Taxes on products", "+", accounts.taxes, None, "Levied by governments."),
        line("Subsidies on products", "−", less(accounts.subsidies), None, "Paid by governments."),
    ]
}

fn sectors(accounts: &Accounts) -> Vec<ProducerView> {
    accounts
        .sectors
        .iter()
        .map(|sector| ProducerView {
            name: sector.sector.map_or("without a sector", |sector| sector.as_str()).to_string(),
            about: match sector.units {
                1 => "1 unit".to_string(),
                units => format!("{units} units"),
            },
            output: sector.output,
            intermediate: sector.intermediate_consumption,
            value_added: sector.value_added,
            trades: None,
        })
        .collect()
}

fn table(table: &InputOutputTable) -> TableView {
    let final_use = (0..table.groups.len()).map(|row| {
        let used: i128 = table.intermediate[row].iter().map(Amount::minor).sum();
        Amount::from_minor(table.asset, table.output[row].minor() - used)
    });
    let multipliers = table.leontief().map(|leontief| leontief.output_multipliers);
    TableView {
        groups: table.groups.iter().map(ToString::to_string).collect(),
        intermediate: table.intermediate.clone(),
        final_use: final_use.collect(),
        output: table.output.clone(),
        imports: table.imports.clone(),
        value_added: table.value_added.clone(),
        multipliers: multipliers
            .unwrap_or_default()
            .iter()
            .map(|multiplier| format!("{multiplier:.2}"))
            .collect(),
    }
}

fn amount(name: &'static str, amount: Amount, means: &'static str) -> MeasureView {
    MeasureView { name, value: ValueView::Amount(amount), means }
}

fn text(name: &'static str, value: impl ToString, means: &'static str) -> MeasureView {
    MeasureView { name, value: ValueView::Text(value.to_string()), means }
}

fn percent(ratio: &Ratio) -> String {
    ratio.hundredths().map_or_else(|| "n/a".to_string(), |hundredths| format!("{hundredths} %"))
}

fn labour(labour: &Employment) -> Vec<MeasureView> {
    let [people, owners, abroad, firms] = &labour.shares;
    vec![
        text(
            "Machines at work",
            format!("{} of {}", labour.at_work, labour.machines),
            "Machines that sold at least once to another owner.",
        ),
        text("People at work", labour.people_at_work, "People who were paid for work."),
        text(
            "Share of people's work",
            percent(people),
            "Wages and what people sold themselves, of all income.",
        ),
        text(
            "Share of owners here",
            percent(owners),
            "Surplus of machines and firms that people of this economy own.",
        ),
        text(
            "Share of owners abroad",
            percent(abroad),
            "The same, of owners who are not of this economy.",
        ),
        text("Share of firms", percent(firms), "Surplus that no person owns."),
        text(
            "Concentration of output",
            labour.output_of_machines.herfindahl,
            "Herfindahl–Hirschman index over machines at work: 1.00 if one does it all.",
        ),
        text(
            "Inequality of ownership income",
            labour.income_of_owners.gini,
            "Gini's coefficient over owners: 0.00 if all get the same.",
        ),
        text(
            "Utilisation",
            labour.utilisation,
            "Busy time of machines over the time they could work; n/a until busy time is measured.",
        ),
    ]
}

fn money(accounts: &Accounts) -> Vec<MeasureView> {
    let finance = financial_share(accounts);
    let share = match finance.as_expected {
        Some(false) => format!("{} (outside 10–20 %)", percent(&finance.share)),
        _ => percent(&finance.share),
    };
    vec![
        amount("Money supply", accounts.money_stock, "All of the asset that there is."),
        amount("Turnover", accounts.turnover, "Gross payments for goods and services."),
        text(
            "Turnover / value added",
            accounts.turnover_to_value_added,
            "How often a unit of value changes hands on its way to its use.",
        ),
        text(
            "Velocity of transactions",
            accounts.velocity_transactions,
            "All payments over money supply, in the period shown.",
        ),
        text(
            "Velocity of income",
            accounts.velocity_income,
            "GDP over money supply, in the period shown.",
        ),
        text(
            "Financial share of GDP",
            share,
            "Value added of the sector protocol (settlement, escrow, exchange); 10–20 % is expected of an economy.",
        ),
        amount(
            "Within one owner",
            accounts.within_owner,
            "Part of turnover that counts for nothing.",
        ),
    ]
}

const TO_AND_FRO: &str = "Payments that two parties made to each other: honest, or wash trading. It is shown, and not taken from GDP.";

fn comings_and_goings(network: &Network<Arc<Registry>>, last: Timestamp) -> Vec<MeasureView> {
    let days: Vec<_> = network.activity().into_iter().take_while(|day| day.from <= last).collect();
    let latest = days.last();
    let fit = metcalfe(&days);
    let exponent = |line: Option<economy::Line>| {
        line.map_or_else(
            || "too few days".to_string(),
            |line| {
                format!("{:.2} ± {:.2} (R² {:.2})", line.slope, line.standard_error, line.r_squared)
            },
        )
    };
    vec![
        text(
            "Active on the last day",
            latest.map_or(0, |day| day.active),
            "Parties that bought or sold.",
        ),
        text("New on the last day", latest.map_or(0, |day| day.new), "Those who never had before."),
        text(
            "Stayed",
            latest.map_or_else(|| "n/a".to_string(), |day| percent(&day.retention)),
            "Those active the day before who came again.",
        ),
        text("Pairs", network.hirings().len(), "Who paid whom for work at least once."),
        amount("Paid to and fro", network.reciprocal(), TO_AND_FRO),
        text(
            "Metcalfe's exponent, differences",
            exponent(fit.differences),
            "How turnover changes with the number of parties, day by day; 2 is Metcalfe's law.",
        ),
        text(
            "Metcalfe's exponent, levels",
            exponent(fit.levels),
            "The same of levels. Two series that both grow fit each other whatever they have to do with each other.",
        ),
    ]
}
