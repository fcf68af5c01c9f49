//! Payment channels on a chain (x402's `batch-settlement`): what is in them, and moving it.
//!
//! All channels of a chain live in one contract at [`CONTRACT`]. A payer puts money in through a
//! collector; claims count vouchers as earned; a payout brings the receiver all that was claimed for
//! it, over all channels, in one transfer; refunds and withdrawals bring the rest back to the payer.
//!
//! What can be done is an [`Act`]: [`Settlement::try_in_channels`] tries one, and
//! [`Settlement::do_in_channels`] sends it. Signatures are judged by the contract alone; whoever
//! sends checks them before, or pays for a revert's simulation.
//!
//! Amounts are minor units of the channel's token, in 128 bits as the contract counts them; a number
//! that has more is [`SettlementError::Unreadable`], never cut.

use alloy_primitives::{Address, B256, Bytes, U256, address, aliases::U40};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::{SolCall, SolEvent, SolValue as _, sol};

use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::permit2::PaidPermit;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement};

/// The contract that holds all channels; the same address on every chain.
pub const CONTRACT: Address = address!("0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003");
/// Brings deposits by EIP-3009: the payee of the payer's order.
pub const AUTHORIZATION_COLLECTOR: Address = address!("0x4020806089470a89826cB9fB1f4059150b550004");
/// Brings deposits by Permit2: the spender of the payer's order.
pub const PERMIT_COLLECTOR: Address = address!("0x4020425FAf3B746C082C2f942b4E5159887B0005");

/// The most channels that one transaction claims: at [`CLAIM_GAS`] each, less than half of the
/// smallest block that chains have now (30 million). So 10,000 channels are claimed in 79
/// transactions; the reference sends 100 a transaction.
pub const MAX_CLAIMS: usize = 128;

/// The most gas that one row of a claim may take. A key's voucher takes about 30,000, a contract
/// wallet's own check some more.
pub const CLAIM_GAS: u64 = 100_000;

/// The most gas that a payout may take: one slot and one transfer take about 57,000.
const PAYOUT_GAS: u64 = 120_000;

/// How many channels one request reads, or asks events of: nodes bound both.
const AT_ONCE: usize = 200;

sol! {
    /// What we ask of the contract, as the public one has it at [`CONTRACT`].
    interface Contract {
        struct ChannelConfig {
            address payer;
            address payerAuthorizer;
            address receiver;
            address receiverAuthorizer;
            address token;
            uint40 withdrawDelay;
            bytes32 salt;
        }
        struct Voucher {
            ChannelConfig channel;
            uint128 maxClaimableAmount;
        }
        struct VoucherClaim {
            Voucher voucher;
            bytes signature;
            uint128 totalClaimed;
        }
        function channels(bytes32 channelId) external view returns (uint128 balance, uint128 totalClaimed);
        function pendingWithdrawals(bytes32 channelId) external view returns (uint128 amount, uint40 initiatedAt);
        function refundNonce(bytes32 channelId) external view returns (uint256);
        function receivers(address receiver, address token) external view returns (uint128 totalClaimed, uint128 totalSettled);
        function deposit(ChannelConfig config, uint128 amount, address collector, bytes collectorData) external;
        function claimWithSignature(VoucherClaim[] voucherClaims, bytes authorizerSignature) external;
        function settle(address receiver, address token) external;
        function refundWithSignature(ChannelConfig config, uint128 amount, uint256 nonce, bytes receiverAuthorizerSignature) external;
        function multicall(bytes[] data) external returns (bytes[] results);
        error InvalidChannel();
        error WithdrawDelayOutOfRange();
        error ZeroDeposit();
        error DepositOverflow();
        error InvalidCollector();
        error DepositCollectionFailed();
        error EmptyBatch();
        error NotAuthorizedToClaim();
        error NotReceiverAuthorizer();
        error ClaimExceedsCeiling();
        error ClaimExceedsBalance();
        error InvalidSignature();
        error NotAuthorizedToRefund();
        error InvalidRefundNonce();
        error ZeroRefund();
        event Deposited(bytes32 indexed channelId, address indexed sender, uint128 amount, uint128 newBalance);
        event Claimed(bytes32 indexed channelId, address indexed sender, uint128 claimAmount, uint128 newTotalClaimed);
        event Settled(address indexed receiver, address indexed token, address indexed sender, uint128 amount);
        event Refunded(bytes32 indexed channelId, address indexed sender, uint128 amount);
        event WithdrawInitiated(bytes32 indexed channelId, uint128 amount, uint40 finalizeAfter);
        event WithdrawFinalized(bytes32 indexed channelId, address indexed sender, uint128 amount);
    }
}

