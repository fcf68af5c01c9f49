//! The economy's page: from the folds over the journal to what people read, and from each figure
//! back to its trades.

use std::sync::Arc;

use economy::{
    Accounts, Compilation, Counted, Effort, Employment, Figure, InputOutputTable, Institution,
    Locked, Network, Ratio, RealGdp, Registry, capital_efficiency, financial_share, metcalfe,
};
use money::{Amount, Party, Timestamp};
use web::{AccountsView, HiringView, LineView, MeasureView, ProducerView, TableView, ValueView};

/// Pairs of parties that a page shows.
const HIRINGS: usize = 200;
/// Parties that a page shows.
const PARTIES: usize = 200;

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

/// All figures, as they grow by an entry at a time.
pub type All = Compilation<Arc<Registry>>;

/// A figure that was found by its name in an address.
pub struct Found {
    pub figure: Figure,
    pub title: String,
    pub means: &'static str,
}

/// What is known besides the journal's trades.
pub struct Beside<'a> {
    pub accounts: &'a Accounts,
    pub effort: Effort,
    pub locked: &'a Locked,
    /// Money in anybody's hands but the issuer's, where that is known.
    pub circulating: Option<Amount>,
}

/// The figure of this name in an address; parties are called as `name` says.
pub fn find(all: &All, wanted: &str, name: impl Fn(Party) -> String) -> Option<Found> {
    if wanted == IMPORTS {
        let title = "Imports".to_string();
        return Some(Found { figure: Figure::Imports, title, means: IMPORTED });
    }
    if let Some(party) = wanted.strip_prefix(OF_PARTY) {
        let unit = all.registry().units().find(|unit| name(unit.party) == party)?;
        let (figure, title) = (Figure::Party(unit.party), format!("Trades of {party}"));
        return Some(Found { figure, title, means: "What it sold and what it bought." });
    }
    let (_, counted, title, means) = FIGURES.iter().find(|(address, ..)| *address == wanted)?;
    Some(Found { figure: Figure::Counted(*counted), title: title.to_string(), means })
}

/// Labour, with what the journal does not know of it.
pub fn employment(all: &All, beside: &Beside<'_>) -> Employment {
    all.employment(beside.accounts.wages, beside.effort)
}

/// All of it as the page shows it; what readers typed anew is added by who can read their reasons.
///
/// # Errors
/// If prices cannot be compared, which would be a defect of this program.
pub fn view(
    all: &All,
    beside: &Beside<'_>,
    name: impl Fn(Party) -> String,
) -> Result<AccountsView, economy::EconomyError> {
    let accounts = beside.accounts;
    let network = all.network();
    let hirings = network.map(|network| network.largest(HIRINGS)).unwrap_or_default();
    let shown: i128 = hirings.iter().map(|hiring| hiring.amount.minor()).sum();
    let paid = network.map_or(0, |network| network.paid().minor() + network.beyond().0.minor());
    let in_figure = |line: LineView| LineView {
        overrides: line
            .trades
            .and_then(|address| find(all, address, |_| String::new()))
            .map_or(0, |found| all.overridden_in(found.figure)),
        ..line
    };
    let lines = |lines: Vec<LineView>| lines.into_iter().map(in_figure).collect();
    Ok(AccountsView {
        gdp: accounts.gdp_production,
        period: accounts.period.map(|period| (period.first, period.last)),
        production: lines(production(accounts)),
        expenditure: lines(expenditure(accounts)),
        income: lines(income(accounts)),
        sectors: sectors(accounts),
        parties: parties(all.registry(), accounts, &name),
        table: table(&all.table()),
        hirings: hirings
            .iter()
            .map(|hiring| HiringView {
                payer: name(hiring.payer),
                payee: name(hiring.payee),
                amount: hiring.amount,
                payments: hiring.payments,
            })
            .collect(),
        other_hirings: Amount::from_minor(all.asset(), paid - shown),
        labour: labour(&employment(all, beside)),
        money: money(accounts, beside.circulating),
        capital: capital(accounts, beside.locked),
        prices: prices(accounts, all.real_gdp()?.as_ref()),
        network: network.map_or_else(
            || vec![amount("Paid to and fro", Amount::zero(all.asset()), TO_AND_FRO)],
            |network| comings_and_goings(network, all.last()),
        ),
        overrides: Vec::new(),
        overridden: all.overridden(),
    })
}

/// The parties that added most, largest first.
fn parties(
    registry: &Registry,
    accounts: &Accounts,
    name: impl Fn(Party) -> String,
) -> Vec<ProducerView> {
    let mut ranked: Vec<_> = registry.units().zip(&accounts.units).collect();
    ranked.sort_by_key(|(_, account)| std::cmp::Reverse(account.value_added.minor()));
    ranked
        .into_iter()
        .take(PARTIES)
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
        .collect()
}

fn line(
    name: &'static str,
    symbol: &'static str,
    amount: Amount,
    trades: Option<&'static str>,
    means: &'static str,
) -> LineView {
    LineView { name, symbol, amount, trades, means, overrides: 0 }
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
            "Busy time of machines over the time they could work, both since this process began; n/a where nobody measures it.",
        ),
        text(
            "Machine-hours",
            labour.busy_ms.map_or_else(|| "n/a".to_string(), machine_hours),
            "How long the machines of this process have been at work since it began, all together.",
        ),
        text(
            "Value added per machine-hour",
            per_hour(labour),
            "What machines added since this process began, for an hour of their work.",
        ),
        text(
            "Vacancies",
            labour.vacancies.map_or_else(|| "n/a".to_string(), |open| open.to_string()),
            "Jobs that nobody has taken.",
        ),
    ]
}

