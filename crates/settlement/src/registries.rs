//! The registries of agents on a chain (ERC-8004): who they are, what is said of them, and what
//! validators found of their work.
//!
//! **Once.** Registering is the one act here that a contract would do twice. So it is asked for by
//! what is to be: [`Settlement::register_agent`] returns the agent that an owner has, and makes one
//! only if it has none and nothing of it is under way. What was sent and forgotten by its node keeps
//! its nonce, so of it and a later try at most one is mined. Feedback is named by its number
//! ([`Feedback::number`]): a word that was said is not said again. Everything else sets what it sets,
//! however often.
//!
//! Reading costs one request for [`AGENTS_AT_ONCE`] agents, and one for the URI of each. A URI longer
//! than [`protocol::identity::LONGEST_REGISTRATION`] is read as none: strangers write here.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::{SolCall, SolEvent as _};
use protocol::Multicall3;
use protocol::addresses::{
    IDENTITY_REGISTRY, MULTICALL3, REPUTATION_REGISTRY, VALIDATION_REGISTRY,
};
use protocol::bindings::labour::{
    IdentityRegistry, RegisterWithUri, ReputationRegistry, ValidationRegistry,
};
use protocol::identity::LONGEST_REGISTRATION;

use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement};

/// How many agents are read by one request.
pub const AGENTS_AT_ONCE: u64 = 64;

/// The most agents that are looked through for those of one owner.
const MOST_SEARCHED: u64 = 65_536;

/// The most gas of one act: a registration whose URI has 4,096 bytes costs about 3 million.
const REGISTRY_GAS: u64 = 10 * PAYMENT_GAS;

/// An agent as the identity registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its number, from 1.
    pub id: u64,
    /// Who speaks for it.
    pub owner: Address,
    /// Where it is paid; zero for nowhere.
    pub wallet: Address,
    /// Where its registration file is; empty if nowhere, or longer than is believed.
    pub uri: String,
}

/// A client's word of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Of whom.
    pub agent: u64,
    /// Which word of this client of this agent it is, from 1: one more than
    /// [`Settlement::feedback_count`] before it.
    pub number: u64,
    /// The mark, in units of 10^-`decimals`.
    pub value: i128,
    /// At most 18.
    pub decimals: u8,
    /// For what, as the client calls it.
    pub tag1: String,
    /// For what more exactly.
    pub tag2: String,
    /// At which of the agent's endpoints; empty if not said.
    pub endpoint: String,
    /// Where the reasons are; empty for nowhere.
    pub uri: String,
    /// The hash of what is there.
    pub hash: B256,
}

/// A word as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Who said it.
    pub client: Address,
    /// Which of its words, from 1.
    pub number: u64,
    /// The mark, in units of 10^-`decimals`.
    pub value: i128,
    /// The unit.
    pub decimals: u8,
    /// For what.
    pub tag1: String,
    /// For what more exactly.
    pub tag2: String,
    /// It was taken back.
    pub revoked: bool,
}

/// A word as its event tells it: with where its reasons are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaidWord {
    /// The word. That it was taken back later is not told here.
    pub word: Feedback,
    /// In which transaction it was said.
    pub transaction: B256,
}

/// What some clients said of an agent, on the average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Of how many words.
    pub count: u64,
    /// Their mean, in units of 10^-`decimals`.
    pub value: i128,
    /// The unit.
    pub decimals: u8,
}

/// A request to a validator, and its last answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// Who was asked.
    pub validator: Address,
    /// Of which agent's work.
    pub agent: u64,
    /// The mark, 0 to 100; 0 before any answer, too.
    pub mark: u8,
    /// The hash of the validator's reasons.
    pub hash: B256,
    /// By what it was judged.
    pub tag: String,
    /// Unix seconds of the last request or answer.
    pub updated: u64,
}

impl Settlement {
    /// The agents from number `first` on, at most [`AGENTS_AT_ONCE`] of them; none beyond the last.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Unreadable`] also where the chain has no registry.
    pub async fn agents(&self, first: u64) -> Result<Vec<Agent>, SettlementError> {
        let mut agents = Vec::new();
        for (id, owner, wallet) in self.owners(first).await? {
            agents.push(Agent { id, owner, wallet, uri: self.agent_uri(id).await? });
        }
        Ok(agents)
    }

