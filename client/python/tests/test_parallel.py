"""The functions under the names and with the results that handlers know."""

import inspect
import os
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

import hearth
import parallel_storage
import parallel_utils
from hearth import HearthError, get_message_history_parallel, get_relevant_messages_parallel, parallel_preprocessing

from .stand_in import DROP, Answer, TestCase, problem

NAMES = (
    "get_message_history_parallel",
    "get_relevant_messages_parallel",
    "parallel_preprocessing",
    "ParallelExecutor",
    "time_operation",
    "time_operation_with_metrics",
    "log_performance_data",
)
LISTS = ("all_messages", "user_messages", "assistant_messages")
MESSAGES = [{"id": "1", "role": "user", "content": "a", "created_at": "2025-01-01T00:00:00Z"}]


class Names(unittest.TestCase):
    def test_all_three_modules_have_them(self):
        for name in NAMES:
            self.assertIs(getattr(hearth, name), getattr(parallel_utils, name))
            self.assertIs(getattr(hearth, name), getattr(parallel_storage, name))

    def test_signatures(self):
        for function, expected in (
            (get_message_history_parallel, ["chat_id", "num_messages=10", "full_text_len=5"]),
            (get_relevant_messages_parallel, ["chat_id", "text", "count=5"]),
            (parallel_preprocessing, ["chat_id", "text", "route_name", "relevant_count=5", "enable_odoo=False"]),
            (hearth.Client, ["timeout=None", "connect_timeout=1.0", "max_connections=16"]),
            (hearth.ParallelExecutor, ["max_workers=5"]),
            (hearth.ParallelExecutor().execute, ["tasks"]),
            (hearth.ParallelExecutor().execute_with_timeout, ["tasks", "timeout=30.0"]),
            (hearth.ParallelExecutor().execute_batch, ["func", "items", "batch_size"]),
            (hearth.log_performance_data, ["operation=None", "duration_ms=None", "*more", "**fields"]),
        ):
            parameters = inspect.signature(function).parameters.values()
            bare = [str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters]
            self.assertEqual(expected, [text.replace(" = ", "=") for text in bare])

    def test_importing_brings_nothing_heavy(self):
        heavy = (
            "http.client ssl email asyncio inspect hmac hashlib uuid urllib.parse concurrent.futures typing logging dataclasses "
            "contextlib traceback string datetime tempfile subprocess queue hearth.executor hearth.types hearth._message"
        )
        for module in ("hearth", "parallel_utils", "parallel_storage"):
            code = f"import sys, {module}; print(*sorted(set({heavy.split()}) & set(sys.modules)))"
            self.assertEqual("", self.said(code))

    def test_importing_brings_no_more_modules_than_it_must(self):
        code = "import json, socket, sys, threading, weakref, contextvars; before = set(sys.modules); import hearth; "
        code += "print(*sorted(name for name in set(sys.modules) - before if not name.startswith('hearth')))"
        self.assertEqual("__future__", self.said(code))

    def test_the_executor_comes_when_it_is_asked_for(self):
        for module in ("hearth", "parallel_utils", "parallel_storage"):
            code = f"import {module}, sys; print('hearth.executor' in sys.modules); from {module} import *; "
            self.assertEqual("False\n<class 'hearth.executor.ParallelExecutor'>", self.said(code + "print(ParallelExecutor)"))
        with self.assertRaises(AttributeError):
            hearth.Executor  # type: ignore # it does not exist

    def said(self, code):
        """What code prints in an interpreter that has imported nothing yet."""
        here = Path(hearth.__file__).parent.parent
        run = subprocess.run([sys.executable, "-S", "-c", code], cwd=here, capture_output=True, text=True, check=True)
        return run.stdout.strip()