/// Hours with two decimals, of milliseconds.
fn machine_hours(ms: u64) -> String {
    let hundredths = ms / 36_000;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Whole and hundredths of minor units would say little: in whole units of the asset.
fn per_hour(labour: &Employment) -> String {
    let minor = labour.value_added_per_machine_hour.hundredths().map(|hundredths| hundredths / 100);
    let asset = labour.value_added_by_machines.asset();
    minor.map_or_else(|| "n/a".to_string(), |minor| Amount::from_minor(asset, minor).to_string())
}

/// Capital that contracts hold.
fn capital(accounts: &Accounts, locked: &Locked) -> Vec<MeasureView> {
    let unpriced: Vec<String> = locked
        .unpriced
        .iter()
        .map(|(asset, held)| format!("{held} minor units of {asset}"))
        .collect();
    vec![
        amount(
            "Locked, net",
            locked.net,
            "What contracts hold of parties here: payment channels and escrow, each sum once.",
        ),
        amount(
            "Locked, gross",
            locked.gross,
            "The same, with what a buyer has in a channel counted beside what its seller's contract holds.",
        ),
        text("Gross / net", locked.gross_to_net, "How often a sum is counted in the gross figure."),
        text(
            "Unpriced",
            if unpriced.is_empty() { "nothing".to_string() } else { unpriced.join(", ") },
            "What is locked and has no price: in no figure, and not nothing.",
        ),
        text(
            "Capital efficiency",
            capital_efficiency(accounts, locked),
            "Value added in the period shown for each unit that is locked now.",
        ),
    ]
}

/// Real GDP and its deflator.
fn prices(accounts: &Accounts, real: Option<&RealGdp>) -> Vec<MeasureView> {
    let Some(real) = real else {
        return vec![text(
            "Real GDP",
            "n/a",
            "GDP at prices of the first period; n/a until something is sold for final use whose class and quantity the journal tells.",
        )];
    };
    let each = if real.days == 1 { "day".to_string() } else { format!("{} days", real.days) };
    let last = real.periods.last();
    let unmatched = last.map_or_else(|| "n/a".to_string(), |last| percent(&last.prices.unmatched));
    vec![
        text(
            "Real GDP",
            format!("{:.2} {}", whole(real.real, accounts), accounts.asset.code()),
            "GDP at prices of the first period: each period's GDP over its deflator, added up.",
        ),
        text(
            "Deflator",
            format!("{:.4}", real.deflator),
            "Prices of all GDP against those of the first period: below 1 they fell.",
        ),
        text(
            "Deflator of the last period",
            last.map_or_else(|| "n/a".to_string(), |last| format!("{:.4}", last.prices.deflator)),
            "Chained by Fisher over classes of tasks, each a call of one offer, times its quality (1 where nobody measured it).",
        ),
        text(
            "Prices compared",
            format!("each {each}"),
            "How long a period is; longer ones drift less.",
        ),
        text(
            "Covered",
            percent(&real.covered),
            "Final use of home products whose class and quantity are known; what is charged by token or kB has no quantity in the journal.",
        ),
        text(
            "New in the last period",
            unmatched,
            "Sales of classes that the period before did not have.",
        ),
    ]
}

/// Minor units as whole ones, to be shown.
fn whole(minor: f64, accounts: &Accounts) -> f64 {
    minor / 10f64.powi(i32::from(accounts.asset.scale()))
}

const CIRCULATING: &str =
    "The same less what its issuer holds itself; n/a where nobody here knows that.";
const PER_YEAR: &str = "The same as if the whole year went like the period shown; n/a below a day, and to be read with care below a month.";

fn per_year(accounts: &Accounts, velocity: &Ratio) -> String {
    match (velocity.hundredths(), accounts.short_period) {
        (None, _) => "n/a (less than a day)".to_string(),
        (Some(_), true) => format!("{velocity} (from less than a month)"),
        (Some(_), false) => velocity.to_string(),
    }
}

fn money(accounts: &Accounts, circulating: Option<Amount>) -> Vec<MeasureView> {
    let finance = financial_share(accounts);
    let share = match finance.as_expected {
        Some(false) => format!("{} (outside 10–20 %)", percent(&finance.share)),
        _ => percent(&finance.share),
    };
    vec![
        amount("Money supply", accounts.money_stock, "All of the asset that there is."),
        circulating.map_or_else(
            || text("Circulating", "n/a", CIRCULATING),
            |circulating| amount("Circulating", circulating, CIRCULATING),
        ),
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
            "Velocity of transactions, per year",
            per_year(accounts, &accounts.velocity_transactions_per_year),
            PER_YEAR,
        ),
        text(
            "Velocity of income, per year",
            per_year(accounts, &accounts.velocity_income_per_year),
            PER_YEAR,
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
    let days = network.activity_until(last.plus(std::time::Duration::from_millis(1)));
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
        text("Pairs", network.directions(), "Who paid whom for work at least once."),
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