    /// Owners and wallets, in one request that no stranger's text can make too large.
    async fn owners(&self, first: u64) -> Result<Vec<(u64, Address, Address)>, SettlementError> {
        let last = first.saturating_add(AGENTS_AT_ONCE);
        let ask = |data: Vec<u8>| Multicall3::Call3 {
            target: IDENTITY_REGISTRY,
            allowFailure: true,
            callData: data.into(),
        };
        let calls = (first..last).flat_map(|id| {
            let id = U256::from(id);
            [
                ask(IdentityRegistry::ownerOfCall { tokenId: id }.abi_encode()),
                ask(IdentityRegistry::getAgentWalletCall { agentId: id }.abi_encode()),
            ]
        });
        let call = Multicall3::aggregate3Call { calls: calls.collect() };
        let answers = self.read(MULTICALL3, call).await?;
        let mut found = Vec::new();
        for (id, told) in (first..last).zip(answers.chunks(2)) {
            let [owner, wallet] = told else { break };
            // Numbers are given in order and no agent ever ceases, so after a gap comes nothing.
            if !owner.success {
                break;
            }
            let owner = answer::<IdentityRegistry::ownerOfCall>(&owner.returnData)?;
            let wallet = answer::<IdentityRegistry::getAgentWalletCall>(&wallet.returnData)?;
            found.push((id, owner, wallet));
        }
        Ok(found)
    }

    async fn agent_uri(&self, id: u64) -> Result<String, SettlementError> {
        let call = IdentityRegistry::tokenURICall { tokenId: U256::from(id) };
        match self.read(IDENTITY_REGISTRY, call).await {
            Ok(uri) if uri.len() <= LONGEST_REGISTRATION => Ok(uri),
            // Longer than is believed, or than the node reads out.
            Ok(_) | Err(SettlementError::Reverted { .. } | SettlementError::Refused { .. }) => {
                Ok(String::new())
            }
            Err(error) => Err(error),
        }
    }

    /// One agent; `None` if there is none of this number.
    ///
    /// # Errors
    /// As every reading.
    pub async fn agent(&self, id: u64) -> Result<Option<Agent>, SettlementError> {
        let Some(&(found, owner, wallet)) = self.owners(id).await?.first() else {
            return Ok(None);
        };
        Ok(Some(Agent { id: found, owner, wallet, uri: self.agent_uri(id).await? }))
    }

    /// The numbers of the agents that an address owns, the oldest first. One request if there are
    /// none; else it looks through all that are older than the last of them, [`AGENTS_AT_ONCE`] at a
    /// time.
    ///
    /// # Errors
    /// As every reading; [`SettlementError::Unreadable`] if they are not among the first 65,536.
    pub async fn agents_of(&self, owner: Address) -> Result<Vec<u64>, SettlementError> {
        let call = IdentityRegistry::balanceOfCall { owner };
        let count = self.read(IDENTITY_REGISTRY, call).await?;
        let count = usize::try_from(count).map_err(|_| unreadable("more agents than can be"))?;
        let (mut found, mut first) = (Vec::new(), 1);
        while found.len() < count {
            let page = self.owners(first).await?;
            if page.is_empty() || first > MOST_SEARCHED {
                return Err(unreadable("an owner's agents are not among those it lists"));
            }
            first += AGENTS_AT_ONCE;
            found.extend(page.iter().filter(|(_, its, _)| *its == owner).map(|(id, ..)| *id));
        }
        Ok(found)
    }

    /// Sees to it that `owner`, one of our senders, has an agent, and tells which: the oldest that it
    /// has, or a new one whose registration file is at `uri`. Asked again after any failure it makes
    /// no second one. Two calls at once for one owner are the caller's to avoid.
    ///
    /// # Errors
    /// [`SettlementError::UnderWay`] while something that the owner sent earlier is not mined;
    /// [`SettlementError::NoSuchSender`]; else as [`crate::Sender::send`].
    pub async fn register_agent(&self, owner: Address, uri: &str) -> Result<u64, SettlementError> {
        // In this order: what is not under way now is mined, and seen, or forgotten.
        self.nothing_under_way(owner).await?;
        if let Some(agent) = self.agents_of(owner).await?.first() {
            return Ok(*agent);
        }
        let call = RegisterWithUri { agentURI: uri.to_string() };
        let receipt = self.tell(owner, IDENTITY_REGISTRY, call).await?;
        let told = self.provider.get_transaction_receipt(receipt.transaction).await;
        let told = told.map_err(|e| failure(&self.endpoint, "a receipt", e))?;
        let logs = told.iter().flat_map(|receipt| receipt.inner.logs());
        let id = logs
            .filter(|log| log.address() == IDENTITY_REGISTRY)
            .find_map(|log| IdentityRegistry::Registered::decode_log(&log.inner).ok())
            .ok_or_else(|| unreadable("no event tells the new agent"))?
            .agentId;
        number(id)
    }

