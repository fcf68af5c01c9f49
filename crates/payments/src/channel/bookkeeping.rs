//! Channels in the books of our parties: what the chain shows of them, each movement booked once.
//!
//! | on the chain | in the buyer's book | in the seller's book |
//! |---|---|---|
//! | `Deposited` | the deposit's own hold, posted ([`crate::reconcile`]) | escrow ← unearned |
//! | `Refunded`, `WithdrawFinalized` | cash ← prepaid, and the mandate's room | unearned ← escrow |
//! | `Settled` | – | cash ← escrow |
//!
//! Entries are named by channel and transaction, as the gate names them: whoever comes first books.
//! A channel is known by the document that was kept when it was opened; money of any other comes
//! and goes as funding.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use ledger::{Kind, LedgerError, Operation, Outcome, Reason, Reference, TransferId, Write};
use mandates::books::{self, Entry, Line};
use mandates::{Fate, Returned};
use money::{Amount, Party};
use settlement::channels::{CONTRACT, ChannelEvent, ChannelState, Happened};

use super::till;
use super::voucher::Domain;
use super::wallet;
use super::wire::ChannelConfig;
use crate::reconcile::{Bookkeeper, Break, Compared, ReconcileError};

/// How long a voucher is left to its buyer before the chain is asked what became of it.
const IN_HAND_FOR: Duration = Duration::from_secs(15 * 60);

/// How often books and contract are compared before a chain that never rests is left alone.
const LOOKS: usize = 3;

/// What a bookkeeper has in mind of channels; all of it is found again.
#[derive(Default)]
pub(crate) struct Channels {
    /// By book and account, those whose documents were read.
    known: HashMap<(Party, String), Known>,
    /// As the chain had them when something last happened in them.
    states: HashMap<B256, ChannelState>,
    /// Those in which something happened since.
    touched: HashSet<B256>,
}

impl Channels {
    /// The channels of one side of a party's book, by account, as the chain had them.
    fn of(
        &self,
        party: Party,
        side: Side,
    ) -> impl Iterator<Item = (&String, &Known, &ChannelState)> {
        self.known
            .iter()
            .filter(move |((book, _), known)| *book == party && known.side == side)
            .filter_map(move |((_, name), known)| {
                self.states.get(&known.id).map(|state| (name, known, state))
            })
    }
}

#[derive(Clone, Copy)]
struct Known {
    id: B256,
    config: ChannelConfig,
    side: Side,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Buyer,
    Seller,
}

/// What a look at some blocks came to.
#[derive(Default)]
pub(crate) struct Looked {
    /// How many entries were made.
    pub(crate) entries: usize,
    /// The first block that has to be looked at again.
    pub(crate) waits: Option<u64>,
    /// Movements of the token that these entries explain: transaction, party, amount.
    pub(crate) explained: Vec<(B256, Party, Amount)>,
}

impl Looked {
    fn wait(&mut self, block: u64) {
        self.waits = Some(self.waits.map_or(block, |first| first.min(block)));
    }

    /// Whether one of the entries explains a movement; each explains one.
    pub(crate) fn explains(&mut self, transaction: B256, party: Party, amount: Amount) -> bool {
        let found = self.explained.iter().position(|one| *one == (transaction, party, amount));
        found.map(|at| self.explained.swap_remove(at)).is_some()
    }
}

/// In what something happened that does not count yet.
#[derive(Default)]
struct Open {
    channels: HashSet<B256>,
    /// Receivers that were paid out.
    paid_out: HashSet<Party>,
}

impl Open {
    fn take(&mut self, events: &[ChannelEvent]) {
        for event in events {
            match event.what {
                Happened::Deposited { channel, .. }
                | Happened::Refunded { channel, .. }
                | Happened::Withdrawn { channel, .. }
                | Happened::Claimed { channel, .. }
                | Happened::WithdrawalBegun { channel, .. } => {
                    self.channels.insert(channel);
                }
                Happened::PaidOut { receiver, .. } => {
                    self.paid_out.insert(receiver.into());
                }
            }
        }
    }
}

