"""What goes out for each call, and what comes back."""

import copy
import enum
import itertools
import contextlib
import json
import os
import pickle
import re
import urllib.parse
from datetime import datetime, timedelta, timezone
from typing import Any, get_args
from unittest import mock

from hearth import Client, HearthError
from hearth.errors import KINDS
from hearth.types import KindName

from .stand_in import DROP, Answer, TestCase, problem, wrong

MESSAGES = [{"id": "1", "role": "user", "content": "hi", "score": 0.5}]
AWKWARD = {
    "quotes": "it's \"me\"",
    "newline": "a\r\nX-Evil: 1\n",
    "slashes": "a//b/../victim",
    "encoded slash": "x%2F..%2Fvictim",
    "dots inside": "..a..",
    "three dots": "...",
    "query": "a?b=c&d#e",
    "space and plus": "a b+c",
    "emoji": "💬🇫🇮",
    "nul": "a\0b",
    "512 bytes": "ä" * 256,
    "plain": "user-1_2.3~4",
}


class Calls(TestCase):
    def asked(self, call, answer=None):
        if answer is not None:
            self.hearth.answers.append(Answer(answer))
        result = call(self.client())
        return self.hearth.seen[-1], result

    def test_history(self):
        reply = {"chat_id": "c", "msg_history": []}
        seen, result = self.asked(lambda c: c.history("c"), reply)
        self.assertEqual(("GET", "/v1/chats/c/history?num_messages=10&full_text_len=5"), seen[:2])
        self.assertEqual(reply, result)
        self.assertEqual(b"", seen.body)
        self.assertNotIn("cache-control", seen.headers)
        self.assertNotIn("content-type", seen.headers)

        seen, _ = self.asked(lambda c: c.history("c", 3, 0, "no-cache"))
        self.assertEqual("/v1/chats/c/history?num_messages=3&full_text_len=0", seen.target)
        self.assertEqual("no-cache", seen.headers["cache-control"])

    def test_relevant(self):
        found = [{"id": "1", "role": "user", "content": "hi", "score": 0.5}]
        seen, result = self.asked(lambda c: c.relevant("c", "hi"), {"relevant_messages": found})
        self.assertEqual(("POST", "/v1/chats/c/relevant"), seen[:2])
        self.assertEqual({"text": "hi", "count": 5, "mode": "auto"}, seen.json)
        self.assertIsNone(result.mode)
        self.assertEqual("application/json", seen.headers["content-type"])
        self.assertEqual(found, result)

        seen, _ = self.asked(
            lambda c: c.relevant("c", "hi", 2, mode="hybrid", vector=(1, 0.5), roles=("user",), cache_control="no-store"),
            {"relevant_messages": []},
        )
        self.assertEqual({"text": "hi", "count": 2, "mode": "hybrid", "vector": [1.0, 0.5], "roles": ["user"]}, seen.json)
        self.assertEqual("no-store", seen.headers["cache-control"])
        for roles in ("user", ["user"], iter(["user"]), {"user": 1}):
            seen, _ = self.asked(lambda c: c.relevant("c", "hi", roles=roles), {"relevant_messages": []})
            self.assertEqual("user" if roles == "user" else ["user"], seen.json["roles"])

    def test_relevant_says_which_mode_was_used(self):
        for found in (MESSAGES, [], None):
            _, result = self.asked(lambda c: c.relevant("c", "hi"), {"mode": "bm25", "relevant_messages": found})
            self.assertEqual(("bm25", found or []), (result.mode, result))
            for again in (pickle.loads(pickle.dumps(result)), copy.copy(result)):
                self.assertEqual((result, "bm25"), (again, again.mode))

    def test_mute(self):
        seen, result = self.asked(lambda c: c.mute("c"), {"muted": True, "until": "2030-01-01T00:00:00Z"})
        self.assertEqual(("GET", "/v1/chats/c/mute"), seen[:2])
        self.assertEqual({"muted": True, "until": "2030-01-01T00:00:00Z"}, result)

        seen, _ = self.asked(lambda c: c.set_mute("c", False))
        self.assertEqual(("PUT", "/v1/chats/c/mute", {"muted": False}), (*seen[:2], seen.json))
        until = datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        seen, _ = self.asked(lambda c: c.set_mute("c", True, until))
        self.assertEqual({"muted": True, "until": "2030-01-01T00:00:00.000000Z"}, seen.json)
        seen, _ = self.asked(lambda c: c.set_mute("c", True, "2030-01-01T00:00:00+02:00"))
        self.assertEqual({"muted": True, "until": "2030-01-01T00:00:00+02:00"}, seen.json)

    def test_preprocess(self):
        seen, result = self.asked(lambda c: c.preprocess("c", "hi", "route"), {"mute_status": {"muted": False}})
        self.assertEqual(("POST", "/v1/preprocess"), seen[:2])
        plain = {"chat_id": "c", "text": "hi", "route_name": "route", "relevant_count": 5, "enable_odoo": False}
        self.assertEqual(plain, seen.json)
        self.assertEqual({"mute_status": {"muted": False}}, result)

        more = {"num_messages": 7, "full_text_len": 2, "timeout_ms": 900, "vector": [0.25]}
        seen, _ = self.asked(lambda c: c.preprocess("c", "hi", "route", 3, True, cache_control="max-stale=9", **more))
        self.assertEqual({**plain, "relevant_count": 3, "enable_odoo": True, **more}, seen.json)
        self.assertEqual("max-stale=9", seen.headers["cache-control"])

    def test_batch(self):
        answers = [{"id": "0", "status": 200, "headers": {}, "body": {"muted": False}}, {"id": "b", "status": 404, "headers": {}, "body": None}]
        requests = [
            {"method": "GET", "path": Client.chat_path("a/b", "mute"), "headers": {"Cache-Control": "no-cache"}},
            {"id": "b", "method": "POST", "path": "/v1/preprocess", "body": {"chat_id": "c"}, "timeout_ms": 5},
        ]
        seen, result = self.asked(lambda c: c.batch(iter(requests)), {"responses": answers})
        self.assertEqual(("POST", "/v1/batch"), seen[:2])
        self.assertEqual({"requests": [{"id": "0", "method": "GET", "path": "/v1/chats/a%2Fb/mute", "headers": {"Cache-Control": "no-cache"}}, requests[1]]}, seen.json)
        self.assertEqual(answers, result)
        seen, _ = self.asked(lambda c: c.batch(requests, timeout_ms=900, max_parallel=1), {"responses": []})
        self.assertEqual((900, 1), (seen.json["timeout_ms"], seen.json["max_parallel"]))
        self.assertNotIn("id", requests[0])
        unfit: Any = [{"method": "GET", "path": "/v1/x", "body": object()}]
        for bad in wrong(unfit, [1], 1, requests[0], None):
            with self.assertRaises(HearthError) as caught:
                self.client().batch(bad)
            self.assertEqual("requests", caught.exception.field)

    def test_a_batch_is_sent_again_only_if_it_holds_no_write(self):
        for method, path, times in (
            ("GET", "/v1/odoo/models", 2),
            ("POST", "/v1/preprocess?a", 2),
            ("POST", "/v1/chats/c/relevant", 2),
            ("POST", "/v1/chats/c/messages", 1),
            ("PUT", "/v1/chats/c/mute", 1),
        ):
            self.hearth.answers[:] = [DROP, Answer({"responses": []})]
            before = len(self.hearth.seen)
            try:
                self.client().batch([{"method": "GET", "path": "/v1/x"}, {"method": method, "path": path}])
            except HearthError as error:
                self.assertIn("not known", error.detail)
            self.assertEqual(times, len([s for s in self.hearth.seen[before:] if s.target == "/v1/batch"]), path)

    def test_fetch(self):
        url = "https://api.test/a"
        answer = {"status": 200, "headers": {"Content-Type": "text/plain"}, "body": "ä"}
        seen, result = self.asked(lambda c: c.fetch(url), answer)
        self.assertEqual(("POST", "/v1/fetch"), seen[:2])
        self.assertEqual({"url": url, "method": "GET"}, seen.json)
        self.assertEqual(answer, result)
        self.assertEqual("ä".encode(), result.content)
        more: Any = {"method": "POST", "headers": {"a": "b"}, "body": "text", "timeout_ms": 900}
        seen, result = self.asked(
            lambda c: c.fetch(url, cache_control="no-cache", **more), {**answer, "body": "", "body_base64": "/w=="}
        )
        self.assertEqual({"url": url, **more}, seen.json)
        self.assertEqual("no-cache", seen.headers["cache-control"])
        self.assertEqual(b"\xff", result.content)
        for body in b"\xff", bytearray(b"\xff"):
            seen, _ = self.asked(lambda c, body=body: c.fetch(url, "PUT", body=body), answer)
            self.assertEqual({"url": url, "method": "PUT", "body_base64": "/w=="}, seen.json)
        for bad in wrong({"a": 1}, 5):
            with self.assertRaises(HearthError) as caught:
                self.client().fetch(url, "POST", body=bad)
            self.assertEqual("body", caught.exception.field)

    def test_a_fetch_that_may_change_something_is_sent_once(self):
        for method, times in (("GET", 2), ("HEAD", 2), ("OPTIONS", 2), ("POST", 1), ("PUT", 1), ("PATCH", 1), ("DELETE", 1)):
            for start in False, True:
                self.hearth.answers[:] = [DROP, Answer({"status": 200, "headers": {}, "body": "", "job": "j"})]
                before = len(self.hearth.seen)
                with contextlib.suppress(HearthError):
                    (self.client().start_fetch if start else self.client().fetch)("https://api.test/", method)
                self.assertEqual(times, len([s for s in self.hearth.seen[before:] if s.target == "/v1/fetch"]), method)

    def test_a_job_that_is_gone_after_a_broken_answer_says_so(self):
        gone = Answer({"type": "/docs/errors.md#no-such-job", "title": "No such job", "status": 404, "detail": "read"}, 404, "application/problem+json")
        for broke in (True, False):
            self.hearth.answers[:] = [DROP, gone] if broke else [gone]
            with self.assertRaises(HearthError) as caught:
                self.client().job("j")
            self.assertEqual(("no-such-job", broke), (caught.exception.kind, "broke" in str(caught.exception)))

    def test_a_job(self):
        seen, job = self.asked(lambda c: c.start_fetch("https://api.test/", "POST", body="x"), {"job": "JOB"})
        self.assertEqual({"url": "https://api.test/", "method": "POST", "body": "x", "async": True}, seen.json)
        self.assertEqual("JOB", job)
        seen, result = self.asked(lambda c: c.job(job), {"job": "JOB"})
        self.assertEqual(("GET", "/v1/jobs/JOB?wait_ms=0"), seen[:2])
        self.assertIsNone(result)
        seen, result = self.asked(lambda c: c.job("a/b", 30_000), {"status": 404, "headers": {}, "body": "none"})
        self.assertEqual("/v1/jobs/a%2Fb?wait_ms=30000", seen.target)
        self.assertEqual((404, b"none"), (result["status"], result.content))

    def test_preprocess_tells_the_sidecar_the_clients_timeout(self):
        for timeout, timeout_ms in ((2.5, 2500), (5000, 900_000)):
            self.client(timeout=timeout).preprocess("c", "hi", "route")
            self.assertEqual(timeout_ms, self.hearth.seen[-1].json["timeout_ms"])
        with mock.patch("hearth._transport.Transport.request", side_effect=HearthError(0, "stop")) as request:
            with self.assertRaises(HearthError):
                self.client(timeout=0.0001).preprocess("c", "hi", "route")
            self.assertIn(b'"timeout_ms":1}', request.call_args[0][3])

    def test_preprocess_waits_a_little_longer_than_the_sidecar(self):
        with mock.patch("hearth._transport.Transport.request", side_effect=HearthError(0, "stop")) as request:
            for timeout_ms, patience in ((500, 1.5), (None, 31)):
                with self.assertRaises(HearthError):
                    self.client().preprocess("c", "hi", "route", timeout_ms=timeout_ms)
                self.assertEqual(patience, request.call_args[0][4])

    def test_odoo(self):
        models = {"res.partner": {"name": "res.partner", "fields": {}}}
        seen, result = self.asked(lambda c: c.odoo_models(), {"models": models})
        self.assertEqual(("GET", "/v1/odoo/models"), seen[:2])
        self.assertEqual(models, result)
        self.assertEqual({}, result.errors)
        gone = {"title": "Odoo refused", "status": 404, "detail": "the model x does not exist", "upstream": "odoo"}
        _, result = self.asked(lambda c: c.odoo_models(), {"models": models, "errors": {"x": gone}})
        self.assertEqual((models, ["x"], 404), (result, list(result.errors), result.errors["x"].status))
        for names in (["res.partner", "x&y"], "res.partner,x&y"):
            seen, _ = self.asked(lambda c: c.odoo_models(names), {"models": {}})
            self.assertEqual("/v1/odoo/models?names=res.partner%2Cx%26y", seen.target)

        seen, result = self.asked(lambda c: c.odoo_call("res.partner", "search", [[["id", ">", 1]]], {"limit": 2}), {"result": [7]})
        self.assertEqual(("POST", "/v1/odoo/call"), seen[:2])
        self.assertEqual(
            {"model": "res.partner", "method": "search", "args": [[["id", ">", 1]]], "kwargs": {"limit": 2}}, seen.json
        )
        self.assertEqual([7], result)
        seen, result = self.asked(lambda c: c.odoo_call("res.partner", "action"), {"result": None})
        self.assertEqual({"model": "res.partner", "method": "action"}, seen.json)
        self.assertIsNone(result)

    def test_odoo_models_that_cannot_be_read_leave_the_others_alone(self):
        models = {"res.partner": {"name": "Contact", "fields": {}}}
        errors = {"no.such": {"title": "No such model", "status": 404, "upstream": "odoo"}}
        with self.assertLogs("hearth", "WARNING") as logs:
            _, result = self.asked(lambda c: c.odoo_models(["res.partner", "no.such"]), {"models": models, "errors": errors})
        self.assertEqual(models, result)
        self.assertIn("no.such", logs.output[0])
        self.assertIn("404 No such model", logs.output[0])

    def test_drop_cache(self):
        for arguments, target in (
            ({}, "/v1/cache"),
            ({"chat": "a/b c"}, "/v1/cache?chat=a%2Fb%20c"),
            ({"model": "res.partner"}, "/v1/cache?model=res.partner"),
        ):
            seen, result = self.asked(lambda c: c.drop_cache(**arguments), {"dropped": 3})
            self.assertEqual(("DELETE", target), seen[:2])
            self.assertEqual(3, result)
        with self.assertRaises(HearthError):  # an empty name must not become "everything"
            self.client().drop_cache(chat="")
        self.assertEqual(3, len(self.hearth.seen))

    def test_the_sidecar_itself(self):
        targets = {"healthz": "/healthz", "readyz": "/readyz", "debug_cache": "/debug/cache", "debug_pools": "/debug/pools"}
        targets["debug_invocations"] = "/debug/invocations"
        for name, target in targets.items():
            seen, result = self.asked(lambda c: getattr(c, name)(), {"at": target})
            self.assertEqual(("GET", target), seen[:2])
            self.assertEqual({"at": target}, result)

    def test_advice(self):
        advice = [{"rule": "workers", "text": "Set it.", "setting": "HEARTH_WORKERS", "suggestion": "8"}]
        seen, result = self.asked(lambda c: c.debug_advice(), {"advice": advice})
        self.assertEqual(("GET", "/debug/advice"), seen[:2])
        self.assertEqual(advice, result)

    def test_a_chat_id_is_one_segment_whatever_it_holds(self):
        client = self.client()
        for name, chat_id in AWKWARD.items():
            with self.subTest(name):
                client.mute(chat_id)
                seen = self.hearth.seen[-1]
                self.assertEqual(f"/v1/chats/{urllib.parse.quote(chat_id, safe='')}/mute", seen.target)
                self.assertEqual(chat_id, urllib.parse.unquote(seen.target.split("/")[3]))
                self.assertNotIn("x-evil", seen.headers)
                client.preprocess(chat_id, "hi", "route")
                self.assertEqual(chat_id, self.hearth.seen[-1].json["chat_id"])
        for chat_id, segment in ((".", "%2E"), ("..", "%2E%2E")):
            client.mute(chat_id)
            self.assertEqual(f"/v1/chats/{segment}/mute", self.hearth.seen[-1].target)

    def test_a_chat_id_that_would_become_another_is_not_sent(self):
        for chat_id in wrong(
            "", None, True, False, 1.0, b"c", [], {}, object(), "half an emoji \ud83d", "ä" * 257, 10**600, 10**5000
        ):
            for call in ("history", "mute"):
                with self.subTest(chat_id=chat_id, call=call), self.assertRaises(HearthError) as caught:
                    getattr(self.client(), call)(chat_id)
                self.assertEqual((400, "chat_id"), (caught.exception.status, caught.exception.field))
            with self.assertRaises(HearthError):
                self.client().preprocess(chat_id, "hi", "route")
        self.assertEqual([], self.hearth.seen)

    def test_a_chat_id_that_is_an_int_is_its_decimal_string(self):
        class Number:
            """As of numpy."""

            def __index__(self):
                return 42

        class Id(enum.IntEnum):
            GROUP = 42

        calls = {
            "/v1/chats/{}/history?num_messages=10&full_text_len=5": (lambda c, chat: c.history(chat), None),
            "/v1/chats/{}/relevant": (lambda c, chat: c.relevant(chat, "t"), {"relevant_messages": []}),
            "/v1/chats/{}/mute": (lambda c, chat: c.mute(chat), None),
            "/v1/chats/{}/mute ": (lambda c, chat: c.set_mute(chat, True), None),
            "/v1/chats/{}/messages": (lambda c, chat: c.append(chat, {"role": "user"}), {"ids": []}),
            "/v1/cache?chat={}": (lambda c, chat: c.drop_cache(chat), {"dropped": 0}),
        }
        for chat_id, text in ((42, "42"), (-1001, "-1001"), (0, "0"), (2**70, str(2**70)), (Number(), "42"), (Id.GROUP, "42")):
            for target, (call, answer) in calls.items():
                with self.subTest(target, chat_id=chat_id):
                    seen, _ = self.asked(lambda c: call(c, chat_id), answer)
                    self.assertEqual(target.strip().format(text), seen.target)
            seen, _ = self.asked(lambda c: c.preprocess(chat_id, "t", "r"))
            self.assertEqual(text, seen.json["chat_id"])

    def test_half_an_emoji_in_a_text_does_not_stop_it(self):
        seen, _ = self.asked(lambda c: c.relevant("c", "ok 👍 \ud83d"), {"relevant_messages": []})
        self.assertEqual("ok 👍 ?", seen.json["text"])

    def test_a_header_cannot_be_smuggled_in(self):
        for header in wrong("no-cache\r\nX-Evil: 1", "\n", "\t", "no\0", "\x7f", "\ud83d", "ä", 5, b"no-cache"):
            with self.assertRaises(HearthError) as caught:
                self.client().history("c", cache_control=header)
            self.assertEqual("cache_control", caught.exception.field)
        self.assertEqual([], self.hearth.seen)

    def test_a_trace_that_no_header_can_carry_stays_here(self):
        os.environ["_X_AMZN_TRACE_ID"] = "Root=1\nX-Evil: 1"
        self.client().mute("c")
        self.assertNotIn("x-amzn-trace-id", self.hearth.seen[-1].headers)

    def test_the_trace_of_the_invocation_goes_along(self):
        client = self.client()
        client.mute("c")
        self.assertNotIn("x-amzn-trace-id", self.hearth.seen[-1].headers)
        os.environ["_X_AMZN_TRACE_ID"] = "Root=1-2-3"
        client.mute("c")
        self.assertEqual("Root=1-2-3", self.hearth.seen[-1].headers["x-amzn-trace-id"])

    def test_proxies_are_ignored(self):
        dead = f"http://{self.closed_port()}"
        with mock.patch.dict(os.environ, {"http_proxy": dead, "HTTP_PROXY": dead, "all_proxy": dead}):
            self.client().mute("c")
        self.assertEqual("/v1/chats/c/mute", self.hearth.seen[-1].target)


