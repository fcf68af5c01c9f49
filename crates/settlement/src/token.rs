//! A dollar on a chain: balances, signed authorizations (EIP-3009), and what became of them.

use std::sync::Arc;

use alloy_eips::BlockId;
use alloy_network::Ethereum;
use alloy_network::TransactionBuilder as _;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_provider::{Provider as _, RootProvider};
use alloy_rpc_types_eth::{Filter, Log, TransactionRequest};
use alloy_sol_types::{SolCall, SolEvent as _, sol};
use money::{Amount, Asset, Party};

use crate::endpoint::{Endpoint, failure};
use crate::error::SettlementError;
use crate::pool::{Pool, SendingKeys};
use crate::search::backwards;
use crate::sender::{Receipt, Sender, SenderLimits, outcome, seals_on_demand, settled_head};

sol! {
    /// What we ask of a dollar: ERC-20, EIP-3009, and `mint` on the embedded chain.
    interface Dollar {
        function name() external view returns (string);
        function version() external view returns (string);
        function symbol() external view returns (string);
        function decimals() external view returns (uint8);
        function totalSupply() external view returns (uint256);
        function balanceOf(address account) external view returns (uint256);
        function allowance(address owner, address spender) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce, bytes signature) external;
        function mint(address to, uint256 amount) external;
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
    }
}

/// The longest name or version of a token that is believed, in bytes.
const MAX_DOMAIN_TEXT: usize = 128;

/// The most gas that a payment may take. A dollar's transfer takes about 70,000, a contract wallet's
/// own check some more; one that wants a multiple of that would have others pay for its whims.
pub const PAYMENT_GAS: u64 = 500_000;

/// A dollar: which asset it is to us, and what its EIP-712 domain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// How we count it.
    pub asset: Asset,
    /// Its contract.
    pub address: Address,
    /// The chain that it lives on.
    pub chain_id: u64,
    /// EIP-712 domain name, for example `Machina Dollar`.
    pub name: String,
    /// EIP-712 domain version, for example `1`.
    pub version: String,
}

/// A payer's signed order to move money (EIP-3009 `TransferWithAuthorization`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAuthorization {
    /// Who pays.
    pub from: Address,
    /// Who is paid.
    pub to: Address,
    /// Minor units.
    pub value: U256,
    /// Valid only after this Unix second.
    pub valid_after: U256,
    /// Valid only before this Unix second.
    pub valid_before: U256,
    /// The payer's one-time number for it.
    pub nonce: B256,
    /// 65 bytes of a key, or what a contract wallet (EIP-1271) accepts.
    pub signature: Bytes,
}

/// What the chain says of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorizationState {
    /// Neither used nor cancelled: it may still be used while it is valid.
    Unused,
    /// It moved the money.
    Used {
        /// The transaction that did it.
        transaction: B256,
        /// Its block.
        block: u64,
        /// Who was paid.
        to: Address,
        /// Minor units that moved.
        value: U256,
    },
    /// The payer cancelled it: it can never move money.
    Cancelled,
}

/// A movement of the token in a mined block, for the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenMovement {
    /// From whom; `None` if it was minted.
    pub from: Option<Party>,
    /// To whom; `None` if it was burned.
    pub to: Option<Party>,
    /// How much.
    pub amount: Amount,
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
    /// The event's index in the block: with the transaction it names the movement.
    pub log_index: u64,
    /// The signed order that moved it, if one did.
    pub order: Option<OrderName>,
}

/// Which of a payer's signed orders moved money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderName {
    /// One to the token itself (EIP-3009).
    Authorization {
        /// Who paid.
        payer: Party,
        /// The payer's number for it.
        nonce: B256,
    },
    /// One through Permit2, by x402's proxies.
    Permit {
        /// Who paid.
        payer: Party,
        /// The payer's number for it.
        nonce: U256,
    },
}

