//! The economy's page: from the folds over the journal to what people read, and from each figure
//! back to its trades.

use std::sync::Arc;

use economy::{
    Accounts, Capitalisation, Compilation, Counted, Effort, Employment, Figure, Group,
    InputOutputTable, Institution, Locked, Network, Ratio, RealGdp, Registry, Sector,
    capital_efficiency, financial_share, metcalfe,
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
/// Those that are made of several sums, likewise.
const MADE: [(&str, Figure, &str, &str); 8] = [
    ("gdp", Figure::Gdp, "Gross domestic product", GDP),
    ("output", Figure::Output, "Output", OUTPUT),
    ("operating-surplus", Figure::Surplus, "Operating surplus", SURPLUS),
    ("turnover", Figure::Turnover, "Turnover", TURNOVER),
    ("payments", Figure::Payments, "Payments", PAYMENTS),
    ("taxes", Figure::Counted(Counted::Tax), "Taxes on products", TAXES),
    ("subsidies", Figure::Counted(Counted::Subsidy), "Subsidies on products", SUBSIDIES),
    (IMPORTS, Figure::Imports, "Imports", IMPORTED),
];
const IMPORTS: &str = "imports";
/// Before a party's name in an address.
const OF_PARTY: &str = "of-";
/// Before a sector's.
const OF_SECTOR: &str = "sector-";
/// The sector of who has none.
const NO_SECTOR: &str = "none";
/// Before two names and between them: what one paid the other for work, and what one used up of the other's.
const PAID: (&str, &str) = ("paid-by-", "-to-");
const USED: (&str, &str) = ("used-by-", "-from-");

const GDP: &str = "What was bought for final use, less what of it and of its inputs came from abroad. Staff that households and governments pay is consumed too, and listed under wages.";
const OUTPUT: &str = "What all parties here sold. At basic prices taxes on products are taken off and subsidies added.";
const SURPLUS: &str = "What stays with owners of machines and firms, and with people who sell their own work: sales, less what was used up, wages and taxes, with subsidies.";
const TURNOVER: &str = "Gross payments for goods and services, those within one owner included.";
const PAYMENTS: &str = "Everything that was paid, for whatever, by or to a party of this economy.";
const TAXES: &str = "Levied by governments.";
const SUBSIDIES: &str = "Paid by governments.";
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
    /// What all assets of this home are worth.
    pub capitalisation: &'a Capitalisation,
}

/// The figure of this name in an address; parties are called as `name` says.
pub fn find(all: &All, wanted: &str, name: impl Fn(Party) -> String) -> Option<Found> {
    if let Some((_, figure, title, means)) = MADE.iter().find(|(address, ..)| *address == wanted) {
        return Some(Found { figure: *figure, title: title.to_string(), means });
    }
    let party = |called: &str| {
        all.registry().units().map(|unit| unit.party).find(|party| name(*party) == called)
    };
    if let Some(called) = wanted.strip_prefix(OF_PARTY) {
        let (figure, title) = (Figure::Party(party(called)?), format!("Trades of {called}"));
        return Some(Found { figure, title, means: "What it sold and what it bought." });
    }
    if let Some(called) = wanted.strip_prefix(OF_SECTOR) {
        let sector = match called {
            NO_SECTOR => None,
            called => Some(Sector::ALL.into_iter().find(|sector| sector.as_str() == called)?),
        };
        let figure = Figure::Sector(sector);
        let title = format!("Trades of the sector {}", sector_name(sector));
        return Some(Found { figure, title, means: "What its parties sold and what they bought." });
    }
    // A name may have the word between in itself, so every way to read it is tried.
    let pair = |(before, between): (&str, &str)| {
        let rest = wanted.strip_prefix(before)?;
        rest.match_indices(between).find_map(|(at, _)| {
            let (one, other) = (&rest[..at], &rest[at + between.len()..]);
            Some((party(one)?, party(other)?, one.to_string(), other.to_string()))
        })
    };
    if let Some((payer, payee, one, other)) = pair(PAID) {
        let title = format!("What {one} paid {other}");
        let figure = Figure::Hiring { payer, payee };
        return Some(Found {
            figure,
            title,
            means: "Payments for work, whatever it was used for.",
        });
    }
    if let Some((payer, payee, one, other)) = pair(USED) {
        let title = format!("What {one} used up of {other}");
        let figure = Figure::Used { payer, payee };
        return Some(Found { figure, title, means: INTERMEDIATE });
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
        table: table(all, &all.table(), &name),
        hirings: hirings
            .iter()
            .map(|hiring| HiringView {
                trades: between(all.registry(), PAID, hiring.payer, hiring.payee, &name),
                payer: name(hiring.payer),
                payee: name(hiring.payee),
                amount: hiring.amount,
                payments: hiring.payments,
            })
            .collect(),
        other_hirings: Amount::from_minor(all.asset(), paid - shown),
        labour: labour(&employment(all, beside)),
        money: money(accounts, beside.circulating),
        capital: capital(accounts, beside.locked, beside.capitalisation),
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
            let about = match unit.institution {
                Institution::Household => "person".to_string(),
                Institution::Machine { owner } => format!("machine of {}", name(owner)),
                Institution::Firm { owner: Some(owner) } => format!("firm of {}", name(owner)),
                Institution::Firm { owner: None } => "firm".to_string(),
                Institution::Government => "government".to_string(),
            };
            ProducerView {
                trades: of_party(unit.party, &name),
                name: name(unit.party),
                about,
                output: account.output,
                intermediate: account.intermediate_consumption,
                value_added: account.value_added,
            }
        })
        .collect()
}