class Append(TestCase):
    def setUp(self):
        super().setUp()
        self.hearth.default = Answer({"ids": ["1", "2", "3", "4"]}, 201)

    def test_an_id_that_would_become_another_is_not_sent(self):
        message = {"role": "user", "content": "hi", "id": "half an emoji \ud83d"}
        for messages, field in ((message, "id"), ([{"role": "user"}, message], "[1].id")):
            with self.assertRaises(HearthError) as caught:
                self.client().append("c", messages)
            self.assertEqual((400, field), (caught.exception.status, caught.exception.field))
        self.assertEqual([], self.hearth.seen)

    def test_one_and_several(self):
        self.assertEqual(["1", "2", "3", "4"], self.client().append("c", {"role": "user", "content": "hi"}))
        seen = self.hearth.seen[-1]
        self.assertEqual(("POST", "/v1/chats/c/messages"), seen[:2])
        self.assertEqual(("user", "hi"), (seen.json["role"], seen.json["content"]))
        self.client().append("c", [{"role": "user", "content": "hi"}])
        self.assertEqual(["hi"], [message["content"] for message in self.hearth.seen[-1].json])

    def test_fills_in_what_makes_a_repetition_harmless(self):
        given = [{"role": "user", "content": str(n)} for n in range(50)]
        before = datetime.now(timezone.utc)
        self.client().append("c", given)
        after = datetime.now(timezone.utc) + timedelta(microseconds=50)
        sent = self.hearth.seen[-1].json
        self.assertEqual([{"role": "user", "content": str(n)} for n in range(50)], given, "the caller's own were changed")
        self.assertEqual(50, len({message["id"] for message in sent}))
        for message in sent:
            self.assertRegex(message["id"], r"^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$")
            self.assertRegex(message["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        times = [datetime.fromisoformat(message["created_at"].replace("Z", "+00:00")) for message in sent]
        self.assertEqual(sorted(set(times)), times)
        self.assertTrue(before <= times[0] and times[-1] <= after)

    def test_keeps_what_is_given(self):
        given = {"role": "user", "content": "hi", "id": "mine", "created_at": "2020-01-01T00:00:00Z"}
        given = {**given, "vector": [1], "properties": {"a": 1}}
        self.client().append("c", given)
        self.assertEqual(given, self.hearth.seen[-1].json)
        self.client().append("c", {**given, "created_at": datetime(2020, 1, 1, tzinfo=timezone.utc)})
        self.assertEqual("2020-01-01T00:00:00.000000Z", self.hearth.seen[-1].json["created_at"])

    def test_an_answer_comes_after_a_question_that_was_dated_ahead(self):
        ahead = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=1)
        self.client().append(
            "c",
            [
                {"role": "user", "content": "a", "created_at": ahead},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "c", "created_at": "2020-01-01T00:00:00Z"},
                {"role": "assistant", "content": "d"},
            ],
        )
        first, second, third, fourth = (message["created_at"] for message in self.hearth.seen[-1].json)
        self.assertEqual(re.sub(r"000000Z$", "000001Z", first), second)
        self.assertEqual("2020-01-01T00:00:00Z", third)
        self.assertEqual(re.sub(r"000000Z$", "000002Z", first), fourth)


