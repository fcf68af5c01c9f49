//! `machina channels`: what lies in the shopper's payment channels, and getting it back.

use crate::access::Access;
use crate::cli::{Arguments, Channels};
use crate::failure::Failure;
use crate::report::{ChannelReport, ClosedReport};

pub async fn run(arguments: &Arguments, channels: &Channels) -> Result<(), Failure> {
    let access = Access::find(arguments).await?;
    let printed = match &channels.close {
        None => access
            .channels()
            .await
            .and_then(|list| super::print(arguments.json, &list, || ChannelReport::text(&list))),
        Some(id) => {
            let closed: Result<ClosedReport, Failure> = access.close_channel(id).await;
            closed.and_then(|report| super::print(arguments.json, &report, || report.text()))
        }
    };
    access.close().await;
    printed
}