/// Addresses take plain names only.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn of_party(party: Party, name: impl Fn(Party) -> String) -> Option<String> {
    Some(name(party)).filter(|called| is_plain(called)).map(|called| format!("{OF_PARTY}{called}"))
}

/// The address of what is between two parties, if both are of this economy.
fn between(
    registry: &Registry,
    (before, between): (&str, &str),
    payer: Party,
    payee: Party,
    name: impl Fn(Party) -> String,
) -> Option<String> {
    let known = registry.unit(payer).is_some() && registry.unit(payee).is_some();
    let (one, other) = (name(payer), name(payee));
    (known && is_plain(&one) && is_plain(&other)).then(|| format!("{before}{one}{between}{other}"))
}

fn sector_name(sector: Option<Sector>) -> &'static str {
    sector.map_or("without a sector", |sector| sector.as_str())
}

fn of_sector(sector: Option<Sector>) -> String {
    format!("{OF_SECTOR}{}", sector.map_or(NO_SECTOR, |sector| sector.as_str()))
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
        line(
            "Output",
            "",
            accounts.output,
            Some("output"),
            "What all parties sold, at basic prices.",
        ),
        line(
            "Intermediate consumption",
            "−",
            less(accounts.intermediate_consumption),
            Some("intermediate-consumption"),
            INTERMEDIATE,
        ),
        line("Taxes on products", "+", accounts.taxes, Some("taxes"), TAXES),
        line("Subsidies on products", "−", less(accounts.subsidies), Some("subsidies"), SUBSIDIES),
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
            Some("operating-surplus"),
            SURPLUS,
        ),
        line("Taxes on products", "+", accounts.taxes, Some("taxes"), TAXES),
        line("Subsidies on products", "−", less(accounts.subsidies), Some("subsidies"), SUBSIDIES),
    ]
}

fn sectors(accounts: &Accounts) -> Vec<ProducerView> {
    accounts
        .sectors
        .iter()
        .map(|sector| ProducerView {
            name: sector_name(sector.sector).to_string(),
            about: match sector.units {
                1 => "1 unit".to_string(),
                units => format!("{units} units"),
            },
            output: sector.output,
            intermediate: sector.intermediate_consumption,
            value_added: sector.value_added,
            trades: Some(of_sector(sector.sector)),
        })
        .collect()
}