class History(TestCase):
    def test_gives_the_four_lists(self):
        self.hearth.default = Answer(
            {
                "chat_id": "c",
                "msg_history": [{"role": "user", "content": "a"}],
                "all_messages": MESSAGES,
                "user_messages": MESSAGES,
                "assistant_messages": [],
            }
        )
        expected = ([{"role": "user", "content": "a"}], MESSAGES, MESSAGES, [])
        result = get_message_history_parallel("c")
        self.assertIsInstance(result, tuple)
        self.assertEqual(expected, result)
        self.assertEqual(expected, get_message_history_parallel(chat_id="c", num_messages=3, full_text_len=1))
        self.assertEqual("/v1/chats/c/history?num_messages=3&full_text_len=1", self.hearth.seen[-1].target)

    def test_raises_when_it_cannot(self):
        for answer in (problem(502, "Bad Gateway"), problem(400, "Bad Request"), Answer({"msg_history": []})):
            self.hearth.answers.append(answer)
            with self.assertRaises(HearthError):
                get_message_history_parallel("c")
        self.hearth.answers.append(Answer({"msg_history": None, **dict.fromkeys(LISTS, None)}))
        self.assertEqual(([], [], [], []), get_message_history_parallel("new"))
        self.hearth.stop()
        with self.assertRaisesRegex(HearthError, "cannot be reached.*layer") as caught:
            get_message_history_parallel("c")
        self.assertEqual((0, True), (caught.exception.status, caught.exception.retryable))


class Relevant(TestCase):
    def test_gives_the_list(self):
        self.hearth.default = Answer({"relevant_messages": MESSAGES})
        self.assertIs(list, type(get_relevant_messages_parallel("c", "t")))
        self.assertEqual(MESSAGES, get_relevant_messages_parallel("c", "t"))
        self.assertEqual(MESSAGES, get_relevant_messages_parallel(chat_id="c", text="t", count=2))
        self.assertEqual(2, self.hearth.seen[-1].json["count"])

    def test_raises_when_it_cannot(self):
        self.hearth.answers.append(problem(503, "Service Unavailable"))
        with self.assertRaises(HearthError):
            get_relevant_messages_parallel("c", "t")


