//! The shopper's payment channels: what they hold, and how it comes back.

use ::money::Amount;
use payments::channel::wallet::Closed;

use super::Assembly;
use crate::failure::Failure;
use crate::report::{ChannelReport, ClosedReport};

impl Assembly {
    /// The shopper's payment channels.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelReport>, Failure> {
        let report = |channel: payments::channel::wallet::Channel| ChannelReport {
            id: channel.id.to_string(),
            payee: channel.payee,
            name: self.who(channel.payee),
            paid_in: channel.book.balance,
            charged: channel.book.charged,
            left: channel.book.available(),
            stopped: channel.stopped,
        };
        Ok(self.buyer.channels()?.into_iter().map(report).collect())
    }

    /// Gets back what a channel of the shopper's holds.
    ///
    /// # Errors
    /// If there is no such channel, or the chain does not answer.
    pub async fn close_channel(&self, id: &str) -> Result<ClosedReport, Failure> {
        let channel = id.parse().map_err(|_| {
            Failure::misuse(format!("`{}` is no channel", id.chars().take(80).collect::<String>()))
                .hint("`machina channels` lists them")
        })?;
        let closed = self.buyer.close_channel(channel, None).await?;
        // The books follow the chain.
        self.compare(false).await?;
        Ok(match closed {
            Closed::Refunded { amount } => ClosedReport { amount, until: None, cause: None },
            Closed::Withdrawn { amount } => ClosedReport { amount, until: None, cause: None },
            Closed::Waiting { amount, until, cause } => {
                ClosedReport { amount, until: Some(until), cause }
            }
            Closed::Empty => {
                let amount = Amount::zero(self.chain.token().asset);
                ClosedReport { amount, until: None, cause: None }
            }
        })
    }
}
