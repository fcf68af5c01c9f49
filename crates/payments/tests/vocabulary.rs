//! The error vocabulary of x402 version 2 on Ethereum chains: what is said here, each with a test, and
//! what is not, each with the reason. `docs/payments.md` has the second list for people.
//!
//! Sources: `errors.ts` of `@x402/evm` 2.27 (`exact`, `upto`, `batch-settlement`), the tables of the
//! specification's `scheme_*_evm.md`, and `x402-specification-v2.md`; the resource server of `@x402/core`
//! 2.27, and `sign-in-with-x/validate.ts` of `@x402/extensions` 2.27. Where SDK and specification have
//! two words for one thing, the SDK's is said.

use crate::town;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use payments::channel::ChannelInvalid;
use payments::wire::{PaymentPayload, PaymentRequirements};
use payments::{EmbeddedFacilitator, EscrowTerms, Facilitator as _};
use payments::{auth_capture, exact, permit};
use settlement::SenderLimits;
use town::vouchers::{COSTS, Client};
use town::wire::{BLIND, FAILED, FORGETFUL, MUTE, REFUSING, WELL, Wire};
use town::{Town, escrow, musd, person};

/// What is said here.
const SAID: &[&str] = &[
    "amount_mismatch",
    "amount_overflow",
    "asset_not_deployed_contract",
    "authorization_expired",
    "authorization_not_yet_valid",
    "capture_deadline_expired",
    "eip2612_asset_mismatch",
    "eip2612_deadline_expired",
    "eip2612_from_mismatch",
    "eip2612_spender_not_permit2",
    "eip6492_factory_not_allowed",
    "erc20_approval_asset_mismatch",
    "erc20_approval_broadcast_failed",
    "erc20_approval_from_mismatch",
    "erc20_approval_spender_not_permit2",
    "erc20_approval_tx_invalid_calldata",
    "erc20_approval_tx_invalid_signature",
    "erc20_approval_tx_parse_failed",
    "erc20_approval_tx_signer_mismatch",
    "erc20_approval_tx_wrong_selector",
    "erc20_approval_tx_wrong_spender",
    "erc20_approval_tx_wrong_target",
    "fee_bps_out_of_range",
    "insufficient_authorization",
    "insufficient_balance",
    "invalid_auth_capture_extra",
    "invalid_auth_capture_signature",
    "invalid_batch_settlement_evm_authorizer_address_mismatch",
    "invalid_batch_settlement_evm_authorizer_not_configured",
    "invalid_batch_settlement_evm_channel_busy",
    "invalid_batch_settlement_evm_channel_id_invalid",
    "invalid_batch_settlement_evm_channel_id_mismatch",
    "invalid_batch_settlement_evm_channel_not_found",
    "invalid_batch_settlement_evm_claim_simulation_failed",
    "invalid_batch_settlement_evm_claim_transaction_failed",
    "invalid_batch_settlement_evm_cumulative_amount_mismatch",
    "invalid_batch_settlement_evm_cumulative_below_claimed",
    "invalid_batch_settlement_evm_cumulative_exceeds_balance",
    "invalid_batch_settlement_evm_deposit_simulation_failed",
    "invalid_batch_settlement_evm_deposit_transaction_failed",
    "invalid_batch_settlement_evm_eip2612_amount_mismatch",
    "invalid_batch_settlement_evm_eip2612_asset_mismatch",
    "invalid_batch_settlement_evm_eip2612_deadline_expired",
    "invalid_batch_settlement_evm_eip2612_invalid_format",
    "invalid_batch_settlement_evm_eip2612_owner_mismatch",
    "invalid_batch_settlement_evm_eip2612_spender_mismatch",
    "invalid_batch_settlement_evm_eip6492_factory_not_allowed",
    "invalid_batch_settlement_evm_erc20_approval_unavailable",
    "invalid_batch_settlement_evm_erc3009_authorization_required",
    "invalid_batch_settlement_evm_insufficient_balance",
    "invalid_batch_settlement_evm_missing_eip712_domain",
    "invalid_batch_settlement_evm_network_mismatch",
    "invalid_batch_settlement_evm_nothing_to_settle",
    "invalid_batch_settlement_evm_payload_authorization_valid_after",
    "invalid_batch_settlement_evm_payload_authorization_valid_before",
    "invalid_batch_settlement_evm_payload_type",
    "invalid_batch_settlement_evm_permit2_allowance_required",
    "invalid_batch_settlement_evm_permit2_amount_mismatch",
    "invalid_batch_settlement_evm_permit2_deadline_expired",
    "invalid_batch_settlement_evm_permit2_invalid_signature",
    "invalid_batch_settlement_evm_permit2_invalid_spender",
    "invalid_batch_settlement_evm_receive_authorization_signature",
    "invalid_batch_settlement_evm_receiver_authorizer_mismatch",
    "invalid_batch_settlement_evm_receiver_mismatch",
    "invalid_batch_settlement_evm_refund_amount_invalid",
    "invalid_batch_settlement_evm_refund_no_balance",
    "invalid_batch_settlement_evm_refund_payload",
    "invalid_batch_settlement_evm_refund_simulation_failed",
    "invalid_batch_settlement_evm_refund_transaction_failed",
    "invalid_batch_settlement_evm_rpc_read_failed",
    "invalid_batch_settlement_evm_scheme",
    "invalid_batch_settlement_evm_settle_simulation_failed",
    "invalid_batch_settlement_evm_settle_transaction_failed",
    "invalid_batch_settlement_evm_token_mismatch",
    "invalid_batch_settlement_evm_verification_state_unavailable",
    "invalid_batch_settlement_evm_voucher_signature",
    "invalid_batch_settlement_evm_withdraw_delay_mismatch",
    "invalid_batch_settlement_evm_withdraw_delay_out_of_range",
    "invalid_capture_authorizer",
    "invalid_collector",
    "invalid_deadline_ordering",
    "invalid_eip2612_extension_format",
    "invalid_erc20_approval_extension_format",
    "invalid_exact_evm_eip3009_not_supported",
    "invalid_exact_evm_insufficient_balance",
    "invalid_exact_evm_missing_eip712_domain",
    "invalid_exact_evm_network_mismatch",
    "invalid_exact_evm_nonce_already_used",
    "invalid_exact_evm_payload_authorization_valid_after",
    "invalid_exact_evm_payload_authorization_valid_before",
    "invalid_exact_evm_payload_authorization_value_mismatch",
    "invalid_exact_evm_recipient_mismatch",
    "invalid_exact_evm_scheme",
    "invalid_exact_evm_signature",
    "invalid_exact_evm_token_name_mismatch",
    "invalid_exact_evm_token_version_mismatch",
    "invalid_exact_evm_transaction_failed",
    "invalid_exact_evm_transaction_simulation_failed",
    "invalid_fee_bps",
    "invalid_fee_bps_range",
    "invalid_fee_receiver",
    "invalid_network",
    "invalid_payload",
    "invalid_payload_format",
    "invalid_permit2_recipient_mismatch",
    "invalid_permit2_signature",
    "invalid_permit2_spender",
    "invalid_siwx_domain_mismatch",
    "invalid_siwx_expired",
    "invalid_siwx_issued_at",
    "invalid_siwx_issued_at_in_future",
    "invalid_siwx_nonce",
    "invalid_siwx_uri_mismatch",
    "invalid_upto_evm_network_mismatch",
    "invalid_upto_evm_payload_settlement_exceeds_amount",
    "invalid_upto_evm_scheme",
    "invalid_upto_evm_transaction_failed",
    "invalid_x402_version",
    "network_mismatch",
    "nonce_mismatch",
    "payload_method_mismatch",
    "payment_already_collected",
    "permit2_2612_amount_mismatch",
    "permit2_allowance_required",
    "permit2_amount_mismatch",
    "permit2_deadline_expired",
    "permit2_insufficient_balance",
    "permit2_invalid_amount",
    "permit2_invalid_destination",
    "permit2_invalid_nonce",
    "permit2_invalid_owner",
    "permit2_not_yet_valid",
    "permit2_payment_too_early",
    "permit2_proxy_not_deployed",
    "permit2_simulation_failed",
    "permit2_token_mismatch",
    "settlement_pending",
    "simulation_failed",
    "smart_wallet_deployment_failed",
    "token_collection_failed",
    "token_collector_mismatch",
    "token_mismatch",
    "transaction_reverted",
    "unexpected_settle_error",
    "unexpected_verify_error",
    "unsupported_asset_transfer_method",
    "unsupported_payload_type",
    "unsupported_scheme",
    "upto_amount_exceeds_permitted",
    "upto_facilitator_mismatch",
    "upto_unauthorized_facilitator",
    "verification_failed",
    "zero_authorization",
    "zero_fee_receiver",
];

