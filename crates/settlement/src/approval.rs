//! Letting a contract take dollars of an account: by the account's signature, which travels with the
//! call that needs it (EIP-2612), or by a transaction of its own where the token knows no such thing.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall as _, SolStruct as _};
use protocol::permit2::{Permit, SignedApproval};
use protocol::{MachinaDollar, dollar_domain};

use crate::error::SettlementError;
use crate::token::{PAYMENT_GAS, Settlement};

impl Settlement {
    /// Sees to it that `spender` can take up to `amount` of the dollars of `owner`, one of our
    /// senders: nothing is to be added if it can already, or can now by a transaction that this
    /// sent; else the signed approval is to travel with the call, and is good up to the Unix second
    /// `deadline`. Calls for one owner and spender are the caller's to make one after the other.
    ///
    /// # Errors
    /// As [`crate::Sender::send`].
    pub(crate) async fn allow(
        &self,
        owner: Address,
        spender: Address,
        amount: U256,
        deadline: U256,
    ) -> Result<Option<SignedApproval>, SettlementError> {
        if self.token_allowance(owner, spender).await? >= amount {
            return Ok(None);
        }
        let signed = self.signed_approval(owner, spender, amount, deadline).await?;
        if signed.is_none() {
            let call = MachinaDollar::approveCall { spender, value: amount };
            let token = self.token().address;
            self.send_from(owner, token, call.abi_encode().into(), PAYMENT_GAS).await?;
        }
        Ok(signed)
    }

    /// The owner's signed approval, if the token takes it.
    async fn signed_approval(
        &self,
        owner: Address,
        spender: Address,
        value: U256,
        deadline: U256,
    ) -> Result<Option<SignedApproval>, SettlementError> {
        let token = self.token();
        let domain = dollar_domain(&token.name, &token.version, token.chain_id, token.address);
        // Some tokens take any call and do nothing by it: one that signatures mean anything to
        // tells the domain that they are under.
        let told = self.read(token.address, MachinaDollar::DOMAIN_SEPARATORCall {}).await;
        if known(told)? != Some(domain.separator()) {
            return Ok(None);
        }
        let told = self.read(token.address, MachinaDollar::noncesCall { owner }).await;
        let Some(nonce) = known(told)? else { return Ok(None) };
        let order = Permit { owner, spender, value, nonce, deadline };
        let signature = self.sign_by(owner, order.eip712_signing_hash(&domain))?;
        let (r, s) = (signature.r().into(), signature.s().into());
        let signed = SignedApproval { value, deadline, v: 27 + u8::from(signature.v()), r, s };
        // And some want another order signed than the standard's.
        let SignedApproval { v, r, s, .. } = signed;
        let call = MachinaDollar::permitCall { owner, spender, value, deadline, v, r, s };
        let tried = self.simulate_call(token.address, call.abi_encode().into(), PAYMENT_GAS).await;
        Ok(known(tried)?.map(|_| signed))
    }
}

/// What a token told; `None` if it knows no such function, or refuses.
fn known<T>(told: Result<T, SettlementError>) -> Result<Option<T>, SettlementError> {
    match told {
        Ok(told) => Ok(Some(told)),
        Err(
            SettlementError::Reverted { .. }
            | SettlementError::Refused { .. }
            | SettlementError::Unreadable { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}
