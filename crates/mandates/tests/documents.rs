//! Documents and keys: only an owner's own signature allows, only what is held is signed, and no
//! secret is shown.

mod home;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use alloy_primitives::{Address, B256, Signature, U256, hex};
use alloy_sol_types::SolStruct as _;
use home::{
    PAYEE, START, cents, clock, domain, home, machine, mandate, order, owner, signed, spend,
};
use mandates::{Key, Mandate, MandateError, SignedMandate, Spend};
use money::{Amount, Asset, Clock as _};
use protocol::TransferWithAuthorization;
use protocol::addresses::{
    MACHINA_DOLLAR, PERMIT2, X402_EXACT_PERMIT2_PROXY, X402_UPTO_PERMIT2_PROXY,
};
use protocol::permit2::{
    ExactOrder, ExactWitness, Permit, TokenPermissions, UptoOrder, UptoWitness, permit2_domain,
};

#[test]
fn a_machine_cannot_sign_its_own_mandate() {
    assert!(matches!(
        SignedMandate::sign(mandate(), &machine()),
        Err(MandateError::NotSignedByOwner { .. })
    ));
    let own = Mandate { owner: machine().party(), ..mandate() };
    assert!(matches!(SignedMandate::sign(own, &machine()), Err(MandateError::OwnOwner { .. })));
}

#[test]
fn a_mandate_that_cannot_be_meant_is_refused() {
    for (wrong, said) in [
        (Mandate { daily: cents(0), ..mandate() }, "each limit must be more than nothing"),
        (Mandate { per_payment: cents(-1), ..mandate() }, "each limit must be more than nothing"),
        (
            Mandate { lifetime: Amount::from_minor(Asset::USDC, 1), ..mandate() },
            "its limits are in different assets",
        ),
    ] {
        let error = SignedMandate::sign(wrong, &owner()).unwrap_err();
        assert!(matches!(&error, MandateError::Invalid { cause, .. } if cause == said), "{error}");
    }
}

#[test]
fn a_document_changed_in_any_member_is_refused() {
    let json = String::from_utf8(signed(mandate()).to_json()).unwrap();
    assert_eq!(SignedMandate::from_json(json.as_bytes()).unwrap(), signed(mandate()));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let members: Vec<String> = value["mandate"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(members.len(), 8);
    for member in members {
        let mut changed = value.clone();
        let place = &mut changed["mandate"][&member];
        *place = match member.as_str() {
            "machine" | "owner" => serde_json::json!(PAYEE),
            "purpose" => serde_json::json!("household"),
            "serial" | "expires_at" => serde_json::json!(place.as_u64().unwrap() + 1),
            _ => serde_json::to_value(cents(600_001)).unwrap(),
        };
        let error = SignedMandate::from_json(changed.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, MandateError::NotSignedByOwner { .. }), "{member}: {error}");
    }
    for text in ["", "{", "{}", "[]", "null", &json.replace("serial", "seriel")] {
        let error = SignedMandate::from_json(text.as_bytes()).unwrap_err();
        assert!(matches!(error, MandateError::Invalid { .. }), "{text}: {error}");
    }
}

#[test]
fn a_signature_in_another_dress_is_refused() {
    let value: serde_json::Value = serde_json::from_slice(&signed(mandate()).to_json()).unwrap();
    let signature: Signature = value["signature"].as_str().unwrap().parse().unwrap();
    // The same signature with s mirrored in the group's order: valid mathematics, malleated.
    let order = U256::from_str_radix(
        "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
        16,
    )
    .unwrap();
    let high = Signature::new(signature.r(), order - signature.s(), !signature.v());
    assert_eq!(
        high.recover_address_from_prehash(&mandate().signing_hash()).unwrap(),
        owner().address()
    );
    for text in [
        format!("0x{}", hex::encode(high.as_bytes())),
        String::new(),
        "0x".into(),
        format!("0x{}", "00".repeat(65)),
        format!("0x{}", "ff".repeat(65)),
        format!("0x{}", "11".repeat(10_000)),
    ] {
        let mut changed = value.clone();
        changed["signature"] = text.into();
        assert!(matches!(
            SignedMandate::from_json(changed.to_string().as_bytes()),
            Err(MandateError::NotSignedByOwner { .. })
        ));
    }
}