    /// Moves an agent's registration file, if it is not there already: says whether it moved.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]; [`SettlementError::Reverted`] if `owner` does not speak for it.
    pub async fn set_agent_uri(
        &self,
        owner: Address,
        agent: u64,
        uri: &str,
    ) -> Result<bool, SettlementError> {
        let call = IdentityRegistry::tokenURICall { tokenId: U256::from(agent) };
        if self.read(IDENTITY_REGISTRY, call).await? == uri {
            return Ok(false);
        }
        let (id, uri) = (U256::from(agent), uri.to_string());
        let call = IdentityRegistry::setAgentURICall { agentId: id, newURI: uri };
        self.tell(owner, IDENTITY_REGISTRY, call).await.map(|_| true)
    }

    /// Names the wallet where an agent is paid. The wallet signed
    /// [`protocol::identity::AgentWalletSet`], for a `deadline` at most five minutes away.
    ///
    /// # Errors
    /// As [`Settlement::set_agent_uri`].
    pub async fn set_agent_wallet(
        &self,
        owner: Address,
        agent: u64,
        wallet: Address,
        deadline: u64,
        signature: Bytes,
    ) -> Result<Receipt, SettlementError> {
        let call = IdentityRegistry::setAgentWalletCall {
            agentId: U256::from(agent),
            newWallet: wallet,
            deadline: U256::from(deadline),
            signature,
        };
        self.tell(owner, IDENTITY_REGISTRY, call).await
    }

    /// How many words a client has said of an agent.
    ///
    /// # Errors
    /// As every reading.
    pub async fn feedback_count(
        &self,
        agent: u64,
        client: Address,
    ) -> Result<u64, SettlementError> {
        let call = ReputationRegistry::getLastIndexCall {
            agentId: U256::from(agent),
            clientAddress: client,
        };
        self.read(REPUTATION_REGISTRY, call).await
    }

    /// Says a word of an agent, as `client`, one of our senders: says whether it was said now, or had
    /// been said before. Whoever may be interrupted keeps the whole [`Feedback`] first, and says the
    /// same again.
    ///
    /// # Errors
    /// [`SettlementError::UnderWay`] while something that the client sent earlier is not mined;
    /// [`SettlementError::Reverted`] for the agent's own people, for a word out of its order, and for
    /// marks out of range; else as [`crate::Sender::send`].
    pub async fn give_feedback(
        &self,
        client: Address,
        feedback: &Feedback,
    ) -> Result<bool, SettlementError> {
        self.nothing_under_way(client).await?;
        let said = self.feedback_count(feedback.agent, client).await?;
        if said >= feedback.number {
            return Ok(false);
        }
        if said + 1 != feedback.number {
            return Err(SettlementError::Reverted {
                reason: format!(
                    "word {} of agent {} follows on {said}: say those between first",
                    feedback.number, feedback.agent
                ),
                data: Bytes::new(),
                transaction: None,
            });
        }
        let it = feedback.clone();
        let call = ReputationRegistry::giveFeedbackCall {
            agentId: U256::from(it.agent),
            value: it.value,
            valueDecimals: it.decimals,
            tag1: it.tag1,
            tag2: it.tag2,
            endpoint: it.endpoint,
            feedbackURI: it.uri,
            feedbackHash: it.hash,
        };
        self.tell(client, REPUTATION_REGISTRY, call).await.map(|_| true)
    }

    /// Takes a word back, if it stands: says whether it did.
    ///
    /// # Errors
    /// As [`crate::Sender::send`]; [`SettlementError::Reverted`] if there is no such word.
    pub async fn revoke_feedback(
        &self,
        client: Address,
        agent: u64,
        number: u64,
    ) -> Result<bool, SettlementError> {
        let call = ReputationRegistry::readFeedbackCall {
            agentId: U256::from(agent),
            clientAddress: client,
            feedbackIndex: number,
        };
        if self.read(REPUTATION_REGISTRY, call).await?.isRevoked {
            return Ok(false);
        }
        let call = ReputationRegistry::revokeFeedbackCall {
            agentId: U256::from(agent),
            feedbackIndex: number,
        };
        self.tell(client, REPUTATION_REGISTRY, call).await.map(|_| true)
    }

