//! A payer takes its money out of a channel alone: it asks, waits for the channel's delay, and takes
//! what the seller has not claimed by then.
//!
//! Only the payer itself or the key of its vouchers may ask, so these are transactions of its own:
//! see [`Settlement::sending_by`].

use alloy_sol_types::{SolCall as _, sol};

use crate::channels::{CONTRACT, Config, Contract};
use crate::error::SettlementError;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement};

sol! {
    struct Channel {
        address payer;
        address payerAuthorizer;
        address receiver;
        address receiverAuthorizer;
        address token;
        uint40 withdrawDelay;
        bytes32 salt;
    }
    function initiateWithdraw(Channel config, uint128 amount) external;
    function finalizeWithdraw(Channel config) external;
}

impl Settlement {
    /// Asks for money of a channel, at most what is unclaimed. From then on the seller has the
    /// channel's delay to claim.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]: it reverts if a withdrawal waits already, if more is asked than
    /// is unclaimed, or if the sender is not the channel's payer.
    pub async fn begin_withdrawal(
        &self,
        config: &Config,
        amount: u128,
    ) -> Result<Receipt, SettlementError> {
        let call = initiateWithdrawCall { config: channel(config)?, amount };
        self.send(CONTRACT, call.abi_encode().into(), PAYMENT_GAS).await
    }

    /// Takes what was asked for, as far as it is still unclaimed.
    ///
    /// # Errors
    /// As [`Settlement::begin_withdrawal`]; it reverts until the delay is over.
    pub async fn end_withdrawal(&self, config: &Config) -> Result<Receipt, SettlementError> {
        let call = finalizeWithdrawCall { config: channel(config)? };
        self.send(CONTRACT, call.abi_encode().into(), PAYMENT_GAS).await
    }
}

fn channel(config: &Config) -> Result<Channel, SettlementError> {
    let Contract::ChannelConfig {
        payer,
        payerAuthorizer,
        receiver,
        receiverAuthorizer,
        token,
        withdrawDelay,
        salt,
    } = config.written()?;
    Ok(Channel { payer, payerAuthorizer, receiver, receiverAuthorizer, token, withdrawDelay, salt })
}
