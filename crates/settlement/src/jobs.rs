//! Jobs under escrow on a chain (ERC-8183), and our evaluators: open, hand in, judge, carry out, and
//! what became of each.
//!
//! **Once.** A job's contract takes each step of a job once, so a step is asked for by what is to be:
//! [`Settlement::do_with_job`] and [`Settlement::judge`] look first, and say whether it was done now
//! or before. Opening a job makes a new one each time; so a job is named by its description, which
//! its client makes unlike any other of its own, and [`Settlement::open_job`] finds the job of that
//! name before it makes one. While something that the sender sent is not mined, nothing is sent
//! ([`SettlementError::UnderWay`]); what its node forgot keeps its nonce, so of it and a later try at
//! most one is mined.
//!
//! **Few transactions.** Leave to take money travels with the call that takes it, where the token
//! knows EIP-2612; a verdict is carried out and published in one; and on a chain that makes blocks
//! only for transactions, what waits for a newer block makes it. So a job that nobody challenges
//! takes three transactions, one that a lone evaluator decides five.
//!
//! Whoever may be interrupted keeps its [`JobTerms`] and the block ([`Settlement::block_number`])
//! before it opens a job. Money is in minor units, times are Unix seconds.

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::Filter;
use alloy_sol_types::{SolCall, SolEvent as _};
use protocol::Multicall3;
use protocol::addresses::{AGENTIC_COMMERCE, EVALUATOR_POOL, EVALUATORS, MULTICALL3};
use protocol::bindings::labour::{AgenticCommerce, EvaluatorPool, Evaluators};
use protocol::jobs::{Rule, rule_parameters};
use protocol::permit2::SignedApproval;

use crate::endpoint::failure;
use crate::error::SettlementError;
use crate::search::backwards;
use crate::sender::Receipt;
use crate::token::{PAYMENT_GAS, Settlement};

/// The most gas of one step of a job.
const JOB_GAS: u64 = 4 * PAYMENT_GAS;

/// The most gas where panels are drawn and paid: at most 31 evaluators. Public networks take no
/// transaction above 2²⁴ gas (EIP-7825).
const PANEL_GAS: u64 = 1 << 24;

/// How many seconds a signed leave to bring money to the pool is good, from the newest block on.
/// Where blocks are made only for transactions, that may be long ago. It can be used once, and lets
/// the pool take what its owner brings there, and nothing else.
const DEPOSIT_TIME: u64 = 30 * 24 * 60 * 60;

/// How many blocks are searched at once; public nodes allow that much.
const BLOCKS_AT_ONCE: u64 = 1_000;

/// The longest description, in bytes, as the contract has it.
pub const LONGEST_DESCRIPTION: usize = 16_384;

/// What a job is to be, as its client keeps it before it opens it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTerms {
    /// Who pays; one of our senders.
    pub client: Address,
    /// Who works.
    pub provider: Address,
    /// The provider's agent; 0 for none.
    pub provider_agent: u64,
    /// Who alone judges, where there is no rule.
    pub evaluator: Address,
    /// Until when, in Unix seconds: then the client's money comes back.
    pub expires: u64,
    /// What is to be done, or where that is written; unlike any other job of this client.
    pub description: String,
    /// What the provider gets, fees included, in minor units of our token.
    pub budget: U256,
    /// How it is judged by lot; then [`EVALUATORS`] judge, and `evaluator` is not used.
    pub rule: Option<Rule>,
}

impl JobTerms {
    fn evaluator(&self) -> Address {
        if self.rule.is_some() { EVALUATORS } else { self.evaluator }
    }

    fn hook(&self) -> Address {
        if self.rule.is_some() { EVALUATORS } else { Address::ZERO }
    }

    /// Whether a job of the client was opened by these terms. What is not set, in them or in it, says
    /// nothing.
    fn are_of(&self, job: &Job) -> bool {
        job.description == self.description
            && job.evaluator == self.evaluator()
            && job.hook == self.hook()
            && job.expires == U256::from(self.expires)
            && (self.provider.is_zero() || job.provider == self.provider)
            && (job.budget.is_zero() || job.budget == self.budget)
    }
}

/// How far a job is, in the contract's order. The last three are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobStatus {
    /// It is there, and not paid in.
    Open,
    /// Its money is set aside.
    Funded,
    /// Its work is in.
    Submitted,
    /// Its provider was paid.
    Completed,
    /// Its client has the money back, because the work was bad or the job was called off.
    Rejected,
    /// Its client has the money back, because its time was over.
    Expired,
}

