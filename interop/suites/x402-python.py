"""PyPI x402 buys from the vision machine: over httpx, with eth-account's keys."""

import asyncio
import random
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "harness"))
from claims import claim, done  # noqa: E402  (must come before anything that connects)

import httpx  # noqa: E402
from economy import INFO, OFFER, PRICE, changes, machina, photograph, rpc, settlement  # noqa: E402
from eth_account import Account  # noqa: E402
from x402 import x402Client  # noqa: E402
from x402.http import x402HTTPClient  # noqa: E402
from x402.http.clients.httpx import PaymentError, x402HttpxClient  # noqa: E402
from x402.mechanisms.evm import EthAccountSigner  # noqa: E402
from x402.mechanisms.evm.exact.register import register_exact_evm_client  # noqa: E402

CAT = photograph("chelsea.png")
PNG = {"content-type": "image/png"}


def client(account, controls=None):
    """A buyer of the SDK; without `controls` it has the SDK's own."""
    sdk = x402Client()
    register_exact_evm_client(sdk, EthAccountSigner(account))
    if controls is not None:
        sdk.set_spend_controls(controls)
    return x402HttpxClient(sdk, timeout=60)


def png_of(width, height, data=b""):
    """A PNG file that says to be so large; `data` is its compressed picture."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


async def main():
    account = Account.create()
    machina("fund", account.address, "1")
    limit = {"network": INFO["network"], "asset": INFO["token"]["address"], "max_amount_per_payment": str(PRICE)}
    allowed = {"allowed_assets": [limit]}

    with claim("the SDK's own spend controls refuse a dollar that they do not know, and nothing is charged"):
        with changes(0, account.address):
            async with client(account) as stock:
                try:
                    await stock.post(OFFER["url"], content=CAT, headers=PNG)
                    raise AssertionError("it was not refused")
                except PaymentError as error:
                    assert "spend_controls" in str(error), error

    answers = set()
    for name, controls in {"spend controls off": False, "the dollar allowed, up to the price": allowed}.items():
        with claim(f"{name}: it buys one piece of work, paid once, at the price"):
            with changes(1, account.address):
                async with client(account, controls) as buyer:
                    reply = await buyer.post(OFFER["url"], content=CAT, headers=PNG)
                assert reply.status_code == 200, reply.text
                assert "cat" in reply.json()["labels"][0]["label"]
                told = settlement(reply)
                assert told["success"] is True and told["network"] == INFO["network"], told
                assert told["payer"].lower() == account.address.lower()
                receipt = rpc("eth_getTransactionReceipt", told["transaction"])
                assert receipt["status"] == "0x1", receipt
                answers.add(reply.content)

    with claim("the same payment again, five at once: the stored answer, byte for byte, and no work"):
        header = await signed(account)
        headers = {**PNG, "PAYMENT-SIGNATURE": header}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as plain:
            with changes(1, account.address):
                first = await plain.post(OFFER["url"], content=CAT, headers=headers)
                assert first.status_code == 200, first.text
            with changes(0, account.address):
                again = await asyncio.gather(*(plain.post(OFFER["url"], content=CAT, headers=headers) for _ in range(5)))
                assert [(r.status_code, r.content) for r in again] == [(200, first.content)] * 5, [r.status_code for r in again]
        assert answers == {first.content}, "the same photograph gives the same bytes"

    with claim("an empty wallet: 402, and nothing happens"):
        poor = Account.create()
        with changes(0, poor.address):
            async with client(poor, allowed) as buyer:
                reply = await buyer.post(OFFER["url"], content=CAT, headers=PNG)
            assert reply.status_code == 402, reply.text

    with claim("a photograph of six megabytes is bought like a small one"):
        noise = random.Random(402)
        rows = b"".join(b"\0" + noise.randbytes(1_400 * 3) for _ in range(1_400))
        large = png_of(1_400, 1_400, zlib.compress(rows, 0))
        assert len(large) > 5_800_000
        with changes(1, account.address):
            async with client(account, allowed) as buyer:
                reply = await buyer.post(OFFER["url"], content=large, headers=PNG)
            assert reply.status_code == 200, reply.text
            assert reply.json()["picture"]["width"] == 1_400

    bombs = {
        "a picture that says 60,000 by 60,000 points, in 70 bytes": png_of(60_000, 60_000),
        "a picture that unpacks to 432 MB": png_of(12_000, 12_000, zlib.compress(bytes(12_000 * 36_001), 6)),
        "a picture without a point": png_of(0, 0),
    }
    for name, bomb in bombs.items():
        with claim(f"{name}: 4xx, and nothing is charged"):
            with changes(0, account.address):
                async with client(account, allowed) as buyer:
                    reply = await buyer.post(OFFER["url"], content=bomb, headers=PNG)
                assert 400 <= reply.status_code < 500 and reply.status_code != 402, (reply.status_code, reply.text)

    with claim("twenty at once over one client: each paid once"):
        with changes(20, account.address):
            async with client(account, allowed) as buyer:
                replies = await asyncio.gather(*(buyer.post(OFFER["url"], content=CAT, headers=PNG) for _ in range(20)))
            assert [r.status_code for r in replies] == [200] * 20, [r.status_code for r in replies]
            paid = {settlement(r)["transaction"] for r in replies}
            assert len(paid) == 20

    done()


async def signed(account):
    """A payment that the SDK signs, as its header."""
    sdk = x402Client()
    register_exact_evm_client(sdk, EthAccountSigner(account))
    sdk.set_spend_controls(False)
    wire = x402HTTPClient(sdk)
    async with httpx.AsyncClient(trust_env=False) as plain:
        unpaid = await plain.post(OFFER["url"], content=CAT, headers=PNG)
    quote = wire.get_payment_required_response(unpaid.headers.get, None)
    payment = await sdk.create_payment_payload(quote)
    return wire.encode_payment_signature_header(payment)["PAYMENT-SIGNATURE"]


asyncio.run(main())
