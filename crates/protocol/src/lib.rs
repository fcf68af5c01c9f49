//! Bindings of the contracts, genesis and deployment
