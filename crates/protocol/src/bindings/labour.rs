//! The contracts of the labour market: identity, jobs, and who judges them.

// The types mirror the ABI, whose meaning the contract's own NatSpec tells.
#[allow(missing_docs, clippy::too_many_arguments)]
mod generated {
    use alloy_sol_types::sol;

    sol!(
        #[derive(Debug, PartialEq, Eq)]
        IdentityRegistry,
        "../../contracts/artifacts/IdentityRegistry.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        ReputationRegistry,
        "../../contracts/artifacts/ReputationRegistry.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        ValidationRegistry,
        "../../contracts/artifacts/ValidationRegistry.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        AgenticCommerce,
        "../../contracts/artifacts/AgenticCommerce.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        EvaluatorPool,
        "../../contracts/artifacts/EvaluatorPool.json"
    );
    sol!(
        #[derive(Debug, PartialEq, Eq)]
        Evaluators,
        "../../contracts/artifacts/Evaluators.json"
    );
}

pub use generated::{
    AgenticCommerce, EvaluatorPool, Evaluators, IdentityRegistry, ReputationRegistry,
    ValidationRegistry,
};

/// Registers an agent without a registration file.
pub type Register = IdentityRegistry::register_0Call;
/// Registers an agent whose registration file is at a URI, and states facts about it.
pub type RegisterWithMetadata = IdentityRegistry::register_1Call;
/// Registers an agent whose registration file is at a URI.
pub type RegisterWithUri = IdentityRegistry::register_2Call;
