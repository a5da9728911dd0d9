"""The sample handler beneath logging as Lambda's Python runtime sets it up: text at WARNING, or JSON at INFO."""

import json
import logging
import os
import sys
import time

request_id = ""


class Text(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        record.aws_request_id = request_id
        return super().format(record)


class Json(logging.Formatter):
    def format(self, record):
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return json.dumps({
            "timestamp": at, "level": record.levelname, "message": record.getMessage(), "logger": record.name, "requestId": request_id
        })


stream = logging.StreamHandler(sys.stdout)
logging.getLogger().addHandler(stream)
if os.environ["AWS_LAMBDA_LOG_FORMAT"] == "JSON":
    stream.setFormatter(Json())
    logging.getLogger().setLevel(logging.INFO)
else:
    stream.setFormatter(Text("[%(levelname)s]\t%(asctime)s.%(msecs)dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"))

import handler as sample  # the runtime sets logging up first
import hearth


def handler(event, context):
    global request_id
    request_id = context.aws_request_id
    logging.info(json.dumps({"operation": "logged", "duration_ms": 1}))
    hearth.log_performance_data("model", 1500, tokens=7)
    return sample.handler(event, context)
