"""PyPI x402 by the other schemes: its client buys by `upto` and `batch-settlement`, and its server for
Flask sells by all three through our facilitator, to its own client and to `machina pay`."""

import asyncio
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "harness"))
from claims import claim, done  # noqa: E402  (must come before anything that connects)

import httpx  # noqa: E402
from economy import (  # noqa: E402
    INFO, OFFER, PRICE, balance, machina, moves, photograph, rpc, settlement, stall,
)
from eth_account import Account  # noqa: E402
from flask import Flask, make_response, request  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402
from x402 import x402Client  # noqa: E402
from x402.extensions.eip2612_gas_sponsoring import declare_eip2612_gas_sponsoring_extension  # noqa: E402
from x402.http import FacilitatorConfig, HTTPFacilitatorClientSync  # noqa: E402
from x402.http.clients.httpx import x402HttpxClient  # noqa: E402
from x402.http.middleware.flask import PaymentMiddleware, set_settlement_overrides  # noqa: E402
from x402.http.types import PaymentOption, RouteConfig  # noqa: E402
from x402.mechanisms.evm.batch_settlement.authorizer_signer import LocalAuthorizerSigner  # noqa: E402
from x402.mechanisms.evm.batch_settlement.client import BatchSettlementEvmScheme as BatchClient  # noqa: E402
from x402.mechanisms.evm.batch_settlement.client import RefundOptions  # noqa: E402
from x402.mechanisms.evm.batch_settlement.client.refund import _RefundResponse  # noqa: E402
from x402.mechanisms.evm.batch_settlement.server import (  # noqa: E402
    BatchSettlementChannelManagerSync, BatchSettlementEvmSchemeServerConfig, ChannelManagerConfigSync,
)
from x402.mechanisms.evm.batch_settlement.server import BatchSettlementEvmScheme as BatchServer  # noqa: E402
from x402.mechanisms.evm.exact import ExactEvmServerScheme  # noqa: E402
from x402.mechanisms.evm.exact.register import register_exact_evm_client  # noqa: E402
from x402.mechanisms.evm.signers import EthAccountSignerWithRPC  # noqa: E402
from x402.mechanisms.evm.upto.client import UptoEvmScheme as UptoClient  # noqa: E402
from x402.mechanisms.evm.upto.server import UptoEvmScheme as UptoServer  # noqa: E402
from x402.server import x402ResourceServerSync  # noqa: E402

NETWORK, TOKEN = INFO["network"], INFO["token"]
CAT, COFFEE = photograph("chelsea.png"), photograph("coffee.png")
PNG = {"content-type": "image/png"}
#: What the stall asks for a kilobyte, and the most for one request; what the Flask server asks for.
PER_KILOBYTE, MOST, ASKED = 1_000, 20_000, 4_000
SHOPPER = next(party for party in INFO["parties"] if party["name"] == "shopper")


def funded():
    """A fresh key with one dollar."""
    account = Account.create()
    machina("fund", account.address, "1")
    return account


def client(account, *schemes, limit):
    """A buyer of the SDK that pays by `schemes` (by exact, if none is given), at most `limit` at once."""
    sdk = x402Client()
    for scheme in schemes:
        sdk.register(NETWORK, scheme)
    if not schemes:
        register_exact_evm_client(sdk, EthAccountSignerWithRPC(account, INFO["rpcUrl"]))
    allowed = {"network": NETWORK, "asset": TOKEN["address"], "max_amount_per_payment": str(limit)}
    sdk.set_spend_controls({"allowed_assets": [allowed]})
    return x402HttpxClient(sdk, timeout=60)


class Filler(BaseHTTPRequestHandler):
    """A service that answers `?bytes=N` with N bytes."""

    def do_GET(self):
        size = int(parse_qs(urlparse(self.path).query)["bytes"][0])
        self.send_response(200)
        self.send_header("content-length", str(size))
        self.end_headers()
        self.wfile.write(b"x" * size)

    def log_message(self, *_):
        pass


