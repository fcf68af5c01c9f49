//! Deposits: a payer's signed order to move money into a channel, by its token or by Permit2.

use alloy_primitives::{Address, B256, Bytes, U256, b256};
use alloy_sol_types::{SolStruct as _, SolValue as _};
use ledger::Reference;
use protocol::ReceiveWithAuthorization;
use protocol::addresses::PERMIT2;
use protocol::channels::{DepositPermit, DepositWitness, TokenPermissions};
use protocol::permit2::permit2_domain;
use serde::Deserialize;
use serde_json::Value;
use settlement::channels::{
    AUTHORIZATION_COLLECTOR, Act, Approval, ChannelState, DepositBy, PERMIT_COLLECTOR,
};

use super::{Done, EmbeddedFacilitator, Mined, Refusal, decimal, written};
use crate::channel::ChannelInvalid;
use crate::channel::voucher::deposit_nonce;
use crate::channel::wire::{ChannelConfig, Deposit, DepositAuthorization, Voucher};
use crate::exact::{self, EXPIRY_MARGIN_SECONDS};
use crate::wire::{PaymentPayload, PaymentRequirements};

/// What ends a signature of a wallet that is not deployed yet (EIP-6492).
const WRAPPED: B256 = b256!("0x6492649264926492649264926492649264926492649264926492649264926492");

