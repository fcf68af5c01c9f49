//! Faults that take more than one party: a facilitator that minds single rows, clocks that run
//! apart, a chain that takes back blocks, and ten thousand hostile retries.

mod clocks;
mod collecting;
mod hostile;
mod reorganising;
mod reorganising_channels;
