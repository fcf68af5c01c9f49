//! Jobs under escrow (ERC-8183) and who judges them: what the contracts begin with, and how answers
//! are sealed.
//!
//! A job that is judged by lot names [`EVALUATORS`] both as its evaluator and as its hook, and its
//! client hands the [`Rule`] to `fund` (or `openJob`), by [`rule_parameters`]. The contract's own
//! documentation, in `contracts/src/Evaluators.sol`, tells the way of a case.

use alloy_primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy_sol_types::SolValue;

use crate::ProtocolError;
use crate::addresses::{
    AGENTIC_COMMERCE, EVALUATOR_POOL, EVALUATORS, IDENTITY_REGISTRY, MACHINA_DOLLAR,
    REPUTATION_REGISTRY, VALIDATION_REGISTRY,
};
use crate::artifact::Artifact;
use crate::genesis::{GenesisAccount, contract};

/// How a job is judged: fixed by its client at funding. Money in minor units, times in seconds. The
/// fields are described in `contracts/src/evaluators/Rules.sol`; `check` is a [`Check`] as a number.
pub use crate::bindings::labour::Evaluators::Rule;

/// What a seat in the pool of evaluators costs on an embedded chain, in minor units: 5 MUSD. It is
/// the most that an evaluator can lose by one job.
pub const SEAT_PRICE: u64 = 5_000_000;

/// The answer that work is good, where a check asks for a verdict.
pub const ACCEPT: B256 =
    b256!("0x0000000000000000000000000000000000000000000000000000000000000001");

/// The answer that work is bad. Anything but [`ACCEPT`] says so; this is what ours say.
pub const REJECT: B256 =
    b256!("0x0000000000000000000000000000000000000000000000000000000000000002");

/// Who sets fees and hooks of [`AGENTIC_COMMERCE`], besides the role that grants it (zero).
const ADMIN_ROLE: &[u8] = b"ADMIN_ROLE";

/// How a job's work is judged, in the contract's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Check {
    /// The work is done again, and must be the same; the provider's stays sealed until then.
    Exact,
    /// Hidden known answers are among the work.
    Gold,
    /// Independent workers do the same, unseen by each other.
    Redundant,
    /// Evaluators are scored against each other.
    Peer,
    /// Good unless challenged; then a panel decides.
    Optimistic,
    /// Evaluators judge.
    Juror,
}

impl Check {
    /// All checks, in the contract's order.
    pub const ALL: [Check; 6] =
        [Check::Exact, Check::Gold, Check::Redundant, Check::Peer, Check::Optimistic, Check::Juror];

    /// The name under which the contract publishes a check's findings.
    pub fn name(self) -> &'static str {
        match self {
            Check::Exact => "exact",
            Check::Gold => "gold",
            Check::Redundant => "redundant",
            Check::Peer => "peer",
            Check::Optimistic => "optimistic",
            Check::Juror => "juror",
        }
    }
}

/// A rule as `fund` takes it, in its `optParams`.
pub fn rule_parameters(rule: &Rule) -> Bytes {
    rule.abi_encode().into()
}

/// The seal of an answer, by which an evaluator commits to it and, under [`Check::Exact`] and
/// [`Check::Redundant`], a provider hands its work in: keccak256(answer ‖ salt ‖ who ‖ job). The salt is 32 random bytes that
/// nobody else knows until it is opened.
pub fn seal_of(answer: B256, salt: B256, who: Address, job_id: U256) -> B256 {
    keccak256((answer, salt, who, job_id).abi_encode_packed())
}

/// What a rule's `lotSecret` is the hash of.
pub fn lot_secret_hash(secret: B256) -> B256 {
    keccak256(secret.abi_encode())
}

/// The name of a job in the validation registry, under which its provider may ask [`EVALUATORS`] for
/// a mark. The registry gives a name to who asks first: ask before handing the work in, while nobody
/// else knows the `deliverable`.
pub fn validation_request(chain_id: u64, job_id: U256, deliverable: B256) -> B256 {
    keccak256((U256::from(chain_id), AGENTIC_COMMERCE, job_id, deliverable).abi_encode())
}

/// The least stake, in minor units, that makes a cheat not pay: ceil(saved / q) - pay, with what the
/// cheat saves, the likelihood q of being found out in hundredths of a percent, and what honest work
/// is paid. `None` if it is never found out, or the sum exceeds 128 bits.
pub fn stake_for(saved: u128, audit_bps: u16, pay: u128) -> Option<u128> {
    if audit_bps == 0 {
        return None;
    }
    let least = saved.checked_mul(10_000)?.div_ceil(audit_bps.into());
    Some(least.saturating_sub(pay))
}

