"""PyPI a2a-sdk discovers the vision machine, hires it, pays by x402's extension with PyPI x402, listens and calls off."""

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "harness"))
from claims import claim, done  # noqa: E402  (must come before anything that connects)

import httpx  # noqa: E402
from a2a.client import ClientConfig, ClientFactory  # noqa: E402
from a2a.helpers.proto_helpers import new_message, new_raw_part, new_text_part  # noqa: E402
from a2a.types.a2a_pb2 import CancelTaskRequest, GetTaskRequest, SendMessageRequest, TaskState  # noqa: E402
from economy import INFO, PRICE, changes, machina, photograph  # noqa: E402
from eth_account import Account  # noqa: E402
from google.protobuf.json_format import MessageToDict, ParseDict  # noqa: E402
from x402 import x402Client  # noqa: E402
from x402.mechanisms.evm import EthAccountSigner  # noqa: E402
from x402.mechanisms.evm.exact.register import register_exact_evm_client  # noqa: E402
from x402.schemas import PaymentRequired  # noqa: E402

STATUS, REQUIRED, PAYLOAD = (f"x402.payment.{name}" for name in ("status", "required", "payload"))
CAT = photograph("chelsea.png")


def request(parts, task_id=None, metadata=None):
    """A message of ours."""
    message = new_message(parts)
    message.role = 1
    if task_id is not None:
        message.task_id = task_id
    if metadata is not None:
        ParseDict(metadata, message.metadata)
    return SendMessageRequest(message=message)


async def last(client, sent):
    """The task as it rests, and the kinds of all that was told."""
    kinds, task_id = [], None
    async for told in client.send_message(sent):
        kind = told.WhichOneof("payload")
        kinds.append(kind)
        value = getattr(told, kind)
        task_id = value.id if kind == "task" else value.task_id
    return await client.get_task(GetTaskRequest(id=task_id)), kinds


def said(task):
    """What the task says of its payment."""
    return MessageToDict(task.status.message.metadata)


async def main():
    account = Account.create()
    machina("fund", account.address, "1")
    sdk = x402Client()
    register_exact_evm_client(sdk, EthAccountSigner(account))
    sdk.set_spend_controls(False)

    async def pay(task):
        quote = PaymentRequired.model_validate(said(task)[REQUIRED])
        payment = await sdk.create_payment_payload(quote)
        return {STATUS: "payment-submitted", PAYLOAD: json.loads(payment.model_dump_json(by_alias=True, exclude_none=True))}

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:
        for streaming in (False, True):
            name = "streaming" if streaming else "asking"
            config = ClientConfig(httpx_client=http, streaming=streaming)
            client = await ClientFactory(config).create_from_url(f"{INFO['url']}/m/vision")
            with claim(f"{name}: work without a payment makes a task that asks for its price"):
                with changes(0, account.address):
                    asked, kinds = await last(client, request([new_raw_part(CAT, media_type="image/png")]))
                assert kinds[0] == "task", kinds
                assert asked.status.state == TaskState.TASK_STATE_INPUT_REQUIRED, asked.status
                assert said(asked)[REQUIRED]["accepts"][0]["amount"] == str(PRICE)
            with claim(f"{name}: paid, the task is done, once and at the price"):
                with changes(1, account.address):
                    paid = request([new_text_part("Here is the money.")], asked.id, await pay(asked))
                    task, _ = await last(client, paid)
                assert task.status.state == TaskState.TASK_STATE_COMPLETED, task.status
                assert said(task)[STATUS] == "payment-completed"
                assert "cat" in json.dumps(MessageToDict(task.artifacts[0]))
            with claim(f"{name}: a task that is not paid is called off, and costs nothing"):
                with changes(0, account.address):
                    asked, _ = await last(client, request([new_raw_part(CAT, media_type="image/png")]))
                    ended = await client.cancel_task(CancelTaskRequest(id=asked.id))
                assert ended.status.state == TaskState.TASK_STATE_CANCELED, ended.status


asyncio.run(main())
done()
