//! Accounts, transfers, holds, the journal and its store