/// A chain, one token on it, and the keys that send.
///
/// Cheap to clone; all clones share the senders and their nonces.
#[derive(Clone)]
pub struct Settlement {
    pub(crate) endpoint: Endpoint,
    pub(crate) provider: RootProvider<Ethereum>,
    token: Arc<Token>,
    senders: Arc<Pool>,
    /// How many blocks must stand on one before it counts.
    pub(crate) confirmations: u64,
}

impl Settlement {
    /// Connects to a chain and reads the token there, within [`SenderLimits::wait`]. One key or
    /// several send ([`SendingKeys::pool`]).
    ///
    /// # Errors
    /// [`SettlementError::Unreachable`] if nobody answers, [`SettlementError::WrongChain`],
    /// [`SettlementError::NoToken`].
    pub async fn connect(
        endpoint: Endpoint,
        expected_chain: Option<u64>,
        token: Address,
        senders: impl Into<SendingKeys>,
        limits: SenderLimits,
    ) -> Result<Settlement, SettlementError> {
        let silent = SettlementError::Unreachable {
            endpoint: endpoint.to_string(),
            cause: format!("it said nothing for {:?}", limits.wait),
        };
        let greeting = Settlement::greet(endpoint, expected_chain, token, senders.into(), limits);
        tokio::time::timeout(limits.wait, greeting).await.unwrap_or(Err(silent))
    }

    async fn greet(
        endpoint: Endpoint,
        expected_chain: Option<u64>,
        token: Address,
        senders: SendingKeys,
        limits: SenderLimits,
    ) -> Result<Settlement, SettlementError> {
        let provider = endpoint.provider()?;
        let chain_id =
            provider.get_chain_id().await.map_err(|e| failure(&endpoint, "its chain id", e))?;
        if let Some(expected) = expected_chain.filter(|expected| *expected != chain_id) {
            return Err(SettlementError::WrongChain { expected, found: chain_id });
        }
        let reader = Reader { endpoint: &endpoint, provider: &provider, contract: token };
        let no_token = |cause: String| SettlementError::NoToken { token, chain_id, cause };
        let code = provider
            .get_code_at(token)
            .await
            .map_err(|e| failure(&endpoint, "the token's code", e))?;
        if code.is_empty() {
            return Err(no_token("there is no contract at that address".into()));
        }
        // What is no token reverts or answers nonsense; that nobody answers is another matter.
        let missing = |what: &str, error: SettlementError| match error {
            unreachable @ SettlementError::Unreachable { .. } => unreachable,
            other => {
                no_token(format!("it has no `{what}`, which EIP-3009 payments need ({other})"))
            }
        };
        let decimals =
            reader.call(Dollar::decimalsCall {}).await.map_err(|e| missing("decimals()", e))?;
        let symbol =
            reader.call(Dollar::symbolCall {}).await.map_err(|e| missing("symbol()", e))?;
        let name = reader.call(Dollar::nameCall {}).await.map_err(|e| missing("name()", e))?;
        let version =
            reader.call(Dollar::versionCall {}).await.map_err(|e| missing("version()", e))?;
        if name.len() > MAX_DOMAIN_TEXT || version.len() > MAX_DOMAIN_TEXT {
            return Err(no_token(format!("its name or version is over {MAX_DOMAIN_TEXT} bytes")));
        }
        let asset = Asset::try_new(&symbol.to_uppercase(), decimals)
            .map_err(|e| no_token(e.to_string()))?;
        let sender = |key| Sender::new(endpoint.clone(), provider.clone(), key, chain_id, limits);
        let senders = Arc::new(Pool::new(senders.into_keys().into_iter().map(sender)));
        let confirmations = limits.confirmations_on(&endpoint, chain_id);
        let token = Arc::new(Token { asset, address: token, chain_id, name, version });
        Ok(Settlement { endpoint, provider, token, senders, confirmations })
    }

