//! National accounts and indicators