impl JobStatus {
    fn read(number: u8) -> Result<JobStatus, SettlementError> {
        const ALL: [JobStatus; 6] = [
            JobStatus::Open,
            JobStatus::Funded,
            JobStatus::Submitted,
            JobStatus::Completed,
            JobStatus::Rejected,
            JobStatus::Expired,
        ];
        ALL.get(usize::from(number)).copied().ok_or_else(|| unreadable("a job's status is none"))
    }

    /// Whether nothing can follow.
    pub fn is_over(self) -> bool {
        self >= JobStatus::Completed
    }
}

/// A job as the escrow has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number, from 1.
    pub id: u64,
    /// Who pays.
    pub client: Address,
    /// Who works; zero until one is found.
    pub provider: Address,
    /// The provider's agent; 0 for none.
    pub provider_agent: u64,
    /// Who alone judges.
    pub evaluator: Address,
    /// What is called at its turns; zero for nothing.
    pub hook: Address,
    /// What is to be done. A stranger's words.
    pub description: String,
    /// What it is paid in; zero until there is a budget.
    pub token: Address,
    /// What the provider gets, fees included, in minor units.
    pub budget: U256,
    /// Until when.
    pub expires: U256,
    /// When work came in; 0 until then.
    pub submitted: U256,
    /// How far it is.
    pub status: JobStatus,
}

/// A step of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStep {
    /// Its provider hands in the hash of the work, or under a rule that wants it so its seal.
    Submit {
        /// The hash.
        deliverable: B256,
    },
    /// Its evaluator pays the provider; no step of a job that is judged by lot.
    Complete {
        /// The hash of the reasons.
        reason: B256,
    },
    /// Its client calls an open job off, or its evaluator finds the work bad.
    Reject {
        /// The hash of the reasons.
        reason: B256,
    },
    /// Anyone gives the client its money back, once the job's time is over.
    Refund,
}

/// A step of a case: how a job is judged by lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judging {
    /// Anyone puts money on the work being bad.
    Challenge,
    /// Anyone keeps the lot readable.
    Pin,
    /// Anyone draws the panel that was announced in an earlier block.
    Draw {
        /// The client's, whose hash is in the rule; zero if there is none.
        secret: B256,
    },
    /// One of the panel seals its answer.
    Commit {
        /// [`protocol::jobs::seal_of`] it.
        seal: B256,
    },
    /// One of the panel opens it.
    Reveal {
        /// The answer.
        answer: B256,
        /// What it was sealed with.
        salt: B256,
    },
    /// One who is alone on the panel answers at once.
    Decide {
        /// The answer.
        answer: B256,
    },
    /// Anyone who knows it opens what the provider handed in sealed.
    Unseal {
        /// The work's hash.
        answer: B256,
        /// What it was sealed with.
        salt: B256,
    },
    /// Anyone puts money on the verdict being wrong.
    Appeal {
        /// Which round it opens, from 1: an appeal of an earlier round is another one.
        round: u8,
    },
    /// Anyone carries the verdict out: the job ends, and its first panel is paid. A verdict that can
    /// be published is, in the same transaction.
    Finish,
    /// Anyone has the panel of a round paid.
    Settle {
        /// Which, from 0.
        round: u8,
    },
    /// Anyone writes the verdict to the registries of agents, where [`Judging::Finish`] could not.
    Publish,
}

/// How the judging of a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseState {
    /// How far it is, in the order of `contracts/src/evaluators/Cases.sol`; 0 if there is no case, 8
    /// if it is closed.
    pub stage: u8,
    /// Which round, from 0.
    pub round: u8,
    /// There is a verdict.
    pub decided: bool,
    /// It is that the work is good.
    pub accepted: bool,
    /// It is a panel's, and not silence's.
    pub judged: bool,
    /// A panel's verdict can be published: the job pays enough for records, and names an agent that
    /// its provider speaks for.
    pub recorded: bool,
    /// What was handed in, or its seal.
    pub deliverable: B256,
    /// The provider's answer; zero while it is sealed.
    pub answer: B256,
    /// Who challenged; zero for nobody.
    pub challenger: Address,
    /// When the stage ends by itself.
    pub deadline: u64,
    /// The block whose hash is the lot.
    pub announced: u64,
    /// The lot, if it was pinned.
    pub lot: B256,
    /// Who is on the round's panel; nobody until it is drawn.
    pub panel: Vec<Address>,
    /// Who paid for the round.
    pub payer: Address,
    /// The round's panel was paid.
    pub settled: bool,
}