#[tokio::test]
async fn a_key_signs_the_held_order_and_no_other() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(1_000_000)).await;
    let asked = spend(1, cents(100), &clock);
    let held = mandates.hold(asked.clone(), clock.now(), Vec::new()).await.unwrap();
    let good = order(1, cents(100), clock.now());
    let signature = machine().sign_payment(&held, &good, &domain()).unwrap();
    assert_eq!(
        signature.recover_address_from_prehash(&good.eip712_signing_hash(&domain())).unwrap(),
        machine().address()
    );
    let again = machine().sign_payment(&held, &good, &domain()).unwrap();
    assert_eq!(again, signature, "one hold makes one signature");

    let with = |change: fn(&mut TransferWithAuthorization)| {
        let mut order = good.clone();
        change(&mut order);
        order
    };
    for (wrong, said) in [
        (with(|o| o.from = Address::ZERO), "the hold is another machine's"),
        (with(|o| o.to = Address::ZERO), "the hold is for another payee"),
        (with(|o| o.value = U256::from(101)), "the hold is for another amount"),
        (with(|o| o.value = U256::MAX), "the hold is for another amount"),
        (with(|o| o.validBefore = U256::MAX), "the payment would outlive its hold"),
        (with(|o| o.validBefore += U256::from(1)), "the hold is for another order, token or chain"),
        (with(|o| o.nonce = B256::ZERO), "the hold is for another order, token or chain"),
    ] {
        match machine().sign_payment(&held, &wrong, &domain()) {
            Err(MandateError::NotHeld { cause }) => assert_eq!(cause, said),
            other => panic!("{said}: {other:?}"),
        }
    }
    for elsewhere in [
        protocol::embedded_dollar_domain(1),
        protocol::dollar_domain("USD Coin", "2", 402_402, PAYEE.into()),
    ] {
        assert!(machine().sign_payment(&held, &good, &elsewhere).is_err());
    }
    assert!(matches!(
        owner().sign_payment(&held, &good, &domain()),
        Err(MandateError::NotHeld { cause: "the hold is another machine's" })
    ));

    // An order longer than its hold is never held for: the promise is checked on both ends.
    let short = Spend {
        until: START.plus(std::time::Duration::from_secs(59)),
        ..spend(2, cents(1), &clock)
    };
    let held = mandates.hold(short, clock.now(), Vec::new()).await.unwrap();
    assert!(matches!(
        machine().sign_payment(&held, &order(2, cents(1), clock.now()), &domain()),
        Err(MandateError::NotHeld { cause: "the payment would outlive its hold" })
    ));
}

