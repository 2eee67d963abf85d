"""Gives schemathesis existing data: valid input gets existing ids, so that it is not rejected as unknown.

Intentionally invalid input is not changed.
"""

import atexit
import json
import os
import random

import schemathesis
from schemathesis.generation import GenerationMode

WORLD = json.loads(os.environ["TIDELINE_WORLD"])

# Repeatable, and independent for each parameter: taking turns would leave out combinations.
CHOICE = random.Random(1)


def turn(values):
    """One of the values; about every fifth stays random and unknown."""
    return None if CHOICE.random() < 0.2 else CHOICE.choice(values)


def is_good(case, part):
    meta = case.meta
    if meta is None:
        return False
    info = {location.value: info for location, info in meta.components.items()}.get(part)
    # Fixed values are valid.
    return info is None or info.mode == GenerationMode.POSITIVE


def put(parameters, name, values):
    if name in parameters:
        value = turn(values)
        if value is not None:
            parameters[name] = value


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw.get("operationId")
    if is_good(case, "path") and case.path_parameters:
        path = dict(case.path_parameters)
        if operation == "get_user":
            put(path, "id", WORLD["users"])
        elif operation == "remove_member":
            # The caller's own groups: elsewhere few may be removed.
            put(path, "id", WORLD["conversations"][:2])
        else:
            put(path, "id", WORLD["conversations"])
        put(path, "desk_id", WORLD["desks"])
        # Never the caller, who would leave the group and be unable to go on.
        put(path, "user_id", WORLD["users"])
        # The first messages are recalled early, and those cannot be pinned.
        is_pin = operation in ("pin_message", "unpin_message")
        put(path, "seq", [4, 5, 6, 7] if is_pin else [1, 2, 3])
        case.path_parameters = path
    if is_good(case, "query") and case.query:
        query = dict(case.query)
        put(query, "since_seq", [0, 1, 2])
        put(query, "before_seq", [1, 2, 9])
        put(query, "epoch", [WORLD["epoch"]])
        put(query, "ids", [",".join(WORLD["users"])])
        put(query, "username", ["seed1"])
        if operation == "list_users" and "ids" in query:
            query.pop("username", None)
        if "since_seq" in query:
            query.pop("before_seq", None)
        query.pop("cursor", None)
        case.query = query
    if is_good(case, "body") and isinstance(case.body, dict):
        body = dict(case.body)
        put(body, "user_id", WORLD["users"])
        put(body, "user_ids", [WORLD["users"][:2], WORLD["users"][2:]])
        put(body, "member_ids", [[], WORLD["users"]])
        put(body, "seq", [0, 1, 2])
        if operation in ("add_seat", "update_seat"):
            put(body, "skills", [[], ["sales"], ["sales", "returns"]])
        if operation == "add_desk_skills":
            put(body, "skills", [["returns", "sales"], ["returns", "sales", "chinese"]])
        put(body, "refresh_token", WORLD["refresh_tokens"])
        if operation == "login_user":
            put(body, "username", ["ann"])
            put(body, "password", ["correct horse"])
        case.body = body


# The statuses that each operation has answered.
ANSWERS = {}


@atexit.register
def tell():
    with open(os.environ["TIDELINE_ANSWERS"], "w", encoding="utf-8") as file:
        json.dump({operation: sorted(statuses) for operation, statuses in ANSWERS.items()}, file)


@schemathesis.hook
def after_call(context, case, response):
    operation = case.operation.definition.raw.get("operationId")
    ANSWERS.setdefault(operation, set()).add(response.status_code)
    # A refresh token works once: use the next one.
    if response.status_code in (200, 201) and b'"refresh_token"' in response.content:
        WORLD["refresh_tokens"][:] = [json.loads(response.content)["refresh_token"]]