/// What a channel is; its name is the hash of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who pays in, and gets back what is not claimed.
    pub payer: Address,
    /// The key that signs vouchers; zero if the payer itself does.
    pub payer_authorizer: Address,
    /// Who is paid.
    pub receiver: Address,
    /// Whose signature claims and refunds.
    pub receiver_authorizer: Address,
    /// The token.
    pub token: Address,
    /// How long a withdrawal waits, in seconds; of 40 bits, and by the contract far fewer.
    pub withdraw_delay: u64,
    /// Tells channels of otherwise equal terms apart.
    pub salt: B256,
}

/// One channel's row in a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which channel.
    pub config: Config,
    /// The most that the voucher lets be claimed, all in all.
    pub most: u128,
    /// The voucher's signature.
    pub signature: Bytes,
    /// All that is claimed, so far and now.
    pub total: u128,
}

/// The payer's word for a deposit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DepositBy {
    /// EIP-3009 `ReceiveWithAuthorization` to [`AUTHORIZATION_COLLECTOR`].
    Authorization {
        /// Valid only after this Unix second.
        valid_after: U256,
        /// Valid only before this Unix second.
        valid_before: U256,
        /// With the channel's name it makes the order's nonce.
        salt: U256,
        /// Of the payer.
        signature: Bytes,
    },
    /// Permit2, with the channel as its witness, to [`PERMIT_COLLECTOR`].
    Permit {
        /// Used once.
        nonce: U256,
        /// Valid until this Unix second.
        deadline: U256,
        /// Of the payer.
        signature: Bytes,
        /// The payer's EIP-2612 approval of Permit2, if that comes along.
        approval: Option<Approval>,
    },
}

/// An EIP-2612 permit by which a payer approves Permit2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// How much; the deposit's amount, or the collector refuses it.
    pub value: U256,
    /// Valid until this Unix second.
    pub deadline: U256,
    /// The signature's recovery byte, 27 or 28.
    pub v: u8,
    /// The signature's first half.
    pub r: B256,
    /// The signature's second half.
    pub s: B256,
}

/// Something to do in channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Puts the payer's money in.
    Deposit {
        /// Which channel.
        config: Config,
        /// How much.
        amount: u128,
        /// By which word of the payer.
        by: DepositBy,
    },
    /// Counts vouchers as earned, at most [`MAX_CLAIMS`].
    Claim {
        /// One row a channel, all of one receiver authorizer.
        rows: Vec<Row>,
        /// Of the receiver authorizer, over the rows in this order.
        signature: Bytes,
    },
    /// Pays the receiver all that was claimed for it.
    PayOut {
        /// To whom.
        receiver: Address,
        /// In which token.
        token: Address,
    },
    /// Gives money back to the payer.
    Refund {
        /// Which channel.
        config: Config,
        /// How much at most.
        amount: u128,
        /// The channel's refund number.
        nonce: U256,
        /// Of the receiver authorizer.
        signature: Bytes,
        /// What is claimed before, in the same transaction: rows and signature as in a claim.
        claims: Option<(Vec<Row>, Bytes)>,
    },
}

/// What the chain has of a channel. A channel that never was is all zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelState {
    /// Paid in, less what went back.
    pub balance: u128,
    /// Claimed, all in all; never more than the balance, and it never falls.
    pub total_claimed: u128,
    /// What the payer has asked to withdraw.
    pub withdrawal: Option<Withdrawal>,
    /// The number of the next refund.
    pub refund_nonce: U256,
}

