"""What goes out for each call, and what comes back."""

import json
import os
import pickle
import re
import urllib.parse
from datetime import datetime, timedelta, timezone
from unittest import mock

from hearth import Client, HearthError

from .stand_in import Answer, TestCase, problem

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
        self.assertEqual("application/json", seen.headers["content-type"])
        self.assertEqual(found, result)

        seen, _ = self.asked(
            lambda c: c.relevant("c", "hi", 2, mode="hybrid", vector=(1, 0.5), roles=("user",), cache_control="no-store"),
            {"relevant_messages": []},
        )
        self.assertEqual({"text": "hi", "count": 2, "mode": "hybrid", "vector": [1.0, 0.5], "roles": ["user"]}, seen.json)
        self.assertEqual("no-store", seen.headers["cache-control"])

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

    def test_preprocess_tells_the_sidecar_the_clients_timeout(self):
        self.client(timeout=2.5).preprocess("c", "hi", "route")
        self.assertEqual(2500, self.hearth.seen[-1].json["timeout_ms"])

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
        for name, target in targets.items():
            seen, result = self.asked(lambda c: getattr(c, name)(), {"at": target})
            self.assertEqual(("GET", target), seen[:2])
            self.assertEqual({"at": target}, result)

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
        for chat_id in ("", None, 7, b"c", "half an emoji \ud83d"):
            for call in ("history", "mute"):
                with self.subTest(chat_id=chat_id, call=call), self.assertRaises(HearthError) as caught:
                    getattr(self.client(), call)(chat_id)
                self.assertEqual((400, "chat_id"), (caught.exception.status, caught.exception.field))
            with self.assertRaises(HearthError):
                self.client().preprocess(chat_id, "hi", "route")
        self.assertEqual([], self.hearth.seen)

    def test_half_an_emoji_in_a_text_does_not_stop_it(self):
        seen, _ = self.asked(lambda c: c.relevant("c", "ok 👍 \ud83d"), {"relevant_messages": []})
        self.assertEqual("ok 👍 ?", seen.json["text"])

    def test_a_header_cannot_be_smuggled_in(self):
        with self.assertRaises(ValueError):
            self.client().history("c", cache_control="no-cache\r\nX-Evil: 1")
        self.assertEqual([], self.hearth.seen)

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
        given.update(vector=[1], properties={"a": 1})
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

    def test_what_is_no_problem_report(self):
        for answer, expected in (
            (Answer(b"<h1>\noops</h1>", 500, "text/html"), (500, "500 Internal Server Error: <h1> oops</h1>")),
            (Answer(b"", 503), (503, "503 Service Unavailable")),
            (Answer(b"[1]", 404), (404, "404 Not Found: [1]")),
            (Answer(b"\xff\xfe", 302), (302, "302 Found: \ufffd\ufffd")),
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
        for addr in ("10.0.0.1:2774", "127.evil.example:2774", "127.0.0.1", ":2774", "localhost:http", "[::1]:0", "x"):
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

    def test_numbers_that_json_does_not_know_are_refused_here(self):
        with self.assertRaises(ValueError):
            self.client().relevant("c", "t", vector=[float("nan")])
        self.assertEqual([], self.hearth.seen)

    def test_large(self):
        text = "x" * (3 << 20)
        self.hearth.default = lambda seen: Answer({"result": json.loads(seen.body)["args"]})
        self.assertEqual([text], self.client().odoo_call("m", "echo", [text]))
