// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice How a job's work is judged. Who judges by what is the evaluators' business; here the
/// checks differ in when a panel is drawn and what it answers.
enum Check {
    /// The work is done again: each evaluator answers with the hash of what it got, and the provider's
    /// stays sealed until theirs are, so that it cannot be copied.
    Exact,
    /// Hidden known answers are among the work: evaluators compare.
    Gold,
    /// Independent workers do the same, not knowing the provider's answer, which stays sealed until
    /// theirs are.
    Redundant,
    /// Evaluators score work against each other's, where nobody knows the truth.
    Peer,
    /// The work is good unless someone puts money on the contrary; then a panel decides.
    Optimistic,
    /// Evaluators judge.
    Juror
}

/// @notice The rule of a job: fixed by its client at funding, before the provider begins. Money is in
/// minor units of the evaluators' token, times are in seconds.
struct Rule {
    /// How the work is judged.
    Check check;
    /// How many evaluators are drawn first: odd, at most `LARGEST_FIRST_PANEL`.
    uint8 panel;
    /// How often the decision can be appealed: at most `MOST_APPEALS`.
    uint8 appeals;
    /// How likely, in hundredths of a percent, an evaluator who answers without looking is found out.
    /// With the fee it makes the evaluator's stake.
    uint16 auditBps;
    /// How long anyone may challenge work under `Optimistic`.
    uint32 challengeTime;
    /// How long a panel may take to commit, from its draw: at least `SHORTEST_PANEL_TIME`.
    uint32 commitTime;
    /// How long it may take to reveal, from the last commitment or the end of its time: as much.
    uint32 revealTime;
    /// How long a decision may be appealed.
    uint32 appealTime;
    /// What each evaluator of a panel earns.
    uint128 fee;
    /// What the provider stakes on its work, and loses if a panel finds it bad.
    uint128 bond;
    /// The hash of a secret of the client's that goes into the lot; zero for none. A client that does
    /// not tell the secret while the panel is to be drawn has accepted the work.
    bytes32 lotSecret;
    /// What evaluators need and must be able to trust: the hash of a model's manifest, of a rubric,
    /// or of hidden answers with a salt.
    bytes32 criteria;
    /// The client's own agent in the ERC-8004 registry, so that its owner is not drawn; 0 for none.
    uint256 clientAgentId;
}