/// What is not said here, and why, or what is said in its place.
const NOT_SAID: &[(&str, &str)] = &[
    (
        "erc20_approval_tx_failed",
        "told as `erc20_approval_broadcast_failed`: an approving transaction that fails is not told from one that is not taken",
    ),
    ("insufficient_funds", "the scheme's own word is said, as the SDK does"),
    (
        "invalid_batch_settlement_evm_channel_state_read_failed",
        "the SDK's word is `…_rpc_read_failed`",
    ),
    (
        "invalid_batch_settlement_evm_charge_exceeds_signed_cumulative",
        "a charge is at most the price, which the voucher has",
    ),
    ("invalid_batch_settlement_evm_claim_payload", "the SDK's word is `…_payload_type`"),
    (
        "invalid_batch_settlement_evm_deposit_below_min_deposit",
        "`minDeposit` is a hint here: any deposit that covers its voucher is taken",
    ),
    ("invalid_batch_settlement_evm_deposit_payload", "the SDK's word is `…_payload_type`"),
    (
        "invalid_batch_settlement_evm_eip2612_invalid_signature",
        "the token judges it: the deposit's simulation fails",
    ),
    (
        "invalid_batch_settlement_evm_erc20_approval_asset_mismatch",
        "no approving transactions travel with deposits: `…_erc20_approval_unavailable`",
    ),
    ("invalid_batch_settlement_evm_erc20_approval_broadcast_failed", "the same"),
    ("invalid_batch_settlement_evm_erc20_approval_from_mismatch", "the same"),
    ("invalid_batch_settlement_evm_erc20_approval_invalid_format", "the same"),
    ("invalid_batch_settlement_evm_erc20_approval_wrong_spender", "the same"),
    (
        "invalid_batch_settlement_evm_missing_channel",
        "a channel that is not in memory is found in the books or on the chain",
    ),
    (
        "invalid_batch_settlement_evm_permit2_authorization_required",
        "a deposit has exactly one order: `…_payload_type`, as the SDK has it for the other one",
    ),
    ("invalid_batch_settlement_evm_settle_payload", "the SDK's word is `…_payload_type`"),
    (
        "invalid_batch_settlement_evm_smart_wallet_deployment_failed",
        "no wallets are made for deposits: `…_eip6492_factory_not_allowed`",
    ),
    (
        "invalid_batch_settlement_evm_transaction_reverted",
        "the SDK's word names the act: `…_claim_transaction_failed` for example",
    ),
    ("invalid_batch_settlement_evm_unknown_settle_action", "the SDK's word is `…_payload_type`"),
    ("invalid_batch_settlement_evm_voucher_payload", "the SDK's word is `…_payload_type`"),
    (
        "invalid_batch_settlement_evm_wait_for_receipt_failed",
        "`settlement_pending`: it is asked for until it is known",
    ),
    (
        "invalid_exact_evm_authorization_value",
        "of version 1; `…_payload_authorization_value_mismatch`",
    ),
    (
        "invalid_exact_evm_failed_to_parse_signature",
        "`invalid_exact_evm_signature`: what cannot be read is nobody's signature",
    ),
    (
        "invalid_exact_evm_payload_recipient_mismatch",
        "the SDK's word is `invalid_exact_evm_recipient_mismatch`",
    ),
    ("invalid_exact_evm_payload_signature", "the SDK's word is `invalid_exact_evm_signature`"),
    (
        "invalid_exact_evm_payload_undeployed_smart_wallet",
        "`eip6492_factory_not_allowed`, or the signature is nobody's",
    ),
    (
        "invalid_exact_evm_transfer_event_mismatch",
        "the chain is asked what became of the payment, not one transaction's events",
    ),
    ("invalid_payment_requirements", "the scheme's own word is said, as the SDK does"),
    ("invalid_scheme", "the scheme's own word is said, as the SDK does"),
    ("invalid_transaction_state", "the scheme's own word is said, as the SDK does"),
    (
        "extension_echo_mismatch",
        "what is echoed of an extension is read by that extension alone, which has its own words; all others count as left out, and the offer's terms are those that count",
    ),
    (
        "invalid_siwx_expiration_time",
        "a message is taken only as it was given: `invalid_siwx_message`",
    ),
    ("invalid_siwx_issued_at_too_old", "a challenge says when it ends: `invalid_siwx_expired`"),
    ("invalid_siwx_not_before", "`invalid_siwx_message`: no challenge has one"),
    ("invalid_siwx_not_yet_valid", "the same"),
];