async def metered():
    service = ThreadingHTTPServer(("127.0.0.1", 0), Filler)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    to = f"http://127.0.0.1:{service.server_port}"
    with stall("--to", to, "--price", "0.001", "--per", "kB", "--most", "0.02", "--name", "filler-python") as told:
        account = funded()
        scheme = UptoClient(EthAccountSignerWithRPC(account, INFO["rpcUrl"]))
        for size, charge in ((2_600, 3 * PER_KILOBYTE), (1_000, PER_KILOBYTE), (50_000, MOST)):
            with claim(f"upto, the approval travels along: {size} bytes cost {charge} of at most {MOST}"):
                with moves(charge, account.address, told["payee"]):
                    async with client(account, scheme, limit=MOST) as buyer:
                        reply = await buyer.get(f"{told['url']}/text?bytes={size}")
                    assert reply.status_code == 200, reply.text
                    assert len(reply.content) == size
                assert settlement(reply)["amount"] == str(charge)


def by_post(url, headers):
    """How the SDK asks for refunds; the vision machine sells by POST alone."""
    reply = httpx.post(url, headers=headers, trust_env=False, timeout=60)
    return _RefundResponse(reply.status_code, reply.headers)


async def vouchers():
    account = funded()
    scheme = BatchClient(EthAccountSignerWithRPC(account, INFO["rpcUrl"]))
    buyer = client(account, scheme, limit=2 * PRICE)

    with claim("batch-settlement: the first purchase deposits, and is charged one price"):
        before = balance(account.address)
        reply = await buyer.post(OFFER["url"], content=CAT, headers=PNG)
        assert reply.status_code == 200, reply.text
        assert settlement(reply)["extra"]["channelState"]["chargedCumulativeAmount"] == str(PRICE)
        deposit = before - balance(account.address)
        assert deposit >= 2 * PRICE, deposit

    with claim("batch-settlement: two vouchers buy without a transaction"):
        with moves(0, account.address, OFFER["payee"]):
            for total in (2 * PRICE, 3 * PRICE):
                reply = await buyer.post(OFFER["url"], content=CAT, headers=PNG)
                assert reply.status_code == 200, reply.text
                told = settlement(reply)
                assert (told["transaction"], told["extra"]["channelState"]["chargedCumulativeAmount"]) == ("", str(total))

    with claim("batch-settlement: a client that forgot its channel learns from the 402 what it has spent, and buys on"):
        again = BatchClient(EthAccountSignerWithRPC(account, INFO["rpcUrl"]))
        async with client(account, again, limit=2 * PRICE) as forgetful:
            with moves(0, account.address, OFFER["payee"]):
                reply = await forgetful.post(OFFER["url"], content=COFFEE, headers=PNG)
                assert reply.status_code == 200, reply.text
        assert settlement(reply)["extra"]["channelState"]["chargedCumulativeAmount"] == str(4 * PRICE)

    with claim("batch-settlement: a refund brings back what was not charged"):
        before = balance(account.address)
        told = await asyncio.to_thread(again.refund, OFFER["url"], RefundOptions(fetch=by_post))
        assert told.success, told
        assert balance(account.address) - before == deposit - 4 * PRICE
    await buyer.aclose()