impl Bookkeeper {
    /// Reads the documents of channels that were opened since.
    fn meet(&self, channels: &mut Channels) -> Result<(), LedgerError> {
        let token = self.chain.token();
        let domain = Domain::new(token.chain_id);
        for party in &self.parties {
            let names: Vec<String> = self.ledger.read(|state| {
                state
                    .accounts_of(*party)
                    .filter(|a| a.asset == token.asset)
                    .filter(|a| a.name.starts_with("prepaid/") || a.name.starts_with("unearned/"))
                    .filter(|a| !channels.known.contains_key(&(*party, a.name.clone())))
                    .map(|a| a.name.clone())
                    .collect()
            });
            for name in names {
                let (side, config) = match name.strip_prefix("unearned/") {
                    Some(short) => (Side::Seller, till::config_of(&self.ledger, short)?),
                    None => (Side::Buyer, wallet::config_of(&self.ledger, *party, &name)?),
                };
                let Some(config) = config.filter(|config| config.token == token.address) else {
                    continue;
                };
                let id = domain.channel_id(&config);
                let line = match side {
                    Side::Buyer => Line::Prepaid(id.0),
                    Side::Seller => Line::Unearned(id.0),
                };
                if line.name() == name.as_str() {
                    channels.known.insert((*party, name), Known { id, config, side });
                    channels.touched.insert(id);
                }
            }
        }
        Ok(())
    }

    /// Books what happened in our parties' channels in some blocks.
    pub(crate) async fn book_channels(
        &self,
        channels: &mut Channels,
        from: u64,
        to: u64,
    ) -> Result<Looked, ReconcileError> {
        self.meet(channels)?;
        let mut looked = Looked::default();
        let mut ids: Vec<B256> = channels.known.values().map(|known| known.id).collect();
        ids.sort_unstable();
        ids.dedup();
        let receivers: Vec<Address> = self.parties.iter().map(|p| Address::from(*p)).collect();
        let events = self.chain.channel_events(&ids, &receivers, from, to).await?;
        // All that one transaction did to a channel is one entry.
        let mut deposits: BTreeMap<(u64, B256, B256), u128> = BTreeMap::new();
        let mut returns: BTreeMap<(u64, B256, B256), Vec<u128>> = BTreeMap::new();
        for event in &events {
            let at = |channel| (event.block, event.transaction, channel);
            match event.what {
                Happened::Deposited { channel, amount } => {
                    channels.touched.insert(channel);
                    let sum = deposits.entry(at(channel)).or_default();
                    *sum = sum.saturating_add(amount);
                }
                Happened::Refunded { channel, amount }
                | Happened::Withdrawn { channel, amount } => {
                    channels.touched.insert(channel);
                    if amount > 0 {
                        returns.entry(at(channel)).or_default().push(amount);
                    }
                }
                Happened::Claimed { channel, .. } | Happened::WithdrawalBegun { channel, .. } => {
                    channels.touched.insert(channel);
                }
                Happened::PaidOut { receiver, amount } => {
                    let party = Party::from(receiver);
                    let amount = self.chain.amount(U256::from(amount))?;
                    looked.explained.push((event.transaction, party, amount));
                    let place = event.log_index.to_be_bytes();
                    let entry = Entry {
                        id: self.named("channel/paid-out", &[event.transaction.as_slice(), &place]),
                        book: party,
                        debit: Line::Cash,
                        credit: Line::Escrow,
                        amount,
                        kind: Kind::Financial,
                        counterparty: CONTRACT.into(),
                        reference: Reference::derive(
                            "transaction",
                            &[event.transaction.as_slice()],
                        ),
                        digest: event.transaction.0,
                        hold_until: None,
                    };
                    looked.entries += usize::from(self.enter(&[entry]).await?);
                }
            }
        }
        let sides: Vec<(Party, Known)> =
            channels.known.iter().map(|((party, _), known)| (*party, *known)).collect();
        let of = |channel: B256, side: Side| {
            sides.iter().filter(move |(_, known)| known.id == channel && known.side == side)
        };
        for ((_, transaction, channel), amount) in deposits {
            for (party, known) in of(channel, Side::Seller) {
                let amount = self.chain.amount(U256::from(amount))?;
                let entry = Entry {
                    id: books::deposited_id(&channel.0, &transaction.0),
                    book: *party,
                    debit: Line::Escrow,
                    credit: Line::Unearned(channel.0),
                    amount,
                    kind: Kind::Financial,
                    counterparty: known.config.payer.into(),
                    reference: super::deposit_reference(
                        self.chain.token().chain_id,
                        channel,
                        transaction,
                    ),
                    digest: [0; 32],
                    hold_until: None,
                };
                looked.entries += usize::from(self.enter(&[entry]).await?);
            }
        }
        for ((block, transaction, channel), amounts) in returns {
            let sum = amounts.iter().fold(0_u128, |sum, one| sum.saturating_add(*one));
            let amount = self.chain.amount(U256::from(sum))?;
            let reference =
                super::return_reference(self.chain.token().chain_id, channel, transaction);
            for (party, _) in of(channel, Side::Buyer) {
                for one in &amounts {
                    let one = self.chain.amount(U256::from(*one))?;
                    looked.explained.push((transaction, *party, one));
                }
                let back = Returned {
                    book: *party,
                    channel: channel.0,
                    amount,
                    reference,
                    contract: CONTRACT.into(),
                    transaction: transaction.0,
                };
                looked.entries += usize::from(self.mandates.take_back(back).await?);
            }
            for (party, known) in of(channel, Side::Seller) {
                match self.give_back(*party, known, amount, transaction, reference).await? {
                    Some(entries) => looked.entries += entries,
                    None => looked.wait(block),
                }
            }
        }
        Ok(looked)
    }