/// The stage of a case whose verdict was carried out (`Cases.sol`, `Stage.Closed`).
const CLOSED: u8 = 8;
/// The stage at which a panel is to be drawn (`Stage.Drawing`).
const DRAWING: u8 = 3;

/// Whether a step was done by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was, in this transaction.
    Now(Receipt),
    /// It had been done before, by whomever.
    Before,
}

/// What a step may still lack that the newest block lets revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Nothing that comes by itself.
    Nothing,
    /// A newer block; sent too early, it harms nobody.
    Block,
    /// A newer block; sent too early, it would tell others what they are not to know yet.
    BlockInSecret,
}

impl Settlement {
    /// Sees to it that a job with these terms is there, paid in, and tells its number: the one that
    /// the client opened since `from_block`, or a new one. Asked again after any failure it makes no
    /// second one. Calls for one client are the caller's to make one after the other: they share what
    /// the escrow may take.
    ///
    /// # Errors
    /// [`SettlementError::UnderWay`] while something that the client sent earlier is not mined;
    /// [`SettlementError::Reverted`] with the escrow's name for what is wrong with the terms, or if
    /// the client lacks the money; else as [`crate::Sender::send`].
    pub async fn open_job(
        &self,
        terms: &JobTerms,
        from_block: u64,
    ) -> Result<u64, SettlementError> {
        // In this order: what is not under way now is mined, and found, or forgotten.
        self.nothing_under_way(terms.client).await?;
        if let Some(job) = self.find_job(terms, from_block).await? {
            return Ok(job.id);
        }
        // No longer than the job: by this leave the escrow takes money for the client's own jobs only.
        let until = U256::from(terms.expires);
        let signed = self.allow(terms.client, AGENTIC_COMMERCE, terms.budget, until).await?;
        let permit = match signed {
            Some(SignedApproval { value, deadline, v, r, s }) => {
                AgenticCommerce::Permit { value, deadline, v, r, s }
            }
            // The deadline of 0 says that there is none.
            None => AgenticCommerce::Permit {
                value: U256::ZERO,
                deadline: U256::ZERO,
                v: 0,
                r: B256::ZERO,
                s: B256::ZERO,
            },
        };
        let offer = AgenticCommerce::JobOffer {
            provider: terms.provider,
            evaluator: terms.evaluator(),
            expiredAt: U256::from(terms.expires),
            description: terms.description.clone(),
            hook: terms.hook(),
            providerAgentId: U256::from(terms.provider_agent),
            token: self.token().address,
            budget: terms.budget,
            optParams: terms.rule.as_ref().map(rule_parameters).unwrap_or_default(),
        };
        let call = AgenticCommerce::openJobCall { offer, permit };
        let receipt = self.act(terms.client, AGENTIC_COMMERCE, call, PANEL_GAS).await?;
        let told = self.provider.get_transaction_receipt(receipt.transaction).await;
        let told = told.map_err(|e| failure(&self.endpoint, "a receipt", e))?;
        let opened = told
            .iter()
            .flat_map(|receipt| receipt.inner.logs())
            .filter(|log| log.address() == AGENTIC_COMMERCE)
            .find_map(|log| AgenticCommerce::JobCreated::decode_log(&log.inner).ok())
            .ok_or_else(|| unreadable("no event tells the new job"))?;
        number(opened.jobId)
    }

    /// The job that a client opened by these terms since `from_block`; it may have moved on since.
    ///
    /// # Errors
    /// As every reading.
    pub async fn find_job(
        &self,
        terms: &JobTerms,
        from_block: u64,
    ) -> Result<Option<Job>, SettlementError> {
        let filter = Filter::new()
            .address(AGENTIC_COMMERCE)
            .event_signature(AgenticCommerce::JobCreated::SIGNATURE_HASH)
            .topic2(terms.client);
        let mut last = self.block_number().await?;
        loop {
            let first = last.saturating_sub(BLOCKS_AT_ONCE - 1).max(from_block.min(last));
            let range = filter.clone().from_block(first).to_block(last);
            let logs = self.provider.get_logs(&range).await;
            let logs = logs.map_err(|e| failure(&self.endpoint, "the jobs' events", e))?;
            for log in logs.iter().rev() {
                let opened = AgenticCommerce::JobCreated::decode_log(&log.inner)
                    .map_err(|e| unreadable(&e.to_string()))?;
                let job = self.job(number(opened.jobId)?).await?;
                if let Some(job) = job.filter(|job| terms.are_of(job)) {
                    return Ok(Some(job));
                }
            }
            if first <= from_block {
                return Ok(None);
            }
            last = first - 1;
        }
    }

