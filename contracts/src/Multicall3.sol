// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Multicall3
/// @notice Many calls in one. Wallets and x402 clients expect it at
/// 0xcA11bde05977b3631167028862bE2a173976CA11 on every chain.
/// @dev Written anew to the public ABI (github.com/mds1/multicall): the same functions, structs,
/// return values and two error texts. Calls run in order, from this contract's address; it keeps no
/// money, so whatever a batch leaves behind is anyone's. Every function is payable, as in the
/// original, although only `aggregate3Value` sends value on.
contract Multicall3 {
    /// @notice A call that must succeed, or whose failure one flag for the whole batch allows.
    struct Call {
        address target;
        bytes callData;
    }

    /// @notice A call that says itself whether it may fail.
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }

    /// @notice A call that also carries `value` wei.
    struct Call3Value {
        address target;
        bool allowFailure;
        uint256 value;
        bytes callData;
    }

    /// @notice What a call answered: its return data, or its revert data.
    struct Result {
        bool success;
        bytes returnData;
    }

    /// @notice Every call must succeed, or the whole batch reverts.
    function aggregate(Call[] calldata calls)
        external
        payable
        returns (uint256 blockNumber, bytes[] memory returnData)
    {
        blockNumber = block.number;
        returnData = new bytes[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            returnData[i] = _call(calls[i].target, 0, calls[i].callData, true).returnData;
        }
    }

    /// @notice With `requireSuccess` every call must succeed; without it, each says how it went.
    function tryAggregate(bool requireSuccess, Call[] calldata calls)
        external
        payable
        returns (Result[] memory returnData)
    {
        return _tryAggregate(requireSuccess, calls);
    }

    /// @notice As `tryAggregate`, with the block's number and hash. A block's hash is not known
    /// within it, so on most chains `blockHash` is zero.
    function tryBlockAndAggregate(bool requireSuccess, Call[] calldata calls)
        external
        payable
        returns (uint256 blockNumber, bytes32 blockHash, Result[] memory returnData)
    {
        return _blockAndAggregate(requireSuccess, calls);
    }

    /// @notice As `tryBlockAndAggregate`, where every call must succeed.
    function blockAndAggregate(Call[] calldata calls)
        external
        payable
        returns (uint256 blockNumber, bytes32 blockHash, Result[] memory returnData)
    {
        return _blockAndAggregate(true, calls);
    }

    /// @notice Each call says itself whether it may fail.
    function aggregate3(Call3[] calldata calls)
        external
        payable
        returns (Result[] memory returnData)
    {
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            Call3 calldata one = calls[i];
            returnData[i] = _call(one.target, 0, one.callData, !one.allowFailure);
        }
    }

    /// @notice As `aggregate3`, with wei for each call; together they must be exactly what was sent.
    function aggregate3Value(Call3Value[] calldata calls)
        external
        payable
        returns (Result[] memory returnData)
    {
        uint256 sum = 0;
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            Call3Value calldata one = calls[i];
            // Beyond 2^256 the sum wraps, as in the original: a call that carries more than there is
            // fails, so a wrapped sum moves only what earlier batches left here.
            unchecked {
                sum += one.value;
            }
            returnData[i] = _call(one.target, one.value, one.callData, !one.allowFailure);
        }
        require(msg.value == sum, "Multicall3: value mismatch");
    }

    /// @notice The hash of one of the last 256 blocks, else zero.
    function getBlockHash(uint256 blockNumber) external view returns (bytes32 blockHash) {
        return blockhash(blockNumber);
    }

    /// @notice This block's number.
    function getBlockNumber() external view returns (uint256 blockNumber) {
        return block.number;
    }

    /// @notice Who seals this block.
    function getCurrentBlockCoinbase() external view returns (address coinbase) {
        return block.coinbase;
    }

    /// @notice Before the merge the difficulty, since then the block's random value.
    function getCurrentBlockDifficulty() external view returns (uint256 difficulty) {
        return block.prevrandao;
    }

    /// @notice This block's gas limit.
    function getCurrentBlockGasLimit() external view returns (uint256 gaslimit) {
        return block.gaslimit;
    }

    /// @notice This block's time, in Unix seconds.
    function getCurrentBlockTimestamp() external view returns (uint256 timestamp) {
        return block.timestamp;
    }

    /// @notice What `account` holds, in wei.
    function getEthBalance(address account) external view returns (uint256 balance) {
        return account.balance;
    }

    /// @notice The hash of the block before this one.
    function getLastBlockHash() external view returns (bytes32 blockHash) {
        unchecked {
            return blockhash(block.number - 1);
        }
    }

    /// @notice This block's base fee, in wei a unit of gas.
    function getBasefee() external view returns (uint256 basefee) {
        return block.basefee;
    }

    /// @notice This chain's id.
    function getChainId() external view returns (uint256 chainid) {
        return block.chainid;
    }

    function _blockAndAggregate(bool requireSuccess, Call[] calldata calls)
        private
        returns (uint256 blockNumber, bytes32 blockHash, Result[] memory returnData)
    {
        blockNumber = block.number;
        blockHash = blockhash(block.number);
        returnData = _tryAggregate(requireSuccess, calls);
    }

    function _tryAggregate(bool requireSuccess, Call[] calldata calls)
        private
        returns (Result[] memory returnData)
    {
        returnData = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; ++i) {
            returnData[i] = _call(calls[i].target, 0, calls[i].callData, requireSuccess);
        }
    }

    function _call(address target, uint256 value, bytes calldata data, bool mustSucceed)
        private
        returns (Result memory result)
    {
        (result.success, result.returnData) = target.call{value: value}(data);
        require(result.success || !mustSucceed, "Multicall3: call failed");
    }
}
