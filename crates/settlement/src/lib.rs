//! The one seam to any Ethereum chain