    /// All words of these clients, or of everyone if none is named, that stand or were taken back.
    /// Empty tags are any.
    ///
    /// # Errors
    /// As every reading.
    pub async fn feedback(
        &self,
        agent: u64,
        clients: Vec<Address>,
        tag1: &str,
        tag2: &str,
    ) -> Result<Vec<Word>, SettlementError> {
        let call = ReputationRegistry::readAllFeedbackCall {
            agentId: U256::from(agent),
            clientAddresses: clients,
            tag1: tag1.into(),
            tag2: tag2.into(),
            includeRevoked: true,
        };
        let told = self.read(REPUTATION_REGISTRY, call).await?;
        let lists = [
            told.feedbackIndexes.len(),
            told.values.len(),
            told.valueDecimals.len(),
            told.tag1s.len(),
            told.tag2s.len(),
            told.revokedStatuses.len(),
        ];
        if lists.iter().any(|length| *length != told.clients.len()) {
            return Err(unreadable("lists of feedback that are not equally long"));
        }
        let word = |i: usize| Word {
            client: told.clients[i],
            number: told.feedbackIndexes[i],
            value: told.values[i],
            decimals: told.valueDecimals[i],
            tag1: told.tag1s[i].clone(),
            tag2: told.tag2s[i].clone(),
            revoked: told.revokedStatuses[i],
        };
        Ok((0..told.clients.len()).map(word).collect())
    }

    /// What a client said of an agent, with where its reasons are and their hash, which only events
    /// tell: in order, of those words that were said from block `from` on. Texts longer than
    /// [`LONGEST_REGISTRATION`] are read as none.
    ///
    /// # Errors
    /// As every reading; nodes bound how many blocks they search.
    pub async fn feedback_events(
        &self,
        agent: u64,
        client: Address,
        from: u64,
    ) -> Result<Vec<SaidWord>, SettlementError> {
        let all = feedback_of(client, from).topic1(B256::from(U256::from(agent)));
        self.said_words(all).await
    }

    /// The same of all agents: what a client ever said of anybody.
    ///
    /// # Errors
    /// As [`Settlement::feedback_events`].
    pub async fn feedback_events_by(
        &self,
        client: Address,
        from: u64,
    ) -> Result<Vec<SaidWord>, SettlementError> {
        self.said_words(feedback_of(client, from)).await
    }

    async fn said_words(&self, filter: Filter) -> Result<Vec<SaidWord>, SettlementError> {
        let logs = self.provider.get_logs(&filter).await;
        let logs = logs.map_err(|e| failure(&self.endpoint, "what is said of an agent", e))?;
        let mut said = Vec::with_capacity(logs.len());
        for log in logs {
            let told = ReputationRegistry::NewFeedback::decode_log(&log.inner)
                .map_err(|e| unreadable(&e.to_string()))?;
            let transaction = log.transaction_hash.ok_or_else(|| unreadable("no transaction"))?;
            let text = |text: &String| match text.len() <= LONGEST_REGISTRATION {
                true => text.clone(),
                false => String::new(),
            };
            let word = Feedback {
                agent: number(told.agentId)?,
                number: told.feedbackIndex,
                value: told.value,
                decimals: told.valueDecimals,
                tag1: text(&told.tag1),
                tag2: text(&told.tag2),
                endpoint: text(&told.endpoint),
                uri: text(&told.feedbackURI),
                hash: told.feedbackHash,
            };
            said.push(SaidWord { word, transaction });
        }
        Ok(said)
    }

    /// The mean of what these clients said and did not take back. Who counts is the reader's choice:
    /// over everyone, strangers who rate for nothing would decide, so nobody named is nothing said.
    ///
    /// # Errors
    /// As every reading.
    pub async fn feedback_summary(
        &self,
        agent: u64,
        clients: Vec<Address>,
        tag1: &str,
        tag2: &str,
    ) -> Result<Summary, SettlementError> {
        if clients.is_empty() {
            return Ok(Summary { count: 0, value: 0, decimals: 0 });
        }
        let call = ReputationRegistry::getSummaryCall {
            agentId: U256::from(agent),
            clientAddresses: clients,
            tag1: tag1.into(),
            tag2: tag2.into(),
        };
        let told = self.read(REPUTATION_REGISTRY, call).await?;
        Ok(Summary {
            count: told.count,
            value: told.summaryValue,
            decimals: told.summaryValueDecimals,
        })
    }

