"""Two people talk through a client that openapi-python-client made from the document.

Generation fails on any warning, so that no operation is left out. Each kind of message and entry is a class here, and an
error is a `Problem`.
"""

import datetime
import os
import threading
import uuid

from tideline_client import AuthenticatedClient, Client
from tideline_client.api.accounts import get_me, register_user
from tideline_client.api.conversations import create_conversation, list_conversations
from tideline_client.api.messages import list_messages, mark_read, search_messages, send_message, send_messages
from tideline_client.api.sync import fetch_inbox, get_unread, wait_notices
from tideline_client.models.create_direct_request import CreateDirectRequest
from tideline_client.models.create_direct_request_kind import CreateDirectRequestKind
from tideline_client.models.custom_message import CustomMessage
from tideline_client.models.list_conversations_order import ListConversationsOrder
from tideline_client.models.mark_read_request import MarkReadRequest
from tideline_client.models.message_entry import MessageEntry
from tideline_client.models.problem import Problem
from tideline_client.models.read_entry import ReadEntry
from tideline_client.models.register_request import RegisterRequest
from tideline_client.models.send_custom import SendCustom
from tideline_client.models.send_custom_content import SendCustomContent
from tideline_client.models.send_custom_kind import SendCustomKind
from tideline_client.models.send_messages_request import SendMessagesRequest
from tideline_client.models.send_text import SendText
from tideline_client.models.send_text_kind import SendTextKind
from tideline_client.models.session import Session
from tideline_client.models.text_content import TextContent
from tideline_client.models.text_message import TextMessage

BASE = os.environ["TIDELINE_URL"]


def sign_up(name):
    person = RegisterRequest(username=f"{name}_{uuid.uuid4().hex[:12]}", password=uuid.uuid4().hex)
    session = register_user.sync(client=Client(base_url=BASE), body=person)
    assert isinstance(session, Session), session
    return session, AuthenticatedClient(base_url=BASE, token=session.access_token, timeout=75)


def text(words):
    return SendText(client_msg_id=uuid.uuid4(), kind=SendTextKind.TEXT, content=TextContent(text=words))


(ann_session, ann), (ben_session, ben) = sign_up("ann"), sign_up("ben")
assert get_me.sync(client=ann).id == ann_session.user.id

with_ben = CreateDirectRequest(kind=CreateDirectRequestKind.DIRECT, user_id=ben_session.user.id)
chat = create_conversation.sync(client=ann, body=with_ben)
assert chat.peer.id == ben_session.user.id and chat.last_message is None

start = list_conversations.sync(client=ben, order=ListConversationsOrder.ID)
since, epoch = start.inbox_seq, start.epoch
assert [one.id for one in start.conversations] == [chat.id]

notices = []
waiting = threading.Thread(target=lambda: notices.append(
    wait_notices.sync(client=ben, since_seq=since, epoch=epoch, timeout=20)))
waiting.start()
first = text("generated")
sent = send_message.sync_detailed(id=chat.id, client=ann, body=first)
assert sent.status_code == 201 and isinstance(sent.parsed, TextMessage), sent
assert isinstance(sent.parsed.created_at, datetime.datetime)
again = send_message.sync_detailed(id=chat.id, client=ann, body=first)
assert again.status_code == 200 and again.parsed == sent.parsed
waiting.join(30)
assert notices and notices[0].news and notices[0].total_unread == 1, notices

page = fetch_inbox.sync(client=ben, since_seq=since, epoch=epoch)
assert [type(entry) for entry in page.entries] == [MessageEntry]
assert page.entries[0].message == sent.parsed and page.entries[0].unread == 1

order = SendCustomContent.from_dict({"order": {"id": 17}})
custom = SendCustom(client_msg_id=uuid.uuid4(), kind=SendCustomKind.CUSTOM, content=order)
batch = send_messages.sync(id=chat.id, client=ben, body=SendMessagesRequest(messages=[text(""), custom]))
assert [one.status for one in batch.results] == [400, 201]
assert isinstance(batch.results[0].problem, Problem) and batch.results[0].problem.code == "validation"

history = list_messages.sync(id=chat.id, client=ann)
assert [type(one) for one in history.messages] == [TextMessage, CustomMessage]
assert history.messages[1].content.to_dict() == {"order": {"id": 17}}

assert mark_read.sync(id=chat.id, client=ann, body=MarkReadRequest(seq=2)).total_unread == 0
assert get_unread.sync(client=ann).total == 0
last = fetch_inbox.sync(client=ann, since_seq=0).entries[-1]
assert isinstance(last, ReadEntry) and last.read_seq == 2

found = search_messages.sync(client=ben, q="gener")
assert found.complete and [one.message for one in found.results] == history.messages[:1]
place = found.results[0].highlights[0]
assert first.content.text[place.start:place.start + place.length] == "gener"

nowhere = send_message.sync(id=uuid.uuid4(), client=ann, body=text("nobody"))
assert isinstance(nowhere, Problem) and nowhere.code == "not_found"
print("python: a generated client signs up, waits, sends, fetches, searches and reads errors")
