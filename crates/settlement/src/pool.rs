//! Several sending keys as one sender.
//!
//! A key's transactions are mined in the order of their nonces, so one that sticks holds up all
//! that come after it on the same key, and on no other. A transaction goes to the key that waits
//! for nothing and has the fewest in the works, in turn where several have as few. A key that has
//! no ether left for gas is passed over for a while.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy_primitives::{Address, Bytes};
use alloy_signer_local::PrivateKeySigner;
use tokio::time::Instant;

use crate::error::SettlementError;
use crate::sender::{Busy, Receipt, Sender};

/// How long a key that could not pay for gas is asked last; then it may have been filled up.
const POOR_FOR: Duration = Duration::from_secs(60);

/// The keys that send transactions and pay for their gas; never empty, and none of them twice.
///
/// A key belongs to one pool in one process: whoever else sends with it takes nonces away, which
/// costs retries.
#[derive(Debug, Clone)]
pub struct SendingKeys {
    /// The first is the default where a contract knows its caller by address.
    keys: Vec<PrivateKeySigner>,
}

impl SendingKeys {
    /// The key `first` and others that may stand in for it. A key that is given twice is taken
    /// once.
    pub fn pool(
        first: PrivateKeySigner,
        others: impl IntoIterator<Item = PrivateKeySigner>,
    ) -> SendingKeys {
        let mut keys = vec![first];
        for key in others {
            if keys.iter().all(|known| known.address() != key.address()) {
                keys.push(key);
            }
        }
        SendingKeys { keys }
    }

    pub(crate) fn into_keys(self) -> Vec<PrivateKeySigner> {
        self.keys
    }
}

impl From<PrivateKeySigner> for SendingKeys {
    fn from(key: PrivateKeySigner) -> SendingKeys {
        SendingKeys { keys: vec![key] }
    }
}

/// The senders of a pool.
pub(crate) struct Pool {
    members: Vec<Member>,
    /// Whose turn it is where several keys are as good; held while one is chosen, so that two
    /// choices at once do not fall on the same idle key.
    turn: Mutex<usize>,
}

struct Member {
    sender: Arc<Sender>,
    /// When it last could not pay for gas.
    poor_since: Mutex<Option<Instant>>,
}

impl Pool {
    /// # Panics
    /// If there is no sender.
    pub(crate) fn new(senders: impl IntoIterator<Item = Sender>) -> Pool {
        let member = |sender| Member { sender: Arc::new(sender), poor_since: Mutex::default() };
        let members: Vec<Member> = senders.into_iter().map(member).collect();
        assert!(!members.is_empty(), "a pool has a key at least");
        Pool { members, turn: Mutex::default() }
    }

    /// Who sends where nothing else is said.
    pub(crate) fn first(&self) -> &Arc<Sender> {
        &self.members[0].sender
    }

    pub(crate) fn senders(&self) -> impl Iterator<Item = &Arc<Sender>> {
        self.members.iter().map(|member| &member.sender)
    }

    pub(crate) fn find(&self, address: Address) -> Result<&Arc<Sender>, SettlementError> {
        self.senders()
            .find(|sender| sender.address() == address)
            .ok_or(SettlementError::NoSuchSender { sender: address })
    }

    /// Sends from the key that is the likeliest to be mined soon; from another one if that cannot
    /// pay for the gas.
    pub(crate) async fn send(
        &self,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        // Keys that are avoided would otherwise never be looked after.
        for sender in self.senders().filter(|sender| sender.is_stuck()) {
            let sender = sender.clone();
            tokio::spawn(async move { sender.tend().await });
        }
        let mut tried = Vec::new();
        loop {
            let (place, busy) = self.choose(&tried);
            let member = &self.members[place];
            let result = busy.send(to, data.clone(), most_gas).await;
            tried.push(place);
            match result {
                Err(error) if cannot_pay(&error) => {
                    let sender = member.sender.address();
                    tracing::error!(%sender, %error, "a sending key has no ether left for gas");
                    *member.poor_since.lock().expect("nothing panics under this lock") =
                        Some(Instant::now());
                    // Nothing was sent, so another key may.
                    if tried.len() == self.members.len() {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// The best key that was not tried yet, counted as busy from now on.
    fn choose(&self, tried: &[usize]) -> (usize, Busy) {
        let now = Instant::now();
        let mut turn = self.turn.lock().expect("nothing panics under this lock");
        let count = self.members.len();
        let place = (0..count)
            .filter(|place| !tried.contains(place))
            .min_by_key(|place| {
                let member = &self.members[*place];
                let after_turn = (place + count - *turn) % count;
                (member.is_poor(now), member.sender.is_stuck(), member.sender.busy(), after_turn)
            })
            .expect("a key that was not tried");
        *turn = (place + 1) % count;
        (place, self.members[place].sender.begin())
    }
}

impl Member {
    fn is_poor(&self, now: Instant) -> bool {
        let since = *self.poor_since.lock().expect("nothing panics under this lock");
        since.is_some_and(|since| now.duration_since(since) < POOR_FOR)
    }
}

/// Whether a node refused because the sender has no ether. There is no code for it, only geth's
/// words, which the other nodes use too.
fn cannot_pay(error: &SettlementError) -> bool {
    matches!(error, SettlementError::Refused { message, .. } if message.contains("insufficient funds"))
}
