//! Payments through Permit2 and x402's two proxies for it: try, settle, and learn what became of
//! one.
//!
//! A permit names its proxy, its payee and its most; the proxy carries it out once (`exact`: all
//! of it; `upto`: as much as its facilitator says). Permit2 keeps which of a payer's numbers are
//! spent and says nothing of the payment, so what became of a permit is read from the token's own
//! transfers and from the call that made them. Only a call straight to the proxy is believed:
//! what a contract in between was told proves nothing of what it did.

use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_network::TransactionBuilder as _;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::{Filter, Transaction, TransactionRequest};
use alloy_sol_types::{SolCall as _, SolEvent as _, SolStruct as _, sol};
use protocol::addresses::{PERMIT2, X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY};
use protocol::bindings::permit2::{ExactPermit2Proxy, Permit2, UptoPermit2Proxy};
use protocol::permit2::{
    ExactOrder, SignedApproval, UptoOrder, nonce_place, permit2_domain, settle_exact,
    settle_exact_with_approval, settle_upto, settle_upto_with_approval,
};

use crate::channels;
use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::search::backwards;
use crate::sender::Receipt;
use crate::token::{Dollar, PAYMENT_GAS, Settlement};

sol! {
    /// What Permit2 needs of a token (ERC-20), and what lets a payer approve it without gas
    /// (EIP-2612).
    interface Approvable {
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function nonces(address owner) external view returns (uint256);
    }
}

/// How long before its end a permit may have been used and still be found. A gate takes no payment
/// that is good for more than its timeout and a day.
const SEARCHED_BEFORE_END: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// How long somebody's own transaction may take to be mined.
const FOREIGN_WAIT: Duration = Duration::from_secs(30);

/// What a payer signed for one of x402's proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitOrder {
    /// To move all of it.
    Exact(ExactOrder),
    /// To move at most that much.
    Upto(UptoOrder),
}

/// A payer's signed order to one of x402's proxies for Permit2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// Who pays.
    pub payer: Address,
    /// What was signed.
    pub order: PermitOrder,
    /// 65 bytes of a key, or what a contract wallet (EIP-1271) accepts.
    pub signature: Bytes,
}

impl SignedPermit {
    /// The token.
    pub fn token(&self) -> Address {
        match &self.order {
            PermitOrder::Exact(order) => order.permitted.token,
            PermitOrder::Upto(order) => order.permitted.token,
        }
    }

    /// The most that it can move, in minor units; of an exact one, all that it can.
    pub fn most(&self) -> U256 {
        match &self.order {
            PermitOrder::Exact(order) => order.permitted.amount,
            PermitOrder::Upto(order) => order.permitted.amount,
        }
    }

    /// Who may use it: x402's proxy, if it is to be any good.
    pub fn spender(&self) -> Address {
        match &self.order {
            PermitOrder::Exact(order) => order.spender,
            PermitOrder::Upto(order) => order.spender,
        }
    }

    /// The payer's one-time number for it.
    pub fn nonce(&self) -> U256 {
        match &self.order {
            PermitOrder::Exact(order) => order.nonce,
            PermitOrder::Upto(order) => order.nonce,
        }
    }

    /// The last Unix second at which it is good.
    pub fn deadline(&self) -> U256 {
        match &self.order {
            PermitOrder::Exact(order) => order.deadline,
            PermitOrder::Upto(order) => order.deadline,
        }
    }

    /// Who is paid.
    pub fn payee(&self) -> Address {
        match &self.order {
            PermitOrder::Exact(order) => order.witness.to,
            PermitOrder::Upto(order) => order.witness.to,
        }
    }

    /// The first Unix second at which it is good.
    pub fn valid_after(&self) -> U256 {
        match &self.order {
            PermitOrder::Exact(order) => order.witness.validAfter,
            PermitOrder::Upto(order) => order.witness.validAfter,
        }
    }

    /// Who alone may settle it; anybody, if it is exact.
    pub fn facilitator(&self) -> Option<Address> {
        match &self.order {
            PermitOrder::Exact(_) => None,
            PermitOrder::Upto(order) => Some(order.witness.facilitator),
        }
    }

    /// The proxy that carries such an order out.
    pub fn proxy(&self) -> Address {
        match &self.order {
            PermitOrder::Exact(_) => X402_EXACT_PERMIT2_PROXY,
            PermitOrder::Upto(_) => X402_UPTO_PERMIT2_PROXY,
        }
    }