impl ChannelState {
    /// What is neither claimed nor gone back.
    pub const fn unclaimed(&self) -> u128 {
        self.balance.saturating_sub(self.total_claimed)
    }
}

/// A withdrawal that waits for its delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Withdrawal {
    /// How much at most.
    pub amount: u128,
    /// When it was begun, in Unix seconds.
    pub begun_at: u64,
}

/// What of a channel counts: see [`Settlement::counted_channels`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// As the newest block has it, with a balance that leaves out `coming`.
    pub state: ChannelState,
    /// Paid in by blocks that may still vanish.
    pub coming: u128,
}

/// What a receiver has earned in a token, over all channels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverTotals {
    /// Ever claimed for it.
    pub claimed: u128,
    /// Ever paid out to it.
    pub paid_out: u128,
}

impl ReceiverTotals {
    /// What a payout would bring now.
    pub const fn due(&self) -> u128 {
        self.claimed.saturating_sub(self.paid_out)
    }
}

/// What happened in channels, in a mined block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelEvent {
    /// What.
    pub what: Happened,
    /// By which transaction.
    pub transaction: B256,
    /// In which block.
    pub block: u64,
    /// The event's index in the block: with the block it names the event.
    pub log_index: u64,
}

/// See [`ChannelEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// Money was put in.
    Deposited {
        /// Which channel.
        channel: B256,
        /// How much.
        amount: u128,
    },
    /// More was counted as earned; no token moved.
    Claimed {
        /// Which channel.
        channel: B256,
        /// How much more than before.
        amount: u128,
    },
    /// The payer got money back from the receiver.
    Refunded {
        /// Which channel.
        channel: B256,
        /// How much.
        amount: u128,
    },
    /// The payer asked for money back.
    WithdrawalBegun {
        /// Which channel.
        channel: B256,
        /// How much at most.
        amount: u128,
        /// From which Unix second on it can take it.
        ends_at: u64,
    },
    /// The payer took money back.
    Withdrawn {
        /// Which channel.
        channel: B256,
        /// How much; nothing if all was claimed meanwhile.
        amount: u128,
    },
    /// What was claimed went to its receiver.
    PaidOut {
        /// To whom.
        receiver: Address,
        /// How much.
        amount: u128,
    },
}

impl Settlement {
    /// What the chain has of a channel, all of one block.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Refused`] or [`SettlementError::Unreadable`] also where
    /// the chain has no channels.
    pub async fn channel(&self, channel: B256) -> Result<ChannelState, SettlementError> {
        let states = self.channels(&[channel]).await?;
        states.into_iter().next().ok_or_else(|| unreadable("it tells of no channel".into()))
    }

    /// What the chain has of these channels, in their order. Each 200 are of one block.
    ///
    /// # Errors
    /// As [`Settlement::channel`].
    pub async fn channels(&self, channels: &[B256]) -> Result<Vec<ChannelState>, SettlementError> {
        let mut states = Vec::with_capacity(channels.len());
        for some in channels.chunks(AT_ONCE) {
            let calls = some.iter().flat_map(|&channel| {
                [
                    Contract::channelsCall { channelId: channel }.abi_encode().into(),
                    Contract::pendingWithdrawalsCall { channelId: channel }.abi_encode().into(),
                    Contract::refundNonceCall { channelId: channel }.abi_encode().into(),
                ]
            });
            let answers =
                self.read_checked(Contract::multicallCall { data: calls.collect() }).await?;
            if answers.len() != 3 * some.len() {
                return Err(unreadable(format!("{} answers", answers.len())));
            }
            for answer in answers.chunks_exact(3) {
                states.push(state(answer)?);
            }
        }
        Ok(states)
    }