    fn named(&self, domain: &str, parts: &[&[u8]]) -> TransferId {
        let chain_id = self.chain.token().chain_id.to_be_bytes();
        let all: Vec<&[u8]> = [&chain_id[..]].into_iter().chain(parts.iter().copied()).collect();
        TransferId::derive(domain, &all)
    }

    /// Enters what is not entered yet; `false` if it was.
    async fn enter(&self, entries: &[Entry]) -> Result<bool, ReconcileError> {
        let Some(first) = entries.first() else { return Ok(false) };
        if self.ledger.read(|state| state.transfer(&first.id).is_some()) {
            return Ok(false);
        }
        let chain = entries.iter().map(|entry| entry.transfer()).collect();
        match self.ledger.submit(Write::operation(Operation::Linked(chain))).await? {
            Outcome::Applied => Ok(true),
            Outcome::Exists => Ok(false),
            Outcome::Refused(refusal) => match refusal.reason {
                // The gate was faster.
                Reason::ExistsWithDifferent { .. } | Reason::ChainPartlyExists => Ok(false),
                reason => Err(ReconcileError::Refused(reason)),
            },
        }
    }

    /// A return in the seller's book; `None` if a hold stands in its way. What goes back although
    /// it was earned, because it was not claimed in time, is the seller's loss.
    async fn give_back(
        &self,
        book: Party,
        known: &Known,
        amount: Amount,
        transaction: B256,
        reference: Reference,
    ) -> Result<Option<usize>, ReconcileError> {
        let unearned = Line::Unearned(known.id.0).of(book, amount.asset());
        let (free, held) = self.ledger.read(|state| {
            state
                .balance(&unearned)
                .map_or((0, 0), |b| (b.available().minor().max(0), b.debits_pending))
        });
        let id = books::returned_id(&known.id.0, &transaction.0);
        if self.ledger.read(|state| state.transfer(&id).is_some()) {
            return Ok(Some(0));
        }
        if free < amount.minor() && held > 0 {
            return Ok(None); // The gate is about to book it, or work is under way.
        }
        let entry = |id, debit, minor, kind| Entry {
            id,
            book,
            debit,
            credit: Line::Escrow,
            amount: Amount::from_minor(amount.asset(), minor),
            kind,
            counterparty: known.config.payer.into(),
            reference,
            digest: [0; 32],
            hold_until: None,
        };
        let unclaimed = amount.minor().min(free);
        let lost = amount.minor() - unclaimed;
        let mut entries = Vec::new();
        if unclaimed > 0 {
            let line = Line::Unearned(known.id.0);
            entries.push(entry(id, line, unclaimed, Kind::Financial));
        }
        if lost > 0 {
            tracing::error!(channel = %known.id, minor = %lost, "money that was earned went back unclaimed");
            let id = match entries.is_empty() {
                true => id,
                false => self.named("channel/lost", &[known.id.as_slice(), transaction.as_slice()]),
            };
            entries.push(entry(id, Line::Funding, lost, Kind::Transfer));
        }
        Ok(Some(usize::from(self.enter(&entries).await?)))
    }

