//! A contract wallet of one key (EIP-1271): it takes that key's signatures and no others, and does
//! not exist before somebody makes it (EIP-6492).
//!
//! Its code is written here by hand, since it must hold the key's address. Making it also lets
//! Permit2 take its dollars, as a wallet's first call commonly does.

use alloy_primitives::{Address, B256, Bytes, hex};
use alloy_signer::SignerSync as _;
use mandates::Key;
use protocol::addresses::{CREATE2_DEPLOYER, MACHINA_DOLLAR, PERMIT2};
use settlement::WrappedSignature;

use super::{Town, musd, person, transact};

/// Before the owner's address: `ecrecover(hash, v, r, s)`, from `isValidSignature(bytes32, bytes)`
/// as it is called with 65 bytes, to be compared.
const RECOVERS: [u8; 38] = hex!(
    "600435600052" // the hash
    "60853560ff16602052" // v is the last of the 65 bytes
    "60406064604037" // r and s
    "602060806080600060015afa50" // by the precompile, into 0x80
    "608051"
);

pub struct SmartWallet {
    pub owner: Key,
    pub address: Address,
    /// What [`CREATE2_DEPLOYER`] is told to make it.
    pub call: Bytes,
}

impl SmartWallet {
    /// The wallet of the `number`th person, with money and not made yet.
    pub async fn foretold(town: &Town, number: u8) -> SmartWallet {
        let owner = person(number);
        let code = runtime(owner.address());
        let init = approving_init(&code);
        let salt = B256::repeat_byte(number);
        let address = CREATE2_DEPLOYER.create2_from_code(salt, &init);
        town.give(address.into(), musd(1_000_000)).await;
        SmartWallet { owner, address, call: [salt.as_slice(), &init].concat().into() }
    }

    /// The same, made already.
    pub async fn made(town: &Town, number: u8) -> SmartWallet {
        let wallet = SmartWallet::foretold(town, number).await;
        transact(town, &wallet.owner, CREATE2_DEPLOYER, wallet.call.clone()).await;
        assert!(wallet.exists(town).await);
        wallet
    }

    pub async fn exists(&self, town: &Town) -> bool {
        town.chain.is_contract(self.address).await.unwrap()
    }

    /// Its signature once it exists.
    pub fn sign(&self, hash: B256) -> Bytes {
        let signature = self.owner.transaction_signer().sign_hash_sync(&hash).unwrap();
        signature.as_bytes().to_vec().into()
    }

    /// Its signature with the way to make it.
    pub fn sign_wrapped(&self, hash: B256) -> Bytes {
        let (call, inner) = (self.call.clone(), self.sign(hash));
        WrappedSignature { factory: CREATE2_DEPLOYER, call, inner }.write()
    }
}

/// What runs at the wallet's address.
fn runtime(owner: Address) -> Vec<u8> {
    let mut code = RECOVERS.to_vec();
    code.push(0x73); // PUSH20
    code.extend(owner.as_slice());
    code.push(0x14); // EQ
    let good = u8::try_from(code.len() + 8).unwrap();
    code.extend([0x60, good, 0x57]); // JUMPI
    code.extend(hex!("60006000fd")); // REVERT
    code.extend(hex!("5b" "631626ba7e60e01b" "600052" "60206000f3"));
    code
}

/// What makes it: lets Permit2 take all its dollars, and returns the code.
fn approving_init(code: &[u8]) -> Vec<u8> {
    let length = u8::try_from(code.len()).unwrap();
    let mut init = hex!("63095ea7b360e01b600052" "73").to_vec();
    init.extend(PERMIT2.as_slice());
    init.extend(hex!("600452" "600019602452" "60006000604460006000" "73"));
    init.extend(MACHINA_DOLLAR.as_slice());
    init.extend(hex!("5af150"));
    let begins = u8::try_from(init.len() + 12).unwrap();
    init.extend([0x60, length, 0x60, begins, 0x60, 0x00, 0x39]); // CODECOPY
    init.extend([0x60, length, 0x60, 0x00, 0xf3]); // RETURN
    init.extend(code);
    init
}
