//! Accounts: what they count, which side is theirs, and how far they may go.

use std::fmt;
use std::str::FromStr;

use money::{Amount, Asset, Party, Timestamp};

use crate::id::AccountId;

/// The most characters an account's name may have.
pub const MAX_NAME: usize = 64;

/// What an account stands for in its owner's books. It fixes the normal side: the one on which
/// the account grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// What the owner has. Grows on the debit side.
    Asset,
    /// What the owner owes. Grows on the credit side.
    Liability,
    /// What is the owner's own. Grows on the credit side.
    Equity,
    /// What the owner earned. Grows on the credit side.
    Income,
    /// What the owner used up. Grows on the debit side.
    Expense,
    /// Limits and budgets: counted like money, but outside the balance sheet. Grows on the
    /// credit side, unless its limit is [`Limit::CreditsMustNotExceedDebits`].
    Memo,
}

/// How far an account may be drawn. A limit holds for posted amounts and holds together, so two
/// payments which each fit can never pass together if their sum does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// As far as one likes.
    None,
    /// Posted and held debits never exceed posted credits: deposits at a bank, a budget.
    DebitsMustNotExceedCredits,
    /// Posted and held credits never exceed posted debits: cash in a wallet.
    CreditsMustNotExceedDebits,
}

/// An account in somebody's books, in one asset. It never changes once it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Always [`AccountId::derive`] of book, name and asset.
    pub id: AccountId,
    /// In whose books it stands.
    pub book: Party,
    /// What the owner calls it: 1 to [`MAX_NAME`] characters, none of them a control character.
    /// Checked when it is opened.
    pub name: String,
    /// What it counts.
    pub asset: Asset,
    /// What it stands for.
    pub class: Class,
    /// How far it may be drawn.
    pub limit: Limit,
    /// From this moment on no new transfer or hold may touch it. Holds from before may still be
    /// posted, voided, or expire.
    pub closes_at: Option<Timestamp>,
}

impl Account {
    /// An account that never closes, with its id derived.
    pub fn new(
        book: Party,
        name: impl Into<String>,
        asset: Asset,
        class: Class,
        limit: Limit,
    ) -> Account {
        let name = name.into();
        let id = AccountId::derive(book, &name, asset);
        Account { id, book, name, asset, class, limit, closes_at: None }
    }

    /// The same account, but closed from `moment` on.
    pub fn closing_at(self, moment: Timestamp) -> Account {
        Account { closes_at: Some(moment), ..self }
    }
}

/// What has gone through an account, in minor units of its asset. None of the four is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Balance {
    /// What is counted.
    pub asset: Asset,
    /// The account's class, which tells the normal side.
    pub class: Class,
    /// The account's limit.
    pub limit: Limit,
    /// All that was debited for good, in minor units.
    pub debits_posted: i128,
    /// What holds would debit, in minor units.
    pub debits_pending: i128,
    /// All that was credited for good, in minor units.
    pub credits_posted: i128,
    /// What holds would credit, in minor units.
    pub credits_pending: i128,
}

impl Balance {
    /// What may still be taken out of the account, after all holds on it. Never negative for a
    /// limited account. Without a limit it is [`settled`](Balance::settled) less the holds that
    /// would lower it, and may be negative.
    pub fn available(&self) -> Amount {
        let minor = if self.grows_by_debits() {
            self.debits_posted - self.credits_posted - self.credits_pending
        } else {
            self.credits_posted - self.debits_posted - self.debits_pending
        };
        Amount::from_minor(self.asset, minor)
    }

    /// What stands on the account for good, positive on the normal side of its class.
    pub fn settled(&self) -> Amount {
        let by_debits = match self.class {
            Class::Asset | Class::Expense => true,
            Class::Liability | Class::Equity | Class::Income => false,
            Class::Memo => self.limit == Limit::CreditsMustNotExceedDebits,
        };
        let net = self.debits_posted - self.credits_posted;
        Amount::from_minor(self.asset, if by_debits { net } else { -net })
    }

    /// The side the limit guards, or the class's normal side where there is none.
    fn grows_by_debits(&self) -> bool {
        match self.limit {
            Limit::DebitsMustNotExceedCredits => false,
            Limit::CreditsMustNotExceedDebits => true,
            Limit::None => matches!(self.class, Class::Asset | Class::Expense),
        }
    }
}

/// A word that names no member of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {what}; it is one of: {known}")]
pub struct UnknownWord {
    what: &'static str,
    word: String,
    known: String,
}

/// Gives a closed enum its words, in text and in JSON.
macro_rules! words {
    ($name:ident, $what:literal, { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $name {
            /// All of them, in their fixed order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// Its word, as stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = $crate::account::UnknownWord;

            fn from_str(text: &str) -> Result<$name, $crate::account::UnknownWord> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::account::UnknownWord::new(
                        $what,
                        text,
                        &[$($word),+],
                    )),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<$name, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use words;

impl UnknownWord {
    pub(crate) fn new(what: &'static str, word: &str, known: &[&str]) -> UnknownWord {
        UnknownWord { what, word: word.chars().take(40).collect(), known: known.join(", ") }
    }
}

words!(Class, "class of account", {
    Asset = "asset",
    Liability = "liability",
    Equity = "equity",
    Income = "income",
    Expense = "expense",
    Memo = "memo",
});

words!(Limit, "limit", {
    None = "none",
    DebitsMustNotExceedCredits = "debits_must_not_exceed_credits",
    CreditsMustNotExceedDebits = "credits_must_not_exceed_debits",
});

#[cfg(test)]
mod tests {
    use super::*;

    fn balance(class: Class, limit: Limit) -> Balance {
        Balance {
            asset: Asset::MUSD,
            class,
            limit,
            debits_posted: 100,
            debits_pending: 7,
            credits_posted: 30,
            credits_pending: 5,
        }
    }

    #[test]
    fn an_account_grows_on_the_normal_side_of_its_class() {
        for (class, settled) in [
            (Class::Asset, 70),
            (Class::Expense, 70),
            (Class::Liability, -70),
            (Class::Equity, -70),
            (Class::Income, -70),
            (Class::Memo, -70),
        ] {
            assert_eq!(balance(class, Limit::None).settled().minor(), settled, "{class}");
        }
        let memo = balance(Class::Memo, Limit::CreditsMustNotExceedDebits);
        assert_eq!(memo.settled().minor(), 70);
    }

    #[test]
    fn holds_make_less_available_before_they_are_posted() {
        let wallet = balance(Class::Asset, Limit::CreditsMustNotExceedDebits);
        assert_eq!(wallet.available().minor(), 100 - 30 - 5);
        let deposit = balance(Class::Liability, Limit::DebitsMustNotExceedCredits);
        assert_eq!(deposit.available().minor(), 30 - 100 - 7);
        let expense = balance(Class::Expense, Limit::None);
        assert_eq!(expense.available().minor(), 100 - 30 - 5);
    }

    #[test]
    fn a_word_reads_back_and_an_unknown_one_names_the_known() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(*class));
        }
        let error = "money".parse::<Class>().unwrap_err().to_string();
        assert!(error.contains("asset, liability"), "{error}");
    }
}