    /// Vouchers whose fate nobody told: never signed, or claimed, or never to be claimed.
    pub(crate) async fn resolve_vouchers(
        &self,
        channels: &mut Channels,
        at_rest: bool,
    ) -> Result<(usize, usize), ReconcileError> {
        self.meet(channels)?;
        let asset = self.chain.token().asset;
        let (mut posted, mut released) = (0, 0);
        let buyers: Vec<(Party, Known)> = channels
            .known
            .iter()
            .filter(|(_, known)| known.side == Side::Buyer)
            .map(|((party, _), known)| (*party, *known))
            .collect();
        for (party, known) in buyers {
            let now = self.clock.now();
            let open = self.mandates.open_vouchers(party, asset, known.id.0);
            let mut open: Vec<_> = open
                .into_iter()
                .filter(|hold| at_rest || now.since(hold.at) > IN_HAND_FOR)
                .collect();
            open.reverse();
            let mut fates = Vec::new();
            for hold in std::mem::take(&mut open) {
                let documents = self.ledger.evidence(hold.transfer.reference)?;
                let signed = documents
                    .iter()
                    .any(|d| d.evidence.stage.starts_with(crate::buyer::stage::PAYMENT));
                match signed {
                    true => open.push(hold),
                    false => {
                        fates.push(Fate { hold: hold.transfer.id, charged: Amount::zero(asset) });
                    }
                }
            }
            if !open.is_empty()
                && let Some(book) = self.mandates.channel(party, asset, known.id.0)
            {
                let state = self.chain.channel(known.id).await?;
                let claimed = self.chain.amount(U256::from(state.total_claimed))?;
                let mut more = claimed.minor() - book.charged.minor();
                let gone = state.balance > 0 && state.unclaimed() == 0;
                // Several may have been under way at once: the sum is proved, the oldest are taken.
                let sum: i128 = open.iter().map(|hold| hold.transfer.amount.minor()).sum();
                let explained = more > 0 && more <= sum;
                for hold in open {
                    let taken = more.min(hold.transfer.amount.minor());
                    let fits = explained && taken > 0;
                    if fits || gone {
                        let charged = Amount::from_minor(asset, if fits { taken } else { 0 });
                        more -= charged.minor();
                        fates.push(Fate { hold: hold.transfer.id, charged });
                    }
                }
            }
            posted += fates.iter().filter(|fate| fate.charged.is_positive()).count();
            released += fates.iter().filter(|fate| !fate.charged.is_positive()).count();
            for some in fates.chunks(ledger::MAX_LINKED) {
                self.mandates.settle_vouchers(some, Vec::new()).await?;
            }
        }
        Ok((posted, released))
    }