class Errors(TestCase):
    def fails(self, answer):
        self.hearth.answers.append(answer)
        with self.assertRaises(HearthError) as caught:
            self.client().history("c")
        return caught.exception

    def test_a_problem_report(self):
        error = self.fails(problem(502, "Bad Gateway", detail="weaviate:\n refused", upstream="weaviate", retryable=True))
        self.assertEqual((502, "Bad Gateway", "weaviate:\n refused", "/errors/502", None, "weaviate", True),
                         (error.status, error.title, error.detail, error.type, error.field, error.upstream, error.retryable))
        self.assertEqual("502 Bad Gateway: weaviate: refused (upstream weaviate)", str(error))

        error = self.fails(problem(400, "Bad Request", detail="too many", field="num_messages"))
        self.assertEqual(("num_messages", None, False), (error.field, error.upstream, error.retryable))
        self.assertEqual("400 Bad Request: too many (field num_messages)", str(error))

    def test_the_replys_own_status_counts(self):
        error = self.fails(Answer({"title": "Busy", "status": 200, "retryable": 1}, 503))
        self.assertEqual((503, "503 Busy", False), (error.status, str(error), error.retryable))
        error = HearthError.of_problem({"status": 404, "detail": "d"})
        self.assertEqual((404, "404 Error: d"), (error.status, str(error)))

    def test_its_kind(self):
        self.assertEqual(set(get_args(KindName)), set(KINDS))
        for kind, usual in KINDS.items():
            error = self.fails(problem(usual.status, usual.title, type=f"/docs/errors.md#{kind}", retryable=usual.retryable))
            self.assertEqual((kind, usual.retryable), (error.kind, error.retryable))
        for other in ("about:blank", "", "https://example.com/docs/errors.md#timeout"):
            self.assertEqual("", self.fails(problem(500, "Error", type=other)).kind)
        with self.assertRaises(HearthError) as caught:
            self.client().mute("")
        self.assertEqual(("bad-field", 400, "A field is wrong"), (caught.exception.kind, *caught.exception.args[:2]))

    def test_what_is_no_problem_report(self):
        for answer, expected in (
            (Answer(b"<h1>\noops</h1>", 500, "text/html"), (500, "500 Internal Server Error: <h1> oops</h1>")),
            (Answer(b"", 503), (503, "503 Service Unavailable")),
            (Answer(b"[1]", 404), (404, "404 Not Found: [1]")),
            (Answer(b"\xff\xfe", 302), (302, "302 Found: \ufffd\ufffd")),
            (Answer(b"a" * 1000, 500), (500, f"500 Internal Server Error: {'a' * 300}")),
        ):
            with self.subTest(expected):
                error = self.fails(answer)
                self.assertEqual(expected, (error.status, str(error)))
                self.assertFalse(error.retryable)

    def test_a_reply_that_makes_no_sense(self):
        for body in (b"{", b"[]", b"null", b"\xff"):
            with self.subTest(body):
                self.assertEqual((0, "Unreadable reply"), (lambda e: (e.status, e.title))(self.fails(Answer(body))))
        for call, body in (
            (lambda c: c.relevant("c", "t"), {"relevant_messages": {}}),
            (lambda c: c.append("c", {}), {}),
            (lambda c: c.odoo_call("m", "x"), {}),
        ):
            self.hearth.answers.append(Answer(body))
            with self.assertRaisesRegex(HearthError, "Unreadable reply"):
                call(self.client())

    def test_null_is_an_empty_list(self):
        self.hearth.answers.append(Answer({"relevant_messages": None}))
        self.assertEqual([], self.client().relevant("c", "t"))
        self.hearth.answers.append(Answer({"models": None}))
        self.assertEqual({}, self.client().odoo_models())

    def test_nothing_is_an_empty_reply(self):
        self.hearth.answers.append(Answer(b"", 200))
        self.assertEqual({}, self.client().set_mute("c", True))

    def test_a_write_that_failed_in_part_says_why_of_the_first(self):
        stored, lost = {"id": "1", "outcome": "stored"}, {"id": "3", "outcome": "unknown"}
        failed = {"id": "2", "outcome": "failed", "detail": "a vector of 3 dimensions"}
        for items, expected in (
            ([stored, failed, lost], "message 2 of 3: failed, a vector of 3 dimensions"),
            ([lost, failed], "message 1 of 2: unknown"),
            ([stored], "see items"),
            ("nonsense", "see items"),
            ([None, 7], "see items"),
        ):
            error = self.fails(problem(502, "Partly failed", detail="see items", upstream="weaviate", items=items))
            self.assertEqual(f"502 Partly failed: {expected} (upstream weaviate)", str(error))
            self.assertEqual("see items", error.detail)
            self.assertEqual(str(error), str(pickle.loads(pickle.dumps(error))))

    def test_replies_that_json_cannot_read(self):
        for body in (b"[" * 200_000, b'{"a":' * 200_000, b'{"muted":' + b"9" * 10_000 + b"x}"):
            self.assertEqual("Unreadable reply", self.fails(Answer(body)).title)
            self.assertEqual(500, self.fails(Answer(body, 500)).status)

    def test_survives_pickling(self):
        error = pickle.loads(pickle.dumps(self.fails(problem(502, "Bad Gateway", detail="x", upstream="odoo", retryable=True))))
        self.assertEqual(("502 Bad Gateway: x (upstream odoo)", True), (str(error), error.retryable))

    def test_never_shows_the_token(self):
        os.environ["HEARTH_TOKEN"] = "s3cret"
        answers = [problem(401, "Unauthorized"), Answer(b"nonsense"), Answer({}, 500)]
        for answer in answers:
            error = self.fails(answer)
            self.assertEqual("s3cret", self.hearth.seen[-1].headers["x-hearth-token"])
            self.assertNotIn("s3cret", f"{error} {error!r} {error.__dict__} {error.__cause__!r}")

    def test_a_bad_address_is_refused(self):
        for addr in ("\udcff:1", "10.0.0.1:2774", "127.evil.example:2774", "127.0.0.1", ":2774", "localhost:http", "[::1]:0", "x"):
            os.environ["HEARTH_ADDR"] = addr
            with self.subTest(addr), self.assertRaisesRegex(HearthError, "HEARTH_ADDR"):
                Client()
        for addr in ("localhost:2774", "[::1]:2774", "127.1.2.3:1"):
            os.environ["HEARTH_ADDR"] = addr
            Client()