class Preprocessing(TestCase):
    whole = {
        "chat_id": "c",
        "mute_status": {"muted": True},
        "relevant_messages": MESSAGES,
        "odoo_models": {"res.partner": {"name": "res.partner", "fields": {}}},
        "errors": {},
        "cache": {"mute_status": "hit"},
        "timings": {"mute_status": 1},
    }

    def without(self, *parts, **errors):
        return Answer({**{key: value for key, value in self.whole.items() if key not in parts}, "errors": errors})

    def test_everything(self):
        self.hearth.default = Answer(self.whole)
        expected = {"mute_status": [True], "odoo_models": self.whole["odoo_models"], "relevant_messages": MESSAGES}
        self.assertEqual(expected, parallel_preprocessing("c", "t", "odoo_erp", 3, True))
        self.assertEqual(
            {"chat_id": "c", "text": "t", "route_name": "odoo_erp", "relevant_count": 3, "enable_odoo": True},
            self.hearth.seen[-1].json,
        )
        by_name = parallel_preprocessing(chat_id="c", text="t", route_name="odoo_erp", relevant_count=3, enable_odoo=True)
        self.assertEqual(expected, by_name)

    def test_odoo_not_asked_for_is_empty(self):
        for enable_odoo in (False, True):  # True on a route that has no Odoo
            self.hearth.answers.append(self.without("odoo_models"))
            result = parallel_preprocessing("c", "t", "chat", enable_odoo=enable_odoo)
            self.assertEqual({"mute_status": [True], "odoo_models": {}, "relevant_messages": MESSAGES}, result)

    def test_what_is_empty_may_be_missing_from_the_reply(self):
        for answer in (self.without("relevant_messages", "odoo_models"), Answer({**self.whole, "relevant_messages": None})):
            self.hearth.answers.append(answer)
            result = parallel_preprocessing("c", "t", "chat")
            self.assertEqual(([True], []), (result["mute_status"], result["relevant_messages"]))
            self.assertNotIn("errors", result)

    def test_a_part_that_failed_is_left_out_with_its_reason(self):
        down = {"title": "Bad Gateway", "status": 502, "detail": "refused", "upstream": "odoo"}
        self.hearth.answers.append(self.without("odoo_models", odoo_models=down))
        with self.assertLogs("hearth", "WARNING") as logs:
            result = parallel_preprocessing("c", "t", "odoo_erp", enable_odoo=True)
        self.assertEqual(
            {
                "mute_status": [True],
                "relevant_messages": MESSAGES,
                "errors": {"odoo_models": "502 Bad Gateway: refused (upstream odoo)"},
            },
            result,
        )
        self.assertIn("odoo_models", logs.output[0])

    def test_an_odoo_model_that_failed_leaves_the_others_there(self):
        down = {"title": "No such model", "status": 404, "upstream": "odoo"}
        for parts, expected in (((), self.whole["odoo_models"]), (("odoo_models",), None)):
            self.hearth.answers.append(self.without(*parts, **{"odoo_models.no.such": down}))
            with self.assertLogs("hearth", "WARNING"):
                result = parallel_preprocessing("c", "t", "odoo_erp", enable_odoo=True)
            self.assertEqual({"odoo_models.no.such": "404 No such model (upstream odoo)"}, result["errors"])
            self.assertEqual(expected, result.get("odoo_models"))

    def test_odd_input_is_refused_with_the_fields_name(self):
        class Odd:
            def __str__(self):
                raise RuntimeError("no")

        for value in (None, "", b"c", [], Odd(), float("nan"), "\ud83d", True):
            for call in (
                lambda: get_message_history_parallel(value),
                lambda: get_relevant_messages_parallel(value, "t"),
                lambda: parallel_preprocessing(value, "t", "r"),
            ):
                with self.assertRaises(HearthError) as caught:
                    call()
                self.assertEqual("chat_id", caught.exception.field)
        for value in (b"c", {1}, Odd(), float("nan"), 10**5000):
            for field, call in (
                ("num_messages", lambda: get_message_history_parallel("c", value)),
                ("full_text_len", lambda: get_message_history_parallel("c", 1, value)),
                ("text", lambda: get_relevant_messages_parallel("c", value)),
                ("count", lambda: get_relevant_messages_parallel("c", "t", value)),
                ("text", lambda: parallel_preprocessing("c", value, "r")),
                ("route_name", lambda: parallel_preprocessing("c", "t", value)),
                ("relevant_count", lambda: parallel_preprocessing("c", "t", "r", value)),
                ("enable_odoo", lambda: parallel_preprocessing("c", "t", "r", 5, value)),
            ):
                with self.subTest(field), self.assertRaises(HearthError) as caught:
                    call()
                self.assertEqual(field, caught.exception.field)
        self.assertEqual([], self.hearth.seen)

    def test_a_chat_id_may_be_an_int(self):
        self.hearth.default = Answer({**self.whole, **dict.fromkeys(("msg_history", *LISTS), [])})
        parallel_preprocessing(42, "t", "r")
        self.assertEqual("42", self.hearth.seen[-1].json["chat_id"])
        get_message_history_parallel(-42)
        get_relevant_messages_parallel(42, "t")
        self.assertEqual(["-42", "42"], [seen.target.split("/")[3] for seen in self.hearth.seen[1:]])

    def test_a_mute_status_that_is_missing_is_reported(self):
        self.hearth.answers.append(Answer({"relevant_messages": []}))
        with self.assertLogs("hearth", "WARNING"):
            result = parallel_preprocessing("c", "t", "chat")
        self.assertEqual(
            {"relevant_messages": [], "odoo_models": {}, "errors": {"mute_status": "missing from the reply"}}, result
        )

    def test_fails_open_when_every_part_failed(self):
        errors = {"mute_status": {"title": "Timeout", "status": 504}, "relevant_messages": "late"}
        for answer in (problem(502, "Bad Gateway", errors=errors), Answer({"errors": errors}, 502)):
            self.hearth.answers.append(answer)
            with self.assertLogs("hearth", "WARNING"):
                result = parallel_preprocessing("c", "t", "chat")
            self.assertEqual({"errors": {"mute_status": "504 Timeout", "relevant_messages": "late"}}, result)

    def test_fails_open_when_the_sidecar_is_of_no_use(self):
        for answers in (
            [problem(500, "Internal Server Error")],
            [problem(503, "Service Unavailable")],
            [problem(401, "Unauthorized")],
            [problem(403, "Forbidden")],
            [problem(408, "Request Timeout")],
            [problem(429, "Too Many Requests")],
            [Answer(b"nonsense")],
            [DROP, DROP],
        ):
            with self.subTest(answers), self.assertLogs("hearth", "WARNING"):
                self.hearth.answers += answers
                result = parallel_preprocessing("c", "t", "chat", enable_odoo=True)
                self.assertEqual(["errors"], list(result))
                self.assertEqual({"mute_status", "relevant_messages", "odoo_models"}, set(result["errors"]))
                self.assertEqual([], self.hearth.answers)

    def test_fails_open_when_there_is_no_sidecar(self):
        for addr in (self.closed_port(), "not an address"):
            os.environ["HEARTH_ADDR"] = addr
            self.forget_default_client()
            with self.assertLogs("hearth", "WARNING"):
                result = parallel_preprocessing("c", "t", "chat")
            self.assertEqual({"mute_status", "relevant_messages"}, set(result.pop("errors")))
            self.assertEqual({}, result)

    def test_fails_open_when_the_token_is_none(self):
        os.environ["HEARTH_TOKEN"] = "two\nlines"
        with self.assertLogs("hearth", "WARNING"):
            result = parallel_preprocessing("c", "t", "r")
        self.assertEqual({"mute_status", "relevant_messages"}, set(result["errors"]))
        self.assertIn("HEARTH_TOKEN", result["errors"]["mute_status"])

    def test_a_call_that_is_wrong_raises(self):
        for status in (400, 404, 413, 422):
            self.hearth.answers.append(problem(status, "Wrong", field="text"))
            with self.assertRaises(HearthError):
                parallel_preprocessing("c", "t", "chat")
        with self.assertRaises(HearthError):
            parallel_preprocessing("", "t", "chat")