    /// Compares what books and contract say of our parties' channels, if the chain rests for so
    /// long. What happened above `newest`, up to which the books follow the chain, may be in the
    /// books and may not be: where something did, nothing is compared before it counts.
    pub(crate) async fn channel_breaks(
        &self,
        channels: &mut Channels,
        in_escrows: &HashMap<Party, i128>,
        newest: u64,
    ) -> Result<Compared, ReconcileError> {
        if channels.known.is_empty() {
            return Ok(Compared::default());
        }
        let all: HashSet<B256> = channels.known.values().map(|known| known.id).collect();
        let all: Vec<B256> = all.into_iter().collect();
        let receivers: Vec<Address> = self.parties.iter().map(|p| Address::from(*p)).collect();
        for _ in 0..LOOKS {
            let head = self.chain.block_number().await?;
            let mut open = Open::default();
            if head > newest {
                let events = self.chain.channel_events(&all, &receivers, newest + 1, head).await?;
                open.take(&events);
            }
            let ids: Vec<B256> = channels.touched.iter().copied().collect();
            let states = self.chain.channels(&ids).await?;
            let mut due = HashMap::new();
            for party in &self.parties {
                let totals =
                    self.chain.receiver_totals((*party).into(), self.chain.token().address);
                due.insert(*party, totals.await?.due());
            }
            // As long as they are touched they are read again.
            channels.states.extend(ids.into_iter().zip(states));
            let compared = self.compare_channels(channels, in_escrows, &due, &open)?;
            // Books and chain were read between the same two looks at the head.
            if head < newest || self.chain.block_number().await? != head {
                continue;
            }
            channels.touched.retain(|id| open.channels.contains(id));
            return Ok(compared);
        }
        tracing::info!("blocks come faster than channels can be compared");
        Ok(Compared { breaks: Vec::new(), left_out: channels.known.len() })
    }

    fn compare_channels(
        &self,
        channels: &Channels,
        in_escrows: &HashMap<Party, i128>,
        due: &HashMap<Party, u128>,
        open: &Open,
    ) -> Result<Compared, ReconcileError> {
        let asset = self.chain.token().asset;
        let mut breaks = Vec::new();
        let left_out = |party: Party, known: &Known| {
            open.channels.contains(&known.id)
                || (known.side == Side::Seller && open.paid_out.contains(&party))
        };
        // A seller's channels are compared all at once.
        let sellers: HashSet<Party> = channels
            .known
            .iter()
            .filter(|((party, _), known)| known.side == Side::Seller && left_out(*party, known))
            .map(|((party, _), _)| *party)
            .collect();
        for party in &self.parties {
            let mine = |side| channels.of(*party, side);
            if mine(Side::Seller).next().is_some() && !sellers.contains(party) {
                let held: u128 = mine(Side::Seller)
                    .map(|(_, _, state)| state.unclaimed())
                    .chain(due.get(party).copied())
                    .fold(0, u128::saturating_add);
                let escrow = Line::Escrow.of(*party, asset);
                let booked = self.ledger.read(|state| {
                    state
                        .balance(&escrow)
                        .map(|b| (b.settled(), b.debits_pending + b.credits_pending))
                });
                let chain = self.chain.amount(U256::from(held))?;
                // What it has in escrowed payments is compared by itself.
                let other = in_escrows.get(party).copied().unwrap_or_default();
                let booked =
                    booked.map(|(b, open)| (Amount::from_minor(asset, b.minor() - other), open));
                if let Some((books, 0)) = booked
                    && books != chain
                {
                    let account = Line::Escrow.name().into_owned();
                    breaks.push(Break { party: *party, account, books, chain });
                }
            }
            for (name, known, state) in mine(Side::Buyer) {
                if left_out(*party, known) {
                    continue;
                }
                let Some(book) = self.mandates.channel(*party, asset, known.id.0) else { continue };
                let prepaid = Line::Prepaid(known.id.0).of(*party, asset);
                let under_way = self
                    .ledger
                    .read(|s| s.balance(&prepaid).map_or(0, |balance| balance.debits_pending));
                let chain = self.chain.amount(U256::from(state.balance))?;
                if under_way == 0 && book.balance != chain {
                    let account = name.clone();
                    breaks.push(Break { party: *party, account, books: book.balance, chain });
                }
                // A seller claims what it charged, and what was charged is in the book or held.
                let chain = self.chain.amount(U256::from(state.total_claimed))?;
                let books = Amount::from_minor(asset, book.charged.minor() + book.held.minor());
                if chain.minor() > books.minor() {
                    let account = format!("{name}/claimed");
                    breaks.push(Break { party: *party, account, books, chain });
                }
            }
        }
        let left_out = channels.known.iter().filter(|((party, _), known)| match known.side {
            Side::Seller => sellers.contains(party),
            Side::Buyer => left_out(*party, known),
        });
        Ok(Compared { breaks, left_out: left_out.count() })
    }
}
