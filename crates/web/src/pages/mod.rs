//! One file a page; [`frame`] is what they share.

pub mod accounts;
pub mod counted;
mod frame;
pub mod job;
pub mod jobs;
pub mod machine;
pub mod market;
pub mod mine;
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

/// Whether this is a job's name: 32 hexadecimal digits.
pub fn is_job(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