    /// A job; `None` if there is none of this number.
    ///
    /// # Errors
    /// As every reading.
    pub async fn job(&self, id: u64) -> Result<Option<Job>, SettlementError> {
        let call = AgenticCommerce::getJobCall { jobId: U256::from(id) };
        let told = self.read(AGENTIC_COMMERCE, call).await?;
        if told.id.is_zero() {
            return Ok(None);
        }
        Ok(Some(Job {
            id,
            client: told.client,
            provider: told.provider,
            provider_agent: number(told.providerAgentId)?,
            evaluator: told.evaluator,
            hook: told.hook,
            description: told.description,
            token: told.paymentToken,
            budget: told.budget,
            expires: told.expiredAt,
            submitted: told.submittedAt,
            status: JobStatus::read(told.status)?,
        }))
    }

    /// How many jobs there are: the newest one's number.
    ///
    /// # Errors
    /// As every reading.
    pub async fn job_count(&self) -> Result<u64, SettlementError> {
        number(self.read(AGENTIC_COMMERCE, AgenticCommerce::jobCounterCall {}).await?)
    }

    /// Takes a step of a job, from the address that alone may (`sender`, one of ours), if it was not
    /// taken before.
    ///
    /// # Errors
    /// [`SettlementError::UnderWay`] while something that the sender sent earlier is not mined;
    /// [`SettlementError::Reverted`] with the contract's name for why it cannot be taken now, also if
    /// there is no such job; else as [`crate::Sender::send`].
    pub async fn do_with_job(
        &self,
        sender: Address,
        job: u64,
        step: &JobStep,
    ) -> Result<Done, SettlementError> {
        self.nothing_under_way(sender).await?;
        let status = self.job(job).await?.map(|job| job.status);
        let id = U256::from(job);
        let reached = |wanted| status == Some(wanted);
        let (done, call) = match step {
            JobStep::Submit { deliverable } => {
                let again = status.is_some_and(|status| status >= JobStatus::Submitted)
                    && self.was_handed_in(job, *deliverable).await?;
                let call = AgenticCommerce::submitCall {
                    jobId: id,
                    deliverable: *deliverable,
                    optParams: Bytes::new(),
                };
                (again, call.abi_encode())
            }
            JobStep::Complete { reason } => {
                let call = AgenticCommerce::completeCall {
                    jobId: id,
                    reason: *reason,
                    optParams: Bytes::new(),
                };
                (reached(JobStatus::Completed), call.abi_encode())
            }
            JobStep::Reject { reason } => {
                let call = AgenticCommerce::rejectCall {
                    jobId: id,
                    reason: *reason,
                    optParams: Bytes::new(),
                };
                (reached(JobStatus::Rejected), call.abi_encode())
            }
            JobStep::Refund => {
                let call = AgenticCommerce::claimRefundCall { jobId: id };
                (reached(JobStatus::Expired), call.abi_encode())
            }
        };
        if done {
            return Ok(Done::Before);
        }
        let lack = match step {
            JobStep::Refund => Lack::Block,
            _ => Lack::Nothing,
        };
        self.take(sender, &[(AGENTIC_COMMERCE, call.into())], lack).await.map(Done::Now)
    }

    /// Whether just this was handed in for a job.
    async fn was_handed_in(&self, job: u64, deliverable: B256) -> Result<bool, SettlementError> {
        let filter = Filter::new()
            .address(AGENTIC_COMMERCE)
            .event_signature(AgenticCommerce::JobSubmitted::SIGNATURE_HASH)
            .topic1(U256::from(job));
        let mut last = self.block_number().await?;
        loop {
            let first = last.saturating_sub(BLOCKS_AT_ONCE - 1);
            let range = filter.clone().from_block(first).to_block(last);
            let logs = self.provider.get_logs(&range).await;
            let logs = logs.map_err(|e| failure(&self.endpoint, "the jobs' events", e))?;
            if let Some(log) = logs.first() {
                let told = AgenticCommerce::JobSubmitted::decode_log(&log.inner)
                    .map_err(|e| unreadable(&e.to_string()))?;
                return Ok(told.deliverable == deliverable);
            }
            if first == 0 {
                return Err(unreadable("work is in, and no event tells which"));
            }
            last = first - 1;
        }
    }

