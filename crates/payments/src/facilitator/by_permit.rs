//! Payments through Permit2: scheme `exact` by Permit2, and `upto`.

use alloy_primitives::{Address, B256, U256};
use settlement::{SettlementError, SignedPermit, WrappedSignature};

use super::{EmbeddedFacilitator, UNSURE};
use crate::exact;
use crate::permit::{self, Invalid};
use crate::sponsoring::{self, Sponsoring};
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};

/// A payment whose form, terms and signature are good.
struct Checked {
    permit: SignedPermit,
    /// How to make the payer's wallet first; the permit then has the wallet's own signature.
    wallet: Option<WrappedSignature>,
    sponsoring: Option<Sponsoring>,
}

/// Why a settlement did not succeed, and by which transaction it may yet.
type Unsettled = (Invalid, Option<B256>);

impl EmbeddedFacilitator {
    /// Whether a payment through Permit2 would settle now, at its full amount.
    pub(super) async fn verify_permit(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> VerifyResponse {
        let metered = requirements.scheme == permit::UPTO;
        let asked = requirements.amount.parse::<U256>().ok();
        let (payer, checked) = self.check_permit(payment, requirements, asked).await;
        let reason = match checked {
            Ok(checked) => self.try_permit(&checked, checked.permit.most()).await.err(),
            Err(reason) => Some(reason),
        };
        VerifyResponse {
            is_valid: reason.is_none(),
            invalid_reason: reason.map(|r| match r {
                Invalid::ChainUnreachable => UNSURE.to_string(),
                reason => reason.code(metered).to_string(),
            }),
            invalid_message: reason.map(|r| r.to_string()),
            payer: payer.map(|p| p.to_string()),
            extra: None,
        }
    }

    /// Carries a payment through Permit2 to the chain. Of an `upto` payment the required amount is
    /// the charge: at most what was signed, and without a transaction if it is nothing.
    pub(super) async fn settle_permit(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> SettleResponse {
        let metered = requirements.scheme == permit::UPTO;
        let charge = requirements.amount.parse::<U256>().ok();
        let signed = permit::read(&payment.payload).ok().map(|p| p.most());
        let asked = if metered { signed } else { charge };
        let (payer, checked) = self.check_permit(payment, requirements, asked).await;
        let settled = match (checked, charge) {
            (Err(reason), _) => Err((reason, None)),
            (Ok(_), None) => Err((Invalid::Amount, None)),
            (Ok(_), Some(charge)) if metered && charge.is_zero() => Ok(None),
            (Ok(checked), Some(charge)) if charge > checked.permit.most() => {
                Err((Invalid::ExceedsAmount, None))
            }
            (Ok(checked), Some(charge)) => {
                let chain_id = self.chain.token().chain_id;
                match self.begin_settling(permit::reference(&checked.permit, chain_id)) {
                    Some(_listed) => self.settle_checked_permit(&checked, charge).await.map(Some),
                    None => Err((Invalid::NonceUsed, None)),
                }
            }
        };
        let (reason, transaction) = match settled {
            Ok(transaction) => (None, transaction),
            Err((reason, transaction)) => (Some(reason), transaction),
        };
        SettleResponse {
            success: reason.is_none(),
            error_reason: reason.map(|r| r.code(metered).to_string()),
            error_message: reason.map(|r| r.to_string()),
            payer: payer.map(|p| p.to_string()),
            transaction: transaction.map(|t| t.to_string()).unwrap_or_default(),
            network: requirements.network.clone(),
            amount: reason.is_none().then(|| requirements.amount.clone()),
            ..SettleResponse::default()
        }
    }

    /// Everything but the simulation, in the order of the reference. `asked` is what must have
    /// been signed.
    async fn check_permit(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        asked: Option<U256>,
    ) -> (Option<Address>, Result<Checked, Invalid>) {
        let read = permit::read(&payment.payload);
        let payer = read.as_ref().ok().map(|p| p.payer);
        let checked = async {
            let signed = read.map_err(|_| Invalid::PayloadType)?;
            let mut permit = self.check_permit_terms(signed, payment, requirements, asked)?;
            if permit.token() != self.chain.token().address {
                return Err(match self.chain.is_contract(permit.token()).await {
                    Ok(true) => Invalid::Token,
                    Ok(false) => Invalid::AssetMissing,
                    Err(_) => Invalid::ChainUnreachable,
                });
            }
            let wallet = self.check_permit_signature(&mut permit).await?;
            let sponsoring = sponsoring::read(payment, &permit, self.clock.now())?;
            Ok(Checked { permit, wallet, sponsoring })
        };
        (payer, checked.await)
    }

    fn check_permit_terms(
        &self,
        permit: SignedPermit,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        asked: Option<U256>,
    ) -> Result<SignedPermit, Invalid> {
        let metered = requirements.scheme == permit::UPTO;
        // An `upto` order names its facilitator, an `exact` one does not.
        if metered && permit.facilitator().is_none() && permit.spender() != permit.proxy() {
            return Err(Invalid::PayloadType);
        }
        if payment.accepted.scheme != requirements.scheme
            || !(metered || requirements.scheme == exact::SCHEME)
        {
            return Err(Invalid::Scheme);
        }
        if payment.accepted.network != requirements.network
            || requirements.network != wire::network(self.chain.token().chain_id)
        {
            return Err(Invalid::Network);
        }
        if permit.spender() != permit.proxy() || permit.facilitator().is_some() != metered {
            return Err(Invalid::Spender);
        }
        if requirements.pay_to.parse::<Address>().ok() != Some(permit.payee()) {
            return Err(Invalid::Recipient);
        }
        if permit.facilitator().is_some_and(|named| !self.is_us(named)) {
            return Err(Invalid::Facilitator);
        }
        permit::check_window(&permit, self.clock.now())?;
        if asked != Some(permit.most()) {
            return Err(Invalid::Amount);
        }
        if requirements.asset.parse::<Address>().ok() != Some(permit.token()) {
            return Err(Invalid::Token);
        }
        Ok(permit)
    }

    /// Whether transactions can be sent from this address here.
    fn is_us(&self, address: Address) -> bool {
        self.chain.senders().contains(&address)
    }

    /// As Permit2 will judge: the key of an account without code, EIP-1271 of one with code. Permit2
    /// knows no wrapping, so the signature loses it. A wallet that does not exist yet (EIP-6492) is
    /// judged when the payment is tried, since only then it is there; how to make it is returned.
    async fn check_permit_signature(
        &self,
        permit: &mut SignedPermit,
    ) -> Result<Option<WrappedSignature>, Invalid> {
        let chain_id = self.chain.token().chain_id;
        let unreachable = |_| Invalid::ChainUnreachable;
        let is_contract = self.chain.is_contract(permit.payer).await.map_err(unreachable)?;
        let wrapped = WrappedSignature::read(&permit.signature);
        if let Some(wrapped) = &wrapped {
            permit.signature = wrapped.inner.clone();
        }
        if let Some(wrapped) = wrapped.filter(|_| !is_contract) {
            let allowed = self.factories.contains(&wrapped.factory);
            return if allowed { Ok(Some(wrapped)) } else { Err(Invalid::FactoryNotAllowed) };
        }
        let good = if is_contract {
            let hash = permit.signing_hash(chain_id);
            let accepted =
                self.chain.contract_accepts(permit.payer, hash, permit.signature.clone());
            accepted.await.map_err(unreachable)?
        } else {
            permit::signed_by_payer(permit, chain_id)
        };
        if good { Ok(None) } else { Err(Invalid::Signature) }
    }

    /// Whether the proxy would move `amount` now.
    async fn try_permit(&self, checked: &Checked, amount: U256) -> Result<(), Invalid> {
        let permit = &checked.permit;
        if let Some(wallet) = &checked.wallet {
            return self.try_new_wallet(wallet, checked, amount).await;
        }
        let approval = match &checked.sponsoring {
            Some(Sponsoring::Signature(approval)) => Some(approval),
            Some(Sponsoring::Transaction { nonce, chain_id, .. }) => {
                // The approval is not there before its transaction is, and no node tries both.
                return self.could_settle_after(permit, amount, *nonce, *chain_id).await;
            }
            None => None,
        };
        match self.chain.simulate_permit(permit, amount, approval).await {
            Ok(()) => Ok(()),
            // It reverts, or wants more gas than a payment may have.
            Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => {
                Err(self.diagnose_permit(permit, amount, Invalid::Simulation).await)
            }
            Err(_) => Err(Invalid::ChainUnreachable),
        }
    }

    /// Whether a wallet that is to be made first could pay: it signs the order, and has money that
    /// Permit2 may take, by what its making does or by the approval that came along. A contract
    /// sends no transactions, so an approving transaction is none of its.
    async fn try_new_wallet(
        &self,
        wallet: &WrappedSignature,
        checked: &Checked,
        amount: U256,
    ) -> Result<(), Invalid> {
        let permit = &checked.permit;
        let unreachable = |_| Invalid::ChainUnreachable;
        if !self.chain.is_contract(permit.proxy()).await.map_err(unreachable)? {
            return Err(Invalid::ProxyMissing);
        }
        let approval = match &checked.sponsoring {
            Some(Sponsoring::Signature(approval)) => Some(approval),
            Some(Sponsoring::Transaction { .. }) | None => None,
        };
        let made = match self.chain.permit_of_new_wallet(wallet, permit, approval).await {
            Ok(made) => made,
            // Making it wants more gas than a wallet may have.
            Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => None,
            Err(_) => return Err(Invalid::ChainUnreachable),
        };
        match made {
            None => Err(Invalid::Signature),
            Some(made) if made.is_spent => Err(Invalid::Simulation),
            Some(made) if made.balance < amount => Err(Invalid::Balance),
            Some(made) if made.allowed < amount => Err(Invalid::Allowance),
            Some(_) => Ok(()),
        }
    }

    /// What can be said of a payment before the transaction that approves Permit2 is sent.
    async fn could_settle_after(
        &self,
        permit: &SignedPermit,
        amount: U256,
        nonce: u64,
        chain_id: Option<u64>,
    ) -> Result<(), Invalid> {
        let unreachable = |_| Invalid::ChainUnreachable;
        let chain = &self.chain;
        if !chain.is_contract(permit.proxy()).await.map_err(unreachable)? {
            return Err(Invalid::ProxyMissing);
        }
        let token = permit.token();
        if chain.balance_of(token, permit.payer).await.map_err(unreachable)? < amount {
            return Err(Invalid::Balance);
        }
        if chain.permit_used(permit.payer, permit.nonce()).await.map_err(unreachable)? {
            return Err(Invalid::Simulation);
        }
        let allowed = chain.allowed_to_permit2(token, permit.payer).await.map_err(unreachable)?;
        if allowed >= amount {
            return Ok(());
        }
        let sent = chain.transactions_of(permit.payer).await.map_err(unreachable)?;
        let good = sent == nonce && chain_id.is_none_or(|id| id == chain.token().chain_id);
        if good { Ok(()) } else { Err(Invalid::Allowance) }
    }

    /// Why the proxy would refuse; `otherwise` if nothing tells.
    async fn diagnose_permit(
        &self,
        permit: &SignedPermit,
        amount: U256,
        otherwise: Invalid,
    ) -> Invalid {
        let why = async {
            let token = permit.token();
            if !self.chain.is_contract(permit.proxy()).await? {
                return Ok(Invalid::ProxyMissing);
            }
            if self.chain.balance_of(token, permit.payer).await? < amount {
                return Ok(Invalid::Balance);
            }
            if self.chain.allowed_to_permit2(token, permit.payer).await? < amount {
                return Ok(Invalid::Allowance);
            }
            Ok::<_, SettlementError>(otherwise)
        };
        why.await.unwrap_or(Invalid::ChainUnreachable)
    }

    async fn settle_checked_permit(
        &self,
        checked: &Checked,
        amount: U256,
    ) -> Result<B256, Unsettled> {
        let permit = &checked.permit;
        if let Some(wallet) = &checked.wallet {
            // Nothing is spent on a wallet whose payment would fail.
            self.try_permit(checked, amount).await.map_err(|reason| (reason, None))?;
            self.make_wallet(wallet, permit.payer).await.map_err(|reason| {
                let unsure = reason == exact::Invalid::ChainUnreachable;
                let reason =
                    if unsure { Invalid::ChainUnreachable } else { Invalid::WalletNotMade };
                (reason, None)
            })?;
        }
        let approval = match &checked.sponsoring {
            Some(Sponsoring::Signature(approval)) => Some(approval),
            Some(Sponsoring::Transaction { hash, raw, nonce, .. }) => {
                let approved = self.approve_first(permit, amount, *hash, raw, *nonce).await;
                approved.map_err(|reason| (reason, None))?;
                None
            }
            None => None,
        };
        match self.chain.settle_permit(permit, amount, approval).await {
            Ok(receipt) => Ok(receipt.transaction),
            // Nothing was sent: it would revert, or the node does not take it.
            Err(SettlementError::Reverted { transaction: None, data, .. }) => {
                let reason = match Invalid::of_revert(&data) {
                    Some(reason) => reason,
                    None => self.diagnose_permit(permit, amount, Invalid::Transaction).await,
                };
                Err((reason, None))
            }
            Err(SettlementError::Refused { .. }) => {
                Err((self.diagnose_permit(permit, amount, Invalid::Transaction).await, None))
            }
            Err(SettlementError::Reverted { transaction, .. }) => {
                Err((Invalid::Transaction, transaction))
            }
            Err(SettlementError::Pending { transaction }) => {
                Err((Invalid::Pending, Some(transaction)))
            }
            Err(error) => {
                tracing::warn!(%error, "a settlement failed");
                Err((Invalid::ChainUnreachable, None))
            }
        }
    }

    /// Hands the payer's approving transaction to the chain, unless Permit2 is approved already.
    async fn approve_first(
        &self,
        permit: &SignedPermit,
        amount: U256,
        hash: B256,
        raw: &[u8],
        nonce: u64,
    ) -> Result<(), Invalid> {
        let is_approved = || async {
            let allowed = self.chain.allowed_to_permit2(permit.token(), permit.payer).await;
            allowed.map(|a| a >= amount).map_err(|_| Invalid::ChainUnreachable)
        };
        if is_approved().await? {
            return Ok(());
        }
        // One that is not the payer's next would be waited for in vain.
        let sent = self.chain.transactions_of(permit.payer).await;
        if sent.map_err(|_| Invalid::ChainUnreachable)? != nonce {
            return Err(Invalid::TransactionFailed);
        }
        match self.chain.carry_raw(hash, raw).await {
            Ok(_) => Ok(()),
            Err(SettlementError::Unreachable { .. }) => Err(Invalid::ChainUnreachable),
            // Somebody else may have carried another one meanwhile.
            Err(error) => {
                tracing::info!(%error, "an approving transaction failed");
                if is_approved().await? { Ok(()) } else { Err(Invalid::TransactionFailed) }
            }
        }
    }
}
