// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Rule} from "./Rules.sol";

/// @notice How far the judging of a job is.
enum Stage {
    /// There is no case: the job was not funded under a rule.
    None,
    /// The job is funded; the provider works.
    Agreed,
    /// The work is in, and good unless someone challenges it.
    Challengeable,
    /// A panel is to be drawn.
    Drawing,
    /// The panel seals its answers.
    Committing,
    /// The panel opens them.
    Revealing,
    /// There is a verdict, which can be appealed.
    Decided,
    /// There is a verdict, to be carried out.
    Final,
    /// It was carried out, or the job ended without it.
    Closed
}

/// @notice The judging of one job.
struct Case {
    Rule rule;
    address client;
    address provider;
    /// The agent that the job names, if the provider spoke for it at funding; else 0.
    uint256 providerAgentId;
    /// Who owned the parties' agents at funding; zero for nobody.
    address clientOwner;
    address providerOwner;
    /// What each evaluator of a panel has at stake, in minor units.
    uint256 stake;
    /// Unix seconds; the job's.
    uint256 expiredAt;
    /// How many seconds a verdict takes at most, from when the work is handed in.
    uint256 longest;
    /// What was handed in: the hash of the answer, or under `Exact` and `Redundant` its seal.
    bytes32 deliverable;
    /// The provider's answer; 0 while it is sealed.
    bytes32 answer;
    /// Who challenged the work under `Optimistic`; zero for nobody.
    address challenger;
    Stage stage;
    /// Which round, from 0, is under way or was the last.
    uint8 round;
    /// Whether there is a verdict.
    bool decided;
    /// The verdict: the work is good.
    bool accepted;
    /// The verdict is a panel's, not silence's.
    bool judged;
    /// The job pays enough to count in records: its provider's, and its evaluators'.
    bool counts;
    /// The round's panel was announced a second time, for the first lot was lost.
    bool again;
    /// The provider's bond is locked.
    bool bondLocked;
    /// Unix seconds at which the stage ends by itself.
    uint64 deadline;
    /// Unix seconds at which the round began.
    uint64 roundAt;
    /// The block whose hash is the lot.
    uint64 announced;
    /// The lot, if someone pinned it; else 0.
    bytes32 lot;
}

/// @notice One panel's work on a case. Money is in minor units.
struct Round {
    /// Who was drawn.
    address[] panel;
    /// How many of them sealed an answer, and how many opened it.
    uint8 committed;
    uint8 revealed;
    /// Whether the panel came to a verdict.
    bool decided;
    /// Whether there was a verdict before this round, and which.
    bool decidedBefore;
    bool acceptedBefore;
    /// Whether everyone was paid.
    bool settled;
    /// Who paid for the round: client, challenger or appellant.
    address payer;
    /// The panel's fees.
    uint128 pot;
    /// What the payer forfeits besides if it is wrong.
    uint128 margin;
}

/// @notice One evaluator's part in a round.
struct Vote {
    /// Its sealed answer; 0 until then.
    bytes32 seal;
    /// Its answer, once opened.
    bytes32 answer;
    /// Its weight, in thousandths; 0 if it was not drawn.
    uint32 weight;
    bool revealed;
}