    /// How the judging of a job stands; `None` if it is not judged by lot.
    ///
    /// # Errors
    /// As every reading.
    pub async fn case(&self, job: u64) -> Result<Option<CaseState>, SettlementError> {
        let id = U256::from(job);
        let case = self.read(EVALUATORS, Evaluators::caseOfCall { jobId: id }).await?;
        if case.stage == 0 {
            return Ok(None);
        }
        let call = Evaluators::roundOfCall { jobId: id, round: U256::from(case.round) };
        let round = self.read(EVALUATORS, call).await?;
        Ok(Some(CaseState {
            stage: case.stage,
            round: case.round,
            decided: case.decided,
            accepted: case.accepted,
            judged: case.judged,
            recorded: case.counts && !case.providerAgentId.is_zero(),
            deliverable: case.deliverable,
            answer: case.answer,
            challenger: case.challenger,
            deadline: case.deadline,
            announced: case.announced,
            lot: case.lot,
            panel: round.panel,
            payer: round.payer,
            settled: round.settled,
        }))
    }

    /// Takes a step of a case, from `sender`, one of ours, if it was not taken before. Challenges and
    /// appeals take their bond from the sender's balance in the pool ([`Settlement::stake`]).
    ///
    /// # Errors
    /// As [`Settlement::do_with_job`].
    pub async fn judge(
        &self,
        sender: Address,
        job: u64,
        step: &Judging,
    ) -> Result<Done, SettlementError> {
        self.nothing_under_way(sender).await?;
        let case = self.case(job).await?;
        if let Some(case) = &case
            && self.is_judged(sender, job, case, step).await?
        {
            return Ok(Done::Before);
        }
        let id = U256::from(job);
        let call = match step {
            Judging::Challenge => Evaluators::challengeCall { jobId: id }.abi_encode(),
            Judging::Pin => Evaluators::pinCall { jobId: id }.abi_encode(),
            Judging::Draw { secret } => {
                Evaluators::drawCall { jobId: id, secret: *secret }.abi_encode()
            }
            Judging::Commit { seal } => {
                Evaluators::commitCall { jobId: id, seal: *seal }.abi_encode()
            }
            Judging::Reveal { answer, salt } => {
                Evaluators::revealCall { jobId: id, answer: *answer, salt: *salt }.abi_encode()
            }
            Judging::Decide { answer } => {
                Evaluators::decideCall { jobId: id, answer: *answer }.abi_encode()
            }
            Judging::Unseal { answer, salt } => {
                Evaluators::unsealCall { jobId: id, answer: *answer, salt: *salt }.abi_encode()
            }
            Judging::Appeal { .. } => Evaluators::appealCall { jobId: id }.abi_encode(),
            Judging::Finish => Evaluators::finishCall { jobId: id }.abi_encode(),
            Judging::Settle { round } => {
                Evaluators::settleCall { jobId: id, round: U256::from(*round) }.abi_encode()
            }
            Judging::Publish => Evaluators::publishCall { jobId: id }.abi_encode(),
        };
        let mut ways = vec![(EVALUATORS, Bytes::from(call))];
        // Neither asks who calls. That a panel was drawn does not mean that it came to a verdict.
        let has_panel = |case: &CaseState| case.judged || !case.panel.is_empty();
        if *step == Judging::Finish
            && case.as_ref().is_some_and(|case| case.recorded && has_panel(case))
            && let Some(both) = self.finish_and_publish(id).await?
        {
            ways.insert(0, both);
        }
        let is_drawing = case.is_some_and(|case| case.stage == DRAWING);
        let lack = match step {
            Judging::Finish => Lack::Block,
            // Once the panel is announced nobody can make use of the secret any more.
            Judging::Draw { secret } if secret.is_zero() || is_drawing => Lack::Block,
            Judging::Draw { .. } | Judging::Reveal { .. } => Lack::BlockInSecret,
            _ => Lack::Nothing,
        };
        self.take(sender, &ways, lack).await.map(Done::Now)
    }

