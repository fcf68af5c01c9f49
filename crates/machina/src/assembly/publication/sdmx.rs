//! The accounts as SDMX-CSV (version 1.0 of the format: one header line, one observation a line;
//! `sdmx-csv-field-guide` of the SDMX technical working group).
//!
//! Dimensions: `REF_AREA` (this economy), `INDICATOR`, `SECTOR`, `COUNTERPART` (`_T` is the total,
//! `_Z` not applicable), `TIME_PERIOD` (first and last payment, as an ISO 8601 interval; of what is told
//! by period, its start). Values are
//! in whole units of `UNIT_MEASURE`, exact to the minor unit.

use money::Amount;

use super::Contents;
use crate::failure::Failure;

const DATAFLOW: &str = "MACHINA:NATIONAL_ACCOUNTS(1.0)";
const TOTAL: &str = "_T";
const NONE: &str = "_Z";

/// The document.
///
/// # Errors
/// If it cannot be written.
pub fn csv(contents: &Contents) -> Result<Vec<u8>, Failure> {
    let mut rows = Rows { writer: csv::Writer::from_writer(Vec::new()), period: period(contents) };
    let header = [
        "DATAFLOW",
        "REF_AREA",
        "INDICATOR",
        "SECTOR",
        "COUNTERPART",
        "TIME_PERIOD",
        "OBS_VALUE",
        "UNIT_MEASURE",
    ];
    rows.writer.write_record(header).map_err(Failure::new)?;
    let a = &contents.accounts;
    for (indicator, amount) in [
        ("GDP_PRODUCTION", a.gdp_production),
        ("GDP_EXPENDITURE", a.gdp_expenditure),
        ("GDP_INCOME", a.gdp_income),
        ("OUTPUT", a.output),
        ("INTERMEDIATE_CONSUMPTION", a.intermediate_consumption),
        ("VALUE_ADDED", a.value_added),
        ("HOUSEHOLD_CONSUMPTION", a.final_household),
        ("COLLECTIVE_CONSUMPTION", a.final_collective),
        ("CAPITAL_FORMATION", a.capital_formation),
        ("EXPORTS", a.exports),
        ("IMPORTS", a.imports),
        ("WAGES", a.wages),
        ("OPERATING_SURPLUS", a.operating_surplus),
        ("TAXES_ON_PRODUCTS", a.taxes),
        ("SUBSIDIES_ON_PRODUCTS", a.subsidies),
        ("TURNOVER", a.turnover),
        ("TURNOVER_WITHIN_OWNERS", a.within_owner),
        ("PAYMENTS", a.payments),
        ("MONEY_STOCK", a.money_stock),
        ("CAPITAL_LOCKED_GROSS", contents.locked.gross),
        ("CAPITAL_LOCKED_NET", contents.locked.net),
        ("MARKET_CAPITALISATION_GROSS", contents.capitalisation.gross),
        ("MARKET_CAPITALISATION_NET", contents.capitalisation.net),
    ] {
        rows.amount(indicator, TOTAL, NONE, amount)?;
    }
    for sector in &a.sectors {
        let name = sector.sector.map_or("NONE".to_string(), |s| s.as_str().to_uppercase());
        rows.amount("OUTPUT", &name, NONE, sector.output)?;
        rows.amount("INTERMEDIATE_CONSUMPTION", &name, NONE, sector.intermediate_consumption)?;
        rows.amount("VALUE_ADDED", &name, NONE, sector.value_added)?;
    }
    for (row, seller) in contents.table.groups.iter().enumerate() {
        for (column, buyer) in contents.table.groups.iter().enumerate() {
            let used = contents.table.intermediate[row][column];
            if !used.is_zero() {
                rows.amount("USED_UP", &buyer.to_string(), &seller.to_string(), used)?;
            }
        }
    }
    let labour = &contents.employment;
    rows.write("MACHINES", TOTAL, NONE, &labour.machines.to_string(), "MACHINES")?;
    rows.write("MACHINES_AT_WORK", TOTAL, NONE, &labour.at_work.to_string(), "MACHINES")?;
    rows.write("TRADES", TOTAL, NONE, &a.trades.to_string(), "TRADES")?;
    rows.write("OVERRIDES", TOTAL, NONE, &contents.view.overridden.to_string(), "TRADES")?;
    if let Some(real) = &contents.real_gdp {
        rows.write("DEFLATOR", TOTAL, NONE, &format!("{:.6}", real.deflator), "INDEX")?;
        for period in &real.periods {
            rows.period = period.from.to_string();
            rows.amount("GDP_NOMINAL", TOTAL, NONE, period.nominal)?;
            let index = format!("{:.6}", period.prices.deflator);
            rows.write("DEFLATOR", TOTAL, NONE, &index, "INDEX")?;
        }
    }
    rows.writer.into_inner().map_err(Failure::new)
}

struct Rows {
    writer: csv::Writer<Vec<u8>>,
    period: String,
}

impl Rows {
    fn amount(
        &mut self,
        indicator: &str,
        sector: &str,
        counterpart: &str,
        amount: Amount,
    ) -> Result<(), Failure> {
        self.write(indicator, sector, counterpart, &amount.number(), amount.asset().code())
    }

    fn write(
        &mut self,
        indicator: &str,
        sector: &str,
        counterpart: &str,
        value: &str,
        unit: &str,
    ) -> Result<(), Failure> {
        let period = self.period.clone();
        let row = [
            DATAFLOW,
            "MACHINA",
            indicator,
            &formula_free(sector),
            &formula_free(counterpart),
            &period,
            value,
            unit,
        ];
        self.writer.write_record(row).map_err(Failure::new)
    }
}

/// A name that a spreadsheet would take for a formula gets an apostrophe in front: names are
/// strangers' text.
fn formula_free(name: &str) -> String {
    if name.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{name}")
    } else {
        name.to_string()
    }
}

fn period(contents: &Contents) -> String {
    contents.accounts.period.map_or_else(
        || contents.made_at.to_string(),
        |period| format!("{}/{}", period.first, period.last),
    )
}

#[cfg(test)]
mod tests {
    use super::formula_free;

    #[test]
    fn names_are_no_formulas() {
        assert_eq!(formula_free("=HYPERLINK(\"x\")"), "'=HYPERLINK(\"x\")");
        assert_eq!(formula_free("vision"), "vision");
    }
}