impl EmbeddedFacilitator {
    /// Whether a deposit would succeed, and the channel as it is before it.
    pub(super) async fn verify_deposit(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<(B256, ChannelState), Refusal> {
        self.check_config(config, voucher.channel_id, requirements)?;
        let act = self.check_order(payment, requirements, config, voucher, deposit).await?;
        let state = self.check_deposit(config, voucher, deposit).await?;
        self.chain.try_in_channels(&act).await.map_err(|error| {
            super::refused(error, ChannelInvalid::DepositSimulation, ChannelInvalid::ReadFailed)
        })?;
        Ok((voucher.channel_id, state))
    }

    /// Carries a deposit to the chain.
    pub(super) async fn settle_deposit(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<Done, Refusal> {
        self.check_config(config, voucher.channel_id, requirements)?;
        let name = self.deposit_name(config, voucher, deposit);
        let Some(_listed) = self.begin_settling(name) else {
            return Err(ChannelInvalid::Pending.into());
        };
        let (mined, before) = match self.resume(name, ChannelInvalid::DepositTransaction).await? {
            Some(mined) => (mined, None),
            None => {
                let act = self.check_order(payment, requirements, config, voucher, deposit).await?;
                let before = self.check_deposit(config, voucher, deposit).await?;
                let (simulation, failure) =
                    (ChannelInvalid::DepositSimulation, ChannelInvalid::DepositTransaction);
                (self.carry(name, &act, simulation, failure).await?, Some(before))
            }
        };
        if let Some(catalogue) = &self.catalogue {
            catalogue.awaits(voucher.channel_id, payment, requirements);
        }
        Ok(self.deposited(voucher.channel_id, deposit.amount.0, mined, before).await)
    }

    async fn deposited(
        &self,
        id: B256,
        amount: u128,
        mined: Mined,
        before: Option<ChannelState>,
    ) -> Done {
        let expected = before.map(|before| ChannelState {
            balance: before.balance.saturating_add(amount),
            ..before
        });
        // A node that lags shows the old balance; what is known to be mined is in it.
        let state = match (self.chain.channel(id).await, expected) {
            (Ok(state), Some(expected)) if state.balance < expected.balance => Some(expected),
            (Ok(state), _) => Some(state),
            (Err(_), expected) => expected,
        };
        Done {
            transaction: mined.transaction,
            amount: Some(amount.to_string()),
            state: state.map(|state| written(id, &state)),
        }
    }

    /// What can be used once, so that the same deposit twice at once is seen.
    fn deposit_name(
        &self,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Reference {
        let token = self.chain.token();
        match &deposit.authorization {
            DepositAuthorization::Erc3009 { salt, .. } => {
                let nonce = deposit_nonce(voucher.channel_id, *salt);
                exact::reference_of(config.payer, nonce, token)
            }
            DepositAuthorization::Permit2 { nonce, .. } => Reference::derive(
                "x402/batch-settlement/permit2",
                &[
                    &token.chain_id.to_be_bytes(),
                    config.payer.as_slice(),
                    &nonce.to_be_bytes::<32>(),
                ],
            ),
        }
    }

    /// Whether the payer's order is good for this deposit.
    async fn check_order(
        &self,
        payment: &PaymentPayload,
        requirements: &PaymentRequirements,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<Act, Refusal> {
        let extra = |key| requirements.extra.as_ref().and_then(|e| e.get(key)?.as_str());
        let by_permit = match extra("assetTransferMethod") {
            Some(method) => method == "permit2",
            None => matches!(deposit.authorization, DepositAuthorization::Permit2 { .. }),
        };
        let by = match &deposit.authorization {
            DepositAuthorization::Permit2 { .. } if by_permit => {
                self.check_deposit_permit(payment, config, voucher, deposit).await?
            }
            DepositAuthorization::Permit2 { .. } => {
                return Err(ChannelInvalid::Erc3009Required.into());
            }
            DepositAuthorization::Erc3009 { .. } if by_permit => {
                return Err(ChannelInvalid::PayloadType.into());
            }
            DepositAuthorization::Erc3009 { .. } => {
                if extra("name").is_none_or(str::is_empty)
                    || extra("version").is_none_or(str::is_empty)
                {
                    return Err(ChannelInvalid::MissingDomain.into());
                }
                self.check_authorization(config, voucher, deposit).await?
            }
        };
        Ok(Act::Deposit { config: (*config).into(), amount: deposit.amount.0, by })
    }

    async fn check_authorization(
        &self,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<DepositBy, Refusal> {
        let DepositAuthorization::Erc3009 { valid_after, valid_before, salt, signature } =
            &deposit.authorization
        else {
            return Err(ChannelInvalid::Erc3009Required.into());
        };
        let now = self.clock.now().as_secs();
        if *valid_before < U256::from(now + EXPIRY_MARGIN_SECONDS) {
            return Err(ChannelInvalid::ValidBefore.into());
        }
        if *valid_after > U256::from(now) {
            return Err(ChannelInvalid::ValidAfter.into());
        }
        let (signature, is_wrapped) = unwrapped(signature);
        if is_wrapped && !self.chain.is_contract(config.payer).await.map_err(Refusal::unread)? {
            // No factory is called for strangers here.
            return Err(ChannelInvalid::FactoryNotAllowed.into());
        }
        let order = ReceiveWithAuthorization {
            from: config.payer,
            to: AUTHORIZATION_COLLECTOR,
            value: U256::from(deposit.amount.0),
            validAfter: *valid_after,
            validBefore: *valid_before,
            nonce: deposit_nonce(voucher.channel_id, *salt),
        };
        let token = self.chain.token();
        let domain =
            protocol::dollar_domain(&token.name, &token.version, token.chain_id, token.address);
        let hash = order.eip712_signing_hash(&domain);
        if !self.signed_by_account(config.payer, hash, &signature).await? {
            return Err(ChannelInvalid::ReceiveSignature.into());
        }
        Ok(DepositBy::Authorization {
            valid_after: *valid_after,
            valid_before: *valid_before,
            salt: *salt,
            signature,
        })
    }

    async fn check_deposit_permit(
        &self,
        payment: &PaymentPayload,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<DepositBy, Refusal> {
        let DepositAuthorization::Permit2 {
            from,
            permitted,
            spender,
            nonce,
            deadline,
            witness,
            signature,
        } = &deposit.authorization
        else {
            return Err(ChannelInvalid::PayloadType.into());
        };
        let token = self.chain.token();
        if *from != config.payer {
            return Err(ChannelInvalid::Permit2Signature.into());
        }
        if *spender != PERMIT_COLLECTOR {
            return Err(ChannelInvalid::Permit2Spender.into());
        }
        if permitted.token != token.address {
            return Err(ChannelInvalid::Token.into());
        }
        if permitted.amount != U256::from(deposit.amount.0) {
            return Err(ChannelInvalid::Permit2Amount.into());
        }
        if witness.channel_id != voucher.channel_id {
            return Err(ChannelInvalid::ChannelIdMismatch.into());
        }
        let soon = U256::from(self.clock.now().as_secs() + EXPIRY_MARGIN_SECONDS);
        if *deadline < soon {
            return Err(ChannelInvalid::Permit2Deadline.into());
        }
        let order = DepositPermit {
            permitted: TokenPermissions { token: permitted.token, amount: permitted.amount },
            spender: *spender,
            nonce: *nonce,
            deadline: *deadline,
            witness: DepositWitness { channelId: witness.channel_id },
        };
        let hash = order.eip712_signing_hash(&permit2_domain(token.chain_id));
        let (signature, _) = unwrapped(signature);
        if !self.signed_by_account(config.payer, hash, &signature).await? {
            return Err(ChannelInvalid::Permit2Signature.into());
        }
        let approval = self.check_approval(payment, config.payer, deposit.amount.0, soon).await?;
        Ok(DepositBy::Permit { nonce: *nonce, deadline: *deadline, signature, approval })
    }

    /// Whether Permit2 may move the deposit, or will by the permit that comes along.
    async fn check_approval(
        &self,
        payment: &PaymentPayload,
        payer: Address,
        amount: u128,
        soon: U256,
    ) -> Result<Option<Approval>, Refusal> {
        let extension = |key| payment.extensions.as_ref().and_then(|e| e.get(key)?.get("info"));
        let sponsored = extension("eip2612GasSponsoring")
            .filter(|info| info.get("signature").and_then(Value::as_str).is_some());
        if let Some(info) = sponsored {
            return self.check_eip2612(info, payer, amount, soon).map(Some).map_err(Refusal::from);
        }
        if extension("erc20ApprovalGasSponsoring")
            .is_some_and(|info| info.get("signedTransaction").is_some())
        {
            return Err(ChannelInvalid::ApprovalUnavailable.into());
        }
        let allowance =
            self.chain.token_allowance(payer, PERMIT2).await.map_err(Refusal::unread)?;
        if allowance < U256::from(amount) {
            return Err(ChannelInvalid::Permit2Allowance.into());
        }
        Ok(None)
    }

    fn check_eip2612(
        &self,
        info: &Value,
        payer: Address,
        amount: u128,
        soon: U256,
    ) -> Result<Approval, ChannelInvalid> {
        /// The extension `eip2612GasSponsoring`, as a client fills it in.
        #[derive(Deserialize)]
        struct Info {
            from: Address,
            asset: Address,
            spender: Address,
            amount: String,
            deadline: String,
            signature: Bytes,
        }
        let format = ChannelInvalid::PermitFormat;
        let info = Info::deserialize(info).map_err(|_| format)?;
        let value = decimal(&info.amount).ok_or(format)?;
        let deadline = decimal(&info.deadline).ok_or(format)?;
        let signature: &[u8; 65] = info.signature[..].try_into().map_err(|_| format)?;
        if info.from != payer {
            return Err(ChannelInvalid::PermitOwner);
        }
        if info.asset != self.chain.token().address {
            return Err(ChannelInvalid::PermitAsset);
        }
        if info.spender != PERMIT2 {
            return Err(ChannelInvalid::PermitSpender);
        }
        if deadline < soon {
            return Err(ChannelInvalid::PermitDeadline);
        }
        // The collector takes no other amount, although clients that pay often would sign more.
        if value != U256::from(amount) {
            return Err(ChannelInvalid::PermitAmount);
        }
        let (r, s) = (B256::from_slice(&signature[..32]), B256::from_slice(&signature[32..64]));
        Ok(Approval { value, deadline, v: signature[64], r, s })
    }

    /// Whether the voucher that comes along is good, and the channel will hold enough for it.
    async fn check_deposit(
        &self,
        config: &ChannelConfig,
        voucher: &Voucher,
        deposit: &Deposit,
    ) -> Result<ChannelState, Refusal> {
        self.check_voucher_signature(config, voucher).await?;
        let state = self.chain.channel(voucher.channel_id).await.map_err(Refusal::unread)?;
        let owned = self.chain.balance(config.payer.into()).await.map_err(Refusal::unread)?;
        let amount = deposit.amount.0;
        if u128::try_from(owned.minor()).is_ok_and(|owned| owned < amount) {
            return Err(ChannelInvalid::InsufficientBalance.into());
        }
        let most = voucher.max_claimable_amount.0;
        if most > state.balance.saturating_add(amount) {
            return Err(ChannelInvalid::ExceedsBalance.into());
        }
        if most <= state.total_claimed {
            return Err(ChannelInvalid::BelowClaimed.into());
        }
        Ok(state)
    }
}

/// The signature itself, without the deployment that EIP-6492 wraps around it, and whether one was.
fn unwrapped(signature: &Bytes) -> (Bytes, bool) {
    let Some(body) = signature.strip_suffix(WRAPPED.as_slice()) else {
        return (signature.clone(), false);
    };
    if signature.len() > exact::MAX_SIGNATURE {
        return (signature.clone(), false);
    }
    match <(Address, Bytes, Bytes)>::abi_decode_params_validate(body) {
        Ok((factory, _, inner)) => (inner, !factory.is_zero()),
        Err(_) => (signature.clone(), false),
    }
}