    /// What of these channels counts, in their order: deposits above [`Settlement::safe_head`] are
    /// left out of the balance, and all that takes money out is in it at once. So no
    /// reorganisation that the confirmations allow for leaves less than is told here.
    ///
    /// # Errors
    /// As [`Settlement::channel`].
    pub async fn counted_channels(
        &self,
        channels: &[B256],
    ) -> Result<Vec<Counted>, SettlementError> {
        // In this order: a deposit that comes in between is left out, and none is counted too early.
        let safe = if self.confirmations > 0 { Some(self.safe_head().await?) } else { None };
        let states = self.channels(channels).await?;
        let mut counted: Vec<Counted> =
            states.into_iter().map(|state| Counted { state, coming: 0 }).collect();
        let Some(safe) = safe else { return Ok(counted) };
        let newest = self.block_number().await?;
        if newest > safe {
            for event in self.channel_events(channels, &[], safe + 1, newest).await? {
                let Happened::Deposited { channel, amount } = event.what else { continue };
                let of = channels.iter().zip(&mut counted).filter(|(id, _)| **id == channel);
                for (_, one) in of {
                    one.coming = one.coming.saturating_add(amount);
                    one.state.balance = one.state.balance.saturating_sub(amount);
                }
            }
        }
        Ok(counted)
    }

    /// What a receiver has earned in a token.
    ///
    /// # Errors
    /// As [`Settlement::channel`].
    pub async fn receiver_totals(
        &self,
        receiver: Address,
        token: Address,
    ) -> Result<ReceiverTotals, SettlementError> {
        let totals = self.read_checked(Contract::receiversCall { receiver, token }).await?;
        Ok(ReceiverTotals { claimed: totals.totalClaimed, paid_out: totals.totalSettled })
    }

    /// Tries an act without sending it.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] with the contract's reason if it would fail;
    /// [`SettlementError::Refused`] for a claim of no rows or more than [`MAX_CLAIMS`].
    pub async fn try_in_channels(&self, act: &Act) -> Result<(), SettlementError> {
        let tried = self.simulate_call(CONTRACT, act.call()?, act.most_gas()).await;
        tried.map(drop).map_err(named)
    }

    /// Sends an act, and waits until it is mined.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]; [`SettlementError::Refused`] as when it is tried.
    pub async fn do_in_channels(&self, act: &Act) -> Result<Receipt, SettlementError> {
        self.send(CONTRACT, act.call()?, act.most_gas()).await.map_err(named)
    }