    /// What the payer's signature is over (EIP-712), on the chain with this id.
    pub fn signing_hash(&self, chain_id: u64) -> B256 {
        let domain = permit2_domain(chain_id);
        match &self.order {
            PermitOrder::Exact(order) => order.eip712_signing_hash(&domain),
            PermitOrder::Upto(order) => order.eip712_signing_hash(&domain),
        }
    }

    /// The call by which the proxy moves `amount` of it; of an exact one all is moved.
    fn call(&self, amount: U256, approval: Option<&SignedApproval>) -> Bytes {
        let (payer, signature) = (self.payer, self.signature.clone());
        match (&self.order, approval) {
            (PermitOrder::Exact(order), None) => {
                settle_exact(order, payer, signature).abi_encode().into()
            }
            (PermitOrder::Exact(order), Some(approval)) => {
                settle_exact_with_approval(approval, order, payer, signature).abi_encode().into()
            }
            (PermitOrder::Upto(order), None) => {
                settle_upto(order, amount, payer, signature).abi_encode().into()
            }
            (PermitOrder::Upto(order), Some(approval)) => {
                let call = settle_upto_with_approval(approval, order, amount, payer, signature);
                call.abi_encode().into()
            }
        }
    }
}

/// What the chain says of a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitState {
    /// Its number is not spent: it may still be used while it is valid.
    Unused,
    /// It moved money.
    Used {
        /// The transaction that did it.
        transaction: B256,
        /// Its block.
        block: u64,
        /// Who was paid.
        to: Address,
        /// Minor units that moved.
        value: U256,
    },
    /// The payer took its number back: it can never move money.
    Cancelled,
    /// Its number is spent, and no call of the proxy tells for what: for another order of the
    /// same number, or for this one through a contract in between.
    Elsewhere,
}

impl Settlement {
    /// Tries a permit without sending it: whether the proxy would move `amount` now.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] with what the contract says if it would fail.
    pub async fn simulate_permit(
        &self,
        permit: &SignedPermit,
        amount: U256,
        approval: Option<&SignedApproval>,
    ) -> Result<(), SettlementError> {
        let request = TransactionRequest::default()
            .with_from(permit.facilitator().unwrap_or_else(|| self.sender()))
            .with_to(permit.proxy())
            .with_gas_limit(PAYMENT_GAS)
            .with_input(permit.call(amount, approval));
        let tried = self.provider.call(request).await;
        tried.map(drop).map_err(|e| failure(&self.endpoint, "a simulated payment", e))
    }

    /// Moves `amount` by a permit, after the payer's `approval` of Permit2 if one came along, and
    /// waits until that is mined.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]. After [`SettlementError::Pending`], ask
    /// [`Settlement::permit_state`].
    pub async fn settle_permit(
        &self,
        permit: &SignedPermit,
        amount: U256,
        approval: Option<&SignedApproval>,
    ) -> Result<Receipt, SettlementError> {
        let call = permit.call(amount, approval);
        match permit.facilitator() {
            None => self.send(permit.proxy(), call, PAYMENT_GAS).await,
            // Its proxy takes it from nobody else.
            Some(us) => self.send_from(us, permit.proxy(), call, PAYMENT_GAS).await,
        }
    }

    /// How much of a token Permit2 may take from a payer, in minor units.
    ///
    /// # Errors
    /// As every reading.
    pub async fn allowed_to_permit2(
        &self,
        token: Address,
        owner: Address,
    ) -> Result<U256, SettlementError> {
        self.read(token, Approvable::allowanceCall { owner, spender: PERMIT2 }).await
    }

    /// How much of any token somebody owns, in minor units.
    ///
    /// # Errors
    /// As every reading.
    pub async fn balance_of(
        &self,
        token: Address,
        account: Address,
    ) -> Result<U256, SettlementError> {
        self.read(token, Approvable::balanceOfCall { account }).await
    }