    /// The same chain and token, with another key that sends: for what only that key may do.
    pub fn sending_by(&self, key: impl Into<SendingKeys>, limits: SenderLimits) -> Settlement {
        let sender = |key| {
            let (endpoint, provider) = (self.endpoint.clone(), self.provider.clone());
            Sender::new(endpoint, provider, key, self.token.chain_id, limits)
        };
        let senders = Arc::new(Pool::new(key.into().into_keys().into_iter().map(sender)));
        Settlement { senders, ..self.clone() }
    }

    /// The token that is settled here.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Where the chain is, for messages: never with a secret in it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The address that sends where a contract knows its caller by address: the first key's.
    pub fn sender(&self) -> Address {
        self.senders.first().address()
    }

    /// All addresses that send transactions and pay their gas, the first key's first.
    pub fn senders(&self) -> Vec<Address> {
        self.senders.senders().map(|sender| sender.address()).collect()
    }

    /// Looks after transactions whose fate was open when their wait ran out: sends them again, and
    /// forgets those that are mined. Every sending does that too; call it from time to time where
    /// long nothing is sent. Bounded by what one key may leave open, and by the node's answers.
    pub async fn tend(&self) {
        for sender in self.senders.senders().filter(|sender| sender.is_stuck()) {
            sender.tend().await;
        }
    }

    /// What a party owns now.
    ///
    /// # Errors
    /// As every reading: unreachable, refused, unreadable, too large to count.
    pub async fn balance(&self, party: Party) -> Result<Amount, SettlementError> {
        let value = self.call(Dollar::balanceOfCall { account: party.into() }).await?;
        self.amount(value)
    }

    /// What a party owned at [`Settlement::safe_head`]: what books are compared with.
    ///
    /// # Errors
    /// As every reading.
    pub async fn settled_balance(&self, party: Party) -> Result<Amount, SettlementError> {
        if self.confirmations == 0 {
            return self.balance(party).await;
        }
        let block = self.safe_head().await?.into();
        let call = Dollar::balanceOfCall { account: party.into() };
        let value = self.reader(self.token.address).call_at(call, block).await?;
        self.amount(value)
    }

    /// How much of an owner's money a spender may move, in minor units; often without bound.
    ///
    /// # Errors
    /// As every reading.
    pub async fn token_allowance(
        &self,
        owner: Address,
        spender: Address,
    ) -> Result<U256, SettlementError> {
        self.call(Dollar::allowanceCall { owner, spender }).await
    }

    /// How much of the token exists.
    ///
    /// # Errors
    /// As every reading.
    pub async fn supply(&self) -> Result<Amount, SettlementError> {
        let value = self.call(Dollar::totalSupplyCall {}).await?;
        self.amount(value)
    }

    /// The newest block's number.
    ///
    /// # Errors
    /// As every reading.
    pub async fn block_number(&self) -> Result<u64, SettlementError> {
        self.provider
            .get_block_number()
            .await
            .map_err(|e| failure(&self.endpoint, "the block number", e))
    }

    /// The newest block that counts: [`SenderLimits::confirmations`] blocks stand on it, or the
    /// node calls it final. Whatever books what the chain says reads up to here.
    ///
    /// A reorganisation that goes deeper than this takes back what was reported as paid, booked
    /// and answered. Nothing here undoes that: books and chain then differ, and the difference
    /// is to be shown to a person. Raise the confirmations where a payment is worth more than a
    /// reorganisation costs.
    ///
    /// # Errors
    /// As every reading.
    pub async fn safe_head(&self) -> Result<u64, SettlementError> {
        settled_head(&self.provider, self.confirmations)
            .await
            .map_err(|e| failure(&self.endpoint, "the block number", e))
    }