    /// What happened in these channels, and which payouts these receivers got in this token, in
    /// blocks `from..=to`, in order.
    ///
    /// # Errors
    /// As every reading; nodes bound how many blocks they search.
    pub async fn channel_events(
        &self,
        channels: &[B256],
        receivers: &[Address],
        from: u64,
        to: u64,
    ) -> Result<Vec<ChannelEvent>, SettlementError> {
        let range = || Filter::new().address(CONTRACT).from_block(from).to_block(to);
        let of_channels = vec![
            Contract::Deposited::SIGNATURE_HASH,
            Contract::Claimed::SIGNATURE_HASH,
            Contract::Refunded::SIGNATURE_HASH,
            Contract::WithdrawInitiated::SIGNATURE_HASH,
            Contract::WithdrawFinalized::SIGNATURE_HASH,
        ];
        let mut logs = Vec::new();
        for some in channels.chunks(AT_ONCE) {
            let filter = range().event_signature(of_channels.clone()).topic1(some.to_vec());
            logs.extend(self.logs(filter).await?);
        }
        for some in receivers.chunks(AT_ONCE) {
            let topics: Vec<B256> = some.iter().map(|r| r.into_word()).collect();
            let filter = range()
                .event_signature(Contract::Settled::SIGNATURE_HASH)
                .topic1(topics)
                .topic2(self.token().address);
            logs.extend(self.logs(filter).await?);
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        // One that was asked for twice happened once.
        logs.dedup_by_key(|log| (log.block_number, log.log_index));
        logs.iter().map(event).collect()
    }

    async fn logs(&self, filter: Filter) -> Result<Vec<Log>, SettlementError> {
        self.provider
            .get_logs(&filter)
            .await
            .map_err(|e| failure(self.endpoint(), "the channels' events", e))
    }

    /// Asks the contract, and takes no number that is cut.
    async fn read_checked<C: SolCall>(&self, call: C) -> Result<C::Return, SettlementError> {
        let answer = self.simulate_call(CONTRACT, call.abi_encode().into(), READ_GAS).await?;
        C::abi_decode_returns_validate(&answer).map_err(|e| unreadable(e.to_string()))
    }
}

/// The most gas that a reading may take: 200 channels of five slots take about three million.
const READ_GAS: u64 = 10_000_000;

fn state(answer: &[Bytes]) -> Result<ChannelState, SettlementError> {
    fn read<C: SolCall>(answer: &Bytes) -> Result<C::Return, SettlementError> {
        C::abi_decode_returns_validate(answer).map_err(|e| unreadable(e.to_string()))
    }
    let channel = read::<Contract::channelsCall>(&answer[0])?;
    let waiting = read::<Contract::pendingWithdrawalsCall>(&answer[1])?;
    let begun_at: u64 = waiting.initiatedAt.to();
    Ok(ChannelState {
        balance: channel.balance,
        total_claimed: channel.totalClaimed,
        withdrawal: (begun_at != 0).then_some(Withdrawal { amount: waiting.amount, begun_at }),
        refund_nonce: read::<Contract::refundNonceCall>(&answer[2])?,
    })
}

fn event(log: &Log) -> Result<ChannelEvent, SettlementError> {
    fn read<E: SolEvent>(log: &Log) -> Result<E, SettlementError> {
        E::decode_log_validate(&log.inner).map(|l| l.data).map_err(|e| unreadable(e.to_string()))
    }
    let what = match log.topic0() {
        Some(&Contract::Deposited::SIGNATURE_HASH) => {
            let it = read::<Contract::Deposited>(log)?;
            Happened::Deposited { channel: it.channelId, amount: it.amount }
        }
        Some(&Contract::Claimed::SIGNATURE_HASH) => {
            let it = read::<Contract::Claimed>(log)?;
            Happened::Claimed { channel: it.channelId, amount: it.claimAmount }
        }
        Some(&Contract::Refunded::SIGNATURE_HASH) => {
            let it = read::<Contract::Refunded>(log)?;
            Happened::Refunded { channel: it.channelId, amount: it.amount }
        }
        Some(&Contract::WithdrawInitiated::SIGNATURE_HASH) => {
            let it = read::<Contract::WithdrawInitiated>(log)?;
            let ends_at = it.finalizeAfter.to();
            Happened::WithdrawalBegun { channel: it.channelId, amount: it.amount, ends_at }
        }
        Some(&Contract::WithdrawFinalized::SIGNATURE_HASH) => {
            let it = read::<Contract::WithdrawFinalized>(log)?;
            Happened::Withdrawn { channel: it.channelId, amount: it.amount }
        }
        Some(&Contract::Settled::SIGNATURE_HASH) => {
            let it = read::<Contract::Settled>(log)?;
            Happened::PaidOut { receiver: it.receiver, amount: it.amount }
        }
        other => return Err(unreadable(format!("an event {other:?} that nobody asked for"))),
    };
    let missing = || unreadable("an event is not in a block".into());
    Ok(ChannelEvent {
        what,
        transaction: log.transaction_hash.ok_or_else(missing)?,
        block: log.block_number.ok_or_else(missing)?,
        log_index: log.log_index.ok_or_else(missing)?,
    })
}

/// The contract's own name for why it reverted, where it has one.
fn named(error: SettlementError) -> SettlementError {
    error.named_by(Contract::ContractErrors::name_by_selector)
}

fn unreadable(cause: String) -> SettlementError {
    SettlementError::Unreadable { what: "the channels' contract", cause }
}

impl Act {
    /// The call to [`CONTRACT`].
    fn call(&self) -> Result<Bytes, SettlementError> {
        Ok(match self {
            Act::Deposit { config, amount, by } => Contract::depositCall {
                config: config.written()?,
                amount: *amount,
                collector: by.collector(),
                collectorData: by.written(),
            }
            .abi_encode()
            .into(),
            Act::Claim { rows, signature } => claim(rows, signature)?,
            Act::PayOut { receiver, token } => {
                Contract::settleCall { receiver: *receiver, token: *token }.abi_encode().into()
            }
            Act::Refund { config, amount, nonce, signature, claims } => {
                let refund: Bytes = Contract::refundWithSignatureCall {
                    config: config.written()?,
                    amount: *amount,
                    nonce: *nonce,
                    receiverAuthorizerSignature: signature.clone(),
                }
                .abi_encode()
                .into();
                match claims {
                    None => refund,
                    Some((rows, signature)) => {
                        let data = vec![claim(rows, signature)?, refund];
                        Contract::multicallCall { data }.abi_encode().into()
                    }
                }
            }
        })
    }

