//! Contract wallets that do not exist yet (EIP-6492): their signature says how to make them.

use alloy_network::TransactionBuilder as _;
use alloy_primitives::{Address, B256, Bytes, U256, b256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::{SolCall as _, SolValue as _, sol};
use protocol::MachinaDollar;
use protocol::addresses::{MULTICALL3, PERMIT2};
use protocol::bindings::Multicall3;
use protocol::bindings::permit2::Permit2;
use protocol::permit2::{SignedApproval, nonce_place};

use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::permit2::SignedPermit;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement, SignedAuthorization};

/// How a signature of a wallet that may not exist yet ends (EIP-6492).
const MAGIC: B256 = b256!("0x6492649264926492649264926492649264926492649264926492649264926492");

/// The most gas that making a wallet may take. The wallets in use take 150,000 to 400,000.
pub const WALLET_GAS: u64 = 1_500_000;

sol! {
    /// A contract that can sign (EIP-1271).
    interface Wallet {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

/// What a wallet that signed would have once it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewWallet {
    /// How much of the token Permit2 may take from it, in minor units.
    pub allowed: U256,
    /// How much of the token it owns, in minor units.
    pub balance: U256,
    /// Whether the order's number is spent or taken back.
    pub is_spent: bool,
}

/// A signature with the way to make the wallet that gives it (EIP-6492).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedSignature {
    /// Who makes the wallet.
    pub factory: Address,
    /// What the maker is told.
    pub call: Bytes,
    /// What the wallet itself then accepts.
    pub inner: Bytes,
}

impl WrappedSignature {
    /// Reads a wrapped signature; `None` if it is a plain one.
    pub fn read(signature: &[u8]) -> Option<WrappedSignature> {
        let wrapped = signature.strip_suffix(MAGIC.as_slice())?;
        let (factory, call, inner) = <(Address, Bytes, Bytes)>::abi_decode_params(wrapped).ok()?;
        (!factory.is_zero()).then_some(WrappedSignature { factory, call, inner })
    }

    /// Whether a signature ends as a wrapped one does, readable or not.
    pub fn is_said_to_be_one(signature: &[u8]) -> bool {
        signature.ends_with(MAGIC.as_slice())
    }

    /// Writes it as it travels.
    pub fn write(&self) -> Bytes {
        let fields = (self.factory, self.call.clone(), self.inner.clone());
        [&fields.abi_encode_params()[..], MAGIC.as_slice()].concat().into()
    }
}

impl Settlement {
    /// Tries an authorization of a wallet that does not exist yet: makes the wallet and moves the
    /// money in one go, and sends nothing.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] if the money would not move; else as every reading.
    pub async fn simulate_with_wallet(
        &self,
        wrapped: &WrappedSignature,
        authorization: &SignedAuthorization,
    ) -> Result<(), SettlementError> {
        let step = |target: Address, data: Bytes| Multicall3::Call3 {
            target,
            allowFailure: true,
            callData: data,
        };
        let steps = vec![
            step(wrapped.factory, wrapped.call.clone()),
            step(self.token().address, authorization.call().abi_encode().into()),
        ];
        let results = self.try_together(steps).await?;
        let moved = results.get(1).ok_or_else(|| SettlementError::Unreadable {
            what: "a simulated wallet",
            cause: "an answer is missing".into(),
        })?;
        if moved.success {
            return Ok(());
        }
        Err(SettlementError::Reverted {
            reason: alloy_sol_types::decode_revert_reason(&moved.returnData)
                .unwrap_or_else(|| "the payment would fail after the wallet is made".into()),
            data: moved.returnData.clone(),
            transaction: None,
        })
    }

