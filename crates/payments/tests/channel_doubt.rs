//! A write of a charge that failed for the gate: the disk may have it all the same.

use crate::town;

use ledger::Ledger;
use mandates::books::Line;
use payments::channel::TillLimits;
use payments::{Gate, GateChannels, GateParts, Way};
use rusqlite::Connection;
use town::shop::Shop;
use town::vouchers::{COSTS, Client, keeper, terms};
use town::{PRICE, Town, seller, shop};

const PRICED: i128 = PRICE as i128;

/// The same shop over other books.
async fn shop_over(town: &Town, ledger: &Ledger) -> Shop {
    let channels = GateChannels { keys: vec![keeper()], limits: TillLimits::default() };
    let gate = Gate::new(GateParts {
        ledger: ledger.clone(),
        channels: Some(channels),
        ..town.gate_parts(town.channel_facilitator())
    });
    town.open_shop(gate, |url| {
        let mut offer = shop::offer(town.token(), url);
        offer.ways.push(Way::Channel(terms()));
        offer
    })
    .await
}

/// The books' file, as the disk has it: a trigger makes writes fail, and rows that a twin of the books
/// wrote from the same state are what such a write would have left.
struct Disk {
    books: Connection,
    twin: std::path::PathBuf,
}

impl Disk {
    fn of(town: &Town) -> Disk {
        let books = Connection::open(&town.books).unwrap();
        books.busy_timeout(town::DAY).unwrap();
        let twin = town.books.with_file_name("twin");
        books.execute("VACUUM INTO ?1", [twin.to_str().unwrap()]).unwrap();
        Disk { books, twin }
    }

    fn fails(&self) {
        let trigger = "CREATE TRIGGER journal_fails BEFORE INSERT ON journal
            BEGIN SELECT RAISE(ABORT, 'the disk does not answer'); END";
        self.books.execute_batch(trigger).unwrap();
    }

    fn works_again(&self) {
        self.books.execute_batch("DROP TRIGGER journal_fails").unwrap();
    }

    /// What failed was durable after all.
    fn has_what_the_twin_wrote(&self) {
        self.books.execute("ATTACH ?1 AS twin", [self.twin.to_str().unwrap()]).unwrap();
        let rows = "BEGIN IMMEDIATE;
            INSERT INTO journal SELECT * FROM twin.journal
                WHERE row > (SELECT max(row) FROM main.journal) ORDER BY row;
            INSERT INTO evidence SELECT * FROM twin.evidence
                WHERE row > (SELECT max(row) FROM main.evidence) ORDER BY row;
            COMMIT;
            DETACH twin;";
        self.books.execute_batch(rows).unwrap();
    }
}

#[tokio::test]
async fn a_voucher_whose_write_failed_is_charged_once_whether_it_was_durable_or_not() {
    for durable in [true, false] {
        let town = Town::begin().await;
        let shop = town.channel_shop().await;
        let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
        assert_eq!(shop.pay(&client.voucher(COSTS), "job:1").await.status, 200);
        let disk = Disk::of(&town);
        let voucher = client.voucher(2 * COSTS);
        let sold = {
            let twin = Ledger::open(&disk.twin, town.clock.clone()).unwrap();
            let sold = shop_over(&town, &twin).await.pay(&voucher, "job:2").await;
            assert_eq!(sold.status, 200, "{}", sold.text);
            twin.close().await.unwrap();
            sold
        };
        disk.fails();
        let lost = shop.pay(&voucher, "job:2").await;
        assert_eq!(lost.status, 503, "{}", lost.text);
        assert!(!lost.text.contains("turn"), "work was handed out that nobody has booked");
        assert_eq!((shop.work.count(), town.line(seller(), Line::Sales)), (2, (PRICED, 0)));
        disk.works_again();
        if durable {
            disk.has_what_the_twin_wrote();
        }
        let again = shop.pay(&voucher, "job:2").await;
        if durable {
            assert_eq!((shop.work.count(), &again), (2, &sold), "not the stored answer");
        } else {
            assert_eq!((shop.work.count(), again.status), (3, 200), "{}", again.text);
        }
        assert_eq!(town.line(seller(), Line::Sales), (2 * PRICED, 0));
        assert_eq!(shop.pay(&voucher, "job:2").await, again);
        // And the channel goes on from there.
        assert_eq!(shop.pay(&client.voucher(3 * COSTS), "job:3").await.status, 200);
        assert_eq!(town.line(seller(), Line::Sales), (3 * PRICED, 0));
        town.ledger.verify().unwrap();
        town.is_whole(&[seller()]).await;
    }
}