/// @title The arithmetic of rules
/// @notice What a rule may be, what follows from it, and nothing that is stored.
library Rules {
    /// @notice The largest panel that is drawn first.
    uint256 internal constant LARGEST_FIRST_PANEL = 7;
    /// @notice The largest panel that is ever drawn.
    uint256 internal constant LARGEST_PANEL = 31;
    /// @notice The most appeals.
    uint256 internal constant MOST_APPEALS = 3;
    /// @notice The shortest time for anything, in seconds.
    uint256 internal constant SHORTEST_TIME = 5;
    /// @notice The shortest time for a panel to commit, and to reveal, in seconds: whoever sits in the
    /// pool is drawn without being asked, and loses its stake if it is late.
    uint256 internal constant SHORTEST_PANEL_TIME = 10 minutes;
    /// @notice The longest.
    uint256 internal constant LONGEST_TIME = 7 days;
    /// @notice How long, in seconds, anyone has to draw a panel. It takes one call, in any later block.
    uint256 internal constant DRAW_TIME = 10 minutes;
    /// @notice How long before a client can have its money back anyone can still end a job by its
    /// verdict, in seconds.
    uint256 internal constant FINISH_TIME = 5 minutes;
    /// @notice The most that one evaluator can earn by one job, in minor units; keeps sums small.
    uint256 internal constant LARGEST_FEE = 1e18;

    /// @notice The least likelihood of being found out, in hundredths of a percent: it bounds what an
    /// evaluator can be made to stake for a fee, at 99 times the fee.
    uint256 internal constant SMALLEST_AUDIT_BPS = 100;

    uint256 private constant WHOLE_BPS = 10_000;

    /// @notice A time, a number or a price that no rule may have.
    error InvalidRule();

    /// @notice Refuses what no rule may be.
    function validate(Rule memory rule) internal pure {
        require(rule.panel % 2 == 1 && rule.panel <= LARGEST_FIRST_PANEL, InvalidRule());
        require(rule.appeals <= MOST_APPEALS, InvalidRule());
        require(rule.auditBps >= SMALLEST_AUDIT_BPS && rule.auditBps <= WHOLE_BPS, InvalidRule());
        require(rule.fee <= LARGEST_FEE && rule.bond <= LARGEST_FEE, InvalidRule());
        require(rule.commitTime >= SHORTEST_PANEL_TIME && _isTime(rule.commitTime), InvalidRule());
        require(rule.revealTime >= SHORTEST_PANEL_TIME && _isTime(rule.revealTime), InvalidRule());
        require(rule.appeals == 0 || _isTime(rule.appealTime), InvalidRule());
        require(rule.check != Check.Optimistic || _isTime(rule.challengeTime), InvalidRule());
    }

    /// @notice How many are drawn in a round if so many were first: each appeal draws twice as many
    /// and one.
    function panelOf(uint256 first, uint256 round) internal pure returns (uint256 size) {
        size = ((first + 1) << round) - 1;
        if (size > LARGEST_PANEL) size = LARGEST_PANEL;
    }

    /// @notice What an evaluator has at stake in a round: S = ceil(c / q) - w, with what it saves by
    /// not looking c (at most its fee, or it would not have come), the likelihood q of being found
    /// out, and its fee w. Then q (S + w) >= c: answering blindly does not pay
    /// (Becker 1968; see docs/checks.md).
    function stakeOf(Rule memory rule) internal pure returns (uint256) {
        return stakeFor(rule.fee, rule.auditBps, rule.fee);
    }

    /// @notice The least stake that makes a cheat not pay: ceil(`saved` / q) - `pay`, or nothing.
    function stakeFor(uint256 saved, uint256 auditBps, uint256 pay)
        internal
        pure
        returns (uint256)
    {
        uint256 least = (saved * WHOLE_BPS + auditBps - 1) / auditBps;
        return least > pay ? least - pay : 0;
    }

    /// @notice What challenging, or appealing into `round`, costs: the fees of the panel that is drawn,
    /// and as much again, which the loser forfeits. It grows with the panel.
    function bondOf(uint256 fee, uint256 first, uint256 round) internal pure returns (uint256) {
        return 2 * fee * panelOf(first, round);
    }

    /// @notice The longest that a verdict can take from when the work is handed in, in seconds, with
    /// the time to carry it out.
    function longest(Rule memory rule) internal pure returns (uint256 time) {
        uint256 round = DRAW_TIME + rule.commitTime + rule.revealTime;
        time = round + rule.appeals * (rule.appealTime + round) + FINISH_TIME;
        if (rule.check == Check.Optimistic) time += rule.challengeTime;
    }

    /// @notice An evaluator's weight in a panel: the log odds ln(p / (1 - p)), in thousandths, of how
    /// often it was with the final verdict (Nitzan and Paroush 1982). p is (agreed + 3) / (voted + 4),
    /// rounded down to a twentieth and taken at that step's middle, so that a newcomer counts as
    /// three in four, and it ends at 0.95, so that nobody counts for more than about 2.4 newcomers.
    function weightOf(uint256 agreed, uint256 voted) internal pure returns (uint256) {
        uint256 step = 20 * (agreed + 3) / (voted + 4);
        if (step >= 19) return 2944;
        if (step >= 18) return 2512;
        if (step >= 17) return 1946;
        if (step >= 16) return 1551;
        if (step >= 15) return 1237;
        if (step >= 14) return 969;
        if (step >= 13) return 731;
        if (step >= 12) return 511;
        if (step >= 11) return 302;
        return 100;
    }

    /// @notice The name of a check, as readers of reputations and validations find it.
    function nameOf(Check check) internal pure returns (string memory) {
        if (check == Check.Exact) return "exact";
        if (check == Check.Gold) return "gold";
        if (check == Check.Redundant) return "redundant";
        if (check == Check.Peer) return "peer";
        if (check == Check.Optimistic) return "optimistic";
        return "juror";
    }

    function _isTime(uint256 time) private pure returns (bool) {
        return time >= SHORTEST_TIME && time <= LONGEST_TIME;
    }
}