/// The escrow of jobs with this administrator, the evaluators and their pool, as their constructors
/// leave them. Platform fees are 0, and would go to the administrator.
pub(crate) fn accounts(administrator: Address) -> Result<[GenesisAccount; 3], ProtocolError> {
    let commerce = Artifact::read(
        "AgenticCommerce",
        include_str!("../../../contracts/artifacts/AgenticCommerce.json"),
    )?;
    let roles = commerce.slot("_roles")?;
    let hooks = commerce.slot("whitelistedHooks")?;
    let holds = |role: B256| in_mapping(administrator.into_word(), in_mapping(role, roles));
    let mut storage = vec![
        (commerce.slot("platformTreasury")?, administrator.into_word().into()),
        (holds(B256::ZERO), U256::ONE),
        (holds(keccak256(ADMIN_ROLE)), U256::ONE),
        (in_mapping(B256::ZERO, hooks), U256::ONE),
        (in_mapping(EVALUATORS.into_word(), hooks), U256::ONE),
    ];
    storage.sort();

    let evaluators =
        Artifact::read("Evaluators", include_str!("../../../contracts/artifacts/Evaluators.json"))?;
    let pool = Artifact::read(
        "EvaluatorPool",
        include_str!("../../../contracts/artifacts/EvaluatorPool.json"),
    )?;
    let token = ("token", MACHINA_DOLLAR.into_word());
    let identity = ("identity", IDENTITY_REGISTRY.into_word());
    let evaluators = evaluators.runtime_code(&[
        ("commerce", AGENTIC_COMMERCE.into_word()),
        ("pool", EVALUATOR_POOL.into_word()),
        ("reputation", REPUTATION_REGISTRY.into_word()),
        ("validation", VALIDATION_REGISTRY.into_word()),
        token,
        identity,
    ])?;
    let pool = pool.runtime_code(&[
        ("court", EVALUATORS.into_word()),
        ("seatPrice", U256::from(SEAT_PRICE).into()),
        token,
        identity,
    ])?;
    Ok([
        contract(AGENTIC_COMMERCE, commerce.runtime_code(&[])?, storage),
        contract(EVALUATORS, evaluators, Vec::new()),
        contract(EVALUATOR_POOL, pool, Vec::new()),
    ])
}

/// Where a mapping that lives in `slot` keeps what belongs to `key` (Solidity documentation, "Layout
/// of State Variables in Storage", mappings).
fn in_mapping(key: B256, slot: U256) -> U256 {
    keccak256((key, slot).abi_encode()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::labour::{
        AgenticCommerce, IdentityRegistry, Register, RegisterWithMetadata, RegisterWithUri,
        ReputationRegistry, ValidationRegistry,
    };
    use alloy_sol_types::{SolCall, SolEvent};

    #[test]
    fn the_least_stake_makes_cheating_not_pay() {
        for (saved, audit_bps, pay) in
            [(10_000, 500, 10_000), (1, 1, 0), (0, 9_999, 5), (7, 3_333, 7)]
        {
            let stake = stake_for(saved, audit_bps, pay).unwrap();
            let lost = (stake + pay) * u128::from(audit_bps);
            assert!(lost >= saved * 10_000, "q (S + w) >= c for {saved}, {audit_bps}, {pay}");
        }
        // The note's own example: five in a hundred are looked at, and all of the pay is saved.
        assert_eq!(stake_for(10_000, 500, 10_000), Some(190_000));
        assert_eq!(stake_for(1, 0, 1), None);
        assert_eq!(stake_for(u128::MAX, 1, 0), None);
    }

    #[test]
    fn registries_and_escrow_have_the_signatures_of_the_public_contracts() {
        assert_eq!(Register::SIGNATURE, "register()");
        assert_eq!(RegisterWithUri::SIGNATURE, "register(string)");
        assert_eq!(RegisterWithMetadata::SIGNATURE, "register(string,(string,bytes)[])");
        assert_eq!(
            IdentityRegistry::setAgentWalletCall::SIGNATURE,
            "setAgentWallet(uint256,address,uint256,bytes)"
        );
        assert_eq!(IdentityRegistry::Registered::SIGNATURE, "Registered(uint256,string,address)");
        assert_eq!(
            ReputationRegistry::giveFeedbackCall::SIGNATURE,
            "giveFeedback(uint256,int128,uint8,string,string,string,string,bytes32)"
        );
        assert_eq!(
            ReputationRegistry::getSummaryCall::SIGNATURE,
            "getSummary(uint256,address[],string,string)"
        );
        assert_eq!(
            ValidationRegistry::validationResponseCall::SIGNATURE,
            "validationResponse(bytes32,uint8,string,bytes32,string)"
        );
        for (ours, public) in [
            (
                AgenticCommerce::createJobCall::SIGNATURE,
                "createJob(address,address,uint256,string,address,uint256)",
            ),
            (AgenticCommerce::setProviderCall::SIGNATURE, "setProvider(uint256,address,uint256)"),
            (AgenticCommerce::setBudgetCall::SIGNATURE, "setBudget(uint256,address,uint256,bytes)"),
            (AgenticCommerce::fundCall::SIGNATURE, "fund(uint256,uint256,bytes)"),
            (AgenticCommerce::submitCall::SIGNATURE, "submit(uint256,bytes32,bytes)"),
            (AgenticCommerce::completeCall::SIGNATURE, "complete(uint256,bytes32,bytes)"),
            (AgenticCommerce::rejectCall::SIGNATURE, "reject(uint256,bytes32,bytes)"),
            (AgenticCommerce::claimRefundCall::SIGNATURE, "claimRefund(uint256)"),
            (
                AgenticCommerce::JobCreated::SIGNATURE,
                "JobCreated(uint256,address,address,address,uint256,address)",
            ),
        ] {
            assert_eq!(ours, public);
        }
    }
}
