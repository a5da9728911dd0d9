"""A chatbot that uses Hearth. It fetches what it needs at once, answers, and saves the turn for the next one.

To run it, attach the layer. Or start Hearth on this machine, put client/python on PYTHONPATH, and call
handler({"chat_id": "42", "text": "Hello", "route_name": "chat"}, None)
"""

from hearth import HearthError, default_client
from parallel_utils import (
    ParallelExecutor,
    get_message_history_parallel,
    parallel_preprocessing,
    time_operation_with_metrics,
)

executor = ParallelExecutor(max_workers=2)


@time_operation_with_metrics("lambda_handler_total")  # takes from the context how much time Hearth has to answer
def handler(event, context):
    chat_id, text, route = event["chat_id"], event["text"], event.get("route_name", "chat")
    got = executor.execute({
        "found": lambda: parallel_preprocessing(chat_id, text, route, enable_odoo=True),
        "history": lambda: get_message_history_parallel(chat_id, num_messages=10),
    })
    found = got["found"] or {}
    history = got["history"][0] if got["history"] else []  # answer without a history rather than not at all
    if found.get("mute_status", [False])[0]:
        return {"reply": None, "muted": True}

    reply = answer(text, history, found.get("relevant_messages", []))
    saved = True
    try:
        turn = [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
        default_client().append(chat_id, turn)
    except HearthError as problem:
        saved = False
        print(f"the turn was not saved: {problem}")
    return {"reply": reply, "muted": False, "history": len(history), "saved": saved}


def answer(text, history, relevant):
    """Put your model here. Its prompt is the history, the relevant messages and the text."""
    return f"You said {text!r}. I remember {len(history)} messages, {len(relevant)} of them to the point."
