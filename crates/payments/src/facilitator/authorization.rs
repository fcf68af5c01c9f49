//! Payments by EIP-3009: the token itself carries out the payer's order.

use alloy_primitives::{Address, B256, U256};
use serde_json::Value;
use settlement::{SettlementError, SignedAuthorization, WrappedSignature};

use super::{EmbeddedFacilitator, UNSURE};
use crate::exact::{self, Invalid};
use crate::wire::{self, PaymentPayload, PaymentRequirements, SettleResponse, VerifyResponse};

/// A payment whose form, terms and signature are good.
struct Checked {
    authorization: SignedAuthorization,
    /// How to make the payer's wallet first; the authorization then has the wallet's own signature.
    wallet: Option<WrappedSignature>,
}

impl EmbeddedFacilitator {
    /// Whether a payment of scheme `exact` by EIP-3009 would settle now.
    pub(super) async fn verify_authorization(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> VerifyResponse {
        let (payer, checked) = self.check(payment, requirements).await;
        let reason = match checked {
            Ok(checked) => self.check_chain(&checked).await.err(),
            Err(reason) => Some(reason),
        };
        VerifyResponse {
            is_valid: reason.is_none(),
            invalid_reason: reason.map(|r| match r {
                Invalid::ChainUnreachable => UNSURE.to_string(),
                reason => reason.code().to_string(),
            }),
            invalid_message: reason.map(|r| r.to_string()),
            payer: payer.map(|p| p.to_string()),
            extra: None,
        }
    }

    /// Carries a payment of scheme `exact` by EIP-3009 to the chain.
    pub(super) async fn settle_authorization(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> SettleResponse {
        let (payer, checked) = self.check(payment, requirements).await;
        let settled = match checked {
            Err(reason) => Err((reason, None)),
            Ok(checked) => {
                let name = exact::reference(&checked.authorization, self.chain.token());
                match self.begin_settling(name) {
                    Some(_listed) => self.settle_checked(&checked).await,
                    None => Err((Invalid::NonceUsed, None)),
                }
            }
        };
        let (reason, transaction) = match settled {
            Ok(transaction) => (None, Some(transaction)),
            Err((reason, transaction)) => (Some(reason), transaction),
        };
        SettleResponse {
            success: reason.is_none(),
            error_reason: reason.map(|r| r.code().to_string()),
            error_message: reason.map(|r| r.to_string()),
            payer: payer.map(|p| p.to_string()),
            transaction: transaction.map(|t| t.to_string()).unwrap_or_default(),
            network: requirements.network.clone(),
            amount: reason.is_none().then(|| requirements.amount.clone()),
            ..SettleResponse::default()
        }
    }

    /// Everything that can be said without moving money, in the order of the reference; all but
    /// the simulation, which a settlement makes for itself when it asks for the gas.
    async fn check(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
    ) -> (Option<Address>, Result<Checked, Invalid>) {
        let read = exact::read(&payment.payload);
        let payer = read.as_ref().ok().map(|a| a.from);
        let checked = async {
            let authorization = match self.check_form(payment, requirements, read) {
                Err(Invalid::Asset) => return Err(self.no_such_asset(requirements).await),
                checked => checked?,
            };
            let checked = self.check_signature(authorization).await?;
            self.check_terms(&checked.authorization, requirements)?;
            Ok(checked)
        };
        (payer, checked.await)
    }

    fn check_form(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        read: Result<SignedAuthorization, Invalid>,
    ) -> Result<SignedAuthorization, Invalid> {
        let token = self.chain.token();
        if payment.accepted.scheme != exact::SCHEME || requirements.scheme != exact::SCHEME {
            return Err(Invalid::Scheme);
        }
        let extra =
            |key| requirements.extra.as_ref().and_then(|e| e.get(key)).and_then(Value::as_str);
        let (Some(name), Some(version)) = (extra("name"), extra("version")) else {
            return Err(Invalid::MissingDomain);
        };
        if payment.accepted.network != requirements.network
            || requirements.network != wire::network(token.chain_id)
        {
            return Err(Invalid::Network);
        }
        if requirements.asset.parse::<Address>().ok() != Some(token.address) {
            return Err(Invalid::Asset);
        }
        if name != token.name {
            return Err(Invalid::TokenName);
        }
        if version != token.version {
            return Err(Invalid::TokenVersion);
        }
        read
    }

    /// Whether another token is meant, or none at all.
    async fn no_such_asset(&self, requirements: &PaymentRequirements) -> Invalid {
        let Ok(asset) = requirements.asset.parse::<Address>() else { return Invalid::Asset };
        match self.chain.is_contract(asset).await {
            Ok(true) => Invalid::Asset,
            Ok(false) => Invalid::AssetMissing,
            Err(_) => Invalid::ChainUnreachable,
        }
    }

    /// As the token will judge: the key of an account without code, EIP-1271 of one with code. A
    /// wallet that does not exist yet (EIP-6492) is judged when the payment is tried, since only
    /// then it is there.
    async fn check_signature(
        &self,
        mut authorization: SignedAuthorization,
    ) -> Result<Checked, Invalid> {
        let token = self.chain.token();
        let is_contract = self
            .chain
            .is_contract(authorization.from)
            .await
            .map_err(|_| Invalid::ChainUnreachable)?;
        let wrapped = WrappedSignature::read(&authorization.signature);
        if let Some(wrapped) = &wrapped {
            authorization.signature = wrapped.inner.clone();
        }
        if let Some(wrapped) = wrapped.filter(|_| !is_contract) {
            if !self.factories.contains(&wrapped.factory) {
                return Err(Invalid::FactoryNotAllowed);
            }
            return Ok(Checked { authorization, wallet: Some(wrapped) });
        }
        let good = if is_contract {
            let hash = exact::signing_hash(&authorization, token);
            self.chain
                .contract_accepts(authorization.from, hash, authorization.signature.clone())
                .await
                .map_err(|_| Invalid::ChainUnreachable)?
        } else {
            exact::signed_by_payer(&authorization, token)
        };
        if good { Ok(Checked { authorization, wallet: None }) } else { Err(Invalid::Signature) }
    }

    fn check_terms(
        &self,
        authorization: &SignedAuthorization,
        requirements: &PaymentRequirements,
    ) -> Result<(), Invalid> {
        if requirements.pay_to.parse::<Address>().ok() != Some(authorization.to) {
            return Err(Invalid::Recipient);
        }
        exact::check_window(authorization, self.clock.now())?;
        let price = requirements.amount.parse::<U256>().ok();
        if price.is_none_or(|p| p.is_zero()) || price != Some(authorization.value) {
            return Err(Invalid::Value);
        }
        Ok(())
    }

    async fn check_chain(&self, checked: &Checked) -> Result<(), Invalid> {
        let authorization = &checked.authorization;
        let tried = match &checked.wallet {
            None => self.chain.simulate(authorization).await,
            Some(wallet) => self.chain.simulate_with_wallet(wallet, authorization).await,
        };
        match tried {
            Ok(()) => Ok(()),
            // It reverts, or wants more gas than a payment may have.
            Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => {
                Err(self.diagnose(authorization).await)
            }
            Err(_) => Err(Invalid::ChainUnreachable),
        }
    }

    /// Why the token would refuse.
    async fn diagnose(&self, authorization: &SignedAuthorization) -> Invalid {
        match self.chain.authorization_used(authorization.from, authorization.nonce).await {
            Ok(true) => return Invalid::NonceUsed,
            Ok(false) => {}
            Err(_) => return Invalid::ChainUnreachable,
        }
        match self.chain.balance(authorization.from.into()).await {
            Ok(balance)
                if U256::try_from(balance.minor()).is_ok_and(|b| b < authorization.value) =>
            {
                Invalid::InsufficientBalance
            }
            _ => Invalid::Simulation,
        }
    }

    async fn settle_checked(&self, checked: &Checked) -> Result<B256, (Invalid, Option<B256>)> {
        let authorization = &checked.authorization;
        if let Some(wallet) = &checked.wallet {
            // Nothing is spent on a wallet whose payment would fail.
            self.check_chain(checked).await.map_err(|reason| (reason, None))?;
            self.make_wallet(wallet, authorization.from).await.map_err(|reason| (reason, None))?;
        }
        match self.chain.transfer_with_authorization(authorization).await {
            Ok(receipt) => Ok(receipt.transaction),
            // Nothing was sent: it would revert, or the node does not take it.
            Err(
                SettlementError::Reverted { transaction: None, .. }
                | SettlementError::Refused { .. },
            ) => Err((self.diagnose(authorization).await, None)),
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

    /// Makes the payer's wallet, unless it is there by now.
    pub(super) async fn make_wallet(
        &self,
        wallet: &WrappedSignature,
        payer: Address,
    ) -> Result<(), Invalid> {
        match self.chain.make_wallet(wallet).await {
            Ok(_) => {}
            Err(SettlementError::Unreachable { .. }) => return Err(Invalid::ChainUnreachable),
            // Another payment of the same wallet may have been faster.
            Err(error) => tracing::info!(%error, "a wallet could not be made"),
        }
        match self.chain.is_contract(payer).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Invalid::WalletNotMade),
            Err(_) => Err(Invalid::ChainUnreachable),
        }
    }
}
