"""PyPI openai, with an httpx client that pays by x402, speaks with the machines at /v1."""

import asyncio
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "harness"))
from claims import claim, done  # noqa: E402  (must come before anything that connects)

import openai  # noqa: E402
from economy import INFO, balance, machina  # noqa: E402
from eth_account import Account  # noqa: E402
from x402 import x402Client  # noqa: E402
from x402.http.clients.httpx import x402HttpxClient  # noqa: E402
from x402.mechanisms.evm import EthAccountSigner  # noqa: E402
from x402.mechanisms.evm.exact.register import register_exact_evm_client  # noqa: E402

#: The most that a chat and a request for embeddings may cost, in minor units.
MOST_CHAT, MOST_MEANING = 2_048, 820
CHAT = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
PARIS = "The capital of France is Paris."


def earned():
    """What the machines' seller has earned, by its books."""
    lines = machina("books", "seller")[0]["lines"]
    return int(next(line for line in lines if line["name"] == "sales")["settled"]["minor"])


@contextlib.contextmanager
def costs(total, buyer):
    """Demands that the block cost just this much, on the chain and in the books."""
    before = balance(buyer), earned()
    yield
    told = before[0] - balance(buyer), earned() - before[1]
    assert told == (total, total), f"paid, earned: {told}"


def client(account):
    """The official client; what is asked for money pays."""
    sdk = x402Client()
    register_exact_evm_client(sdk, EthAccountSigner(account))
    limit = {"network": INFO["network"], "asset": INFO["token"]["address"], "max_amount_per_payment": str(MOST_CHAT)}
    sdk.set_spend_controls({"allowed_assets": [limit]})
    http = x402HttpxClient(sdk, timeout=60)
    return openai.AsyncOpenAI(base_url=f"{INFO['url']}/v1", api_key="not needed", max_retries=0, http_client=http)


async def main():
    account = Account.create()
    machina("fund", account.address, "1")
    async with client(account) as buyer:
        with claim("the models that are here are listed"):
            assert [model.id async for model in buyer.models.list()] == ["smollm2-135m", "minilm-l6"]

        with claim("exact: a chat is answered, and costs the quoted price"):
            with costs(MOST_CHAT, account.address):
                answer = await buyer.chat.completions.create(**CHAT)
                assert answer.choices[0].message.content == PARIS, answer
                assert answer.usage.total_tokens == 34, answer.usage

        with claim("exact: a stream says the same word by word, and costs the quoted price"):
            with costs(MOST_CHAT, account.address):
                text = ""
                async for chunk in await buyer.chat.completions.create(**CHAT, stream=True):
                    text += chunk.choices[0].delta.content or ""
                assert text == PARIS, text

        with claim("embeddings come as the client asks for them, and cost the quoted price"):
            with costs(MOST_MEANING, account.address):
                answer = await buyer.embeddings.create(model="minilm-l6", input=["cat", "kitten"])
                a, b = (entry.embedding for entry in answer.data)
                assert len(a) == 384 and abs(sum(x * y for x, y in zip(a, b)) - 0.788) < 1e-3

        with claim("an unknown model is not found, and costs nothing"):
            with costs(0, account.address):
                try:
                    await buyer.chat.completions.create(**{**CHAT, "model": "gpt-4o"})
                    raise AssertionError("it was not refused")
                except openai.NotFoundError as error:
                    assert error.code == "model_not_found", error

    with claim("without a payment a chat is refused with 402"):
        async with openai.AsyncOpenAI(base_url=f"{INFO['url']}/v1", api_key="none", max_retries=0) as stranger:
            try:
                await stranger.chat.completions.create(**CHAT)
                raise AssertionError("it was not refused")
            except openai.APIStatusError as error:
                assert error.status_code == 402, error


asyncio.run(main())
done()