    /// What became of a transaction; `None` while it is not mined. If it was sent here and signed
    /// anew with higher fees, the receipt is that of whichever version was mined, which may lie in
    /// a block above [`Settlement::safe_head`].
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Reverted`] if it was mined and failed.
    pub async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, SettlementError> {
        let mut versions = vec![transaction];
        for sender in self.senders.senders() {
            let siblings = sender.siblings(transaction).await;
            versions.extend(siblings.into_iter().filter(|sibling| *sibling != transaction));
        }
        for version in versions {
            let receipt = self
                .provider
                .get_transaction_receipt(version)
                .await
                .map_err(|e| failure(&self.endpoint, "a receipt", e))?;
            if let Some(receipt) = receipt {
                return outcome(&receipt).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a contract lives at an address.
    ///
    /// # Errors
    /// As every reading.
    pub async fn is_contract(&self, address: Address) -> Result<bool, SettlementError> {
        let code = self
            .provider
            .get_code_at(address)
            .await
            .map_err(|e| failure(&self.endpoint, "an account's code", e))?;
        Ok(!code.is_empty())
    }

    /// Asks a contract wallet whether a signature is its own (EIP-1271).
    ///
    /// # Errors
    /// As every reading; a wallet that reverts says no.
    pub async fn contract_accepts(
        &self,
        wallet: Address,
        hash: B256,
        signature: Bytes,
    ) -> Result<bool, SettlementError> {
        sol! {
            function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
        }
        const MAGIC: [u8; 4] = isValidSignatureCall::SELECTOR;
        let request = TransactionRequest::default()
            .with_to(wallet)
            .with_gas_limit(PAYMENT_GAS)
            .with_input(isValidSignatureCall { hash, signature }.abi_encode());
        match self.provider.call(request).await.map_err(|e| failure(&self.endpoint, "a call", e)) {
            Ok(answer) => Ok(answer.len() >= 32 && answer[..4] == MAGIC),
            // It reverts, or wants more gas than a payment may have.
            Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tries an authorization without sending it.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] with the contract's reason if it would fail.
    pub async fn simulate(
        &self,
        authorization: &SignedAuthorization,
    ) -> Result<(), SettlementError> {
        let call = authorization.call().abi_encode().into();
        self.simulate_call(self.token.address, call, PAYMENT_GAS).await.map(drop)
    }

    /// Moves money by its owner's signature, and waits until that is mined.
    ///
    /// # Errors
    /// As [`Sender::send`]. After [`SettlementError::Pending`], ask [`Settlement::authorization`].
    pub async fn transfer_with_authorization(
        &self,
        authorization: &SignedAuthorization,
    ) -> Result<Receipt, SettlementError> {
        let call = authorization.call().abi_encode().into();
        self.send(self.token.address, call, PAYMENT_GAS).await
    }

    /// Makes play money, where the first sender is the token's minter.
    ///
    /// # Errors
    /// [`SettlementError::NotMintable`] for no amount of this token; else as [`Sender::send`]: a
    /// token that we may not mint reverts.
    pub async fn mint(&self, to: Party, amount: Amount) -> Result<Receipt, SettlementError> {
        let asset = self.token.asset;
        let minor = Some(amount)
            .filter(|a| a.asset() == asset && a.is_positive())
            .and_then(|a| U256::try_from(a.minor()).ok())
            .ok_or(SettlementError::NotMintable { amount, asset })?;
        let call = Dollar::mintCall { to: to.into(), amount: minor };
        let call = call.abi_encode().into();
        self.send_from(self.sender(), self.token.address, call, PAYMENT_GAS).await
    }

    /// What became of an authorization. Its transaction is searched from the newest block back to
    /// `from_block`, so what was used lately is found at once.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Pending`] if it was used or cancelled in a block above
    /// [`Settlement::safe_head`], which may still vanish; [`SettlementError::Unreadable`] if the chain says that it was used and
    /// shows no event of it since `from_block`.
    pub async fn authorization(
        &self,
        payer: Address,
        nonce: B256,
        from_block: u64,
    ) -> Result<AuthorizationState, SettlementError> {
        if !self.authorization_used(payer, nonce).await? {
            return Ok(AuthorizationState::Unused);
        }
        let topics = vec![
            Dollar::AuthorizationUsed::SIGNATURE_HASH,
            Dollar::AuthorizationCanceled::SIGNATURE_HASH,
        ];
        let filter = Filter::new()
            .address(self.token.address)
            .event_signature(topics)
            .topic1(payer)
            .topic2(nonce);
        let unreadable = |cause: &str| SettlementError::Unreadable {
            what: "an authorization's event",
            cause: cause.into(),
        };
        // Asked after it was seen to be used, so it is in a block up to this one.
        let newest = self.block_number().await?;
        let mut found = None;
        for (first, last) in backwards(from_block.min(newest), newest) {
            let logs = self
                .provider
                .get_logs(&filter.clone().from_block(first).to_block(last))
                .await
                .map_err(|e| failure(&self.endpoint, "an authorization's event", e))?;
            found = logs.into_iter().next();
            if found.is_some() {
                break;
            }
        }
        let log = found.ok_or_else(|| unreadable("used, yet no event tells by what"))?;
        let transaction =
            log.transaction_hash.ok_or_else(|| unreadable("the event names no transaction"))?;
        let block = log.block_number.ok_or_else(|| unreadable("the event names no block"))?;
        if self.confirmations > 0 && block > self.safe_head().await? {
            return Err(SettlementError::Pending { transaction });
        }
        if log.topic0() == Some(&Dollar::AuthorizationCanceled::SIGNATURE_HASH) {
            return Ok(AuthorizationState::Cancelled);
        }
        let transfers =
            self.transfers(Filter::new().from_block(block).to_block(block).topic1(payer)).await?;
        // A transaction may carry several authorizations; ours is the transfer that follows it.
        let transfer = transfers
            .iter()
            .filter(|t| t.transaction_hash == Some(transaction) && t.log_index > log.log_index)
            .min_by_key(|t| t.log_index)
            .and_then(|t| Dollar::Transfer::decode_log(&t.inner).ok())
            .ok_or_else(|| unreadable("no transfer follows it"))?;
        Ok(AuthorizationState::Used { transaction, block, to: transfer.to, value: transfer.value })
    }

    /// Whether an authorization's nonce is spent: used or cancelled.
    ///
    /// # Errors
    /// As every reading.
    pub async fn authorization_used(
        &self,
        payer: Address,
        nonce: B256,
    ) -> Result<bool, SettlementError> {
        self.call(Dollar::authorizationStateCall { authorizer: payer, nonce }).await
    }

    /// All movements of the token from or to one of `parties`, in blocks `from..=to`, in order.
    /// For books, `to` is at most [`Settlement::safe_head`]: what lies above may vanish, and what
    /// was booked of it would then be wrong.
    ///
    /// # Errors
    /// As every reading; nodes bound how many blocks they search.
    pub async fn movements(
        &self,
        parties: &[Party],
        from: u64,
        to: u64,
    ) -> Result<Vec<TokenMovement>, SettlementError> {
        if parties.is_empty() {
            return Ok(Vec::new());
        }
        let topics: Vec<B256> = parties.iter().map(|p| Address::from(*p).into_word()).collect();
        let range = || Filter::new().from_block(from).to_block(to);
        let mut logs = self.transfers(range().topic1(topics.clone())).await?;
        logs.extend(self.transfers(range().topic2(topics)).await?);
        logs.sort_by_key(|l| (l.block_number, l.log_index));
        logs.dedup_by_key(|l| (l.block_number, l.log_index));
        let used = self
            .provider
            .get_logs(
                &range()
                    .address(self.token.address)
                    .event_signature(Dollar::AuthorizationUsed::SIGNATURE_HASH),
            )
            .await
            .map_err(|e| failure(&self.endpoint, "used authorizations", e))?;
        let mut movements = Vec::with_capacity(logs.len());
        for log in &logs {
            let mut movement = self.movement(log, &logs, &used)?;
            if movement.order.is_none() {
                movement.order = self.permit_of(&movement).await?;
            }
            movements.push(movement);
        }
        Ok(movements)
    }

    /// The permit by which money moved, if the transaction is one of x402's proxies carrying it
    /// out.
    async fn permit_of(
        &self,
        movement: &TokenMovement,
    ) -> Result<Option<OrderName>, SettlementError> {
        let (Some(from), Some(to)) = (movement.from, movement.to) else { return Ok(None) };
        let paid = self.permit_behind(movement.transaction).await?.filter(|paid| {
            paid.token == self.token.address
                && (Party::from(paid.payer), Party::from(paid.payee)) == (from, to)
        });
        Ok(paid.map(|paid| OrderName::Permit { payer: from, nonce: paid.nonce }))
    }

    fn movement(
        &self,
        log: &Log,
        logs: &[Log],
        used: &[Log],
    ) -> Result<TokenMovement, SettlementError> {
        let unreadable = |cause: String| SettlementError::Unreadable { what: "a transfer", cause };
        let transfer =
            Dollar::Transfer::decode_log(&log.inner).map_err(|e| unreadable(e.to_string()))?;
        let missing = || unreadable("it is not in a block".into());
        let party = |address: Address| (!address.is_zero()).then(|| Party::from(address));
        // The token says `AuthorizationUsed` just before the transfer that it allows.
        let order = used
            .iter()
            .filter(|u| u.transaction_hash == log.transaction_hash && u.log_index < log.log_index)
            .max_by_key(|u| u.log_index)
            // It allows one transfer: the first of its payer that follows.
            .filter(|u| {
                !logs.iter().any(|other| {
                    other.transaction_hash == log.transaction_hash
                        && (u.log_index..log.log_index).contains(&other.log_index)
                        && other.inner.topics().get(1) == log.inner.topics().get(1)
                })
            })
            .and_then(|u| Dollar::AuthorizationUsed::decode_log(&u.inner).ok())
            .filter(|u| u.authorizer == transfer.from)
            .map(|u| OrderName::Authorization { payer: u.authorizer.into(), nonce: u.nonce });
        Ok(TokenMovement {
            from: party(transfer.from),
            to: party(transfer.to),
            amount: self.amount(transfer.value)?,
            transaction: log.transaction_hash.ok_or_else(missing)?,
            block: log.block_number.ok_or_else(missing)?,
            log_index: log.log_index.ok_or_else(missing)?,
            order,
        })
    }

    async fn transfers(&self, filter: Filter) -> Result<Vec<Log>, SettlementError> {
        let filter =
            filter.address(self.token.address).event_signature(Dollar::Transfer::SIGNATURE_HASH);
        self.provider.get_logs(&filter).await.map_err(|e| failure(&self.endpoint, "transfers", e))
    }

    /// Checks a chain's number on its way in: above 2¹²⁷ it is refused.
    ///
    /// # Errors
    /// [`SettlementError::TooLarge`].
    pub fn amount(&self, value: U256) -> Result<Amount, SettlementError> {
        let asset = self.token.asset;
        i128::try_from(value)
            .map(|minor| Amount::from_minor(asset, minor))
            .map_err(|_| SettlementError::TooLarge { asset, value })
    }

    async fn call<C: SolCall>(&self, call: C) -> Result<C::Return, SettlementError> {
        self.read(self.token.address, call).await
    }

    /// Asks any contract something, as the newest block has it.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Reverted`] if the contract does not answer that.
    pub(crate) async fn read<C: SolCall>(
        &self,
        contract: Address,
        call: C,
    ) -> Result<C::Return, SettlementError> {
        self.reader(contract).call(call).await
    }

    fn reader(&self, contract: Address) -> Reader<'_> {
        Reader { endpoint: &self.endpoint, provider: &self.provider, contract }
    }

    /// Tries a call to any contract as [`Settlement::send`] would make it, without sending it, and
    /// tells what the contract returns. It may take at most `most_gas`.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] with the contract's reason if it would fail; else as every
    /// reading.
    pub(crate) async fn simulate_call(
        &self,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Bytes, SettlementError> {
        let request = TransactionRequest::default()
            .with_from(self.sender())
            .with_to(to)
            .with_gas_limit(most_gas)
            .with_input(data);
        self.provider
            .call(request)
            .await
            .map_err(|e| failure(&self.endpoint, "a simulated transaction", e))
    }

    /// Sends a call to any contract that may take at most `most_gas`, from the key that has the
    /// least to do, and waits until it is mined.
    ///
    /// # Errors
    /// As [`Sender::send`].
    pub(crate) async fn send(
        &self,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        self.senders.send(to, data, most_gas).await
    }

    /// Sends as [`Settlement::send`], from one certain address of [`Settlement::senders`]: for
    /// contracts that know their caller.
    ///
    /// # Errors
    /// [`SettlementError::NoSuchSender`] if that is none of ours; else as [`Sender::send`].
    pub(crate) async fn send_from(
        &self,
        sender: Address,
        to: Address,
        data: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        self.senders.find(sender)?.send(to, data, most_gas).await
    }

    /// As [`Settlement::send_from`], without trying it first: what would revert is mined as failed.
    pub(crate) async fn send_untried(
        &self,
        sender: Address,
        to: Address,
        data: Bytes,
        gas_limit: u64,
    ) -> Result<Receipt, SettlementError> {
        self.senders.find(sender)?.begin().send_untried(to, data, gas_limit).await
    }

    /// The signature of one of [`Settlement::senders`].
    ///
    /// # Errors
    /// [`SettlementError::NoSuchSender`].
    pub(crate) fn sign_by(
        &self,
        sender: Address,
        hash: B256,
    ) -> Result<Signature, SettlementError> {
        Ok(self.senders.find(sender)?.sign_hash(hash))
    }

    /// Whether the chain makes a block only when there is a transaction for it, so that its newest
    /// block may be much older than now.
    pub(crate) fn seals_on_demand(&self) -> bool {
        seals_on_demand(&self.endpoint, self.token.chain_id)
            || self.token.chain_id == protocol::EMBEDDED_CHAIN_ID
    }
}

