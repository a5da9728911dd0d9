"""A handler that returns what the functions of existing handlers bring, for a test to compare."""

from parallel_storage import get_relevant_messages_parallel
from parallel_utils import get_message_history_parallel, parallel_preprocessing


def handler(event, context):
    chat, text = event["chat_id"], event["text"]
    msg_history, all_messages, user_messages, assistant_messages = get_message_history_parallel(chat, event["num_messages"], 3)
    return {
        "history": {
            "chat_id": chat,
            "msg_history": msg_history,
            "all_messages": all_messages,
            "user_messages": user_messages,
            "assistant_messages": assistant_messages,
        },
        "relevant": get_relevant_messages_parallel(chat, text, count=100),
        "preprocessing": parallel_preprocessing(chat, text, event["route_name"], relevant_count=2, enable_odoo=True),
    }