    /// A payer's next number for an approval by signature (EIP-2612).
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Reverted`] or [`SettlementError::Unreadable`] if the
    /// token has no such approvals.
    pub async fn approval_nonce(&self, owner: Address) -> Result<U256, SettlementError> {
        self.read(self.token().address, Approvable::noncesCall { owner }).await
    }

    /// Whether a payer's number for a permit is spent: used or taken back.
    ///
    /// # Errors
    /// As every reading.
    pub async fn permit_used(&self, payer: Address, nonce: U256) -> Result<bool, SettlementError> {
        let (word, bit) = nonce_place(nonce);
        let spent = self.read(PERMIT2, Permit2::nonceBitmapCall { owner: payer, word }).await?;
        Ok(!(spent & bit).is_zero())
    }

    /// What became of a permit. Its transaction is searched from the newest block back to three
    /// days before the permit's end.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Pending`] while it is used in a block above
    /// [`Settlement::safe_head`], which may vanish.
    pub async fn permit_state(
        &self,
        permit: &SignedPermit,
    ) -> Result<PermitState, SettlementError> {
        self.fate(&Sought {
            payer: permit.payer,
            payee: permit.payee(),
            token: permit.token(),
            nonce: permit.nonce(),
            most: permit.most(),
            deadline: permit.deadline(),
        })
        .await
    }

    /// What became of a deposit of `amount` by Permit2 into a channel. As
    /// [`Settlement::permit_state`]: only a call straight to the channels' contract is believed.
    ///
    /// # Errors
    /// As [`Settlement::permit_state`].
    pub async fn deposit_permit_state(
        &self,
        payer: Address,
        nonce: U256,
        amount: U256,
        deadline: U256,
    ) -> Result<PermitState, SettlementError> {
        let (payee, token) = (channels::CONTRACT, self.token().address);
        self.fate(&Sought { payer, payee, token, nonce, most: amount, deadline }).await
    }

    async fn fate(&self, permit: &Sought) -> Result<PermitState, SettlementError> {
        if !self.permit_used(permit.payer, permit.nonce).await? {
            return Ok(PermitState::Unused);
        }
        let earliest = u64::try_from(permit.deadline)
            .unwrap_or(u64::MAX)
            .saturating_sub(SEARCHED_BEFORE_END.as_secs());
        let transfers = Filter::new()
            .address(permit.token)
            .event_signature(Dollar::Transfer::SIGNATURE_HASH)
            .topic1(permit.payer)
            .topic2(permit.payee);
        let taken_back = Filter::new()
            .address(PERMIT2)
            .event_signature(Permit2::UnorderedNonceInvalidation::SIGNATURE_HASH)
            .topic1(permit.payer);
        let (word, bit) = nonce_place(permit.nonce);
        let (mut cancelled, mut is_whole) = (false, false);
        // Asked after it was seen to be spent, so it is in a block up to this one.
        let newest = self.block_number().await?;
        let safe = if self.confirmations > 0 { self.safe_head().await? } else { newest };
        for (first, last) in backwards(0, newest) {
            if let Some(used) = self.use_between(permit, &transfers, first, last).await? {
                if let PermitState::Used { transaction, block, .. } = used
                    && block > safe
                {
                    return Err(SettlementError::Pending { transaction });
                }
                return Ok(used);
            }
            let range = taken_back.clone().from_block(first).to_block(last);
            let logs = self.provider.get_logs(&range).await;
            let logs = logs.map_err(|e| failure(&self.endpoint, "numbers taken back", e))?;
            // A number may be taken back after it was used, so the search goes on all the same.
            cancelled |= logs
                .iter()
                .filter(|l| l.block_number.is_some_and(|block| block <= safe))
                .filter_map(|l| Permit2::UnorderedNonceInvalidation::decode_log(&l.inner).ok())
                .any(|event| event.word == word && !(event.mask & bit).is_zero());
            if first == 0 || self.block_time(first).await? < earliest {
                is_whole = true;
                break;
            }
        }
        if !is_whole {
            return Err(SettlementError::Unreadable {
                what: "what became of a payment through Permit2",
                cause: "it ended so long ago that its blocks are not searched".into(),
            });
        }
        Ok(if cancelled { PermitState::Cancelled } else { PermitState::Elsewhere })
    }

    async fn use_between(
        &self,
        permit: &Sought,
        transfers: &Filter,
        first: u64,
        last: u64,
    ) -> Result<Option<PermitState>, SettlementError> {
        let range = transfers.clone().from_block(first).to_block(last);
        let logs = self.provider.get_logs(&range).await;
        let logs = logs.map_err(|e| failure(&self.endpoint, "transfers", e))?;
        for log in logs.iter().rev() {
            let Ok(transfer) = Dollar::Transfer::decode_log(&log.inner) else { continue };
            let (Some(transaction), Some(block)) = (log.transaction_hash, log.block_number) else {
                continue;
            };
            if transfer.value > permit.most {
                continue;
            }
            let Some(paid) = self.permit_behind(transaction).await? else { continue };
            if paid.payer == permit.payer && paid.nonce == permit.nonce {
                let (to, value) = (transfer.to, transfer.value);
                return Ok(Some(PermitState::Used { transaction, block, to, value }));
            }
        }
        Ok(None)
    }

    /// The permit that a transaction carried out, if it is a call straight to one of the proxies, or
    /// a deposit straight into a channel.
    pub(crate) async fn permit_behind(
        &self,
        transaction: B256,
    ) -> Result<Option<PaidPermit>, SettlementError> {
        let found = self
            .provider
            .get_transaction_by_hash(transaction)
            .await
            .map_err(|e| failure(&self.endpoint, "a transaction", e))?;
        Ok(found.as_ref().and_then(PaidPermit::read))
    }

    /// When a block was made, in Unix seconds.
    pub(crate) async fn block_time(&self, number: u64) -> Result<u64, SettlementError> {
        let block = self
            .provider
            .get_block_by_number(number.into())
            .await
            .map_err(|e| failure(&self.endpoint, "a block", e))?;
        block.map(|b| b.header.timestamp).ok_or(SettlementError::Unreadable {
            what: "a block",
            cause: "the node does not have it".into(),
        })
    }

    /// How many transactions an account has sent, mined ones only.
    ///
    /// # Errors
    /// As every reading.
    pub async fn transactions_of(&self, account: Address) -> Result<u64, SettlementError> {
        self.provider
            .get_transaction_count(account)
            .await
            .map_err(|e| failure(&self.endpoint, "an account's transactions", e))
    }

    /// Hands somebody's own signed transaction to the chain, and waits until it is mined.
    ///
    /// # Errors
    /// [`SettlementError::Refused`] if the node does not take it, [`SettlementError::Reverted`] if
    /// it was mined and failed, [`SettlementError::Pending`] if it is not mined within 30 seconds.
    pub async fn carry_raw(
        &self,
        transaction: B256,
        raw: &[u8],
    ) -> Result<Receipt, SettlementError> {
        let deadline = tokio::time::Instant::now() + FOREIGN_WAIT;
        // It may be mined already, by us or by somebody else.
        if let Some(receipt) = self.receipt(transaction).await? {
            return Ok(receipt);
        }
        let sent = self.provider.send_raw_transaction(raw).await;
        match sent.map_err(|e| failure(&self.endpoint, "a transaction", e)) {
            Ok(_) => {}
            Err(SettlementError::Refused { message, .. }) if message.contains("already") => {}
            Err(error) => return Err(error),
        }
        let mut pause = Duration::from_millis(5);
        loop {
            if let Some(receipt) = self.receipt(transaction).await? {
                return Ok(receipt);
            }
            if tokio::time::Instant::now() + pause > deadline {
                return Err(SettlementError::Pending { transaction });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

/// A permit whose fate is asked for.
struct Sought {
    payer: Address,
    payee: Address,
    token: Address,
    nonce: U256,
    /// The most that it can move.
    most: U256,
    deadline: U256,
}

/// The permit that a call to a proxy, or to the channels' contract, carries out, as far as it names
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaidPermit {
    pub(crate) payer: Address,
    pub(crate) payee: Address,
    pub(crate) token: Address,
    pub(crate) nonce: U256,
}

impl PaidPermit {
    fn read(transaction: &Transaction) -> Option<PaidPermit> {
        PaidPermit::of_call(transaction.to()?, transaction.input())
    }

    /// Reads the call of a proxy. What follows the arguments is let be: some clients append a
    /// mark of their own.
    fn of_call(proxy: Address, input: &[u8]) -> Option<PaidPermit> {
        let selector: [u8; 4] = input.get(..4)?.try_into().ok()?;
        macro_rules! named {
            ($call:ty) => {{
                let call = <$call>::abi_decode(input).ok()?;
                Some(PaidPermit {
                    payer: call.owner,
                    payee: call.witness.to,
                    token: call.permit.permitted.token,
                    nonce: call.permit.nonce,
                })
            }};
        }
        match (proxy, selector) {
            (X402_EXACT_PERMIT2_PROXY, ExactPermit2Proxy::settleCall::SELECTOR) => {
                named!(ExactPermit2Proxy::settleCall)
            }
            (X402_EXACT_PERMIT2_PROXY, ExactPermit2Proxy::settleWithPermitCall::SELECTOR) => {
                named!(ExactPermit2Proxy::settleWithPermitCall)
            }
            (X402_UPTO_PERMIT2_PROXY, UptoPermit2Proxy::settleCall::SELECTOR) => {
                named!(UptoPermit2Proxy::settleCall)
            }
            (X402_UPTO_PERMIT2_PROXY, UptoPermit2Proxy::settleWithPermitCall::SELECTOR) => {
                named!(UptoPermit2Proxy::settleWithPermitCall)
            }
            (channels::CONTRACT, _) => channels::permit_of_deposit(input),
            _ => None,
        }
    }
}
