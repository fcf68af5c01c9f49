//! One file a page; [`frame`] is what they share.

pub mod accounts;
pub mod counted;
mod frame;
pub mod machine;
pub mod outlook;
pub mod square;
pub mod trades;
pub mod trail;
pub mod trouble;

/// Whether this is a trade's reference: `0x` and 1 to 64 hexadecimal digits.
pub fn is_reference(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| {
        (1..=64).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}
