//! What a person is told when something did not work, and what a script can tell from it.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// Why a command did not do what was asked.
///
/// Exit codes: 1 it was refused or failed, 2 it was misused (as `clap` itself does).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, to what.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the call itself was wrong.
    #[serde(default)]
    pub misuse: bool,
}

impl Failure {
    /// Something was refused or failed.
    pub fn new(message: impl ToString) -> Failure {
        Failure { message: message.to_string(), hint: None, misuse: false }
    }

    /// The call was wrong.
    pub fn misuse(message: impl ToString) -> Failure {
        Failure { misuse: true, ..Failure::new(message) }
    }

    /// The same, with what to do.
    pub fn hint(mut self, hint: impl ToString) -> Failure {
        self.hint = Some(hint.to_string());
        self
    }

    /// On standard error for people; as JSON on standard output for programs.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!({ "error": self }));
            return;
        }
        eprintln!("{} {}", crate::say::bad("error:"), self.message);
        if let Some(hint) = &self.hint {
            eprintln!("{} {hint}", crate::say::dim("hint:"));
        }
    }

    /// 1 refused, 2 misused.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.misuse { 2 } else { 1 })
    }
}

/// A question to the outlook that makes no sense is misuse; a record that was changed is not.
impl From<outlook::OutlookError> for Failure {
    fn from(error: outlook::OutlookError) -> Failure {
        use outlook::OutlookError as E;
        match error {
            E::Facts { .. } | E::NoMarket | E::Record { .. } | E::RecordHash { .. } => {
                Failure::new(error)
            }
            E::UnknownDriver { .. } | E::DriverRange { .. } => {
                Failure::misuse(error).hint("`machina outlook --drivers` tells what each is")
            }
            E::Horizon { .. }
            | E::Draws { .. }
            | E::UnknownQuantity { .. }
            | E::UnknownModel { .. }
            | E::UnknownScenario { .. }
            | E::DriverTwice { .. }
            | E::Number { .. }
            | E::Date { .. }
            | E::Question { .. }
            | E::Target { .. } => Failure::misuse(error),
        }
    }
}

/// Errors of the floors below speak for themselves.
macro_rules! speaks_for_itself {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Failure {
                Failure::new(error)
            }
        })+
    };
}

speaks_for_itself!(
    chain::ChainError,
    economy::EconomyError,
    labour::LabourError,
    ledger::LedgerError,
    mandates::MandateError,
    money::AmountError,
    money::PartyError,
    payments::BuyError,
    payments::ReconcileError,
    protocol::ProtocolError,
    settlement::SettlementError,
);