impl SignedAuthorization {
    pub(crate) fn call(&self) -> Dollar::transferWithAuthorizationCall {
        Dollar::transferWithAuthorizationCall {
            from: self.from,
            to: self.to,
            value: self.value,
            validAfter: self.valid_after,
            validBefore: self.valid_before,
            nonce: self.nonce,
            signature: self.signature.clone(),
        }
    }
}

/// Reads a contract, also before there is a [`Settlement`].
pub(crate) struct Reader<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) provider: &'a RootProvider<Ethereum>,
    pub(crate) contract: Address,
}

impl Reader<'_> {
    /// Asks as the newest block has it.
    pub(crate) async fn call<C: SolCall>(&self, call: C) -> Result<C::Return, SettlementError> {
        self.call_at(call, BlockId::latest()).await
    }

    /// Asks as a certain block has it; nodes remember some hundred blocks at least.
    pub(crate) async fn call_at<C: SolCall>(
        &self,
        call: C,
        block: BlockId,
    ) -> Result<C::Return, SettlementError> {
        let request =
            TransactionRequest::default().with_to(self.contract).with_input(call.abi_encode());
        let answer = self
            .provider
            .call(request)
            .block(block)
            .await
            .map_err(|e| failure(self.endpoint, C::SIGNATURE, e))?;
        C::abi_decode_returns(&answer)
            .map_err(|e| SettlementError::Unreadable { what: C::SIGNATURE, cause: e.to_string() })
    }
}