/// The text of all tests but this table's own.
fn tests() -> String {
    fn read(folder: &Path, all: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, all);
            } else if path.file_name().is_some_and(|name| name != "vocabulary.rs") {
                all.push_str(&std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut all = String::new();
    read(&here, &mut all);
    // And what this file has below its table.
    let this = std::fs::read_to_string(here.join("vocabulary.rs")).unwrap();
    all.push_str(this.split("// Below the table.").last().unwrap());
    all
}

/// The codes of our own lists of reasons, with the name by which tests of channels call them.
fn ours() -> Vec<(&'static str, Option<String>)> {
    let channel = |r: ChannelInvalid| (r.code(), Some(format!("::{r:?}")));
    let mut all: Vec<_> = ChannelInvalid::ALL.into_iter().map(channel).collect();
    all.extend(exact::Invalid::ALL.into_iter().map(|r| (r.code(), None)));
    all.extend(auth_capture::Invalid::ALL.into_iter().map(|r| (r.code(), None)));
    for metered in [false, true] {
        all.extend(permit::Invalid::ALL.into_iter().map(|r| (r.code(metered), None)));
    }
    all
}

#[test]
fn each_published_code_is_said_here_and_tested_or_has_a_reason() {
    let said: BTreeSet<&str> = SAID.iter().copied().collect();
    let not_said: BTreeSet<&str> = NOT_SAID.iter().map(|(code, _)| *code).collect();
    assert_eq!((said.len(), not_said.len()), (SAID.len(), NOT_SAID.len()), "named twice");
    assert_eq!(said.intersection(&not_said).count(), 0);
    let tests = tests();
    let ours = ours();
    for (code, name) in &ours {
        assert!(!not_said.contains(code), "`{code}` is said, and the table says that it is not");
        let tested = tests.contains(&format!("\"{code}\""))
            || name.as_ref().is_some_and(|name| tests.contains(name));
        assert!(tested, "`{code}` is in no test");
    }
    for code in &said {
        let listed = ours.iter().any(|(ours, _)| ours == code);
        assert!(listed || tests.contains(&format!("\"{code}\"")), "`{code}` is in no test");
    }
    let papers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/payments.md");
    let papers = std::fs::read_to_string(papers).unwrap();
    for (code, why) in NOT_SAID {
        assert!(papers.contains(&format!("`{code}`")), "`{code}` is not in docs/payments.md");
        assert!(!why.is_empty());
    }
}

// Below the table.

/// A facilitator whose chain fails as it is told, by a key of its own.
async fn unlucky(town: &Town, wait: Duration) -> (Arc<Wire>, EmbeddedFacilitator) {
    let wire = Wire::to(&town.node);
    let limits = SenderLimits { wait, ..SenderLimits::default() };
    let chain = town::connect_by(wire.clone(), person(0x13).transaction_signer(), limits).await;
    (wire, EmbeddedFacilitator::new(chain, town.clock.clone()))
}

#[tokio::test]
async fn a_chain_that_fails_has_its_words_in_each_scheme() {
    let town = Town::begin().await;
    let payer = person(0x21);
    town.give(payer.party(), musd(1_000_000)).await;
    let (wire, facilitator) = unlucky(&town, Duration::from_millis(300)).await;
    let terms = EscrowTerms::new(person(0x13).address());
    let asked = escrow::asked(&town, terms);
    let escrowed = |number| {
        let order = escrow::order(&town, payer.party(), number, terms);
        (escrow::wrap(asked.clone(), escrow::sign(&town, &payer, order)), asked.clone())
    };
    let exact = |number| (town.payment(&payer, number), town.terms());
    let settle = async |mode, (payment, asked): (PaymentPayload, PaymentRequirements)| {
        wire.is(mode);
        let told = facilitator.settle(&payment, &asked).await.unwrap();
        wire.is(WELL);
        assert!(!told.success);
        told.error_reason.unwrap()
    };
    for (mode, in_exact, in_escrow) in [
        (REFUSING, "invalid_exact_evm_transaction_simulation_failed", "simulation_failed"),
        (FAILED, "invalid_exact_evm_transaction_failed", "transaction_reverted"),
        (MUTE, "settlement_pending", "settlement_pending"),
        (BLIND, "unexpected_settle_error", "unexpected_settle_error"),
    ] {
        let number = u64::from(mode) + 1;
        assert_eq!(settle(mode, exact(number)).await, in_exact);
        assert_eq!(settle(mode, escrowed(number)).await, in_escrow);
    }
    wire.is(BLIND);
    for (payment, asked) in [exact(9), escrowed(9)] {
        let verdict = facilitator.verify(&payment, &asked).await.unwrap();
        assert_eq!(verdict.invalid_reason.as_deref(), Some("unexpected_verify_error"));
    }
}

#[test]
fn each_revert_of_the_escrow_that_nobody_can_cause_here_has_its_word() {
    use alloy_sol_types::SolError as _;
    use protocol::bindings::escrow::AuthCaptureEscrow as E;

    for (data, code) in [
        (E::TokenCollectionFailed {}.abi_encode(), "token_collection_failed"),
        (E::InvalidCollectorForOperation {}.abi_encode(), "invalid_collector"),
    ] {
        assert_eq!(auth_capture::Invalid::of_revert(&data).map(|r| r.code()), Some(code));
    }
}

/// A channel that the books do not have yet, on a node that shows no events: the second who asks is
/// told at once, and a minute later the node is asked again.
#[tokio::test]
async fn a_channel_that_cannot_be_looked_up_is_told_as_such() {
    let mut town = Town::begin().await;
    let wire = Wire::to(&town.node);
    town.chain = town::connect_by(wire.clone(), town::sender(), SenderLimits::default()).await;
    let shop = town.channel_shop().await;
    let client = Client::funded(&town, 0x31, 1, 10 * COSTS).await;
    wire.is(FORGETFUL);
    let voucher = client.voucher(COSTS);
    assert_eq!(shop.pay(&voucher, "job:1").await.status, 503);
    let told = shop.pay(&voucher, "job:1").await;
    assert_eq!((told.status, told.code()), (402, ChannelInvalid::StateUnavailable.code().into()));
    wire.is(WELL);
    town.clock.advance(Duration::from_secs(61));
    assert_eq!(shop.pay(&voucher, "job:1").await.status, 200);
    assert_eq!(shop.work.count(), 1);
}