    /// A verdict carried out and published in one call, or not at all; `None` where the chain has
    /// nothing to bundle calls.
    async fn finish_and_publish(
        &self,
        job: U256,
    ) -> Result<Option<(Address, Bytes)>, SettlementError> {
        let code = self.provider.get_code_at(MULTICALL3).await;
        if code.map_err(|e| failure(&self.endpoint, "a contract's code", e))?.is_empty() {
            return Ok(None);
        }
        let ask = |call: Vec<u8>| Multicall3::Call3 {
            target: EVALUATORS,
            allowFailure: false,
            callData: call.into(),
        };
        let calls = vec![
            ask(Evaluators::finishCall { jobId: job }.abi_encode()),
            ask(Evaluators::publishCall { jobId: job }.abi_encode()),
        ];
        let both = Multicall3::aggregate3Call { calls }.abi_encode();
        Ok(Some((MULTICALL3, both.into())))
    }

    async fn is_judged(
        &self,
        sender: Address,
        job: u64,
        case: &CaseState,
        step: &Judging,
    ) -> Result<bool, SettlementError> {
        let vote = async || {
            let call = Evaluators::voteOfCall {
                jobId: U256::from(job),
                round: U256::from(case.round),
                evaluator: sender,
            };
            self.read(EVALUATORS, call).await
        };
        Ok(match step {
            Judging::Challenge => case.challenger == sender,
            Judging::Pin => !case.lot.is_zero(),
            Judging::Draw { .. } => case.stage > DRAWING && !case.panel.is_empty(),
            Judging::Commit { seal } => vote().await?.seal == *seal,
            Judging::Reveal { answer, .. } | Judging::Decide { answer } => {
                let vote = vote().await?;
                vote.revealed && vote.answer == *answer
            }
            Judging::Unseal { answer, .. } => case.answer == *answer,
            Judging::Appeal { round } => case.round >= *round,
            Judging::Finish => case.stage == CLOSED,
            Judging::Settle { round } => {
                let (id, round) = (U256::from(job), U256::from(*round));
                let call = Evaluators::roundOfCall { jobId: id, round };
                self.read(EVALUATORS, call).await?.settled
            }
            Judging::Publish => {
                case.stage == CLOSED
                    && case.announced > 0
                    && self.was_published(job, case.announced).await?
            }
        })
    }