    fn most_gas(&self) -> u64 {
        let claims = |rows: &[Row]| CLAIM_GAS * u64::try_from(rows.len()).unwrap_or(u64::MAX);
        match self {
            Act::Deposit { .. } => PAYMENT_GAS,
            Act::Claim { rows, .. } => PAYMENT_GAS + claims(rows),
            Act::PayOut { .. } => PAYOUT_GAS,
            Act::Refund { claims: None, .. } => PAYMENT_GAS,
            Act::Refund { claims: Some((rows, _)), .. } => PAYMENT_GAS + claims(rows),
        }
    }
}

/// The permit by which a call to [`CONTRACT`] brings a deposit, if that is what it does.
pub(crate) fn permit_of_deposit(input: &[u8]) -> Option<PaidPermit> {
    let call = Contract::depositCall::abi_decode(input).ok()?;
    if call.collector != PERMIT_COLLECTOR {
        return None;
    }
    let (nonce, ..) = <(U256, U256, Bytes, Bytes)>::abi_decode_params(&call.collectorData).ok()?;
    let Contract::ChannelConfig { payer, token, .. } = call.config;
    Some(PaidPermit { payer, payee: CONTRACT, token, nonce })
}

fn claim(rows: &[Row], signature: &Bytes) -> Result<Bytes, SettlementError> {
    if rows.is_empty() || rows.len() > MAX_CLAIMS {
        return Err(refused(format!("a claim has 1 to {MAX_CLAIMS} rows, not {}", rows.len())));
    }
    let written = rows.iter().map(|row| {
        Ok(Contract::VoucherClaim {
            voucher: Contract::Voucher {
                channel: row.config.written()?,
                maxClaimableAmount: row.most,
            },
            signature: row.signature.clone(),
            totalClaimed: row.total,
        })
    });
    let call = Contract::claimWithSignatureCall {
        voucherClaims: written.collect::<Result<_, SettlementError>>()?,
        authorizerSignature: signature.clone(),
    };
    Ok(call.abi_encode().into())
}

fn refused(message: String) -> SettlementError {
    SettlementError::Refused { what: "an act in channels", code: -32602, message }
}

impl Config {
    pub(crate) fn written(&self) -> Result<Contract::ChannelConfig, SettlementError> {
        let delay = U40::try_from(self.withdraw_delay).map_err(|_| {
            refused(format!("a withdraw delay of {} seconds has over 40 bits", self.withdraw_delay))
        })?;
        Ok(Contract::ChannelConfig {
            payer: self.payer,
            payerAuthorizer: self.payer_authorizer,
            receiver: self.receiver,
            receiverAuthorizer: self.receiver_authorizer,
            token: self.token,
            withdrawDelay: delay,
            salt: self.salt,
        })
    }
}

impl DepositBy {
    const fn collector(&self) -> Address {
        match self {
            DepositBy::Authorization { .. } => AUTHORIZATION_COLLECTOR,
            DepositBy::Permit { .. } => PERMIT_COLLECTOR,
        }
    }

    /// What the collector is handed, as the reference SDK encodes it.
    fn written(&self) -> Bytes {
        match self {
            DepositBy::Authorization { valid_after, valid_before, salt, signature } => {
                (*valid_after, *valid_before, *salt, signature.clone()).abi_encode_params().into()
            }
            DepositBy::Permit { nonce, deadline, signature, approval } => {
                let approval = approval.map_or_else(Bytes::new, |a| {
                    (a.value, a.deadline, U256::from(a.v), a.r, a.s).abi_encode_params().into()
                });
                (*nonce, *deadline, signature.clone(), approval).abi_encode_params().into()
            }
        }
    }
}
