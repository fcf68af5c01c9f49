//! The tables of `docs/outlook.md` are what the back-test computes, cell by cell.

use outlook::backtest::{HORIZONS, run};
use outlook::number::probability;
use outlook::rivals::RIVALS;
use outlook::{Facts, Series};

const PAPER: &str = include_str!("../../../docs/outlook.md");

#[test]
fn the_back_test_s_tables_are_what_the_back_test_computes() {
    let facts = Facts::bundled();
    for target in [Series::CryptoCap, Series::BitcoinCap] {
        let test = run(&facts, target);
        let start = format!("`{}`, origins", target.name());
        let table = PAPER.split_once(&start).unwrap_or_else(|| panic!("no table {start}")).1;
        // From its first row to the empty line below it.
        let table = table.split_once("| `random-walk`").expect("a first row").1;
        let table = table.split_once("\n\n").expect("an end").0;
        let table = format!("| `random-walk`{table}");
        let mut expected = Vec::new();
        for rival in RIVALS {
            let mut cells = Vec::new();
            let mut fails = Vec::new();
            for years in HORIZONS {
                let row = test.row(rival.name(), years).expect("a row");
                let Ok(s) = &row.result else { continue };
                cells.push(format!("{:.2} ({})", s.crps, probability(s.coverage[1].share())));
                if !s.lowers_crps() {
                    fails.push(years.to_string());
                }
            }
            if cells.is_empty() {
                continue;
            }
            let verdict = match (rival.is_benchmark(), fails.is_empty()) {
                (true, _) => "benchmark".to_string(),
                (false, true) => "yes".to_string(),
                (false, false) => format!("not at {} y", fails.join(", ")),
            };
            expected.push(format!("| `{}` | {} | {verdict} |", rival.name(), cells.join(" | ")));
        }
        assert_eq!(table.lines().collect::<Vec<_>>(), expected, "{}", target.name());
    }
}
