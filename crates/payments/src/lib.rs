//! x402: wire, schemes, buyer, gate and facilitator