    /// Whether a verdict was published since a block. The contract keeps that to itself, and tells it
    /// by an event.
    async fn was_published(&self, job: u64, since: u64) -> Result<bool, SettlementError> {
        let filter = Filter::new()
            .address(EVALUATORS)
            .event_signature(Evaluators::Published::SIGNATURE_HASH)
            .topic1(U256::from(job));
        let newest = self.block_number().await?;
        for (first, last) in backwards(since.min(newest), newest) {
            let range = filter.clone().from_block(first).to_block(last);
            let logs = self.provider.get_logs(&range).await;
            if !logs.map_err(|e| failure(&self.endpoint, "the jobs' events", e))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Sees to it that an account, one of our senders, has at least so much in the pool of
    /// evaluators, bringing what lacks out of its own pocket: says what was brought.
    ///
    /// # Errors
    /// As [`Settlement::do_with_job`].
    pub async fn stake(&self, account: Address, least: U256) -> Result<U256, SettlementError> {
        self.nothing_under_way(account).await?;
        let call = EvaluatorPool::accountOfCall { account };
        let has = U256::from(self.read(EVALUATOR_POOL, call).await?.balance);
        let lacks = least.saturating_sub(has);
        if !lacks.is_zero() {
            let newest = self.block_time(self.block_number().await?).await?;
            let until = U256::from(newest.saturating_add(DEPOSIT_TIME));
            let call = match self.allow(account, EVALUATOR_POOL, lacks, until).await? {
                Some(SignedApproval { value: amount, deadline, v, r, s }) => {
                    EvaluatorPool::depositWithPermitCall { account, amount, deadline, v, r, s }
                        .abi_encode()
                }
                None => EvaluatorPool::depositCall { account, amount: lacks }.abi_encode(),
            };
            self.act_encoded(account, EVALUATOR_POOL, call.into(), JOB_GAS).await?;
        }
        Ok(lacks)
    }

    /// Sees to it that an evaluator, one of our senders, has a seat in the pool, for jobs that pay at
    /// least `least_fee`: says whether it took it now. `agent` is its own.
    ///
    /// # Errors
    /// As [`Settlement::do_with_job`].
    pub async fn take_seat(
        &self,
        evaluator: Address,
        agent: u64,
        least_fee: u128,
    ) -> Result<bool, SettlementError> {
        self.nothing_under_way(evaluator).await?;
        let call = EvaluatorPool::evaluatorOfCall { evaluator };
        let seat: u64 = self.read(EVALUATOR_POOL, call).await?.seat.to();
        if seat != 0 {
            return Ok(false);
        }
        let call = EvaluatorPool::joinCall { agentId: U256::from(agent), leastFee: least_fee };
        self.act(evaluator, EVALUATOR_POOL, call, JOB_GAS).await.map(|_| true)
    }

    /// How many evaluators have a seat.
    ///
    /// # Errors
    /// As every reading.
    pub async fn seats(&self) -> Result<u64, SettlementError> {
        number(self.read(EVALUATOR_POOL, EvaluatorPool::seatCountCall {}).await?)
    }

    /// Sends the first of these calls that would not revert, and tells why the last one would if all
    /// would. Those that lack a newer block are then tried in one of now.
    async fn take(
        &self,
        sender: Address,
        ways: &[(Address, Bytes)],
        lack: Lack,
    ) -> Result<Receipt, SettlementError> {
        match self.take_first(sender, ways).await {
            Err(SettlementError::Reverted { transaction: None, .. }) if lack != Lack::Nothing => {}
            taken => return taken,
        }
        if lack == Lack::Block && self.seals_on_demand() {
            // The call makes the block itself. If it fails there, it can be tried as of that block.
            let (contract, call) = &ways[0];
            match self.send_untried(sender, *contract, call.clone(), PANEL_GAS).await {
                Err(SettlementError::Reverted { .. }) => {}
                // It offers all the gas that a step may take, which not everyone could pay for.
                Err(SettlementError::Refused { .. }) => self.make_a_block(sender).await?,
                sent => return sent,
            }
        } else {
            self.make_a_block(sender).await?;
        }
        self.take_first(sender, ways).await
    }

    async fn take_first(
        &self,
        sender: Address,
        ways: &[(Address, Bytes)],
    ) -> Result<Receipt, SettlementError> {
        let (last, others) = ways.split_last().expect("there is a way to take each step");
        for (contract, call) in others {
            match self.act_encoded(sender, *contract, call.clone(), PANEL_GAS).await {
                Err(SettlementError::Reverted { transaction: None, .. }) => {}
                sent => return sent,
            }
        }
        self.act_encoded(sender, last.0, last.1.clone(), PANEL_GAS).await
    }

    /// A chain that makes blocks only for transactions tries things as of its newest block, which may
    /// be older than the time they wait for: a transfer of nothing makes a block of now.
    async fn make_a_block(&self, sender: Address) -> Result<(), SettlementError> {
        let call = protocol::MachinaDollar::transferCall { to: sender, value: U256::ZERO };
        let token = self.token().address;
        self.send_from(sender, token, call.abi_encode().into(), PAYMENT_GAS).await.map(drop)
    }

    async fn act<C: SolCall>(
        &self,
        sender: Address,
        contract: Address,
        call: C,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        self.act_encoded(sender, contract, call.abi_encode().into(), most_gas).await
    }

    async fn act_encoded(
        &self,
        sender: Address,
        contract: Address,
        call: Bytes,
        most_gas: u64,
    ) -> Result<Receipt, SettlementError> {
        self.send_from(sender, contract, call, most_gas).await.map_err(named)
    }
}

/// The contracts' own name for why they reverted: one calls the other, so any may have said it.
fn named(error: SettlementError) -> SettlementError {
    error.named_by(|selector| {
        AgenticCommerce::AgenticCommerceErrors::name_by_selector(selector)
            .or_else(|| Evaluators::EvaluatorsErrors::name_by_selector(selector))
            .or_else(|| EvaluatorPool::EvaluatorPoolErrors::name_by_selector(selector))
    })
}

fn number(value: U256) -> Result<u64, SettlementError> {
    u64::try_from(value).map_err(|_| unreadable("a number above 2⁶⁴"))
}

fn unreadable(cause: &str) -> SettlementError {
    SettlementError::Unreadable { what: "the jobs' escrow", cause: cause.into() }
}