#[tokio::test]
async fn a_key_signs_the_held_order_through_permit2_and_its_approval_and_no_other() {
    let clock = clock();
    let (_ledger, mandates) = home(&clock, cents(1_000_000)).await;
    let chain_id = 402_402;
    let ends = U256::from(clock.now().as_secs() + 60);
    let permitted = TokenPermissions { token: MACHINA_DOLLAR, amount: U256::from(100) };
    let good = UptoOrder {
        permitted,
        spender: X402_UPTO_PERMIT2_PROXY,
        nonce: U256::from(1),
        deadline: ends,
        witness: UptoWitness {
            to: PAYEE.into(),
            facilitator: Address::repeat_byte(1),
            validAfter: U256::ZERO,
        },
    };
    let hash = good.eip712_signing_hash(&permit2_domain(chain_id));
    let asked = Spend { order: hash, ..spend(1, cents(100), &clock) };
    let held = mandates.hold(asked, clock.now(), Vec::new()).await.unwrap();
    let signature = machine().sign_upto_permit(&held, &good, chain_id).unwrap();
    assert_eq!(signature.recover_address_from_prehash(&hash).unwrap(), machine().address());
    type Change<T> = fn(&mut T);
    let changes: [(Change<UptoOrder>, &str); 6] = [
        (|o| o.witness.to = Address::ZERO, "the hold is for another payee"),
        (|o| o.permitted.amount = U256::from(101), "the hold is for another amount"),
        (|o| o.deadline = U256::MAX, "the payment would outlive its hold"),
        (|o| o.nonce = U256::ZERO, "the hold is for another order, token or chain"),
        (
            |o| o.witness.facilitator = Address::ZERO,
            "the hold is for another order, token or chain",
        ),
        (|o| o.permitted.token = Address::ZERO, "the hold is for another order, token or chain"),
    ];
    for (change, said) in changes {
        let mut wrong = good;
        change(&mut wrong);
        match machine().sign_upto_permit(&held, &wrong, chain_id) {
            Err(MandateError::NotHeld { cause }) => assert_eq!(cause, said),
            other => panic!("{said}: {other:?}"),
        }
    }
    assert!(machine().sign_upto_permit(&held, &good, 1).is_err());
    assert!(owner().sign_upto_permit(&held, &good, chain_id).is_err());
    // Not under the other scheme either.
    let exact = ExactOrder {
        permitted,
        spender: X402_EXACT_PERMIT2_PROXY,
        nonce: good.nonce,
        deadline: ends,
        witness: ExactWitness { to: PAYEE.into(), validAfter: U256::ZERO },
    };
    assert!(machine().sign_exact_permit(&held, &exact, chain_id).is_err());

    let approval = Permit {
        owner: machine().address(),
        spender: PERMIT2,
        value: U256::from(100),
        nonce: U256::ZERO,
        deadline: ends,
    };
    machine().sign_approval(&held, &approval, &domain()).unwrap();
    let changes: [(Change<Permit>, &str); 4] = [
        (|a| a.owner = Address::ZERO, "the hold is another machine's"),
        (|a| a.spender = PAYEE.into(), "nobody but Permit2 is approved"),
        (|a| a.value = U256::MAX, "the hold is for another amount"),
        (|a| a.deadline = U256::MAX, "the approval would outlive its hold"),
    ];
    for (change, said) in changes {
        let mut wrong = approval;
        change(&mut wrong);
        match machine().sign_approval(&held, &wrong, &domain()) {
            Err(MandateError::NotHeld { cause }) => assert_eq!(cause, said),
            other => panic!("{said}: {other:?}"),
        }
    }
    assert!(owner().sign_approval(&held, &approval, &domain()).is_err());
}

#[test]
fn a_key_file_is_made_once_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/machine");
    let made = Key::load_or_create(&path, || [5; 32]).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let read = Key::load_or_create(&path, || panic!("no randomness is needed to read")).unwrap();
    assert_eq!(made.address(), read.address());
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no draft stays behind");
}

#[test]
fn two_who_make_one_key_at_once_have_the_same_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    // The other one makes it between our look and our writing.
    let ours = Key::load_or_create(&path, || {
        Key::load_or_create(&path, || [9; 32]).unwrap();
        [5; 32]
    })
    .unwrap();
    assert_eq!(ours.address(), Key::from_secret(&[9; 32]).unwrap().address());
}

#[test]
fn a_key_that_others_may_read_or_that_is_none_is_refused_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let secret = "5c".repeat(32);
    let try_it = |text: &[u8], mode| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Key::load_or_create(&path, || unreachable!()).unwrap_err();
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(!text.contains("5c5c"), "{text}");
        }
        assert!(matches!(error, MandateError::KeyFile { .. }));
        error.to_string()
    };
    for mode in [0o640, 0o604, 0o660, 0o610] {
        let text = try_it(secret.as_bytes(), mode);
        assert!(text.contains(&format!("others may read it (mode {mode:o})")), "{text}");
    }
    assert!(try_it(&secret.as_bytes()[..62], 0o600).contains("64 hexadecimal digits"));
    assert!(try_it(b"", 0o600).contains("64 hexadecimal digits"));
    assert!(try_it("00".repeat(32).as_bytes(), 0o600).contains("no valid key"));
    try_it(&[0x5c, 0xff, 0xfe], 0o600);
    assert!(Key::load_or_create(folder.path(), || unreachable!()).is_err(), "a folder is no key");
}

#[test]
fn a_key_never_shows_its_secret() {
    let key = Key::from_secret(&[0x5c; 32]).unwrap();
    for text in [format!("{key:?}"), format!("{key:#?}"), format!("{:?}", key.transaction_signer())]
    {
        assert!(
            text.contains(&key.address().to_string()[2..]) || text.contains("address"),
            "{text}"
        );
        assert!(!text.to_lowercase().contains("5c5c") && !text.contains("92, 92"), "{text}");
    }
}
