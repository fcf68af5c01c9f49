//! Positional parameters, taken one after another.

use super::error::RpcError;
use alloy_primitives::U64;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

/// A number, which some clients write as a quantity (`"0x5"`) and others plainly (`5`).
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Plain(u64),
    Quantity(U64),
}

impl From<Number> for u64 {
    fn from(number: Number) -> Self {
        match number {
            Number::Plain(number) => number,
            Number::Quantity(number) => number.to(),
        }
    }
}

/// The parameters of one request.
pub(crate) struct Params {
    values: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Params {
    /// Absent and `null` parameters are none.
    pub(crate) fn new(params: Option<Value>) -> Result<Self, RpcError> {
        match params {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(RpcError::params("non-array args")),
        }
        .map(|values| Self { values: values.into_iter(), taken: 0 })
    }

    /// The next parameter, which must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let index = self.taken;
        self.optional()?
            .ok_or_else(|| RpcError::params(format!("missing value for required argument {index}")))
    }

    /// The next parameter, which may be absent or `null`.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RpcError> {
        let index = self.taken;
        self.taken += 1;
        match self.values.next() {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|error| RpcError::params(format!("invalid argument {index}: {error}"))),
        }
    }

    /// Refuses parameters that nobody took.
    pub(crate) fn end(self) -> Result<(), RpcError> {
        if self.values.len() == 0 {
            return Ok(());
        }
        Err(RpcError::params(format!("too many arguments, want at most {}", self.taken)))
    }
}