class Shop:
    """A shop of the SDK's server for Flask; `worked` counts its work."""

    def __init__(self):
        self.payee, authorizer = Account.create(), Account.create()
        self.worked = 0
        self.facilitator = HTTPFacilitatorClientSync(
            FacilitatorConfig(url=INFO["facilitatorUrl"], http_client=httpx.Client(trust_env=False, timeout=60))
        )
        # Its own key signs refunds, as our facilitator signs none for a stranger.
        config = BatchSettlementEvmSchemeServerConfig(receiver_authorizer_signer=LocalAuthorizerSigner(authorizer))
        self.channels = BatchServer(self.payee.address, config)
        server = x402ResourceServerSync(self.facilitator)
        for scheme in (ExactEvmServerScheme(), UptoServer(), self.channels):
            server.register(NETWORK, scheme)
        routes = {
            "POST /exact": self.route("exact"), "GET /upto": self.route("upto"),
            "GET /drawn": self.route("batch-settlement"), "GET /broken": self.route("exact"),
        }
        app = Flask("shop")
        app.add_url_rule("/exact", view_func=self.exact, methods=["POST"])
        app.add_url_rule("/upto", view_func=self.upto)
        app.add_url_rule("/drawn", view_func=self.drawn)
        app.add_url_rule("/broken", view_func=lambda: ("out of order", 500))
        PaymentMiddleware(app, routes, server)
        serving = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        self.url = f"http://localhost:{serving.server_port}"

    def route(self, scheme):
        extra = {"name": TOKEN["name"], "version": TOKEN["version"]}
        price = {"amount": str(ASKED), "asset": TOKEN["address"], "extra": extra}
        option = PaymentOption(scheme=scheme, pay_to=self.payee.address, price=price, network=NETWORK)
        approvals = declare_eip2612_gas_sponsoring_extension() if scheme == "upto" else None
        return RouteConfig(accepts=option, extensions=approvals)

    def exact(self):
        self.worked += 1
        return request.get_data(as_text=True).upper() + "!"

    def upto(self):
        self.worked += 1
        response = make_response("metered")
        set_settlement_overrides(response, {"amount": str(ASKED // 4)})
        return response

    def drawn(self):
        self.worked += 1
        return "drawn"


async def selling():
    shop = Shop()
    payee, account = shop.payee.address, funded()

    with claim("exact: the Python server sells to the Python client, settled by our facilitator"):
        with moves(ASKED, account.address, payee):
            async with client(account, limit=ASKED) as buyer:
                reply = await buyer.post(f"{shop.url}/exact", content=b"hello")
            assert (reply.status_code, reply.text) == (200, "HELLO!"), reply.text
        assert rpc("eth_getTransactionReceipt", settlement(reply)["transaction"])["status"] == "0x1"

    with claim("exact: twenty at once, all served, each settled once"):
        with moves(20 * ASKED, account.address, payee):
            async with client(account, limit=ASKED) as buyer:
                replies = await asyncio.gather(*(buyer.post(f"{shop.url}/exact", content=b"x") for _ in range(20)))
            assert [r.status_code for r in replies] == [200] * 20, [r.status_code for r in replies]

    with claim("exact: work that fails is not settled"):
        with moves(0, account.address, payee):
            async with client(account, limit=ASKED) as buyer:
                assert (await buyer.get(f"{shop.url}/broken")).status_code == 500

    with claim("upto, the approval travels along: the Python server charges a quarter, and just that is settled"):
        scheme = UptoClient(EthAccountSignerWithRPC(account, INFO["rpcUrl"]))
        with moves(ASKED // 4, account.address, payee):
            async with client(account, scheme, limit=ASKED) as buyer:
                reply = await buyer.get(f"{shop.url}/upto")
            assert reply.status_code == 200, reply.text
        assert settlement(reply)["amount"] == str(ASKED // 4)

    saver = funded()
    scheme = BatchClient(EthAccountSignerWithRPC(saver, INFO["rpcUrl"]))
    with claim("batch-settlement: a deposit through our facilitator, and two vouchers without a transaction"):
        buyer = client(saver, scheme, limit=2 * ASKED)
        assert (await buyer.get(f"{shop.url}/drawn")).status_code == 200
        left = balance(saver.address)
        for _ in range(2):
            reply = await buyer.get(f"{shop.url}/drawn")
            assert (reply.status_code, settlement(reply)["transaction"]) == (200, ""), reply.text
        assert balance(saver.address) == left
        await buyer.aclose()

    with claim("batch-settlement: the Python server claims and is paid out by our facilitator, to the unit"):
        config = ChannelManagerConfigSync(shop.channels, shop.facilitator, payee, TOKEN["address"], NETWORK)
        before = balance(payee)
        told = await asyncio.to_thread(BatchSettlementChannelManagerSync(config).claim_and_settle)
        assert [one.vouchers for one in told["claims"]] == [1], told
        assert balance(payee) - before == 3 * ASKED

    with claim("batch-settlement: the payer asks for the rest, the Python server signs, our facilitator pays it back"):
        told = await asyncio.to_thread(scheme.refund, f"{shop.url}/drawn")
        assert told.success, told
        assert balance(saver.address) == 1_000_000 - 3 * ASKED

    for path, scheme, cost in (("exact", "exact", ASKED), ("upto", "upto", ASKED // 4)):
        with claim(f"`machina pay` buys of the Python server by {scheme}"):
            with moves(cost, SHOPPER["address"], payee):
                data = ("--data", secrets.token_hex(4)) if path == "exact" else ()
                report = machina("pay", f"{shop.url}/{path}", "--scheme", scheme, *data)
                assert (report["status"], report["paid"]["amount"]["minor"]) == (200, str(cost)), report


async def main():
    await metered()
    await vouchers()
    await selling()
    with claim("the books of the economy equal the chain"):
        assert machina("economy")["books"]["state"] == "equal"
    done()


asyncio.run(main())
