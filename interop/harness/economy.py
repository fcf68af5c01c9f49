"""The running economy, as economy.mjs has it: what it tells of itself, its command, and what can be measured."""

import base64
import contextlib
import json
import subprocess

from claims import GIVEN  # must come before anything that connects

import httpx

INFO = GIVEN["info"]
#: What the vision machine sells, and its price in minor units.
OFFER = next(offer for offer in INFO["offers"] if offer["name"] == "vision/classify")
PRICE = int(OFFER["price"]["minor"])


def photograph(name):
    """A sample photograph's bytes."""
    with open(GIVEN["photographs"][name], "rb") as file:
        return file.read()


def command(*args):
    """A command of the program in the economy's home."""
    return [GIVEN["program"], "--json", "--home", GIVEN["home"], *args]


def machina(*args):
    """Runs a command of the program: its JSON."""
    run = subprocess.run(command(*args), capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, f"machina {' '.join(args)}: {run.stdout or run.stderr}"
    return json.loads(run.stdout)


@contextlib.contextmanager
def stall(*args):
    """A stall that is open for the block: what `machina sell` tells of it."""
    child = subprocess.Popen(command("sell", *args), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        text = ""
        for line in child.stdout:
            text += line
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(text)
                break
        else:
            raise AssertionError(f"machina sell ended: {text}")
    finally:
        child.terminate()
        child.wait(20)


def rpc(method, *params):
    """Asks the chain."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    reply = httpx.post(INFO["rpcUrl"], json=request, trust_env=False).json()
    assert "error" not in reply, reply["error"]
    return reply["result"]


def balance(address):
    """What an address has, in minor units: balanceOf(address)."""
    data = "0x70a08231" + address[2:].lower().rjust(64, "0")
    return int(rpc("eth_call", {"to": INFO["token"]["address"], "data": data}, "latest"), 16)


def sold():
    """How often the vision machine was paid."""
    return httpx.get(f"{INFO['url']}/m/vision", trust_env=False).json()["sold"]


@contextlib.contextmanager
def changes(sales, buyer):
    """Demands that the block brought this many sales to `buyer`, paid and earned to the unit."""
    before = sold(), balance(buyer), balance(OFFER["payee"])
    yield
    after = sold(), balance(buyer), balance(OFFER["payee"])
    told = after[0] - before[0], before[1] - after[1], after[2] - before[2]
    assert told == (sales, sales * PRICE, sales * PRICE), f"sold, paid, earned: {told}"


@contextlib.contextmanager
def moves(amount, payer, payee):
    """Demands that the block moved just this much, on the chain."""
    before = balance(payer), balance(payee)
    yield
    after = balance(payer), balance(payee)
    told = before[0] - after[0], after[1] - before[1]
    assert told == (amount, amount), f"paid, earned: {told}"


def settlement(reply):
    """The settlement that an answer tells."""
    return json.loads(base64.b64decode(reply.headers["payment-response"]))