class DefaultClient(TestCase):
    def test_is_made_once(self):
        start, made, make_one = threading.Barrier(8), [], hearth.Client

        def slowly():
            time.sleep(0.02)
            return make_one()

        self.patch(mock.patch.object(hearth.parallel, "Client", slowly))

        def make():
            start.wait()
            made.append(hearth.default_client())

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((8, 1), (len(made), len(set(made))))

    def test_reads_the_environment_when_it_is_made(self):
        get = lambda: get_relevant_messages_parallel("c", "t")
        self.hearth.default = Answer({"relevant_messages": []})
        os.environ["HEARTH_TOKEN"] = "first"
        get()
        os.environ["HEARTH_TOKEN"] = "second"
        get()
        self.assertEqual(["first", "first"], [seen.headers["x-hearth-token"] for seen in self.hearth.seen])


class Example(TestCase):
    def setUp(self):
        super().setUp()
        folder = Path(hearth.__file__).parents[3] / "examples" / "python"
        if not folder.exists():
            self.skipTest("the example is not here")
        scope: dict[str, Any] = {"__name__": "handler"}
        exec(compile((folder / "handler.py").read_text(), "handler.py", "exec"), scope)
        self.handler = scope["handler"]
        self.muted = False
        self.hearth.default = self.reply

    def reply(self, seen):
        if seen.target == "/v1/preprocess":
            return Answer({"mute_status": {"muted": self.muted}, "relevant_messages": MESSAGES, "errors": {}})
        if "/history" in seen.target:
            lists = {"all_messages": MESSAGES, "user_messages": MESSAGES, "assistant_messages": []}
            return Answer({"msg_history": [{"role": "user", "content": "a"}], **lists})
        return Answer({"ids": ["1", "2"]}, 201)

    def test_answers_and_saves_the_turn(self):
        result = self.handler({"chat_id": "42", "text": "Hello", "route_name": "chat"}, None)
        self.assertEqual((False, 1, True), (result["muted"], result["history"], result["saved"]))
        self.assertIn("Hello", result["reply"])
        sent = self.hearth.seen[-1].json
        self.assertEqual([("user", "Hello"), ("assistant", result["reply"])], [(m["role"], m["content"]) for m in sent])

    def test_says_nothing_where_it_is_muted(self):
        self.muted = True
        self.assertEqual({"reply": None, "muted": True}, self.handler({"chat_id": "42", "text": "Hello"}, None))
        self.assertEqual({"GET", "POST"}, {seen.method for seen in self.hearth.seen})
        self.assertFalse([seen for seen in self.hearth.seen if seen.target.endswith("/messages")])

    def test_answers_without_a_sidecar(self):
        self.hearth.stop()
        with self.assertLogs("hearth"):
            result = self.handler({"chat_id": "42", "text": "Hello"}, None)
        self.assertEqual((0, False), (result["history"], result["saved"]))
        self.assertIn("Hello", result["reply"])
