//! Keys: made, kept and used here, and shown nowhere (invariant 9).
//!
//! A key file holds 64 hexadecimal digits and is readable by its owner alone. It is not encrypted
//! yet; `SECURITY.md` says what that means.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use alloy_primitives::{Address, B256, Signature, U256, keccak256};
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{Eip712Domain, SolStruct as _};
use money::Party;
use protocol::addresses::PERMIT2;
use protocol::permit2::{ExactOrder, Permit, UptoOrder, permit2_domain};
use protocol::{TransferWithAuthorization, notarial};

use crate::error::MandateError;
use crate::limits::Held;

/// A party's secret. It signs for its party; its `Debug` shows the address only.
#[derive(Clone)]
pub struct Key(PrivateKeySigner);

impl Key {
    /// The key with these 32 secret bytes.
    ///
    /// # Errors
    /// [`MandateError::KeyFile`] if they are no secp256k1 key (zero, or beyond the group's order).
    pub fn from_secret(secret: &[u8; 32]) -> Result<Key, MandateError> {
        PrivateKeySigner::from_bytes(&B256::from(*secret)).map(Key).map_err(|_| {
            MandateError::KeyFile { path: "(in memory)".into(), cause: "not a valid key".into() }
        })
    }

    /// Reads a key file, or makes one from 32 random bytes.
    ///
    /// # Errors
    /// [`MandateError::KeyFile`] if it cannot be read or written, or if others may read it.
    pub fn load_or_create(
        path: &Path,
        entropy: impl FnOnce() -> [u8; 32],
    ) -> Result<Key, MandateError> {
        let wrong =
            |cause: String| MandateError::KeyFile { path: path.display().to_string(), cause };
        match fs::read_to_string(path) {
            Ok(text) => Key::from_file(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = entropy();
                let key = Key::from_secret(&secret)?;
                if write_secret(path, &secret).map_err(|e| wrong(e.to_string()))? {
                    return Ok(key);
                }
                // Another was faster: theirs is the key.
                let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
                Key::from_file(path, &text)
            }
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    fn from_file(path: &Path, text: &str) -> Result<Key, MandateError> {
        let wrong =
            |cause: String| MandateError::KeyFile { path: path.display().to_string(), cause };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(path).map_err(|e| wrong(e.to_string()))?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(wrong(format!(
                    "others may read it (mode {:o}); run `chmod 600` on it, and consider the key known",
                    mode & 0o777
                )));
            }
        }
        let secret: [u8; 32] = alloy_primitives::hex::decode(text.trim())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| wrong("it does not hold 64 hexadecimal digits".into()))?;
        Key::from_secret(&secret).map_err(|_| wrong("it holds no valid key".into()))
    }

    /// The address that this key signs for.
    pub fn address(&self) -> Address {
        self.0.address()
    }

    /// The party that this key signs for.
    pub fn party(&self) -> Party {
        self.address().into()
    }

    /// The signer for plain transactions, which carry no money of a mandate: a facilitator's gas.
    pub fn transaction_signer(&self) -> PrivateKeySigner {
        self.0.clone()
    }

    /// Signs an offer of this key's own party: the terms at which it sells. It moves no money.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] if somebody else would be paid.
    pub fn sign_offer(&self, offer: &notarial::Offer) -> Result<Signature, MandateError> {
        if offer.payTo.parse::<Address>().ok() != Some(self.address()) {
            let cause = "a seller signs its own offers only";
            return Err(MandateError::NotHeld { cause });
        }
        Ok(self.sign_hash(offer.eip712_signing_hash(&notarial::offer_domain())))
    }

    /// Signs a receipt: that somebody paid this key's party, and got what was bought. It moves no
    /// money.
    pub fn sign_receipt(&self, receipt: &notarial::Receipt) -> Signature {
        self.sign_hash(receipt.eip712_signing_hash(&notarial::receipt_domain()))
    }

    /// 32 secret bytes for one purpose, from this key: the same at each start, and telling nothing
    /// of the key or of the bytes for another purpose.
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        // The key is uniformly random and of fixed length, so hashing it after a name is enough.
        let mut text = format!("machina/secret/{purpose}/").into_bytes();
        text.extend_from_slice(self.0.to_bytes().as_slice());
        keccak256(text).0
    }

    pub(crate) fn sign_hash(&self, hash: B256) -> Signature {
        protocol::sign_hash(&self.0, hash)
    }

    /// Signs a payment that is held: the same payer, payee and amount, valid no longer than the
    /// hold, and the very order that it was held for, in the same token on the same chain. One hold
    /// makes one signature, however often it is asked for.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] naming what the hold does not cover.
    pub fn sign_payment(
        &self,
        held: &Held,
        order: &TransferWithAuthorization,
        domain: &Eip712Domain,
    ) -> Result<Signature, MandateError> {
        let terms = Terms {
            payer: order.from,
            payee: order.to,
            amount: order.value,
            ends: order.validBefore,
            hash: order.eip712_signing_hash(domain),
        };
        self.sign_held(held, &terms)
    }

    /// As [`Key::sign_payment`], of a payment through Permit2 that moves exactly what is held.
    ///
    /// # Errors
    /// As [`Key::sign_payment`].
    pub fn sign_exact_permit(
        &self,
        held: &Held,
        order: &ExactOrder,
        chain_id: u64,
    ) -> Result<Signature, MandateError> {
        let terms = Terms {
            payer: self.address(),
            payee: order.witness.to,
            amount: order.permitted.amount,
            ends: order.deadline,
            hash: order.eip712_signing_hash(&permit2_domain(chain_id)),
        };
        self.sign_held(held, &terms)
    }

    /// As [`Key::sign_payment`], of a payment through Permit2 that moves at most what is held.
    ///
    /// # Errors
    /// As [`Key::sign_payment`].
    pub fn sign_upto_permit(
        &self,
        held: &Held,
        order: &UptoOrder,
        chain_id: u64,
    ) -> Result<Signature, MandateError> {
        let terms = Terms {
            payer: self.address(),
            payee: order.witness.to,
            amount: order.permitted.amount,
            ends: order.deadline,
            hash: order.eip712_signing_hash(&permit2_domain(chain_id)),
        };
        self.sign_held(held, &terms)
    }

    /// Signs the approval of Permit2 that a held payment needs (EIP-2612): for exactly what is
    /// held, and no longer than the hold. It moves nothing: Permit2 takes only what a payment that
    /// is signed as well allows.
    ///
    /// # Errors
    /// [`MandateError::NotHeld`] naming what the hold does not cover.
    pub fn sign_approval(
        &self,
        held: &Held,
        approval: &Permit,
        domain: &Eip712Domain,
    ) -> Result<Signature, MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let spend = held.spend();
        if spend.machine != self.party() || approval.owner != self.address() {
            return refuse("the hold is another machine's");
        }
        if approval.spender != PERMIT2 {
            return refuse("nobody but Permit2 is approved");
        }
        if U256::try_from(spend.amount.minor()).ok() != Some(approval.value) {
            return refuse("the hold is for another amount");
        }
        if approval.deadline > U256::from(spend.until.as_secs()) {
            return refuse("the approval would outlive its hold");
        }
        Ok(self.sign_hash(approval.eip712_signing_hash(domain)))
    }

    pub(crate) fn sign_held(&self, held: &Held, terms: &Terms) -> Result<Signature, MandateError> {
        let refuse = |cause| Err(MandateError::NotHeld { cause });
        let spend = held.spend();
        if spend.machine != self.party() || terms.payer != self.address() {
            return refuse("the hold is another machine's");
        }
        if Party::from(terms.payee) != spend.payee {
            return refuse("the hold is for another payee");
        }
        if U256::try_from(spend.amount.minor()).ok() != Some(terms.amount) {
            return refuse("the hold is for another amount");
        }
        if terms.ends > U256::from(spend.until.as_secs()) {
            return refuse("the payment would outlive its hold");
        }
        if terms.hash != spend.order {
            return refuse("the hold is for another order, token or chain");
        }
        Ok(self.sign_hash(terms.hash))
    }
}

/// What an order says, in whichever form it is signed.
pub(crate) struct Terms {
    pub(crate) payer: Address,
    pub(crate) payee: Address,
    /// Minor units.
    pub(crate) amount: U256,
    /// The last Unix second.
    pub(crate) ends: U256,
    /// What is signed.
    pub(crate) hash: B256,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, secret)", self.address())
    }
}

/// Written beside and linked into place, so that a crash leaves no half a key, and of two who
/// make one at once only one does: `false` if there is a key already.
fn write_secret(path: &Path, secret: &[u8; 32]) -> std::io::Result<bool> {
    use std::io::ErrorKind;

    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    // A draft left by a crash may have been made readable since; a new file never is.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    writeln!(file, "{}", alloy_primitives::hex::encode(secret))?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    }
    if let Some(folder) = folder {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(true)
}