    /// Asks a validator to judge an agent's work, under a name that is used once and for all, unless
    /// it is asked already: says whether it was asked now.
    ///
    /// # Errors
    /// [`SettlementError::Reverted`] if the name is another request's, or `owner` does not speak for
    /// the agent; else as [`crate::Sender::send`].
    pub async fn request_validation(
        &self,
        owner: Address,
        agent: u64,
        validator: Address,
        uri: &str,
        request: B256,
    ) -> Result<bool, SettlementError> {
        let asked = self.validation(request).await?;
        if asked.is_some_and(|asked| asked.validator == validator && asked.agent == agent) {
            return Ok(false);
        }
        let call = ValidationRegistry::validationRequestCall {
            validatorAddress: validator,
            agentId: U256::from(agent),
            requestURI: uri.into(),
            requestHash: request,
        };
        self.tell(owner, VALIDATION_REGISTRY, call).await.map(|_| true)
    }

    /// Answers a request that named `validator`, one of our senders: `mark` is 0 to 100, `tag` says
    /// by what it was judged. A later answer replaces an earlier one.
    ///
    /// # Errors
    /// As [`crate::Sender::send`].
    pub async fn answer_validation(
        &self,
        validator: Address,
        request: B256,
        mark: u8,
        uri: &str,
        hash: B256,
        tag: &str,
    ) -> Result<Receipt, SettlementError> {
        let call = ValidationRegistry::validationResponseCall {
            requestHash: request,
            response: mark,
            responseURI: uri.into(),
            responseHash: hash,
            tag: tag.into(),
        };
        self.tell(validator, VALIDATION_REGISTRY, call).await
    }

    /// A request and its last answer; `None` if nobody asked.
    ///
    /// # Errors
    /// As every reading.
    pub async fn validation(&self, request: B256) -> Result<Option<Validation>, SettlementError> {
        let call = ValidationRegistry::getValidationStatusCall { requestHash: request };
        let told = match self.read(VALIDATION_REGISTRY, call).await {
            Ok(told) => told,
            // So the registry says that it knows no such request.
            Err(SettlementError::Reverted { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Validation {
            validator: told.validatorAddress,
            agent: number(told.agentId)?,
            mark: told.response,
            hash: told.responseHash,
            tag: told.tag,
            updated: number(told.lastUpdate)?,
        }))
    }

    /// How many requests of an agent these validators, or all if none is named, answered under this
    /// tag, or any if it is empty; and the mean of their marks, rounded down.
    ///
    /// # Errors
    /// As every reading.
    pub async fn validation_summary(
        &self,
        agent: u64,
        validators: Vec<Address>,
        tag: &str,
    ) -> Result<(u64, u8), SettlementError> {
        let call = ValidationRegistry::getSummaryCall {
            agentId: U256::from(agent),
            validatorAddresses: validators,
            tag: tag.into(),
        };
        let told = self.read(VALIDATION_REGISTRY, call).await?;
        Ok((told.count, told.avgResponse))
    }

    /// Refuses while the node knows a transaction of this account that no block has.
    pub(crate) async fn nothing_under_way(&self, sender: Address) -> Result<(), SettlementError> {
        match self.has_under_way(sender).await? {
            true => Err(SettlementError::UnderWay { sender }),
            false => Ok(()),
        }
    }

    async fn tell<C: SolCall>(
        &self,
        sender: Address,
        registry: Address,
        call: C,
    ) -> Result<Receipt, SettlementError> {
        let sent = self.send_from(sender, registry, call.abi_encode().into(), REGISTRY_GAS).await;
        sent.map_err(|error| {
            error.named_by(IdentityRegistry::IdentityRegistryErrors::name_by_selector)
        })
    }
}

fn answer<C: SolCall>(data: &[u8]) -> Result<C::Return, SettlementError> {
    C::abi_decode_returns(data)
        .map_err(|e| SettlementError::Unreadable { what: C::SIGNATURE, cause: e.to_string() })
}

fn number(value: U256) -> Result<u64, SettlementError> {
    u64::try_from(value).map_err(|_| unreadable("a number above 2⁶⁴"))
}

/// The words of a client, as the registry's events tell them.
fn feedback_of(client: Address, from: u64) -> Filter {
    Filter::new()
        .address(REPUTATION_REGISTRY)
        .event_signature(ReputationRegistry::NewFeedback::SIGNATURE_HASH)
        .topic2(client)
        .from_block(from)
}

fn unreadable(cause: &str) -> SettlementError {
    SettlementError::Unreadable { what: "the agents' registries", cause: cause.into() }
}