class Body(TestCase):
    def test_is_compact_utf8(self):
        self.hearth.default = Answer({"relevant_messages": []})
        self.client().relevant("c", "ä 💬")
        self.assertEqual('{"text":"ä 💬","count":5,"mode":"auto"}', self.hearth.seen[-1].body.decode())

    def refused(self, field, call):
        """A call that is not made, because of this field."""
        with self.subTest(field), self.assertRaises(HearthError) as caught:
            call(self.client())
        self.assertEqual((400, field, False), (caught.exception.status, caught.exception.field, caught.exception.retryable))
        self.assertIn(field, caught.exception.detail)
        self.assertIsInstance(caught.exception, ValueError)
        self.assertEqual(str(caught.exception), str(pickle.loads(pickle.dumps(caught.exception))))
        self.assertEqual([], self.hearth.seen)

    def test_a_vector_that_is_none_is_refused_here(self):
        nan, infinite = float("nan"), float("inf")
        for vector in ([nan], [1, infinite], [-infinite], [1, "2"], [None], [True], ["nan"], [[1]], [10**400], [b"1"], [1j],
                       [], "123", b"123", {1: 2}, {1, 2}, 7, object(), itertools.repeat(1.0)):  # fmt: skip
            self.refused("vector", lambda c: c.relevant("c", "t", vector=vector))
            self.refused("vector", lambda c: c.preprocess("c", "t", "r", vector=vector))
            self.refused("vector", lambda c: c.append("c", {"role": "user", "vector": vector}))
            self.refused("[1].vector", lambda c: c.append("c", [{"role": "user"}, {"role": "user", "vector": vector}]))

    def test_what_json_does_not_know_is_refused_here(self):
        odd = [{1}, b"b", object(), float("nan"), {(1, 2): 3}, datetime.now(), 1j]
        circle = []
        circle.append(circle)
        deep = []
        for _ in range(100_000):
            deep = [deep]
        for value in [*odd, circle, deep]:
            self.refused("text", lambda c: c.relevant("c", value))
            self.refused("count", lambda c: c.relevant("c", "t", value))
            self.refused("num_messages", lambda c: c.history("c", value))
            self.refused("full_text_len", lambda c: c.history("c", 1, value))
            self.refused("route_name", lambda c: c.preprocess("c", "t", value))
            self.refused("muted", lambda c: c.set_mute("c", value))
            self.refused("properties", lambda c: c.append("c", {"role": "user", "properties": {"x": value}}))
            self.refused("[0].content", lambda c: c.append("c", [{"role": "user", "content": value}]))
            self.refused("args", lambda c: c.odoo_call("m", "x", [value]))
            self.refused("kwargs", lambda c: c.odoo_call("m", "x", [], {"x": value}))
            self.refused("model", lambda c: c.drop_cache(model=value))
        self.refused("num_messages", lambda c: c.history("c", 10**5000))
        self.refused("count", lambda c: c.relevant("c", "t", 10**5000))

    def test_arguments_of_the_wrong_kind_are_refused_here(self):
        self.refused("roles", lambda c: c.relevant("c", "t", roles=7))
        self.refused("roles", lambda c: c.relevant("c", "t", roles=["user", None]))
        self.refused("names", lambda c: c.odoo_models([1]))
        self.refused("names", lambda c: c.odoo_models(7))
        self.refused("messages", lambda c: c.append("c", None))
        self.refused("messages", lambda c: c.append("c", 7))
        self.refused("messages[1]", lambda c: c.append("c", [{"role": "user"}, None]))
        self.refused("messages[0]", lambda c: c.append("c", "text"))
        for early in (datetime.min, datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))):
            self.refused("until", lambda c: c.set_mute("c", True, early))
            self.refused("created_at", lambda c: c.append("c", {"role": "user", "created_at": early}))
            self.refused("[0].created_at", lambda c: c.append("c", [{"role": "user", "created_at": early}]))
        for timeout in wrong("soon", float("nan"), [], object()):
            self.refused("timeout", lambda c: c.mute("c", timeout=timeout))
            self.refused("timeout_ms", lambda c: c.preprocess("c", "t", "r", timeout_ms=timeout or [1]))
            self.refused("timeout", lambda c: Client(timeout=timeout))
            self.refused("connect_timeout", lambda c: Client(connect_timeout=timeout))
        (none,) = wrong(None)
        self.refused("connect_timeout", lambda c: Client(connect_timeout=none))
        for count in wrong(0, -1, 1.5, None, True):
            self.refused("max_connections", lambda c: Client(max_connections=count))

    def test_times_without_end_are_long_ones(self):
        client = self.client(timeout=float("inf"), connect_timeout=1e30)
        client.mute("c")
        client.preprocess("c", "t", "r")
        self.assertEqual(900_000, self.hearth.seen[-1].json["timeout_ms"])
        client.mute("c", timeout=1e30)

    def test_the_last_moment_there_is_has_none_after_it(self):
        self.hearth.default = Answer({"ids": []}, 201)
        last = datetime.max.replace(tzinfo=timezone.utc)
        self.client().append("c", [{"role": "user", "created_at": last}, {"role": "assistant"}])
        self.assertEqual(["9999-12-31T23:59:59.999999Z"] * 2, [message["created_at"] for message in self.hearth.seen[-1].json])

    def test_messages_without_end_are_no_more_than_the_sidecar_needs_to_refuse_them(self):
        self.hearth.default = Answer({"ids": []}, 201)
        self.client().append("c", itertools.repeat({"role": "user"}))
        self.assertEqual(101, len(self.hearth.seen[-1].json))

    def test_whole_numbers_of_other_kinds_are_numbers(self):
        class Number:
            def __index__(self):
                return 3

        self.hearth.default = Answer({"relevant_messages": [], "result": 1})
        (three,) = wrong(Number())
        self.client().relevant("c", "t", three)
        self.assertEqual(3, self.hearth.seen[-1].json["count"])
        self.client().history("c", three)
        self.assertIn("num_messages=3&", self.hearth.seen[-1].target)
        self.client().odoo_call("m", "read", [[Number()]])
        self.assertEqual([[3]], self.hearth.seen[-1].json["args"])

    def test_large(self):
        text = "x" * (3 << 20)
        self.hearth.default = lambda seen: Answer({"result": json.loads(seen.body)["args"]})
        self.assertEqual([text], self.client().odoo_call("m", "echo", [text]))
