"""A small Lambda runtime for tests: calls the handler named by _HANDLER, from LAMBDA_TASK_ROOT, for every invocation."""

import http.client
import importlib
import json
import os
import sys
import time
import traceback

API = "/2018-06-01/runtime"


class Context:
    def __init__(self, headers):
        self.aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
        self.invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self._deadline_ms = int(headers["Lambda-Runtime-Deadline-Ms"])

    def get_remaining_time_in_millis(self):
        return max(0, self._deadline_ms - int(time.time() * 1000))


def call(connection, method, path, body=None, error_type=None):
    headers = {"Content-Type": "application/json"}
    if error_type:
        headers["Lambda-Runtime-Function-Error-Type"] = error_type
    connection.request(method, API + path, body=body, headers=headers)
    response = connection.getresponse()
    return response.headers, response.read()  # Read to its end, or the connection cannot be used again.


def describe(error, error_type=None):
    return json.dumps({
        "errorMessage": str(error),
        "errorType": error_type or type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__),
    })


def load(spec):
    module, _, function = spec.rpartition(".")
    os.chdir(os.environ["LAMBDA_TASK_ROOT"])
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    return getattr(importlib.import_module(module.replace("/", ".")), function)


def main():
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = load(os.environ["_HANDLER"])
    except Exception as error:
        error_type = "Runtime.ImportModuleError" if isinstance(error, ImportError) else "Runtime.HandlerNotFound"
        call(connection, "POST", "/init/error", describe(error, error_type), error_type)
        raise
    while True:
        headers, event = call(connection, "GET", "/invocation/next")
        context = Context(headers)
        os.environ.pop("_X_AMZN_TRACE_ID", None)
        if headers["Lambda-Runtime-Trace-Id"]:  # Some platforms send none, or an empty one.
            os.environ["_X_AMZN_TRACE_ID"] = headers["Lambda-Runtime-Trace-Id"]
        path = "/invocation/" + context.aws_request_id
        try:
            result = json.dumps(handler(json.loads(event), context))
        except Exception as error:
            traceback.print_exc()
            call(connection, "POST", path + "/error", describe(error), type(error).__name__)
        else:
            call(connection, "POST", path + "/response", result)


main()