    /// What an order through Permit2 would meet once a wallet that does not exist yet is made: makes
    /// it and asks, in one go, and sends nothing. The order itself cannot be tried so, since who
    /// calls would be another than the facilitator that an `upto` order names.
    ///
    /// `None` if the wallet would not be there, or does not sign what is asked.
    ///
    /// # Errors
    /// As every reading.
    pub async fn permit_of_new_wallet(
        &self,
        wrapped: &WrappedSignature,
        permit: &SignedPermit,
        approval: Option<&SignedApproval>,
    ) -> Result<Option<NewWallet>, SettlementError> {
        let step = |target: Address, data: Vec<u8>| Multicall3::Call3 {
            target,
            allowFailure: true,
            callData: data.into(),
        };
        let (owner, token) = (permit.payer, permit.token());
        let (hash, signature) = (permit.signing_hash(self.token().chain_id), wrapped.inner.clone());
        let (word, bit) = nonce_place(permit.nonce());
        let mut steps = vec![step(wrapped.factory, wrapped.call.to_vec())];
        steps.extend(approval.map(|a| {
            let SignedApproval { value, deadline, v, r, s } = *a;
            let spender = PERMIT2;
            let call = MachinaDollar::permitCall { owner, spender, value, deadline, v, r, s };
            step(token, call.abi_encode())
        }));
        let asked = steps.len();
        steps.push(step(owner, Wallet::isValidSignatureCall { hash, signature }.abi_encode()));
        let allowance = MachinaDollar::allowanceCall { owner, spender: PERMIT2 };
        steps.push(step(token, allowance.abi_encode()));
        steps.push(step(token, MachinaDollar::balanceOfCall { account: owner }.abi_encode()));
        steps.push(step(PERMIT2, Permit2::nonceBitmapCall { owner, word }.abi_encode()));
        let answers = self.try_together(steps).await?;
        let answer = |at: usize| answers.get(asked + at).filter(|a| a.success);
        let number = |at: usize| {
            let data = &answer(at)?.returnData;
            (data.len() == 32).then(|| U256::from_be_slice(data))
        };
        let accepts = answer(0).is_some_and(|a| {
            a.returnData.len() >= 32 && a.returnData[..4] == Wallet::isValidSignatureCall::SELECTOR
        });
        if !accepts {
            return Ok(None);
        }
        let unreadable = || SettlementError::Unreadable {
            what: "a simulated wallet",
            cause: "token or Permit2 did not answer with a number".into(),
        };
        Ok(Some(NewWallet {
            allowed: number(1).ok_or_else(unreadable)?,
            balance: number(2).ok_or_else(unreadable)?,
            is_spent: !(number(3).ok_or_else(unreadable)? & bit).is_zero(),
        }))
    }

    /// Calls one after the other as if they were one transaction, and sends nothing.
    async fn try_together(
        &self,
        steps: Vec<Multicall3::Call3>,
    ) -> Result<Vec<Multicall3::Result>, SettlementError> {
        let request = TransactionRequest::default()
            .with_from(self.sender())
            .with_to(MULTICALL3)
            .with_gas_limit(WALLET_GAS + PAYMENT_GAS)
            .with_input(Multicall3::aggregate3Call { calls: steps }.abi_encode());
        let answer = self.provider.call(request).await;
        let answer = answer.map_err(|e| failure(&self.endpoint, "a simulated wallet", e))?;
        Multicall3::aggregate3Call::abi_decode_returns(&answer).map_err(|e| {
            SettlementError::Unreadable { what: "a simulated wallet", cause: e.to_string() }
        })
    }

    /// Makes a wallet, and waits until that is mined.
    ///
    /// # Errors
    /// As [`crate::Sender::send`].
    pub async fn make_wallet(
        &self,
        wrapped: &WrappedSignature,
    ) -> Result<Receipt, SettlementError> {
        self.send(wrapped.factory, wrapped.call.clone(), WALLET_GAS).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_signature_is_read_as_it_was_written_and_a_plain_one_is_none() {
        let wrapped = WrappedSignature {
            factory: Address::repeat_byte(7),
            call: vec![1, 2, 3].into(),
            inner: vec![4; 65].into(),
        };
        assert_eq!(WrappedSignature::read(&wrapped.write()), Some(wrapped.clone()));
        assert_eq!(WrappedSignature::read(&[4; 65]), None);
        assert_eq!(WrappedSignature::read(&[]), None);
        assert_eq!(WrappedSignature::read(MAGIC.as_slice()), None);
        // No factory: it is no way to make anything.
        let none = WrappedSignature { factory: Address::ZERO, ..wrapped };
        assert_eq!(WrappedSignature::read(&none.write()), None);
    }
}