fn table(all: &All, table: &InputOutputTable, name: impl Fn(Party) -> String) -> TableView {
    // A table of units has a row for each, in the order of the registry.
    let units: Vec<Party> = match table.groups.first() {
        Some(Group::Unit(_)) => all.registry().units().map(|unit| unit.party).collect(),
        _ => Vec::new(),
    };
    let group = |(row, group): (usize, &Group)| match group {
        Group::Unit(_) => of_party(*units.get(row)?, &name),
        Group::Sector(sector) => Some(of_sector(Some(*sector))),
        Group::Government | Group::Other => None,
    };
    let cell = |seller: usize, buyer: usize| {
        let is_there = !table.intermediate[seller][buyer].is_zero();
        let (payer, payee) = (*units.get(buyer)?, *units.get(seller)?);
        is_there.then(|| between(all.registry(), USED, payer, payee, &name)).flatten()
    };
    let places = 0..table.groups.len();
    let final_use = (0..table.groups.len()).map(|row| {
        let used: i128 = table.intermediate[row].iter().map(Amount::minor).sum();
        Amount::from_minor(table.asset, table.output[row].minor() - used)
    });
    let multipliers = table.leontief().map(|leontief| leontief.output_multipliers);
    TableView {
        groups: table.groups.iter().map(ToString::to_string).collect(),
        trades: table.groups.iter().enumerate().map(group).collect(),
        used: places
            .clone()
            .map(|seller| places.clone().map(|buyer| cell(seller, buyer)).collect())
            .collect(),
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
    MeasureView { name, value: ValueView::Amount(amount), trades: None, means }
}

fn text(name: &'static str, value: impl ToString, means: &'static str) -> MeasureView {
    MeasureView { name, value: ValueView::Text(value.to_string()), trades: None, means }
}

/// The same with the figure of whose trades it is made.
fn opening(trades: &'static str, measure: MeasureView) -> MeasureView {
    MeasureView { trades: Some(trades), ..measure }
}

fn percent(ratio: &Ratio) -> String {
    ratio.hundredths().map_or_else(|| "n/a".to_string(), |hundredths| format!("{hundredths} %"))
}

fn labour(labour: &Employment) -> Vec<MeasureView> {
    let [people, owners, abroad, firms] = &labour.shares;
    vec![
        opening(
            "output",
            text(
                "Machines at work",
                format!("{} of {}", labour.at_work, labour.machines),
                "Machines that sold at least once to another owner.",
            ),
        ),
        opening(
            "wages",
            text("People at work", labour.people_at_work, "People who were paid for work."),
        ),
        opening(
            "wages",
            text(
                "Share of people's work",
                percent(people),
                "Wages and what people sold themselves, of all income.",
            ),
        ),
        opening(
            "operating-surplus",
            text(
                "Share of owners here",
                percent(owners),
                "Surplus of machines and firms that people of this economy own.",
            ),
        ),
        opening(
            "operating-surplus",
            text(
                "Share of owners abroad",
                percent(abroad),
                "The same, of owners who are not of this economy.",
            ),
        ),
        opening(
            "operating-surplus",
            text("Share of firms", percent(firms), "Surplus that no person owns."),
        ),
        opening(
            "output",
            text(
                "Concentration of output",
                labour.output_of_machines.herfindahl,
                "Herfindahl–Hirschman index over machines at work: 1.00 if one does it all.",
            ),
        ),
        opening(
            "operating-surplus",
            text(
                "Inequality of ownership income",
                labour.income_of_owners.gini,
                "Gini's coefficient over owners: 0.00 if all get the same.",
            ),
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
        opening(
            "output",
            text(
                "Value added per machine-hour",
                per_hour(labour),
                "What machines added since this process began, for an hour of their work.",
            ),
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
fn capital(accounts: &Accounts, locked: &Locked, cap: &Capitalisation) -> Vec<MeasureView> {
    let unpriced: Vec<String> = locked
        .unpriced
        .iter()
        .chain(&cap.unpriced)
        .map(|(asset, held)| format!("{held} minor units of {asset}"))
        .collect();
    vec![
        amount(
            "Market capitalisation",
            cap.net,
            "What all assets of this economy are worth that are in anybody's hands, each unit once: price times what circulates. The asset itself is the unit of account.",
        ),
        amount(
            "Market capitalisation, gross",
            cap.gross,
            "The same with claims on it that pass for money: prepaid in channels, in escrow, at the labour market.",
        ),
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
            "What is locked or on the market and has no price: in no figure, and not nothing.",
        ),
        opening(
            "output",
            text(
                "Capital efficiency",
                capital_efficiency(accounts, locked),
                "Value added in the period shown for each unit that is locked now.",
            ),
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
        opening(
            "gdp",
            text(
                "Real GDP",
                format!("{:.2} {}", whole(real.real, accounts), accounts.asset.code()),
                "GDP at prices of the first period: each period's GDP over its deflator, added up.",
            ),
        ),
        opening(
            "gdp",
            text(
                "Deflator",
                format!("{:.4}", real.deflator),
                "Prices of all GDP against those of the first period: below 1 they fell.",
            ),
        ),
        text(
            "Deflator of the last period",
            last.map_or_else(|| "n/a".to_string(), |last| format!("{:.4}", last.prices.deflator)),
            "Chained by Fisher over classes of tasks: a call of an offer, a token, a job, times its quality (what checks found of the worker; 1 where nobody checks).",
        ),
        text(
            "Prices compared",
            format!("each {each}"),
            "How long a period is; longer ones drift less.",
        ),
        text(
            "Covered",
            percent(&real.covered),
            "Final use of home products whose class and quantity are known; what is charged by kB, or by a token that no answer tells, has no quantity.",
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
        opening(
            "turnover",
            amount("Turnover", accounts.turnover, "Gross payments for goods and services."),
        ),
        opening(
            "turnover",
            text(
                "Turnover / value added",
                accounts.turnover_to_value_added,
                "How often a unit of value changes hands on its way to its use.",
            ),
        ),
        opening(
            "payments",
            text(
                "Velocity of transactions",
                accounts.velocity_transactions,
                "All payments over money supply, in the period shown.",
            ),
        ),
        opening(
            "gdp",
            text(
                "Velocity of income",
                accounts.velocity_income,
                "GDP over money supply, in the period shown.",
            ),
        ),
        opening(
            "payments",
            text(
                "Velocity of transactions, per year",
                per_year(accounts, &accounts.velocity_transactions_per_year),
                PER_YEAR,
            ),
        ),
        opening(
            "gdp",
            text(
                "Velocity of income, per year",
                per_year(accounts, &accounts.velocity_income_per_year),
                PER_YEAR,
            ),
        ),
        opening(
            "sector-protocol",
            text(
                "Financial share of GDP",
                share,
                "Value added of the sector protocol (settlement, escrow, exchange); 10–20 % is expected of an economy.",
            ),
        ),
        opening(
            "within-owners",
            amount(
                "Within one owner",
                accounts.within_owner,
                "Part of turnover that counts for nothing.",
            ),
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
